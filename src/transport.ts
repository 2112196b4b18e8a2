/** Where a {@linkcode Transport} connects to: a host and port, or the path of a unix socket. */
export type Endpoint = { hostname: string; port: number } | { path: string };

/** How a {@linkcode Transport} opens a connection. */
export interface DialOptions {
  /** Gives the attempt up. It counts until the promise settles and never after: an open connection is not its business. */
  signal?: AbortSignal | undefined;
  /** TCP_NODELAY. Default: `true`. */
  noDelay?: boolean | undefined;
  /** TCP keep-alive; a number is the initial delay in milliseconds, where the runtime has it. Default: `true`. */
  keepAlive?: boolean | number | undefined;
}

/**
 * Opens connections. Every adapter is a transport, and so is every `Socks5Client`: that is how chains are made.
 *
 * `S` is the runtime's own socket type, as {@linkcode Conn.detach} hands it over.
 */
export interface Transport<S = unknown> {
  /** Connects to an endpoint; rejects with the runtime's own error, or with the reason of the signal. */
  connect(to: Endpoint, options?: DialOptions): Promise<Conn<S>>;
}

/** An open byte pipe, in the shape of `Deno.Conn`. The first four members are all that a fake needs. */
export interface Conn<S = unknown> {
  /**
   * Reads between 1 and `p.length` bytes into `p` and gives their number, or `null` at the end, for ever.
   * Bytes that arrived before an error are read before the error; a reset is an error and never `null`.
   * A second read at the same time is a `TypeError`; a read into an empty array gives 0.
   */
  read(p: Uint8Array): Promise<number | null>;
  /** Writes all of `p`, always, and gives `p.length` once the runtime took it. Two writes at a time keep their order. */
  write(p: Uint8Array): Promise<number>;
  /** Ends the writing side (FIN) after what was written; reading goes on. Many proxies then cut the answer off. */
  closeWrite(): Promise<void>;
  /** Closes both ways, now. Idempotent, never throws; what is pending rejects. */
  close(): void;
  /** Lets the connection keep the process alive again. */
  ref?(): void;
  /** Lets the process end although the connection is open. */
  unref?(): void;
  /** Hands over the runtime's own socket; the connection is unusable from then on. */
  detach?(): Detached<S>;
}

/** The runtime's own socket, and the bytes that it had already delivered (none on Deno and Node). */
export type Detached<S> = {
  /** The socket, the caller's from now on. */
  socket: S;
  /** What was received before the hand-over and cannot be pushed back: read it before the socket. */
  head: Uint8Array;
};
