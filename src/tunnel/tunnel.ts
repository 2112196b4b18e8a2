import { isBytes } from "../arguments.ts";
import {
  type EndedBy,
  heldError,
  type Holding,
  noBytes,
  type Socks5Conn,
  type StartTlsOptions,
  type TunnelOptions,
} from "./socks5_conn.ts";
import { cannot } from "../errors.ts";
import { SoundConn } from "../guarded_conn.ts";
import { WriteSide } from "./write_side.ts";
import type { ProxyConn } from "./proxy_conn.ts";
import { readableOf, writableOf } from "./web_streams.ts";
import type { ByteStream, Detached } from "../transport.ts";

/** One holder's hold on a tunnel: once closed, released or detached, nothing more goes through it. */
export class Tunnel<S> extends SoundConn implements Socks5Conn<S> {
  readonly #tunnel: ProxyConn<S>;
  readonly #holding: Holding;
  readonly #use: TunnelOptions;
  readonly #sending = new WriteSide();
  #over: EndedBy | undefined;
  #reading = false;
  #read: { done(n: number | null): number | null; failed(error: unknown): never } | undefined;
  #ended = false; // the peer's FIN was read
  #broken = false; // a read failed
  #readable: ByteStream | undefined;
  #writable: WritableStream<Uint8Array> | undefined;

  constructor(tunnel: ProxyConn<S>, holding: Holding, use: TunnelOptions) {
    super();
    this.#tunnel = tunnel;
    this.#holding = holding;
    this.#use = use;
  }

  get reused(): boolean {
    return this.#use.reused;
  }

  get proxy(): string {
    return this.#tunnel.proxy.name;
  }

  get target(): string {
    return this.#tunnel.target;
  }

  get boundAddress(): { hostname: string; port: number } {
    return this.#tunnel.reply!.bound;
  }

  read(p: Uint8Array): Promise<number | null> {
    if (this.#over !== undefined) return Promise.reject(this.#gone("read from"));
    if (!isBytes(p)) return Promise.reject(noBytes(this, "read from", p));
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
    if (!isBytes(p)) throw noBytes(this, "write to", p);
    if (this.#sending.error !== undefined) throw this.#failed("write to", this.#sending.error);
    if (this.#sending.isClosed) throw this.#gone("write to");
    try {
      return await this.#sending.write(this.#tunnel.conn, p);
    } catch (error) {
      throw this.#failed("write to", error);
    } finally {
      this.#freeIfOver();
    }
  }

  async closeWrite(): Promise<void> {
    if (this.#over !== undefined) throw this.#gone("close the writing side to");
    try {
      await this.#sending.closeWrite(this.#tunnel.conn);
    } catch (error) {
      throw this.#failed("close the writing side to", error);
    } finally {
      this.#freeIfOver();
    }
  }

  close(): void {
    if (this.#over === "secured") return; // it is another's
    if (this.#over === undefined || this.#over === "securing") this.#over = "closed";
    this.#holding.destroy("holder");
  }

  release(): void {
    if (this.#over !== undefined) return;
    if (this.#busy || this.#ending || !this.#use.mayRelease || this.#isStreamed) return this.close();
    this.#over = "released";
    this.#holding.release();
  }

  markIdle(evicted: () => void): void {
    if (typeof evicted !== "function") throw new TypeError(cannot("evicted", "a function", typeof evicted));
    if (this.#over !== undefined) return;
    this.#holding.markIdle(() => {
      try {
        evicted();
      } catch {
        // it was told
      }
    });
  }

  markInUse(): boolean {
    return this.#over === undefined && this.#holding.markInUse();
  }

  detach(): Detached<S> {
    this.#mustBeAtRest("detach from");
    const { conn } = this.#tunnel;
    const why = this.reused
      ? "it was used before"
      : conn.detach === undefined
      ? `its ${conn.alpnProtocol === undefined ? "transport" : "TLS"} has no socket to give`
      : null;
    if (why !== null) throw new TypeError(`Cannot detach from ${this.target}: ${why}`);
    const detached = conn.detach!();
    this.#over = "detached";
    this.#holding.destroy("detached");
    return detached;
  }

  startTls(options: StartTlsOptions = {}): Promise<Socks5Conn<S>> {
    try {
      this.#mustBeAtRest("start TLS with");
      if (this.#isStreamed) throw new TypeError(`Cannot start TLS with ${this.target}: its streams were used`);
      const securing = this.#use.secure(this.#tunnel, options, {
        secured: () => this.#secured(),
        failed: () => this.#holding.destroy("holder"),
      });
      this.#over = "securing";
      return securing;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  get alpnProtocol(): string | null {
    return this.#tunnel.conn.alpnProtocol ?? null;
  }

  ref(): void {
    if (this.#over === undefined) this.#tunnel.conn.ref?.();
  }

  unref(): void {
    if (this.#over === undefined) this.#tunnel.conn.unref?.();
  }

  get readable(): ByteStream {
    return this.#readable ??= readableOf(this);
  }

  get writable(): WritableStream<Uint8Array> {
    return this.#writable ??= writableOf(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #secured(): Tunnel<S> {
    this.#over = "secured";
    return new Tunnel(this.#tunnel, this.#holding, { ...this.#use, mayRelease: false });
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
    return this.#reading || this.#sending.isBusy;
  }

  get #isStreamed(): boolean {
    return this.#readable !== undefined || this.#writable !== undefined;
  }

  #mustBeAtRest(what: string): void {
    if (this.#over !== undefined) throw this.#gone(what);
    const ended = this.#ending || this.#tunnel.closedBy !== undefined;
    if (!this.#busy && !ended) return;
    throw new TypeError(`Cannot ${what} ${this.target}: ${ended ? "it has ended" : "a read or a write is pending"}`);
  }

  get #ending(): boolean {
    return this.#ended || this.#broken || this.#sending.isClosed || this.#sending.error !== undefined;
  }

  /** A tunnel that is over both ways, or whose reads fail, is of no use to its holder: its place goes to the next. */
  #freeIfOver(): void {
    if (this.#broken) this.#holding.destroy("peer");
    else if (this.#ended && this.#sending.isOver) this.#holding.destroy("holder");
  }

  #gone(what: string): unknown {
    return heldError(this, what, this.#over ?? "closed for writing", undefined);
  }

  #failed(what: string, cause: unknown): unknown {
    return heldError(this, what, this.#over, this.#tunnel.closedBy, cause);
  }
}
