import { ATYP, decodeHost, formatHostPort, type Host, parseHost } from "./address.ts";
import { Fault } from "./errors.ts";
import type { Reply } from "./handshake.ts";

/** Where the datagrams of an association go: an IP address and a port. */
export interface Relay {
  readonly hostname: string;
  readonly port: number;
  readonly isIpv6: boolean;
}

/** What is known of the proxy and wanted of its relay. */
export interface Bounds {
  /** The address that the proxy was connected at, if the transport tells; else its host. */
  readonly proxy: string;
  /** Whether it may be nearer to this machine than the proxy is. */
  readonly allowPrivate: boolean;
}

/**
 * The relay that a reply names (RFC 1928 section 6); where that is no address, the one of the proxy. Throws a
 * {@linkcode Fault} if nothing can be sent there, or should not be: a proxy could name a service in the network of
 * whoever uses it.
 */
export function relayOf(reply: Reply, { proxy, allowPrivate }: Bounds): Relay {
  const named = reply.atyp === ATYP.DOMAIN ? null : decodeHost(reply.atyp, reply.bndAddr);
  if (named === null) throw bad("a host name as the relay of datagrams, which must be an IP address");
  if (reply.bndPort === 0) throw bad("the port 0 for datagrams");
  const isUnspecified = named === "0.0.0.0" || named === "::";
  const hostname = canonical(isUnspecified ? proxy : named);
  const zone = hostOf(hostname);
  if (zone === null) {
    throw bad("no address for datagrams, and the transport does not tell which address the proxy has");
  }
  const relay = { hostname, port: reply.bndPort, isIpv6: zone.atyp === ATYP.IPV6 };
  if (isUnspecified) return relay;
  const shown = formatHostPort(hostname, reply.bndPort);
  const reach = reachOf(zone);
  if (reach === REACH.NOBODY) throw bad(`${shown} for datagrams, which is the address of nobody`);
  const own = hostOf(canonical(proxy));
  if (reach < (own === null ? REACH.PUBLIC : reachOf(own)) && !allowPrivate) {
    const why = "which is nearer to this machine than the proxy is; allowPrivateRelay takes it";
    throw bad(`${shown} for datagrams, ${why}`);
  }
  return relay;
}

/** An address as it is compared: IPv4 for what is mapped into IPv6, and with the zone that it may have. */
export function canonical(hostname: string): string {
  const [address = "", zone] = hostname.split("%");
  const host = parseHost(address);
  return typeof host === "string" ? hostname : zone === undefined ? host.hostname : `${host.hostname}%${zone}`;
}

/** From where an address can be reached, the nearest first. */
const REACH = { NOBODY: 0, MACHINE: 1, NETWORK: 2, PUBLIC: 3 } as const;

/** RFC 6890 for IPv4 and IPv6, RFC 4193 and RFC 4291: bits of the prefix, and who can be behind it. */
const RANGES: readonly (readonly [prefix: string, bits: number, reach: number])[] = [
  ["0.0.0.0", 8, REACH.NOBODY],
  ["10.0.0.0", 8, REACH.NETWORK],
  ["100.64.0.0", 10, REACH.NETWORK],
  ["127.0.0.0", 8, REACH.MACHINE],
  ["169.254.0.0", 16, REACH.NETWORK],
  ["172.16.0.0", 12, REACH.NETWORK],
  ["192.168.0.0", 16, REACH.NETWORK],
  ["198.18.0.0", 15, REACH.NETWORK],
  ["224.0.0.0", 3, REACH.NOBODY], // multicast, reserved, broadcast
  ["::1", 128, REACH.MACHINE],
  ["::", 96, REACH.NOBODY],
  ["fc00::", 7, REACH.NETWORK],
  ["fe80::", 10, REACH.NETWORK],
  ["fec0::", 10, REACH.NETWORK],
  ["ff00::", 8, REACH.NOBODY],
];

function reachOf({ addr }: Host): number {
  const isIn = ([prefix, bits]: (typeof RANGES)[number]) => {
    const { addr: start } = parseHost(prefix) as Host;
    return start.length === addr.length && start.every((byte, i) => ((byte ^ addr[i]!) & maskOf(bits - 8 * i)) === 0);
  };
  return RANGES.find(isIn)?.[2] ?? REACH.PUBLIC;
}

/** The mask of a byte in which so many bits of the prefix are left. */
function maskOf(bits: number): number {
  return bits >= 8 ? 0xff : bits <= 0 ? 0 : 0xff & (0xff << (8 - bits));
}

/** The IP address, without its zone; `null` for a name. */
function hostOf(hostname: string): Host | null {
  const host = parseHost(hostname.split("%")[0]!);
  return typeof host === "string" || host.atyp === ATYP.DOMAIN ? null : host;
}

function bad(what: string): Fault {
  return new Fault("SOCKS5_PROXY_BAD_REPLY", `the proxy named ${what}`);
}
