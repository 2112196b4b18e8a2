import { SoundConn } from "../../src/guarded_conn.ts";
import type { Conn, TlsOptions, UnreadableConn } from "../../src/transport.ts";
import { unreadPlaintext } from "../tls_error.ts";

/** The part of a connection of Deno that this package uses. */
export interface DenoConn {
  /** Reads into `p` what is there, or waits; `null` at the end. */
  read(p: Uint8Array): Promise<number | null>;
  /** Writes the beginning of `p` and gives its length. */
  write(p: Uint8Array): Promise<number>;
  /** Sends FIN. */
  closeWrite(): Promise<void>;
  /** Closes both ways; throws when called twice. */
  close(): void;
  /** Lets it keep the process alive. */
  ref(): void;
  /** Lets the process end although it is open. */
  unref(): void;
  /** The other end; of a unix socket it has no host. */
  readonly remoteAddr?: { readonly hostname?: string };
  /** TCP_NODELAY; a unix socket has none. */
  setNoDelay?(on?: boolean): void;
  /** TCP keep-alive; a unix socket has none. */
  setKeepAlive?(on?: boolean): void;
}

/** What ends an attempt. */
export type TlsAttempt = { close(): void };

/** A byte pipe over a connection of Deno. */
export class DenoPipe extends SoundConn implements UnreadableConn {
  protected readonly conn: DenoConn;
  #reading = false;
  #settled: ((it: unknown) => number | null) | undefined;
  #writes = 0;
  #lastWrite: Promise<number> | undefined;
  #closedWrite: Promise<void> | undefined;
  #unread: Uint8Array | undefined;
  #ended = false;
  #error: unknown;
  #handshake: TlsAttempt | undefined;
  protected gone: "closed" | "detached" | "given to TLS" | undefined;

  constructor(conn: DenoConn) {
    super();
    this.conn = conn;
  }

  read(p: Uint8Array): Promise<number | null> {
    if (this.#reading) return Promise.reject(new TypeError("Cannot read: another read is pending"));
    if (this.gone) return Promise.reject(this.#failure());
    if (p.length === 0) return Promise.resolve(0);
    if (this.#unread !== undefined) return Promise.resolve(this.#takeUnread(this.#unread, p));
    if (this.#ended) return Promise.resolve(null);
    this.#reading = true;
    // made once, since reading is what is done most, and one for both, since idle connections keep it
    this.#settled ??= (it) => it === null || typeof it === "number" ? this.#received(it) : this.#received(null, it);
    return this.conn.read(p).then(this.#settled, this.#settled);
  }

  unread(bytes: Uint8Array): void {
    const after = this.takeHead();
    this.#unread = new Uint8Array(bytes.length + after.length);
    this.#unread.set(bytes);
    this.#unread.set(after, bytes.length);
  }

  write(p: Uint8Array): Promise<number> {
    if (this.#closedWrite) return Promise.reject(new Error("Cannot write: the writing side is closed"));
    const write = () => this.#writeAll(p);
    return this.#lastWrite = this.#writes++ && this.#lastWrite ? this.#lastWrite.then(write, write) : write();
  }

  closeWrite(): Promise<void> {
    return this.#closedWrite ??= this.#shutdown();
  }

  close(): void {
    this.#handshake?.close();
    if (this.gone) return;
    this.gone = "closed";
    this.conn.close();
  }

  async startTls(options: TlsOptions): Promise<Conn> {
    const reason = this.whyBusy();
    if (reason) throw new TypeError(`Cannot start TLS: ${reason}`);
    if (this.#unread !== undefined) {
      this.close();
      throw unreadPlaintext();
    }
    this.gone = "given to TLS";
    try {
      return await this.secure(options, (attempt) => this.#handshake = attempt);
    } finally {
      this.#handshake = undefined;
    }
  }

  /** With `node:tls`; tells whom to close until then. */
  protected async secure(options: TlsOptions, during: (attempt: TlsAttempt) => void): Promise<Conn> {
    const pipe = new DenoPipe(this.conn);
    during(pipe);
    const { startTlsOver } = await import("../tls.ts");
    return await startTlsOver(pipe, options);
  }

  get remoteAddress(): string | undefined {
    return this.conn.remoteAddr?.hostname;
  }

  ref(): void {
    if (!this.gone) this.conn.ref();
  }

  unref(): void {
    if (!this.gone) this.conn.unref();
  }

  /** Gives what was put back, to whom takes the connection over. */
  protected takeHead(): Uint8Array {
    const head = this.#unread ?? new Uint8Array();
    this.#unread = undefined;
    return head;
  }

  #takeUnread(unread: Uint8Array, p: Uint8Array): number {
    const n = Math.min(p.length, unread.length);
    p.set(n < unread.length ? unread.subarray(0, n) : unread);
    this.#unread = n < unread.length ? unread.subarray(n) : undefined;
    return n;
  }

  #received(n: number | null, error?: unknown): number | null {
    this.#reading = false;
    if (n !== null) return n;
    // a FIN without close_notify: the other runtimes do not tell it from an end, and many servers hang up like that
    if (error && this.isEnd(error)) error = undefined;
    if (error) throw this.#failure(error);
    // the kernel tells of a reset once, then of an end: the error may have gone to an earlier read or a write
    if (this.#error) throw this.#error;
    this.#ended = true;
    return null;
  }

  protected isEnd(_error: unknown): boolean {
    return false;
  }

  protected whyBusy(): string | undefined {
    if (this.gone) return `the connection is ${this.gone}`;
    if (this.#reading) return "a read is pending";
    if (this.#writes > 0) return "a write is pending";
    return this.#ended || this.#error ? "the connection has ended" : undefined;
  }

  async #writeAll(p: Uint8Array): Promise<number> {
    try {
      if (this.gone || this.#error) throw this.#failure();
      for (let n = 0; n < p.length;) n += await this.conn.write(n === 0 ? p : p.subarray(n));
      return p.length;
    } catch (error) {
      throw this.#failure(error);
    } finally {
      if (--this.#writes === 0) this.#lastWrite = undefined;
    }
  }

  async #shutdown(): Promise<void> {
    this.#writes++;
    try {
      await this.#lastWrite;
      if (this.gone || this.#error) throw this.#failure();
      await this.conn.closeWrite();
    } catch (error) {
      throw this.#failure(error);
    } finally {
      this.#writes--;
    }
  }

  #failure(error?: unknown): unknown {
    if (this.gone) return new Error(`The connection is ${this.gone}`);
    return this.#error ??= error;
  }
}
