// The suite on Deno, Bun, Node and workerd, as jobs of some files each, of which some run at a time:
// npm test -- [--quick] [--runtime deno|bun|node|workerd]... [--repeat N] [--timeout SECONDS] [--coverage] [--verbose] [part of a path]...
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { standIns } from "./offline/stand_ins.mjs";
import { reachesStd, root, run, runsOn, runtimes, testArgs, version } from "./support/tools.mjs";

const leastCoverage = 95;
const coverageDir = join(root, ".coverage");
/** How long the tests of each file took the last time, in milliseconds: by runtime and path. */
const timesFile = join(root, "node_modules", ".cache", "socks5-tests.json");
/** How long the tests of one job take, in milliseconds, and how many jobs a runtime has at most: each starts anew. */
const jobLength = 15_000;
const mostJobs = 8;

const { values: options, positionals: parts } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    runtime: { type: "string", multiple: true },
    repeat: { type: "string", default: "1" },
    timeout: { type: "string", default: "300" },
    coverage: { type: "boolean", default: false },
    verbose: { type: "boolean", default: false },
  },
});
let chosen = options.runtime ?? (options.quick ? ["node"] : Object.keys(runtimes));
const rounds = Number(options.repeat);

const unknown = chosen.find((name) => !(name in runtimes));
if (unknown) throw new TypeError(`Cannot run the suite: --runtime is one of ${Object.keys(runtimes)}, not ${unknown}`);
const files = readdirSync(join(root, "tests"), { recursive: true })
  .map((path) => `tests/${path.replaceAll("\\", "/")}`)
  .filter((path) => path.endsWith("_test.ts") && (parts.length === 0 || parts.some((part) => path.includes(part))))
  .sort();
// Without a file, each runner would choose for itself.
if (files.length === 0) throw new TypeError(`Cannot run the suite: no test file has ${parts.join(" or ")} in its path`);

const online = await reachesStd();
const args = testArgs(online);
const missing = Object.keys(standIns());
const installed = missing.length === 0 ? "@std as installed" : `stand-ins for ${missing.join(", ")}`;

const runners = {
  deno: {
    std: online ? "@std from its registry" : "stand-ins for @std, whose registry is not reached",
    args: [
      ...args.deno,
      // each job leaves files of its own there, which add up
      ...(options.coverage ? [`--coverage=${coverageDir}`, "--coverage-raw-data-only"] : []),
    ],
    passed: /^.* \.\.\. (ok|ignored) \(.*\)\n/gm,
    summary: /^(ok|FAILED) \|.*$/m,
    counts: { passed: /(\d+) passed/, failed: /(\d+) failed/, skipped: /(\d+) ignored/ },
  },
  bun: {
    std: installed,
    args: args.bun,
    passed: /^\((pass|skip)\) .*\n/gm,
    summary: /^ *\d+ pass$[^]*^Ran \d+ test.*$/m,
    counts: { passed: /(\d+) pass$/m, failed: /(\d+) fail$/m, skipped: /(\d+) skip$/m },
  },
  node: {
    std: installed,
    args: args.node,
    passed: /^[✔﹣] .*\n/gm,
    summary: /^ℹ tests \d+$[^]*^ℹ duration_ms.*$/m,
    counts: { passed: /pass (\d+)/, failed: /fail (\d+)/, cancelled: /cancelled (\d+)/, skipped: /skipped (\d+)/ },
  },
  workerd: {
    std: "stand-ins for @std",
    args: args.workerd,
    passed: /^[✔﹣] .*\n/gm,
    summary: /^ℹ tests \d+$[^]*^ℹ skipped \d+$/m,
    counts: { passed: /pass (\d+)/, failed: /fail (\d+)/, skipped: /skipped (\d+)/ },
  },
};

for (const runtime of [...chosen]) {
  const found = await version(runtime);
  console.log(`${runtime.padEnd(7)} ${found.version ?? `is skipped: ${found.missing}`}, ${runners[runtime].std}`);
  if (found.version === undefined) chosen = chosen.filter((it) => it !== runtime);
}
if (options.coverage) rmSync(coverageDir, { recursive: true, force: true });

const times = readTimes();
const logs = mkdtempSync(join(tmpdir(), "socks5-"));
const rows = Object.fromEntries(chosen.map((name) => [name, { passed: 0, failed: 0, skipped: 0, seconds: 0 }]));
/** How long each file took on each runtime in this run; a line is printed once it has run on all of them. */
const took = Object.fromEntries(files.map((file) => [file, {}]));
const failures = [];
const start = performance.now();
const queue = Array.from({ length: rounds }, () => chosen.flatMap(jobs)).flat().sort((a, b) => b.weight - a.weight);
console.log(`${files.length} files, ${queue.length} jobs; seconds of the tests of each file:\n`);
// one more than there are processors: many a test waits
await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) + 1 }, async () => {
  for (let job = queue.shift(); job !== undefined; job = queue.shift()) await runJob(job);
}));
rmSync(logs, { recursive: true, force: true });
mkdirSync(dirname(timesFile), { recursive: true });
writeFileSync(timesFile, JSON.stringify(times));

