/**
 * An HTTP proxy as the transport of a client: it stands before the SOCKS5 proxy, or, over another client, behind it.
 *
 * @example A corporate proxy before the SOCKS5 proxy
 * ```ts
 * import { Socks5Client } from "jsr:@x/socks5";
 * import { httpProxy } from "jsr:@x/socks5/http-proxy";
 *
 * const transport = httpProxy("http://user:pass@http-proxy.example:3128");
 * const client = new Socks5Client("socks5h://user:pass@proxy.example:1080", { transport });
 * const conn = await client.connect("example.com:80"); // this machine, the HTTP proxy, the SOCKS5 proxy, the target
 * conn.close();
 * ```
 *
 * @module
 */
import "../adapters/runtime.ts";
import { checkOptions, type Known } from "../src/arguments.ts";
import type { Credentials } from "../src/config/proxy_url.ts";
import { cannot } from "../src/errors.ts";
import { runtime } from "../src/runtime.ts";
import type { TlsOptions, Transport } from "../src/transport.ts";
import { connectThrough } from "./connect.ts";
import { parseHttpProxy } from "./proxy.ts";

export type {
  Bytes,
  ByteStream,
  Conn,
  DatagramHandlers,
  DatagramSocket,
  Detached,
  DialOptions,
  Endpoint,
  TlsOptions,
  Transport,
} from "../src/transport.ts";
export type { Credentials } from "../src/config/proxy_url.ts";

/** The options of {@linkcode httpProxy}. */
export interface HttpProxyOptions<S = unknown> {
  /**
   * What connects to the HTTP proxy: a `Socks5Client` puts the HTTP proxy behind SOCKS5, another `httpProxy()` behind
   * another HTTP proxy. Default: that of the runtime.
   */
  transport?: Transport<S> | undefined;
  /** User name and password, instead of those in the URL. The user name has no colon. Default: none. */
  credentials?: Credentials | undefined;
  /** The options of TLS with the proxy. Only with `https:`. Default: those of `https:`, with the proxy's host name. */
  tls?: TlsOptions | undefined;
}

/**
 * Makes a transport that connects through an HTTP proxy, by its method CONNECT (RFC 9110 section 9.3.6). The proxy
 * resolves names. Credentials are sent as Basic (RFC 7617) with each connect; Digest, NTLM and Negotiate are not
 * supported. It has no datagrams, no `lookup()` and no way to a unix socket.
 *
 * Used as the transport of a `Socks5Client`, `connect()` of that rejects with the errors below as they are. If the HTTP
 * proxy is down or hangs up, the client tries again as its `retry` says; if it does not reach a SOCKS5 proxy, the client
 * tries its next one.
 *
 * - {@linkcode ProxyError}: the proxy is down, hangs up (`SOCKS5_PROXY_UNREACHABLE`, `_HUNG_UP`) or does not speak HTTP
 *   (`_BAD_REPLY`).
 * - {@linkcode AuthError}: it answered 407 or 401: it refused the credentials (`SOCKS5_AUTH_REFUSED`), or wants some, or another
 *   scheme (`SOCKS5_AUTH_NO_METHOD`).
 * - {@linkcode TargetError}: it answered with another status that is no success, which the message says: 403 is
 *   `SOCKS5_TARGET_NOT_ALLOWED`, 405 and 501 are `_BAD_COMMAND`, 502 and 504 are `_HOST_UNREACHABLE`, all else is `_FAILED`.
 * - {@linkcode TlsError}: TLS with it failed.
 * - {@linkcode LocalError}: this process may not or cannot open a connection.
 *
 * `signal` ends a connect at any step; without one, only the proxy does.
 *
 * @param proxy `"http://user:pass@host:3128"`, or `https:` for TLS with the proxy. Default port: 80 or 443. User name and
 * password are percent-decoded.
 * @throws {TypeError} If the URL or an option is malformed. The message shows nothing of the proxy.
 *
 * @example Behind a SOCKS5 proxy
 * ```ts
 * import { Socks5Client } from "jsr:@x/socks5";
 * import { httpProxy } from "jsr:@x/socks5/http-proxy";
 *
 * const client = new Socks5Client("socks5h://user:pass@proxy.example:1080");
 * const transport = httpProxy("http://user:pass@http-proxy.example:3128", { transport: client });
 * const conn = await transport.connect({ hostname: "example.com", port: 80 });
 * conn.close();
 * ```
 */
export function httpProxy<S = unknown>(proxy: string | URL, options: HttpProxyOptions<S> = {}): Transport<S> {
  const { transport = runtime().transport as Transport<S>, credentials, tls } = checkOptions(
    "the options of httpProxy()",
    options,
    OPTIONS,
  );
  if (typeof transport?.connect !== "function") {
    throw new TypeError(cannot("transport", "a transport with connect()", transport));
  }
  const parsed = parseHttpProxy(proxy, credentials, tls);
  return { connect: (to, options) => connectThrough(parsed, transport, to, options) };
}

const OPTIONS: Known<HttpProxyOptions> = { transport: true, credentials: true, tls: true };
