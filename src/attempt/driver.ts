import { ProtocolError } from "../errors.ts";
import type { Conn, Steps } from "../transport.ts";

/** What the handshake needs of a connection. */
export type Wire = Pick<Conn, "read" | "write" | "converse">;

/** Runs pieces of the handshake over a connection: each message leaves in one write, and nothing is read ahead. */
export function drive<T>(wire: Wire, steps: Steps<T>): Promise<T> {
  return wire.converse === undefined ? converse(wire, steps) : wire.converse(steps, hungUp);
}

/** The same connection for pieces whose messages have been sent already. */
export function sent(wire: Wire): Wire {
  return { read: (p) => wire.read(p), write: (p) => Promise.resolve(p.length) };
}

const ROOM = 22; // for a reply with an IPv6 address

async function converse<T>(wire: Wire, steps: Steps<T>): Promise<T> {
  let answer = new Uint8Array(ROOM);
  let got = 0;
  let step = steps.next();
  while (!step.done) {
    const { write, have, most = have } = step.value;
    if (write !== undefined) {
      await wire.write(write);
      got = 0;
    }
    if (most > answer.length) answer = grown(answer, most);
    while (got < have) {
      const n = await wire.read(answer.subarray(got, most));
      if (!n) throw hungUp();
      got += n;
    }
    step = steps.next(answer);
  }
  return step.value;
}

function grown(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(length);
  larger.set(bytes);
  return larger;
}

function hungUp(): ProtocolError {
  return new ProtocolError("SOCKS5_PROXY_HUNG_UP", "the proxy closed the connection");
}