for (const failure of failures) console.log(failure);
const covered = !options.coverage || !chosen.includes("deno") || await coverage();
const total = { passed: 0, failed: 0, skipped: 0 };
console.log("\n             passed  failed  skipped  seconds");
for (const [name, { seconds, ...counts }] of Object.entries(rows)) {
  for (const key in total) total[key] += counts[key];
  const cells = [name.padEnd(12), ...Object.keys(total).map((key) => String(counts[key]).padStart(key.length + 1))];
  console.log(`${cells.join(" ")} ${seconds.toFixed(1).padStart(8)}`);
}
console.log(`\nin ${((performance.now() - start) / 1_000).toFixed(1)} s`);
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed === 0 && total.passed > 0 && covered ? 0 : 1;

/** The files in jobs of about the same length for one runtime. */
function jobs(runtime) {
  const weights = files.filter((file) => runsOn(runtime, file)).map((file) => ({
    file,
    weight: times[runtime]?.[file] ?? statSync(join(root, file)).size / 8,
  }));
  const sum = weights.reduce((sum, { weight }) => sum + weight, 0);
  const jobs = Array.from({ length: Math.min(weights.length, mostJobs, Math.ceil(sum / jobLength)) }, () => {
    return { runtime, weight: 0, files: [] };
  });
  for (const { file, weight } of weights.sort((a, b) => b.weight - a.weight)) {
    const lightest = jobs.reduce((a, b) => b.weight < a.weight ? b : a);
    lightest.weight += weight;
    lightest.files.push(file);
  }
  return jobs;
}

async function runJob({ runtime, files }) {
  const { args, passed: passedLines, summary, counts } = runners[runtime];
  const log = join(logs, `${performance.now()}`);
  writeFileSync(log, "");
  const { ok, timedOut, output, seconds } = await run(runtimes[runtime], [...args, ...files.map((it) => `./${it}`)], {
    timeout: Number(options.timeout),
    env: { SOCKS5_TEST_LOG: log, ...(options.quick ? { SOCKS5_TEST_QUICK: "1" } : {}) },
  });
  const closing = output.match(summary)?.[0] ?? "";
  const count = (pattern) => Number(closing.match(pattern)?.[1] ?? 0);
  const ran = readLog(log);
  const silent = files.filter((file) => !(file in ran));
  let failed = count(counts.failed) + (counts.cancelled ? count(counts.cancelled) : 0);
  const problem = timedOut
    ? `the job did not end within ${options.timeout} s`
    : closing === ""
    ? "the process ended in the middle of a test"
    : silent.length > 0
    ? `no test ran of ${silent.join(", ")}`
    : failed === 0 && !ok
    ? "the process failed"
    : undefined;
  if (problem !== undefined) failed++;
  const row = rows[runtime];
  row.passed += count(counts.passed);
  row.failed += failed;
  row.skipped += count(counts.skipped);
  row.seconds += seconds;
  if (options.verbose) console.log(`=== ${runtime} ===\n\n${output}`);
  else if (failed > 0) {
    const end = problem === undefined ? "" : `${runtime} counts as failed: ${problem}\n`;
    failures.push(`\n=== ${runtime}: ${files.join(" ")} ===\n\n${output.replace(passedLines, "").trim()}\n${end}`);
  }
  for (const file of files) {
    if (failed === 0 && !options.quick) (times[runtime] ??= {})[file] = Math.round(ran[file]);
    tell(file, runtime, ran[file]);
  }
}

/** Prints the line of a file once all have run it. */
function tell(file, runtime, ms = NaN) {
  (took[file][runtime] ??= []).push(ms);
  const all = chosen.filter((name) => runsOn(name, file));
  if (!all.every((name) => took[file][name]?.length === rounds)) return;
  const seconds = (name) => took[file][name].reduce((a, b) => a + b) / 1_000;
  const cells = all.map((name) => `${name} ${Number.isNaN(seconds(name)) ? "-" : seconds(name).toFixed(1)}`);
  console.log(`${file.slice("tests/".length).padEnd(36)} ${cells.join("  ")}`);
}

/** How long the tests of each file took, in milliseconds, as `support/test.ts` has noted them. */
function readLog(log) {
  const ran = {};
  for (const line of readFileSync(log, "utf8").split("\n")) {
    const location = line.replaceAll("\\", "/");
    const file = files.find((it) => location.endsWith(`/${it}`));
    if (file !== undefined) ran[file] = (ran[file] ?? 0) + parseFloat(line);
  }
  return ran;
}

function readTimes() {
  try {
    return JSON.parse(readFileSync(timesFile, "utf8"));
  } catch {
    return {}; // of a run before this one
  }
}

async function coverage() {
  const args = ["coverage", `--include=^${pathToFileURL(root)}src/`, coverageDir];
  const { output } = await run(runtimes.deno, args);
  // The last cell of the last row, which stands for all files.
  const percent = Number(output.split("|").at(-2));
  const enough = percent >= leastCoverage;
  if (!enough || options.verbose) console.log((await run(runtimes.deno, [...args, "--detailed"])).output);
  console.log(`\nThe suite runs through ${percent} % of the lines of src/ on Deno, at least ${leastCoverage} % wanted`);
  return enough;
}
