import { floor, pipes, rowOf } from "../support/clients.mjs";
import { show } from "../support/figures.mjs";
import { startProxy } from "../support/proxy.mjs";
import { interleave } from "../support/rounds.mjs";
import { Samples } from "../support/samples.mjs";
import { grid, titles } from "../support/table.mjs";

/** How many dials make a slice, by how many there are at a time; the slices of a round are spread over it. */
const counts = { 1: 60, 16: 240, 128: 512 };
const slices = 8;
const rows = pipes.map((client) => rowOf(client));

/** Tunnels opened and closed. */
export async function dials({ runtimes, rounds, quick }) {
  const samples = new Samples();
  const steps = Object.keys(counts).flatMap((concurrency) => Array(slices).fill(Number(concurrency)));
  const proxy = await startProxy();
  const setup = { proxy: proxy.address, login: false };
  const dial = (worker, concurrency) =>
    worker.ask("dials", {
      setup,
      concurrency,
      count: quick ? concurrency : counts[concurrency],
    });
  let load = { share: 0 };

  try {
    for (const runtime of runtimes) {
      await interleave(
        { runtime, rows, rounds, steps, samples },
        async (worker) => {
          for (let warming = 0; warming < 20; warming++) await dial(worker, 16);
        },
        async (worker, row, round, concurrency) => {
          const share = await proxy.loadDuring(async () => {
            const { cpu, time } = await dial(worker, concurrency);
            samples.add(
              runtime,
              row,
              round,
              cpu / slices,
              `cpu ${concurrency}`,
            );
            samples.add(
              runtime,
              row,
              round,
              time / slices,
              `time ${concurrency}`,
            );
          });
          if (share > load.share) load = { share, runtime, row, concurrency };
        },
      );
    }
  } finally {
    await proxy.end();
  }

  const table = (what) => {
    const all = Object.keys(counts).flatMap((concurrency) =>
      rows.map((row) => ({
        ...row,
        labels: [concurrency, ...row.labels],
        what: `${what} ${concurrency}`,
      }))
    );
    return grid(["at a time", "client"], all, runtimes, (runtime, row) => {
      const micros = samples.spread(runtime, row, row.what)?.median;
      if (micros === undefined) return "–";
      const figure = row.name === "floor" ? "1" : show(samples.ratio(runtime, row, floor, row.what));
      return `${figure}, ${micros.toFixed(0)} µs`;
    });
  };
  const over = (base) => (runtime) => samples.ratio(runtime, rowOf("ours"), base, "cpu 16");

  return {
    samples,
    sections: [{
      title: "CPU of the client for a dial",
      text: "CPU time of the client's process to open and close a tunnel: relative to the floor, and in microseconds.",
      table: table("cpu"),
    }, {
      title: "Time for a dial",
      text: "From the call to the open tunnel on loopback: relative to the floor, and in microseconds. " +
        `The proxy was busy for at most ${(load.share * 100).toFixed(0)} % of the time (${load.row.name} on ` +
        `${titles[load.runtime]}, ${load.concurrency} at a time)` +
        `${load.share > 0.9 ? ", so it may have slowed the others down" : ""}.`,
      table: table("time"),
    }],
    targets: [
      {
        name: "CPU for a dial / floor",
        brief: "CPU for a connect, relative to a handshake by hand",
        most: { node: 1.15, bun: 1.2, deno: 1.2 },
        figure: over(floor),
      },
      {
        name: "CPU for a dial / npm socks",
        brief: "CPU for a connect, relative to npm `socks`",
        most: { node: 0.85, bun: 0.65, deno: 0.7 },
        figure: over(rowOf("socks")),
      },
    ],
    plot: {
      file: "cpu.svg",
      title: "CPU for a dial, 16 at a time",
      unit: "µs",
      rows,
      value: (runtime, row) => samples.spread(runtime, row, "cpu 16"),
    },
  };
}
