import { checkOptions, type Known, parseSession } from "../src/arguments.ts";
import { clientOf, type ClientOrProxy } from "../src/client_of.ts";
import type { Socks5Options } from "../src/config/options.ts";
import { runtime } from "../src/runtime.ts";
import { type FetchInit, requestOf } from "../fetch/request.ts";
import { FetchResponse } from "../fetch/response.ts";
import { Fetcher } from "./fetcher.ts";

/** The options of `createFetch()`. */
export interface FetchOptions {
  /**
   * The options of the client that is made for a proxy. Not together with a `Socks5Client`. Default: those of the
   * client.
   */
  client?: Socks5Options | undefined;
  /**
   * An identity that keeps its proxy, 1 to 255 bytes of UTF-8, as `connect()` of the client takes it, for calls that have
   * none of their own. Default: none.
   */
  session?: string | undefined;
}

/** A `fetch` of one request of a Worker, with its own connections. */
export interface Socks5Fetch {
  /** Fetches, as in the Fetch standard; `session` in `init` is an identity that keeps its proxy. */
  (input: string | URL | Request, init?: FetchInit): Promise<Response>;
  /**
   * The label of the proxy that a response came through, after redirects that of the last request; `undefined` for any
   * response that is none of a fetch of this package.
   */
  proxyOf(response: Response): string | undefined;
  /**
   * Ends pending requests, closes idle connections and the client that was made for a proxy; resolves when nothing is
   * left. Later calls reject. A Worker need not call it: its connections end with the request.
   */
  close(): Promise<void>;
  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

const OPTIONS: Known<FetchOptions> = { client: true, session: true };

/**
 * Makes a `fetch` whose every request, redirects included, goes through the proxy. The `fetch` of Workers has no hook, so
 * this one speaks HTTP/1.1 itself, over tunnels of the client. Make one in each request of the Worker: in another it is a
 * `TypeError`. It keeps connections for its next calls, and shares them with nobody else.
 *
 * As in the Fetch standard, a call rejects with a `TypeError`, whose `cause` is the {@linkcode Socks5Error} if the
 * connection failed; or with the reason of its signal, which also cancels a handshake with the proxy. `redirect:
 * "manual"` returns the redirect itself. Only `http:` and `https:` URLs can be fetched. It decodes gzip and deflate, and
 * offers no other coding. The options of Cloudflare's own fetch (`cf`) have no effect.
 *
 * @param proxy A proxy as the constructor of `Socks5Client` takes it: a URL, its parts, or a list of them in the order
 * of preference (failover, not a chain). The fetch makes a client for it, and `close()` closes that. Or a
 * `Socks5Client`, or anything else with its `connect()`: the caller must close that.
 * @throws {TypeError} If the proxy or an option is malformed or unknown. The message shows nothing of a proxy.
 * @throws {RangeError} If a number in `client` or the length of `session` is out of range.
 *
 * @example A Worker that answers through a proxy
 * ```ts ignore
 * import { createFetch } from "jsr:@x/socks5/workers";
 *
 * export default {
 *   async fetch(request: Request, env: { PROXY: string }): Promise<Response> {
 *     const fetch = createFetch(env.PROXY); // "socks5h://user:pass@proxy.example:1080"
 *     return await fetch("https://example.com/");
 *   },
 * };
 * ```
 */
export function createFetch(proxy: ClientOrProxy, options: FetchOptions = {}): Socks5Fetch {
  const { client: clientOptions, session: given } = checkOptions("the options of createFetch()", options, OPTIONS);
  const session = parseSession(given);
  const { client, close: closeClient } = clientOf(proxy, clientOptions);
  const fetcher = new Fetcher(client);
  let claim: (() => void) | undefined;
  let closing: Promise<void> | undefined;

  async function fetch(input: string | URL | Request, init: FetchInit | null = null): Promise<Response> {
    const request = requestOf(input, init, session);
    if (claim === undefined) claim = runtime().claim();
    else claim();
    return await fetcher.fetch(request);
  }

  async function end(): Promise<void> {
    fetcher.close();
    await closeClient();
  }

  const close = () => closing ??= end();
  const proxyOf = (response: Response) => FetchResponse.proxyOf(Object(response));
  return Object.assign(fetch, { proxyOf, close, [Symbol.asyncDispose]: close });
}
