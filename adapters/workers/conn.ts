import { quietly } from "../../src/guarded_conn.ts";
import type { Bytes, Conn, Detached, TlsOptions, UnreadableConn } from "../../src/transport.ts";
import { CallbackReader, type Reading, type TlsHandshake } from "../socket_conn.ts";
import { checkTls } from "./platform.ts";
import { endedBeforeTls, unreadPlaintext } from "../tls_error.ts";

/** The part of a `Socket` of Cloudflare Workers that this package uses. */
export interface WorkersSocket {
  /** What is received. */
  readonly readable: ReadableStream<Bytes>;
  /** Takes what is to be sent; closing it sends FIN. */
  readonly writable: WritableStream<Bytes>;
  /** Resolves once it is connected. */
  readonly opened: Promise<{ readonly remoteAddress?: string | null }>;
  /** Settles once it is closed. */
  readonly closed: Promise<void>;
  /** Closes both ways. */
  close(): Promise<void>;
  /** Starts TLS; this socket cannot be used after that. */
  startTls(options: { expectedServerHostname?: string }): WorkersSocket;
}

const [SMALLEST, LARGEST] = [1_024, 65_536];

/** A connection over a socket of Cloudflare Workers. */
export class WorkersConn extends CallbackReader<WorkersSocket> implements Conn<WorkersSocket>, UnreadableConn {
  remoteAddress: string | undefined;
  readonly #writes = new Set<(reason: unknown) => void>();
  #socket: WorkersSocket | undefined;
  #reader!: ReadableStreamBYOBReader;
  #writer!: WritableStreamDefaultWriter<Bytes>;
  #buffer = new ArrayBuffer(SMALLEST);
  #unread: Uint8Array | undefined;
  #closedWrite: Promise<void> | undefined;
  #ended = false;
  #error: Error | undefined;
  #giveUp: ((reason: unknown) => void) | undefined;

