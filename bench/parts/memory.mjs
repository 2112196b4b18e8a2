import { floor, rowOf } from "../support/clients.mjs";
import { start } from "../support/driven.mjs";
import { show, spread } from "../support/figures.mjs";
import { startProxy } from "../support/proxy.mjs";
import { Samples } from "../support/samples.mjs";
import { grid } from "../support/table.mjs";

const clients = ["ours", "floor", "direct", "socks"];
const starts = ["cold", "after a first fill"];

/** Tunnels that are open and idle. */
export async function memory({ runtimes, rounds, quick }) {
  const samples = new Samples();
  const count = quick ? 200 : 2_000;
  const servedCount = count / 2;
  const proxy = await startProxy();
  const setup = { proxy: proxy.address, login: false };
  const rows = clients.flatMap((client) => starts.map((start) => rowOf(client, [start])));
  const servers = ["ours-serve", "proxy-chain", "tinyproxy"].map((client) => rowOf(client));
  const isOn = ({ client }, runtime) => client !== "tinyproxy" || runtime === "node"; // the same on each

  try {
    for (const runtime of runtimes) {
      for (let round = 0; round < rounds; round++) {
        for (const row of rows) await once(runtime, row, round);
        for (const row of servers) {
          if (isOn(row, runtime)) await onceOfServer(runtime, row, round);
        }
      }
    }
  } finally {
    await proxy.end();
  }

  /** Each time in a process of its own, which has opened little before, or as many and closed them. */
  async function once(runtime, row, round) {
    let worker;
    try {
      worker = await start(runtime, "worker.mjs", [row.client]);
      const isFilled = row.labels[1] !== starts[0];
      const figures = await worker.ask("memory", { setup, count, isFilled });
      for (const [what, bytes] of Object.entries(figures)) {
        samples.add(runtime, row, round, bytes, what);
      }
    } catch (error) {
      samples.fail(runtime, row, error);
    } finally {
      await worker?.end();
    }
  }

  /** A local proxy. */
  async function onceOfServer(runtime, row, round) {
    let worker, before, after;
    try {
      worker = await start(runtime, "worker.mjs", [row.client]);
      const { port } = await worker.ask("listen", { setup });
      const load = await start("node", "worker.mjs", ["load"]);
      try {
        await load.ask("idle", { setup: { port }, count: servedCount / 2 });
        before = await worker.ask("resident", { setup });
        await load.ask("idle", { setup: { port }, count: servedCount });
        after = await worker.ask("resident", { setup });
      } finally {
        await load.end();
      }
      for (const what of ["resident", "heap"]) {
        if (after[what] === undefined) continue; // of tinyproxy
        const each = (after[what] - before[what]) / servedCount;
        samples.add(runtime, row, round, each, `served ${what}`);
      }
    } catch (error) {
      samples.fail(runtime, row, error);
    } finally {
      await worker?.end();
    }
  }

  const floorOf = (row) => rowOf("floor", [row.labels[1]]);
  const ours = (start) => rowOf("ours", [start]);
  /** In the rounds in which a tunnel of the floor added anything. */
  const ratio = (runtime, row) => {
    const [values, bases] = [row, floorOf(row)].map((row) => samples.of(runtime, row, "resident"));
    return values && bases &&
      spread(
        bases.flatMap((base, round) => base > 0 ? [values[round] / base] : []),
      );
  };
  /** KiB of live heap over that of the floor in the same round. */
  const overFloor = (runtime, row) => {
    const [values, bases] = [row, floorOf(row)].map((row) => samples.of(runtime, row, "heap"));
    return values && bases &&
      spread(values.map((value, round) => (value - bases[round]) / 1_024));
  };
  const kib = (runtime, row, what) => {
    const bytes = samples.spread(runtime, row, what)?.median;
    return bytes === undefined ? undefined : `${(bytes / 1_024).toFixed(1)} KiB`;
  };
  const table = (what, figure) =>
    grid(["client", "start"], rows, runtimes, (runtime, row) => {
      const size = kib(runtime, row, what);
      return size === undefined ? "–" : row.client === floor.client ? size : `${show(figure(runtime, row))}, ${size}`;
    });

  return {
    samples,
    sections: [{
      title: "Memory of an idle tunnel",
      text: `Resident memory that each of ${count} open tunnels adds to the client's process, after a garbage ` +
        `collection: relative to a tunnel of the floor, and in KiB. A process either is cold, or has opened ${count} ` +
        "tunnels and closed them once before: what it got from the system then is used again, and few KiB are added.",
      table: table("resident", ratio),
    }, {
      title: "Live heap of an idle tunnel",
      text: `Bytes of objects and their buffers that each of ${count} open tunnels adds, after a garbage collection: ` +
        "in KiB over a tunnel of the floor, and in KiB.",
      table: table("heap", overFloor),
    }, {
      title: "Memory of an idle tunnel of a local proxy",
      text: `Resident memory that each of ${servedCount} idle tunnels of CONNECT adds to a local proxy that has ` +
        `${servedCount / 2}, after a garbage collection, and live heap of JavaScript. tinyproxy has a thread for each.`,
      table: grid(
        ["local proxy"],
        servers,
        runtimes,
        (runtime, row) => {
          const [resident, heap] = ["resident", "heap"].map((what) => kib(runtime, row, `served ${what}`));
          return resident === undefined ? "–" : heap === undefined ? resident : `${resident}, ${heap}`;
        },
      ),
    }],
    targets: [
      {
        name: "KiB of an idle tunnel of the local proxy",
        most: { node: 20, bun: 20, deno: 20 },
        figure: (runtime) => {
          const bytes = samples.of(runtime, servers[0], "served resident");
          return bytes && spread(bytes.map((value) => value / 1_024));
        },
      },
      {
        name: "memory of an idle tunnel / floor, after a first fill",
        most: { node: 1.5, bun: 1.5, deno: 1.5 },
        figure: (runtime) => ratio(runtime, ours(starts[1])),
      },
      {
        name: "memory of an idle tunnel / floor, cold",
        most: { node: 1.3, bun: 1.5, deno: 1.3 },
        figure: (runtime) => ratio(runtime, ours(starts[0])),
      },
      {
        name: "KiB of live heap of an idle tunnel over the floor",
        most: { node: 0.6, bun: 0.6, deno: 0.6 },
        figure: (runtime) => overFloor(runtime, ours(starts[1])),
      },
    ],
  };
}
