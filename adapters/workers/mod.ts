/**
 * The transport of Cloudflare Workers: `connect()` of `cloudflare:sockets`. A client on Workers uses it by default.
 *
 * @module
 */
import type { Conn, Endpoint, OwnedDialOptions, OwnedTransport, Transport } from "../../src/transport.ts";
import { pathOf } from "../../src/own_dials.ts";
import { isWorkers } from "./platform.ts";
import { WorkersConn, type WorkersSocket } from "./conn.ts";

export type { WorkersSocket } from "./conn.ts";

type Sockets = {
  connect(
    to: { hostname: string; port: number },
    options: { secureTransport: "starttls"; allowHalfOpen: boolean },
  ): WorkersSocket;
};

// no literal: bundlers for other runtimes know no such module, and would fail
const CLOUDFLARE_SOCKETS = "cloudflare:sockets";

let sockets: Sockets | undefined;

const transport: OwnedTransport<WorkersSocket> = {
  usesOwner: true,
  async connect(to: Endpoint, { signal, owner }: OwnedDialOptions = {}): Promise<Conn<WorkersSocket>> {
    if (!isWorkers()) throw new TypeError("Cannot connect: this is not Cloudflare Workers");
    signal?.throwIfAborted();
    if (pathOf(to) !== undefined) throw new TypeError("Cannot connect to a unix socket: Cloudflare Workers has none");
    const conn = new WorkersConn();
    owner?.own(conn);
    const abort = () => conn.giveUp(signal!.reason);
    signal?.addEventListener("abort", abort);
    try {
      sockets ??= await import(/* webpackIgnore: true */ /* @vite-ignore */ CLOUDFLARE_SOCKETS) as Sockets;
      const { hostname, port } = to as { hostname: string; port: number };
      // an address of IPv6 is to be in brackets
      const host = hostname.includes(":") ? `[${hostname}]` : hostname;
      const dial = () =>
        sockets!.connect({ hostname: host, port }, { secureTransport: "starttls", allowHalfOpen: true });
      return await conn.open(dial);
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  },
};

/**
 * Opens connections with `connect()` of `cloudflare:sockets`. `detach()` of a tunnel gives its `Socket`, and as `head` what
 * the target has sent right behind the reply of the proxy: use it before what the socket reads.
 *
 * A socket belongs to the request that opened it, and ends with it. The options `noDelay` and `keepAlive` have no effect:
 * the platform decides. It resolves no names and carries no datagrams, so there is no `dns: "local"` and no
 * `associate()`. TLS trusts the authorities of the platform; `caCerts`, `cert`, `key` and `alpnProtocols` are a
 * `TypeError`, and so is TLS in TLS.
 *
 * @example A `Socket` through a proxy
 * ```ts ignore
 * import { Socks5Client, workersTransport } from "jsr:@x/socks5/workers";
 *
 * const client = new Socks5Client("socks5h://user:pass@proxy.example:1080", { transport: workersTransport });
 * const { socket } = (await client.connect("example.com:80")).detach();
 * const writer = socket.writable.getWriter();
 * await writer.write(new TextEncoder().encode("GET / HTTP/1.0\r\nHost: example.com\r\n\r\n"));
 * const answer = await new Response(socket.readable).text();
 * ```
 */
export const workersTransport: Transport<WorkersSocket> = transport;
