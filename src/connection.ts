import { socks5Error, type Socks5ErrorCode } from "./errors.ts";
import type { Tunnel } from "./park.ts";
import type { CloseReason } from "./place.ts";
import { readableOf, writableOf } from "./streams.ts";
import type { Conn, Detached } from "./transport.ts";

/**
 * A tunnel to the target, as `Socks5Client.connect` gives it. It is the caller's to close. I/O on it fails with
 * {@linkcode ClosedError}, the runtime's error as its cause.
 */
export interface Socks5Conn<S = unknown> extends Conn<S> {
  /** `"host:port"` of the proxy. */
  readonly proxy: string;
  /** `"host:port"` of the target. */
  readonly target: string;
  /** BND.ADDR and BND.PORT of the reply, often 0.0.0.0 and 0 (RFC 1928 section 6). */
  readonly boundAddress: { hostname: string; port: number };
  /** Whether somebody has used and released it before. */
  readonly reused: boolean;
  /** A byte stream over {@linkcode Conn.read} that reads nothing ahead. Cancelling it closes the tunnel, its end does not. */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** A stream over {@linkcode Conn.write}: closing it is {@linkcode Conn.closeWrite}, aborting it closes the tunnel. */
  readonly writable: WritableStream<Uint8Array>;
  /** Back to the pool, if it was opened with `reuse`, is at rest, open both ways and never streamed; else `close()`. */
  release(): void;
  /**
   * Hands over the runtime's own socket, which the client counts no longer.
   *
   * @throws {TypeError} If the tunnel is a reused one, has a read or a write pending, has ended, or has no such socket.
   */
  detach(): Detached<S>;
  /** `close()`; never `release()`. */
  [Symbol.dispose](): void;
}

/** What one holder may do with the place of a tunnel; the first call counts. */
export interface Holding {
  release(): void;
  free(reason: CloseReason): void;
}

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
  #ended = false; // the peer's FIN
  #shut = false; // ours
  #broken = false;
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
      if (this.#broken || (this.#ended && this.#shut)) this.#holding.free(this.#broken ? "peer" : "holder");
    }
  }

  async write(p: Uint8Array): Promise<number> {
    if (this.#over !== undefined || this.#shut) throw this.#gone("write to");
    if (!(p instanceof Uint8Array)) {
      throw new TypeError(`Cannot write to ${this.target}: not a Uint8Array but ${typeof p}`);
    }
    this.#writing++;
    try {
      return await this.#tunnel.conn.write(p);
    } catch (error) {
      this.#shut = true; // what the peer sent before may still be read
      throw this.#failed("write to", error);
    } finally {
      this.#writing--;
    }
  }

  async closeWrite(): Promise<void> {
    if (this.#over !== undefined) throw this.#gone("close the writing side to");
    if (this.#shut) return;
    this.#shut = true;
    try {
      await this.#tunnel.conn.closeWrite();
    } catch (error) {
      throw this.#failed("close the writing side to", error);
    }
    if (this.#ended) this.#holding.free("holder");
  }

  close(): void {
    this.#over ??= "closed";
    this.#holding.free("holder");
  }

  release(): void {
    if (this.#over !== undefined) return;
    const atRest = !this.#reading && this.#writing === 0 && !this.#ended && !this.#shut && !this.#broken;
    if (!atRest || !this.#mayRelease || this.#readable !== undefined || this.#writable !== undefined) {
      return this.close();
    }
    this.#over = "released";
    this.#holding.release();
  }

  detach(): Detached<S> {
    if (this.#over !== undefined) throw this.#gone("detach from");
    const why = this.reused
      ? "it was used before"
      : this.#reading || this.#writing > 0
      ? "a read or a write is pending"
      : this.#ended || this.#shut || this.#broken || this.#tunnel.closedBy !== undefined
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
