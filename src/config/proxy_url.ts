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
import { cannot, isA, printable } from "../errors.ts";
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
  | ({ url: string | URL } & ProxyOptions)
  | (Endpoint & ProxyOptions & { tls?: boolean | TlsOptions | undefined });

/** What the client may be told of a proxy besides its URL or its parts. */
export interface ProxyOptions {
  /** Its share of the connects, beside the others of the list: 0 to 1000. 0: it gets no new connects. Default: 1. */
  weight?: number | undefined;
  /**
   * Maximum number of its connections, besides `pool.maxOpen`: at the limit, connects take another proxy, or wait in
   * order if none has room. A whole number from 1, or `Infinity`. Default: `Infinity`.
   */
  maxOpen?: number | undefined;
  /**
   * What it is called in events, errors, `stats()` and `conn.proxy`: 1 to 255 characters, and no two of a list are the
   * same. Default: `"host:port"`, with `#` and a short hash of the user name where two of the list share an address.
   */
  label?: string | undefined;
  /**
   * User name and password; or a function that gives them for each connect, for gateways that take the session in the
   * user name. A connect fails with a `TypeError` if the function throws, or if what it gives is malformed.
   */
  credentials?: Credentials | ((context: CredentialsContext) => Credentials) | undefined;
}

/** What credentials may depend on. */
export interface CredentialsContext {
  /** The `session` of the connect. */
  session: string | undefined;
  /** `"host:port"` of the target, or the name that is resolved. */
  target: string;
}

type Parts = ProxyOptions & {
  url?: string | URL;
  hostname?: string;
  port?: number;
  path?: string;
  tls?: boolean | TlsOptions | undefined;
};

const PARTS: Known<Parts> = {
  url: true,
  hostname: true,
  port: true,
  path: true,
  credentials: true,
  tls: true,
  weight: true,
  maxOpen: true,
  label: true,
};

const CREDENTIALS: Known<Credentials> = { username: true, password: true };

