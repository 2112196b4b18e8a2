import type { Holding, Socks5Conn } from "./connection.ts";
import { socks5Error, type Socks5ErrorCode } from "./errors.ts";
import type { Tunnel } from "./park.ts";
import { readableOf, writableOf } from "./streams.ts";
import type { Detached } from "./transport.ts";

/** One holder's hold on a tunnel: once closed, released or detached, nothing more goes through it. */
export class HeldConn<S> implements Socks5Conn<S> {
  readonly proxy: string;
  readonly target: string;
  readonly boundAddress: { hostname: string; port: number };
  readonly reused: boolean;
  readonly #tunnel: Tunnel<S>;
  readonly #holding: Holding;
  readonly #mayRelease: boolean;
  #over: "closed" | "released" | "detached" | undefined;
  #reading = false;
  #writing = 0;
  #ended = false; // the peer's FIN was read
  #broken = false; // a read failed
  #closing: Promise<void> | undefined; // our FIN
  #written = false; // our FIN is sent, or writing failed
  #writeError: unknown;
  #readable: ReadableStream<Uint8Array<ArrayBuffer>> | undefined;
  #writable: WritableStream<Uint8Array> | undefined;

  constructor(tunnel: Tunnel<S>, holding: Holding, use: { reused: boolean; mayRelease: boolean }) {
    ({ proxy: this.proxy, target: this.target, boundAddress: this.boundAddress } = tunnel.info);
    this.reused = use.reused;
    this.#mayRelease = use.mayRelease;
    this.#tunnel = tunnel;
    this.#holding = holding;
  }

  async read(p: Uint8Array): Promise<number | null> {
    if (this.#over !== undefined) throw this.#gone("read from");
    if (!(p instanceof Uint8Array)) throw this.#noBytes("read from", p);
    if (this.#reading) throw new TypeError(`Cannot read from ${this.target}: another read is pending`);
    if (p.length === 0) return 0;
    if (this.#ended) return null;
    this.#reading = true;
    try {
      const n = await this.#tunnel.read(p);
      if (n === null) this.#ended = true;
      return n;
    } catch (error) {
      const failure = this.#failed("read from", error);
      this.#broken = !(failure instanceof TypeError);
      throw failure;
    } finally {
      this.#reading = false;
      this.#freeIfOver();
    }
  }

  async write(p: Uint8Array): Promise<number> {
    if (this.#over !== undefined) throw this.#gone("write to");
    if (!(p instanceof Uint8Array)) throw this.#noBytes("write to", p);
    if (this.#writeError !== undefined) throw this.#failed("write to", this.#writeError);
    if (this.#closing !== undefined) throw this.#gone("write to");
    this.#writing++;
    try {
      return await this.#tunnel.conn.write(p);
    } catch (error) {
      throw this.#writeFailed("write to", error);
    } finally {
      this.#writing--;
      this.#freeIfOver();
    }
  }

  closeWrite(): Promise<void> {
    if (this.#over !== undefined) return Promise.reject(this.#gone("close the writing side to"));
    return this.#closing ??= this.#closeWrite();
  }

  close(): void {
    this.#over ??= "closed";
    this.#holding.free("holder");
  }

  release(): void {
    if (this.#over !== undefined) return;
    if (
      this.#busy || this.#ending || !this.#mayRelease || this.#readable !== undefined || this.#writable !== undefined
    ) {
      return this.close();
    }
    this.#over = "released";
    this.#holding.release();
  }

  detach(): Detached<S> {
    if (this.#over !== undefined) throw this.#gone("detach from");
    const why = this.reused
      ? "it was used before"
      : this.#busy
      ? "a read or a write is pending"
      : this.#ending || this.#tunnel.closedBy !== undefined
      ? "it has ended"
      : this.#tunnel.conn.detach === undefined
      ? "its transport has no socket to give"
      : null;
    if (why !== null) throw new TypeError(`Cannot detach from ${this.target}: ${why}`);
    const detached = this.#tunnel.conn.detach!();
    this.#over = "detached";
    this.#holding.free("detached");
    return detached;
  }

  ref(): void {
    if (this.#over === undefined) this.#tunnel.conn.ref?.();
  }

  unref(): void {
    if (this.#over === undefined) this.#tunnel.conn.unref?.();
  }

  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.#readable ??= readableOf(this);
  }

  get writable(): WritableStream<Uint8Array> {
    return this.#writable ??= writableOf(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  get #busy(): boolean {
    return this.#reading || this.#writing > 0;
  }

  get #ending(): boolean {
    return this.#ended || this.#broken || this.#closing !== undefined || this.#writeError !== undefined;
  }

  async #closeWrite(): Promise<void> {
    try {
      if (this.#writeError !== undefined) throw this.#writeError;
      await this.#tunnel.conn.closeWrite();
      this.#written = true;
    } catch (error) {
      throw this.#writeFailed("close the writing side to", error);
    } finally {
      this.#freeIfOver();
    }
  }

  /** A tunnel that is over both ways, or whose reads fail, is of no use to its holder: its place goes to the next. */
  #freeIfOver(): void {
    if (this.#broken) this.#holding.free("peer");
    else if (this.#ended && this.#written && this.#writing === 0) this.#holding.free("holder");
  }

  /** What the peer sent before may still be read. */
  #writeFailed(what: string, error: unknown): unknown {
    const failure = this.#failed(what, error);
    if (!(failure instanceof TypeError)) {
      this.#writeError ??= error;
      this.#written = true;
    }
    return failure;
  }

  #noBytes(what: string, p: unknown): TypeError {
    return new TypeError(`Cannot ${what} ${this.target}: not a Uint8Array but ${typeof p}`);
  }

  #gone(what: string): Error {
    return this.#error("SOCKS5_CONN_CLOSED", what, `it was ${this.#over ?? "closed for writing"}`);
  }

  /** What an error of the runtime means to the holder; wrong arguments are none of the connection's. */
  #failed(what: string, cause: unknown): unknown {
    if (cause instanceof TypeError) return cause;
    if (this.#over !== undefined) return this.#error("SOCKS5_CONN_CLOSED", what, `it was ${this.#over}`, cause);
    if (this.#tunnel.closedBy === "client") {
      return this.#error("SOCKS5_CLIENT_CLOSED", what, "the client was closed", cause);
    }
    return this.#error("SOCKS5_CONN_RESET", what, "the connection broke", cause);
  }

  #error(code: Socks5ErrorCode, what: string, why: string, cause?: unknown): Error {
    const { proxy, target } = this;
    return socks5Error(code, `Cannot ${what} ${target} through ${proxy}: ${why}`, {
      phase: "transfer",
      proxy,
      target,
      cause,
    });
  }
}
