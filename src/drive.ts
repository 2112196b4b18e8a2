import { Fault } from "./errors.ts";
import type { Steps } from "./handshake.ts";
import type { Conn } from "./transport.ts";

/** Runs a piece of the handshake over a connection: each message leaves in one write, and nothing is read ahead. */
export async function drive<T>(conn: Conn, steps: Steps<T>): Promise<T> {
  let step = steps.next();
  while (!step.done) {
    if (step.value.write !== undefined) await conn.write(step.value.write);
    step = steps.next(await readFull(conn, step.value.read));
  }
  return step.value;
}

/** Exactly `length` bytes; a connection that ends before is a `Fault`. */
async function readFull(conn: Conn, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let got = 0; got < length;) {
    const n = await conn.read(got === 0 ? bytes : bytes.subarray(got));
    if (!n) throw new Fault("SOCKS5_PROXY_HUNG_UP", "the proxy closed the connection");
    got += n;
  }
  return bytes;
}
