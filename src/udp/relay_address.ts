import { ATYP, decodeHost, formatHostPort, type Host, parseHost } from "../protocol/address.ts";
import { ProtocolError } from "../errors.ts";
import type { Reply } from "../protocol/messages.ts";

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
  /** The port of the proxy. */
  readonly port: number;
  /** Whether it may be nearer to this machine than the proxy is. */
  readonly allowPrivate: boolean;
}

/**
 * The relay that a reply names (RFC 1928 section 6); where that is no address, the one of the proxy. Throws a
 * {@linkcode ProtocolError} if nothing can be sent there, or should not be: a proxy could name a service in the network of
 * whoever uses it.
 */
export function relayOf(reply: Reply, { proxy, port, allowPrivate }: Bounds): Relay {
  const named = reply.atyp === ATYP.DOMAIN ? null : decodeHost(reply.atyp, reply.bndAddr);
  if (named === null) throw bad("a host name as the relay of datagrams, which must be an IP address");
  if (reply.bndPort === 0) throw bad("the port 0 for datagrams");
  const isUnspecified = named === "0.0.0.0" || named === "::";
  const hostname = canonical(isUnspecified ? proxy : named);
  const host = hostOf(hostname);
  if (host === null) {
    throw bad("no address for datagrams, and the transport does not tell which address the proxy has");
  }
  const relay = { hostname, port: reply.bndPort, isIpv6: host.atyp === ATYP.IPV6 };
  const shown = formatHostPort(hostname, relay.port);
  const near = reachOf(host);
  if (near === REACH.NOBODY) throw bad(`${shown} for datagrams, which is no address of a host`);
  if (allowPrivate) return relay;
  const own = hostOf(canonical(proxy));
  const isItself = hostname === canonical(proxy);
  if (!isItself && !mayName(near, own === null ? REACH.PUBLIC : reachOf(own))) {
    throw bad(
      `${shown} for datagrams, which is nearer to this machine than the proxy, or reserved; set allowPrivateRelay to accept it`,
    );
  }
  if (near === REACH.MACHINE && relay.port !== port && relay.port < LEAST_DYNAMIC) {
    throw bad(
      `${shown} for datagrams, which may be another service of this machine; set allowPrivateRelay to accept it`,
    );
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
const REACH = { NOBODY: 0, MACHINE: 1, LINK: 2, NETWORK: 3, SPECIAL: 4, PUBLIC: 5 } as const;

/** Whether a proxy may name a relay: on this machine or its link, where clouds keep secrets, only if it is there itself. */
function mayName(near: number, own: number): boolean {
  if (near === REACH.PUBLIC) return true;
  if (near === REACH.NETWORK) return own >= REACH.MACHINE && own <= REACH.NETWORK;
  return near === own && near !== REACH.SPECIAL;
}

/**
 * The lowest of the ports that systems choose for a socket (Linux; RFC 6335 section 6 begins at 49152). A proxy of this
 * machine has its relay there or on its own port, services that are asked by others are below.
 */
const LEAST_DYNAMIC = 32_768;

/**
 * The special-purpose address registries of IANA (RFC 6890), and what is not global unicast at all: bits of the prefix, and
 * who can be behind it. The first that fits counts.
 */
const RANGES: readonly (readonly [prefix: string, bits: number, reach: number])[] = [
  ["0.0.0.0", 8, REACH.NOBODY],
  ["10.0.0.0", 8, REACH.NETWORK],
  ["100.64.0.0", 10, REACH.NETWORK],
  ["127.0.0.0", 8, REACH.MACHINE],
  ["169.254.0.0", 16, REACH.LINK],
  ["172.16.0.0", 12, REACH.NETWORK],
  ["192.0.0.0", 24, REACH.SPECIAL],
  ["192.0.2.0", 24, REACH.SPECIAL], // documentation
  ["192.88.99.0", 24, REACH.SPECIAL], // relays of 6to4
  ["192.168.0.0", 16, REACH.NETWORK],
  ["198.18.0.0", 15, REACH.SPECIAL], // benchmarks
  ["198.51.100.0", 24, REACH.SPECIAL], // documentation
  ["203.0.113.0", 24, REACH.SPECIAL], // documentation
  ["224.0.0.0", 3, REACH.NOBODY], // multicast, reserved, broadcast
  ["::1", 128, REACH.MACHINE],
  ["::", 96, REACH.NOBODY],
  ["64:ff9b::", 96, REACH.PUBLIC], // NAT64
  ["64:ff9b:1::", 48, REACH.SPECIAL], // NAT64 of a network
  ["100::", 32, REACH.NOBODY], // discarded
  ["2001::", 32, REACH.PUBLIC], // Teredo
  ["2001::", 23, REACH.SPECIAL], // protocols, benchmarks, ORCHID
  ["2001:db8::", 32, REACH.SPECIAL], // documentation
  ["3fff::", 20, REACH.SPECIAL], // documentation
  ["fc00::", 7, REACH.NETWORK],
  ["fe80::", 10, REACH.LINK],
  ["fec0::", 10, REACH.NETWORK],
  ["ff00::", 8, REACH.NOBODY],
  ["2000::", 3, REACH.PUBLIC],
  ["::", 0, REACH.SPECIAL],
];

/** Where IPv4 addresses stand in those of IPv6: NAT64 (RFC 6052), 6to4 (RFC 3056), Teredo's server (RFC 4380). */
const EMBEDDED: readonly (readonly [prefix: string, bits: number, at: number])[] = [
  ["64:ff9b::", 96, 12],
  ["64:ff9b:1::", 48, 12],
  ["2002::", 16, 2],
  ["2001::", 32, 4],
];

/** Nearest of all that the address leads to. */
function reachOf({ addr }: Host): number {
  const [, , reach = REACH.PUBLIC] = RANGES.find(([prefix, bits]) => isWithin(addr, prefix, bits)) ?? [];
  const at = EMBEDDED.filter(([prefix, bits]) => isWithin(addr, prefix, bits)).map(([, , at]) => at);
  const inner = at.map((at) => addr.subarray(at, at + 4));
  if (isWithin(addr, "2001::", 32)) inner.push(addr.subarray(12).map((byte) => byte ^ 0xff)); // Teredo's client
  if (isIsatap(addr)) inner.push(addr.subarray(12));
  return Math.min(reach, ...inner.map((addr) => reachOf({ hostname: "", atyp: ATYP.IPV4, addr })));
}

/** RFC 5214 section 6.1: the interface identifier, whatever the prefix. */
function isIsatap(addr: Uint8Array): boolean {
  return addr.length === 16 && (addr[8]! & 0xfd) === 0 && addr[9] === 0 && addr[10] === 0x5e && addr[11] === 0xfe;
}

function isWithin(addr: Uint8Array, prefix: string, bits: number): boolean {
  const { addr: start } = parseHost(prefix) as Host;
  return start.length === addr.length && start.every((byte, i) => ((byte ^ addr[i]!) & maskOf(bits - 8 * i)) === 0);
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

function bad(what: string): ProtocolError {
  return new ProtocolError("SOCKS5_PROXY_BAD_REPLY", `the proxy named ${what}`);
}
