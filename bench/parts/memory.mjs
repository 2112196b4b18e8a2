import { floor, rowOf } from "../support/clients.mjs";
import { start } from "../support/driven.mjs";
import { show } from "../support/figures.mjs";
import { startProxy } from "../support/proxy.mjs";
import { Samples } from "../support/samples.mjs";
import { grid } from "../support/table.mjs";

const rows = ["ours", "floor", "direct", "socks"].map((client) => rowOf(client));

/** Tunnels that are open and idle. */
export async function memory({ runtimes, rounds, quick }) {
  const samples = new Samples();
  const count = quick ? 200 : 2_000;
  const proxy = await startProxy();
  const setup = { proxy: proxy.address, login: false };

  try {
    for (const runtime of runtimes) {
      for (let round = 0; round < rounds; round++) {
        for (const row of rows) await once(runtime, row, round);
      }
    }
  } finally {
    await proxy.end();
  }

  /** Each time in a process of its own, which has opened little before. */
  async function once(runtime, row, round) {
    let worker;
    try {
      worker = await start(runtime, "worker.mjs", [row.client]);
      samples.add(runtime, row, round, (await worker.ask("memory", { setup, count })).bytes);
    } catch (error) {
      samples.fail(runtime, row, error);
    } finally {
      await worker?.end();
    }
  }

  return {
    samples,
    sections: [{
      title: "Memory of an idle tunnel",
      text: `Resident memory that each of ${count} open tunnels adds to the client's process, after a garbage ` +
        "collection: relative to a tunnel of the floor, and in KiB.",
      table: grid(["client"], rows, runtimes, (runtime, row) => {
        const bytes = samples.spread(runtime, row)?.median;
        if (bytes === undefined) return "–";
        const figure = row.name === "floor" ? "1" : show(samples.ratio(runtime, row, floor));
        return `${figure}, ${(bytes / 1_024).toFixed(1)} KiB`;
      }),
    }],
    targets: [{
      name: "memory of an idle tunnel / floor",
      most: { node: 1.3, bun: 1.5, deno: 1.3 },
      figure: (runtime) => samples.ratio(runtime, rowOf("ours"), floor),
    }],
  };
}
