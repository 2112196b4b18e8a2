import { closeSync, createWriteStream, type WriteStream } from "node:fs";
import process from "node:process";

/** Standard output as bytes: nothing else comes to a halt while nobody reads, and the reader can be shown the end. */
export interface Stdout {
  /** Resolves when all of it is taken; rejects with an error of code `"EPIPE"` if nobody reads any more. */
  write(chunk: string | Uint8Array): Promise<void>;
  /** Lets the reader see the end; resolves with `false` where only the end of the process does that. */
  end(): Promise<boolean>;
}

/** That of the running runtime: no way to do both is the same on two of them. */
export function openStdout(): Stdout {
  const { Deno } = globalThis as { Deno?: { stdout: DenoStdout } };
  return Deno !== undefined ? new OfDeno(Deno.stdout) : "Bun" in globalThis ? new OfBun() : new OfNode();
}

/** The members of a `node:stream` that are used. */
export interface Sink {
  listenerCount(event: string): number;
  on(event: "error", listener: () => void): unknown;
  write(chunk: string | Uint8Array, done: (error?: Error | null) => void): unknown;
}

/** Writes to a stream, and waits until it has taken it. */
export function writeTo(stream: Sink, chunk: string | Uint8Array): Promise<void> {
  // else an error ends the process, although the write rejects with it
  if (stream.listenerCount("error") === 0) stream.on("error", () => {});
  return new Promise((resolve, reject) => stream.write(chunk, (error) => error ? reject(error) : resolve()));
}

type DenoStdout = { write(p: Uint8Array): Promise<number> };

/** `process.stdout` halts everything until the reader has read, and the runtime keeps a copy of it open. */
class OfDeno implements Stdout {
  readonly #stdout: DenoStdout;

  constructor(stdout: DenoStdout) {
    this.#stdout = stdout;
  }

  async write(chunk: string | Uint8Array): Promise<void> {
    const bytes = typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk;
    for (let n = 0; n < bytes.length;) n += await this.#stdout.write(bytes.subarray(n));
  }

  end(): Promise<boolean> {
    return Promise.resolve(false);
  }
}

/** `process.stdout` is a copy that cannot be closed. */
class OfBun implements Stdout {
  readonly #stream: WriteStream = createWriteStream("", { fd: 1 });

  write(chunk: string | Uint8Array): Promise<void> {
    return writeTo(this.#stream, chunk);
  }

  async end(): Promise<boolean> {
    await new Promise<void>((resolve) => this.#stream.end(resolve));
    return true;
  }
}

/** A pipe of `process.stdout` takes no second writer, and `end()` leaves it open. */
class OfNode implements Stdout {
  write(chunk: string | Uint8Array): Promise<void> {
    return writeTo(process.stdout, chunk);
  }

  async end(): Promise<boolean> {
    await this.write("");
    closeSync(1);
    return true;
  }
}
