// The suite on Deno, Bun and Node, one after another:
// npm test -- [--runtime deno|bun|node]... [--repeat N] [--timeout SECONDS] [--coverage] [part of a test file's path]...
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { standIns } from "./offline/stand_ins.mjs";
import { denoFlags, reachesStd, root, run, runtimes } from "./support/tools.mjs";

const leastCoverage = 95;
const coverageDir = join(root, ".coverage");

const { values: options, positionals: parts } = parseArgs({
  allowPositionals: true,
  options: {
    runtime: { type: "string", multiple: true, default: Object.keys(runtimes) },
    repeat: { type: "string", default: "1" },
    timeout: { type: "string", default: "300" },
    coverage: { type: "boolean", default: false },
  },
});

const files = readdirSync(join(root, "tests"), { recursive: true })
  .map((path) => `./tests/${path}`)
  .filter((path) => path.endsWith("_test.ts") && (parts.length === 0 || parts.some((part) => path.includes(part))))
  .sort();

const unknown = options.runtime.find((name) => !(name in runtimes));
if (unknown) throw new TypeError(`Cannot run the suite: --runtime is one of ${Object.keys(runtimes)}, not ${unknown}`);
// Without a file, each runner would choose for itself.
if (files.length === 0) throw new TypeError(`Cannot run the suite: no test file has ${parts.join(" or ")} in its path`);

const online = await reachesStd();
const missing = Object.keys(standIns());
const installed = missing.length === 0 ? "@std as installed" : `stand-ins for ${missing.join(", ")}`;

const runners = {
  deno: {
    std: online ? "@std from its registry" : "stand-ins for @std, whose registry is not reached",
    args: [
      // the libraries that the integrations are tried with are those that npm installed
      ...["test", "--allow-all", "--no-check", "--node-modules-dir=manual", ...denoFlags(online)],
      ...(options.coverage ? [`--coverage=${coverageDir}`, "--coverage-raw-data-only"] : []),
    ],
    summary: /^(ok|FAILED) \|.*$/m,
    counts: { passed: /(\d+) passed/, failed: /(\d+) failed/, skipped: /(\d+) ignored/ },
  },
  bun: {
    std: installed,
    args: ["test", "--preload", "./tests/offline/bun.mjs", "--timeout", "60000"],
    summary: /^ *\d+ pass$[^]*^Ran \d+ test.*$/m,
    counts: { passed: /(\d+) pass$/m, failed: /(\d+) fail$/m, skipped: /(\d+) skip$/m },
  },
  node: {
    std: installed,
    args: ["--test", "--test-reporter=spec", "--import", "./tests/offline/node.mjs"],
    summary: /^ℹ tests \d+$[^]*^ℹ duration_ms.*$/m,
    counts: { passed: /pass (\d+)/, failed: /fail (\d+)/, cancelled: /cancelled (\d+)/, skipped: /skipped (\d+)/ },
  },
};

if (options.coverage) rmSync(coverageDir, { recursive: true, force: true });

const rows = [];
for (let round = 1; round <= Number(options.repeat); round++) {
  for (const runtime of options.runtime) rows.push(await suite(runtime, round));
}

const covered = !options.coverage || !options.runtime.includes("deno") || await coverage();
const total = { passed: 0, failed: 0, skipped: 0 };
console.log("\n             passed  failed  skipped  seconds");
for (const { name, seconds, ...counts } of rows) {
  for (const key in total) total[key] += counts[key];
  const cells = [name.padEnd(12), ...Object.keys(total).map((key) => String(counts[key]).padStart(key.length + 1))];
  console.log(`${cells.join(" ")} ${seconds.toFixed(1).padStart(8)}`);
}
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed === 0 && total.passed > 0 && covered ? 0 : 1;

async function suite(runtime, round) {
  const { std, args, summary, counts } = runners[runtime];
  const version = (await run(runtimes[runtime], ["--version"])).output.match(/\d+\.\d+\.\d+/)?.[0];
  const name = `${runtime}${Number(options.repeat) > 1 ? ` (${round})` : ""}`;
  console.log(`\n=== ${name}: ${version}, ${files.length} files, ${std} ===\n`);
  const { ok, timedOut, output, seconds } = await run(runtimes[runtime], [...args, ...files], {
    timeout: Number(options.timeout),
    onOutput: (chunk) => process.stdout.write(chunk),
  });
  const closing = output.match(summary)?.[0] ?? "";
  const count = (pattern) => Number(closing.match(pattern)?.[1] ?? 0);
  const passed = count(counts.passed);
  const skipped = count(counts.skipped);
  let failed = count(counts.failed) + (counts.cancelled ? count(counts.cancelled) : 0);
  if (timedOut || (failed === 0 && (!ok || passed + skipped === 0))) {
    failed++;
    console.log(`\n${name} counts as failed: ${ok ? "no test ran" : output.trimEnd().split("\n").at(-1)}`);
  }
  return { name, passed, failed, skipped, seconds };
}

async function coverage() {
  const args = ["coverage", `--include=^${pathToFileURL(root)}src/`, coverageDir];
  const { output } = await run(runtimes.deno, args);
  // The last cell of the last row, which stands for all files.
  const percent = Number(output.split("|").at(-2));
  const enough = percent >= leastCoverage;
  console.log(`\n=== Lines of src/ that the suite runs through on Deno ===\n\n${output.trim()}`);
  if (!enough) console.log((await run(runtimes.deno, [...args, "--detailed"])).output);
  console.log(`\n${percent} % of lines, at least ${leastCoverage} % wanted`);
  return enough;
}
