import { own } from "../arguments.ts";
import { kindOf } from "../errors.ts";
import type { Endpoint } from "../transport.ts";

/** Where the caller wants to end up: `"host:port"`, `"[::1]:443"` or the parts. */
export type Target = string | Endpoint;

/** ATYP, the address types of RFC 1928 section 5. */
export const ATYP = { IPV4: 0x01, DOMAIN: 0x03, IPV6: 0x04 } as const;

/** A host in the form in which it is written and in that in which it is sent. */
export interface Host {
  /** Canonical: lower case, IDNA applied, RFC 5952, no brackets. */
  readonly hostname: string;
  readonly atyp: number;
  /** 4 or 16 bytes, or the ASCII of the name (1 to 255 bytes). */
  readonly addr: Uint8Array;
}

/** A target, checked and encoded. */
export interface Address extends Host {
  readonly port: number;
  /** `"host:port"`, with brackets around IPv6. */
  readonly name: string;
}

// besides what delimits: white space and what is invisible, but for the joiners, which some scripts need
const FORBIDDEN = /[\s\p{Cc}/?#@\\%:<>^|[\]]|(?![\u200c\u200d])\p{Cf}/u;

/** What most hosts are made of. */
const PLAIN = /^[\w.-]+$/;

/** A name that can be handed on to anybody: no shell, no URL and no command line takes it for more. */
const NAME = /^(?!-)[\w-]+(\.[\w-]+)*\.?$/;

const ASCII = /^[\x21-\x7e]+$/;

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;

const TOO_LONG = "the host name is longer than 255 bytes";

// "ends in a number" of the URL standard: such a name is meant as an IPv4 address
const NUMERIC = /(^|\.)(\d+|0x[\da-f]*)\.?$/;

/** What is meant as a proxy: with user name and password before the host, or behind the port, as lists have it. */
export const PROXY_LIKE: RegExp = /@|^(\[[^\]]*\]|(?!\[|[\da-f]*:)[^:]*):\d+:/i;

/** How a proxy is written, for whoever wrote it in another way. */
export const PROXY_FORM: string = "socks5h://user:password@host:1080";

/** The same, for whoever has proxies as they are sold. */
export const PROXY_FORMS: string = `${PROXY_FORM}; parseProxyList() reads host:port:user:password`;

/**
 * Checks and encodes a target; throws a `TypeError` or a `RangeError`, which show a target only if it is one but for its
 * port. `least`: the lowest port, 0 for a request that leaves it open.
 */
export function parseTarget(target: Target, least: 0 | 1 = 1): Address {
  const bad = (reason: string, got = kindOf(target)) =>
    `Cannot parse target as "host:port", ${reason}: current value is ${got}`;
  const { hostname, port, wrong } = typeof target === "string" ? textParts(target) : ownParts(target);
  if (wrong !== undefined) throw new TypeError(bad(wrong));
  if (port === undefined) {
    throw new TypeError(bad("the port is missing or malformed (IPv6 needs brackets: [::1]:443)"));
  }
  if (typeof port !== "number") throw new TypeError(bad("the port must be a number"));
  const host = parseHost(hostname as string);
  if (typeof host === "string") throw new TypeError(bad(host));
  const name = formatHostPort(host.hostname, port);
  if (port !== least && !isPort(port)) {
    const isForm = typeof target !== "string" || port < 100_000; // more digits may be a password
    throw new RangeError(bad(`the port must be ${least} to 65535`, isForm ? JSON.stringify(name) : undefined));
  }
  return { hostname: host.hostname, atyp: host.atyp, addr: host.addr, port, name };
}

/** The parts of a target, each read once, and unchecked; or what it is instead of one. */
type Parts = { hostname?: unknown; port?: unknown; wrong?: string };

function textParts(text: string): Parts {
  if (text.includes("://")) return { wrong: "which is no URL" };
  if (PROXY_LIKE.test(text)) return { wrong: `a proxy is written ${PROXY_FORMS}` };
  return splitHostPort(text);
}

function ownParts(target: unknown): Parts {
  if (target === null || typeof target !== "object") return { wrong: "a string or { hostname, port }" };
  if (own(target, "path") !== undefined) return { wrong: "SOCKS5 cannot address a unix socket" };
  return { hostname: own(target, "hostname"), port: own(target, "port") };
}

/** Parses targets, and remembers what the last ones came to: most programs ask for few, and parsing is 5 % of a dial. */
export class Targets {
  readonly #known = new Map<string, Address>();

  /** As {@linkcode parseTarget}. */
  parse(target: Target): Address {
    const known = typeof target === "string" ? this.#known.get(target) : undefined;
    if (known !== undefined) return known;
    const address = parseTarget(target);
    if (this.#known.size >= 100) this.#known.clear();
    if (typeof target === "string") this.#known.set(target, address);
    return address;
  }
}

/** `host:port`, `[v6]:port` or `host` into its parts, unchecked; the port is `undefined` if there is none. */
export function splitHostPort(text: string): { hostname: string; port: number | undefined } {
  const [, hostname = text, port] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(text) ?? [];
  return { hostname, port: port === undefined ? undefined : Number(port) };
}

/** `host:port`, with brackets around IPv6. */
export function formatHostPort(hostname: string, port: number): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

export function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65535;
}

/** A host name, an IPv4 or an IPv6 address as it is sent, or what is wrong with it. */
export function parseHost(text: string): Host | string {
  if (typeof text !== "string" || text === "") return "the host name is missing";
  if (!PLAIN.test(text)) {
    const bare = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
    if (/^[\da-f.]*:[^\s/]*$/i.test(bare)) return parseIpv6(bare) ?? "an IPv6 address is malformed or has a zone id";
    if (bare !== text) return "brackets are for IPv6 addresses";
    if (FORBIDDEN.test(text)) return "the host name has an invalid character";
  }
  if (text.length > 1020) return TOO_LONG; // before IDNA, which may take half a minute for a megabyte
  const name = toAscii(text);
  if (name === null || name.startsWith(".") || name.includes("..")) return "the host name is malformed";
  if (name.length > 255) return TOO_LONG;
  if (!NUMERIC.test(name)) return domain(name);
  return IPV4.test(name)
    ? ipv4(name.split(".", 4).map(Number))
    : "an IPv4 address has four decimal numbers from 0 to 255";
}

/** The address or the name that a server sent (BND.ADDR); `""` if it sent what is no host name. */
export function decodeHost(atyp: number, addr: Uint8Array): string {
  if (atyp === ATYP.IPV4) return addr.join(".");
  if (atyp === ATYP.IPV6) return formatIpv6(addr);
  const name = String.fromCharCode(...addr);
  return NAME.test(name) && typeof parseHost(name) !== "string" ? name : "";
}

/** ASCII as it is, in lower case; anything else by IDNA (`URL` is every runtime's implementation of UTS 46). */
function toAscii(name: string): string | null {
  if (ASCII.test(name)) return name.toLowerCase();
  try {
    const { hostname } = new URL(`http://${name}`);
    return NUMERIC.test(hostname) ? null : hostname; // full-width digits are no way to write an address
  } catch {
    return null;
  }
}

function domain(hostname: string): Host {
  return { hostname, atyp: ATYP.DOMAIN, addr: new TextEncoder().encode(hostname) };
}

function ipv4(octets: number[]): Host {
  return { hostname: octets.join("."), atyp: ATYP.IPV4, addr: new Uint8Array(octets) };
}

/** RFC 4291 section 2.2; an IPv4-mapped address is the IPv4 address, since that is what a connection to it uses. */
function parseIpv6(text: string): Host | null {
  let groups: string[];
  try {
    // the parser of `URL` takes each text form and gives RFC 5952: at most one "::", no embedded IPv4
    groups = /^[\da-f:.]+$/i.test(text) ? new URL(`http://[${text}]`).hostname.slice(1, -1).split(":") : [];
  } catch {
    return null;
  }
  if (groups.length === 0) return null;
  const words = groups.map((group) => Number.parseInt(group || "0", 16));
  const gap = groups.indexOf("");
  if (gap >= 0) words.splice(gap, 0, ...new Array<number>(8 - words.length).fill(0));
  const addr = Uint8Array.from(words.flatMap((word) => [word >> 8, word & 0xff]));
  const mapped = addr.subarray(0, 12).join() === "0,0,0,0,0,0,0,0,0,0,255,255";
  return mapped ? ipv4([...addr.subarray(12)]) : { hostname: formatIpv6(addr), atyp: ATYP.IPV6, addr };
}

function formatIpv6(addr: Uint8Array): string {
  const words = Array.from({ length: 8 }, (_, i) => hex(addr[2 * i]! << 8 | addr[2 * i + 1]!));
  return new URL(`http://[${words.join(":")}]`).hostname.slice(1, -1);
}

function hex(n: number): string {
  return n.toString(16);
}
