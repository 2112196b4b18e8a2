import type { Conn, TlsOptions, UnreadableConn } from "../../src/transport.ts";
import type { BunSocket } from "./socket.ts";
import { CallbackReader, type Reading, type TlsHandshake } from "../socket_conn.ts";
import { endedBeforeTls, unreadPlaintext } from "../tls_error.ts";

type Settle<T> = { resolve: (value: T) => void; reject: (reason: unknown) => void };
type PipedSocket = BunSocket & { data: BunPipe };
const [lowWater, highWater] = [16 * 1024, 64 * 1024];
const FIN = new Uint8Array();

/** A byte pipe over a `Bun.Socket`. */
export class BunPipe extends CallbackReader<BunSocket> implements UnreadableConn {
  static readonly handlers: object = {
    data: ({ data }: PipedSocket, chunk: Uint8Array) => data.#received(chunk),
    drain: ({ data }: PipedSocket) => data.#flush(),
    end: ({ data }: PipedSocket) => data.ended(),
    // after our own FIN the peer's comes as this, without an error
    close: ({ data }: PipedSocket, error?: Error) => data.broke(error),
  };

  protected socket!: BunSocket;
  #chunks: Uint8Array[] | undefined; // while some wait
  #queued = 0;
  #writes: (Settle<number> & { p: Uint8Array; sent: number })[] | undefined; // while some wait
  #closedWrite: Promise<void> | undefined;
  #end: Error | null | undefined; // of the reading side: null is FIN
  #broken = false;
  #error: Error | undefined;

  /** Takes a socket over. */
  adopt(socket: BunSocket): void {
    this.socket = socket;
    socket.data = this;
  }

  protected serve(reading: Reading): void {
    if (this.#queued > 0) reading.resolve(this.#take(reading.p));
    else if (this.#end === undefined) this.reading = reading;
    else if (this.#end) reading.reject(this.#end);
    else reading.resolve(null);
  }

  unread(bytes: Uint8Array): void {
    (this.#chunks ??= []).unshift(bytes);
    this.#queued += bytes.length;
  }

  write(p: Uint8Array): Promise<number> {
    if (this.#closedWrite) return Promise.reject(new Error("Cannot write: the writing side is closed"));
    return this.#send(p);
  }

  closeWrite(): Promise<void> {
    return this.#closedWrite ??= this.#send(FIN).then(() => {});
  }

  protected destroy(): void {
    const reading = this.takePending();
    this.socket?.close();
    reading?.reject(this.failure());
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

  /** With `node:tls`; what has a better way takes that. */
  startTls(options: TlsOptions): Promise<Conn> {
    return this.secure(options, overPipe);
  }

  protected whyBusy(): string | undefined {
    return this.busyBecause(this.#writes?.length ?? 0, this.#end !== undefined || this.#broken);
  }

  protected release(): BunSocket {
    if (this.#queued > 0) throw unreadPlaintext();
    if (this.#closedWrite || this.#end !== undefined || this.#broken) throw this.#error ?? endedBeforeTls();
    this.socket.data = discardingPipe(); // it goes on telling what it reads, encrypted
    return this.socket;
  }

  /** Gives all that was received and not read. */
  protected takeAll(): Uint8Array {
    const all = new Uint8Array(this.#queued);
    this.#take(all);
    return all;
  }

  #received(chunk: Uint8Array): void {
    if (this.gone && this.gone !== "given to TLS") return;
    const reading = this.takePending();
    if (reading && chunk.length <= reading.p.length) {
      reading.p.set(chunk);
      return reading.resolve(chunk.length);
    }
    (this.#chunks ??= []).push(chunk);
    this.#queued += chunk.length;
    reading?.resolve(this.#take(reading.p));
    if (this.#queued > highWater) this.socket.pause();
  }

  #take(p: Uint8Array): number {
    let n = 0;
    for (let chunk; n < p.length && (chunk = this.#chunks?.[0]);) {
      const part = chunk.subarray(0, p.length - n);
      p.set(part, n);
      n += part.length;
      if (part.length === chunk.length) this.#chunks!.shift();
      else this.#chunks![0] = chunk.subarray(part.length);
    }
    if (this.#chunks?.length === 0) this.#chunks = undefined;
    if (this.#queued > lowWater && this.#queued - n <= lowWater) this.socket.resume();
    this.#queued -= n;
    return n;
  }

  #send(p: Uint8Array): Promise<number> {
    if (this.gone || this.#broken) return Promise.reject(this.failure());
    const sent = p === FIN || this.#writes !== undefined ? 0 : this.socket.write(p);
    if (sent === p.length && p !== FIN) return Promise.resolve(sent);
    return new Promise((resolve, reject) => {
      if ((this.#writes ??= []).push({ p, sent: Math.max(sent, 0), resolve, reject }) === 1) this.#flush();
    });
  }

  #flush(): void {
    for (let write; (write = this.#writes?.[0]); this.#writes?.shift()) {
      if (write.p === FIN) this.socket.shutdown();
      else {
        const n = this.socket.write(write.p.subarray(write.sent));
        // a reset that is told here is an end to the reader
        if (n < 0) return this.#break(Object.assign(new Error("The connection is broken"), { code: "EPIPE" }));
        write.sent += n;
        if (write.sent < write.p.length) return;
      }
      write.resolve(write.sent);
    }
    this.#writes = undefined;
  }

  protected ended(error?: Error): void {
    if (this.gone || this.#end !== undefined) return;
    this.#end = error ?? this.#error ?? null;
    const reading = this.takePending();
    if (this.#end) reading?.reject(this.#end);
    else reading?.resolve(null);
  }

  /** It is closed, by an error or not. */
  protected broke(error?: Error): void {
    this.ended(error);
    this.#break(error);
  }

  #break(error?: Error): void {
    this.#broken = true;
    this.#error ??= error;
    for (const write of this.#writes ?? []) write.reject(this.failure());
    this.#writes = undefined;
  }

  protected failure(): Error {
    return !this.gone && this.#error || new Error(`The connection is ${this.gone ?? "closed"}`);
  }
}

function discardingPipe(): BunPipe {
  const pipe = new BunPipe();
  pipe.close();
  return pipe;
}

async function overPipe(): Promise<(socket: BunSocket, options: TlsOptions) => TlsHandshake> {
  const { startOverPipe } = await import("../tls.ts");
  return (socket, options) => {
    const pipe = new BunPipe();
    pipe.adopt(socket);
    return startOverPipe(pipe, options);
  };
}
