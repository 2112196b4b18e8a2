import { rowOf } from "../support/clients.mjs";
import { start } from "../support/driven.mjs";
import { show } from "../support/figures.mjs";
import { startProxy } from "../support/proxy.mjs";
import { interleave } from "../support/rounds.mjs";
import { Samples } from "../support/samples.mjs";
import { grid } from "../support/table.mjs";

const small = 100;
const large = 64 * 2 ** 20;

/**
 * Every way to ask: over HTTP or HTTPS; each on a connection that is kept, each on its own, or 64 MiB on a kept one.
 * Those that are kept are opened before each step, since some libraries close them after four seconds. `count` requests
 * make a slice, and `slices` a figure of a round: what costs little needs many, before its code is as fast as it gets.
 */
const kinds = [false, true].flatMap((isSecure) =>
  [["keep-alive", 500, 4], ["a connection each", isSecure ? 32 : 64, 2], [
    "64 MiB",
    1,
    1,
  ]].map(
    ([words, count, slices]) => {
      const [isLarge, keepAlive] = [
        words === "64 MiB",
        words !== "a connection each",
      ];
      const bytes = isLarge ? large : small;
      const path = `${keepAlive ? "" : "/close"}/${bytes}`;
      return {
        name: `${isSecure ? "HTTPS" : "HTTP"}, ${words}`,
        words,
        isSecure,
        isLarge,
        keepAlive,
        count,
        slices,
        bytes,
        path,
      };
    },
  )
);

/** Of 64 MiB, for a look whether it works. */
const sixteenth = { bytes: large / 16, path: `/${large / 16}`, slices: 1 / 16 };

const everywhere = ["deno", "bun", "node"];
const fetched = (client, on) => rowOf(client, ["fetch"], { on, way: "fetch" });
const requested = (client, on) => rowOf(client, ["request"], { on, way: "request" });
const plain = (client, on = everywhere) => rowOf(client, [], { on });

/** What is compared with what: `base` is the row that the others are relative to. */
const groups = [{
  title: "Agents of `node:http`",
  rows: [
    plain("ours-agent"),
    plain("direct-agent"),
    plain("socks-proxy-agent"),
  ],
  base: () => "direct-agent",
  most: { "keep-alive": 1.1, "a connection each": 1.6 },
}, {
  title: "`fetch()`",
  rows: [
    plain("ours-fetch"),
    plain("direct-fetch"),
    fetched("fetch-socks", ["deno", "node"]),
    fetched("undici", ["deno", "node"]),
    plain("deno-fetch", ["deno"]),
    plain("bun-fetch", ["bun"]),
  ],
  base: (runtime) =>
    ({ deno: "deno-fetch", bun: "bun-fetch", node: "fetch-socks, fetch" })[
      runtime
    ],
  most: { "keep-alive": { deno: 1.3, bun: 2.5, node: 1 } },
}, {
  title: "`request()` of undici",
  rows: ["ours-undici", "direct-undici", "fetch-socks", "undici"].map((
    client,
  ) => requested(client, ["deno", "node"])),
  base: () => "fetch-socks, request",
  most: { "keep-alive": 1, "a connection each": 1, "64 MiB": 1 },
}, {
  title: "Local proxies",
  isServer: true,
  rows: [
    plain("ours-serve"),
    plain("proxy-chain"),
    plain("tinyproxy", ["node"]),
  ],
  base: () => "proxy-chain",
  most: { "keep-alive": 1, "a connection each": 1, "64 MiB": 1 },
}];

/** Requests over HTTP. */
export async function http({ runtimes, rounds, quick }) {
  const samples = new Samples();
  const steps = stepsOf(quick);
  const proxy = await startProxy();

  try {
    for (const runtime of runtimes) {
      for (const group of groups) {
        const rows = group.rows.filter(({ on }) => on.includes(runtime));
        const measured = group.isServer ? serving : asking;
        await measured(
          { runtime, rows, rounds, steps, samples },
          proxy.address,
        );
      }
    }
  } finally {
    await proxy.end();
  }
  return {
    samples,
    sections: groups.map((group) => sectionOf(group, samples, runtimes)),
    targets: groups.flatMap((group) => targetsOf(group, samples)),
  };
}

/** What each round does, one after the other; the slices of a figure are spread over it. */
function stepsOf(quick) {
  const all = kinds.flatMap((kind) => {
    const { isLarge, count, slices } = {
      ...kind,
      ...(quick && { count: 16, slices: 1 }),
    };
    if (isLarge) return [{ ...kind, ...(quick && sixteenth), concurrency: 1 }];
    return [
      { ...kind, slices, count, concurrency: 16 },
      {
        ...kind,
        slices,
        count: Math.ceil(count / 8),
        concurrency: 1,
        isAlone: true,
      },
    ];
  });
  return [0, 1, 2, 3].flatMap((slice) => all.filter(({ slices }) => slice < slices));
}

