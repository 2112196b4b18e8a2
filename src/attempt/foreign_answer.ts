import { Foreign, type UserPass } from "../protocol/messages.ts";
import { settle } from "../settle.ts";
import type { Conn } from "../transport.ts";

/** So many bytes are looked at: those that are shown, and a secret that may begin within them. */
const MOST = 512;

/**
 * What a conversation failed with: where the answer was not of SOCKS5, with as much of it as has arrived. The connection
 * is of no use from then on.
 */
export async function withAnswer(
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
