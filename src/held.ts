import { decodeHost } from "./address.ts";
import { connError, type Holding, noBytes, type Socks5Conn } from "./connection.ts";
import type { Session } from "./session.ts";
import { readableOf, writableOf } from "./streams.ts";
import type { Detached } from "./transport.ts";

/** One holder's hold on a tunnel: once closed, released or detached, nothing more goes through it. */
export class HeldConn<S> implements Socks5Conn<S> {
  readonly reused: boolean;
  readonly #tunnel: Session<S>;
  readonly #holding: Holding;
  readonly #mayRelease: boolean;
  #over: "closed" | "released" | "detached" | undefined;
  #reading = false;
  #read: { done(n: number | null): number | null; failed(error: unknown): never } | undefined;
  #writing = 0;
  #ended = false; // the peer's FIN was read
  #broken = false; // a read failed
  #closing: Promise<void> | undefined; // our FIN
  #written = false; // our FIN is sent, or writing failed
  #writeError: unknown;
  #readable: ReadableStream<Uint8Array<ArrayBuffer>> | undefined;
  #writable: WritableStream<Uint8Array> | undefined;

  constructor(tunnel: Session<S>, holding: Holding, use: { reused: boolean; mayRelease: boolean }) {
    this.reused = use.reused;
    this.#mayRelease = use.mayRelease;
    this.#tunnel = tunnel;
    this.#holding = holding;
  }

  get proxy(): string {
    return this.#tunnel.proxy.name;
  }

  get target(): string {
    return this.#tunnel.target;
  }

  get boundAddress(): { hostname: string; port: number } {
    const { atyp, bndAddr, bndPort } = this.#tunnel.reply!;
    return { hostname: decodeHost(atyp, bndAddr), port: bndPort };
  }

  read(p: Uint8Array): Promise<number | null> {
    if (this.#over !== undefined) return Promise.reject(this.#gone("read from"));
    if (!(p instanceof Uint8Array)) return Promise.reject(noBytes(this, "read from", p));
    if (this.#reading) return Promise.reject(new TypeError(`Cannot read from ${this.target}: another read is pending`));
    if (p.length === 0) return Promise.resolve(0);
    if (this.#ended) return Promise.resolve(null);
    this.#reading = true;
    // made once, since reading is what is done most
    this.#read ??= { done: (n) => this.#received(n), failed: (error) => this.#notReceived(error) };
    return this.#tunnel.read(p).then(this.#read.done, this.#read.failed);
  }

  async write(p: Uint8Array): Promise<number> {
    if (this.#over !== undefined) throw this.#gone("write to");
    if (!(p instanceof Uint8Array)) throw noBytes(this, "write to", p);
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

  #received(n: number | null): number | null {
    this.#reading = false;
    if (n !== null) return n;
    this.#ended = true;
    this.#freeIfOver();
    return null;
  }

  #notReceived(error: unknown): never {
    this.#reading = false;
    const failure = this.#failed("read from", error);
    this.#broken = !(failure instanceof TypeError);
    this.#freeIfOver();
    throw failure;
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

  #gone(what: string): Error {
    return connError(this, "SOCKS5_CONN_CLOSED", what, `it was ${this.#over ?? "closed for writing"}`);
  }

  /** What an error of the runtime means to the holder; wrong arguments are none of the connection's. */
  #failed(what: string, cause: unknown): unknown {
    if (cause instanceof TypeError) return cause;
    if (this.#over !== undefined) return connError(this, "SOCKS5_CONN_CLOSED", what, `it was ${this.#over}`, cause);
    if (this.#tunnel.closedBy === "client") {
      return connError(this, "SOCKS5_CLIENT_CLOSED", what, "the client was closed", cause);
    }
    return connError(this, "SOCKS5_CONN_RESET", what, "the connection broke", cause);
  }
}
