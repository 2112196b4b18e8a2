import { Buffer } from "node:buffer";
import { nextTick } from "node:process";
import { isIP } from "node:net";
import { Duplex as NodeDuplex } from "node:stream";
import { setImmediate } from "node:timers";
import { IdleTimer } from "./idle_timer.ts";
import { socketError } from "./socket_error.ts";
import { SoundConn } from "../src/guarded_conn.ts";
import type { Conn } from "../src/transport.ts";

/** The options of a stream over a connection. */
export interface ConnDuplexOptions {
  /** Whether the writing side stays open after the peer's end. Default: `false`, as with a `net.Socket`. */
  allowHalfOpen?: boolean | undefined;
  /**
   * How many bytes may be waiting on each side, as with every stream of `node:stream`. Default: that of the runtime.
   */
  highWaterMark?: number | undefined;
}

const MIN_CHUNK = 4096;
const MAX_CHUNK = 65536;

/** Where a tunnel leads and comes from, of a connection that is one. */
type Ends = { proxy?: string; target?: string; boundAddress?: { hostname: string; port: number } };

const /** @internal */ Duplex: typeof NodeDuplex = NodeDuplex ?? Object; // a bundle for browsers may have none

/**
 * A stream over a connection that is opened once, by the first of `connect()`, a read, a write or `end()`. It has those
 * members of a `net.Socket` that libraries use, tells the same in the same order, and is the owner of the connection:
 * `destroy()` closes it.
 */
export class ConnDuplex extends Duplex {
  /** Whether the connection is being opened: from `connect()` on, until `connect` is emitted. */
  connecting = false;
  /** The bytes that were received. */
  bytesRead = 0;
  readonly #open: (signal: AbortSignal) => Promise<Conn>;
  readonly #abort = new AbortController();
  readonly #idle = new IdleTimer(() => this.emit("timeout"));
  readonly #got = (n: number | null): void => this.#received(n);
  readonly #fail = (error: unknown): void => void (this.destroyed || this.destroy(this.#errorOf(error) as Error));
  readonly #errorOf: (error: unknown) => unknown;
  #opening: Promise<Conn> | undefined;
  #conn: Conn | undefined;
  #unref = false;
  #size = MIN_CHUNK;
  #sent = 0;
  #into: Buffer | undefined;

  /**
   * Opens nothing yet.
   *
   * @param open Opens the connection; the signal aborts when the stream is destroyed before. What it opens nevertheless
   * is closed.
   * @param errorOf What becomes of an error of the connection. Default: what Node calls it.
   */
  constructor(
    open: (signal: AbortSignal) => Promise<Conn>,
    options: ConnDuplexOptions = {},
    errorOf: (error: unknown) => unknown = socketError,
  ) {
    const { allowHalfOpen = false, highWaterMark } = options;
    super({ allowHalfOpen, ...(highWaterMark !== undefined && { highWaterMark }) });
    this.#open = open;
    this.#errorOf = errorOf;
  }

