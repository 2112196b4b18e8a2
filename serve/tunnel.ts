import type { Conn } from "../src/transport.ts";
import type { ClientConn } from "./client_conn.ts";
import type { Source } from "./buffered_reader.ts";

/**
 * Carries bytes, ends and resets both ways until both have ended, and closes both. It holds one chunk for each way. `up` is
 * what the client sends, `down` what the target sends.
 */
export async function tunnel(client: ClientConn, up: Source, conn: Conn, down: Source): Promise<void> {
  client.halfOpen = true;
  client.readTimeout = Infinity;
  const hangUp = () => conn.close();
  client.gone.addEventListener("abort", hangUp);
  if (client.gone.aborted) hangUp();
  try {
    // a target that takes nothing more may have answered before
    const sending = copy(up, conn).then(() => conn.closeWrite()).catch(() => {});
    const receiving = copy(down, client).then(() => client.end()).catch(() => client.reset());
    await Promise.all([sending, receiving]);
  } finally {
    client.gone.removeEventListener("abort", hangUp);
    conn.close();
    await client.linger();
  }
}

/** Without `await`, which would hold a chunk while it waits for the next. */
function copy(from: Source, to: { write(bytes: Uint8Array): Promise<unknown> }): Promise<void> {
  return new Promise((resolve, reject) => {
    const next = () => void from.next().then(carry, reject);
    const carry = (chunk: Uint8Array | null) => chunk === null ? resolve() : void to.write(chunk).then(next, reject);
    next();
  });
}
