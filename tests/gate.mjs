// All that a change has to pass, in one command: npm run gate [-- --no-suite]
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { denoFlags, reachesStd, root, run, runtimes } from "./support/tools.mjs";

const { values: options } = parseArgs({ options: { "no-suite": { type: "boolean", default: false } } });
const { deno, bun, node } = runtimes;
const { exports, publish, version } = JSON.parse(readFileSync(join(root, "deno.json"), "utf8"));
const std = denoFlags(await reachesStd());
const code = publish.include.filter((path) => path === "mod.ts" || !/[.]|^(LICENSE|docs)$/.test(path));
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
  await step("five of the mutations", process.execPath, ["tests/mutations.mjs", "--sample", "5"], { timeout: 600 });
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
    await types(tgz);
    const present = [machineNode(), node];
    for (const runtime of [...present, ...await otherNodes(present)]) await used(runtime, npm);
  }
  const bunDir = consumer("bun");
  if (await step("bun add of the tarball", bun, ["add", tgz], { cwd: bunDir })) await used(bun, bunDir);
  await frameworks(tgz);
  await nextProject(tgz);
}

/** What wraps globals, puts them into contexts of its own, or makes other modules of ours: test runners and bundlers. */
async function frameworks(tgz) {
  const cwd = consumer("frameworks");
  const runners = ["jest@30", "jest-environment-jsdom@30", "vitest@5"];
  const bundlers = ["rollup@4", "@rollup/plugin-node-resolve@16", "esbuild@0.28", "webpack@5", "vite@8"];
  const install = ["install", "--no-audit", "--no-fund", "--prefer-offline", tgz, ...runners, ...bundlers];
  if (!await step("npm install of test runners and bundlers", "npm", install, { cwd })) return;
  const jest = ["--experimental-vm-modules", "node_modules/jest/bin/jest.js", "--runInBand", "--transform", "{}"];
  for (const environment of ["node", "./jsdom.cjs"]) {
    const args = [...jest, "--testMatch", "**/*.test.?js", "--env", environment];
    await step(`Jest 30, ${environment}`, node, args, { cwd, expected: "2 passed, 2 total" });
  }
  for (const pool of ["forks", "threads", "vmThreads"]) {
    const args = ["node_modules/vitest/vitest.mjs", "run", "--globals", `--pool=${pool}`, "import.test"];
    await step(`Vitest 5, ${pool}`, node, args, { cwd, expected: "1 passed" });
  }
  if (!await step("bundles", node, ["bundle.mjs"], { cwd })) return;
  for (const bundler of ["esbuild", "rollup", "webpack", "vite"]) {
    const path = `bundles/${bundler}/fetch.mjs`;
    await step(`bundle of ${bundler} on Node`, node, [path], { cwd, expected: "fetched on Node" });
    await step(`bundle of ${bundler} on Bun`, bun, [path], { cwd, expected: "fetched on Bun" });
    const args = ["run", "--allow-all", "--no-check", "--no-lock", path];
    await step(`bundle of ${bundler} on Deno`, deno, args, { cwd, expected: "fetched on Deno" });
  }
}

/** Next.js wraps the global `fetch` of all that it serves. */
async function nextProject(tgz) {
  const cwd = consumer("next", "tests/gate/next");
  const install = [
    "install",
    "--no-audit",
    "--no-fund",
    "--prefer-offline",
    tgz,
    "next@16",
    "react@19",
    "react-dom@19",
  ];
  if (!await step("npm install of Next.js 16", "npm", install, { cwd })) return;
  const expected = "all went through the proxy";
  await step("Next.js 16, built and served", node, ["run.mjs"], { cwd, expected, timeout: 300 });
}

