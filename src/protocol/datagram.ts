import { type Address, ATYP, decodeHost } from "./address.ts";
import type { Bytes } from "../transport.ts";

/** A datagram of UDP ASSOCIATE, without its header. */
export interface Datagram {
  /** What was sent, from 0 bytes on. */
  readonly data: Bytes;
  /** Who sent it, as the proxy says: an IP address, with some proxies a name; safe to print. */
  readonly source: { hostname: string; port: number };
}

/** What fits into a datagram over IPv4: 65535 without the headers of IP and UDP. */
const MOST = 65_507;

const PORT = 2;

/** The largest payload that fits behind the header for `address`. */
export function mostPayload(address: Address): number {
  return MOST - dataAt(address.atyp, address.addr.length);
}

/** RSV, FRAG 0, ATYP, DST.ADDR, DST.PORT and the payload (RFC 1928 section 7). */
export function encodeDatagram({ atyp, addr, port }: Address, data: Uint8Array): Bytes {
  const end = dataAt(atyp, addr.length);
  const datagram = new Uint8Array(end + data.length);
  datagram.set([0, 0, 0, atyp, addr.length]);
  datagram.set(addr, end - PORT - addr.length);
  datagram.set([port >> 8, port & 0xff], end - PORT);
  datagram.set(data, end);
  return datagram;
}

/**
 * The payload, copied, and who sent it; `null` if it is cut off, a fragment, of an unknown ATYP or from what is no host
 * name. RSV is not looked at.
 */
export function parseDatagram(p: Uint8Array): Datagram | null {
  const [, , frag, atyp, length = 0] = p;
  if (frag !== 0) return null;
  const size = atyp === ATYP.IPV4 ? 4 : atyp === ATYP.IPV6 ? 16 : atyp === ATYP.DOMAIN ? length : 0;
  const at = dataAt(atyp!, size);
  if (size === 0 || p.length < at) return null;
  const hostname = decodeHost(atyp!, p.subarray(at - PORT - size, at - PORT));
  if (hostname === "") return null;
  return {
    data: new Uint8Array(p.subarray(at)), // what the runtime received into may be much larger
    source: { hostname, port: p[at - 2]! << 8 | p[at - 1]! },
  };
}

/** Where the payload begins. */
function dataAt(atyp: number, size: number): number {
  return 4 + (atyp === ATYP.DOMAIN ? 1 : 0) + size + PORT;
}
