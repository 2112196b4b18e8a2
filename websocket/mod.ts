/**
 * The standard's `WebSocket` through a SOCKS5 proxy, by the same code on Deno, Bun and Node.
 *
 * @module
 */
import "../adapters/runtime.ts";
import { checkOptions, type Known, parseSession } from "../src/arguments.ts";
import { clientOf, type ClientOrProxy } from "../src/client_of.ts";
import type { Socks5Options } from "../src/config/options.ts";
import { milliseconds } from "../src/config/settings.ts";
import { tlsOptions } from "../src/config/tls_options.ts";
import { cannot, isA } from "../src/errors.ts";
import type { TlsOptions } from "../src/transport.ts";
import type { WebSocketCloseEvent, WebSocketErrorEvent, WebSocketMessageEvent } from "./events.ts";
import type { Setup, Wish } from "./handshake.ts";
import { Socket } from "./socket.ts";

export type { WebSocketCloseEvent, WebSocketErrorEvent, WebSocketMessageEvent } from "./events.ts";
export type { ClientLike, ClientOrProxy } from "../src/client_of.ts";

/** The options of {@linkcode createWebSocket}. */
export interface WebSocketOptions {
  /** The options of TLS with servers. Default: the certificate authorities of the runtime, and no client certificate. */
  tls?: Pick<TlsOptions, "caCerts" | "cert" | "key"> | undefined;
  /** An identity that keeps its proxy, as `connect()` of the client takes it. Default: none. */
  session?: string | undefined;
  /** Maximum length of a message that is received, in bytes, or `Infinity`. Default: 100 MiB. */
  maxMessage?: number | undefined;
  /** Milliseconds until a WebSocket is open, from 0, or `Infinity`. Default: 30 000. */
  timeout?: number | undefined;
  /** The options of the client that is made for a proxy. Not together with a `Socks5Client`. Default: those of the client. */
  client?: Socks5Options | undefined;
}

/** What one WebSocket may be told, in the place of its protocols. */
export interface WebSocketInit {
  /** The protocols that are offered, in the order of preference. Default: none. */
  protocols?: string | readonly string[] | undefined;
  /** Further fields of the request, except for those of the handshake itself. Default: none. */
  headers?: Readonly<Record<string, string>> | Iterable<readonly [string, string]> | undefined;
  /** An identity that keeps its proxy, in place of that of the class. */
  session?: string | undefined;
}

/** A WebSocket with the interface of the WebSockets standard. */
export interface Socks5WebSocket extends EventTarget {
  /** 0. */
  readonly CONNECTING: 0;
  /** 1. */
  readonly OPEN: 1;
  /** 2. */
  readonly CLOSING: 2;
  /** 3. */
  readonly CLOSED: 3;
  /** The URL that it was made with. */
  readonly url: string;
  /** One of the constants above. */
  readonly readyState: number;
  /** The protocol that the server chose, or an empty text. */
  readonly protocol: string;
  /** An empty text: no extension is offered. */
  readonly extensions: string;
  /** The bytes of messages that were not handed to the system yet. */
  readonly bufferedAmount: number;
  /** What binary messages are given as. Default: `"blob"`. */
  binaryType: "blob" | "arraybuffer";
  /** Called when it is open. */
  onopen: ((event: Event) => unknown) | null;
  /** Called with each message. */
  onmessage: ((event: WebSocketMessageEvent) => unknown) | null;
  /** Called if it failed, before `onclose`. */
  onerror: ((event: WebSocketErrorEvent) => unknown) | null;
  /** Called once, at the end. */
  onclose: ((event: WebSocketCloseEvent) => unknown) | null;
  /**
   * Sends a message. Bytes are copied. What is sent after `close()` is dropped, and counts in `bufferedAmount`.
   *
   * @throws {DOMException} `InvalidStateError` while it is connecting.
   */
  send(data: string | Blob | ArrayBuffer | ArrayBufferView): void;
  /**
   * Closes it: after all messages, a Close frame; ends the connection if the server has not answered that in ten seconds.
   *
   * @param code 1000, or 3000 to 4999.
   * @param reason At most 123 bytes of UTF-8.
   * @throws {DOMException} `InvalidAccessError` for another code, `SyntaxError` for a longer reason.
   */
  close(code?: number, reason?: string): void;
  /** As every `EventTarget`, with the events of a WebSocket. */
  addEventListener<K extends keyof WebSocketEvents>(
    type: K,
    listener: (event: WebSocketEvents[K]) => unknown,
    options?: boolean | { once?: boolean; signal?: AbortSignal },
  ): void;
}