/** The types as users have them, and every example of the papers against them. */
async function types(tgz) {
  const cwd = consumer("types");
  const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const libraries = [
    "@grpc/grpc-js",
    "@opentelemetry/api",
    "axios",
    "got",
    "ioredis",
    "koffi",
    "node-fetch",
    "nodemailer",
    "pg",
    "playwright-core",
    "redis",
    "ssh2",
    "ws",
  ];
  const packages = [
    ...["20", "22", "24", "26"].map((version) => `node${version}@npm:@types/node@${version}`),
    ...["typescript@latest", "typescript-5.3@npm:typescript@5.3.3"],
    ...libraries.map((name) => `${name}@${devDependencies[name]}`),
    ...["nodemailer", "pg", "ssh2", "ws"].map((name) => `@types/${name}`),
    ...[`undici@${devDependencies.undici8}`.replace("@npm:undici", ""), `@types/bun@${devDependencies.bun}`],
  ];
  const install = ["install", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts", tgz, ...packages];
  if (!await step("npm install of TypeScript, and of what examples import", "npm", install, { cwd })) return;
  if (!await step("examples as files", node, ["tests/support/write_examples.ts", join(cwd, "examples")])) return;
  const own = ["types.ts", "examples/around.ts", "examples/own"];
  await compiled("TypeScript 5.3", cwd, "typescript-5.3", [
    { types: "node20", module: "node16", dom: true, include: own },
    { types: "node22", module: "nodenext", dom: false, include: own },
    { types: "node24", module: "bundler", dom: true, include: own },
  ]);
  const modules = ["node16", "nodenext", "bundler"];
  const ways = ["node20", "node22", "node24", "node26"].flatMap((types, i) =>
    [true, false].map((dom, j) => ({ types, module: modules[(2 * i + j) % 3], dom, include: own }))
  );
  await compiled("the newest TypeScript", cwd, "typescript", [
    ...ways,
    { types: "node24", module: "nodenext", include: ["examples/around.ts", "examples/libraries"] },
    { types: "@types/bun", module: "bundler", include: ["examples/around.ts", "examples/bun"] },
  ]);
  const ofDeno = readdirSync(join(cwd, "examples/deno")).map((file) => `examples/deno/${file}`);
  await step("types of the examples for Deno", deno, ["check", "--quiet", "examples/around.ts", ...ofDeno], { cwd });
}

/** Type checks in some ways, as one step; the declarations of others are checked only where they come from Node. */
async function compiled(name, cwd, compiler, ways) {
  let output = "";
  let seconds = 0;
  console.log(`--- types and examples: ${name}`);
  for (const { types, module, dom = false, include } of ways) {
    const way = `${types.replace("@types/", "")}-${module}-${dom ? "dom" : "no-dom"}`;
    const dir = join(cwd, "ways", compiler, `${way}-${include.length}`);
    mkdirSync(join(dir, "types"), { recursive: true });
    symlinkSync(join(cwd, "node_modules", types), join(dir, "types", types.startsWith("node") ? "node" : "bun"));
    const compilerOptions = {
      ...{ strict: true, noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true, verbatimModuleSyntax: true },
      ...{ noEmit: true, target: "es2022", lib: ["es2022", ...(dom ? ["dom", "dom.iterable"] : [])] },
      ...{ module: module === "bundler" ? "esnext" : module, moduleResolution: module, typeRoots: ["types"] },
      ...{ types: [types.startsWith("node") ? "node" : "bun"], skipLibCheck: !include.includes("types.ts") },
    };
    const config = { compilerOptions, include: include.map((path) => join(cwd, path)) };
    writeFileSync(join(dir, "tsconfig.json"), JSON.stringify(config));
    const result = await run(node, [`node_modules/${compiler}/bin/tsc`, "--project", dir], { cwd });
    seconds += result.seconds;
    if (!result.ok) output += `${way}:\n${result.output}\n`;
  }
  if (output !== "") print(output);
  results.push({ name: `types and examples: ${name}`, ok: output === "", seconds });
}

async function used(runtime, cwd) {
  const { output } = await run(runtime, ["--version"]);
  const name = `${runtime === bun ? "Bun" : "Node"} ${output.trim().replace("v", "")}`;
  const expected = `connected on ${name}`;
  await step(`import on ${name}`, runtime, ["import.mjs"], { cwd, expected });
  await step(`require on ${name}`, runtime, ["require.cjs"], { cwd, expected });
  await step(`fetch on ${name}`, runtime, ["fetch.mjs"], { cwd, expected: `fetched on ${name}` });
  const program = ["node_modules/@x/socks5/cli/main.js", "--version"];
  await step(`the command line on ${name}`, runtime, program, { cwd, expected: `socks5 ${version}` });
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
function consumer(name, files = "tests/gate") {
  const dir = join(scratch, name);
  mkdirSync(dir);
  cpSync(join(root, files), dir, { recursive: true });
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
  const pages = readdirSync(join(root, "docs")).filter((file) => file.endsWith(".md")).map((file) => `docs/${file}`);
  return [...code, "README.md", ...pages];
}

function print(output) {
  process.stdout.write(output);
}
