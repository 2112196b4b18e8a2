import { cannot } from "../src/errors.ts";

// what the runtimes take in init to connect in another way
const HOOKS = ["agent", "client", "dispatcher", "protocol", "proxy", "session", "tls", "unix"] as const;

// of these, the last two need no network
const SCHEMES = ["http:", "https:", "data:", "blob:"];

/**
 * The request that a fetch is given. The standard's constructor takes what it knows and leaves the rest, so that nothing
 * that a runtime would take besides gets through.
 */
export function requestOf(input: RequestInfo | URL, init: RequestInit | undefined): Request {
  for (const hook of HOOKS) {
    if ((init as Record<string, unknown> | undefined)?.[hook] === undefined) continue;
    throw new TypeError(`Cannot use init.${hook}: this fetch has its own way to connect, and no other`);
  }
  const request = new Request(input, init);
  const [scheme = ""] = /^[^:]*:/.exec(request.url) ?? [];
  if (!SCHEMES.includes(scheme)) throw new TypeError(cannot("URL", "one of http, https, data or blob", scheme));
  return request;
}
