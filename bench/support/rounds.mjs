import { start } from "./driven.mjs";

/**
 * Measures rows on one runtime: `{ name, client }` and what the part adds. Each client has a process that lives through
 * all rounds. Each step of a round goes through all rows in another order, at random, since what ran just before leaves
 * its traces. A row that fails is left out from then on, and the samples say why.
 */
export async function interleave(
  { runtime, rows, rounds, steps = [undefined], samples, prefix },
  warm,
  measure,
) {
  const workers = new Map();
  let left = [...rows];
  const attempt = async (row, run) => {
    try {
      await run();
    } catch (error) {
      samples.fail(runtime, row, error);
      left = left.filter((other) => other !== row);
    }
  };
  try {
    for (const row of rows) {
      await attempt(row, async () => {
        const { client } = row;
        if (!workers.has(client)) {
          workers.set(
            client,
            await start(runtime, "worker.mjs", [client], prefix),
          );
        }
        await warm(workers.get(client), row);
      });
    }
    for (let turn = 0; turn < rounds * steps.length; turn++) {
      const step = steps[turn % steps.length];
      const round = Math.floor(turn / steps.length);
      for (const row of shuffled(left)) {
        await attempt(
          row,
          () => measure(workers.get(row.client), row, round, step),
        );
      }
    }
  } finally {
    await Promise.all([...workers.values()].map((worker) => worker.end()));
  }
}

/** In random order. */
export function shuffled(items) {
  return items.map((item) => ({ item, at: Math.random() })).sort((a, b) => a.at - b.at).map(({ item }) => item);
}
