import type { Conn, Detached, DialOptions, Endpoint, Transport } from "../src/transport.ts";

/** `Deno.TcpConn` where Deno's types are loaded; elsewhere the part of it that this package uses. */
export type DenoTcpConn = typeof globalThis extends { Deno: { startTls(conn: infer C, ...rest: never[]): unknown } } ? C
  : DenoConn;

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
  /** TCP_NODELAY; a unix socket has none. */
  setNoDelay?(on?: boolean): void;
  /** TCP keep-alive; a unix socket has none. */
  setKeepAlive?(on?: boolean): void;
}

/**
 * Opens connections with `Deno.connect` and hands over a `Deno.TcpConn` (a `Deno.UnixConn` for a path).
 *
 * @example A `Deno.TcpConn` through a proxy
 * ```ts deno
 * import { Socks5Client } from "jsr:@x/socks5";
 * import { denoTransport } from "jsr:@x/socks5/deno";
 *
 * const client = new Socks5Client("socks5h://user:pass@proxy.example:1080", { transport: denoTransport });
 * const { socket } = (await client.connect("example.com:80")).detach();
 * await socket.write(new TextEncoder().encode("GET / HTTP/1.0\r\nHost: example.com\r\n\r\n"));
 * for await (const chunk of socket.readable) console.log(new TextDecoder().decode(chunk));
 * ```
 */
export const denoTransport: Transport<DenoTcpConn> = {
  usesOwner: true,
  async connect(to: Endpoint, options: DialOptions = {}): Promise<Conn<DenoTcpConn>> {
    const { signal, owner, noDelay = true, keepAlive = true } = options;
    signal?.throwIfAborted();
    const dial = unused.pop() ?? newDial();
    let isDialling = true;
    const abort = () => isDialling && dial.abort();
    signal?.addEventListener("abort", abort);
    let conn: DenoConn | undefined;
    try {
      owner?.own({ close: abort });
      if (dial.signal.aborted) throw dial.signal.reason;
      conn = await open("path" in to ? { transport: "unix", path: to.path } : { ...to, signal: dial.signal });
      if (dial.signal.aborted) throw dial.signal.reason;
      const pipe = new DenoPipe(conn, noDelay, keepAlive !== false);
      isDialling = false;
      if (unused.length < 100) unused.push(dial);
      return pipe;
    } catch (error) {
      conn?.close();
      throw signal?.aborted ? signal.reason : error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  },
};

/** What has not aborted serves the next dial: they are dear. */
const unused: AbortController[] = [];

function newDial(): AbortController {
  const dial = new AbortController();
  // Deno looks at the signal once more when it has the connection, and throws without closing it
  dial.signal.throwIfAborted = () => {};
  return dial;
}

type DenoAddress =
  | { hostname: string; port: number; signal: AbortSignal }
  | { transport: "unix"; path: string };

function open(to: DenoAddress): Promise<DenoConn> {
  const { Deno } = globalThis as unknown as { Deno: { connect(to: DenoAddress): Promise<DenoConn> } };
  return Deno.connect(to);
}

class DenoPipe implements Conn<DenoTcpConn> {
  #conn: DenoConn;
  #reading = false;
  #read: { done(n: number | null): number | null; failed(error: unknown): number | null } | undefined;
  #writes = 0;
  #lastWrite: Promise<number> | undefined;
  #closedWrite: Promise<void> | undefined;
  #ended = false;
  #error: unknown;
  #gone: "closed" | "detached" | undefined;

  constructor(conn: DenoConn, noDelay: boolean, keepAlive: boolean) {
    this.#conn = conn;
    if (noDelay) conn.setNoDelay?.(true);
    if (keepAlive) conn.setKeepAlive?.(true);
  }

  read(p: Uint8Array): Promise<number | null> {
    if (this.#reading) return Promise.reject(new TypeError("Cannot read: another read is pending"));
    if (this.#gone) return Promise.reject(this.#failure());
    if (p.length === 0) return Promise.resolve(0);
    if (this.#ended) return Promise.resolve(null);
    this.#reading = true;
    // made once, since reading is what is done most
    this.#read ??= { done: (n) => this.#received(n), failed: (error) => this.#received(null, error) };
    return this.#conn.read(p).then(this.#read.done, this.#read.failed);
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
    if (this.#gone) return;
    this.#gone = "closed";
    this.#conn.close();
  }

  ref(): void {
    if (!this.#gone) this.#conn.ref();
  }

  unref(): void {
    if (!this.#gone) this.#conn.unref();
  }

  detach(): Detached<DenoTcpConn> {
    const obstacle = this.#obstacle();
    if (obstacle) throw new TypeError(`Cannot detach: ${obstacle}`);
    this.#gone = "detached";
    this.#conn.ref();
    return { socket: this.#conn as unknown as DenoTcpConn, head: new Uint8Array() };
  }

  #received(n: number | null, error?: unknown): number | null {
    this.#reading = false;
    if (n !== null) return n;
    if (error) throw this.#failure(error);
    // the kernel tells of a reset once, then of an end: the error may have gone to an earlier read or a write
    if (this.#error) throw this.#error;
    this.#ended = true;
    return null;
  }

  #obstacle(): string | undefined {
    if (this.#gone) return `the connection is ${this.#gone}`;
    if (this.#reading) return "a read is pending";
    if (this.#writes > 0) return "a write is pending";
    return this.#ended || this.#error ? "the connection has ended" : undefined;
  }

  async #writeAll(p: Uint8Array): Promise<number> {
    try {
      if (this.#gone || this.#error) throw this.#failure();
      for (let n = 0; n < p.length;) n += await this.#conn.write(n === 0 ? p : p.subarray(n));
      return p.length;
    } catch (error) {
      throw this.#failure(error);
    } finally {
      this.#writes--;
    }
  }

  async #shutdown(): Promise<void> {
    this.#writes++;
    try {
      await this.#lastWrite;
      if (this.#gone) throw this.#failure();
      await this.#conn.closeWrite();
    } catch (error) {
      throw this.#failure(error);
    } finally {
      this.#writes--;
    }
  }

  #failure(error?: unknown): unknown {
    if (this.#gone) return new Error(`The connection is ${this.#gone}`);
    return this.#error ??= error;
  }
}
