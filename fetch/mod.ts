/**
 * The standard `fetch` through a SOCKS5 proxy, on the HTTP stack of the runtime: Deno, Bun, Node.
 *
 * @module
 */
import { socks5Error } from "../src/errors.ts";
import { bunWay } from "./bun.ts";
import { denoWay } from "./deno.ts";
import { nodeWay } from "./node.ts";
import { requestOf } from "./request.ts";
import { checkConnects, type Connects, type FetchTls, parseFetchTls } from "./way.ts";

export { createConnector } from "./connector.ts";
export type { UndiciConnectCallback, UndiciConnectOptions, UndiciConnector } from "./connector.ts";
export type { Connects, FetchTls } from "./way.ts";

/** How a fetch does what the standard leaves open. */
export interface FetchOptions {
  /** TLS with targets. Default: the authorities of the runtime, and no certificate of one's own. */
  tls?: FetchTls | undefined;
}

/** A `fetch` with a pool of its own. */
export type Socks5Fetch = typeof fetch & {
  /** Ends what is in flight and what is kept for later; resolves when nothing is left. Later calls are rejected. */
  close(): Promise<void>;
  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
};

/**
 * Makes a `fetch` that reaches what it fetches through a client, redirects included, and nothing in any other way,
 * whatever NO_PROXY, HTTP_PROXY or the options of a call say. Two of them never share a connection.
 *
 * It is rejected with a `TypeError` as the standard wants it, whose `cause` is the {@linkcode Socks5Error} if it was not
 * connected, or with the reason of the signal. An abort ends the handshake with the proxy, too.
 *
 * On Deno and Bun it starts a front on a loopback port, with a password, at the first call.
 *
 * @throws {TypeError} If an option is malformed, or the runtime would not heed it: `fetch` or undici's global
 * dispatcher was replaced, Bun is older than 1.4.5, Deno has no permission to leave NO_PROXY out.
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
  const way = runtimeWay()(client, parseFetchTls(options.tls));
  let closing: Promise<void> | undefined;
  let closed: Error | undefined;

  async function fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
    const request = requestOf(input, init);
    if (closed !== undefined) throw new TypeError("fetch failed", { cause: closed });
    return await way.send(request, init?.body);
  }

  function close(): Promise<void> {
    closed ??= socks5Error("SOCKS5_CLIENT_CLOSED", "Cannot fetch: the fetch was closed", { phase: "pool" });
    return closing ??= way.close(closed);
  }

  // preconnect is Bun's: a hint, which is not taken
  return Object.assign(fetch, { close, [Symbol.asyncDispose]: close, preconnect: () => {} });
}

function runtimeWay(): typeof nodeWay {
  const runtime = globalThis as { Deno?: { version?: { deno?: string } }; Bun?: { version?: string } };
  if (runtime.Deno?.version?.deno) return denoWay;
  return runtime.Bun?.version ? bunWay : nodeWay;
}
