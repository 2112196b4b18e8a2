import type { Conn, Detached, DialOptions, Endpoint, Transport } from "../src/transport.ts";

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

/**
 * Opens connections with `Bun.connect` and hands over a {@linkcode BunSocket}, paused, with the bytes that Bun had
 * already delivered as `head`: `reload()` it with handlers of your own, then `resume()` it.
 *
 * Bun cannot cancel an attempt: an abort rejects at once, and the socket is closed when it opens.
 */
export const bunTransport: Transport<BunSocket> = {
  connect(to: Endpoint, { signal, noDelay = true, keepAlive = true }: DialOptions = {}): Promise<Conn<BunSocket>> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const { Bun } = globalThis as unknown as { Bun: { connect(options: object): Promise<BunSocket> } };
      const address = "path" in to ? { unix: to.path } : { hostname: to.hostname, port: to.port };
      const conn = new BunConn();
      const opening = Bun.connect({ ...address, socket: BunConn.handlers, data: conn, allowHalfOpen: true });
      const aborted = () => reject(signal?.reason);
      signal?.addEventListener("abort", aborted, { once: true });
      opening.then((socket) => {
        if (signal?.aborted) return socket.close();
        signal?.removeEventListener("abort", aborted);
        if (!noDelay) socket.setNoDelay(false); // Bun turns it on by itself
        if (keepAlive !== false) socket.setKeepAlive(true, keepAlive === true ? 0 : keepAlive);
        resolve(conn);
      }, (error) => {
        signal?.removeEventListener("abort", aborted);
        reject(error);
      });
    });
  },
};

type Settle<T> = { resolve: (value: T) => void; reject: (reason: unknown) => void };
type Owned = BunSocket & { data: BunConn };
const [lowWater, highWater] = [16 * 1024, 64 * 1024];
const fin = new Uint8Array();

class BunConn implements Conn<BunSocket> {
  static handlers = {
    open: (socket: Owned) => void (socket.data.#socket = socket),
    data: ({ data }: Owned, chunk: Uint8Array) => data.#received(chunk),
    drain: ({ data }: Owned) => data.#flush(),
    end: ({ data }: Owned) => data.#ended(),
    // after our own FIN the peer's comes as this, without an error
    close: ({ data }: Owned, error?: Error) => data.#ended(error).#break(error),
  };

  #socket!: BunSocket;
  #chunks: Uint8Array[] = [];
  #queued = 0;
  #reading: Settle<number | null> & { p: Uint8Array } | undefined;
  #writes: (Settle<number> & { p: Uint8Array; sent: number })[] = [];
  #closedWrite: Promise<void> | undefined;
  #end: Error | null | undefined; // of the reading side: null is FIN
  #broken = false;
  #error: Error | undefined;
  #gone: "closed" | "detached" | undefined;

  read(p: Uint8Array): Promise<number | null> {
    if (this.#reading) return Promise.reject(new TypeError("Cannot read: another read is pending"));
    if (this.#gone) return Promise.reject(this.#failure());
    if (p.length === 0) return Promise.resolve(0);
    if (this.#queued > 0) return Promise.resolve(this.#take(p));
    if (this.#end !== undefined) return this.#end ? Promise.reject(this.#end) : Promise.resolve(null);
    return new Promise((resolve, reject) => this.#reading = { p, resolve, reject });
  }

  write(p: Uint8Array): Promise<number> {
    if (this.#closedWrite) return Promise.reject(new Error("Cannot write: the writing side is closed"));
    return this.#send(p);
  }

  closeWrite(): Promise<void> {
    return this.#closedWrite ??= this.#send(fin).then(() => {});
  }

  close(): void {
    if (this.#gone) return;
    this.#gone = "closed";
    this.#socket.close();
    this.#reading?.reject(this.#failure());
    this.#reading = undefined;
  }

  ref(): void {
    if (!this.#gone) this.#socket.ref();
  }

  unref(): void {
    if (!this.#gone) this.#socket.unref();
  }

  detach(): Detached<BunSocket> {
    const obstacle = this.#obstacle();
    if (obstacle) throw new TypeError(`Cannot detach: ${obstacle}`);
    const head = new Uint8Array(this.#queued);
    this.#take(head);
    this.#gone = "detached";
    this.#socket.pause();
    this.#socket.ref();
    return { socket: this.#socket, head };
  }

  #obstacle(): string | undefined {
    if (this.#gone) return `the connection is ${this.#gone}`;
    if (this.#reading) return "a read is pending";
    if (this.#writes.length > 0) return "a write is pending";
    return this.#end !== undefined || this.#broken ? "the connection has ended" : undefined;
  }

  #received(chunk: Uint8Array): void {
    if (this.#gone) return;
    this.#chunks.push(chunk);
    this.#queued += chunk.length;
    this.#reading?.resolve(this.#take(this.#reading.p));
    this.#reading = undefined;
    if (this.#queued > highWater) this.#socket.pause();
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
    if (this.#queued > lowWater && this.#queued - n <= lowWater) this.#socket.resume();
    this.#queued -= n;
    return n;
  }

  #send(p: Uint8Array): Promise<number> {
    if (this.#gone || this.#broken) return Promise.reject(this.#failure());
    const sent = p === fin || this.#writes.length > 0 ? 0 : this.#socket.write(p);
    if (sent === p.length && p !== fin) return Promise.resolve(sent);
    return new Promise((resolve, reject) => {
      if (this.#writes.push({ p, sent: Math.max(sent, 0), resolve, reject }) === 1) this.#flush();
    });
  }

  #flush(): void {
    for (let write; (write = this.#writes[0]); this.#writes.shift()) {
      if (write.p === fin) this.#socket.shutdown();
      else {
        const n = this.#socket.write(write.p.subarray(write.sent));
        // a reset that is told here is an end to the reader
        if (n < 0) return this.#break(Object.assign(new Error("The connection is broken"), { code: "EPIPE" }));
        write.sent += n;
        if (write.sent < write.p.length) return;
      }
      write.resolve(write.sent);
    }
  }

  #ended(error?: Error): this {
    if (this.#gone || this.#end !== undefined) return this;
    this.#end = error ?? this.#error ?? null;
    if (this.#end) this.#reading?.reject(this.#end);
    else this.#reading?.resolve(null);
    this.#reading = undefined;
    return this;
  }

  #break(error?: Error): void {
    this.#broken = true;
    this.#error ??= error;
    for (const write of this.#writes.splice(0)) write.reject(this.#failure());
  }

  #failure(): Error {
    return !this.#gone && this.#error || new Error(`The connection is ${this.#gone ?? "closed"}`);
  }
}
