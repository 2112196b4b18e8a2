/**
 * The transport of `node:net`, on Node, Bun and Deno. A client on Node uses it by default.
 *
 * @module
 */
import type { Socket } from "node:net";
import type {
  Conn,
  DatagramHandlers,
  DatagramSocket,
  Endpoint,
  OwnedDialOptions,
  OwnedTransport,
  Transport,
} from "../../src/transport.ts";
import { NodeConn } from "./conn.ts";
import { lookup } from "../dns.ts";

const transport: OwnedTransport<Socket> = {
  usesOwner: true,
  lookup,
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
