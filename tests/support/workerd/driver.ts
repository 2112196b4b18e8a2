// Runs test files within workerd, and prints as the runner of Node does:
// node tests/support/workerd/driver.ts [--only PATTERN] [file]...
import { appendFileSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { certificates } from "../certificates.ts";
import { bundle } from "./bundle.ts";
import { serveFixtures } from "./fixtures.ts";
import { startWorkerd } from "./workerd.ts";

/** Milliseconds that a test may take. */
const LIMIT = Number(process.env.SOCKS5_TEST_LIMIT ?? 50_000);

interface Registered {
  readonly file: string;
  readonly name: string;
  readonly skip: string | false;
}

const { values: { only = "" }, positionals } = parseArgs({
  options: { only: { type: "string" } },
  allowPositionals: true,
});
const files = positionals.map((file) => file.replace(/^\.\//, ""));
const counts = { pass: 0, fail: 0, skipped: 0 };
const fixtures = await serveFixtures();
const workerd = await startWorkerd({
  main: await bundle(files),
  bindings: { DRIVER: fixtures.url },
  trusted: [certificates().authority.cert],
});
try {
  const tests = await (await fetch(workerd.url)).json() as Registered[];
  for (const [i, { file, name, skip }] of tests.entries()) {
    if (!new RegExp(only).test(name)) continue;
    if (skip) {
      counts.skipped++;
      note(file, 0);
      console.log(`﹣ ${name} # ${skip}`);
      continue;
    }
    const start = performance.now();
    const errors = await outcome(i);
    note(file, performance.now() - start);
    counts[errors.length === 0 ? "pass" : "fail"]++;
    console.log(`${errors.length === 0 ? "✔" : "✖"} ${name}`);
    for (const error of errors) console.log(error.replace(/^/gm, "  "));
  }
} finally {
  await workerd.stop();
  await fixtures.close();
}
const tests = counts.pass + counts.fail + counts.skipped;
for (const [name, count] of Object.entries({ tests, ...counts })) console.log(`ℹ ${name} ${count}`);
process.exit(counts.fail === 0 ? 0 : 1);

/** What went wrong in a test. */
async function outcome(i: number): Promise<string[]> {
  try {
    const response = await fetch(`${workerd.url}${i}`, { signal: AbortSignal.timeout(LIMIT) });
    const body = await response.text();
    return response.ok ? (JSON.parse(body) as { errors: string[] }).errors : [body];
  } catch (error) {
    return [`${(error as Error).cause ?? error}`];
  }
}

/** Tells tests/run.mjs which file a test is of and how long it took. */
function note(file: string, ms: number): void {
  const log = process.env.SOCKS5_TEST_LOG;
  if (log) appendFileSync(log, `${ms.toFixed(1)} /${file}\n`);
}
