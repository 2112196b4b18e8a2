import type { Conn } from "../src/transport.ts";
import type { ClientConn } from "./client_conn.ts";
import { type Source, sourceOf } from "./buffered_reader.ts";

type Sink = { write(bytes: Uint8Array): Promise<unknown> };

/**
 * Carries bytes, ends and resets both ways until both have ended, and closes both. It holds one chunk for each way, and
 * none while it waits. `up` is what the client sends, `down` what the target sends.
 */
export async function tunnel(client: ClientConn, up: Source, conn: Conn, down: Source = sourceOf(conn)): Promise<void> {
  client.halfOpen = true;
  client.readTimeout = Infinity;
  const forget = client.onGone(() => conn.close());
  try {
    // a target that takes nothing more may have answered before
    const sending = copy(up, conn).then(() => conn.closeWrite()).catch(() => {});
    const receiving = copy(down, client).then(() => client.end()).catch(() => client.reset());
    await sending;
    await receiving;
  } finally {
    forget();
    conn.close();
    await client.linger();
  }
}

async function copy(from: Source, to: Sink): Promise<void> {
  while (await carry(from, to));
}

/** Apart from the loop, which would hold a chunk while it waits for the next; `false` at the end. */
async function carry(from: Source, to: Sink): Promise<boolean> {
  const chunk = await from.next();
  if (chunk !== null) await to.write(chunk);
  return chunk !== null;
}
