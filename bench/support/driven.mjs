// A process that is driven line by line: JSON in, JSON out. It ends with its input, and with this process.
import { spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { env, root, runtimes } from "../../tests/support/tools.mjs";

export const flags = {
  deno: [
    "run",
    "--allow-all",
    "--quiet",
    "--no-check",
    "--no-lock",
    "--node-modules-dir=manual",
  ],
  bun: ["--no-install"],
  node: ["--no-warnings"],
};

const exposeGc = {
  deno: ["--v8-flags=--expose-gc"],
  bun: [],
  node: ["--expose-gc"],
};

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

/** Starts a script of bench/ on a runtime, through `prefix` where it is a command such as `ip netns exec`. */
export function start(runtime, script, args = [], prefix = []) {
  const path = join(root, "bench", script);
  return startCommand([
    ...prefix,
    runtimes[runtime],
    ...flags[runtime],
    ...exposeGc[runtime],
    path,
    ...args,
  ]);
}

/** Starts a command; `hello` is what its first line says. */
export async function startCommand([command, ...args]) {
  const child = spawn(command, args, { cwd: root, env });
  running.add(child);
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text) => errors += text);
  child.stdin.on("error", () => {}); // it has ended, and `over` says so
  const lines = createInterface({ input: child.stdout })
    [Symbol.asyncIterator]();
  const over = new Promise((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("close", (code, signal) => {
      running.delete(child);
      resolve(
        errors.split("\n").find((line) => /error/i.test(line))?.trim() ??
          `it ended with ${signal ?? code}`,
      );
    });
  });

  /** The next line; a process that says none is killed. */
  async function answer(seconds) {
    const line = lines.next().then(({ value }) => value ?? over.then((reason) => ({ reason })));
    const said = await within(seconds, line) ??
      { reason: `no answer in ${seconds} s` };
    if (said.reason !== undefined) {
      child.kill("SIGKILL");
      throw new Error(said.reason);
    }
    const { error, ...values } = JSON.parse(said);
    if (error !== undefined) throw new Error(error);
    return values;
  }

  return {
    pid: child.pid,
    hello: await answer(20),

    /** What a command of the process gives. */
    ask(command, args) {
      child.stdin.write(`${JSON.stringify({ command, ...args })}\n`);
      return answer(60);
    },

    async end() {
      child.stdin.end();
      if (await within(3, over) === undefined) child.kill("SIGKILL");
    },
  };
}

/** `undefined` if it takes longer. */
async function within(seconds, promise) {
  let timer;
  const late = new Promise((resolve) => timer = setTimeout(resolve, seconds * 1_000));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
