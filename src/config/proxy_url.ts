import {
  formatHostPort,
  isPort,
  parseHost,
  PROXY_FORM,
  PROXY_FORMS,
  PROXY_LIKE,
  splitHostPort,
} from "../protocol/address.ts";
import { checkOptions, type Known, nearest, own, ownOptions, unknownOption } from "../arguments.ts";
import { isA, printable } from "../errors.ts";
import type { UserPass } from "../protocol/messages.ts";
import { parseTls } from "./tls_options.ts";
import type { Endpoint, TlsOptions } from "../transport.ts";

/** User name (1 to 255 bytes of UTF-8) and password (at most 255 bytes of UTF-8; default: empty). */
export type Credentials = { username: string; password?: string | undefined };

/**
 * A proxy: `"socks5h://user:pass@host:1080"` (default port: 1080), a `URL`, or the parts. `socks5h+tls:` starts TLS
 * with the proxy; the parts can give its options. `"socks5h://user:pass@localhost/run/tor/socks"` is a unix socket,
 * which has no TLS. `socks5h:`, `socks5:` and `socks:` are the same: the proxy resolves names unless `dns` is
 * `"local"`.
 */
export type ProxySpec =
  | string
  | URL
  | (Endpoint & { credentials?: Credentials | undefined; tls?: boolean | TlsOptions | undefined });

type Parts = {
  hostname?: string;
  port?: number;
  path?: string;
  credentials?: Credentials | undefined;
  tls?: boolean | TlsOptions | undefined;
};

const PARTS: Known<Parts> = { hostname: true, port: true, path: true, credentials: true, tls: true };

const CREDENTIALS: Known<Credentials> = { username: true, password: true };

/** A proxy, checked. */
export interface Proxy {
  /** Without a prototype, from which a transport could take a `path`. */
  readonly endpoint: Endpoint;
  /** `"host:port"` or the path of the socket: all of it that is ever shown. */
  readonly name: string;
  readonly credentials: UserPass | null;
  /** How TLS is started with it, with `serverName`; `null`: not at all. */
  readonly tls: TlsOptions | null;
}

/**
 * The name of a proxy with a hash of the user name behind a `#`, which tells the users of one gateway apart: 32 bits
 * (FNV-1a) give no user name away.
 */
export function labelOf(name: string, credentials: UserPass | null): string {
  if (credentials === null) return name;
  let hash = 0x811c9dc5;
  for (const byte of credentials.uname) hash = Math.imul(hash ^ byte, 0x01000193);
  return `${name}#${(hash >>> 0).toString(16).padStart(8, "0")}`;
}

/** Checks a proxy; throws a `TypeError` or a `RangeError` that shows nothing of it. */
export function parseProxy(spec: ProxySpec): Proxy {
  if (typeof spec === "string") return parseUrl(spec);
  if (isA(URL, spec)) return parseUrl(spec.href);
  if (spec === null || typeof spec !== "object" || Array.isArray(spec)) {
    throw bad("it must be a URL or { hostname, port }");
  }
  if (own(spec, "username") !== undefined || own(spec, "password") !== undefined) {
    throw bad("user name and password belong in { credentials }");
  }
  const parts: Parts = checkOptions("the parts of a proxy", spec, PARTS);
  const { hostname, port = 1080, path, tls, credentials: given } = parts;
  const credentials = given == null ? null : encodeCredentials(given);
  if (path === undefined) return parseHostPort(hostname, port, credentials, tls);
  if (hostname !== undefined) throw bad("it is either a host or the path of a unix socket");
  if (tls !== undefined && tls !== false) throw bad("TLS needs a host and a port");
  return parsePath(path, credentials);
}

/** UNAME and PASSWD as they are sent; throws a `TypeError` or a `RangeError` that shows nothing of them. */
export function encodeCredentials(credentials: Credentials): UserPass {
  const wrong = (reason: string) =>
    `Cannot use credentials as user name and password, ${reason}: current value is (redacted)`;
  const { username, password = "" } = checkCredentials(credentials, wrong);
  if (typeof username !== "string" || typeof password !== "string") throw new TypeError(wrong("both must be strings"));
  const uname = new TextEncoder().encode(username);
  const passwd = new TextEncoder().encode(password);
  if (uname.length < 1 || uname.length > 255) {
    throw new RangeError(wrong("the user name must have 1 to 255 bytes of UTF-8"));
  }
  if (passwd.length > 255) throw new RangeError(wrong("the password must have at most 255 bytes of UTF-8"));
  return { uname, passwd };
}

