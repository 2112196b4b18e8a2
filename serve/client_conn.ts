import type { Socket } from "node:net";
import { clearTimeout, setTimeout } from "node:timers";
import { formatHostPort } from "../src/protocol/address.ts";

/** A client has not said what it has to say in time. */
export class Late extends Error {}

const GONE = new Error("The client is gone");

const LINGER = 2_000;
const AHEAD = 65_536;

type Waiting = {
  resolve(bytes: Uint8Array | null): void;
  reject(reason: unknown): void;
  timer: ReturnType<typeof setTimeout> | undefined;
};

/**
 * The connection of a client. It reads ahead until 64 KiB wait, so that a client that leaves is seen although nobody
 * reads.
 */
export class Accepted {
  /** Whether the end of what the client sends is passed on; without it, a client that ends is gone. */
  carriesEnd = false;
  /** Whether nothing has begun that the client waits for. */
  idle = true;
  /** Milliseconds that `next()` waits for the client before it rejects. */
  patience: number = Infinity;
  /** Resolves once the socket is closed. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #gone: AbortController = new AbortController();
  #chunks: Uint8Array[] = [];
  #ahead = 0; // the bytes of the chunks
  #waiting: Waiting | undefined;
  #ended = false;
  #discards = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Uint8Array) => this.#received(chunk));
    socket.on("end", () => this.#end());
    // it stays: without a listener an error ends the process
    socket.on("error", () => socket.destroy());
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        this.#leave();
        resolve();
      });
    });
  }

  /** Aborts once the connection is closed. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** The next bytes, or `null` at the end. */
  next(): Promise<Uint8Array | null> {
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) {
      this.#ahead -= chunk.length;
      if (this.#ahead < AHEAD) this.#socket.resume();
      return Promise.resolve(chunk);
    }
    if (this.#ended) return Promise.resolve(null);
    if (this.#socket.destroyed) return Promise.reject(this.#leave());
    return new Promise((resolve, reject) => {
      const late = () => this.#waited()?.reject(new Late());
      const timer = this.patience === Infinity ? undefined : setTimeout(late, this.patience).unref();
      this.#waiting = { resolve, reject, timer };
    });
  }

  /** Rejects after so many milliseconds unless the promise settles before, whatever it waits for. */
  async within<T>(ms: number, talking: Promise<T>): Promise<T> {
    if (ms === Infinity) return await talking;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new Late());
        this.#waited()?.reject(new Late());
      }, ms).unref();
    });
    try {
      return await Promise.race([talking, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves after so many milliseconds, or when the client is gone. */
  async pause(ms: number): Promise<void> {
    if (this.gone.aborted) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms).unref();
      this.gone.addEventListener("abort", () => resolve(), { once: true });
    });
    clearTimeout(timer);
  }

  /** Resolves once the bytes may be overwritten. */
  write(bytes: Uint8Array): Promise<void> {
    const socket = this.#socket;
    if (socket.destroyed) return Promise.reject(this.#leave());
    let settle: { resolve(): void; reject(reason: unknown): void } | undefined;
    socket.write(bytes, (error) => {
      if (error || socket.destroyed) settle?.reject(this.#leave());
      else settle?.resolve();
    });
    if (socket.writableLength === 0 && !socket.errored) return Promise.resolve(); // the kernel has it
    return new Promise((resolve, reject) => settle = { resolve, reject });
  }

  /** Ends what is sent to the client, after what was written. */
  end(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.destroyed) return resolve();
      this.gone.addEventListener("abort", () => resolve(), { once: true });
      this.#socket.end(() => resolve());
    });
  }

  /** Ends, and throws away what the client still sends for a while: a reset would lose the answer. */
  async linger(): Promise<void> {
    this.carriesEnd = true;
    this.#discards = true;
    this.#chunks = [];
    this.#socket.resume();
    const timer = setTimeout(() => this.close(), LINGER);
    await this.end();
    if (!this.#ended && !this.gone.aborted) {
      await new Promise((resolve) => {
        this.#socket.once("end", resolve);
        this.gone.addEventListener("abort", resolve);
      });
    }
    clearTimeout(timer);
    this.close();
  }

  /** `"host:port"` at the other end. */
  get address(): string {
    const { remoteAddress = "", remotePort = 0 } = this.#socket;
    return formatHostPort(remoteAddress.replace(/^::ffff:(?=\d+\.)/, ""), remotePort);
  }

  /** Lets the process end although it is open. */
  unref(): void {
    this.#socket.unref();
  }

  /** Closes both ways, now. */
  close(): void {
    this.#socket.destroy();
    this.#leave(); // Bun closes later
  }

  /** Closes both ways with a reset, so that nobody takes it for the end. */
  reset(): void {
    if (!this.#socket.destroyed) this.#socket.resetAndDestroy();
    this.#leave();
  }

  #received(chunk: Uint8Array): void {
    if (this.#discards) return;
    const waiting = this.#waited();
    if (waiting !== undefined) return waiting.resolve(chunk);
    this.#chunks.push(chunk);
    this.#ahead += chunk.length;
    if (this.#ahead >= AHEAD) this.#socket.pause();
  }

  #end(): void {
    this.#ended = true;
    const waiting = this.#waited();
    if (waiting !== undefined) waiting.resolve(null);
    else if (!this.carriesEnd) this.close();
  }

  /** Lets everybody know that the client is gone, and gives that as an error. */
  #leave(): unknown {
    this.#gone.abort(GONE);
    this.#waited()?.reject(GONE);
    return GONE;
  }

  #waited(): Waiting | undefined {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    clearTimeout(waiting?.timer);
    return waiting;
  }
}
