import type { ByteStream, Conn, Detached, TlsOptions } from "../transport.ts";

/** How TLS is started on a tunnel that is open. */
export interface StartTlsOptions extends TlsOptions {
  /** Cancels with its own reason until the promise settles; never closes what was handed over. */
  signal?: AbortSignal | undefined;
  /** Milliseconds for the handshake. Default: the `timeout` of the client. */
  timeout?: number | undefined;
}

/**
 * A tunnel to the target, as `Socks5Client.connect` gives it. It is the caller's to close. I/O on it fails with
 * {@linkcode ClosedError}, the runtime's error as its cause.
 */
export interface Socks5Conn<S = unknown> extends Conn<S> {
  /** `"host:port"` of the proxy. */
  readonly proxy: string;
  /** `"host:port"` of the target. */
  readonly target: string;
  /**
   * BND.ADDR and BND.PORT of the reply, often 0.0.0.0 and 0 (RFC 1928 section 6). The host name is `""` if the proxy named
   * none, or what is none.
   */
  readonly boundAddress: { hostname: string; port: number };
  /** Whether somebody has used and released it before. */
  readonly reused: boolean;
  /** A byte stream over {@linkcode Conn.read} that reads nothing ahead. Cancelling it closes the tunnel, its end does not. */
  readonly readable: ByteStream;
  /** A stream over {@linkcode Conn.write}: closing it is {@linkcode Conn.closeWrite}, aborting it closes the tunnel. */
  readonly writable: WritableStream<Uint8Array>;
  /** Back to the pool, if it was opened with `reuse`, is at rest, open both ways and never streamed; else `close()`. */
  release(): void;
  /**
   * For a keep-alive pool that keeps the tunnel for later, as that of {@linkcode Socks5Agent}: it still counts in
   * `pool.maxOpen`, but from now on the client may close it for a request that waits for a place, the longest idle first,
   * and closes it when the client is closed. It may do so during this call.
   *
   * @param evicted Called once, synchronously, when the client closes it: drop it from the keep-alive pool. It must not
   * start anything; what it throws is ignored.
   *
   * @example A keep-alive pool
   * ```ts ignore
   * free.add(conn); // the exchange is over
   * conn.markIdle(() => free.delete(conn));
   *
   * for (const conn of free) { // the next exchange
   *   free.delete(conn);
   *   if (conn.markInUse()) return conn;
   * }
   * ```
   */
  markIdle(evicted: () => void): void;
  /** Ends what {@linkcode markIdle} began, before the next byte is sent. `false` if the tunnel is closed: use another. */
  markInUse(): boolean;
  /**
   * Hands over the runtime's own socket, which the client counts no longer.
   *
   * @throws {TypeError} If the tunnel is a reused one, has a read or a write pending, has ended, or has no such socket.
   * @throws {ClosedError} If it was closed, released or detached before.
   */
  detach(): Detached<S>;
  /**
   * Starts TLS with the target and gives the tunnel that has it. This one is used up, whatever comes of it; until the
   * promise settles, closing it ends the attempt. The certificate has to be for the name in {@linkcode target}, or for
   * `serverName`; that of the proxy has no say. Cannot be released, since nobody else expects TLS in it:
   * `connect(target, { tls })` can.
   *
   * @throws {TypeError} If an option is malformed, a read or a write is pending, the tunnel has ended, or its streams
   * were used.
   * @throws {TlsError} If TLS did not come about, or bytes came that nobody has read (they could have been anybody's).
   * @throws {TimeoutError} If time ran out.
   * @throws {ClosedError} If the tunnel was closed, released or detached before.
   *
   * @example STARTTLS, as of SMTP (RFC 3207)
   * ```ts ignore
   * await conn.write(new TextEncoder().encode("STARTTLS\r\n"));
   * await readLine(conn); // 220: all of it, and nothing after it
   * const secure = await conn.startTls();
   * ```
   */
  startTls(options?: StartTlsOptions): Promise<Socks5Conn<S>>;
  /** What ALPN chose; `null` if nothing, or without TLS. */
  readonly alpnProtocol: string | null;
  /** `close()`; never `release()`. */
  [Symbol.dispose](): void;
}

/** A tunnel that the peer opened: a tunnel as any other, that cannot be released. */
export interface AcceptedConn<S = unknown> extends Socks5Conn<S> {
  /** Where the peer came from, as the proxy says: BND.ADDR and BND.PORT of the second reply. */
  readonly peer: { hostname: string; port: number };
}

/** A port at the proxy that waits for one peer, as `Socks5Client.bind` gives it. It is the caller's to close. */
export interface Socks5Binding<S = unknown> {
  /**
   * What the peer has to connect to: BND.ADDR and BND.PORT of the first reply. A proxy that says 0.0.0.0 or :: means
   * itself: then it is the host of the proxy, as it was given, unless that is a unix socket.
   */
  readonly address: { hostname: string; port: number };
  /** `"host:port"` of the proxy. */
  readonly proxy: string;
  /** `"host:port"` of the peer that is expected. */
  readonly target: string;
  /**
   * Waits for the peer, once. Whatever this rejects with but a wrong argument, nothing is open any more.
   *
   * @throws {TypeError} If an option is malformed, or it was asked before; {@linkcode RangeError} if a number is out of
   * range.
   * @throws The reason of `signal`, as it is, if that aborts.
   * @throws {TargetError} If the proxy gave up, or let nobody in.
   * @throws {TimeoutError} If time ran out.
   * @throws {ClosedError} If it or the client is closed.
   */
  accept(options?: AcceptOptions): Promise<AcceptedConn<S>>;
  /** Ends it, and a peer that is awaited; what was accepted is no part of it. */
  close(): void;
  /** `close()`. */
  [Symbol.dispose](): void;
}

/** How a peer is awaited. */
export interface AcceptOptions {
  /** Cancels with its own reason until the promise settles, and closes the port. */
  signal?: AbortSignal | undefined;
  /** Milliseconds for the peer to come. Default: the `timeout` of the client. */
  timeout?: number | undefined;
}
