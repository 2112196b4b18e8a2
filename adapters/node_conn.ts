import { connect, Socket } from "node:net";
import { versions } from "node:process";
import type { Conn, Detached, DialOptions, Endpoint } from "../src/transport.ts";
import { type Reading, Receiver } from "./talk.ts";

// libuv before 1.52 takes a reset that comes with the last bytes for an end: only that the peer is gone tells it
const endMayBeReset = !versions.bun && !versions.deno && Number(versions.uv?.split(".")[1]) < 52;

// Deno's node:tls gets nothing of what a socket reads into a buffer of its owner
const hasOnread = !versions.deno;
const { push } = Socket.prototype;

// one for all: what a socket reads into it is taken out before the next one reads
const incoming = new Uint8Array(65536);

const CONN = Symbol("conn");

type Settle<T> = { resolve: (value: T) => void; reject: (reason: unknown) => void };
type Opening = Settle<NodeConn> & { signal: AbortSignal | undefined };
type Owned = Socket & { [CONN]: NodeConn };

/** A connection over a `net.Socket`. */
export class NodeConn extends Receiver implements Conn<Socket> {
  #socket!: Owned; // not before open()
  #opening: Opening | undefined;
  #unread: Uint8Array | undefined; // while there is some, the socket does not read
  #writes = 0;
  #closedWrite: Promise<void> | undefined;
  #ended = false;

  // one set for all sockets
  static #listeners = {
    connect(this: Owned): void {
      this[CONN].#settled()?.resolve(this[CONN]);
    },
    // it stays: without a listener an error ends the process
    error(this: Owned, error: Error): void {
      this[CONN].#settled()?.reject(error);
    },
    end(this: Owned): void {
      this[CONN].#end();
    },
    close(this: Owned): void {
      this[CONN].#break();
    },
  };

  open(to: Endpoint, { noDelay = true, keepAlive = true }: DialOptions, opening: Opening): void {
    if (this.gone) return opening.reject(this.failure());
    this.#opening = opening;
    const onread = {
      buffer: incoming,
      callback: (n: number, bytes: Uint8Array) => this.#received(bytes.subarray(0, n)),
    };
    const options = {
      ...("path" in to ? { path: to.path } : { host: to.hostname, port: to.port }),
      allowHalfOpen: true,
      noDelay,
      keepAlive: keepAlive !== false,
      keepAliveInitialDelay: typeof keepAlive === "number" ? keepAlive : 0,
      ...(hasOnread && { onread }),
    };
    const socket = this.#socket = connect(options) as Owned;
    if (!hasOnread) socket.push = (bytes) => bytes ? this.#received(bytes) : push.call(socket, bytes);
    socket[CONN] = this;
    const { connect: opened, error, end, close } = NodeConn.#listeners;
    socket.on("connect", opened).on("error", error).on("end", end).on("close", close);
    opening.signal?.addEventListener("abort", this);
  }

  /** The signal aborts. */
  handleEvent(): void {
    const { signal, reject } = this.#settled()!;
    this.close();
    reject(signal!.reason);
  }

  protected serve(reading: Reading): void {
    if (this.#unread) reading.resolve(this.#take(reading.p)); // also from a socket that an error has destroyed
    else if (this.#ended) reading.resolve(null);
    else if (this.#socket.destroyed) reading.reject(this.failure());
    else this.reading = reading;
  }

  write(p: Uint8Array): Promise<number> {
    if (this.#closedWrite) return Promise.reject(new Error("Cannot write: the writing side is closed"));
    const socket = this.#socket;
    if (this.gone || socket.destroyed) return Promise.reject(this.failure());
    let settle: Settle<number> | undefined;
    socket.write(p, (error) => {
      if (!settle) return;
      this.#writes--;
      // Node 20 reports a write that close() cut off as done
      if (error || socket.destroyed) settle.reject(this.failure(error));
      else settle.resolve(p.length);
    });
    if (socket.writableLength === 0 && !socket.errored) return Promise.resolve(p.length); // the kernel has it
    this.#writes++;
    return new Promise((resolve, reject) => settle = { resolve, reject });
  }

  closeWrite(): Promise<void> {
    return this.#closedWrite ??= new Promise((resolve, reject) => {
      if (this.gone || this.#socket.destroyed) return reject(this.failure());
      this.#writes++;
      this.#socket.end((error?: Error | null) => {
        this.#writes--;
        if (error) reject(this.failure(error));
        else resolve();
      });
    });
  }

  close(): void {
    if (this.gone) return;
    this.gone = "closed";
    this.#socket?.destroy();
    this.#break(); // Bun may call it an end
    this.#settled()?.reject(this.failure());
  }

  ref(): void {
    if (!this.gone) this.#socket.ref();
  }

  unref(): void {
    if (!this.gone) this.#socket.unref();
  }

  detach(): Detached<Socket> {
    const obstacle = this.obstacle(this.#writes, this.#ended || this.#socket.destroyed);
    if (obstacle) throw new TypeError(`Cannot detach: ${obstacle}`);
    this.gone = "detached";
    const socket = this.#socket;
    const { connect: opened, end, close } = NodeConn.#listeners;
    socket.off("connect", opened).off("end", end).off("close", close);
    if (!hasOnread) socket.push = push;
    if (this.#unread) socket.push(this.#unread);
    socket.allowHalfOpen = false; // or an http.Agent keeps a socket that has got FIN
    socket.ref();
    return { socket, head: new Uint8Array() };
  }

  #settled(): Opening | undefined {
    const opening = this.#opening;
    this.#opening = undefined;
    opening?.signal?.removeEventListener("abort", this);
    return opening;
  }

  /** Takes bytes that are overwritten afterwards; `false` stops the socket from reading on. */
  #received(bytes: Uint8Array): boolean {
    if (this.gone) return this.gone === "detached" && this.#socket.push(bytes.slice());
    const reading = this.waited();
    const n = reading ? Math.min(reading.p.length, bytes.length) : 0;
    if (n < bytes.length) this.#keep(bytes.subarray(n));
    reading?.p.set(n < bytes.length ? bytes.subarray(0, n) : bytes);
    reading?.resolve(n);
    return this.#unread === undefined;
  }

  #keep(bytes: Uint8Array): void {
    const before = this.#unread ?? new Uint8Array();
    this.#unread = new Uint8Array(before.length + bytes.length);
    this.#unread.set(before);
    this.#unread.set(bytes, before.length);
  }

  #take(p: Uint8Array): number {
    const unread = this.#unread!;
    const n = Math.min(p.length, unread.length);
    p.set(n < unread.length ? unread.subarray(0, n) : unread);
    this.#unread = n < unread.length ? unread.subarray(n) : undefined;
    if (this.#unread) return n;
    if (hasOnread) this.#socket.read(0); // it reads again
    else this.#socket._read(0); // it believes that it does
    return n;
  }

  #end(): void {
    const socket = this.#socket;
    if (endMayBeReset && !this.#closedWrite && socket.localAddress && !socket.remoteAddress) {
      return void socket.destroy(Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }));
    }
    this.#ended = true;
    this.waited()?.resolve(null);
  }

  #break(): void {
    this.waited()?.reject(this.failure());
  }

  protected failure(error?: Error | null): Error {
    if (this.gone) return new Error(`The connection is ${this.gone}`);
    return this.#socket.errored ?? error ?? new Error("The connection is closed");
  }
}
