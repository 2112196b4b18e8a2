import { createWriteStream, type WriteStream } from "node:fs";
import type { ConnectionLog } from "../serve/mod.ts";

/** How a line of the log is written: as `name=value` pairs, or as JSON. */
export type LogFormat = "text" | "json";

const MOST_WAITING = 1 << 20; // bytes

/** Appends a line for each connection to a file that others cannot read if it is new. */
export class LogFile {
  readonly #file: string;
  readonly #format: LogFormat;
  readonly #failed: (why: string) => void;
  #stream: WriteStream;
  #isTold = false;

  /** `failed` is called once if lines are lost, and again after `reopen()`. */
  constructor(file: string, format: LogFormat, failed: (why: string) => void) {
    this.#file = file;
    this.#format = format;
    this.#failed = failed;
    this.#stream = this.#open();
  }

  write(listener: string, entry: ConnectionLog): void {
    if (this.#stream.writableLength > MOST_WAITING) return this.#lose("it does not take what is written to it");
    this.#stream.write(`${lineOf(this.#format, listener, entry)}\n`);
  }

  /** Opens the file by its name again, which is that of a new one after a rotation. */
  reopen(): void {
    this.#stream.end();
    this.#isTold = false;
    this.#stream = this.#open();
  }

  /** Resolves when all is written. */
  close(): Promise<void> {
    if (this.#stream.closed) return Promise.resolve();
    return new Promise((resolve) => this.#stream.once("close", () => resolve()).end());
  }

  #open(): WriteStream {
    return createWriteStream(this.#file, { flags: "a", mode: 0o600 })
      .on("error", (error) => this.#lose((error as { code?: string }).code ?? error.name));
  }

  #lose(why: string): void {
    if (!this.#isTold) this.#failed(`the log cannot be written (${why}): connections go unlogged`);
    this.#isTold = true;
  }
}

/** One line, in which nothing of a client can look like another line or another member. */
export function lineOf(format: LogFormat, listener: string, { time, ...entry }: ConnectionLog): string {
  const members = { time, listener, ...entry };
  if (format === "json") return JSON.stringify(members);
  return Object.entries(members).filter(([, value]) => value !== undefined && value !== "")
    .map(([name, value]) => `${name}=${plain(String(value))}`).join(" ");
}

function plain(value: string): string {
  return /^[\x21\x23-\x3c\x3e-\x5b\x5d-\x7e]+$/.test(value) ? value : JSON.stringify(value);
}
