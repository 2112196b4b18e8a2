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
 * Makes what undici 6, 7 or 8 of your own connects with, on Node. The certificate of a target has to be for the
 * host of the URL; HTTP/1.1 alone is spoken. A failure has the code that Node gives it, by which undici's `RetryAgent`
 * decides, and the `Socks5Error` as its `cause`; with undici's `fetch()` it is itself the `cause`. What is open belongs to undici: `close()` and `destroy()` are those of its `Agent`.
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
  const connections = new Connections(client, parseOptions("the options of createConnector()", options), true);
  if (runtimeName() === "Bun") {
    throw new TypeError(
      "Cannot use undici on Bun, which has a stand-in for it that connects directly: use createFetch()",
    );
  }
  return (options, callback) => connections.open(options, callback);
}

/** Opens connections for undici, and knows them until they are closed. */
export class Connections {
  readonly #client: Connects;
  readonly #tls: FetchTls;
  readonly #asNode: boolean;
  readonly #open: Map<ConnDuplex, Promise<void>> = new Map();
  #over: Error | undefined;

  /** `asNode`: errors have the codes of Node. */
  constructor(client: Connects, tls: FetchTls, asNode = false) {
    this.#client = client;
    this.#tls = tls;
    this.#asNode = asNode;
  }

  /** Opens one. The signal counts until it is open. */
  open(options: UndiciConnectOptions, callback: UndiciConnectCallback, signal?: AbortSignal): void {
    this.#socket(options, signal).then(
      (socket) => callback(null, socket as unknown as Socket),
      (error) => callback(error, null),
    );
  }

  /** Ends all that is open or opening, and resolves when nothing is left. */
  async close(reason: Error): Promise<void> {
    this.#over = reason;
    for (const socket of this.#open.keys()) socket.destroy(reason);
    await Promise.all(this.#open.values());
  }

  async #socket(options: UndiciConnectOptions, signal: AbortSignal | undefined): Promise<ConnDuplex> {
    const { ConnDuplex } = await import("../adapters/duplex.ts");
    if (this.#over !== undefined) throw this.#over;
    const open = (signal: AbortSignal) => connectTo(this.#client, this.#tls, options, { signal });
    const socket = givesWay(new ConnDuplex(open, {}, this.#asNode ? undefined : (error) => error));
    const gone = new Promise<void>((resolve) => socket.once("close", resolve));
    this.#open.set(socket, gone.then(() => void this.#open.delete(socket)));
    const abort = () => socket.destroy(signal!.reason);
    signal?.addEventListener("abort", abort);
    try {
      if (signal?.aborted) abort();
      await opened(socket);
      return socket;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }
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
