import { joined } from "../bytes.ts";
import { ProtocolError } from "../errors.ts";
import { quietly } from "../guarded_conn.ts";
import { Foreign, type UserPass } from "../protocol/messages.ts";
import type { Step, Steps } from "../protocol/steps.ts";
import { settle } from "../settle.ts";
import type { Conn, UnreadableConn } from "../transport.ts";

/** What a conversation needs of a connection, and takes if it is there. */
export type Wire = Pick<Conn, "read" | "write"> & Partial<Pick<UnreadableConn, "unread">>;

/** A reply with an IPv6 address has so many bytes. */
const USUAL = 22;

/**
 * Has a conversation over a connection. Each message leaves in one write, and no byte is taken that is not part of an
 * answer. A connection that takes back what was read too far is read in larger pieces, which saves a read per dial, and
 * its writes are not waited for. The steps of a custom method are asynchronous: they are given exactly what was read, in
 * an array that stays theirs. Our own steps are given the buffer, of which the first `have` bytes count; that saves three
 * arrays per dial (3 % of its CPU).
 *
 * @param secrets If given, the error of an answer that is not SOCKS5 shows what has arrived of it, unless one of them is
 * in it. The connection is of no use then.
 */
export async function converse<T>(
  wire: Wire,
  steps: Steps<T> | AsyncGenerator<Step, T, Uint8Array>,
  secrets?: readonly (UserPass | null | undefined)[],
): Promise<T> {
  const isOurs = !(Symbol.asyncIterator in steps);
  const readsAhead = isOurs && wire.unread !== undefined;
  let answer = new Uint8Array(USUAL);
  let got = 0;
  let used = 0;
  try {
    for (;;) {
      const next = isOurs ? steps.next(answer) : await steps.next(answer.subarray(0, got));
      if (got > used && readsAhead && (next.done || next.value.write !== undefined)) {
        wire.unread!(answer.slice(used, got));
        answer.fill(0, used);
      }
      if (next.done) return next.value;
      const { write, have, most = have } = next.value;
      if (write !== undefined) {
        const written = wire.write(write);
        if (readsAhead) written.catch(() => {}); // a read fails with it
        else await written;
        if (!isOurs) answer = new Uint8Array(most);
        got = 0;
      }
      used = have;
      if (most > answer.length) answer = joined(answer, new Uint8Array(most - answer.length));
      while (got < have) {
        const n = await wire.read(
          readsAhead && got === 0 ? answer : answer.subarray(got, readsAhead ? undefined : most),
        );
        if (!n) throw new ProtocolError("SOCKS5_PROXY_HUNG_UP", "the proxy closed the connection");
        got += n;
      }
    }
  } catch (error) {
    if (!isOurs) void quietly(() => steps.return(undefined as T));
    if (error instanceof Foreign) used = error.start.length;
    if (got > used && readsAhead) wire.unread!(answer.slice(used, got));
    throw secrets === undefined ? error : await withAnswer(error, wire, secrets);
  }
}

/** The same connection, for a conversation whose messages have been sent already. */
export function withoutWrites(wire: Wire): Wire {
  return { read: (p) => wire.read(p), write: (p) => Promise.resolve(p.length) };
}

/** So many bytes are looked at: those that are shown, and a secret that may begin within them. */
const MOST = 512;

/**
 * What a conversation failed with: where the answer was not of SOCKS5, with as much of it as has arrived. The connection
 * is of no use from then on.
 */
async function withAnswer(
  error: unknown,
  wire: Pick<Conn, "read">,
  secrets: readonly (UserPass | null | undefined)[],
): Promise<unknown> {
  if (!(error instanceof Foreign)) return error;
  const answer = new Uint8Array(MOST);
  answer.set(error.start);
  let got = error.start.length;
  const listen = async () => {
    for (let n; got < MOST && (n = await wire.read(answer.subarray(got)));) got += n;
  };
  await Promise.race([listen().catch(() => {}), settle()]);
  return error.with(answer.slice(0, got), secrets.flatMap((it) => it ? [it.uname, it.passwd] : []));
}
