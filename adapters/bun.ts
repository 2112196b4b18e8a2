import type { Conn, Detached, DialOptions, Endpoint, Transport } from "../src/transport.ts";

/** The part of a `Bun.Socket` that this package uses. */
export interface BunSocket {
  /** Whatever the owner keeps with the socket. */
  data: unknown;
  /** Takes what fits and gives its length; -1 when closed. */
  write(data: Uint8Array, byteOffset?: number, byteLength?: number): number;
  /** Sends FIN. */
  shutdown(): void;
  /** Closes both ways; what was written still leaves. */
  close(): void;
  /** Closes both ways at once. */
  terminate(): void;
  /** Stops the delivery of data. */
  pause(): void;
  /** Starts the delivery of data again. */
  resume(): void;
  /** Exchanges the handlers. */
  reload(options: { socket: BunHandlers }): void;
  /** TCP_NODELAY. */
  setNoDelay(on: boolean): void;
  /** TCP keep-alive. */
  setKeepAlive(on: boolean, initialDelay?: number): void;
  /** Lets it keep the process alive. */
  ref(): void;
  /** Lets the process end although it is open. */
  unref(): void;
}

/** The handlers of a {@linkcode BunSocket}. */
export interface BunHandlers {
  /** Bytes came. */
  data?(socket: BunSocket, chunk: Uint8Array): void;
  /** There is room for more bytes. */
  drain?(socket: BunSocket): void;
  /** FIN came. */
  end?(socket: BunSocket): void;
  /** The socket is closed, by an error if there is one. */
  close?(socket: BunSocket, error?: Error): void;
  /** A handler threw. */
  error?(socket: BunSocket, error: Error): void;
}

/**
 * Opens connections with `Bun.connect` and hands over a {@linkcode BunSocket}, paused, with the bytes that Bun had
 * already delivered as `head`: `reload()` it with your own handlers, then `resume()`.
 *
 * Bun cannot cancel an attempt: an abort rejects at once, and the socket is closed when it opens.
 */
export const bunTransport: Transport<BunSocket> = {
  connect(to: Endpoint, { signal, noDelay = true, keepAlive = true }: DialOptions = {}): Promise<Conn<BunSocket>> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const address = "path" in to ? { unix: to.path } : { hostname: to.hostname, port: to.port };
      const conn = new BunConn();
      const opening = dial({ ...address, socket: BunConn.handlers, data: conn, allowHalfOpen: true });
      const aborted = () => reject(signal?.reason);
      signal?.addEventListener("abort", aborted, { once: true });
      opening.then((socket) => {
        if (signal?.aborted) return socket.terminate();
        signal?.removeEventListener("abort", aborted);
        if (!noDelay) socket.setNoDelay(false); // Bun turns it on by itself
        if (keepAlive !== false) socket.setKeepAlive(true, keepAlive === true ? 0 : keepAlive);
        resolve(conn.opened(socket));
      }, (error) => {
        signal?.removeEventListener("abort", aborted);
        reject(error);
      });
    });
  },
};

type BunOptions = ({ unix: string } | { hostname: string; port: number }) & {
  socket: BunHandlers;
  data: unknown;
  allowHalfOpen: boolean;
};

function dial(options: BunOptions): Promise<BunSocket> {
  const { Bun } = globalThis as unknown as { Bun: { connect(options: BunOptions): Promise<BunSocket> } };
  return Bun.connect(options);
}

const highWater = 64 * 1024;
const lowWater = 16 * 1024;

type Read = { p: Uint8Array; resolve: (n: number | null) => void; reject: (reason: unknown) => void };
/** Without `p` it is the FIN. */
type Write = {
  p: Uint8Array | undefined;
  sent: number;
  resolve: (n: number) => void;
  reject: (reason: unknown) => void;
};

class BunConn implements Conn<BunSocket> {
  static handlers: BunHandlers = {
    data: (socket, chunk) => (socket.data as BunConn).#received(socket, chunk),
    drain: (socket) => (socket.data as BunConn).#flush(),
    end: (socket) => (socket.data as BunConn).#ended(),
    close: (socket, error) => (socket.data as BunConn).#closed(error),
  };

  #socket!: BunSocket;
  #chunks: Uint8Array[] = [];
  #queued = 0;
  #paused = false;
  #reading: Read | undefined;
  #writes: Write[] = [];
  #closedWrite: Promise<void> | undefined;
  /** What ended the reading side: an error, or `null` for FIN. */
  #end: Error | null | undefined;
  /** Why nothing can be written any more. */
  #broken: Error | undefined;
  #gone: "closed" | "detached" | undefined;

