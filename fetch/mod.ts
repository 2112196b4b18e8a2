/**
 * The standard's `fetch` through a SOCKS5 proxy, by the same code on Deno, Bun and Node.
 *
 * @module
 */
import { runtimeName } from "../adapters/runtime.ts";
import { refuseOnWorkers } from "../adapters/workers/platform.ts";
import type { Fetcher } from "./fetcher.ts";
import type { Bypass } from "../src/bypass.ts";
import type { ClientLike, ClientOrProxy } from "../src/client_of.ts";
import { type BanRules, type FetchOptions, type FetchTls, parseFetch } from "./options.ts";
import { type FetchInit, requestOf } from "./request.ts";

export { createConnector } from "./connector.ts";
export type { UndiciConnectCallback, UndiciConnectOptions, UndiciConnector } from "./connector.ts";
export type { Bypass, BypassTarget } from "../src/bypass.ts";
export type { ClientLike, ClientOrProxy } from "../src/client_of.ts";
export { isProxyFailure } from "../src/errors.ts";
export type { ConnectorOptions, FetchOptions, FetchTls } from "./options.ts";
export type { FetchInit } from "./request.ts";

/** A `fetch` with its own connections. */
export type Socks5Fetch = ((input: string | URL | Request, init?: FetchInit) => Promise<Response>) & typeof fetch & {
  /**
   * The label of the proxy that a response came through, after redirects that of the last request; `undefined` for any
   * response that is none of a fetch of this package, or needed no connection.
   */
  proxyOf(response: Response): string | undefined;
  /**
   * Ends pending requests, closes idle connections and the client that was made for a proxy; resolves when nothing is
   * left. Later calls reject.
   */
  close(): Promise<void>;
  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
};

/**
 * Makes a `fetch` whose every request, redirects included, goes through the proxy: `NO_PROXY`, `HTTP_PROXY` and changes
 * to the global `fetch` have no effect. Two of them never share a connection.
 *
 * As in the Fetch standard, a call rejects with a `TypeError`, whose `cause` is the {@linkcode Socks5Error} if the
 * connection failed; or with the reason of its signal, which also cancels a handshake with the proxy. `redirect:
 * "manual"` returns the redirect itself, with its `Location`, as on servers. The protocol is HTTP/1.1, or
 * HTTP/2 with the option `http2` and a target of HTTPS that chooses it.
 *
 * A call throws a `TypeError` for the options by which a runtime's own fetch connects in another way (`dispatcher`,
 * `client`, `proxy`, `unix`, `tls`, `protocol`).
 *
 * @param proxy A proxy as the constructor of `Socks5Client` takes it: a URL, its parts, or a list of them in the order
 * of preference (failover, not a chain). The fetch makes a client for it, and `close()` closes that. Or a
 * `Socks5Client`, or anything else with its `connect()`: the caller must close that.
 * @throws {TypeError} If the proxy or an option is malformed or unknown, or the client has no `suspend()`, which `ban`
 * needs. The message shows nothing of a proxy.
 * @throws {RangeError} If a number, a status of `ban` or the length of `session` is out of range.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createFetch } from "jsr:@x/socks5/fetch";
 *
 * const fetch = createFetch("socks5h://user:pass@proxy.example:1080");
 * const response = await fetch("http://example.com/");
 * assertEquals(response.status, 204);
 * await fetch.close();
 * ```
 */
export function createFetch(proxy: ClientOrProxy, options: FetchOptions = {}): Socks5Fetch {
  const { client, close: closeClient, tls, session, bans, bypass, http2 } = parseFetch(proxy, options);
  refuseOnWorkers("createFetch() of ./fetch", "their node:http connects directly; there is another one in ./workers");
  let fetcher: Fetcher | undefined;
  let loading: Promise<Fetcher> | undefined;
  let closing: Promise<void> | undefined;

  async function fetch(input: RequestInfo | URL, init: FetchInit | null = null): Promise<Response> {
    const request = requestOf(input, init, session);
    fetcher ??= await load();
    return await fetcher.fetch(request);
  }

  function load(): Promise<Fetcher> {
    return loading ??= makeFetcher(client, tls, bans, bypass, http2).catch((error) => {
      loading = undefined; // a failed import is tried again
      throw error;
    });
  }

  async function end(): Promise<void> {
    await (await load()).close();
    await closeClient();
  }

  function close(): Promise<void> {
    return closing ??= end();
  }

  const proxyOf = (response: Response) => fetcher?.proxyOf(response);
  // preconnect is Bun's: a hint, which is not taken
  return Object.assign(fetch, { proxyOf, close, [Symbol.asyncDispose]: close, preconnect: () => {} });
}

/** Loaded by the first call: an import of this module alone costs next to nothing, and needs no `node:http`. */
async function makeFetcher(
  client: ClientLike,
  tls: FetchTls,
  bans: BanRules | undefined,
  bypass: Bypass | undefined,
  http2: boolean,
): Promise<Fetcher> {
  runtimeName();
  const { Fetcher } = await import("./fetcher.ts");
  return new Fetcher(client, tls, bans, bypass, http2 ? await import("./http2.ts") : undefined);
}