  /** Opens it, unless {@linkcode WorkersConn.giveUp} or `close()` is called before. */
  async open(dial: () => WorkersSocket): Promise<this> {
    if (this.gone) throw this.failure();
    const socket = this.#socket = dial();
    void quietly(() => socket.closed); // its streams tell it, too
    try {
      const { remoteAddress } = await new Promise<Awaited<WorkersSocket["opened"]>>((resolve, reject) => {
        this.#giveUp = reject;
        socket.opened.then(resolve, reject);
      });
      this.remoteAddress = ipOf(remoteAddress ?? "");
    } catch (error) {
      void quietly(() => socket.close());
      throw error;
    } finally {
      this.#giveUp = undefined;
    }
    this.#reader = socket.readable.getReader({ mode: "byob" });
    this.#writer = socket.writable.getWriter();
    void quietly(() => this.#reader.closed);
    void quietly(() => this.#writer.closed);
    void quietly(() => this.#writer.ready);
    return this;
  }

  /** Ends the attempt to open it. */
  giveUp(reason: unknown): void {
    this.#giveUp?.(reason);
    this.close();
  }

  unread(bytes: Uint8Array): void {
    const after = this.#unread ?? new Uint8Array();
    this.#unread = new Uint8Array(bytes.length + after.length);
    this.#unread.set(bytes);
    this.#unread.set(after, bytes.length);
  }

  write(p: Uint8Array): Promise<number> {
    if (this.#closedWrite) return Promise.reject(new Error("Cannot write: the writing side is closed"));
    if (this.gone || this.#error) return Promise.reject(this.failure());
    if (p.length === 0) return Promise.resolve(0);
    return this.#written(this.#writer.write(p as Bytes)).then(() => p.length);
  }

  closeWrite(): Promise<void> {
    if (this.#closedWrite) return this.#closedWrite;
    if (this.gone || this.#error) return Promise.reject(this.failure());
    return this.#closedWrite = this.#written(this.#writer.close());
  }

  detach(): Detached<WorkersSocket> {
    const reason = this.whyBusy();
    if (reason) throw new TypeError(`Cannot detach: ${reason}`);
    this.gone = "detached";
    return { socket: this.#unlocked(), head: this.#unread ?? new Uint8Array() };
  }

  async startTls(options: TlsOptions): Promise<Conn<WorkersSocket>> {
    checkTls("tls", options);
    return await this.secure(options, () => Promise.resolve(start)) as Conn<WorkersSocket>;
  }

  protected serve(reading: Reading): void {
    if (this.#unread) return reading.resolve(this.#takeUnread(reading.p));
    if (this.#error) return reading.reject(this.#error);
    if (this.#ended) return reading.resolve(null);
    this.reading = reading;
    const view = new Uint8Array(this.#buffer, 0, Math.min(reading.p.length, this.#buffer.byteLength));
    this.#reader.read(view).then(this.#received, this.#failed);
  }

  protected destroy(): void {
    const failure = this.failure();
    this.#giveUp?.(failure);
    this.takePending()?.reject(failure);
    for (const reject of this.#writes) reject(failure);
    void quietly(() => this.#socket?.close());
  }

  protected whyBusy(): string | undefined {
    return this.busyBecause(this.#writes.size, this.#ended || this.#error !== undefined);
  }

  protected release(): WorkersSocket {
    if (this.#unread) throw unreadPlaintext();
    if (this.#closedWrite) throw endedBeforeTls();
    return this.#unlocked();
  }

  protected failure(): Error {
    return this.gone ? new Error(`The connection is ${this.gone}`) : this.#error!;
  }

  #unlocked(): WorkersSocket {
    this.#reader.releaseLock();
    this.#writer.releaseLock();
    return this.#socket!;
  }

  #takeUnread(p: Uint8Array): number {
    const unread = this.#unread!;
    const n = Math.min(p.length, unread.length);
    p.set(unread.subarray(0, n));
    this.#unread = n < unread.length ? unread.subarray(n) : undefined;
    return n;
  }

  /** A stream takes the buffer for itself while it reads, so it gets none of the caller's. */
  readonly #received = ({ done, value }: { done: boolean; value?: Uint8Array | undefined }): void => {
    const reading = this.takePending();
    const room = value?.buffer as ArrayBuffer | undefined;
    this.#buffer = room && (value!.length < room.byteLength || room.byteLength === LARGEST)
      ? room
      : new ArrayBuffer(Math.min(LARGEST, 4 * (room?.byteLength ?? SMALLEST / 4)));
    if (done) this.#ended = true;
    else reading?.p.set(value!);
    reading?.resolve(done ? null : value!.length);
  };

  readonly #failed = (error: Error): void => {
    this.#error ??= error;
    this.takePending()?.reject(this.#error);
  };

  /** Waits for what is written, unless the connection is closed before. */
  #written<T>(writing: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#writes.add(reject);
      writing.then((value) => {
        this.#writes.delete(reject);
        resolve(value);
      }, (error) => {
        this.#writes.delete(reject);
        this.#error ??= error as Error;
        reject(this.failure());
      });
    });
  }
}

/** A connection with TLS. */
class WorkersTlsConn extends WorkersConn {
  /** The platform does not tell. */
  readonly alpnProtocol: string | null = null;

  override startTls(): Promise<Conn<WorkersSocket>> {
    return Promise.reject(new TypeError("Cannot start TLS in TLS: Cloudflare Workers start it once for each socket"));
  }
}

function start(socket: WorkersSocket, { serverName }: TlsOptions): TlsHandshake {
  const conn = new WorkersTlsConn();
  const started = conn.open(() =>
    socket.startTls({ ...(serverName !== undefined && { expectedServerHostname: serverName }) })
  );
  return { started, close: () => conn.close() };
}

/** The IP address in "host:port", if it is one. */
function ipOf(address: string): string | undefined {
  return /^\[?([\da-f:.]*[\d:][\da-f:.]*?)\]?:\d+$/i.exec(address)?.[1];
}
