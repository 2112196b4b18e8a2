import type { Conn } from "../src/transport.ts";
import type { Accepted } from "./client_conn.ts";
import type { Source } from "./buffered_reader.ts";

/**
 * Carries bytes, ends and breaks both ways until both are over, and closes both: nothing is held but one chunk for each
 * way. `up` is what the client sends, `down` what the target does.
 */
export async function relay(client: Accepted, up: Source, conn: Conn, down: Source): Promise<void> {
  client.carriesEnd = true;
  client.patience = Infinity;
  const hangUp = () => conn.close();
  client.gone.addEventListener("abort", hangUp);
  if (client.gone.aborted) hangUp();
  try {
    // a target that takes nothing more may have answered before
    const sending = pump(up, conn).then(() => conn.closeWrite()).catch(() => {});
    const receiving = pump(down, client).then(() => client.end()).catch(() => client.reset());
    await Promise.all([sending, receiving]);
  } finally {
    client.gone.removeEventListener("abort", hangUp);
    conn.close();
    await client.linger();
  }
}

async function pump(from: Source, to: { write(bytes: Uint8Array): Promise<unknown> }): Promise<void> {
  for (let chunk = await from.next(); chunk !== null; chunk = await from.next()) await to.write(chunk);
}
