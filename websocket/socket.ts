import { isBytes } from "../src/arguments.ts";
import { cannot } from "../src/errors.ts";
import type { Bytes, Conn } from "../src/transport.ts";
import { closeEvent, errorEvent, messageEvent } from "./events.ts";
import { encodeClose, encodeFrame, FrameError, FrameReader, OPCODE } from "./frames.ts";
import { open, type Setup, type Wish } from "./handshake.ts";

const [CONNECTING, OPEN, CLOSING, CLOSED] = [0, 1, 2, 3] as const;

/** How long it waits for the peer's Close frame, and then for the end of the connection. */
const CLOSE_TIMEOUT = 10_000;
const END_TIMEOUT = 1_000;

type Handler = ((event: Event) => unknown) | null;

/** One WebSocket, from its handshake to its end. */
export class Socket extends EventTarget {
  readonly #url: string;
  readonly #origin: string;
  readonly #maxMessage: number;
  readonly #giveUp = new AbortController();
  readonly #handlers = new Map<string, Handler>();
  readonly #done: () => void;
  #readyState: number = CONNECTING;
  #protocol = "";
  #binaryType: "blob" | "arraybuffer" = "blob";
  #bufferedAmount = 0;
  #conn: Conn | undefined;
  #queue: Promise<void> = Promise.resolve();
  #pong: Uint8Array | undefined;
  #isCloseSent = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Begins to connect; `done` is called when it is closed. */
  constructor(setup: Setup, wish: Wish, done: () => void) {
    super();
    this.#url = wish.url.href;
    this.#origin = `${wish.url.protocol}//${wish.url.host}`;
    this.#maxMessage = setup.maxMessage;
    this.#done = done;
    void this.#run(setup, wish);
  }

  get url(): string {
    return this.#url;
  }

  get readyState(): number {
    return this.#readyState;
  }

  get protocol(): string {
    return this.#protocol;
  }

  /** None is supported. */
  get extensions(): string {
    return "";
  }

  get bufferedAmount(): number {
    return this.#bufferedAmount;
  }

  get binaryType(): "blob" | "arraybuffer" {
    return this.#binaryType;
  }

  set binaryType(type: "blob" | "arraybuffer") {
    if (type === "blob" || type === "arraybuffer") this.#binaryType = type; // what else there is has no effect
  }

  send(data: string | Blob | ArrayBuffer | ArrayBufferView): void {
    if (this.#readyState === CONNECTING) {
      throw new DOMException("Cannot send: it is still connecting", "InvalidStateError");
    }
    if (isBlob(data)) {
      const { size } = data;
      return this.#send(size, async () => encodeFrame(OPCODE.BINARY, new Uint8Array(await data.arrayBuffer())));
    }
    const isText = !(data instanceof ArrayBuffer || ArrayBuffer.isView(data) || isBuffer(data));
    const payload = isText ? new TextEncoder().encode(String(data)) : bytesOf(data);
    const frame = this.#readyState === OPEN ? encodeFrame(isText ? OPCODE.TEXT : OPCODE.BINARY, payload) : payload;
    this.#send(payload.length, () => frame);
  }

