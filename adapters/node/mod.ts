/**
 * The transport of `node:net`, on Node, Bun and Deno. A client on Node uses it by default.
 *
 * @module
 */
import { connect, type NetConnectOpts, type OnReadOpts, type Socket } from "node:net";
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
import { versions } from "node:process";
import { NodePipe, PIPE, type PipedSocket } from "./pipe.ts";

const transport: OwnedTransport<Socket> = {
  usesOwner: true,
  async lookup(hostname: string, options?: { signal?: AbortSignal | undefined }): Promise<readonly string[]> {
    return await (await import("../dns.ts")).lookup(hostname, options);
  },
  async openDatagrams(isIpv6: boolean, handlers: DatagramHandlers): Promise<DatagramSocket> {
    return await (await import("../udp_socket.ts")).openDatagrams(isIpv6, handlers);
  },
  connect(to: Endpoint, options: OwnedDialOptions = {}): Promise<Conn<Socket>> {
    return new Promise((resolve, reject) => {
      // Node connects although its own `signal` is aborted, and destroys an open socket when it aborts later
      const { signal, owner } = options;
      signal?.throwIfAborted();
      const conn = new NodeConn();
      owner?.own(conn);
      conn.open(to, options, { resolve, reject, signal });
    });
  },
};

/**
 * Opens connections with `node:net`, on Node, Bun and Deno. `detach()` of a tunnel gives a `net.Socket`.
 *
 * @example A `net.Socket` through a proxy
 * ```ts
 * import { Socks5Client } from "jsr:@x/socks5";
 * import { nodeTransport } from "jsr:@x/socks5/node";
 *
 * const client = new Socks5Client("socks5h://user:pass@proxy.example:1080", { transport: nodeTransport });
 * const { socket } = (await client.connect("example.com:80")).detach();
 * socket.write("GET / HTTP/1.0\r\nHost: example.com\r\n\r\n");
 * for await (const chunk of socket) console.log(String(chunk));
 * ```
 */
export const nodeTransport: Transport<Socket> = transport;

// Deno's node:tls gets nothing of what a socket reads into a buffer of its owner
const hasOnread = !versions.deno;

// one for all: what a socket reads into it is taken out before the next one reads
const incoming = new Uint8Array(65536);

/** What `node:net` is given. */
class SocketOptions extends NullPrototype {
  readonly path: string | undefined;
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly allowHalfOpen = true;
  readonly noDelay: boolean;
  readonly keepAlive: boolean;
  readonly keepAliveInitialDelay: number;
  readonly onread: OnReadOpts | undefined;

  constructor(to: Endpoint, noDelay: boolean, keepAlive: boolean | number, callback: OnReadOpts["callback"]) {
    super();
    this.path = pathOf(to);
    if (this.path === undefined) ({ hostname: this.host, port: this.port } = to as { hostname: string; port: number });
    this.noDelay = noDelay;
    this.keepAlive = keepAlive !== false;
    this.keepAliveInitialDelay = typeof keepAlive === "number" ? keepAlive : 0;
    this.onread = hasOnread ? { buffer: incoming, callback } : undefined;
  }
}

/** On its own, so that nothing that lives as long as the socket keeps the options. */
function dial(options: SocketOptions): Socket {
  return ownDial(() => connect(options as NetConnectOpts));
}

type PendingDial = {
  resolve: (conn: NodeConn) => void;
  reject: (reason: unknown) => void;
  signal: AbortSignal | undefined;
};

/** A connection over a `net.Socket`. */
class NodeConn extends NodePipe implements Conn<Socket> {
  #dial: PendingDial | undefined;

  open(to: Endpoint, { noDelay = true, keepAlive = true }: DialOptions, opening: PendingDial): void {
    if (this.gone) return opening.reject(this.failure());
    this.#dial = opening;
    const callback = (n: number, bytes: Uint8Array) => this.received(bytes.subarray(0, n));
    this.adopt(dial(new SocketOptions(to, noDelay, keepAlive, callback)), !hasOnread);
    this.socket.on("connect", opened);
    opening.signal?.addEventListener("abort", this);
  }

  /** The signal aborts. */
  handleEvent(): void {
    const { signal, reject } = this.#takeDial()!;
    this.close();
    reject(signal!.reason);
  }

  /** It is open. */
  opened(): void {
    this.#takeDial()?.resolve(this);
  }

  override close(): void {
    super.close();
    this.#takeDial()?.reject(this.failure());
  }

  detach(): Detached<Socket> {
    const reason = this.whyBusy();
    if (reason) throw new TypeError(`Cannot detach: ${reason}`);
    return { socket: this.handOver("detached"), head: new Uint8Array() };
  }

  startTls(options: TlsOptions): Promise<Conn<Socket>> {
    const load = async () => {
      const { startOver, startOverPipe } = await import("../tls.ts");
      // what Deno makes of a socket itself takes a reset for an end
      return versions.deno ? (socket: Socket) => startOverPipe(new Adopted(socket), options) : startOver;
    };
    return this.secure(options, load) as Promise<Conn<Socket>>;
  }

  protected override failed(error: Error): void {
    this.#takeDial()?.reject(error);
  }

  #takeDial(): PendingDial | undefined {
    const opening = this.#dial;
    this.#dial = undefined;
    opening?.signal?.removeEventListener("abort", this);
    return opening;
  }
}

class Adopted extends NodePipe {
  constructor(socket: Socket) {
    super();
    this.adopt(socket, true);
  }
}

function opened(this: PipedSocket): void {
  (this[PIPE] as NodeConn).opened();
}
