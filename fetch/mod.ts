/**
 * The `fetch` of the standard through a SOCKS5 proxy, by the same code on Deno, Bun and Node.
 *
 * @module
 */
import { runtimeName } from "../adapters/runtime.ts";
import type { Fetcher } from "./fetcher.ts";
import { checkConnects, type Connects, type FetchTls, parseOptions } from "./options.ts";
import { requestOf } from "./request.ts";

export { createConnector } from "./connector.ts";
export type { UndiciConnectCallback, UndiciConnectOptions, UndiciConnector } from "./connector.ts";
export type { Connects, FetchTls } from "./options.ts";

/** What the standard leaves open. */
export interface FetchOptions {
  /** TLS with targets. Default: the authorities of the runtime, and no client certificate. */
  tls?: FetchTls | undefined;
}

/** A `fetch` with connections of its own. */
export type Socks5Fetch = typeof fetch & {
  /** Ends what is in flight and what is kept for later; resolves when nothing is left. Later calls are rejected. */
  close(): Promise<void>;
  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
};

/**
 * Makes a `fetch` that reaches what it fetches through a client, redirects included, and in no other way: whatever
 * `NO_PROXY` or `HTTP_PROXY` say, and whatever was done to the global `fetch`. Two of them never share a connection.
 *
 * It is rejected with a `TypeError`, as in the Fetch standard, whose `cause` is the {@linkcode Socks5Error} if there was
 * no connection; or with the reason of the signal, which ends a handshake with the proxy, too. `redirect: "manual"`
 * gives the answer itself, with its `Location`, as the fetch of servers does. HTTP/1.1 alone is spoken.
 *
 * The options of a runtime by which its own fetch would connect in another way (`dispatcher`, `client`, `proxy`, `unix`,
 * `tls`, `session`, `protocol`) are a `TypeError`.
 *
 * @param client What connects: a `Socks5Client`, or something else with its `connect`. Closing it stays with the caller.
 * @throws {TypeError} If an option is malformed, or unknown.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Socks5Client } from "jsr:@x/socks5";
 * import { createFetch } from "jsr:@x/socks5/fetch";
 *
 * const fetch = createFetch(new Socks5Client("socks5h://user:pass@proxy.example:1080"));
 * const response = await fetch("http://example.com/");
 * assertEquals(response.status, 204);
 * await fetch.close();
 * ```
 */
export function createFetch(client: Connects, options: FetchOptions = {}): Socks5Fetch {
  checkConnects(client);
  const tls = parseOptions("the options of createFetch()", options);
  let fetcher: Promise<Fetcher> | undefined;
  let closing: Promise<void> | undefined;

  async function fetch(input: RequestInfo | URL, init: RequestInit | null = null): Promise<Response> {
    const request = requestOf(input, init);
    fetcher ??= makeFetcher(client, tls);
    return await (await fetcher).fetch(request);
  }

  function close(): Promise<void> {
    fetcher ??= makeFetcher(client, tls);
    return closing ??= fetcher.then((fetcher) => fetcher.close());
  }

  // preconnect is Bun's: a hint, which is not taken
  return Object.assign(fetch, { close, [Symbol.asyncDispose]: close, preconnect: () => {} });
}

/** Loaded by the first call: an import of this module alone costs next to nothing, and needs no `node:http`. */
async function makeFetcher(client: Connects, tls: FetchTls): Promise<Fetcher> {
  runtimeName();
  const { Fetcher } = await import("./fetcher.ts");
  return new Fetcher(client, tls);
}
