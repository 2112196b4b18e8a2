import { socks5Error, type Socks5ErrorCode } from "./errors.ts";
import type { CloseReason } from "./place.ts";
import type { Conn, Detached } from "./transport.ts";

/**
 * A tunnel to the target, as `Socks5Client.connect` gives it. It is the caller's to close. I/O on it fails with
 * {@linkcode ClosedError}, the runtime's error as its cause.
 */
export interface Socks5Conn<S = unknown> extends Conn<S> {
  /** `"host:port"` of the proxy. */
  readonly proxy: string;
  /** `"host:port"` of the target. */
  readonly target: string;
  /** BND.ADDR and BND.PORT of the reply, often 0.0.0.0 and 0 (RFC 1928 section 6). */
  readonly boundAddress: { hostname: string; port: number };
  /** Whether somebody has used and released it before. */
  readonly reused: boolean;
  /** A byte stream over {@linkcode Conn.read} that reads nothing ahead. Cancelling it closes the tunnel, its end does not. */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** A stream over {@linkcode Conn.write}: closing it is {@linkcode Conn.closeWrite}, aborting it closes the tunnel. */
  readonly writable: WritableStream<Uint8Array>;
  /** Back to the pool, if it was opened with `reuse`, is at rest, open both ways and never streamed; else `close()`. */
  release(): void;
  /**
   * Hands over the runtime's own socket, which the client counts no longer.
   *
   * @throws {TypeError} If the tunnel is a reused one, has a read or a write pending, has ended, or has no such socket.
   * @throws {ClosedError} If it was closed, released or detached before.
   */
  detach(): Detached<S>;
  /** `close()`; never `release()`. */
  [Symbol.dispose](): void;
}

/** What one holder may do with the place of a tunnel; the first call counts. */
export interface Holding {
  release(): void;
  free(reason: CloseReason): void;
}

/** The error of a tunnel that is not, or no longer, what it was used as. */
export function connError(
  { proxy, target }: Pick<Socks5Conn, "proxy" | "target">,
  code: Socks5ErrorCode,
  what: string,
  why: string,
  cause?: unknown,
): Error {
  const message = `Cannot ${what} ${target} through ${proxy}: ${why}`;
  return socks5Error(code, message, { phase: "transfer", proxy, target, cause });
}

/** The error of a wrong argument. */
export function noBytes({ target }: Pick<Socks5Conn, "target">, what: string, p: unknown): TypeError {
  return new TypeError(`Cannot ${what} ${target}: not a Uint8Array but ${typeof p}`);
}
