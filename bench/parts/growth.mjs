import { show } from "../support/figures.mjs";
import { interleave } from "../support/rounds.mjs";
import { Samples } from "../support/samples.mjs";
import { grid } from "../support/table.mjs";

/** What there is more and more of, and what is measured then: the figures of a scene of clients/in_memory.mjs. */
const scenes = [
  ...["round-robin", "random", "least-open", "fastest"].map((balance) => ({
    scene: balance,
    of: `proxies, balance ${balance}`,
    figures: { connect: "connect and close" },
  })),
  {
    scene: "session",
    of: "proxies, a session that was there before",
    figures: { connect: "connect and close" },
  },
  {
    scene: "new sessions",
    of: "proxies, each connect with a new session",
    figures: { connect: "connect and close" },
    isOnce: true,
  },
  {
    scene: "first works",
    of: "proxies, the first works",
    figures: { connect: "connect and close" },
  },
  {
    scene: "last works",
    of: "proxies, all but the last cool down",
    figures: { connect: "connect and close" },
  },
  {
    scene: "all dead",
    of: "proxies, all are dead",
    figures: { attempt: "an attempt" },
  },
  {
    scene: "deadlines apart",
    of: "waiting connects, each with its own deadline",
    figures: { connect: "connect", end: "its end" },
    isWaiting: true,
  },
  {
    scene: "deadlines together",
    of: "waiting connects, all with the same deadline",
    figures: { connect: "connect", end: "its end" },
    isWaiting: true,
  },
  {
    scene: "waiting at a proxy",
    of: "connects that wait for a place at a proxy",
    figures: { served: "one is served" },
  },
  {
    scene: "targets",
    of: "targets",
    figures: { connect: "connect and close" },
  },
  {
    scene: "blocked hosts",
    of: "host names for which a proxy of ten is suspended",
    figures: { connect: "connect and close", suspend: "`suspend()`" },
  },
  {
    scene: "open tunnels",
    of: "open tunnels",
    figures: { connect: "connect and close", stats: "`stats()`" },
  },
  {
    scene: "idle tunnels",
    of: "idle tunnels",
    figures: { hit: "one is used again", eviction: "one is evicted" },
  },
];

/** What an operation costs with many of something. */
export async function growth({ runtimes, rounds, quick }) {
  const samples = new Samples();
  const sizesOf = ({ isWaiting }) => quick ? [1, 100] : isWaiting ? [1, 100, 10_000, 100_000] : [1, 100, 10_000];
  const count = quick ? 50 : 1_000;
  const rowOf = (scene, size) => ({
    ...scene,
    name: `ours, ${scene.of}, ${size}`,
    client: "in_memory",
    size,
  });
  const rows = scenes.flatMap((scene) => sizesOf(scene).map((size) => rowOf(scene, size)));
  const grow = (worker, { scene, size }) => worker.ask("grow", { setup: {}, scene, size, count });

  for (const runtime of runtimes) {
    await interleave(
      { runtime, rows, rounds: Math.min(rounds, 3), samples },
      (worker, row) => row.size === 100 && grow(worker, row),
      async (worker, row, round) => {
        for (
          const [figure, micros] of Object.entries(await grow(worker, row))
        ) {
          samples.add(runtime, row, round, micros, figure);
        }
      },
    );
  }

  const ratio = (runtime, row) => samples.ratio(runtime, row, rowOf(row, 1), row.figure);
  const figures = scenes.flatMap((scene) =>
    Object.entries(scene.figures).flatMap(([figure, what]) =>
      sizesOf(scene).map((size) => ({
        ...rowOf(scene, size),
        figure,
        labels: [scene.of, what, `${size}`.replace(/(?=000$)/, " ")],
      }))
    )
  );
  const cell = (runtime, row) => {
    const micros = samples.spread(runtime, row, row.figure)?.median;
    if (micros === undefined) return "–";
    return `${row.size === 1 ? "1" : show(ratio(runtime, row))}, ${micros.toFixed(micros < 10 ? 1 : 0)} µs`;
  };
  const greatest = (runtime) =>
    figures.filter(({ size, isOnce }) => size > 1 && !isOnce).map((row) => ratio(runtime, row))
      .filter((figure) => figure !== undefined)
      .sort((a, b) => a.median - b.median).at(-1);

  return {
    samples,
    sections: [{
      title: "CPU with many of something",
      text:
        "CPU time of an operation of one client that has as many of something: relative to a client that has one, " +
        "and in microseconds, the median of up to three rounds. The connections are in memory, without sockets. With several proxies a connect also has " +
        "the timer of `attemptDelay`. The first connect of a session compares all proxies, once: what it finds is remembered.",
      table: grid(
        ["of what", "operation", "how many"],
        figures,
        runtimes,
        cell,
      ),
    }],
    targets: [{
      name: "CPU with many of something / with one, the greatest",
      most: { node: 5, bun: 5, deno: 5 },
      figure: greatest,
    }],
  };
}
