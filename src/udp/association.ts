import type { Target } from "../protocol/address.ts";
import type { Phase, Socks5ErrorCode } from "../errors.ts";
import { socks5Error } from "../errors.ts";
import type { Datagram } from "../protocol/datagram.ts";

export type { Datagram } from "../protocol/datagram.ts";

/**
 * A socket for datagrams to any number of targets, as `Socks5Client.associate` gives it. It is the caller's to close.
 * Datagrams get lost, come twice and out of order, as with UDP everywhere, and between here and the proxy they are in the
 * clear, also when the proxy is spoken to by TLS. It ends when the proxy ends its connection, for which it holds one
 * place of the pool.
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
  /** Where the datagrams go, and the only place from which they are taken: an IP address and a port of the proxy. */
  readonly relay: { hostname: string; port: number };
  /** Datagrams that were lost here since nobody received: up to a mebibyte waits, then what is new is dropped. */
  readonly dropped: number;
  /** What else came and was not given: not from the relay, a fragment, or malformed. */
  readonly ignored: number;
  /**
   * Sends one datagram; the proxy resolves names unless `dns` is `"local"`. Resolves once the system has taken it, which
   * says nothing about whether it arrives. `data` may be changed as soon as the call returns.
   *
   * @throws {TypeError} If the target is malformed or `data` is no `Uint8Array`.
   * @throws {RangeError} If `data` is longer than {@linkcode maxDatagram} says, or the port is out of range.
   * @throws {ProxyError} If the system does not take it, `SOCKS5_PROXY_UNREACHABLE`; the association stays.
   * @throws {TargetError} If this machine does not know the name, with `dns: "local"`.
   * @throws {ClosedError} If the association has ended.
   */
  send(data: Uint8Array, target: Target): Promise<void>;
  /**
   * The next datagram and who sent it (port 0 and all: it is the word of the proxy); `null` once the association was
   * closed, here or by the proxy. What came before the proxy ended it is given first. Whoever gives up by the signal
   * takes none.
   *
   * @throws The reason of `signal`, as it is, if that aborts.
   * @throws {TypeError} If another `receive()` is pending.
   * @throws {ClosedError} If the connection to the proxy broke, or the client was closed.
   */
  receive(options?: { signal?: AbortSignal | undefined }): Promise<Datagram | null>;
  /**
   * The longest `data` for a target, in bytes: 65 507 without the header, which is 10 for IPv4, 22 for IPv6, and 7 and
   * the length of a name. What is longer than about 1 200 is sent in fragments on most ways, and gets lost more often.
   *
   * @throws {TypeError} If the target is malformed; {@linkcode RangeError} if the port is out of range.
   */
  maxDatagram(target: Target): number;
  /** Ends it, here and at the proxy. Idempotent, never throws; a pending `receive()` gives `null`. */
  close(): void;
  /** Lets it keep the process alive again. */
  ref(): void;
  /** Lets the process end although it is open. */
  unref(): void;
  /** What {@linkcode receive} gives, until it gives `null`; leaving the loop closes nothing. */
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
