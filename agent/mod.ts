/**
 * A SOCKS5 proxy for libraries that take an agent or a stream: `node:http` and the libraries that build on it, and
 * clients of other protocols that take a stream instead of opening a connection. And the reverse: a transport over a
 * stream.
 *
 * @example Requests through a proxy
 * ```ts
 * import { get, type IncomingMessage } from "node:http";
 * import { Socks5Agent } from "jsr:@x/socks5/agent";
 *
 * const agent = new Socks5Agent("socks5h://user:pass@proxy.example:1080"); // for http: and https:
 * const response = await new Promise<IncomingMessage>((resolve, reject) => {
 *   get("http://example.com/", { agent }, resolve).on("error", reject);
 * });
 * console.log(response.resume().statusCode);
 * agent.destroy();
 * ```
 *
 * @module
 */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { ConnDuplex, type ConnDuplexOptions } from "../adapters/duplex.ts";
import { StreamConn } from "../adapters/stream_conn.ts";
import { runtimeName } from "../adapters/runtime.ts";
import { checkBoolean, checkOptions, type Known } from "../src/arguments.ts";
import { cannot } from "../src/errors.ts";
import type { Conn } from "../src/transport.ts";

export type { ConnDuplexOptions as DuplexOptions } from "../adapters/duplex.ts";
export type { Bypass, BypassTarget } from "../src/bypass.ts";
export type { ClientLike, ClientOrProxy } from "../src/client_of.ts";
export { isProxyFailure } from "../src/errors.ts";
export type { Conn, Detached } from "../src/transport.ts";
export { Socks5Agent, type Socks5AgentOptions } from "./agent.ts";

/** A stream of {@linkcode toDuplex}: a `net.Socket` for libraries, which a keep-alive pool can mark as idle. */
export interface Socks5Duplex extends Socket {
  /** The label of the proxy that serves it; `undefined` until it is open, and of a connection that is no tunnel. */
  readonly proxy: string | undefined;
  /**
   * Opens the connection before it is first used. Takes and ignores what `net.Socket.connect` takes, except for the
   * listener at the end.
   */
  connect(...args: unknown[]): this;
  /**
   * For a keep-alive pool that keeps the stream for later: from now on a client may close the connection for a request
   * that waits for a place, as {@linkcode Socks5Conn.markIdle} says, and may do so during this call.
   *
   * @param evicted Called once, when it does. Default: destroys the stream, without an error. A stream over this one
   * (of `node:tls`) has to be destroyed in it.
   */
  markIdle(evicted?: () => void): void;
  /** For a keep-alive pool, before it uses the stream again. `false` if it is closed: use another. */
  markInUse(): boolean;
}

/**
 * Makes a stream of a connection, for libraries that take a stream instead of opening one. It opens the connection
 * once, when it is first used, and closes it when it is destroyed. It has the members of a `net.Socket` that libraries
 * use; `resetAndDestroy`, `bufferSize` and the type of service are missing.
 *
 * @param open Opens the connection, such as `(signal) => client.connect(target, { signal })`. The signal aborts when
 * the stream is destroyed before it is open.
 * @returns A stream that ends both ways on the peer's end, as a `net.Socket` does, unless `allowHalfOpen` is set. A
 * failure is one `error` event, then `close`. The error of a tunnel has the `code` that Node uses for it, and the
 * `Socks5Error` as its `cause`.
 * @throws {TypeError} If `open` is not a function, an option is malformed, or the runtime is neither Deno nor Bun nor
 * Node.
 * @throws {RangeError} If `highWaterMark` is not a whole number of bytes from 0.
 *
 * @example A stream to an echo
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Socks5Client } from "jsr:@x/socks5";
 * import { toDuplex } from "jsr:@x/socks5/agent";
 *
 * const client = new Socks5Client("socks5h://user:pass@proxy.example:1080");
 * const stream = toDuplex((signal) => client.connect("echo.example:7", { signal }), { allowHalfOpen: true });
 * stream.end("ping");
 * let echo = "";
 * for await (const chunk of stream) echo += chunk;
 * assertEquals(echo, "ping");
 * ```
 */
export function toDuplex(
  open: (signal: AbortSignal) => Promise<Conn>,
  options: ConnDuplexOptions = {},
): Socks5Duplex {
  if (typeof open !== "function") throw new TypeError(cannot("open", "a function that opens a connection", open));
  const { allowHalfOpen, highWaterMark } = checkOptions("the options of toDuplex()", options, DUPLEX);
  checkBoolean("allowHalfOpen", allowHalfOpen);
  if (highWaterMark !== undefined && !(Number.isInteger(highWaterMark) && highWaterMark >= 0)) {
    const kind = typeof highWaterMark === "number" ? RangeError : TypeError;
    throw new kind(cannot("highWaterMark", "a number of bytes", highWaterMark));
  }
  runtimeName();
  return new ConnDuplex(open, { allowHalfOpen, highWaterMark }) as unknown as Socks5Duplex;
}

/**
 * Makes a {@linkcode Conn} of a stream of somebody else's, so that a {@linkcode Transport} can be written over it: over
 * a socket with options of its own, TLS with a pre-shared key, a channel of ssh2 or a WebSocket. The `Conn` owns the
 * stream from then on; nobody else may read, write or end it. Bytes that the stream has received are read first. The
 * stream should be open: an error of a stream that connects is an error of the first read or write.
 *
 * @param stream A `Duplex` of `node:stream` that carries bytes. Its `allowHalfOpen` is set, so that the writing side
 * stays open after the peer's end.
 * @returns What keeps all promises of `Conn` that the stream keeps: on Deno a `TLSSocket` takes a reset for an end.
 * `detach()` gives the stream back.
 * @throws {TypeError} If `stream` is no `Duplex`, is in object mode, or decodes what it reads to text.
 *
 * @example A proxy behind TLS with options that the client does not have
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { once } from "node:events";
 * import { connect, type TLSSocket } from "node:tls";
 * import { type Endpoint, Socks5Client, type Transport } from "jsr:@x/socks5";
 * import { fromDuplex } from "jsr:@x/socks5/agent";
 *
 * const transport: Transport<TLSSocket> = {
 *   async connect(to: Endpoint, { signal } = {}) {
 *     const { hostname, port } = to as { hostname: string; port: number };
 *     const socket = connect({ host: hostname, port, servername: "example.com", minVersion: "TLSv1.3" });
 *     try {
 *       await once(socket, "secureConnect", { signal });
 *       return fromDuplex(socket);
 *     } catch (error) {
 *       socket.destroy();
 *       throw signal?.aborted ? signal.reason : error;
 *     }
 *   },
 * };
 * const client = new Socks5Client("socks5h://user:pass@tls-proxy.example:1080", { transport });
 * const conn = await client.connect("example.com:80");
 * assertEquals(conn.target, "example.com:80");
 * conn.close();
 * ```
 */
export function fromDuplex<S extends Duplex>(stream: S): Conn<S> {
  const given: Partial<Record<string, unknown>> = Object(stream);
  if (["on", "read", "write", "end", "destroy"].some((name) => typeof given[name] !== "function")) {
    throw new TypeError(cannot("stream", "a Duplex of node:stream", stream));
  }
  if (stream.readableObjectMode || stream.writableObjectMode) {
    throw new TypeError("Cannot use stream as a connection: it is in object mode");
  }
  if (stream.readableEncoding) {
    throw new TypeError("Cannot use stream as a connection: it decodes what it reads to text");
  }
  return new StreamConn(stream);
}

const DUPLEX: Known<ConnDuplexOptions> = { allowHalfOpen: true, highWaterMark: true };