/** Names what there is beside user name and password only if it is a slip of one: it may be a user name itself. */
function checkCredentials(credentials: Credentials, wrong: (reason: string) => string): Credentials {
  if (typeof credentials !== "object" || credentials === null || Array.isArray(credentials)) {
    throw new TypeError(wrong("both must be strings"));
  }
  const other = unknownOption(credentials, CREDENTIALS);
  if (other === undefined) return ownOptions(credentials, CREDENTIALS);
  const meant = nearest(other, Object.keys(CREDENTIALS));
  if (meant === undefined) throw new TypeError(wrong("there is something else beside username and password"));
  throw new TypeError(`Cannot use ${other} in credentials: did you mean ${meant}?`);
}

/** By hand, since the errors of `URL` carry the password and its host for `socks5:` is neither IDNA nor lower case. */
function parseUrl(url: string): Proxy {
  const [, scheme, rest] = /^([a-z][a-z\d+.-]*):\/\/(.*)$/is.exec(url) ?? [];
  if (scheme === undefined) {
    throw bad(`the scheme is missing (${PROXY_LIKE.test(url) ? PROXY_FORMS : "socks5h://host:port"})`);
  }
  const [known, tls] = /^socks(?:5h?(\+tls)?)?$/i.exec(scheme) ?? [];
  if (known === undefined) throw bad("the scheme must be socks5h, socks5 or socks, or socks5h+tls or socks5+tls");
  const at = rest!.lastIndexOf("@");
  const userInfo = rest!.slice(0, Math.max(at, 0));
  const place = rest!.slice(at + 1).replace(NO_PORT, "$1");
  if (/[/?#\\]/.test(userInfo)) throw bad("user name and password must be percent-encoded where they have / ? # or \\");
  const credentials = userInfo === "" || userInfo === ":" ? null : parseUserInfo(userInfo);
  const [, path] = /^localhost(\/.+)$/is.exec(place) ?? [];
  if (path !== undefined) {
    if (tls !== undefined) throw bad("TLS needs a host and a port");
    if (/[\s?#\\]/.test(path)) throw bad("the path must be percent-encoded where it has white space, ? # or \\");
    const decoded = decode(path);
    if (/\/\.\.?(\/|$)/.test(decoded)) throw bad("the path has . or .. in it"); // `URL` resolves them, the kernel too
    return parsePath(decoded, credentials);
  }
  if (PROXY_LIKE.test(place)) throw bad(`user name and password come before the host (${PROXY_FORM})`);
  if (/[/?#]./.test(place)) {
    throw bad("nothing may follow the port (a unix socket is written localhost/path)");
  }
  // `URL` gives IDNA as percent-encoded UTF-8; an escaped ASCII character stays what no host name has
  const host = decode(place.replace(/\/$/, ""), /(?:%[89a-f][\da-f])+/gi);
  const { hostname, port = 1080 } = splitHostPort(host);
  if (/^[^[]*:/.test(hostname)) throw bad("the port is malformed, or an IPv6 address has no brackets: [::1]:1080");
  return parseHostPort(hostname, port, credentials, tls !== undefined);
}

/** The colon of a port that is not there, which `URL` leaves out. */
const NO_PORT = /^(\[[^\]]*\]|[^:/?#]*):(?=[/?#]|$)/;

/** `sun_path` of Linux has 108 bytes with the zero at the end. */
function parsePath(path: unknown, credentials: UserPass | null): Proxy {
  if (typeof path !== "string" || path === "" || /\p{Cc}/u.test(path)) throw bad("the path is malformed");
  if (new TextEncoder().encode(path).length > 107) {
    throw new RangeError(bad("the path has more than 107 bytes").message);
  }
  const endpoint = { __proto__: null, path };
  return { endpoint, name: printable(path), credentials, tls: null };
}

function parseHostPort(
  hostname: string | undefined,
  port: number,
  credentials: UserPass | null,
  tls: boolean | TlsOptions | undefined,
): Proxy {
  const host = parseHost(hostname ?? "");
  if (typeof host === "string") throw bad(host);
  if (typeof port !== "number") throw bad("the port must be a number");
  if (!isPort(port)) throw new RangeError(bad("the port must be 1 to 65535").message);
  const endpoint = { __proto__: null, hostname: host.hostname, port };
  const name = formatHostPort(host.hostname, port);
  return { endpoint, name, credentials, tls: parseTls("proxy.tls", tls, host.hostname) };
}

function parseUserInfo(userInfo: string): UserPass {
  const colon = userInfo.indexOf(":");
  const username = colon < 0 ? userInfo : userInfo.slice(0, colon);
  return encodeCredentials({
    username: decode(username),
    password: colon < 0 ? "" : decode(userInfo.slice(colon + 1)),
  });
}

/** Percent-decodes; what is no escape stays as it is. */
function decode(text: string, which: RegExp = /(?:%[\da-f]{2})+/gi): string {
  return text.replace(which, (escapes) => {
    try {
      return decodeURIComponent(escapes);
    } catch {
      return escapes;
    }
  });
}

function bad(reason: string): TypeError {
  return new TypeError(`Cannot use proxy as SOCKS5 proxy, ${reason}: current value is (redacted)`);
}
