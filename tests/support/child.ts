import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";

/** A module that the running runtime runs in a process of its own; it is killed after 20 seconds. */
export interface Child {
  /** What it ended with, and what it wrote to its output and its error output. */
  readonly ended: Promise<{ code: number | null; written: string }>;
  /** Gives what a promise gives, and rejects with what the module has written if it ends before. */
  meanwhile<T>(promise: Promise<T>): Promise<T>;
  /** Gives what the module has written, once that is something. */
  says(): Promise<string>;
  /** Writes to its input. */
  write(line: string): void;
  kill(): Promise<void>;
}

/** Starts a module, whose code is given. */
export function startModule(code: string): Child {
  const child = spawn(process.execPath, evaluate(code), { stdio: ["pipe", "pipe", "pipe"] });
  const kill = () => void child.kill("SIGKILL");
  const timer = setTimeout(kill, 20_000);
  process.once("exit", kill);
  child.stdin.on("error", () => {}); // it may have ended
  let written = "";
  const said = Promise.withResolvers<void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk) => (written += chunk, said.resolve()));
  }
  const ended = once(child, "close").then(([code]: (number | null)[]) => {
    clearTimeout(timer);
    process.off("exit", kill);
    return { code: code!, written };
  });
  const meanwhile = <T>(promise: Promise<T>): Promise<T> => {
    const early = ended.then(({ code, written }) => {
      throw new Error(`The module ended with ${code} before: ${written}`);
    });
    promise.catch(() => {});
    return Promise.race([promise, early]);
  };
  return {
    ended,
    meanwhile,
    says: () => meanwhile(said.promise).then(() => written),
    write: (line) => void child.stdin.write(`${line}\n`),
    async kill() {
      kill();
      await ended;
    },
  };
}

/** The arguments with which the running runtime evaluates a module. */
export function evaluate(code: string): string[] {
  if ("Deno" in globalThis) return ["eval", "--no-lock", "--node-modules-dir=manual", "--ext=ts", code];
  return "Bun" in globalThis ? ["-e", code] : ["--input-type=module-typescript", "-e", code];
}
