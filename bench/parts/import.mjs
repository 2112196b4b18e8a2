import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root, run, runtimes as commands } from "../../tests/support/tools.mjs";
import { imported, rowOf } from "../support/clients.mjs";
import { flags } from "../support/driven.mjs";
import { show, spread } from "../support/figures.mjs";
import { shuffled } from "../support/rounds.mjs";
import { installed } from "../support/packed.mjs";
import { Samples } from "../support/samples.mjs";
import { grid } from "../support/table.mjs";

const empty = { name: "empty", labels: ["an empty program"] };
const rows = imported.map((client) => rowOf(client));

/** Programs that import a package and end. */
export async function imports({ runtimes, rounds, quick }) {
  const samples = new Samples();
  const starts = quick ? 1 : 8;
  const folder = await installed();
  const program = (runtime, { name, client }) => {
    const path = join(folder, `${runtime}-${name}.mjs`);
    const source = runtime === "deno" ? pathToFileURL(join(root, "mod.ts")).href : "@x/socks5";
    writeFileSync(path, client ? `import ${JSON.stringify(client === "ours" ? source : client)};\n` : "");
    return path;
  };
  for (const runtime of runtimes) {
    const programs = [empty, ...rows].map((row) => ({ row, path: program(runtime, row) }));
    const start = async ({ row, path }) => {
      const { ok, seconds, output } = await run(commands[runtime], [...flags[runtime], path]);
      if (!ok) samples.fail(runtime, row, new Error(output.trim()));
      return seconds * 1_000;
    };
    for (const each of programs) await start(each); // fills caches
    for (let round = 0; round < rounds; round++) {
      const times = new Map(programs.map(({ row }) => [row, []]));
      for (let time = 0; time < starts; time++) {
        for (const each of shuffled(programs)) times.get(each.row).push(await start(each));
      }
      for (const [row, own] of times) {
        const over = row === empty ? own : own.map((time, index) => time - times.get(empty)[index]);
        samples.add(runtime, row, round, spread(over).median);
      }
    }
  }
  return {
    samples,
    sections: [{
      title: "Time to import",
      text: "How many milliseconds longer a program takes that imports the package and ends than an empty one: the " +
        `median of ${starts} starts in each round, with the packed package as npm installs it, on Deno with the module ` +
        "itself.",
      table: grid(
        ["package"],
        [empty, ...rows],
        runtimes,
        (runtime, row) => show(samples.spread(runtime, row), 1),
      ),
    }],
    targets: [{
      name: "ms to import",
      brief: "Time to import, in milliseconds",
      most: { node: 8, bun: 5, deno: 8 },
      digits: 1,
      figure: (runtime) => samples.spread(runtime, rows[0]),
    }],
  };
}
