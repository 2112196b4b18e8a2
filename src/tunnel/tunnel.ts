import { isBytes } from "../arguments.ts";
import { cannot } from "../errors.ts";
import { SoundConn } from "../guarded_conn.ts";
import type { Lease } from "../pool/lease.ts";
import type { ByteStream, Conn, Detached, Lent } from "../transport.ts";
import type { ProxyConn } from "./proxy_conn.ts";
import type { Socks5Conn, StartTlsOptions } from "./socks5_conn.ts";
import { type EndedBy, noBytes, tunnelError } from "./tunnel_error.ts";
import { type TlsSetup, upgradeHeldTls } from "./upgrade_tls.ts";
import { readableOf, writableOf } from "./web_streams.ts";

/** One holder's hold on a tunnel: once closed, released or detached, nothing more goes through it. */
export class Tunnel<S> extends SoundConn implements Socks5Conn<S> {
  readonly reused: boolean;
  readonly #conn: ProxyConn<S>;
  readonly #lease: Lease<ProxyConn<S>>;
  readonly #setup: TlsSetup;
  readonly #mayRelease: boolean;
  readonly #writeSide = new WriteSide();
  #endedBy: EndedBy | undefined;
  #reading = false;
  #isForgotten = false;
  #read: { done(n: number | null): number | null; failed(error: unknown): never } | undefined;
  #write: { done(n: number): number; failed(error: unknown): never } | undefined;
  #ended = false; // the peer's FIN was read
  #broken = false; // a read failed
  #readable: ByteStream | undefined;
  #writable: WritableStream<Uint8Array> | undefined;

  /**
   * `reused`: whether somebody has used and released it before. `mayRelease`: whether `release()` gives it back to the pool.
   */
  constructor(
    conn: ProxyConn<S>,
    lease: Lease<ProxyConn<S>>,
    setup: TlsSetup,
    reused: boolean,
    mayRelease: boolean,
  ) {
    super();
    this.#conn = conn;
    this.#lease = lease;
    this.#setup = setup;
    this.reused = reused;
    this.#mayRelease = mayRelease;
  }

  get proxy(): string {
    return this.#conn.proxy.name;
  }

  get target(): string {
    return this.#conn.target;
  }

  get boundAddress(): { hostname: string; port: number } {
    return this.#conn.reply!.bound;
  }

