import process from "node:process";
import { isatty } from "node:tty";
import { openStdout, type Stdout, writeTo } from "./stdout.ts";

/** What a command reads and writes: the process's own, or a stand-in in tests. */
export interface CliIo {
  /** What it is given, in chunks. */
  readonly stdin: AsyncIterable<Uint8Array>;
  /** What it found out. */
  readonly stdout: CliOutput;
  /** What went wrong. */
  readonly stderr: CliOutput;
  /** The environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Has the listener told of SIGINT and SIGTERM, which then end nothing by themselves; gives what takes it back. */
  onSignal(listener: (signal: "SIGINT" | "SIGTERM") => void): () => void;
  /** Has the listener told of SIGHUP, which then ends nothing by itself; gives what takes it back. */
  onHangup(listener: () => void): () => void;
}

/** Somewhere to write to. */
export interface CliOutput extends Stdout {
  /** Columns of the terminal, or `null` if it is none. */
  readonly columns: number | null;
}

/** The streams, the environment and the signals of this process. */
export function processIo(): CliIo {
  const stdout = openStdout();
  return {
    get stdin() {
      return process.stdin; // not before somebody reads it: it keeps the process alive
    },
    stdout: {
      get columns() {
        return isatty(1) ? process.stdout.columns || 80 : null;
      },
      write: (chunk) => stdout.write(chunk),
      end: () => isatty(1) ? Promise.resolve(false) : stdout.end(),
    },
    stderr: {
      get columns() {
        return isatty(2) ? process.stderr.columns || 80 : null;
      },
      write: (chunk) => writeTo(process.stderr, chunk),
      end: () => Promise.resolve(false),
    },
    env: process.env,
    onSignal(listener) {
      process.on("SIGINT", listener).on("SIGTERM", listener);
      return () => void process.off("SIGINT", listener).off("SIGTERM", listener);
    },
    onHangup(listener) {
      process.on("SIGHUP", listener);
      return () => void process.off("SIGHUP", listener);
    },
  };
}
