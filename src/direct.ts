import { nodeTransport } from "../adapters/node/mod.ts";
import "../adapters/runtime.ts";
import { checkOptions } from "./arguments.ts";
import type { ClientLike } from "./client_of.ts";
import type { ConnectOptions } from "./config/options.ts";
import { tlsOptions } from "./config/tls_options.ts";
import { ProtocolError, socks5Error } from "./errors.ts";
import { SoundConn } from "./guarded_conn.ts";
import { parseTarget, type Target } from "./protocol/address.ts";
import { runtime } from "./runtime.ts";
import type { ByteStream, Conn, TlsOptions } from "./transport.ts";
import type { Socks5Conn, StartTlsOptions } from "./tunnel/socks5_conn.ts";
import { startTls } from "./tunnel/start_tls.ts";
import { readableOf, writableOf } from "./tunnel/web_streams.ts";

/**
 * Connects past every proxy, for targets that are bypassed and for nothing else. Errors are those of `node:net`, by whose
 * codes libraries decide, and a {@linkcode TlsError} if TLS fails.
 */
export const direct: ClientLike = {
  async connect(target: Target, { signal }: ConnectOptions = {}): Promise<Socks5Conn> {
    const { hostname, port, name } = parseTarget(target);
    return new DirectConn(await nodeTransport.connect({ hostname, port }, { signal }), name, hostname);
  },
};

/** A connection without a proxy, in the shape of a tunnel. */
class DirectConn extends SoundConn implements Socks5Conn {
  /** None: all that shows a proxy shows nothing. */
  readonly proxy: string = undefined as unknown as string;
  readonly target: string;
  readonly boundAddress: { hostname: string; port: number } = { hostname: "", port: 0 };
  readonly reused = false;
  readonly #conn: Conn;
  readonly #hostname: string;
  #readable: ByteStream | undefined;
  #writable: WritableStream<Uint8Array> | undefined;

  constructor(conn: Conn, target: string, hostname: string) {
    super();
    this.#conn = conn;
    this.target = target;
    this.#hostname = hostname;
  }

  read(p: Uint8Array): Promise<number | null> {
    return this.#conn.read(p);
  }

  write(p: Uint8Array): Promise<number> {
    return this.#conn.write(p);
  }

  closeWrite(): Promise<void> {
    return this.#conn.closeWrite();
  }

  close(): void {
    this.#conn.close();
  }

  release(): void {
    this.close();
  }

  ref(): void {
    this.#conn.ref?.();
  }

  unref(): void {
    this.#conn.unref?.();
  }

  markIdle(): void {} // it has no place in a pool

  markInUse(): boolean {
    return true;
  }

  detach(): ReturnType<Socks5Conn["detach"]> {
    if (this.#conn.detach === undefined) {
      throw new TypeError(`Cannot detach from ${this.target}: it has no socket to give`);
    }
    return this.#conn.detach();
  }

  get remoteAddress(): string | undefined {
    return this.#conn.remoteAddress;
  }

  get alpnProtocol(): string | null {
    return this.#conn.alpnProtocol ?? null;
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

  async startTls({ signal, timeout: _, ...options }: StartTlsOptions = {}): Promise<Socks5Conn> {
    const tls = tlsOptions(
      "the options of startTls()",
      checkOptions("the options of startTls()", options, TLS),
      this.#hostname,
    );
    const abort = () => this.close();
    signal?.throwIfAborted();
    signal?.addEventListener("abort", abort);
    try {
      const secured = await startTls(this.#conn, tls, runtime().startTls, "target");
      return new DirectConn(secured, this.target, this.#hostname);
    } catch (error) {
      this.close();
      if (signal?.aborted) throw signal.reason;
      if (!(error instanceof ProtocolError)) throw error;
      const { code, message, cause } = error;
      throw socks5Error(code, `Cannot connect to ${this.target} directly: ${message}`, {
        phase: "tls",
        target: this.target,
        cause,
      });
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }
}

const TLS: Readonly<Record<keyof TlsOptions, true>> = {
  serverName: true,
  caCerts: true,
  cert: true,
  key: true,
  alpnProtocols: true,
};
