import type { Socket } from "node:net";
import { runtimeName } from "../adapters/runtime.ts";
import { refuseOnWorkers } from "../adapters/workers/platform.ts";
import type { ClientOrProxy } from "../src/client_of.ts";
import { type ConnectorOptions, parseConnector } from "./options.ts";

/** What undici calls a {@linkcode UndiciConnector} with. */
export interface UndiciConnectOptions {
  /** The host name or IP address, IPv6 without brackets. */
  hostname: string;
  /** `"http:"` or `"https:"`. */
  protocol: string;
  /** The port, or `""` for the default of the protocol. */
  port: string;
}

/**
 * Called with a `net.Socket` (with `node:tls`, if it is for HTTPS) or a stream that has those of its members that undici
 * uses, or with an error.
 */
export type UndiciConnectCallback = (...args: [error: null, socket: Socket] | [error: Error, socket: null]) => void;

/** What opens the connections of a `Client`, `Pool` or `Agent` of undici: their option `connect`. */
export interface UndiciConnector {
  /** For undici: opens a connection. */
  (options: UndiciConnectOptions, callback: UndiciConnectCallback): void;
  /**
   * Closes the client that was made for a proxy, and with it every connection that it opened; resolves when nothing is
   * left. Later connects fail. A `Socks5Client` that was given stays open.
   */
  close(): Promise<void>;
  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

let sockets: typeof import("./undici_socket.ts") | undefined; // loaded by the first connect

/**
 * Makes a connector for undici 6, 7 or 8 from npm, on Node. The certificate of a target must match the host of the URL.
 * The protocol is HTTP/1.1. An error has the `code` that Node uses for the failure, by which undici's `RetryAgent`
 * decides, and the `Socks5Error` as its `cause`; undici's `fetch()` makes it the `cause` of its own error. Open
 * connections belong to undici: `close()` and `destroy()` of its `Agent` end them.
 *
 * @param proxy A proxy as the constructor of `Socks5Client` takes it: a URL, its parts, or a list of them in the order
 * of preference (failover, not a chain). The connector makes a client for it, which `close()` closes. Or a
 * `Socks5Client`, or anything else with its `connect()`: the caller must close that.
 * @throws {TypeError} If the proxy or an option is malformed or unknown. The message shows nothing of a proxy. Also on
 * Bun: there `undici` is a stand-in that takes an `Agent` and goes past it.
 * @throws {RangeError} If a number in `client` is out of range.
 *
 * @example
 * ```ts ignore
 * import { Agent, request } from "undici";
 * import { createConnector } from "jsr:@x/socks5/fetch";
 *
 * const dispatcher = new Agent({ connect: createConnector("socks5h://user:pass@proxy.example:1080") });
 * const { statusCode } = await request("https://example.com/", { dispatcher });
 * ```
 */
export function createConnector(proxy: ClientOrProxy, options: ConnectorOptions = {}): UndiciConnector {
  const { client, close, tls, session } = parseConnector("createConnector()", proxy, options);
  refuseOnWorkers("undici", "use createFetch() of ./workers");
  if (runtimeName() === "Bun") {
    throw new TypeError(
      "Cannot use undici on Bun, which has a stand-in for it that connects directly: use createFetch()",
    );
  }
  const open = async (options: UndiciConnectOptions) => {
    const { openSocket } = sockets ??= await import("./undici_socket.ts");
    return await openSocket(client, tls, options, session);
  };
  const connect = (options: UndiciConnectOptions, callback: UndiciConnectCallback) => {
    open(options).then((socket) => callback(null, socket), (error) => callback(error, null));
  };
  return Object.assign(connect, { close, [Symbol.asyncDispose]: close });
}