  opened(socket: BunSocket): this {
    this.#socket = socket;
    return this;
  }

  read(p: Uint8Array): Promise<number | null> {
    if (this.#reading) return Promise.reject(new TypeError("Cannot read: another read is pending"));
    if (this.#gone) return Promise.reject(this.#failure());
    if (p.length === 0) return Promise.resolve(0);
    if (this.#queued > 0) return Promise.resolve(this.#take(p));
    if (this.#end === null) return Promise.resolve(null);
    if (this.#end) return Promise.reject(this.#end);
    return new Promise((resolve, reject) => {
      this.#reading = { p, resolve, reject };
    });
  }

  write(p: Uint8Array): Promise<number> {
    if (this.#closedWrite) return Promise.reject(new Error("Cannot write: the writing side is closed"));
    return this.#send(p);
  }

  closeWrite(): Promise<void> {
    return this.#closedWrite ??= this.#send().then(() => {});
  }

  close(): void {
    if (this.#gone) return;
    this.#gone = "closed";
    this.#chunks = [];
    this.#socket.close();
    this.#reading?.reject(this.#failure());
    this.#reading = undefined;
    this.#break(this.#failure());
  }

  ref(): void {
    if (!this.#gone) this.#socket.ref();
  }

  unref(): void {
    if (!this.#gone) this.#socket.unref();
  }

  detach(): Detached<BunSocket> {
    const obstacle = this.#gone
      ? `the connection is ${this.#gone}`
      : this.#reading
      ? "a read is pending"
      : this.#writes.length > 0
      ? "a write is pending"
      : this.#end !== undefined || this.#broken
      ? "the connection has ended"
      : "";
    if (obstacle) throw new TypeError(`Cannot detach: ${obstacle}`);
    this.#gone = "detached";
    this.#socket.pause();
    this.#socket.ref();
    const head = new Uint8Array(this.#queued);
    this.#take(head);
    return { socket: this.#socket, head };
  }

  #received(socket: BunSocket, chunk: Uint8Array): void {
    if (this.#gone) return;
    this.#chunks.push(chunk);
    this.#queued += chunk.length;
    const reading = this.#reading;
    if (reading) {
      this.#reading = undefined;
      reading.resolve(this.#take(reading.p));
    }
    if (this.#queued > highWater && !this.#paused) {
      this.#paused = true;
      socket.pause();
    }
  }

  #take(p: Uint8Array): number {
    let n = 0;
    for (let chunk; n < p.length && (chunk = this.#chunks[0]);) {
      const part = chunk.subarray(0, p.length - n);
      p.set(part, n);
      n += part.length;
      if (part.length === chunk.length) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(part.length);
    }
    this.#queued -= n;
    if (this.#paused && this.#queued <= lowWater && !this.#gone) {
      this.#paused = false;
      this.#socket.resume();
    }
    return n;
  }

  #send(p?: Uint8Array): Promise<number> {
    if (this.#gone || this.#broken) return Promise.reject(this.#failure());
    return new Promise((resolve, reject) => {
      if (this.#writes.push({ p, sent: 0, resolve, reject }) === 1) this.#flush();
    });
  }

  #flush(): void {
    for (let write; (write = this.#writes[0]);) {
      const { p } = write;
      if (!p) this.#socket.shutdown();
      else if (p.length > 0) {
        const n = this.#socket.write(write.sent > 0 ? p.subarray(write.sent) : p);
        // the reset that is told here is not told to the reader
        if (n < 0) return this.#break(Object.assign(new Error("The connection is broken"), { code: "EPIPE" }));
        write.sent += n;
        if (write.sent < p.length) return;
      }
      this.#writes.shift();
      write.resolve(write.sent);
    }
  }

  #ended(error?: Error): void {
    if (this.#gone || this.#end !== undefined) return;
    this.#end = error ?? this.#broken ?? null;
    if (this.#end) this.#reading?.reject(this.#end);
    else this.#reading?.resolve(null);
    this.#reading = undefined;
  }

  #break(error: Error): void {
    this.#broken ??= error;
    for (const write of this.#writes.splice(0)) write.reject(this.#failure());
  }

  #closed(error?: Error): void {
    this.#ended(error);
    this.#break(error ?? new Error("The connection is closed by the peer"));
  }

  #failure(): Error {
    return this.#gone || !this.#broken ? new Error(`The connection is ${this.#gone}`) : this.#broken;
  }
}
