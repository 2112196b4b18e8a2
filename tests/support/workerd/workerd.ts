import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Readable } from "node:stream";

/** What runs in workerd. */
export interface WorkerOptions {
  /** The module that it begins with. */
  main: string;
  /** What `env` has. */
  bindings?: Record<string, string>;
  /** Default: the newest, and nothing of Node. */
  flags?: string[];
  /** Certificate authorities that its sockets trust, in PEM. Default: none. */
  trusted?: readonly string[];
}

/** A workerd that runs. */
export interface Workerd {
  /** Where the Worker answers; ends in "/". */
  readonly url: string;
  /** What it has written so far. */
  output(): string;
  /** Ends it. */
  stop(): Promise<void>;
}

/** The path of the program that the package `workerd` brings along. */
export function workerdPath(): string {
  return createRequire(import.meta.url)("workerd").default;
}

/** Starts a Worker on a free port of loopback, from which it may connect to loopback. */
export async function startWorkerd(options: WorkerOptions): Promise<Workerd> {
  const folder = mkdtempSync(join(tmpdir(), "socks5-workerd-"));
  writeFileSync(join(folder, "main.js"), options.main);
  writeFileSync(join(folder, "config.capnp"), config(options));
  const child = spawn(workerdPath(), ["serve", "config.capnp", "--control-fd=3"], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream!.setEncoding("utf8").on("data", (text) => output += text);
  const gone = new Promise<void>((resolve) => child.on("close", () => resolve()));
  const end = () => child.kill("SIGKILL");
  process.on("exit", end);
  const stop = async () => {
    process.off("exit", end);
    end();
    child.stdio[3]!.destroy();
    await gone;
    rmSync(folder, { recursive: true });
  };
  const port = await Promise.race([listening(child), gone]);
  if (port === undefined) {
    await stop();
    throw new Error(`workerd did not start: ${output}`);
  }
  return { url: `http://127.0.0.1:${port}/`, output: () => output, stop };
}

function listening(child: ChildProcess): Promise<number> {
  let said = "";
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    (child.stdio[3] as Readable).setEncoding("utf8").on("data", (text) => {
      said += text;
      const [, port] = /"socket":"http","port":(\d+)/.exec(said) ?? [];
      if (port !== undefined) resolve(Number(port));
    });
  });
}

function config(
  { bindings = {}, flags = ["no_nodejs_compat", "no_nodejs_compat_v2"], trusted = [] }: WorkerOptions,
): string {
  const texts = (values: readonly string[]) => `[${values.map((value) => JSON.stringify(value)).join(", ")}]`;
  const pairs = Object.entries(bindings).map(([name, value]) => `(name = "${name}", text = ${JSON.stringify(value)})`);
  return `
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (
      allow = ["public", "private", "local"],
      tlsOptions = (trustedCertificates = ${texts(trusted)}),
    )),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [(name = "main.js", esModule = embed "main.js")],
  compatibilityDate = "2026-11-01",
  compatibilityFlags = ${texts(flags)},
  bindings = [${pairs.join(", ")}],
  globalOutbound = "internet",
);
`;
}