  /**
   * Opens the connection, in the next turn of the event loop. Takes and ignores what `net.Socket.connect` takes, but
   * for the listener at the end.
   */
  connect(...args: unknown[]): this {
    const listener = args.at(-1);
    if (typeof listener === "function") this.once("connect", listener as () => void);
    if (this.destroyed || this.#opening !== undefined) return this;
    this.connecting = true;
    setImmediate(() => void this.#opened().catch(this.#fail));
    return this;
  }

  /** Whether there is no connection: not yet, or not any more. */
  get pending(): boolean {
    return this.connecting || this.destroyed || this.#conn === undefined;
  }

  /** `"opening"`, `"open"`, `"readOnly"`, `"writeOnly"` or `"closed"`. */
  get readyState(): string {
    if (this.connecting) return "opening";
    if (this.readable) return this.writable ? "open" : "readOnly";
    return this.writable ? "writeOnly" : "closed";
  }

  /** The bytes that were sent, and those that wait to be. */
  get bytesWritten(): number {
    return this.#sent + this.writableLength;
  }

  /** The label of the proxy that serves it; `undefined` until it is open, and of a connection that is no tunnel. */
  get proxy(): string | undefined {
    return this.#ends.proxy;
  }

  /** The host of the target: a name stays one, as it is the proxy that resolves it. */
  get remoteAddress(): string | undefined {
    return hostOf(this.#ends.target);
  }

  /** The port of the target. */
  get remotePort(): number | undefined {
    const { target } = this.#ends;
    return target === undefined ? undefined : Number(target.slice(target.lastIndexOf(":") + 1));
  }

  /** `"IPv4"` or `"IPv6"`, if the target is an address. */
  get remoteFamily(): string | undefined {
    return familyOf(this.remoteAddress);
  }

  /** BND.ADDR of the proxy's reply, where the target sees the tunnel come from; often 0.0.0.0. */
  get localAddress(): string | undefined {
    return this.#ends.boundAddress?.hostname;
  }

  /** BND.PORT of the proxy's reply, often 0. */
  get localPort(): number | undefined {
    return this.#ends.boundAddress?.port;
  }

  /** `"IPv4"` or `"IPv6"`, if {@linkcode localAddress} is an address. */
  get localFamily(): string | undefined {
    return familyOf(this.localAddress);
  }

  /** {@linkcode localAddress} and what belongs to it; empty without a tunnel. */
  address(): { address?: string; family?: string; port?: number } {
    const { localAddress: address, localFamily: family, localPort: port } = this;
    return address === undefined ? {} : { address, port: port!, ...(family !== undefined && { family }) };
  }

  /** The milliseconds of {@linkcode setTimeout}, 0 for none. */
  get timeout(): number {
    return this.#idle.timeout;
  }

  /**
   * Emits `timeout` when for so long no byte has come or gone; 0 stops that. It does not close, as with `net.Socket`.
   */
  setTimeout(timeout: number, listener?: () => void): this {
    this.#idle.set(this.destroyed ? 0 : timeout);
    if (listener && timeout > 0) this.once("timeout", listener);
    else if (listener) this.off("timeout", listener);
    return this;
  }

  /** Does nothing: TCP_NODELAY is a matter of the client's `noDelay`. */
  setNoDelay(_noDelay?: boolean): this {
    return this;
  }

  /** Does nothing: TCP keep-alive is a matter of the client's `keepAlive`. */
  setKeepAlive(_enable?: boolean, _initialDelay?: number): this {
    return this;
  }

  /** Lets the connection keep the process alive again. */
  ref(): this {
    this.#unref = false;
    this.#conn?.ref?.();
    return this;
  }

  /** Lets the process end although the connection is open; counts also for one that is opened later. */
  unref(): this {
    this.#unref = true;
    this.#conn?.unref?.();
    return this;
  }

  /** For a keep-alive pool, as `Socks5Duplex` of `./agent` says. */
  markIdle(evicted: () => void = () => this.destroy()): void {
    this.#conn?.markIdle?.(evicted);
  }

  /** Ends what `markIdle()` began; `false` if the stream is closed. */
  markInUse(): boolean {
    return !this.destroyed && (this.#conn?.markInUse?.() ?? true);
  }

  /** Ends the writing side, and closes once all is written. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }

  /** For `node:stream`. */
  override _read(n: number): void {
    const into = this.#into = Buffer.allocUnsafe(Math.min(n || MIN_CHUNK, this.#size));
    const conn = this.#conn;
    if (conn) conn.read(into).then(this.#got, this.#fail);
    else this.#opened().then((conn) => conn.read(into)).then(this.#got, this.#fail);
  }

  /** For `node:stream`. */
  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#send(chunk).then(() => {
      this.#sent += chunk.length;
      done();
    }, (error) => done(this.#errorOf(error) as Error));
  }

  /** For `node:stream`: what is written while another write waits leaves together. */
  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "", done);
  }

  /** For `node:stream`. */
  override _final(done: (error?: Error | null) => void): void {
    const failed = (error: unknown) => done(this.#errorOf(error) as Error);
    this.#opened().then((conn) => conn.closeWrite()).then(() => done(), failed);
  }

  /** For `node:stream`. */
  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.connecting = false;
    this.#idle.set(0);
    if (this.#conn === undefined) this.#abort.abort(error ?? undefined);
    else SoundConn.discard(this.#conn);
    done(error);
  }

  get #ends(): Ends {
    return this.connecting ? {} : (this.#conn ?? {}) as Ends;
  }

  #opened(): Promise<Conn> {
    return this.#opening ??= this.#connect();
  }

  // in parts, so that the idle timer sees that a large chunk gets on
  async #send(chunk: Buffer): Promise<void> {
    const conn = this.#conn ?? await this.#opened();
    for (let i = 0; i < chunk.length; i += MAX_CHUNK) {
      this.#idle.rearm();
      await conn.write(chunk.length > MAX_CHUNK ? chunk.subarray(i, i + MAX_CHUNK) : chunk);
    }
    this.#idle.rearm();
  }

  async #connect(): Promise<Conn> {
    this.#abort.signal.throwIfAborted();
    this.connecting = true;
    this.#idle.rearm();
    const conn = await this.#open(this.#abort.signal);
    if (this.destroyed) {
      conn.close();
      throw this.#abort.signal.reason;
    }
    this.#conn = conn;
    this.#idle.rearm();
    if (this.#unref) conn.unref?.();
    // outside of the promise, so that what a listener throws is none of the connection's errors; before the first byte
    await new Promise<void>((resolve) => nextTick(() => this.#tell(resolve)));
    return conn;
  }

  #tell(told: () => void): void {
    this.connecting = false;
    try {
      if (!this.destroyed) this.emit("connect");
      if (!this.destroyed) this.emit("ready");
    } finally {
      told();
    }
  }

  #received(n: number | null): void {
    const into = this.#into!;
    this.#into = undefined;
    if (this.destroyed) return;
    if (n === null) {
      this.push(null);
      this.read(0); // so that the end is seen by who reads nothing, as with a net.Socket
      return;
    }
    this.#idle.rearm();
    this.bytesRead += n;
    // few bytes are to hold no large buffer, many are to come in few reads
    if (n === into.length) this.#size = Math.min(2 * this.#size, MAX_CHUNK);
    else if (n < this.#size / 4) this.#size = Math.max(this.#size / 2, MIN_CHUNK);
    this.push(into.subarray(0, n));
  }
}

/** Of `"host:port"`, without brackets. */
function hostOf(target: string | undefined): string | undefined {
  return target?.slice(0, target.lastIndexOf(":")).replace(/^\[|\]$/g, "");
}

function familyOf(address = ""): string | undefined {
  return isIP(address) === 0 ? undefined : `IPv${isIP(address)}`;
}
