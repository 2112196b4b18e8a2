import type { Conn, Detached, DialOptions } from "../src/transport.ts";
import type { BunSocket } from "./bun_socket.ts";
import { type Reading, Receiver } from "./talk.ts";

type Settle<T> = { resolve: (value: T) => void; reject: (reason: unknown) => void };
type Opening = Settle<BunConn> & { signal: AbortSignal | undefined; options: DialOptions };
type Owned = BunSocket & { data: BunConn };
const [lowWater, highWater] = [16 * 1024, 64 * 1024];
const fin = new Uint8Array();

/** A connection over a `Bun.Socket`. */
export class BunConn extends Receiver implements Conn<BunSocket> {
  static readonly handlers: object = {
    open: (socket: Owned) => socket.data.#opened(socket),
    data: ({ data }: Owned, chunk: Uint8Array) => data.#received(chunk),
    drain: ({ data }: Owned) => data.#flush(),
    end: ({ data }: Owned) => data.#ended(),
    // after our own FIN the peer's comes as this, without an error
    close: ({ data }: Owned, error?: Error) => data.#ended(error).#break(error),
  };

  #opening: Opening | undefined;
  #socket!: BunSocket;
  #chunks: Uint8Array[] = [];
  #queued = 0;
  #writes: (Settle<number> & { p: Uint8Array; sent: number })[] = [];
  #closedWrite: Promise<void> | undefined;
  #end: Error | null | undefined; // of the reading side: null is FIN
  #broken = false;
  #error: Error | undefined;

  /** Whether it may be opened: it may have been closed already. */
  begin(opening: Opening): boolean {
    if (this.gone) opening.reject(this.failure());
    else this.#opening = opening;
    return !this.gone;
  }

  failed(error: unknown): void {
    this.#settled()?.reject(error);
  }

  /** Listens to the signal, as long as the connection is not open. */
  heed(): void {
    this.#opening?.signal?.addEventListener("abort", this);
  }

  /** The signal aborts. */
  handleEvent(): void {
    this.failed(this.#opening?.signal?.reason);
  }

  protected serve(reading: Reading): void {
    if (this.#queued > 0) reading.resolve(this.#take(reading.p));
    else if (this.#end === undefined) this.reading = reading;
    else if (this.#end) reading.reject(this.#end);
    else reading.resolve(null);
  }

  write(p: Uint8Array): Promise<number> {
    if (this.#closedWrite) return Promise.reject(new Error("Cannot write: the writing side is closed"));
    return this.#send(p);
  }

  closeWrite(): Promise<void> {
    return this.#closedWrite ??= this.#send(fin).then(() => {});
  }

  close(): void {
    if (this.gone) return;
    this.gone = "closed";
    const reading = this.waited();
    if (this.#opening) this.failed(this.failure());
    else this.#socket?.close();
    reading?.reject(this.failure());
  }

  ref(): void {
    if (!this.gone) this.#socket.ref();
  }

  unref(): void {
    if (!this.gone) this.#socket.unref();
  }

  detach(): Detached<BunSocket> {
    const obstacle = this.obstacle(this.#writes.length, this.#end !== undefined || this.#broken);
    if (obstacle) throw new TypeError(`Cannot detach: ${obstacle}`);
    const head = new Uint8Array(this.#queued);
    this.#take(head);
    this.gone = "detached";
    this.#socket.pause();
    this.#socket.ref();
    return { socket: this.#socket, head };
  }

  #opened(socket: BunSocket): void {
    this.#socket = socket;
    const opening = this.#settled();
    if (!opening) return socket.close(); // given up meanwhile
    const { noDelay = true, keepAlive = true } = opening.options;
    if (!noDelay) socket.setNoDelay(false); // Bun turns it on by itself
    if (keepAlive !== false) socket.setKeepAlive(true, keepAlive === true ? 0 : keepAlive);
    opening.resolve(this);
  }

  #settled(): Opening | undefined {
    const opening = this.#opening;
    this.#opening = undefined;
    opening?.signal?.removeEventListener("abort", this);
    return opening;
  }

  #received(chunk: Uint8Array): void {
    if (this.gone) return;
    const reading = this.waited();
    if (reading && chunk.length <= reading.p.length) {
      reading.p.set(chunk);
      return reading.resolve(chunk.length);
    }
    this.#chunks.push(chunk);
    this.#queued += chunk.length;
    reading?.resolve(this.#take(reading.p));
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
    if (this.gone || this.#broken) return Promise.reject(this.failure());
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
    if (this.gone || this.#end !== undefined) return this;
    this.#end = error ?? this.#error ?? null;
    const reading = this.waited();
    if (this.#end) reading?.reject(this.#end);
    else reading?.resolve(null);
    return this;
  }

  #break(error?: Error): void {
    this.#broken = true;
    this.#error ??= error;
    for (const write of this.#writes.splice(0)) write.reject(this.failure());
  }

  protected failure(): Error {
    return !this.gone && this.#error || new Error(`The connection is ${this.gone ?? "closed"}`);
  }
}
