import type { Bytes } from "../src/transport.ts";

/** The fields of a SOCKS5 reply (RFC 1928 section 6), which may be wrong. */
export interface ReplyFields {
  /** VER. Default: 5. */
  ver?: number | undefined;
  /** REP. Default: 0, succeeded. */
  rep?: number | undefined;
  /** RSV. Default: 0. */
  rsv?: number | undefined;
  /** ATYP. Default: 1, IPv4. */
  atyp?: number | undefined;
  /** BND.ADDR as it is on the wire, with the length byte of a domain. Default: four bytes of 0. */
  bndAddr?: Uint8Array | undefined;
  /** BND.PORT. Default: 0. */
  bndPort?: number | undefined;
}

/**
 * Encodes a SOCKS5 reply (RFC 1928 section 6), by default a success with BND.ADDR 0.0.0.0 and BND.PORT 0. Nothing is checked.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { encodeReply } from "jsr:@x/socks5/testing";
 *
 * assertEquals(encodeReply({ rep: 5 }), Uint8Array.of(5, 5, 0, 1, 0, 0, 0, 0, 0, 0));
 * ```
 */
export function encodeReply(fields: ReplyFields = {}): Bytes {
  const { ver = 5, rep = 0, rsv = 0, atyp = 1, bndAddr = new Uint8Array(4), bndPort = 0 } = fields;
  return Uint8Array.of(ver, rep, rsv, atyp, ...bndAddr, bndPort >> 8, bndPort & 0xff);
}

/** The fields of a success with that address: IPv4, else as a domain. */
export function boundTo(hostname: string, bndPort: number): ReplyFields {
  if (/^[\d.]+$/.test(hostname)) return { bndAddr: Uint8Array.from(hostname.split("."), Number), bndPort };
  const name = new TextEncoder().encode(hostname);
  return { atyp: 3, bndAddr: Uint8Array.of(name.length, ...name), bndPort };
}
