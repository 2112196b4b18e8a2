// The benchmark: deno task bench --help
import { writeFileSync } from "node:fs";
import process from "node:process";
import { bulk } from "./parts/bulk.mjs";
import { dials } from "./parts/dials.mjs";
import { growth } from "./parts/growth.mjs";
import { http } from "./parts/http.mjs";
import { imports } from "./parts/import.mjs";
import { memory } from "./parts/memory.mjs";
import { size } from "./parts/size.mjs";
import { trips } from "./parts/trips.mjs";
import { help, options } from "./support/options.mjs";
import { machine, markdownOf, publish, targetsOf } from "./support/report.mjs";

const parts = {
  dials,
  trips,
  bulk,
  http,
  memory,
  growth,
  import: imports,
  size,
};

const chosen = choose();
const where = await machine(chosen);
console.log(where);
const results = {};
const broken = [];
for (const part of chosen.parts) {
  const start = performance.now();
  try {
    results[part] = await parts[part](chosen);
    show(part, results[part]);
  } catch (error) {
    broken.push(`${part}: ${error.message}`);
  }
  console.log(
    `\n(${part}: ${((performance.now() - start) / 1_000).toFixed(0)} s)`,
  );
}
console.log(`\n${targetsOf(Object.values(results), chosen.runtimes)}`);
if (chosen.json) {
  writeFileSync(chosen.json, JSON.stringify({ where, results }, null, 2));
}
if (broken.length > 0) {
  console.log(`\nThese parts did not run:\n${broken.join("\n")}`);
} else if (chosen.write) {
  await publish(Object.values(results), chosen.runtimes, where);
}
process.exitCode = broken.length > 0 ? 1 : 0;

function choose() {
  try {
    const chosen = options(process.argv.slice(2));
    if (!chosen.help) return chosen;
    process.stdout.write(help);
    process.exit(0);
  } catch (error) {
    console.error(error.message);
    process.exit(2);
  }
}

/** Prints what a part found; a row of the package or of a reference that could not be measured breaks the part. */
function show(part, result) {
  console.log(`\n${markdownOf(result)}`);
  const { failures } = result.samples;
  for (
    const note of [
      ...result.notes ?? [],
      ...Object.entries(failures).map(([row, why]) => `${row}: ${why}`),
    ]
  ) {
    console.log(`\nnot measured: ${note}`);
  }
  const needed = Object.keys(failures).filter((row) => /, (ours|floor|direct|empty)\b/.test(row));
  if (needed.length > 0) broken.push(`${part}: ${needed.join("; ")}`);
}
