import type { ClientConn } from "./client_conn.ts";
import { type Source, sourceOf } from "./buffered_reader.ts";
import type { Connection } from "./connection.ts";
import type { Write } from "./http/carry_body.ts";

/**
 * Carries bytes, ends and resets both ways until both have ended, and closes both. It holds one chunk for each way, and
 * none while it waits. `up` is what the client sends, `down` what the target sends.
 */
export async function tunnel(client: ClientConn, up: Source, connection: Connection, down?: Source): Promise<void> {
  const { conn } = connection;
  client.halfOpen = true;
  client.readTimeout = Infinity;
  const forget = client.onGone(() => conn.close());
  try {
    // a target that takes nothing more may have answered before
    const sending = copy(up, connection.send).then(() => conn.closeWrite()).catch(() => {});
    const receiving = copy(down ?? sourceOf(conn), connection.deliver).then(() => client.end()).catch(() =>
      client.reset()
    );
    await sending;
    await receiving;
  } finally {
    forget();
    conn.close();
    await client.linger();
  }
}

async function copy(from: Source, write: Write): Promise<void> {
  while (await carry(from, write));
}

/** Apart from the loop, which would hold a chunk while it waits for the next; `false` at the end. */
async function carry(from: Source, write: Write): Promise<boolean> {
  const chunk = await from.next();
  if (chunk !== null) await write(chunk);
  return chunk !== null;
}
