import { floor, rowOf } from "../support/clients.mjs";
import { show } from "../support/figures.mjs";
import { startProxy } from "../support/proxy.mjs";
import { interleave } from "../support/rounds.mjs";
import { Samples } from "../support/samples.mjs";
import { grid } from "../support/table.mjs";

const directions = ["download", "upload"];
/** How much a transfer moves, in MiB; those of a round are spread over it. */
const slice = 32;
const [plain, ...others] = ["read and write", "streams", "detach"].map((way) => rowOf("ours", [way], { way }));
const rows = [
  plain,
  ...others,
  ...["floor", "direct", "socks"].map((client) => rowOf(client)),
];

/** Many bytes through one tunnel. */
export async function bulk({ runtimes, rounds, quick }) {
  const samples = new Samples();
  const slices = quick ? 1 : 16;
  const steps = Array(slices).fill(directions).flat();
  const scale = 1_024 / slice / slices;
  const proxy = await startProxy();
  const setup = { proxy: proxy.address, login: false };
  const transfer = (worker, { way }, direction) =>
    worker.ask("bulk", { setup, direction, bytes: slice * 2 ** 20, way });

  try {
    for (const runtime of runtimes) {
      await interleave(
        { runtime, rows, rounds, steps, samples },
        async (worker, row) => {
          for (const direction of steps) await transfer(worker, row, direction);
        },
        async (worker, row, round, direction) => {
          const { cpu, time } = await transfer(worker, row, direction);
          samples.add(runtime, row, round, cpu * scale, `${direction} cpu`);
          samples.add(runtime, row, round, time * scale, `${direction} time`);
        },
      );
    }
  } finally {
    await proxy.end();
  }

  const both = directions.flatMap((direction) =>
    rows.map((row) => ({
      ...row,
      labels: [direction, row.labels.join(", ")],
      direction,
    }))
  );
  return {
    samples,
    sections: [{
      title: "CPU of the client for a GiB",
      text:
        `CPU time of the client's process for ${
          slices * slice
        } MiB a round through open tunnels: relative to the floor, ` +
        "and in milliseconds for a GiB; then the throughput.",
      table: grid(
        ["way", "client"],
        both,
        runtimes,
        (runtime, { direction, ...row }) => {
          const [cpu, time] = ["cpu", "time"].map((what) =>
            samples.spread(runtime, row, `${direction} ${what}`)?.median
          );
          if (cpu === undefined) return "–";
          const figure = row.name === "floor" ? "1" : show(samples.ratio(runtime, row, floor, `${direction} cpu`));
          return `${figure}, ${cpu.toFixed(0)} ms, ${(1_000 / time).toFixed(1)} GiB/s`;
        },
      ),
    }],
    targets: directions.map((direction) => ({
      name: `CPU for a GiB / floor, ${direction}`,
      most: { node: 1.05, bun: 1.05, deno: 1.05 },
      figure: (runtime) => samples.ratio(runtime, plain, floor, `${direction} cpu`),
    })),
  };
}
