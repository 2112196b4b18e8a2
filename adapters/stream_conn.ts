import { Buffer } from "node:buffer";
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { closeTls } from "./close_tls.ts";
import { quietly, SoundConn } from "../src/guarded_conn.ts";
import type { Conn, Detached } from "../src/transport.ts";

/** What streams have that are sockets. */
type Referenced = Duplex & { ref?(): void; unref?(): void };

type Done = (error?: Error | null) => void;

/** A connection over a stream of somebody else's, by what every `Duplex` promises and nothing more. */
export class StreamConn<S extends Duplex> extends SoundConn implements Conn<S> {
  readonly #stream: S;
  readonly #allowHalfOpen: boolean;
  readonly #unsettled = new Set<(reason: unknown) => void>(); // writes
  #reading: { p: Uint8Array; resolve(n: number | null): void; reject(reason: unknown): void } | undefined;
  #closedWrite: Promise<void> | undefined;
  #gone: "closed" | "detached" | undefined;
  #ended: boolean;
  #error: unknown;

  constructor(stream: S) {
    super();
    this.#stream = stream;
    this.#ended = stream.readableEnded;
    this.#allowHalfOpen = stream.allowHalfOpen;
    stream.allowHalfOpen = true;
    // it stays: without a listener an error ends the process
    stream.on("error", (error) => this.#broke(error));
    stream.on("readable", this.#serve).on("end", this.#end).on("close", this.#broke);
  }

  read(p: Uint8Array): Promise<number | null> {
    if (this.#reading) return Promise.reject(new TypeError("Cannot read: another read is pending"));
    if (this.#gone) return Promise.reject(this.#failure());
    if (p.length === 0) return Promise.resolve(0);
    const n = this.#take(p); // also from a stream that an error has destroyed
    if (n > 0) return Promise.resolve(n);
    if (this.#ended) return Promise.resolve(null);
    if (this.#stream.destroyed) return Promise.reject(this.#failure());
    return new Promise((resolve, reject) => {
      this.#reading = { p, resolve, reject };
      this.#stream.read(0);
    });
  }

  write(p: Uint8Array): Promise<number> {
    if (this.#closedWrite) return Promise.reject(new Error("Cannot write: the writing side is closed"));
    if (this.#gone || !this.#stream.writable) return Promise.reject(this.#failure());
    if (p.length === 0) return Promise.resolve(0);
    const copy = Buffer.from(p); // a stream may keep what it is given
    return this.#settled((done) =>
      this.#stream.write(copy, (error) => done(error ?? (this.#stream.destroyed ? new Error("Cut off") : null)))
    ).then(() => p.length);
  }

  closeWrite(): Promise<void> {
    return this.#closedWrite ??= this.#closeWrite();
  }

  close(): void {
    if (this.#gone) return;
    const stream: Duplex & { encrypted?: boolean } = this.#stream;
    const isWritten = this.#unsettled.size === 0 && stream.writable;
    this.#gone = "closed";
    this.#broke();
    void quietly(() => stream.encrypted && isWritten ? closeTls(stream) : stream.destroy());
  }

  detach(): Detached<S> {
    const reason = this.#whyBusy();
    if (reason) throw new TypeError(`Cannot detach: ${reason}`);
    this.#gone = "detached";
    const stream = this.#stream;
    stream.off("readable", this.#serve).off("end", this.#end).off("close", this.#broke);
    stream.allowHalfOpen = this.#allowHalfOpen;
    return { socket: stream, head: new Uint8Array() };
  }

  ref(): void {
    if (!this.#gone) (this.#stream as Referenced).ref?.();
  }

  unref(): void {
    if (!this.#gone) (this.#stream as Referenced).unref?.();
  }

  get remoteAddress(): string | undefined {
    const { remoteAddress } = this.#stream as { remoteAddress?: unknown };
    return typeof remoteAddress === "string" && isIP(remoteAddress) !== 0 ? remoteAddress : undefined;
  }

  async #closeWrite(): Promise<void> {
    const stream = this.#stream;
    if (this.#gone) throw this.#failure();
    if (stream.writableFinished) return;
    if (stream.destroyed) throw this.#failure();
    await this.#settled((done) => stream.end(done));
  }

  /** Waits until the stream says that it is done, or is of no use any more. */
  #settled(start: (done: Done) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#unsettled.add(reject);
      start((error) => {
        this.#unsettled.delete(reject);
        if (error) reject(this.#failure(error));
        else resolve();
      });
    });
  }

  /** Takes what the stream has, and gives the number of bytes; never more at once than it keeps, or it would keep more. */
  #take(p: Uint8Array): number {
    const { readableLength, readableHighWaterMark } = this.#stream;
    const n = Math.min(p.length, readableLength, Math.max(readableHighWaterMark, 1));
    const chunk = n > 0 ? this.#stream.read(n) as Uint8Array | null : null;
    if (chunk !== null) p.set(chunk);
    return chunk?.length ?? 0;
  }

  readonly #serve = (): void => {
    const reading = this.#reading;
    if (reading === undefined) return;
    const n = this.#take(reading.p);
    if (n === 0) return void this.#stream.read(0); // tells of the end
    this.#reading = undefined;
    reading.resolve(n);
  };

  readonly #end = (): void => {
    this.#ended = true;
    this.#reading?.resolve(null);
    this.#reading = undefined;
  };

  readonly #broke = (error?: unknown): void => {
    if (error instanceof Error) this.#error ??= error;
    if (!this.#gone) this.#serve(); // a stream that breaks does not tell of bytes that came just before
    const failure = this.#failure();
    this.#reading?.reject(failure);
    this.#reading = undefined;
    for (const reject of this.#unsettled) reject(failure);
    this.#unsettled.clear();
  };

  #whyBusy(): string | undefined {
    if (this.#gone) return `the connection is ${this.#gone}`;
    if (this.#reading) return "a read is pending";
    return this.#unsettled.size > 0 ? "a write is pending" : undefined;
  }

  #failure(error?: unknown): unknown {
    if (this.#gone) return new Error(`The connection is ${this.#gone}`);
    return this.#error ?? this.#stream.errored ?? error ?? new Error("The connection is closed");
  }
}