  close(code?: number, reason?: string): void {
    if (code !== undefined && code !== 1000 && !(code >= 3000 && code <= 4999)) {
      throw new DOMException(cannot("code", "1000 or 3000 to 4999", code), "InvalidAccessError");
    }
    const payload = encodeClose(code ?? (reason ? 1000 : null), reason);
    if (payload.length > 125) throw new DOMException("Cannot use reason: it has more than 123 bytes", "SyntaxError");
    if (this.#readyState >= CLOSING) return;
    const wasOpen = this.#readyState === OPEN;
    this.#readyState = CLOSING;
    if (!wasOpen) return this.#giveUp.abort(new Error("The WebSocket was closed before it was open"));
    this.#sendClose(payload);
    this.#timer = setTimeout(() => this.#conn!.close(), CLOSE_TIMEOUT);
  }

  /** Ends it at once, without a Close frame. */
  destroy(reason: Error): void {
    if (this.#readyState < CLOSING) this.#readyState = CLOSING;
    this.#giveUp.abort(reason);
    this.#conn?.close();
  }

  get onopen(): Handler {
    return this.#handlers.get("open") ?? null;
  }

  set onopen(handler: Handler) {
    this.#handle("open", handler);
  }

  get onmessage(): Handler {
    return this.#handlers.get("message") ?? null;
  }

  set onmessage(handler: Handler) {
    this.#handle("message", handler);
  }

  get onerror(): Handler {
    return this.#handlers.get("error") ?? null;
  }

  set onerror(handler: Handler) {
    this.#handle("error", handler);
  }

  get onclose(): Handler {
    return this.#handlers.get("close") ?? null;
  }

  set onclose(handler: Handler) {
    this.#handle("close", handler);
  }

  /** The first handler says when among the listeners it is called, as in HTML. */
  #handle(type: string, handler: Handler): void {
    if (!this.#handlers.has(type)) this.addEventListener(type, (event) => this.#handlers.get(type)?.call(this, event));
    this.#handlers.set(type, typeof handler === "function" ? handler : null);
  }

  async #run(setup: Setup, wish: Wish): Promise<void> {
    try {
      const { conn, rest, protocol } = await open(setup, wish, this.#giveUp.signal);
      this.#conn = conn;
      this.#protocol = protocol;
      if (this.#readyState !== CONNECTING) throw this.#giveUp.signal.reason;
      this.#readyState = OPEN;
      this.dispatchEvent(new Event("open"));
      await this.#receive(new FrameReader(conn, rest, this.#maxMessage));
    } catch (error) {
      if (error instanceof FrameError) await this.#refuse(error);
      const { aborted, reason } = this.#giveUp.signal;
      this.#end(1006, "", false, aborted ? reason : error);
    }
  }

  async #receive(frames: FrameReader): Promise<void> {
    for (;;) {
      const it = await frames.next();
      if (it.kind === "end") return this.#end(1006, "", false, this.#giveUp.signal.reason);
      if (it.kind === "message" && this.#readyState === OPEN) {
        this.dispatchEvent(messageEvent(this.#dataOf(it.data), this.#origin));
      }
      if (it.kind === "ping") this.#answer(it.payload);
      if (it.kind !== "close") continue;
      if (this.#readyState === OPEN) this.#readyState = CLOSING;
      if (!this.#isCloseSent) this.#sendClose(encodeClose(it.code));
      await this.#queue;
      await this.#within(END_TIMEOUT, frames.drain()); // the server closes first (RFC 6455 section 7.1.1)
      return this.#end(it.code ?? 1005, it.reason, true);
    }
  }

  #dataOf(data: string | Bytes): string | Blob | ArrayBuffer {
    if (typeof data === "string") return data;
    return this.#binaryType === "blob" ? new Blob([data]) : data.buffer as ArrayBuffer;
  }

  /** Tells the server what it did wrong, if it still listens. */
  async #refuse({ code, message }: FrameError): Promise<void> {
    if (!this.#isCloseSent) this.#sendClose(encodeClose(code, message));
    await this.#within(END_TIMEOUT, this.#queue);
  }

  /** Waits for a promise, and for no longer. */
  async #within(ms: number, promise: Promise<void>): Promise<void> {
    clearTimeout(this.#timer);
    const late = new Promise<void>((resolve) => this.#timer = setTimeout(resolve, ms));
    await Promise.race([promise.catch(() => {}), late]);
    clearTimeout(this.#timer);
  }

  /** Of several pings while nothing can be sent, the last is answered (RFC 6455 section 5.5.3). */
  #answer(payload: Uint8Array): void {
    const isQueued = this.#pong !== undefined;
    this.#pong = payload;
    if (isQueued || this.#isCloseSent) return;
    this.#enqueue(() => {
      const pong = encodeFrame(OPCODE.PONG, this.#pong!);
      this.#pong = undefined;
      return pong;
    });
  }

  #sendClose(payload: Uint8Array): void {
    this.#isCloseSent = true;
    this.#enqueue(() => encodeFrame(OPCODE.CLOSE, payload));
  }

  /** What is sent too late only counts. */
  #send(length: number, frame: () => Uint8Array | Promise<Uint8Array>): void {
    this.#bufferedAmount += length;
    if (this.#readyState === OPEN) this.#enqueue(frame, () => this.#bufferedAmount -= length);
  }

  #enqueue(frame: () => Uint8Array | Promise<Uint8Array>, sent?: () => void): void {
    const write = async () => {
      if (this.#readyState === CLOSED) return;
      await this.#conn!.write(await frame());
      sent?.();
    };
    this.#queue = this.#queue.then(write).catch(() => this.#conn!.close()); // which the reader notices
  }

  #end(code: number, reason: string, wasClean: boolean, error?: unknown): void {
    if (this.#readyState === CLOSED) return;
    this.#readyState = CLOSED;
    clearTimeout(this.#timer);
    this.#conn?.close();
    this.#done();
    if (error !== undefined) this.dispatchEvent(errorEvent(error));
    this.dispatchEvent(closeEvent({ code, reason, wasClean }));
  }
}

function isBlob(data: unknown): data is Blob {
  return Object.prototype.toString.call(data) === "[object Blob]" || data instanceof Blob;
}

/** Also of another realm. */
function isBuffer(data: unknown): boolean {
  return /^\[object (Shared)?ArrayBuffer\]$/.test(Object.prototype.toString.call(data)) || isBytes(data);
}

function bytesOf(data: unknown): Uint8Array {
  if (!ArrayBuffer.isView(data)) return new Uint8Array(data as ArrayBuffer);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
