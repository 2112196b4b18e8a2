// Breaks promises one after another, each in a copy of the tree, and looks whether the test that it names fails:
// npm run mutations -- [--sample N] [--seed S] [--jobs N] [part of a file, a test file or a promise]...
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { mutations, patternOf, staleness } from "./mutations/all.mjs";
import { reachesStd, root, run, runtimes, testArgs } from "./support/tools.mjs";

const TIMEOUT = 120; // seconds, of tests as they are

const { values: options, positionals: parts } = parseArgs({
  allowPositionals: true,
  options: {
    sample: { type: "string" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    jobs: { type: "string", default: "2" },
  },
});

const sample = options.sample === undefined ? Infinity : whole("sample");
const jobs = whole("jobs");
const meant = mutations.filter(({ file, tests, promise }) =>
  parts.length === 0 || parts.some((part) => [file, tests, promise].some((text) => text.includes(part)))
);
if (meant.length === 0) throw new TypeError(`Cannot find a mutation: none has ${parts.join(" or ")} in it`);
const isSample = sample < meant.length;
const chosen = isSample ? drawn(meant).slice(0, sample) : meant;
console.log(
  `${chosen.length} of ${mutations.length} mutations${isSample ? `, drawn by --seed ${options.seed}` : ""}\n`,
);

const args = testArgs(await reachesStd());
const filters = {
  node: (pattern) => [`--test-name-pattern=${pattern}`],
  deno: (pattern) => ["--filter", `/${pattern}/`],
  bun: (pattern) => ["-t", pattern],
  workerd: (pattern) => ["--only", pattern],
};

const counts = { killed: 0, survived: 0, stale: 0 };
let skipped = 0;
const groups = [...new Set(chosen.map(groupOf))].map((name) => chosen.filter((it) => groupOf(it) === name));
const scratch = mkdtempSync(join(tmpdir(), "socks5-mutations-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));
await Promise.all(Array.from({ length: jobs }, (_, i) => work(join(scratch, String(i)))));
const summary = Object.entries(counts).map(([what, count]) => `${count} ${what}`).join(", ");
console.log(`\n${summary}${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exitCode = counts.survived + counts.stale === 0 ? 0 : 1;

/** Tries one group of mutations after another, in a copy of the tree. */
async function work(tree) {
  const left = ["node_modules", ".git", ".coverage"];
  const isLeft = (name) => left.includes(name) || name.startsWith(".docs-"); // examples that run just now
  cpSync(root, tree, { recursive: true, filter: (path) => !isLeft(basename(path)) });
  symlinkSync(join(root, "node_modules"), join(tree, "node_modules"));
  for (let group; (group = groups.shift()) !== undefined;) await tryGroup(tree, group);
}

/** Runs the named tests as they are, then each with its mutation. */
async function tryGroup(tree, group) {
  const { tests, on } = group[0];
  const fresh = group.filter((mutation) => {
    const why = staleness(mutation, pathToFileURL(`${tree}/`));
    if (why !== undefined) told("stale", mutation, `\n${why}`);
    return why === undefined;
  });
  if (fresh.length === 0) return;
  const before = await runTests(tree, tests, fresh.map(({ name }) => name), on, TIMEOUT);
  const limit = 10 + 3 * before.seconds; // of a test: some mutations make it wait for ever
  for (const mutation of fresh) {
    const { promise, file, find, replace, name } = mutation;
    const results = resultsOf(before.output, name);
    if (results.includes("skipped")) {
      skipped++;
      console.log(`skipped   ${promise}: this machine has not what the test needs`);
      continue;
    }
    if (!results.includes("passed") || results.includes("failed")) {
      told("stale", mutation, `\nThe test does not pass as things are:\n${before.output}`);
      continue;
    }
    const path = join(tree, file);
    const source = readFileSync(path, "utf8");
    writeFileSync(path, source.replace(find, () => replace));
    const env = { SOCKS5_TEST_LIMIT: String(1_000 * limit) };
    const { output, timedOut, seconds } = await runTests(tree, tests, [name], on, limit + 10, env);
    writeFileSync(path, source);
    const isKilled = resultsOf(output, name).includes("failed") || timedOut;
    const shown = `\n${file}: this\n${find}\nbecame\n${replace}\nand no test failed:\n${output}`;
    told(isKilled ? "killed" : "survived", mutation, isKilled ? ` (${seconds.toFixed(1)} s)` : shown);
  }
}

/** Mutations of one group are tried by one test file on one runtime. */
function groupOf({ tests, on = "node" }) {
  return `${on} ${tests}`;
}

function runTests(tree, tests, names, on = "node", timeout, env) {
  const pattern = names.map(patternOf).join("|");
  return run(runtimes[on], [...args[on], ...filters[on](pattern), `./${tests}`], { cwd: tree, timeout, env });
}

/** How the tests of that name ended, as the runners print it. */
function resultsOf(output, name) {
  const pattern = new RegExp(patternOf(name));
  const lines = output.split("\n").filter((line) => pattern.test(line));
  return lines.map((line) =>
    line.includes("[skipped: ")
      ? "skipped"
      : /^\s*✖ |^\(fail\) |\.\.\. .*FAILED/.test(line)
      ? "failed"
      : /^\s*✔ |^\(pass\) |\.\.\. .*ok \(/.test(line)
      ? "passed"
      : undefined
  );
}

function told(what, { promise, tests, name, on = "node" }, details) {
  counts[what]++;
  console.log(`${what.padEnd(8)}  ${promise}${what === "killed" ? "" : `\n${tests} on ${on}: ${name}`}${details}`);
}

/** All in an order that follows from the seed; a mutation more or less does not change that of the others. */
function drawn(all) {
  const rank = ({ promise }) => createHash("sha256").update(`${options.seed} ${promise}`).digest("hex");
  return all.map((it) => ({ it, by: rank(it) })).sort((a, b) => (a.by < b.by ? -1 : 1)).map(({ it }) => it);
}

function whole(name) {
  const count = Number(options[name]);
  if (Number.isInteger(count) && count > 0) return count;
  throw new TypeError(`Cannot use --${name} as a whole number from 1: current value is ${options[name]}`);
}
