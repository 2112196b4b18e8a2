// What tests/run.mjs, tests/mutations.mjs and tests/gate.mjs share. They start on the machine's own Node, hence plain JavaScript.
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";

export const root = fileURLToPath(new URL("../..", import.meta.url));

const bin = join(root, "node_modules", ".bin");

/** The runtimes that the project brings along. Workers are run by a program on Node. */
export const runtimes = {
  deno: join(bin, "deno"),
  bun: join(bin, "bun"),
  node: join(bin, "node"),
  workerd: join(bin, "node"),
};

/** What of the suite runs within workerd besides `tests/workers/`: what needs no socket, file or program of its own. */
const IN_WORKERD = new RegExp(`^tests/(${
  [
    "config/(options|proxy_list|spoiled)",
    "offline/offline",
    "pool/\\w+",
    "protocol/\\w+",
    "proxies/(host_bans|many|number_tree|places|rounds|waiters)",
    "request/failover",
    "testing/fake",
    "udp/receive_queue",
  ].join("|")
})_test\\.ts$`);

/** Whether a test file is for that runtime. */
export function runsOn(runtime, file) {
  const isForWorkers = file.startsWith("tests/workers/");
  return runtime === "workerd" ? isForWorkers || IN_WORKERD.test(file) : !isForWorkers;
}

/** The version of a runtime, or why it cannot run here: workerd is there for few systems. */
export async function version(runtime) {
  if (runtime !== "workerd") {
    return { version: (await run(runtimes[runtime], ["--version"])).output.match(VERSION)?.[0] };
  }
  const { output } = await run(runtimes.node, ["-p", 'process.stdout.write(require("workerd").default), ""']);
  const { ok, output: said } = await run(output.trim(), ["--version"]);
  return ok
    ? { version: said.match(VERSION)?.[0] }
    : { missing: `workerd does not run here (${said.trim().slice(0, 200)})` };
}

const VERSION = /\d+[.-]\d+[.-]\d+/;

/** The environment of what is started here. */
export const env = {
  ...process.env,
  PATH: [bin, process.env.PATH].join(delimiter),
  DENO_NO_UPDATE_CHECK: "1",
  DENO_NO_PROMPT: "1",
  ...(process.stdout.isTTY ? {} : { NO_COLOR: "1" }),
};

const running = new Set();

for (const [signal, number] of [["SIGINT", 2], ["SIGTERM", 15], ["SIGHUP", 1]]) {
  process.on(signal, () => process.exit(128 + number));
}
process.on("exit", () => running.forEach((child) => kill(child)));

/**
 * Runs a command to its end, at most `timeout` seconds, and never rejects.
 * It gets a process group of its own, which dies with it: nothing that it started is left.
 */
export function run(command, args, options = {}) {
  const { timeout = 120, cwd = root, onOutput = () => {}, ...rest } = options;
  const start = performance.now();
  let output = "";
  let timedOut = false;
  const child = spawn(command, args, {
    cwd,
    env: { ...env, ...rest.env },
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk) => {
      output += chunk;
      onOutput(chunk);
    });
  }
  const timer = setTimeout(() => {
    timedOut = true;
    // A runner that is asked to end may still say what it hangs in.
    kill(child, "SIGTERM");
    setTimeout(() => running.has(child) && kill(child), 2_000).unref();
  }, timeout * 1_000);
  return new Promise((resolve) => {
    const end = (code, signal) => {
      clearTimeout(timer);
      running.delete(child);
      const seconds = (performance.now() - start) / 1_000;
      if (timedOut) output += `\nKilled after ${timeout} s\n`;
      else if (signal) output += `\nEnded by ${signal}\n`;
      resolve({ ok: code === 0 && !timedOut, timedOut, output: stripVTControlCharacters(output), seconds });
    };
    // The streams of a runner stay open as long as something that it started holds them.
    child.on("exit", () => kill(child));
    child.on("close", end);
    child.on("error", (error) => {
      output += `${error}\n`;
      end(null, null);
    });
  });
}

function kill(child, signal = "SIGKILL") {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It ended by itself.
  }
}

/** Lets Deno bring @std into its cache; false if its registry is not reached within ten seconds. */
export async function reachesStd() {
  const { imports } = JSON.parse(await readFile(join(root, "deno.json"), "utf8"));
  const { ok } = await run(runtimes.deno, ["cache", "--no-lock", "--quiet", ...Object.values(imports)], {
    timeout: 10,
  });
  return ok;
}

/** The flags with which Deno finds @std. */
export function denoFlags(online) {
  return online ? ["--no-lock"] : ["--no-lock", "--import-map", join(root, "tests/offline/import_map.json")];
}

/** How each runtime runs test files. */
export function testArgs(online) {
  return {
    // the libraries that the integrations are tried with are those that npm installed
    deno: ["test", "--allow-all", "--no-check", "--node-modules-dir=manual", ...denoFlags(online)],
    bun: ["test", "--preload", "./tests/offline/bun.mjs", "--timeout", "60000"],
    node: ["--test", "--test-isolation=none", "--test-reporter=spec", "--import", "./tests/offline/node.mjs"],
    workerd: ["--no-warnings", "./tests/support/workerd/driver.ts"],
  };
}
