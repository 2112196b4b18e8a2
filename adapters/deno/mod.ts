/**
 * The transport of Deno: `Deno.connect`. A client on Deno uses it by default.
 *
 * @module
 */
import type {
  Conn,
  DatagramHandlers,
  DatagramSocket,
  Detached,
  Endpoint,
  OwnedDialOptions,
  OwnedTransport,
  TlsOptions,
  Transport,
} from "../../src/transport.ts";
import { NullPrototype, ownDial, pathOf } from "../../src/own_dials.ts";
import { type DenoConn, DenoPipe, type TlsAttempt } from "./pipe.ts";

export type { DenoConn } from "./pipe.ts";

const transport: OwnedTransport<DenoTcpConn> = {
  usesOwner: true,
  async lookup(hostname: string, options?: { signal?: AbortSignal | undefined }): Promise<readonly string[]> {
    return await (await import("../dns.ts")).lookup(hostname, options);
  },
  async openDatagrams(isIpv6: boolean, handlers: DatagramHandlers): Promise<DatagramSocket> {
    return await (await import("../udp_socket.ts")).openDatagrams(isIpv6, handlers);
  },
  async connect(to: Endpoint, options: OwnedDialOptions = {}): Promise<Conn<DenoTcpConn>> {
    const { signal, owner, noDelay = true, keepAlive = true } = options;
    signal?.throwIfAborted();
    const dial = unused.pop() ?? newDial();
    let isDialing = true;
    const abort = () => isDialing && dial.abort();
    signal?.addEventListener("abort", abort);
    let conn: DenoConn | undefined;
    try {
      owner?.own({ close: abort });
      if (dial.signal.aborted) throw dial.signal.reason;
      conn = await open(addressOf(to, dial.signal));
      if (dial.signal.aborted) throw dial.signal.reason;
      const pipe = new DenoSocketPipe(conn, noDelay, keepAlive !== false);
      isDialing = false;
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

/**
 * Opens connections with `Deno.connect`. `detach()` of a tunnel gives a `Deno.TcpConn` (a `Deno.UnixConn` for a path), and
 * as `head` what the target has sent right behind the reply of the proxy: use it before what the socket reads.
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
export const denoTransport: Transport<DenoTcpConn> = transport;

/** What has not aborted serves the next dial: they are dear. */
const unused: AbortController[] = [];

function newDial(): AbortController {
  const dial = new AbortController();
  // Deno looks at the signal once more when it has the connection, and throws without closing it
  dial.signal.throwIfAborted = () => {};
  return dial;
}

class TcpAddress extends NullPrototype {
  readonly hostname: string;
  readonly port: number;
  readonly signal: AbortSignal;

  constructor({ hostname, port }: { hostname: string; port: number }, signal: AbortSignal) {
    super();
    this.hostname = hostname;
    this.port = port;
    this.signal = signal;
  }
}

class UnixAddress extends NullPrototype {
  readonly transport = "unix";
  readonly path: string;

  constructor(path: string) {
    super();
    this.path = path;
  }
}

type DenoAddress = TcpAddress | UnixAddress;

function addressOf(to: Endpoint, signal: AbortSignal): DenoAddress {
  const path = pathOf(to);
  return path === undefined ? new TcpAddress(to as { hostname: string; port: number }, signal) : new UnixAddress(path);
}

function open(to: DenoAddress): Promise<DenoConn> {
  const { Deno } = globalThis as unknown as { Deno: { connect(to: DenoAddress): Promise<DenoConn> } };
  return ownDial(() => Deno.connect(to));
}

/** `Deno.TcpConn` where Deno's types are loaded; elsewhere the part of it that this package uses. */
export type DenoTcpConn = typeof globalThis extends { Deno: { startTls(conn: infer C, ...rest: never[]): unknown } } ? C
  : DenoConn;

/**
 * Deno closes a connection only when its handshake has ended: one that is given up stays open as long as the peer keeps
 * silent. For such a name `node:tls`, which costs twice as much CPU, starts TLS for ten minutes, and so it does for all
 * names while so many handshakes run or may have stayed open.
 */
const STALLED_FOR = 600_000;
const MAX_STALLED = 100;
const stalled: { name: string | undefined; until: number }[] = []; // in order of time
let running = 0;

function isSafe(name: string | undefined): boolean {
  while (stalled.length > 0 && stalled[0]!.until < performance.now()) stalled.shift();
  return running + stalled.length < MAX_STALLED && !stalled.some((it) => it.name === name);
}

/** A connection over a socket of Deno. */
class DenoSocketPipe extends DenoPipe implements Conn<DenoTcpConn> {
  constructor(conn: DenoConn, noDelay: boolean, keepAlive: boolean) {
    super(conn);
    if (noDelay) conn.setNoDelay?.(true);
    if (keepAlive) conn.setKeepAlive?.(true);
  }

  override startTls(options: TlsOptions): Promise<Conn<DenoTcpConn>> {
    return super.startTls(options) as Promise<Conn<DenoTcpConn>>;
  }

  detach(): Detached<DenoTcpConn> {
    const reason = this.whyBusy();
    if (reason) throw new TypeError(`Cannot detach: ${reason}`);
    this.gone = "detached";
    this.conn.ref();
    return { socket: this.conn as unknown as DenoTcpConn, head: this.takeHead() };
  }

  protected override async secure(options: TlsOptions, during: (attempt: TlsAttempt) => void): Promise<Conn> {
    // Deno starts TLS on TCP only, and without a certificate of the client
    const hasApi = this.conn.setNoDelay !== undefined && options.cert === undefined;
    if (!hasApi || !isSafe(options.serverName)) return super.secure(options, during);
    let conn = this.conn;
    let isClosed = false;
    const close = () => {
      isClosed = true;
      closeOnce(conn);
    };
    during({ close });
    running++;
    try {
      const tls = conn = await startTls(conn, options);
      if (isClosed) throw null;
      const { alpnProtocol } = await tls.handshake();
      if (isClosed) throw null;
      return new DenoTlsPipe(tls, alpnProtocol);
    } catch (error) {
      const wasClosed = isClosed;
      if (wasClosed) stalled.push({ name: options.serverName, until: performance.now() + STALLED_FOR });
      close();
      throw wasClosed ? new Error("The connection is closed") : error;
    } finally {
      running--;
    }
  }
}

/** A connection with TLS of Deno's own. */
class DenoTlsPipe extends DenoPipe {
  readonly alpnProtocol: string | null;

  constructor(conn: DenoConn, alpnProtocol: string | null) {
    super(conn);
    this.alpnProtocol = alpnProtocol;
  }

  protected override isEnd(error: unknown): boolean {
    return (error as Error).name === "UnexpectedEof";
  }
}

type DenoTlsConn = DenoConn & { handshake(): Promise<{ alpnProtocol: string | null }> };

function startTls(conn: DenoConn, { serverName, caCerts, alpnProtocols }: TlsOptions): Promise<DenoTlsConn> {
  const { Deno } = globalThis as unknown as {
    Deno: { startTls(conn: DenoConn, options: object): Promise<DenoTlsConn> };
  };
  return Deno.startTls(conn, {
    hostname: serverName,
    ...(caCerts && { caCerts: [...caCerts] }),
    ...(alpnProtocols?.length && { alpnProtocols: [...alpnProtocols] }),
  });
}

/** Deno throws if it is closed already. */
function closeOnce(conn: DenoConn): void {
  try {
    conn.close();
  } catch {
    // it is closed
  }
}