/** The events of a {@linkcode Socks5WebSocket}. */
export interface WebSocketEvents {
  /** It is open. */
  open: Event;
  /** A message has come. */
  message: WebSocketMessageEvent;
  /** It failed. */
  error: WebSocketErrorEvent;
  /** It is closed. */
  close: WebSocketCloseEvent;
}

/** A class of WebSockets that all go through the proxy, to be used in place of the global `WebSocket`. */
export interface Socks5WebSocketClass {
  /**
   * Begins to connect.
   *
   * @param url `ws:` or `wss:`, or `http:` or `https:`, which mean the same. User name and password are sent as Basic.
   * @param protocols Those that are offered, or an object with them and more.
   * @throws {DOMException} `SyntaxError` if the URL or a protocol is malformed.
   * @throws {TypeError} If the object has an unknown option or a field that is part of the handshake.
   */
  new (url: string | URL, protocols?: string | readonly string[] | WebSocketInit): Socks5WebSocket;
  /** 0. */
  readonly CONNECTING: 0;
  /** 1. */
  readonly OPEN: 1;
  /** 2. */
  readonly CLOSING: 2;
  /** 3. */
  readonly CLOSED: 3;
  /**
   * Ends all WebSockets of the class at once and closes the client that was made for a proxy; resolves when nothing is left.
   * Later ones fail.
   */
  close(): Promise<void>;
  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Makes a class of WebSockets (RFC 6455) that connect through the proxy alone. The proxy resolves names. `wss:` has TLS
 * inside the tunnel, whose certificate is always checked. If one fails, its `error` event has the `error`: the
 * `Socks5Error` if the connection failed.
 *
 * A WebSocket counts as open in the client (`pool.maxOpen`) until it is closed. Redirects are not followed, and
 * permessage-deflate is not offered.
 *
 * @param proxy A proxy as the constructor of `Socks5Client` takes it: a URL, its parts, or a list of them in the order of
 * preference (failover, not a chain). The class makes a client for it, and its `close()` closes that. Or a `Socks5Client`,
 * or anything else with its `connect()`: the caller must close that.
 * @throws {TypeError} If the proxy or an option is malformed or unknown. The message shows nothing of a proxy.
 * @throws {RangeError} If a number is out of range.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createWebSocket } from "jsr:@x/socks5/websocket";
 *
 * const WebSocket = createWebSocket("socks5h://user:pass@proxy.example:1080");
 * const socket = new WebSocket("ws://ws.example/echo");
 * socket.onopen = () => socket.send("ping");
 * const data = await new Promise((resolve, reject) => {
 *   socket.onmessage = (event) => resolve(event.data);
 *   socket.onerror = (event) => reject(event.error);
 * });
 * assertEquals(data, "ping");
 * socket.close();
 * await WebSocket.close();
 * ```
 */
export function createWebSocket(proxy: ClientOrProxy, options: WebSocketOptions = {}): Socks5WebSocketClass {
  const name = "the options of createWebSocket()";
  const { tls = {}, session, maxMessage = 100 * 2 ** 20, timeout, client: clientOptions } = checkOptions(
    name,
    options,
    OPTIONS,
  );
  const { caCerts, cert, key } = tlsOptions("tls", checkOptions("tls", tls, TLS), "localhost");
  if (typeof maxMessage !== "number") throw new TypeError(cannot("maxMessage", "a number of bytes", maxMessage));
  if (!(maxMessage === Infinity || (Number.isInteger(maxMessage) && maxMessage >= 0))) {
    throw new RangeError(cannot("maxMessage", "a number of bytes", maxMessage));
  }
  const limits = { maxMessage, timeout: milliseconds("timeout", timeout, 30_000) };
  const identity = parseSession(session);
  const { client, close } = clientOf(proxy, clientOptions);
  return classOf({ client, tls: { caCerts, cert, key }, session: identity, ...limits }, close);
}

function classOf(setup: Setup, closeClient: () => Promise<void>): Socks5WebSocketClass {
  const all = new Map<Socket, Promise<void>>();
  let closing: Promise<void> | undefined;

  async function end(): Promise<void> {
    for (const socket of all.keys()) socket.destroy(CLOSED);
    await Promise.all(all.values());
    await closeClient();
  }

  class WebSocket extends Socket {
    static close(): Promise<void> {
      return closing ??= end();
    }

    static [Symbol.asyncDispose](): Promise<void> {
      return WebSocket.close();
    }

    constructor(url: string | URL, protocols: string | readonly string[] | WebSocketInit = []) {
      const wish = parseWish(url, protocols);
      let done = () => {};
      const ended = new Promise<void>((resolve) => done = resolve);
      super(setup, wish, () => {
        all.delete(this);
        done();
      });
      all.set(this, ended);
      if (closing !== undefined) this.destroy(CLOSED);
    }
  }
  for (const it of [WebSocket, WebSocket.prototype]) Object.defineProperties(it, CONSTANTS);
  return WebSocket as unknown as Socks5WebSocketClass;
}

const CLOSED = new Error("The WebSockets of this class were closed");

const CONSTANTS = Object.fromEntries(
  ["CONNECTING", "OPEN", "CLOSING", "CLOSED"].map((name, value) => [name, { value, enumerable: true }]),
);

const OPTIONS: Known<WebSocketOptions> = { tls: true, session: true, maxMessage: true, timeout: true, client: true };
const TLS: Known<NonNullable<WebSocketOptions["tls"]>> = { caCerts: true, cert: true, key: true };
const INIT: Known<WebSocketInit> = { protocols: true, headers: true, session: true };

const TOKEN = /^[!#$%&'*+.^_`|~\w-]+$/;
const OWN_FIELDS = /^(host|upgrade|connection|sec-websocket-.*|content-length|transfer-encoding)$/;

