import type { ByteStream, Conn, Detached, TlsOptions } from "../transport.ts";

/** The options of {@linkcode Socks5Conn.startTls}. */
export interface StartTlsOptions extends TlsOptions {
  /** Cancels the handshake: the promise rejects with the reason of the signal. */
  signal?: AbortSignal | undefined;
  /** Milliseconds for the handshake. Default: the `timeout` of the client. */
  timeout?: number | undefined;
}

/**
 * A tunnel to the target, from `Socks5Client.connect()`. The caller must close it. Failed reads and writes reject with
 * a {@linkcode ClosedError}, whose cause is the runtime's error.
 */
export interface Socks5Conn<S = unknown> extends Conn<S> {
  /** `"host:port"` of the proxy. */
  readonly proxy: string;
  /** `"host:port"` of the target. */
  readonly target: string;
  /**
   * BND.ADDR and BND.PORT of the reply (RFC 1928 section 6), often 0.0.0.0 and 0. The host name is `""` if that of the
   * proxy is empty or malformed.
   */
  readonly boundAddress: { hostname: string; port: number };
  /** Whether the tunnel was released before and is used again. */
  readonly reused: boolean;
  /**
   * A byte stream over {@linkcode Conn.read}, which does not read ahead. Canceling it closes the tunnel; its end does
   * not.
   */
  readonly readable: ByteStream;
  /**
   * A stream over {@linkcode Conn.write}. Closing it calls {@linkcode Conn.closeWrite}, aborting it closes the tunnel.
   */
  readonly writable: WritableStream<Uint8Array>;
  /**
   * Returns the tunnel to the pool if it was opened with `reuse`, is quiet and open both ways, and its streams were not
   * used; else closes it.
   */
  release(): void;
  /**
   * Marks the tunnel as idle, for a keep-alive pool such as that of {@linkcode Socks5Agent}. It still counts as open
   * (`pool.maxOpen`), but the client may now close it for a request that waits for a place, the longest idle one first.
   * It may do so during this call.
   *
   * @param evicted Called once, synchronously, when the client closes the tunnel: remove it from the keep-alive pool.
   * It must not start I/O; what it throws is ignored.
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
  /**
   * Ends what {@linkcode markIdle} began; call it before the next write. `false` if the tunnel is closed: use another.
   */
  markInUse(): boolean;
  /**
   * Hands over the runtime's own socket, which no longer counts in the pool. The caller must close it.
   *
   * @throws {TypeError} If the tunnel is reused, has a pending read or write, has ended, or its transport has no
   * `detach()`.
   * @throws {ClosedError} If it was closed, released or detached before.
   */
  detach(): Detached<S>;
  /**
   * Starts TLS with the target and returns the tunnel with TLS. This one cannot be used after that, whatever the
   * outcome; until the promise settles, closing it ends the handshake. The certificate must match the host in
   * {@linkcode target}, or `serverName`. The tunnel with TLS cannot be released; one of `connect(target, { tls })` can.
   *
   * @throws {TypeError} If an option is malformed, a read or a write is pending, the tunnel has ended, or its streams
   * were used.
   * @throws {TlsError} If the handshake fails, or there are unread bytes, which an attacker may have sent.
   * @throws {TimeoutError} If the handshake takes longer than `timeout`.
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
  /** The protocol that ALPN selected; `null` if none, or without TLS. */
  readonly alpnProtocol: string | null;
  /** `close()`; never `release()`. */
  [Symbol.dispose](): void;
}

/** A tunnel that the peer opened. It cannot be released. */
export interface AcceptedConn<S = unknown> extends Socks5Conn<S> {
  /**
   * The address of the peer, as the proxy reports it: BND.ADDR and BND.PORT of the second reply (RFC 1928 section 6).
   */
  readonly peer: { hostname: string; port: number };
}

/** A port at the proxy that waits for one peer, from `Socks5Client.bind()`. The caller must close it. */
export interface Socks5Binding<S = unknown> {
  /**
   * The address that the peer must connect to: BND.ADDR and BND.PORT of the first reply. If the proxy reports 0.0.0.0
   * or ::, this is the host of the proxy as it was given, unless that is a unix socket.
   */
  readonly address: { hostname: string; port: number };
  /** `"host:port"` of the proxy. */
  readonly proxy: string;
  /** `"host:port"` of the peer that is expected. */
  readonly target: string;
  /**
   * Waits for the peer. It can be called once. If it rejects for anything but a wrong argument, everything is closed.
   *
   * @throws {TypeError} If an option is malformed, or `accept()` was called before.
   * @throws {RangeError} If a number is out of range.
   * @throws The reason of `signal`, as it is, if that aborts.
   * @throws {TargetError} If the proxy gives up, or rejects the peer.
   * @throws {TimeoutError} If the peer does not come within `timeout`.
   * @throws {ClosedError} If the binding or the client is closed.
   */
  accept(options?: AcceptOptions): Promise<AcceptedConn<S>>;
  /** Closes the port, and rejects a pending `accept()`. An accepted tunnel stays open. */
  close(): void;
  /** `close()`. */
  [Symbol.dispose](): void;
}

/** The options of {@linkcode Socks5Binding.accept}. */
export interface AcceptOptions {
  /** Cancels the wait and closes the port: the promise rejects with the reason of the signal. */
  signal?: AbortSignal | undefined;
  /** Milliseconds to wait for the peer. Default: the `timeout` of the client. */
  timeout?: number | undefined;
}