/** The steps that are done once before, so that all is compiled. */
function warmingOf({ steps }) {
  return steps.filter(({ concurrency }) => concurrency > 1);
}

/** Clients: what their process spends. */
async function asking(plan, proxy) {
  const ask = (worker, { way }, { keepAlive, ...step }) =>
    worker.ask("requests", {
      setup: { proxy, login: false, keepAlive, way },
      ...step,
    });
  await interleave(
    plan,
    async (worker, row) => {
      for (const step of warmingOf(plan)) await ask(worker, row, step);
    },
    async (worker, row, round, step) => {
      if (step.keepAlive) {
        await ask(worker, row, { ...step, count: step.concurrency });
      }
      record(plan, row, round, step, await ask(worker, row, step));
    },
  );
}

/** Local proxies: what their process spends on the requests of another one. */
async function serving(plan, proxy) {
  const loads = new Map();
  const ask = (row, step) =>
    loads.get(row).process.ask("requests", {
      setup: { port: loads.get(row).port },
      ...step,
    });
  const spent = async (worker) => (await worker.ask("cpu", { setup: { proxy } })).cpu;
  try {
    await interleave(
      plan,
      async (worker, row) => {
        const { port } = await worker.ask("listen", { setup: { proxy } });
        loads.set(row, {
          port,
          process: await start("bun", "worker.mjs", ["load"]),
        });
        for (const step of warmingOf(plan)) await ask(row, step);
      },
      async (worker, row, round, step) => {
        if (step.keepAlive) {
          await ask(row, { ...step, count: step.concurrency });
        }
        const before = await spent(worker);
        const { time } = await ask(row, step);
        record(plan, row, round, step, {
          cpu: (await spent(worker) - before) * 1_000 / step.count,
          time,
        });
      },
    );
  } finally {
    await Promise.all([...loads.values()].map(({ process }) => process.end()));
  }
}

function record(
  { runtime, samples },
  row,
  round,
  { name, isAlone, isLarge, slices },
  { cpu, time },
) {
  if (!isAlone) samples.add(runtime, row, round, cpu / slices, `${name} cpu`);
  if (isAlone || isLarge) {
    samples.add(runtime, row, round, time / slices, `${name} time`);
  }
}

function sectionOf({ title, rows, base, isServer }, samples, runtimes) {
  const all = kinds.flatMap((kind) => rows.map((row) => ({ ...row, labels: [kind.name, row.labels[0]], kind })));
  const whose = isServer ? "local proxy's" : "client's";
  const words = isServer
    ? "HTTP is a request for a whole URL, HTTPS one in a tunnel of CONNECT."
    : "An answer has 100 bytes or 64 MiB.";
  return {
    title,
    text: `CPU time of the ${whose} process for a request, relative to the row with 1; requests per second of CPU, ` +
      "16 at a time; and the time from the call to the end of the body, one at a time. For 64 MiB, throughput per " +
      `second of CPU and of time. ${words}`,
    table: grid(
      ["request", "client"],
      all,
      runtimes,
      (runtime, { kind, ...row }) => {
        const [cpu, time] = ["cpu", "time"].map((what) => samples.spread(runtime, row, `${kind.name} ${what}`)?.median);
        if (cpu === undefined) return "–";
        const than = { name: base(runtime) };
        const ratio = row.name === than.name ? "1" : show(samples.ratio(runtime, row, than, `${kind.name} cpu`));
        const rate = (micros) => (large / 2 ** 30 / micros * 1e6).toFixed(1);
        if (kind.isLarge) {
          return `${ratio}, ${rate(cpu)} GiB, ${rate(time)} GiB/s`;
        }
        return `${ratio}, ${(1e6 / cpu).toFixed(0)}, ${time.toFixed(0)} µs`;
      },
    ),
  };
}

function targetsOf({ title, rows: [ours], base, most }, samples) {
  return kinds.filter(({ words }) => most[words] !== undefined).map(
    ({ name, words }) => {
      const limit = most[words];
      return {
        name: `CPU for a request, ${title}, ${name}`,
        most: typeof limit === "number" ? Object.fromEntries(everywhere.map((runtime) => [runtime, limit])) : limit,
        figure: (runtime) => samples.ratio(runtime, ours, { name: base(runtime) }, `${name} cpu`),
      };
    },
  );
}
