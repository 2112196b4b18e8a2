import type { Socket } from "node:net";
import { clearTimeout, setTimeout } from "node:timers";
import { quietly } from "../src/guarded_conn.ts";
import { formatHostPort } from "../src/protocol/address.ts";
import type { Receiver, Source } from "./buffered_reader.ts";

/** A client did not send the head of a request, or the next bytes, in time. */
export class ClientTimeout extends Error {}

const GONE = new Error("The client is gone");

const LINGER_TIMEOUT = 2_000;
const READ_AHEAD = 65_536;

const CLIENT: unique symbol = Symbol("client");

/** A socket that belongs to a client's connection. */
type ClientSocket = Socket & { [CLIENT]: ClientConn };

/**
 * The connection of a client. It reads ahead until 64 KiB wait, so that a client that leaves is seen although nobody
 * reads.
 */
export class ClientConn implements Source {
  /** Whether the client's end is passed on; without it, a client that ends is gone. */
  halfOpen = false;
  /** Whether the client waits for nothing. */
  idle = true;
  /** Milliseconds after which a receiver is rejected if the client sends nothing. */
  readTimeout: number = Infinity;
  /** Whether it is closed, or about to be. */
  isGone = false;
  readonly #socket: ClientSocket;
  #owned: { close(): void } | undefined;
  #onGone: Set<() => void> | undefined; // made when it is needed: an idle tunnel has none
  #isClosed = false;
  #ending: Promise<void> | undefined;
  #chunks: Uint8Array[] = [];
  #ahead = 0; // the bytes of the chunks
  #receiver: Receiver | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined; // of the receiver
  #ended = false;
  #discarding = false;

  constructor(socket: Socket) {
    this.#socket = socket as ClientSocket;
    this.#socket[CLIENT] = this;
    socket.setNoDelay(true);
    const { data, end, error, close } = ClientConn.#listeners;
    socket.on("data", data).on("end", end).on("error", error).on("close", close);
  }

