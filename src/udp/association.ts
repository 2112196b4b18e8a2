import type { Target } from "../protocol/address.ts";
import type { Phase, Socks5ErrorCode } from "../errors.ts";
import { socks5Error } from "../errors.ts";
import type { Datagram } from "../protocol/datagram.ts";

export type { Datagram } from "../protocol/datagram.ts";

/**
 * A socket for datagrams to any number of targets, from `Socks5Client.associate()`. The caller must close it. As with
 * all UDP, datagrams may be lost, duplicated and reordered. Between this machine and the proxy they are not encrypted,
 * even if the connection to the proxy has TLS. The association counts as one connection of the pool, and ends when the
 * proxy closes that connection.
 *
 * @example A datagram there and back
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Socks5Client } from "jsr:@x/socks5";
 *
 * const client = new Socks5Client("socks5h://user:pass@proxy.example:1080");
 * const association = await client.associate();
 * await association.send(new TextEncoder().encode("ping"), "echo.example:7");
 * assertEquals(new TextDecoder().decode((await association.receive())?.data), "ping");
 * association.close();
 * ```
 */
export interface Association extends AsyncIterable<Datagram> {
  /** `"host:port"` of the proxy. */
  readonly proxy: string;
  /** The relay: the IP address and port of the proxy that datagrams are sent to and accepted from. */
  readonly relay: { hostname: string; port: number };
  /** Number of datagrams that were dropped because `receive()` was not called: at most 1 MiB is queued. */
  readonly dropped: number;
  /** Number of datagrams that were ignored: not from the relay, a fragment, or malformed. */
  readonly ignored: number;
  /**
   * Sends one datagram. The proxy resolves names unless `dns` is `"local"`. Resolves when the system has accepted the
   * datagram, which does not mean that it arrives. `data` may be changed as soon as the call returns.
   *
   * @throws {TypeError} If the target is malformed or `data` is not a `Uint8Array`.
   * @throws {RangeError} If `data` is longer than {@linkcode maxDatagram} allows, or the port is out of range.
   * @throws {ProxyError} If the system does not accept the datagram (`SOCKS5_PROXY_UNREACHABLE`); the association stays
   * open.
   * @throws {TargetError} If the name of the target has no address, with `dns: "local"`.
   * @throws {ClosedError} If the association has ended.
   */
  send(data: Uint8Array, target: Target): Promise<void>;
  /**
   * Waits for the next datagram. An abort of `signal` loses none.
   *
   * @returns The datagram and its sender, as the proxy reports it (the port may be 0); `null` when the association has
   * been closed, here or by the proxy, after the datagrams that came before.
   *
   * @throws The reason of `signal`, as it is, if that aborts.
   * @throws {TypeError} If another `receive()` is pending.
   * @throws {ClosedError} If the connection to the proxy broke, or the client was closed.
   */
  receive(options?: { signal?: AbortSignal | undefined }): Promise<Datagram | null>;
  /**
   * The longest `data` for a target, in bytes: 65 507 less the header, which has 10 bytes for IPv4, 22 for IPv6, and 7
   * plus the length for a name. Datagrams of more than about 1 200 bytes are fragmented on most paths and lost more
   * often.
   *
   * @throws {TypeError} If the target is malformed.
   * @throws {RangeError} If the port is out of range.
   */
  maxDatagram(target: Target): number;
  /** Closes the association, here and at the proxy. Idempotent, never throws; a pending `receive()` gives `null`. */
  close(): void;
  /** Lets the association keep the process alive again. */
  ref(): void;
  /** Lets the process end although the association is open. */
  unref(): void;
  /**
   * Iterates over the datagrams of {@linkcode receive}, until that gives `null`. Leaving the loop does not close the
   * association.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<Datagram>;
  /** `close()`. */
  [Symbol.dispose](): void;
  /** `close()`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** An error of an association: `what` was tried, and `why` it failed. */
export function associationError(
  code: Socks5ErrorCode,
  what: string,
  why: string,
  { phase = "transfer", ...context }: { proxy: string | null; target?: string | null; phase?: Phase; cause?: unknown },
): Error {
  const through = context.proxy === null ? "" : ` through ${context.proxy}`;
  return socks5Error(code, `Cannot ${what}${through}: ${why}`, { phase, ...context });
}
