/** `Uint8Array<ArrayBuffer>`, what web APIs take, in words that TypeScript before 5.7 knows. */
export type Bytes = ReturnType<Uint8ArrayConstructor["of"]>;

/** A byte stream, which is iterable in all runtimes: TypeScript's `dom` does not say so without `dom.asynciterable`. */
export type ByteStream = ReadableStream<Bytes> & AsyncIterable<Bytes>;

/** An address for a {@linkcode Transport}: a host and port (1 to 65535), or the path of a unix socket. */
export type Endpoint = { hostname: string; port: number } | { path: string };

/** The options of {@linkcode Transport.connect}. */
export interface DialOptions {
  /** Cancels the attempt until the promise settles. An abort after that must not close the connection. */
  signal?: AbortSignal | undefined;
  /** TCP_NODELAY. Default: `true`. */
  noDelay?: boolean | undefined;
  /** TCP keep-alive; a number is the initial delay in milliseconds, where the runtime supports it. Default: `true`. */
  keepAlive?: boolean | number | undefined;
}

/**
 * Opens connections for a client. Every adapter is a transport, and so is every `Socks5Client`, which makes a chain.
 * Your own can be written over any stream with `fromDuplex()` of `./agent`.
 *
 * `S` is the type of the socket that {@linkcode Conn.detach} hands over.
 */
export interface Transport<S = unknown> {
  /** Opens a connection. Rejects with the runtime's own error, or with the reason of `signal`. */
  connect(to: Endpoint, options?: DialOptions): Promise<Conn<S>>;
  /**
   * Resolves a host name to IP addresses, in the order in which the client tries them. Rejects with the runtime's own
   * error, or with the reason of `signal`. Needed for `dns: "local"`; a `Socks5Client` does not have it.
   */
  lookup?(hostname: string, options?: { signal?: AbortSignal | undefined }): Promise<readonly string[]>;
  /**
   * Opens a socket for datagrams on a free port of this machine. Needed for UDP ASSOCIATE; a `Socks5Client` does not
   * have it.
   */
  openDatagrams?(isIpv6: boolean, handlers: DatagramHandlers): Promise<DatagramSocket>;
}

/**
 * A transport of this package: it takes an owner in place of a signal, which saves an `AbortController` for each dial
 * (8.5 µs on Node).
 */
export interface OwnedTransport<S = unknown> extends Transport<S> {
  readonly usesOwner: boolean;
  connect(to: Endpoint, options?: OwnedDialOptions): Promise<Conn<S>>;
}

/**
 * The runtime's own socket, which the connection still owns: it counts until its holder calls `close()`, and is closed
 * with it. Nothing may be read or written but through the socket.
 */
export interface Lent {
  readonly socket: unknown;
  /** To be called when the socket broke, or was closed by its owner; gives the error that this is to its holder. */
  broke(cause: unknown): unknown;
  /** The bytes that went through the socket since it was lent. */
  readonly traffic?: { readonly sent: number; readonly received: number };
}

/** How an {@linkcode OwnedTransport} opens a connection. */
export interface OwnedDialOptions extends DialOptions {
  /** Is given what to close if the attempt is given up before the promise settles. */
  owner?: { own(dialing: { close(): void }): unknown } | undefined;
}

/** A connection of this package: it takes back what was read too far. */
export interface UnreadableConn<S = unknown> extends Conn<S> {
  /** Puts bytes before those that are read next; while no read is pending. */
  unread(bytes: Uint8Array): void;
}

/** What a {@linkcode DatagramSocket} calls, once it is open. */
export interface DatagramHandlers {
  /** A datagram has come, from anybody. `data` is valid during the call. */
  onDatagram(data: Uint8Array, from: { hostname: string; port: number }): void;
  /** The socket has failed. */
  onError(error: unknown): void;
}

/** A socket for datagrams. It never keeps the process alive. */
export interface DatagramSocket {
  /** The local port. */
  readonly port: number;
  /** Sends a datagram; resolves when the system has accepted it. */
  send(p: Uint8Array, to: { hostname: string; port: number }): Promise<void>;
  /** Closes the socket. Idempotent, never throws; pending calls reject. */
  close(): void;
}

/** An open connection, in the shape of `Deno.Conn`. A transport must implement the first four members. */
export interface Conn<S = unknown> {
  /**
   * Reads 1 to `p.length` bytes into `p`.
   *
   * @returns The number of bytes, or `null` at the end, and at each read after it; 0 for an empty `p`.
   * @throws {TypeError} If another read is pending.
   * @throws The runtime's own error, after the bytes that arrived before it. A reset is an error and never `null`.
   */
  read(p: Uint8Array): Promise<number | null>;
  /**
   * Writes all of `p`, which may be changed once the promise resolves. Concurrent writes keep their order.
   *
   * @returns `p.length`, when the runtime has accepted all bytes.
   */
  write(p: Uint8Array): Promise<number>;
  /** Ends the writing side (FIN) after all writes; reading goes on. Many proxies then end the other side, too. */
  closeWrite(): Promise<void>;
  /** Closes both sides at once. Idempotent, never throws; pending calls reject. */
  close(): void;
  /** Lets the connection keep the process alive again. */
  ref?(): void;
  /** Lets the process end although the connection is open. */
  unref?(): void;
  /**
   * Marks the connection as idle: its opener may close it when it needs the place, and then calls `evicted`. Tunnels of
   * a client have it, so that a client knows which tunnels are idle in the pool of another client above it.
   */
  markIdle?(evicted: () => void): void;
  /** Ends what `markIdle()` began. `false` if the connection is closed. */
  markInUse?(): boolean;
  /** Hands over the runtime's own socket. The connection cannot be used after that. */
  detach?(): Detached<S>;
  /**
   * Starts TLS and returns the connection with TLS. This one cannot be used after that, whatever the outcome; until the
   * promise settles, `close()` ends the handshake. A client whose transport does not have this uses `node:tls`.
   *
   * @throws {TypeError} If a read or a write is pending.
   * @throws The runtime's own error if the handshake fails or there are unread bytes; everything is closed then.
   */
  startTls?(options: TlsOptions): Promise<Conn<S>>;
  /** The IP address of the peer, if it is known. */
  readonly remoteAddress?: string | undefined;
  /** The protocol that ALPN selected, or `null` if none. Only a connection with TLS has it. */
  readonly alpnProtocol?: string | null;
}

/** The options of TLS. The certificate is always checked. */
export interface TlsOptions {
  /**
   * The host name or IP address that the certificate must match; a name is sent as SNI. Default: the host that was
   * connected to.
   */
  serverName?: string | undefined;
  /** Certificate authorities that are trusted besides those of the runtime, each in PEM. Default: none. */
  caCerts?: readonly string[] | undefined;
  /** The client's certificate in PEM, followed by its chain. Only together with `key`. Default: none. */
  cert?: string | undefined;
  /** The private key of `cert` in PEM, not encrypted. */
  key?: string | undefined;
  /** The protocols that ALPN offers (RFC 7301), in the order of preference. Default: none. */
  alpnProtocols?: readonly string[] | undefined;
}

/** The runtime's own socket, and the bytes that it has already delivered (none on Node, where they go back into it). */
export type Detached<S> = {
  /** The socket. The caller must close it. */
  socket: S;
  /** Bytes that were received and cannot be pushed back into the socket: they come before what it delivers. */
  head: Uint8Array;
};

/** Starts TLS on a connection whose transport cannot do it. */
export type StartTls = (conn: Conn, options: TlsOptions) => Promise<Conn>;
