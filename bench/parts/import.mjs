import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root, run, runtimes as commands } from "../../tests/support/tools.mjs";
import { imported, rowOf } from "../support/clients.mjs";
import { flags } from "../support/driven.mjs";
import { show, spread } from "../support/figures.mjs";
import { shuffled } from "../support/rounds.mjs";
import { installed } from "../support/packed.mjs";
import { startProxy } from "../support/proxy.mjs";
import { Samples } from "../support/samples.mjs";
import { grid } from "../support/table.mjs";

const empty = { name: "empty", labels: ["an empty program"] };
const rows = imported.map((client) => rowOf(client));
const connecting = ["ours", "floor", "socks"].map((client) => rowOf(client, ["connect"]));

/** Programs that import a package and end, and such that also connect once. */
export async function imports({ runtimes, rounds, quick }) {
  const samples = new Samples();
  const starts = quick ? 1 : 8;
  const folder = await installed();
  const proxy = await startProxy();
  try {
    for (const runtime of runtimes) {
      const programs = [empty, ...rows, ...connecting].map((row) => {
        const path = join(
          folder,
          `${runtime}-${row.name.replace(", ", "-")}.mjs`,
        );
        writeFileSync(path, programOf(runtime, row, proxy.address));
        return { row, path };
      });
      await measure({ runtime, programs, rounds, starts, samples });
    }
  } finally {
    await proxy.end();
  }
  const table = (shown) =>
    grid(
      ["package"],
      [empty, ...shown],
      runtimes,
      (runtime, row) => show(samples.spread(runtime, row), 1),
    );
  const [connects, , connectsBySocks] = connecting;
  const how =
    `the median of ${starts} starts in each round, with the packed package as npm installs it, on Deno with ` +
    "the module itself.";
  return {
    samples,
    sections: [{
      title: "Time to import",
      text: `How many milliseconds longer a program takes that imports the package and ends than an empty one: ${how}`,
      table: table(rows),
    }, {
      title: "Time to import and connect once",
      text: `The same for a program that also opens a tunnel and closes it: ${how}`,
      table: table(
        connecting.map((row) => ({ ...row, labels: [row.labels[0]] })),
      ),
    }],
    targets: [{
      name: "ms to import",
      brief: "Time to import, in milliseconds",
      most: { node: 8, bun: 5, deno: 8 },
      digits: 1,
      figure: (runtime) => samples.spread(runtime, rows[0]),
    }, {
      name: "ms to import and connect once",
      most: { node: 72 },
      digits: 1,
      figure: (runtime) => samples.spread(runtime, connects),
    }, {
      name: "ms to import and connect once / npm socks",
      most: { bun: 1, deno: 1 },
      figure: (runtime) => samples.ratio(runtime, connects, connectsBySocks),
    }],
  };
}

async function measure({ runtime, programs, rounds, starts, samples }) {
  const start = async ({ row, path }) => {
    const { ok, seconds, output } = await run(commands[runtime], [
      ...flags[runtime],
      path,
    ]);
    if (!ok) samples.fail(runtime, row, new Error(output.trim()));
    return seconds * 1_000;
  };
  for (const each of programs) await start(each); // fills caches
  for (let round = 0; round < rounds; round++) {
    const times = new Map(programs.map(({ row }) => [row, []]));
    for (let time = 0; time < starts; time++) {
      for (const each of shuffled(programs)) {
        times.get(each.row).push(await start(each));
      }
    }
    for (const [row, own] of times) {
      const over = row === empty ? own : own.map((time, index) => time - times.get(empty)[index]);
      samples.add(runtime, row, round, spread(over).median);
    }
  }
}

function programOf(runtime, row, proxy) {
  const { client } = row;
  if (client === undefined) return "";
  const specifier = client !== "ours" ? client : runtime === "deno" ? urlOf("mod.ts") : "@x/socks5";
  if (!connecting.includes(row)) {
    return `import ${JSON.stringify(specifier)};\n`;
  }
  const setup = JSON.stringify({ proxy, login: false });
  if (client !== "ours") {
    return `import { open } from ${JSON.stringify(urlOf(`bench/clients/${client}.mjs`))};
const client = open(${setup});
client.close(await client.dial("echo.bench:80"));
`;
  }
  return `import { Socks5Client } from ${JSON.stringify(specifier)};
const client = new Socks5Client("socks5h://${proxy.hostname}:${proxy.open}");
(await client.connect("echo.bench:80")).close();
`;
}

function urlOf(path) {
  return pathToFileURL(join(root, path)).href;
}