  read(p: Uint8Array): Promise<number | null> {
    if (this.#endedBy !== undefined) return Promise.reject(this.#usedUp("read from"));
    if (!isBytes(p)) return Promise.reject(noBytes(this, "read from", p));
    if (this.#reading) return Promise.reject(new TypeError(`Cannot read from ${this.target}: another read is pending`));
    if (p.length === 0) return Promise.resolve(0);
    if (this.#ended) return Promise.resolve(null);
    this.#reading = true;
    // made once, since reading is what is done most
    this.#read ??= { done: (n) => this.#received(n), failed: (error) => this.#notReceived(error) };
    return this.#conn.read(p).then(this.#read.done, this.#read.failed);
  }

  write(p: Uint8Array): Promise<number> {
    const { error, isClosed } = this.#writeSide;
    if (this.#endedBy !== undefined) return Promise.reject(this.#usedUp("write to"));
    if (!isBytes(p)) return Promise.reject(noBytes(this, "write to", p));
    if (error !== undefined) return Promise.reject(this.#failed("write to", error));
    if (isClosed) return Promise.reject(this.#usedUp("write to"));
    this.#writeSide.start();
    this.#write ??= { done: (n) => this.#sent(n), failed: (error) => this.#notSent(error) };
    return this.#conn.conn.write(p).then(this.#write.done, this.#write.failed);
  }

  async closeWrite(): Promise<void> {
    if (this.#endedBy !== undefined) throw this.#usedUp("close the writing side to");
    try {
      await this.#writeSide.closeWrite(this.#conn.conn);
    } catch (error) {
      throw this.#failed("close the writing side to", error);
    } finally {
      this.#destroyIfEnded();
    }
  }

  close(): void {
    if (this.#endedBy === "secured") return; // it is another's
    if (this.#endedBy === undefined || this.#endedBy === "securing") this.#endedBy = "closed";
    this.#lease.destroy("holder");
  }

  release(): void {
    if (this.#endedBy !== undefined) return;
    if (this.#busy || this.#ending || !this.#mayRelease || this.#isStreamed) return this.close();
    this.#endedBy = "released";
    this.#lease.release();
  }

  markIdle(evicted: () => void): void {
    if (typeof evicted !== "function") throw new TypeError(cannot("evicted", "a function", typeof evicted));
    if (this.#endedBy !== undefined) return;
    this.#lease.markIdle(() => {
      try {
        evicted();
      } catch {
        // it was told
      }
    });
  }

  markInUse(): boolean {
    return this.#endedBy === undefined && this.#lease.markInUse();
  }

  detach(): Detached<S> {
    this.#mustBeAtRest("detach from");
    const { conn } = this.#conn;
    const why = this.reused
      ? "it was used before"
      : conn.detach === undefined
      ? `its ${conn.alpnProtocol === undefined ? "transport" : "TLS"} has no socket to give`
      : null;
    if (why !== null) throw new TypeError(`Cannot detach from ${this.target}: ${why}`);
    const detached = conn.detach!();
    this.#endedBy = "detached";
    this.#lease.destroy("detached");
    return detached;
  }

  override forget(): void {
    this.#isForgotten = true;
    SoundConn.forget(this.#conn.conn);
  }

  override lend(): Lent | undefined {
    const isAtRest = this.#endedBy === undefined && !this.#busy && !this.#ending && this.#conn.closedBy === undefined;
    const lent = isAtRest ? this.#conn.lend() : undefined;
    if (lent === undefined) return undefined;
    const broke = (cause: unknown) => {
      const failure = this.#failed("use", lent.broke(cause));
      this.#lease.destroy("peer");
      return failure;
    };
    return { socket: lent.socket, broke };
  }

  startTls(options: StartTlsOptions = {}): Promise<Socks5Conn<S>> {
    try {
      this.#mustBeAtRest("start TLS with");
      if (this.#isStreamed) throw new TypeError(`Cannot start TLS with ${this.target}: its streams were used`);
      const upgrading = upgradeHeldTls(
        this.#conn,
        options,
        this.#setup,
        () => this.#upgraded(),
        () => this.#lease.destroy("holder"),
      );
      this.#endedBy = "securing";
      return upgrading;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  get alpnProtocol(): string | null {
    return this.#conn.conn.alpnProtocol ?? null;
  }

  ref(): void {
    if (this.#endedBy === undefined) this.#conn.conn.ref?.();
  }

  unref(): void {
    if (this.#endedBy === undefined) this.#conn.conn.unref?.();
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

  #upgraded(): Tunnel<S> {
    this.#endedBy = "secured";
    return new Tunnel(this.#conn, this.#lease, this.#setup, this.reused, false);
  }

  #received(n: number | null): number | null {
    this.#reading = false;
    if (n !== null) {
      this.#conn.count(0, n);
      return n;
    }
    this.#ended = true;
    this.#destroyIfEnded();
    return null;
  }

  #notReceived(error: unknown): never {
    this.#reading = false;
    if (this.#isForgotten) throw error;
    const failure = this.#failed("read from", error);
    this.#broken = !(failure instanceof TypeError);
    this.#destroyIfEnded();
    throw failure;
  }

  #sent(n: number): number {
    this.#conn.count(n, 0);
    this.#writeSide.finish();
    this.#destroyIfEnded();
    return n;
  }

  #notSent(error: unknown): never {
    const failure = this.#failed("write to", this.#writeSide.fail(error));
    this.#destroyIfEnded();
    throw failure;
  }

  get #busy(): boolean {
    return this.#reading || this.#writeSide.isBusy;
  }

  get #isStreamed(): boolean {
    return this.#readable !== undefined || this.#writable !== undefined;
  }

  #mustBeAtRest(what: string): void {
    if (this.#endedBy !== undefined) throw this.#usedUp(what);
    const ended = this.#ending || this.#conn.closedBy !== undefined;
    if (!this.#busy && !ended) return;
    throw new TypeError(`Cannot ${what} ${this.target}: ${ended ? "it has ended" : "a read or a write is pending"}`);
  }

  get #ending(): boolean {
    return this.#ended || this.#broken || this.#writeSide.isClosed || this.#writeSide.error !== undefined;
  }

  /** A tunnel that is over both ways, or whose reads fail, is of no use to its holder: its place goes to the next. */
  #destroyIfEnded(): void {
    if (this.#broken) this.#lease.destroy("peer");
    else if (this.#ended && this.#writeSide.isOver) this.#lease.destroy("holder");
  }

  #usedUp(what: string): unknown {
    return tunnelError(this, what, this.#endedBy ?? "closed for writing", undefined);
  }

  #failed(what: string, cause: unknown): unknown {
    return tunnelError(this, what, this.#endedBy, this.#conn.closedBy, cause);
  }
}

/** The writing side of a tunnel. It ends once, by our FIN or by an error, which it remembers. */
class WriteSide {
  /** What went wrong. */
  error: unknown;
  #pending = 0;
  #closing: Promise<void> | undefined;
  #isOver = false;

  /** Whether a write is pending. */
  get isBusy(): boolean {
    return this.#pending > 0;
  }

  /** Whether our FIN was asked for. */
  get isClosed(): boolean {
    return this.#closing !== undefined;
  }

  /** Whether nothing more is going to leave. */
  get isOver(): boolean {
    return this.#isOver && this.#pending === 0;
  }

  /** A write begins; {@linkcode finish} or {@linkcode fail} ends it. */
  start(): void {
    this.#pending++;
  }

  finish(): void {
    this.#pending--;
  }

  /** Gives the error. */
  fail(error: unknown): unknown {
    this.#pending--;
    return this.#failed(error);
  }

  closeWrite(conn: Conn): Promise<void> {
    return this.#closing ??= this.#closeWrite(conn);
  }

  async #closeWrite(conn: Conn): Promise<void> {
    try {
      if (this.error !== undefined) throw this.error;
      await conn.closeWrite();
      this.#isOver = true;
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** What the peer sent before may still be read. */
  #failed(error: unknown): unknown {
    if (error instanceof TypeError) return error;
    this.error ??= error;
    this.#isOver = true;
    return error;
  }
}