function parseWish(url: string | URL, given: string | readonly string[] | WebSocketInit): Wish {
  const isList = typeof given === "string" || Array.isArray(given);
  const init: WebSocketInit = isList ? { protocols: given } : given as WebSocketInit;
  const { protocols = [], headers, session } = checkOptions("the options of a WebSocket", init, INIT);
  const offered = (typeof protocols === "string" ? [protocols] : [...protocols]).map(String);
  if (!offered.every((it) => TOKEN.test(it)) || new Set(offered.map((it) => it.toLowerCase())).size < offered.length) {
    throw new DOMException("Cannot use protocols: they must be tokens, and all different", "SyntaxError");
  }
  return { url: parseUrl(url), protocols: offered, headers: fieldsOf(headers), session: parseSession(session) };
}

function parseUrl(given: string | URL): URL {
  const bad = (why: string) => new DOMException(`Cannot use url as that of a WebSocket: ${why}`, "SyntaxError");
  if (typeof given !== "string" && !isA(URL, given)) throw bad("it must be a string or a URL");
  if (!URL.canParse(given)) throw bad("it is malformed");
  const url = new URL(given);
  if (url.protocol === "http:") url.protocol = "ws:";
  if (url.protocol === "https:") url.protocol = "wss:";
  if (url.protocol !== "ws:" && url.protocol !== "wss:") throw bad("the scheme must be ws or wss");
  if (url.hash !== "" || url.href.endsWith("#")) throw bad("it has a fragment");
  return url;
}

function fieldsOf(headers: WebSocketInit["headers"]): Wish["headers"] {
  if (headers === undefined) return [];
  const fields = [...new Headers(headers as Record<string, string>)];
  const own = fields.find(([name]) => OWN_FIELDS.test(name));
  if (own !== undefined) throw new TypeError(`Cannot use the field ${own[0]} in headers: it is part of the handshake`);
  return fields;
}
