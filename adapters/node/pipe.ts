import { Socket } from "node:net";
import { versions } from "node:process";
import type { Lent, UnreadableConn } from "../../src/transport.ts";
import { CallbackReader, type Reading } from "../socket_conn.ts";
import { endedBeforeTls, unreadPlaintext } from "../tls_error.ts";

// libuv before 1.52 takes a reset that comes with the last bytes for an end: only that the peer is gone tells it
const endMayBeReset = !versions.bun && !versions.deno && Number(versions.uv?.split(".")[1]) < 52;

const { push } = Socket.prototype;

/** Where a socket keeps its pipe. */
export const PIPE: unique symbol = Symbol("pipe");

type Settle<T> = { resolve: (value: T) => void; reject: (reason: unknown) => void };

/** A `net.Socket` that belongs to a pipe. */
export type PipedSocket = Socket & { [PIPE]: NodePipe };

/** A byte pipe over a `net.Socket`, which a `TLSSocket` is, too. */
export class NodePipe extends CallbackReader<Socket> implements UnreadableConn {
  protected socket!: PipedSocket;
  protected unreadBytes: Uint8Array | undefined; // while there is some, the socket does not read
  protected writes = 0;
  protected ended = false;
  #closedWrite: Promise<void> | undefined;
  #pushed = true;

  // one set for all sockets
  static #listeners = {
    // it stays: without a listener an error ends the process
    error(this: PipedSocket, error: Error): void {
      this[PIPE].failed(error);
    },
    end(this: PipedSocket): void {
      this[PIPE].#end();
    },
    close(this: PipedSocket): void {
      this[PIPE].broke();
    },
  };

  /** Takes a socket over; `pushed` unless it hands what it reads to {@linkcode received} by itself. */
  protected adopt(socket: Socket, pushed: boolean): void {
    this.socket = socket as PipedSocket;
    this.socket[PIPE] = this;
    this.#pushed = pushed;
    if (pushed) socket.push = (bytes) => bytes ? this.received(bytes) : push.call(socket, bytes);
    const { error, end, close } = NodePipe.#listeners;
    socket.on("error", error).on("end", end).on("close", close);
  }

  /** Gives the socket up. */
  protected disown(): Socket {
    const { socket } = this;
    const { end, close } = NodePipe.#listeners;
    socket.off("end", end).off("close", close);
    if (this.#pushed) socket.push = push;
    return socket;
  }

  /** Gives the socket to somebody who reads from it as from any other. */
  protected handOver(why: "detached" | "lent"): Socket {
    this.gone = why;
    const socket = this.disown();
    if (this.unreadBytes) socket.push(this.unreadBytes);
    socket.allowHalfOpen = false; // or an http.Agent keeps a socket that has got FIN
    return socket.ref();
  }

  override lend(): Lent | undefined {
    if (versions.bun || versions.deno || this.whyBusy()) return undefined;
    const socket = this.handOver("lent");
    const { bytesRead, bytesWritten } = socket;
    const traffic = {
      get sent() {
        return socket.bytesWritten - bytesWritten;
      },
      get received() {
        return socket.bytesRead - bytesRead;
      },
    };
    return { socket, broke: (cause) => cause, traffic };
  }

  protected serve(reading: Reading): void {
    if (this.unreadBytes) reading.resolve(this.#take(reading.p)); // also from a socket that an error has destroyed
    else if (this.ended) reading.resolve(null);
    else if (this.socket.destroyed) reading.reject(this.failure());
    else this.reading = reading;
  }

  unread(bytes: Uint8Array): void {
    const after = this.unreadBytes;
    this.unreadBytes = undefined;
    this.#keep(bytes);
    if (after) this.#keep(after);
  }

  write(p: Uint8Array): Promise<number> {
    if (this.#closedWrite) return Promise.reject(new Error("Cannot write: the writing side is closed"));
    const { socket } = this;
    if (this.gone || socket.destroyed) return Promise.reject(this.failure());
    if (p.length === 0) return Promise.resolve(0); // an error with TLS on Deno
    let settle: Settle<number> | undefined;
    socket.write(p, (error) => {
      if (!settle) return;
      this.writes--;
      // Node 20 reports a write that close() cut off as done
      if (error || socket.destroyed) settle.reject(this.failure(error));
      else settle.resolve(p.length);
    });
    if (socket.writableLength === 0 && !socket.errored) return Promise.resolve(p.length); // the kernel has it
    this.writes++;
    return new Promise((resolve, reject) => settle = { resolve, reject });
  }

  closeWrite(): Promise<void> {
    return this.#closedWrite ??= new Promise((resolve, reject) => {
      if (this.gone || this.socket.destroyed) return reject(this.failure());
      this.writes++;
      this.socket.end((error?: Error | null) => {
        this.writes--;
        if (error) reject(this.failure(error));
        else resolve();
      });
    });
  }

  protected destroy(): void {
    this.socket?.destroy();
    this.broke(); // Bun may call it an end
  }

  get remoteAddress(): string | undefined {
    return this.socket.remoteAddress;
  }

  ref(): void {
    if (!this.gone) this.socket.ref();
  }

  unref(): void {
    if (!this.gone) this.socket.unref();
  }

  protected whyBusy(): string | undefined {
    return this.busyBecause(this.writes, this.ended || this.socket.destroyed);
  }

  protected release(): Socket {
    if (this.unreadBytes) throw unreadPlaintext();
    if (this.#closedWrite || this.ended || this.socket.destroyed) throw this.socket.errored ?? endedBeforeTls();
    return this.disown();
  }

  /** Takes bytes that are overwritten afterwards; `false` stops the socket from reading on. */
  protected received(bytes: Uint8Array): boolean {
    if (this.gone === "given to TLS") this.#keep(bytes);
    else if (this.gone) return this.gone !== "closed" && this.socket.push(bytes.slice());
    const reading = this.takePending();
    const n = reading ? Math.min(reading.p.length, bytes.length) : 0;
    if (n < bytes.length) this.#keep(bytes.subarray(n));
    reading?.p.set(n < bytes.length ? bytes.subarray(0, n) : bytes);
    reading?.resolve(n);
    return this.unreadBytes === undefined;
  }

  #keep(bytes: Uint8Array): void {
    const before = this.unreadBytes ?? new Uint8Array();
    this.unreadBytes = new Uint8Array(before.length + bytes.length);
    this.unreadBytes.set(before);
    this.unreadBytes.set(bytes, before.length);
  }

  #take(p: Uint8Array): number {
    const unread = this.unreadBytes!;
    const n = Math.min(p.length, unread.length);
    p.set(n < unread.length ? unread.subarray(0, n) : unread);
    this.unreadBytes = n < unread.length ? unread.subarray(n) : undefined;
    if (!this.unreadBytes) this.readOn();
    return n;
  }

  protected readOn(): void {
    if (this.#pushed) this.socket._read(0); // it believes that it does
    else this.socket.read(0); // it reads again
  }

  #end(): void {
    const { socket } = this;
    if (endMayBeReset && !this.#closedWrite && socket.localAddress && !socket.remoteAddress) {
      return void socket.destroy(Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }));
    }
    this.ended = true;
    this.takePending()?.resolve(null);
  }

  protected failed(_error: Error): void {}

  protected broke(): void {
    this.takePending()?.reject(this.failure());
  }

  protected failure(error?: Error | null): Error {
    if (this.gone) return new Error(`The connection is ${this.gone}`);
    return this.socket.errored ?? error ?? new Error("The connection is closed");
  }
}
