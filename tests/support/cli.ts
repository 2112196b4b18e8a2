import { Buffer } from "node:buffer";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import type { CliIo } from "../../cli/mod.ts";
import { main } from "../../cli/mod.ts";
import { Changes } from "../../testing/changes.ts";

/** What a command wrote so far, and how to reach it. */
export interface FakeIo extends CliIo {
  /** Standard output and error, as text. */
  readonly out: string;
  readonly err: string;
  /** Whether the reader of the output was shown the end. */
  readonly ended: boolean;
  /** How many listen for signals. */
  readonly listeners: number;
  /** As if the process was sent it. */
  signal(name: "SIGINT" | "SIGTERM"): void;
  /** As if the process was sent SIGHUP; `false` if that would end it. */
  hangup(): boolean;
  /** Waits until something is the case, looking again whenever something was written. */
  until(condition: () => boolean): Promise<void>;
}

/** How a stand-in differs from a process without a terminal, an input and an environment. */
export interface FakeOptions {
  columns?: number;
  /** The columns of the error output. Default: those of the output. */
  errColumns?: number;
  env?: Record<string, string>;
  stdin?: AsyncIterable<Uint8Array>;
  /** Called with each chunk of output. */
  onWrite?: (chunk: Uint8Array) => void | Promise<void>;
  /** Whether the output can be closed. Default: `true`. */
  canEnd?: boolean;
}

/** A stand-in for what a command reads and writes. */
export function fakeIo(
  { columns, errColumns = columns, env = {}, stdin = none(), onWrite, canEnd = true }: FakeOptions = {},
): FakeIo {
  const written = { out: "", err: "" };
  const listeners = new Set<(signal: "SIGINT" | "SIGTERM") => void>();
  const hangups = new Set<() => void>();
  const watch = new Changes();
  let ended = false;
  const output = (name: "out" | "err") => ({
    columns: (name === "out" ? columns : errColumns) ?? null,
    async write(chunk: string | Uint8Array) {
      if (name === "out" && ended) throw new Error("it was written to after its end");
      const bytes = typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk;
      if (name === "out") await onWrite?.(bytes);
      written[name] += new TextDecoder().decode(bytes);
      watch.notify();
    },
    end() {
      ended = name === "out" && canEnd;
      watch.notify();
      return Promise.resolve(canEnd);
    },
  });
  return {
    stdin,
    env,
    stdout: output("out"),
    stderr: output("err"),
    onSignal(listener) {
      listeners.add(listener);
      watch.notify();
      return () => void listeners.delete(listener);
    },
    onHangup(listener) {
      hangups.add(listener);
      return () => void hangups.delete(listener);
    },
    get out() {
      return written.out;
    },
    get err() {
      return written.err;
    },
    get ended() {
      return ended;
    },
    get listeners() {
      return listeners.size + hangups.size;
    },
    hangup() {
      hangups.forEach((listener) => listener());
      return hangups.size > 0;
    },
    signal: (name) => [...listeners].forEach((listener) => listener(name)),
    until: (condition) => watch.until(condition),
  };
}

/** Runs a command in this process. */
export async function cli(
  args: readonly string[],
  options?: FakeOptions,
): Promise<{ code: number; out: string; err: string }> {
  const io = fakeIo(options);
  const code = await main(args, io);
  if (io.listeners > 0) throw new Error("It listens for signals after its end");
  return { code, out: io.out, err: io.err };
}

/** How the running runtime starts the command line. */
export const PROGRAM: readonly string[] = [
  process.execPath,
  ...("Deno" in globalThis ? ["run", "--allow-all", "--quiet", "--no-lock", "--no-check"] : []),
  fileURLToPath(new URL("../../cli/main.ts", import.meta.url)),
];

/** A command in a process of its own. */
export interface CliProcess {
  readonly child: ChildProcess & { stdin: NonNullable<ChildProcess["stdin"]>; stdout: Readable; stderr: Readable };
  /** Resolves when it has ended, with what it ended with. */
  readonly ended: Promise<{ code: number | null; signal: string | null; out: string; err: string }>;
  /** Sends it a signal. */
  kill(signal: "SIGINT" | "SIGTERM" | "SIGHUP"): void;
  /** What it wrote to its output and to its error output so far. */
  out(): string;
  err(): string;
  /** Waits until something is the case, looking again whenever it wrote something. */
  until(condition: () => boolean): Promise<void>;
}

/** Starts a command in a process of its own, without the proxies and colours of this one. */
export function startCli(args: readonly string[], env: Record<string, string> = {}): CliProcess {
  const [program, ...flags] = PROGRAM;
  const own = Object.entries(process.env).filter(([name]) => !/_PROXY$|^REQUEST_METHOD$|_COLOR$/i.test(name));
  const child = spawn(program!, [...flags, ...args], { env: { ...Object.fromEntries(own), ...env } });
  const chunks: { out: Uint8Array[]; err: Uint8Array[] } = { out: [], err: [] };
  const watch = new Changes();
  const text = (name: "out" | "err") => new TextDecoder().decode(Buffer.concat(chunks[name]));
  child.stdin.on("error", () => {}); // it may end before it has read all
  for (const name of ["out", "err"] as const) {
    child[`std${name}`].on("data", (chunk) => {
      chunks[name].push(chunk);
      watch.notify();
    });
  }
  const ended = once(child, "close").then(([code, signal]) => ({ code, signal, out: text("out"), err: text("err") }));
  // Deno's child.kill() makes up how it ended
  const kill = (signal: "SIGINT" | "SIGTERM" | "SIGHUP") => void process.kill(child.pid!, signal);
  return {
    child,
    ended,
    kill,
    out: () => text("out"),
    err: () => text("err"),
    until: (condition) => watch.until(condition, 20_000),
  };
}

/** A text with its times replaced, and without colours. */
export function plain(text: string): string {
  return stripVTControlCharacters(text).replace(/ *\d+(\.\d+)? m?s\b/g, (time) => "T".padStart(time.length));
}

async function* none(): AsyncIterable<Uint8Array> {}
