import { connect, type Socket } from "node:net";
import { nextTick, versions } from "node:process";
import type { Conn, Detached, DialOptions, Endpoint, Transport } from "../src/transport.ts";

/**
 * Opens connections with `node:net`: works on Node, Bun and Deno, and hands over a `net.Socket`.
 *
 * @example A `net.Socket` through a proxy
 * ```ts
 * import { Socks5Client } from "jsr:@x/socks5";
 * import { nodeTransport } from "jsr:@x/socks5/node";
 *
 * const client = new Socks5Client("socks5h://user:pass@proxy.example:1080", { transport: nodeTransport });
 * const { socket } = (await client.connect("example.com:80")).detach();
 * socket.write("GET / HTTP/1.0\r\nHost: example.com\r\n\r\n");
 * for await (const chunk of socket) console.log(String(chunk));
 * ```
 */
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

// libuv before 1.52 takes a reset that comes with the last bytes for an end: only that the peer is gone tells it
const endMayBeReset = !versions.bun && !versions.deno && Number(versions.uv?.split(".")[1]) < 52;

type Read = { p: Uint8Array; resolve: (n: number | null) => void; reject: (reason: unknown) => void };

class NodeConn implements Conn<Socket> {
  #socket: Socket;
  #reading: Read | undefined;
  #writes = 0;
  #closedWrite: Promise<void> | undefined;
  #ended = false;
  #gone: "closed" | "detached" | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("readable", this.#onReadable);
    socket.on("end", this.#onEnd);
    socket.on("close", this.#onClose);
  }

  read(p: Uint8Array): Promise<number | null> {
    if (this.#reading) return Promise.reject(new TypeError("Cannot read: another read is pending"));
    if (this.#gone) return Promise.reject(this.#failure());
    if (p.length === 0) return Promise.resolve(0);
    const n = this.#take(p); // also from a socket that an error has destroyed
    if (n > 0) return Promise.resolve(n);
    if (this.#ended) return Promise.resolve(null);
    if (this.#socket.destroyed) return Promise.reject(this.#failure());
    return new Promise((resolve, reject) => {
      this.#reading = { p, resolve, reject };
      this.#socket.read(0); // or an end that is here already is not told
    });
  }

  write(p: Uint8Array): Promise<number> {
    if (this.#closedWrite) return Promise.reject(new Error("Cannot write: the writing side is closed"));
    if (this.#gone || this.#socket.destroyed) return Promise.reject(this.#failure());
    return new Promise((resolve, reject) => {
      this.#writes++;
      this.#socket.write(p, (error) => {
        this.#writes--;
        // Node 20 reports a write that close() cut off as done
        if (error || this.#socket.destroyed) reject(this.#failure(error));
        else resolve(p.length);
      });
    });
  }

  closeWrite(): Promise<void> {
    return this.#closedWrite ??= new Promise((resolve, reject) => {
      if (this.#gone || this.#socket.destroyed) return reject(this.#failure());
      this.#writes++;
      this.#socket.end((error?: Error | null) => {
        this.#writes--;
        if (error) reject(this.#failure(error));
        else resolve();
      });
    });
  }

  close(): void {
    if (this.#gone) return;
    this.#gone = "closed";
    this.#socket.destroy();
    this.#onClose(); // Bun may call it an end
  }

  ref(): void {
    if (!this.#gone) this.#socket.ref();
  }

  unref(): void {
    if (!this.#gone) this.#socket.unref();
  }

  detach(): Detached<Socket> {
    const obstacle = this.#obstacle();
    if (obstacle) throw new TypeError(`Cannot detach: ${obstacle}`);
    this.#gone = "detached";
    const socket = this.#socket;
    socket.off("readable", this.#onReadable);
    socket.off("end", this.#onEnd);
    socket.off("close", this.#onClose);
    // Node forgets our listener a tick later; a `readable` listener that comes before is not told what is there
    nextTick(() => socket.readableLength > 0 && socket.emit("readable"));
    socket.allowHalfOpen = false; // or an http.Agent keeps a socket that has got FIN
    socket.ref();
    return { socket, head: new Uint8Array() };
  }

  #obstacle(): string | undefined {
    if (this.#gone) return `the connection is ${this.#gone}`;
    if (this.#reading) return "a read is pending";
    if (this.#writes > 0) return "a write is pending";
    return this.#ended || this.#socket.destroyed ? "the connection has ended" : undefined;
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
    const socket = this.#socket;
    if (endMayBeReset && !this.#closedWrite && socket.localAddress && !socket.remoteAddress) {
      return void socket.destroy(Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }));
    }
    this.#ended = true;
    this.#reading?.resolve(null);
    this.#reading = undefined;
  };

  #onClose = (): void => {
    this.#onReadable(); // an error overtakes the `readable` of the bytes before it
    this.#reading?.reject(this.#failure());
    this.#reading = undefined;
  };

  #failure(error?: Error | null): Error {
    if (this.#gone) return new Error(`The connection is ${this.#gone}`);
    return this.#socket.errored ?? error ?? new Error("The connection is closed");
  }
}