/** A proxy, checked. */
export interface Proxy {
  /** Without a prototype, from which a transport could take a `path`. */
  readonly endpoint: Endpoint;
  /** What it is called: all of it that is ever shown. */
  readonly name: string;
  /** The name that it was given. */
  readonly label: string | undefined;
  /** `"host:port"` or the path of the socket. */
  readonly address: string;
  /** Address and user name: what makes it the same proxy in another list. */
  readonly key: string;
  readonly credentials: UserPass | null;
  /** Gives the credentials, in place of those. */
  readonly credentialsFor: ((context: CredentialsContext) => Credentials) | undefined;
  readonly weight: number;
  readonly maxOpen: number;
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

/** Checks proxies, and names them; throws a `TypeError` or a `RangeError` that shows nothing of them. */
export function parseProxies(given: ProxySpec | readonly ProxySpec[]): Proxy[] {
  const proxies = (Array.isArray(given) ? given : [given] as readonly ProxySpec[]).map(parseProxy);
  if (proxies.length === 0) throw new TypeError(cannot("proxy", "a list of proxies", given));
  if (proxies.every(({ weight }) => weight === 0)) throw bad("the weight of one must be more than 0");
  const first = new Map<string, string>(); // the key of the first at each address
  const shared = new Set<string>();
  for (const { address, key } of proxies) {
    if (!first.has(address)) first.set(address, key);
    else if (first.get(address) !== key) shared.add(address);
  }
  const labels = new Set<string>();
  return proxies.map((proxy) => {
    const { label, address, credentials } = proxy;
    if (label !== undefined && labels.size === labels.add(label).size) throw bad("two have the same label");
    return { ...proxy, name: label ?? (shared.has(address) ? labelOf(address, credentials) : address) };
  });
}

/** Whether the client signs in with it. */
export function hasCredentials({ credentials, credentialsFor }: Proxy): boolean {
  return credentials !== null || credentialsFor !== undefined;
}

/** Those for one connect; throws a `TypeError` or a `RangeError` if a function gives what is none. */
export function credentialsOf(
  { credentials, credentialsFor, name }: Proxy,
  context: CredentialsContext,
): UserPass | null {
  if (credentialsFor === undefined) return credentials;
  let given: Credentials;
  try {
    given = credentialsFor({ ...context });
  } catch (cause) {
    throw new TypeError(`Cannot use the credentials of the proxy ${name}: the function that gives them threw`, {
      cause,
    });
  }
  return encodeCredentials(given);
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
  const { url, hostname, port, path, tls, credentials, weight = 1, maxOpen = Infinity, label } = parts; // each once
  const place = { hostname, port, path, tls, credentials };
  const proxy = url === undefined ? parseParts(place) : parseWithUrl(url, place);
  number("proxy.weight", weight, "a number from 0 to 1000", weight >= 0 && weight <= 1_000);
  const isCount = maxOpen === Infinity || (Number.isInteger(maxOpen) && maxOpen > 0);
  number("proxy.maxOpen", maxOpen, "a whole number from 1, or Infinity", isCount);
  if (label !== undefined) checkLabel(label);
  const credentialsFor = typeof credentials === "function" ? credentials : undefined;
  const key = credentialsFor === undefined || label === undefined ? proxy.key : `${proxy.key}#${label}`;
  return { ...proxy, weight, maxOpen, label, credentialsFor, key };
}

/** Where a proxy is, and who asks it. */
type Place = { readonly [Part in "hostname" | "port" | "path" | "tls" | "credentials"]: Parts[Part] };

function parseParts({ hostname, port = 1080, path, tls, credentials: given }: Place): Proxy {
  const credentials = given == null || typeof given === "function" ? null : encodeCredentials(given);
  if (path === undefined) return parseHostPort(hostname, port, credentials, tls);
  if (hostname !== undefined) throw bad("it is either a host or the path of a unix socket");
  if (tls !== undefined && tls !== false) throw bad("TLS needs a host and a port");
  return parsePath(path, credentials);
}

function parseWithUrl(url: string | URL, { hostname, port, path, tls, credentials }: Place): Proxy {
  if ([hostname, port, path, tls].some((part) => part !== undefined)) {
    throw bad("beside url there may be weight, maxOpen, label and credentials");
  }
  if (typeof url !== "string" && !isA(URL, url)) throw bad("url must be a string or a URL");
  const proxy = parseUrl(String(url));
  if (credentials == null) return proxy;
  if (proxy.credentials !== null) throw bad("it has credentials both in its URL and beside it");
  return typeof credentials === "function" ? proxy : { ...proxy, ...identified(proxy, encodeCredentials(credentials)) };
}

/** All of it that depends on the credentials. */
function identified(
  { address }: Pick<Proxy, "address">,
  credentials: UserPass | null,
): Pick<Proxy, "credentials" | "key"> {
  const user = credentials === null ? "" : `@${new TextDecoder().decode(credentials.uname)}`;
  return { credentials, key: `${address}${user}` };
}

function number(name: string, value: unknown, want: string, isInRange: boolean): void {
  if (typeof value !== "number") throw new TypeError(cannot(name, want, value));
  if (!isInRange) throw new RangeError(cannot(name, want, value));
}

function checkLabel(label: unknown): void {
  const want = "1 to 255 printable characters";
  if (typeof label !== "string") throw new TypeError(cannot("proxy.label", want, label));
  if (label === "" || label.length > 255 || printable(label) !== label) {
    throw new RangeError(cannot("proxy.label", want, label));
  }
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
  return plain(endpoint, printable(path), credentials, null);
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
  const tlsOptions = parseTls("proxy.tls", tls, host.hostname);
  return plain(endpoint, formatHostPort(host.hostname, port), credentials, tlsOptions);
}

/** A proxy about which nothing else is said. */
function plain(endpoint: Endpoint, address: string, credentials: UserPass | null, tls: TlsOptions | null): Proxy {
  return {
    endpoint,
    name: address,
    label: undefined,
    address,
    ...identified({ address }, credentials),
    credentialsFor: undefined,
    tls,
    weight: 1,
    maxOpen: Infinity,
  };
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
export function decode(text: string, which: RegExp = /(?:%[\da-f]{2})+/gi): string {
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
