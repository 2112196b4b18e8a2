// All that a change has to pass, in one command: npm run gate [-- --no-suite]
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { denoFlags, reachesStd, root, run, runtimes } from "./support/tools.mjs";

const { values: options } = parseArgs({ options: { "no-suite": { type: "boolean", default: false } } });
const { deno, bun, node } = runtimes;
const { exports, publish } = JSON.parse(readFileSync(join(root, "deno.json"), "utf8"));
const std = denoFlags(await reachesStd());
const code = publish.include.filter((path) => path === "mod.ts" || (!path.includes(".") && path !== "LICENSE"));
const silent = code.filter((path) => path !== "cli");

const results = [];
const scratch = mkdtempSync(join(tmpdir(), "socks5-"));
try {
  await step("format", deno, ["fmt", "--check"]);
  await step("lint", deno, ["lint"]);
  await step("lint: the package does not print", deno, ["lint", "--rules-include=no-console", ...silent]);
  await step("types", deno, ["check", "--quiet", ...std, ...code, "tests", "examples"]);
  await step("types of the examples in docs", deno, ["check", "--quiet", "--doc-only", ...std, ...docs()]);
  await step("docs of every export", deno, ["doc", "--lint", ...Object.values(exports)]);
  if (!options["no-suite"]) {
    await step("suite", process.execPath, ["tests/run.mjs", "--coverage"], { timeout: 900, onOutput: print });
  }
  for (const file of readdirSync(join(root, "examples")).filter((file) => file.endsWith(".ts"))) {
    const path = `examples/${file}`;
    await step(`${path} on Deno`, deno, ["run", "--allow-all", "--no-check", "--no-lock", path], { timeout: 60 });
    await step(`${path} on Bun`, bun, [path], { timeout: 60 });
    await step(`${path} on Node`, node, [path], { timeout: 60 });
  }
  await step("publish: dry run without slow types", deno, ["publish", "--dry-run", "--allow-dirty"]);
  await tarball();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

const failed = results.filter(({ ok }) => !ok).length;
console.log("");
for (const { name, ok, seconds } of results) {
  console.log(`${ok ? "ok    " : "FAILED"} ${seconds.toFixed(1).padStart(6)} s  ${name}`);
}
console.log(`\n${results.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

/** Runs one command, which has to print what is `expected`; the rest of what it prints is shown if it fails. */
async function step(name, command, args, { expected = "", ...options } = {}) {
  console.log(`--- ${name}`);
  const { output, seconds, ...result } = await run(command, args, options);
  const ok = result.ok && output.includes(expected);
  if (!ok && !options.onOutput) print(output);
  results.push({ name, ok, seconds });
  return ok;
}

/** What users install: packed, installed, and used for a connection by `import` and by `require`. */
async function tarball() {
  const tgz = join(scratch, "package.tgz");
  if (!await step("pack", deno, ["pack", "--allow-dirty", "--output", tgz])) return;
  const npm = consumer("npm");
  // The types are checked as on Node, where somebody who uses node:net has these.
  const install = ["install", "--no-audit", "--no-fund", "--prefer-offline", tgz, "@types/node@24"];
  if (await step("npm install of the tarball", "npm", install, { cwd: npm })) {
    await step("types of the tarball", deno, ["check", "--quiet", "types.ts"], { cwd: npm });
    const present = [machineNode(), node];
    for (const runtime of [...present, ...await otherNodes(present)]) await used(runtime, npm);
  }
  const bunDir = consumer("bun");
  if (await step("bun add of the tarball", bun, ["add", tgz], { cwd: bunDir })) await used(bun, bunDir);
}

async function used(runtime, cwd) {
  const { output } = await run(runtime, ["--version"]);
  const name = `${runtime === bun ? "Bun" : "Node"} ${output.trim().replace("v", "")}`;
  const expected = `connected on ${name}`;
  await step(`import on ${name}`, runtime, ["import.mjs"], { cwd, expected });
  await step(`require on ${name}`, runtime, ["require.cjs"], { cwd, expected });
  await step(`fetch on ${name}`, runtime, ["fetch.mjs"], { cwd, expected: `fetched on ${name}` });
}

/** Those Nodes that are supported and not present, oldest first. */
async function otherNodes(present) {
  const versions = await Promise.all(present.map(async (path) => (await run(path, ["--version"])).output.slice(1, 3)));
  const nodes = [];
  for (const version of ["20", "22", "24", "26"].filter((it) => !versions.includes(it))) {
    const cwd = join(scratch, `node-${version}`);
    mkdirSync(cwd);
    writeFileSync(join(cwd, "package.json"), '{ "private": true, "allowScripts": { "node": true } }');
    const install = ["install", "--no-audit", "--no-fund", `node@${version}`];
    if (await step(`npm install of Node ${version}`, "npm", install, { cwd })) {
      nodes.push(join(cwd, "node_modules/.bin/node"));
    }
  }
  return nodes;
}

/** A project of somebody who uses the package. */
function consumer(name) {
  const dir = join(scratch, name);
  mkdirSync(dir);
  cpSync(join(root, "tests/gate"), dir, { recursive: true });
  writeFileSync(join(dir, "package.json"), '{ "private": true, "type": "module" }');
  writeFileSync(join(dir, "deno.json"), '{ "nodeModulesDir": "manual", "lock": false }');
  return dir;
}

/** The Node that is installed here, not the one that npm puts before it in the path. */
function machineNode() {
  const own = dirname(node);
  const dirs = (process.env.PATH ?? "").split(delimiter).filter((dir) => dir !== own);
  return dirs.map((dir) => join(dir, "node")).find((path) => existsSync(path)) ?? process.execPath;
}

function docs() {
  return [...code, "README.md"].filter((path) => existsSync(join(root, path)));
}

function print(output) {
  process.stdout.write(output);
}
