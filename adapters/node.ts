import { connect, type Socket } from "node:net";
import type { Conn, Detached, DialOptions, Endpoint, Transport } from "../src/transport.ts";

/** Opens connections with `node:net`: works on Node, Bun and Deno, and hands over a `net.Socket`. */
export const nodeTransport: Transport<Socket> = {
  connect(to: Endpoint, { signal, noDelay = true, keepAlive = true }: DialOptions = {}): Promise<Conn<Socket>> {
    return new Promise((resolve, reject) => {
      // Node connects although its own `signal` is aborted, and destroys an open socket when it aborts later
      signal?.throwIfAborted();
      const socket = connect({
        ...("path" in to ? { path: to.path } : { host: to.hostname, port: to.port }),
        allowHalfOpen: true,
        noDelay,
        keepAlive: keepAlive !== false,
        keepAliveInitialDelay: typeof keepAlive === "number" ? keepAlive : 0,
      });
      const settle = () => {
        socket.off("connect", opened);
        socket.off("error", failed);
        signal?.removeEventListener("abort", aborted);
      };
      const opened = () => {
        settle();
        resolve(new NodeConn(socket));
      };
      const failed = (error: Error) => {
        settle();
        reject(error);
      };
      const aborted = () => {
        settle();
        socket.destroy();
        reject(signal?.reason);
      };
      socket.on("error", ignore);
      socket.on("error", failed);
      socket.on("connect", opened);
      signal?.addEventListener("abort", aborted);
    });
  },
};

function ignore(): void {}

type Pending = { p: Uint8Array; resolve: (n: number | null) => void; reject: (reason: unknown) => void };

class NodeConn implements Conn<Socket> {
  #socket: Socket;
  #reading: Pending | undefined;
  #writing = new Set<(reason: unknown) => void>();
  #ending: Promise<void> | undefined;
  #ended = false;
  #gone: string | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("readable", this.#onReadable);
    socket.on("end", this.#onEnd);
    socket.on("close", this.#onClose);
  }

  read(p: Uint8Array): Promise<number | null> {
    if (this.#reading) return Promise.reject(new TypeError("Cannot read: another read is pending"));
    if (this.#gone) return Promise.reject(new Error(`Cannot read: the connection is ${this.#gone}`));
    if (p.length === 0) return Promise.resolve(0);
    const n = this.#take(p);
    if (n > 0) return Promise.resolve(n);
    if (this.#ended) return Promise.resolve(null);
    if (this.#socket.destroyed) return Promise.reject(this.#failure("read"));
    return new Promise((resolve, reject) => {
      this.#reading = { p, resolve, reject };
      this.#socket.read(0); // reports an end that waits behind the last bytes
    });
  }

  write(p: Uint8Array): Promise<number> {
    if (this.#gone || this.#socket.destroyed) return Promise.reject(this.#failure("write"));
    if (this.#ending) return Promise.reject(new Error("Cannot write: the writing side is closed"));
    return new Promise((resolve, reject) => {
      this.#writing.add(reject);
      this.#socket.write(p, (error) => {
        this.#writing.delete(reject);
        if (error || this.#socket.destroyed) reject(this.#failure("write"));
        else resolve(p.length);
      });
    });
  }

  closeWrite(): Promise<void> {
    return this.#ending ??= new Promise((resolve, reject) => {
      if (this.#gone || this.#socket.destroyed) return reject(this.#failure("close the writing side"));
      this.#writing.add(reject);
      this.#socket.end((error?: Error | null) => {
        this.#writing.delete(reject);
        if (error) reject(this.#failure("close the writing side"));
        else resolve();
      });
    });
  }

  close(): void {
    if (this.#gone) return;
    this.#gone = "closed";
    this.#socket.destroy();
    this.#fail();
  }

  ref(): void {
    if (!this.#gone) this.#socket.ref();
  }

  unref(): void {
    if (!this.#gone) this.#socket.unref();
  }

  detach(): Detached<Socket> {
    const socket = this.#socket;
    const obstacle = this.#gone
      ? `the connection is ${this.#gone}`
      : this.#reading
      ? "a read is pending"
      : this.#writing.size > 0
      ? "a write is pending"
      : this.#ended || socket.destroyed
      ? "the connection has ended"
      : "";
    if (obstacle) throw new TypeError(`Cannot detach: ${obstacle}`);
    this.#gone = "detached";
    socket.off("readable", this.#onReadable);
    socket.off("end", this.#onEnd);
    socket.off("close", this.#onClose);
    // a socket that had a `readable` listener tells the next reader of buffered bytes only when they come again
    const buffered = socket.readableLength > 0 && socket.read();
    if (buffered) socket.unshift(buffered);
    socket.allowHalfOpen = false; // or an http.Agent keeps a socket that has got FIN
    socket.ref();
    return { socket, head: new Uint8Array() };
  }

  #take(p: Uint8Array): number {
    const n = Math.min(p.length, this.#socket.readableLength);
    if (n > 0) p.set(this.#socket.read(n));
    return n;
  }

  #onReadable = (): void => {
    const reading = this.#reading;
    if (!reading) return;
    const n = this.#take(reading.p);
    if (n === 0) return void this.#socket.read(0);
    this.#reading = undefined;
    reading.resolve(n);
  };

  #onEnd = (): void => {
    this.#ended = true;
    this.#reading?.resolve(null);
    this.#reading = undefined;
  };

  #onClose = (): void => {
    this.#onReadable();
    this.#fail();
  };

  #fail(): void {
    this.#reading?.reject(this.#failure("read"));
    this.#reading = undefined;
    for (const reject of this.#writing) reject(this.#failure("write"));
    this.#writing.clear();
  }

  #failure(what: string): Error {
    return (!this.#gone && this.#socket.errored) ||
      new Error(`Cannot ${what}: the connection is ${this.#gone ?? "closed"}`);
  }
}
