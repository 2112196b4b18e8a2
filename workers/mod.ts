/**
 * A SOCKS5 client for Cloudflare Workers: all of the package that works there, in a module that needs nothing of Node.
 *
 * @module
 */
import "./runtime.ts";

export type * from "../mod.ts";
export { type WorkersSocket, workersTransport } from "../adapters/workers/mod.ts";
export { parseProxyList } from "../src/config/proxy_list.ts";
export {
  AuthError,
  ClosedError,
  isProxyFailure,
  LocalError,
  ProxyError,
  Socks5Error,
  TargetError,
  TimeoutError,
  TlsError,
} from "../src/errors.ts";
export { createFetch, type FetchOptions, type Socks5Fetch } from "./fetch.ts";
export type { FetchInit } from "../fetch/request.ts";
export type { ClientLike, ClientOrProxy } from "../src/client_of.ts";
export { Socks5Client } from "../src/socks5_client.ts";
