/**
 * The transport of Bun: `Bun.connect`. A client on Bun uses it by default.
 *
 * @module
 */
import type {
  Conn,
  DatagramHandlers,
  DatagramSocket,
  Endpoint,
  OwnedDialOptions,
  OwnedTransport,
  Transport,
} from "../../src/transport.ts";
import { BunConn } from "./conn.ts";
import type { BunSocket } from "./socket.ts";
import { lookup } from "../dns.ts";

export type { BunSocket } from "./socket.ts";

const transport: OwnedTransport<BunSocket> = {
  usesOwner: true,
  lookup,
  async openDatagrams(isIpv6: boolean, handlers: DatagramHandlers): Promise<DatagramSocket> {
    return await (await import("../udp_socket.ts")).openDatagrams(isIpv6, handlers);
  },
  connect(to: Endpoint, options: OwnedDialOptions = {}): Promise<Conn<BunSocket>> {
    return new Promise((resolve, reject) => {
      const { signal, owner } = options;
      signal?.throwIfAborted();
      const { Bun } = globalThis as unknown as { Bun: { connect(options: object): Promise<BunSocket> } };
      const conn = new BunConn();
      owner?.own(conn);
      if (!conn.begin({ resolve, reject, signal, options })) return;
      const socket = { socket: BunConn.handlers, data: conn, allowHalfOpen: true };
      const own = { __proto__: null, ...to }; // Bun would take a path from a prototype
      const opening = Bun.connect({
        __proto__: null,
        ...("path" in own ? { unix: own.path } : { hostname: own.hostname, port: own.port }),
        ...socket,
      });
      opening.catch((error) => conn.failed(error));
      conn.heed();
    });
  },
};

/**
 * Opens connections with `Bun.connect` and hands over a {@linkcode BunSocket}, paused, with the bytes that Bun had
 * already delivered as `head`: `reload()` it with handlers of your own, then `resume()` it.
 *
 * Bun cannot cancel an attempt: an abort rejects at once, and the socket is closed when it opens.
 */
export const bunTransport: Transport<BunSocket> = transport;
