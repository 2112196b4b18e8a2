/** The part of a `Bun.Socket` that this package uses. */
export interface BunSocket {
  /** Takes what fits and gives its length; -1 when closed. */
  write(data: Uint8Array): number;
  /** Sends FIN. */
  shutdown(): void;
  /** Closes both ways; what was written still leaves. */
  close(): void;
  /** Stops the delivery of data. */
  pause(): void;
  /** Starts the delivery of data again. */
  resume(): void;
  /** The IP address at the other end. */
  readonly remoteAddress?: string;
  /** What the handlers find in their socket. */
  data: unknown;
  /** Starts TLS on it; gives itself, which sees the encrypted bytes from then on, and the one with TLS. */
  upgradeTLS(options: object): [raw: BunSocket, tls: BunSocket];
  /** Exchanges the handlers: `data(socket, chunk)`, `drain(socket)`, `end(socket)`, `close(socket, error)`. */
  reload(options: { socket: object }): void;
  /** TCP_NODELAY. */
  setNoDelay(on: boolean): void;
  /** TCP keep-alive. */
  setKeepAlive(on: boolean, initialDelay?: number): void;
  /** Lets it keep the process alive. */
  ref(): void;
  /** Lets the process end although it is open. */
  unref(): void;
}
