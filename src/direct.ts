import { nodeTransport } from "../adapters/node/mod.ts";
import "../adapters/runtime.ts";
import { checkOptions } from "./arguments.ts";
import type { ClientLike } from "./client_of.ts";
import type { ConnectOptions } from "./config/options.ts";
import { tlsOptions } from "./config/tls_options.ts";
import { milliseconds } from "./config/settings.ts";
import { DeadlineTimer, type Timed } from "./deadline_timer.ts";
import { cannotConnect, ProtocolError, socks5Error, timedOut } from "./errors.ts";
import { SoundConn } from "./guarded_conn.ts";
import { parseTarget, type Target } from "./protocol/address.ts";
import { runtime } from "./runtime.ts";
import { type AttemptScope, Scope } from "./scope.ts";
import type { ByteStream, Conn, OwnedTransport } from "./transport.ts";
import type { Socks5Conn, StartTlsOptions } from "./tunnel/socks5_conn.ts";
import { startTls } from "./tunnel/start_tls.ts";
import { START_TLS } from "./tunnel/upgrade_tls.ts";
import { readableOf, writableOf } from "./tunnel/web_streams.ts";

/**
 * Connects past every proxy, for targets that are bypassed and for nothing else. Errors are those of `node:net`, by whose
 * codes libraries decide; a {@linkcode TlsError} if TLS fails, and a {@linkcode TimeoutError} if it or the connect takes
 * longer than `timeout`. Without a `timeout` the limit is that of the system.
 */
export const direct: ClientLike = {
  async connect(target: Target, options: ConnectOptions = {}): Promise<Socks5Conn> {
    const { hostname, port, name } = parseTarget(target);
    const conn = await within(options, name, "dial", (owner) => transport.connect({ hostname, port }, { owner }));
    return new DirectConn(conn, name, hostname);
  },
};

const transport = nodeTransport as OwnedTransport;
const timer = new DeadlineTimer<Timed>(true);
const VERB = "connect directly to";

/** Takes a step, which is given up when its time is over or its signal aborts: then what it owns is closed. */
async function within<T>(
  { signal, timeout }: Pick<ConnectOptions, "signal" | "timeout">,
  target: string,
  phase: "dial" | "tls",
  step: (owner: AttemptScope) => Promise<T>,
): Promise<T> {
  const ms = milliseconds("timeout", timeout, Infinity);
  const waiting = phase === "dial" ? "for the connection to open" : undefined;
  const expired = () => timedOut("timeout", ms, phase, null, { verb: VERB, target }, waiting);
  const scope = new Scope(timer, signal, ms, expired);
  try {
    const result = await scope.run(step(scope.attempt));
    scope.throwIfEnded();
    scope.detach();
    return result;
  } catch (thrown) {
    const reason = scope.ended === undefined ? thrown : scope.ended.reason;
    scope.end(reason);
    throw reason;
  }
}

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

  async startTls(given: StartTlsOptions = {}): Promise<Socks5Conn> {
    const name = "the options of startTls()";
    const options = checkOptions(name, given, START_TLS);
    const tls = tlsOptions(name, options, this.#hostname);
    const secured = await within(options, this.target, "tls", async (owner) => {
      owner.own(this);
      return owner.own(await startTls(this.#conn, tls, runtime().startTls, "target"));
    }).catch((error) => {
      if (!(error instanceof ProtocolError)) throw error;
      const { code, message, cause } = error;
      const cannot = cannotConnect(null, this.target, VERB);
      throw socks5Error(code, `${cannot}: ${message}`, { phase: "tls", target: this.target, cause });
    });
    return new DirectConn(secured, this.target, this.#hostname);
  }
}
