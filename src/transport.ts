/** `Uint8Array<ArrayBuffer>`, what web APIs take, in words that TypeScript before 5.7 knows. */
export type Bytes = ReturnType<Uint8ArrayConstructor["of"]>;

/** A byte stream, which is iterable in all runtimes: TypeScript's `dom` does not say so without `dom.asynciterable`. */
export type ByteStream = ReadableStream<Bytes> & AsyncIterable<Bytes>;

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
  /**
   * The IP addresses of a host name, in the order in which they are to be tried; rejects with the runtime's own error, or
   * with the reason of the signal. For `dns: "local"`; a `Socks5Client` has none.
   */
  lookup?(hostname: string, options?: { signal?: AbortSignal | undefined }): Promise<readonly string[]>;
  /** Binds a socket to any port of this machine, for UDP ASSOCIATE; a `Socks5Client` has none. */
  openDatagrams?(isIpv6: boolean, handlers: DatagramHandlers): Promise<DatagramSocket>;
}

/**
 * A transport of this package: it takes an owner in place of a signal, which saves an `AbortController` for each dial (8.5 µs
 * on Node).
 */
export interface OwnedTransport<S = unknown> extends Transport<S> {
  readonly usesOwner: boolean;
  connect(to: Endpoint, options?: OwnedDialOptions): Promise<Conn<S>>;
}

/** How an {@linkcode OwnedTransport} opens a connection. */
export interface OwnedDialOptions extends DialOptions {
  /** Is given what to close if the attempt is given up before the promise settles. */
  owner?: { own(dialing: { close(): void }): unknown } | undefined;
}

/** Who is told of what comes to a {@linkcode DatagramSocket}, once it is open. */
export interface DatagramHandlers {
  /** A datagram from whomever; `data` may be overwritten afterwards. */
  onDatagram(data: Uint8Array, from: { hostname: string; port: number }): void;
  /** It is of no use any more. */
  onError(error: unknown): void;
}

/** A socket for datagrams. It never keeps the process alive. */
export interface DatagramSocket {
  /** The port that it is bound to. */
  readonly port: number;
  /** Resolves once the kernel has taken the datagram, which may get lost all the same. */
  send(p: Uint8Array, to: { hostname: string; port: number }): Promise<void>;
  /** Idempotent, never throws; what is pending rejects. */
  close(): void;
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
  /**
   * Its holder keeps it for later: whoever opened it may close it when its place is needed, and then calls `evicted`.
   * What a client opens has it, so that a client that is the transport of another knows what rests there.
   */
  markIdle?(evicted: () => void): void;
  /** Its holder uses it again; `false` if it is closed. */
  markInUse?(): boolean;
  /** Hands over the runtime's own socket; the connection is unusable from then on. */
  detach?(): Detached<S>;
  /**
   * Starts TLS and gives the connection that has it; this one is used up from then on, whatever comes of it. Until the
   * promise settles `close()` ends the attempt. Rejects with the runtime's own error when all is closed, with a
   * `TypeError` if a read or a write is pending, and if there are bytes that nobody has read.
   */
  startTls?(options: TlsOptions): Promise<Conn<S>>;
  /** The IP address at the other end, if it is known. */
  readonly remoteAddress?: string | undefined;
  /** What ALPN chose, `null` if nothing; only a connection with TLS has it. */
  readonly alpnProtocol?: string | null;
}

/** How TLS is started. What is checked can be widened and never left out. */
export interface TlsOptions {
  /** The name or the IP address that the certificate has to be for; a name is sent as SNI. Default: the host. */
  serverName?: string | undefined;
  /** Authorities that are trusted besides those of the runtime, each in PEM. */
  caCerts?: readonly string[] | undefined;
  /** The client's certificate in PEM, followed by those that sign it; with `key`. */
  cert?: string | undefined;
  /** The private key of `cert`, in PEM. */
  key?: string | undefined;
  /** What ALPN offers (RFC 7301), in the order of preference. Default: none. */
  alpnProtocols?: readonly string[] | undefined;
}

/** The runtime's own socket, and the bytes that it had already delivered (none on Deno and Node). */
export type Detached<S> = {
  /** The socket, the caller's from now on. */
  socket: S;
  /** What was received before the hand-over and cannot be pushed back: read it before the socket. */
  head: Uint8Array;
};

/** Starts TLS on a connection whose transport cannot do it. */
export type StartTls = (conn: Conn, options: TlsOptions) => Promise<Conn>;
