/**
 * The transport of Bun: `Bun.connect`. A client on Bun uses it by default.
 *
 * @module
 */
import type {
  Conn,
  DatagramHandlers,
  DatagramSocket,
  Detached,
  DialOptions,
  Endpoint,
  OwnedDialOptions,
  OwnedTransport,
  TlsOptions,
  Transport,
} from "../../src/transport.ts";
import { NullPrototype, ownDial, pathOf } from "../../src/own_dials.ts";
import type { BunSocket } from "./socket.ts";
import { BunPipe } from "./pipe.ts";

export type { BunSocket } from "./socket.ts";

const transport: OwnedTransport<BunSocket> = {
  usesOwner: true,
  async lookup(hostname: string, options?: { signal?: AbortSignal | undefined }): Promise<readonly string[]> {
    return await (await import("../dns.ts")).lookup(hostname, options);
  },
  async openDatagrams(isIpv6: boolean, handlers: DatagramHandlers): Promise<DatagramSocket> {
    return await (await import("../udp_socket.ts")).openDatagrams(isIpv6, handlers);
  },
  connect(to: Endpoint, options: OwnedDialOptions = {}): Promise<Conn<BunSocket>> {
    return new Promise((resolve, reject) => {
      const { signal, owner } = options;
      signal?.throwIfAborted();
      const conn = new BunConn();
      owner?.own(conn);
      if (!conn.begin({ resolve, reject, signal, options })) return;
      const opening = dial(new SocketOptions(to, conn));
      opening.catch((error) => conn.failed(error));
      conn.listen();
    });
  },
};

/**
 * Opens connections with `Bun.connect`. `detach()` of a tunnel gives a paused {@linkcode BunSocket}, and the bytes that Bun
 * had already delivered as `head`: `reload()` the socket with your own handlers, then `resume()` it.
 *
 * Bun cannot cancel a connection attempt. On abort, `connect()` rejects immediately; the socket is closed as soon as it
 * opens.
 *
 * @example A `Bun.Socket` through a proxy
 * ```ts bun
 * import { Socks5Client } from "jsr:@x/socks5";
 * import { bunTransport } from "jsr:@x/socks5/bun";
 *
 * const client = new Socks5Client("socks5h://user:pass@proxy.example:1080", { transport: bunTransport });
 * const { socket, head } = (await client.connect("example.com:80")).detach();
 * const response = new Promise<string>((resolve) => {
 *   const text = new TextDecoder();
 *   let all = text.decode(head, { stream: true });
 *   const data = (_: unknown, chunk: Uint8Array) => all += text.decode(chunk, { stream: true });
 *   socket.reload({ socket: { data, close: () => resolve(all), end: () => socket.close() } });
 * });
 * socket.resume();
 * socket.write(new TextEncoder().encode("GET / HTTP/1.0\r\nHost: example.com\r\n\r\n"));
 * console.log(await response);
 * ```
 */
export const bunTransport: Transport<BunSocket> = transport;

/** What `Bun.connect` is given. */
class SocketOptions extends NullPrototype {
  readonly unix: string | undefined;
  readonly hostname: string | undefined;
  readonly port: number | undefined;
  readonly allowHalfOpen = true;
  readonly socket: object = BunConn.handlers;
  readonly data: BunConn;

  constructor(to: Endpoint, data: BunConn) {
    super();
    this.unix = pathOf(to);
    if (this.unix === undefined) {
      ({ hostname: this.hostname, port: this.port } = to as { hostname: string; port: number });
    }
    this.data = data;
  }
}

function dial(options: SocketOptions): Promise<BunSocket> {
  const { Bun } = globalThis as unknown as { Bun: { connect(options: object): Promise<BunSocket> } };
  return ownDial(() => Bun.connect(options));
}

type PendingDial = {
  resolve: (conn: BunConn) => void;
  reject: (reason: unknown) => void;
  signal: AbortSignal | undefined;
  options: DialOptions;
};

/** A connection over a `Bun.Socket`. */
class BunConn extends BunPipe implements Conn<BunSocket> {
  static override readonly handlers: object = {
    ...BunPipe.handlers,
    open: (socket: BunSocket & { data: BunConn }) => socket.data.#opened(socket),
  };

  #dial: PendingDial | undefined;

  /** Whether it may be opened: the attempt may have been closed already. */
  begin(opening: PendingDial): boolean {
    if (this.gone) opening.reject(this.failure());
    else this.#dial = opening;
    return !this.gone;
  }

  failed(error: unknown): void {
    this.#takeDial()?.reject(error);
  }

  /** Listens to the signal until the connection is open. */
  listen(): void {
    this.#dial?.signal?.addEventListener("abort", this);
  }

  /** The signal aborts. */
  handleEvent(): void {
    this.failed(this.#dial?.signal?.reason);
  }

  override startTls(options: TlsOptions): Promise<Conn<BunSocket>> {
    // Bun's own way sends an IP address as SNI
    if (isIp(options.serverName)) return super.startTls(options) as Promise<Conn<BunSocket>>;
    const load = async () => (await import("./tls.ts")).startTls;
    return this.secure(options, load) as Promise<Conn<BunSocket>>;
  }

  detach(): Detached<BunSocket> {
    const reason = this.whyBusy();
    if (reason) throw new TypeError(`Cannot detach: ${reason}`);
    const head = this.takeAll();
    this.gone = "detached";
    this.socket.pause();
    this.socket.ref();
    return { socket: this.socket, head };
  }

  protected override destroy(): void {
    if (this.#dial) this.failed(this.failure());
    else super.destroy();
  }

  #opened(socket: BunSocket): void {
    this.socket = socket;
    const opening = this.#takeDial();
    if (!opening) return socket.close(); // given up meanwhile
    const { noDelay = true, keepAlive = true } = opening.options;
    if (!noDelay) socket.setNoDelay(false); // Bun turns it on by itself
    if (keepAlive !== false) socket.setKeepAlive(true, keepAlive === true ? 0 : keepAlive);
    opening.resolve(this);
  }

  #takeDial(): PendingDial | undefined {
    const opening = this.#dial;
    this.#dial = undefined;
    opening?.signal?.removeEventListener("abort", this);
    return opening;
  }
}

function isIp(name = ""): boolean {
  return /^[\d.]+$|:/.test(name);
}