  // one set for all sockets
  static readonly #listeners = {
    data(this: ClientSocket, chunk: Uint8Array): void {
      this[CLIENT].#received(chunk);
    },
    end(this: ClientSocket): void {
      this[CLIENT].#end();
    },
    // it stays: without a listener an error ends the process
    error(this: ClientSocket): void {
      this.destroy();
    },
    close(this: ClientSocket): void {
      this[CLIENT].#isClosed = true;
      this[CLIENT].#markGone();
    },
  };

  /** Calls back when the connection is closed, at once if it is; gives what takes that back. */
  onGone(call: () => void): () => void {
    if (this.isGone) call();
    else (this.#onGone ??= new Set()).add(call);
    return () => {
      if (this.#onGone?.delete(call) && this.#onGone.size === 0) this.#onGone = undefined;
    };
  }

  /** Closes a connection with this one, at once if this one is closed; until it is disowned. */
  own(conn: { close(): void }): void {
    this.#owned = conn;
    if (this.isGone) this.#closeOwned();
  }

  disown(): void {
    this.#owned = undefined;
  }

  throwIfGone(): void {
    if (this.isGone) throw GONE;
  }

  /** Resolves once the socket is closed. */
  closed(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isClosed) resolve();
      else this.#socket.once("close", () => resolve());
    });
  }

  receive(receiver: Receiver): void {
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) {
      this.#ahead -= chunk.length;
      if (this.#ahead < READ_AHEAD) this.#socket.resume();
      return receiver.resolve(chunk);
    }
    if (this.#ended) return receiver.resolve(null);
    if (this.#socket.destroyed) return receiver.reject(this.#markGone());
    this.#receiver = receiver;
    if (this.readTimeout === Infinity) return;
    this.#timer = setTimeout(() => this.#takeReceiver()?.reject(new ClientTimeout()), this.readTimeout).unref();
  }

  /** Gives the outcome of a promise; rejects if it has not settled after `ms` milliseconds. */
  async withTimeout<T>(ms: number, promise: Promise<T>): Promise<T> {
    if (ms === Infinity) return await promise;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new ClientTimeout());
        this.#takeReceiver()?.reject(new ClientTimeout());
      }, ms).unref();
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Gives the outcome of a promise; rejects when the client is gone. */
  async whileHere<T>(promise: Promise<T>): Promise<T> {
    let forget: (() => void) | undefined;
    const gone = new Promise<never>((_, reject) => forget = this.onGone(() => reject(GONE)));
    return await Promise.race([promise, gone]).finally(forget);
  }

  /** Resolves after so many milliseconds, or when the client is gone. */
  async pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms).unref();
      this.onGone(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /** Resolves once the bytes may be overwritten. */
  write(bytes: Uint8Array): Promise<void> {
    const socket = this.#socket;
    if (socket.destroyed) return Promise.reject(this.#markGone());
    let settle: { resolve(): void; reject(reason: unknown): void } | undefined;
    socket.write(bytes, (error) => {
      if (error || socket.destroyed) settle?.reject(this.#markGone());
      else settle?.resolve();
    });
    if (socket.writableLength === 0 && !socket.errored) return Promise.resolve(); // the kernel has it
    return new Promise((resolve, reject) => settle = { resolve, reject });
  }

  /** Ends the writing side, after what was written. */
  end(): Promise<void> {
    return this.#ending ??= new Promise((resolve) => {
      if (this.#socket.destroyed) return resolve();
      this.onGone(resolve);
      this.#socket.end(() => resolve());
    });
  }

  /** Ends the writing side and discards what the client sends for two seconds more: a reset would lose the response. */
  async linger(): Promise<void> {
    if (this.#ended && this.#socket.writableFinished) return this.close();
    this.halfOpen = true;
    this.#discarding = true;
    this.#chunks = [];
    this.#socket.resume();
    const timer = setTimeout(() => this.close(), LINGER_TIMEOUT);
    await this.end();
    if (!this.#ended) {
      await new Promise<void>((resolve) => {
        this.#socket.once("end", resolve);
        this.onGone(resolve);
      });
    }
    clearTimeout(timer);
    this.close();
  }

  /** `"host:port"` at the other end; `""` on a unix socket. */
  get address(): string {
    const { remoteAddress, remotePort } = this.#socket;
    if (remoteAddress === undefined || remotePort === undefined) return "";
    return formatHostPort(remoteAddress.replace(/^::ffff:(?=\d+\.)/, ""), remotePort);
  }

  /** Lets the process end although it is open. */
  unref(): void {
    this.#socket.unref();
  }

  /** Closes both ways, now. */
  close(): void {
    this.#socket.destroy();
    this.#markGone(); // Bun closes later
  }

  /** Closes both ways with a reset, which nobody takes for an end. */
  reset(): void {
    const isTcp = this.address !== "" && !("encrypted" in this.#socket);
    if (isTcp && !this.#socket.destroyed) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
    this.#markGone();
  }

  #received(chunk: Uint8Array): void {
    if (this.#discarding) return;
    const waiting = this.#takeReceiver();
    if (waiting !== undefined) return waiting.resolve(chunk);
    this.#chunks.push(chunk);
    this.#ahead += chunk.length;
    if (this.#ahead >= READ_AHEAD) this.#socket.pause();
  }

  #end(): void {
    this.#ended = true;
    const waiting = this.#takeReceiver();
    if (waiting !== undefined) waiting.resolve(null);
    else if (!this.halfOpen) this.close();
  }

  /** Aborts what is done for the client; gives the error that says so. */
  #markGone(): unknown {
    this.isGone = true;
    this.#closeOwned();
    for (const call of this.#onGone ?? []) void quietly(call);
    this.#onGone = undefined;
    this.#takeReceiver()?.reject(GONE);
    return GONE;
  }

  #closeOwned(): void {
    const owned = this.#owned;
    this.#owned = undefined;
    if (owned !== undefined) void quietly(() => owned.close());
  }

  #takeReceiver(): Receiver | undefined {
    const receiver = this.#receiver;
    this.#receiver = undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    return receiver;
  }
}
