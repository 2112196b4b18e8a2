import type { Socket } from "node:net";
import type { ConnDuplex } from "../adapters/duplex.ts";
import { runtimeName } from "../adapters/runtime.ts";
import { checkConnects, type Connects, connectTo, type FetchTls, parseOptions } from "./options.ts";

/** What undici asks a {@linkcode UndiciConnector} for. */
export interface UndiciConnectOptions {
  /** Without brackets. */
  hostname: string;
  /** `"http:"` or `"https:"`. */
  protocol: string;
  /** Empty for that of the protocol. */
  port: string;
}

/** Is given a stream with those members of a `net.Socket` that undici uses, or an error. */
export type UndiciConnectCallback = (...args: [error: null, socket: Socket] | [error: Error, socket: null]) => void;

/** What opens the connections of a `Client`, `Pool` or `Agent` of undici: their option `connect`. */
export type UndiciConnector = (options: UndiciConnectOptions, callback: UndiciConnectCallback) => void;

/**
 * Makes what undici 6, 7 or 8 of your own connects with, on Node. The certificate of a target must match the host of the
 * URL; HTTP/1.1 alone is spoken. A failure has the code that Node gives it, by which undici's `RetryAgent` decides, and
 * the `Socks5Error` as its `cause`; undici's `fetch()` makes it the `cause` of its own error. What is open belongs to
 * undici: `close()` and `destroy()` are those of its `Agent`.
 *
 * @throws {TypeError} If an option is malformed, and on Bun: there `undici` is a stand-in that takes an `Agent` and goes
 * past it.
 *
 * @example
 * ```ts ignore
 * import { Agent, request } from "undici";
 * import { Socks5Client } from "jsr:@x/socks5";
 * import { createConnector } from "jsr:@x/socks5/fetch";
 *
 * const client = new Socks5Client("socks5h://user:pass@proxy.example:1080");
 * const dispatcher = new Agent({ connect: createConnector(client) });
 * const { statusCode } = await request("https://example.com/", { dispatcher });
 * ```
 */
export function createConnector(client: Connects, options: { tls?: FetchTls | undefined } = {}): UndiciConnector {
  checkConnects(client);
  const tls = parseOptions("the options of createConnector()", options);
  if (runtimeName() === "Bun") {
    throw new TypeError(
      "Cannot use undici on Bun, which has a stand-in for it that connects directly: use createFetch()",
    );
  }
  return (options, callback) => {
    open(client, tls, options).then(
      (socket) => callback(null, socket as unknown as Socket),
      (error) => callback(error, null),
    );
  };
}

async function open(client: Connects, tls: FetchTls, options: UndiciConnectOptions): Promise<ConnDuplex> {
  const { ConnDuplex } = await import("../adapters/duplex.ts");
  const socket = givesWay(new ConnDuplex((signal) => connectTo(client, tls, options, { signal })));
  await opened(socket);
  return socket;
}

/** undici says by `unref()` that a connection has nothing to do, and by `ref()` that it is to be used. */
function givesWay(socket: ConnDuplex): ConnDuplex {
  const [ref, unref] = [socket.ref, socket.unref];
  return Object.assign(socket, {
    ref: () => (socket.markInUse(), ref.call(socket)),
    unref: () => (socket.markIdle(), unref.call(socket)),
  });
}

/** Waits for the connection; what comes later is a matter of undici's listeners. */
function opened(socket: ConnDuplex): Promise<void> {
  return new Promise((resolve, reject) => {
    let error: unknown = new Error("The connection was closed");
    socket.once("error", (reason) => error = reason);
    socket.once("close", () => reject(error));
    socket.connect(resolve);
  });
}
