import type { Conn, Detached, TlsOptions } from "../../src/transport.ts";
import { type DenoConn, DenoPipe, type TlsAttempt } from "./pipe.ts";

export type { DenoConn } from "./pipe.ts";

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
export class DenoSocketPipe extends DenoPipe implements Conn<DenoTcpConn> {
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
