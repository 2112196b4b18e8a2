import type { Duplex } from "node:stream";
import { closed, type Line, reset } from "./server_conn.ts";
import type { Plan } from "./parse_options.ts";

/** Carries bytes both ways, with the faults of the tunnel, until both sides are closed. */
export async function transfer(line: Line, target: Duplex, plan: Plan): Promise<void> {
  const { client, log } = line;
  const early = line.inbox.detach();
  line.note({ step: "transfer", sent: early.length });
  client.on("data", (chunk) => line.note({ sent: log.sent + chunk.length }));
  target.on("data", (chunk) => line.note({ delivered: log.delivered + chunk.length }));
  target.once("end", () => line.endedBy("target"));
  if (plan.halfClose === "cut") line.inbox.gone.then(() => line.kill());
  const broken = () => {
    line.endedBy("target");
    reset(client);
  };
  target.on("error", broken);
  if (target.destroyed) broken();
  if (early.length > 0) target.write(early);

  const act = line.act("transfer");
  const join = () => (client.pipe(target), target.pipe(client));
  const waits = act.waits.length > 0;
  if (waits) {
    join();
    await line.wait(act.waits, line.closed);
  }
  if (act.then) {
    client.unpipe().resume();
    target.unpipe().resume();
  }
  await line.say(act, new Uint8Array(0));
  if (!waits) join();
  await Promise.all([line.closed, closed(target)]);
}
