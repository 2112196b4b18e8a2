import { type Credentials, decode, encodeCredentials } from "../src/config/proxy_url.ts";
import { parseTls } from "../src/config/tls_options.ts";
import { isA } from "../src/errors.ts";
import { formatHostPort, parseHost } from "../src/protocol/address.ts";
import type { Endpoint, TlsOptions } from "../src/transport.ts";

/** An HTTP proxy, checked. */
export interface HttpProxy {
  readonly endpoint: Endpoint;
  /** `"host:port"`: all of it that is ever shown. */
  readonly name: string;
  readonly tls: TlsOptions | null;
  /** The field Proxy-Authorization; `null` without credentials. */
  readonly authorization: string | null;
  /** What no message may show, in any form in which it is known here. */
  readonly secrets: readonly string[];
}

/** Checks the URL of an HTTP proxy; throws a `TypeError` or a `RangeError` that shows nothing of it. */
export function parseHttpProxy(
  proxy: string | URL,
  given: Credentials | undefined,
  tls: TlsOptions | undefined,
): HttpProxy {
  const text = typeof proxy === "string" ? proxy : isA(URL, proxy) ? proxy.href : undefined;
  if (text === undefined) throw bad("it must be a URL");
  if (!/^[a-z][a-z\d+.-]*:\/\//i.test(text)) throw bad("the scheme is missing (http://host:port)");
  if (!/^https?:/i.test(text)) throw bad("the scheme must be http or https");
  if (/[\s\p{Cc}\\]/u.test(text) || !URL.canParse(text)) throw bad("it is malformed");
  const { protocol, hostname, port, pathname, search, hash, username, password } = new URL(text);
  if (pathname !== "/" || search !== "" || hash !== "") {
    throw bad(
      "nothing may follow the port; user name and password must be percent-encoded where they have / ? # or \\",
    );
  }
  const host = parseHost(hostname);
  if (typeof host === "string") throw bad(host);
  const isSecure = protocol === "https:";
  if (tls !== undefined && !isSecure) throw new TypeError("Cannot use tls with a proxy whose scheme is not https");
  const hasOwn = username !== "" || password !== "";
  if (hasOwn && given !== undefined) throw bad("it has credentials both in its URL and beside it");
  const credentials = given ?? (hasOwn ? { username: decode(username), password: decode(password) } : undefined);
  const number = Number(port || (isSecure ? 443 : 80));
  if (number === 0) throw new RangeError(bad("the port must be 1 to 65535").message);
  return {
    endpoint: { __proto__: null, hostname: host.hostname, port: number } as Endpoint,
    name: formatHostPort(host.hostname, number),
    tls: isSecure ? parseTls("tls", tls ?? true, host.hostname) : null,
    ...authorize(credentials),
  };
}

/** RFC 7617, in UTF-8. */
function authorize(credentials: Credentials | undefined): Pick<HttpProxy, "authorization" | "secrets"> {
  if (credentials === undefined) return { authorization: null, secrets: [] };
  const { uname, passwd } = encodeCredentials(credentials);
  const { username, password = "" } = credentials;
  const wrong = "Cannot use credentials as user name and password for HTTP";
  if (username.includes(":")) throw new TypeError(`${wrong}, the user name has a colon: current value is (redacted)`);
  if (/\p{Cc}/u.test(username + password)) {
    throw new TypeError(`${wrong}, there is a control character in it: current value is (redacted)`);
  }
  const token = btoa(String.fromCharCode(...uname, 0x3a, ...passwd));
  return { authorization: `Basic ${token}`, secrets: [token, username, password].filter((it) => it !== "") };
}

function bad(reason: string): TypeError {
  return new TypeError(`Cannot use proxy as HTTP proxy, ${reason}: current value is (redacted)`);
}
