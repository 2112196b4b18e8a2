import type { Duplex } from "node:stream";
import { closed, reset, type ServerConn } from "./server_conn.ts";
import type { ParsedOptions } from "./parse_options.ts";

/** Carries bytes both ways, with the faults of the tunnel, until both sides are closed. */
export async function tunnel(conn: ServerConn, target: Duplex, options: ParsedOptions): Promise<void> {
  const { client, log } = conn;
  const early = conn.reader.detach();
  conn.note({ step: "transfer", sent: early.length });
  client.on("data", (chunk) => conn.note({ sent: log.sent + chunk.length }));
  target.on("data", (chunk) => conn.note({ delivered: log.delivered + chunk.length }));
  target.once("end", () => conn.endedBy("target"));
  if (options.halfClose === "cut") conn.reader.gone.then(() => conn.kill());
  const broken = () => {
    conn.endedBy("target");
    reset(client);
  };
  target.on("error", broken);
  if (target.destroyed) broken();
  if (early.length > 0) target.write(early);

  const action = conn.actionAt("transfer");
  const join = () => (client.pipe(target), target.pipe(client));
  const waits = action.waits.length > 0;
  if (waits) {
    join();
    await conn.wait(action.waits, conn.closed);
  }
  if (action.then) {
    client.unpipe().resume();
    target.unpipe().resume();
  }
  await conn.send(action, new Uint8Array(0));
  if (!waits) join();
  await Promise.all([conn.closed, closed(target)]);
}
