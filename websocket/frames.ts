import type { Bytes, Conn } from "../src/transport.ts";

/** The opcodes of RFC 6455 section 5.2. */
export const OPCODE = { CONTINUATION: 0x0, TEXT: 0x1, BINARY: 0x2, CLOSE: 0x8, PING: 0x9, PONG: 0xa } as const;

/** What a server sent breaks RFC 6455; `code` is that of the Close frame that says so (section 7.4.1). */
export class FrameError extends Error {
  readonly code: 1002 | 1007 | 1009;

  constructor(code: 1002 | 1007 | 1009, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * A whole frame of a client, which is masked (RFC 6455 section 5.2):
 *
 * ```text
 * +-+-+-+-+-------+-+-------------+-------------------------------+
 * |F|R|R|R| opcode|M| Payload len | Extended payload length       |
 * |1|0|0|0|  (4)  |1|     (7)     | (0, 16 or 64)                 |
 * +-+-+-+-+-------+-+-------------+-------------------------------+
 * | Masking-key (32)              | Payload, masked               |
 * +-------------------------------+-------------------------------+
 * ```
 */
export function encodeFrame(opcode: number, payload: Uint8Array): Bytes {
  const { length } = payload;
  const extended = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const frame = new Uint8Array(6 + extended + length);
  const view = new DataView(frame.buffer);
  frame[0] = 0x80 | opcode;
  frame[1] = 0x80 | (extended === 0 ? length : extended === 2 ? 126 : 127);
  if (extended === 2) view.setUint16(2, length);
  if (extended === 8) view.setBigUint64(2, BigInt(length));
  const mask = crypto.getRandomValues(frame.subarray(2 + extended, 6 + extended));
  const masked = frame.subarray(6 + extended);
  for (let i = 0; i < length; i++) masked[i] = payload[i]! ^ mask[i & 3]!;
  return frame;
}

/** The payload of a Close frame (section 5.5.1); `null` is none. */
export function encodeClose(code: number | null, reason = ""): Uint8Array {
  if (code === null) return new Uint8Array();
  const text = new TextEncoder().encode(reason);
  const payload = new Uint8Array(2 + text.length);
  payload.set([code >> 8, code & 0xff]);
  payload.set(text, 2);
  return payload;
}

/** What comes from a server: a message, a control frame, or the end of the connection. */
export type Incoming =
  | { readonly kind: "message"; readonly data: string | Bytes }
  | { readonly kind: "ping"; readonly payload: Bytes }
  | { readonly kind: "pong" }
  | { readonly kind: "close"; readonly code: number | null; readonly reason: string }
  | { readonly kind: "end" };

const CHUNK = 16_384;

/** Reads what a server sends, as strictly as RFC 6455 wants it. */
export class FrameReader {
  readonly #conn: Pick<Conn, "read">;
  readonly #maxMessage: number;
  #buffer: Uint8Array = new Uint8Array(CHUNK);
  #bytes: Uint8Array;
  #message: Message | undefined;

  /** `rest`: bytes that were read before. */
  constructor(conn: Pick<Conn, "read">, rest: Uint8Array, maxMessage: number) {
    this.#conn = conn;
    this.#bytes = rest;
    this.#maxMessage = maxMessage;
  }

  /** The next one. Throws a {@linkcode FrameError}, or what a read throws. */
  async next(): Promise<Incoming> {
    for (;;) {
      const start = await this.#full(2);
      if (start === null) return END;
      const [first, second] = start as unknown as [number, number];
      if ((first & 0x70) !== 0) throw new FrameError(1002, "a reserved bit of a frame is set");
      if ((second & 0x80) !== 0) throw new FrameError(1002, "a frame of the server is masked");
      const isLast = (first & 0x80) !== 0;
      const opcode = first & 0x0f;
      const short = second & 0x7f;
      if (opcode >= OPCODE.CLOSE) {
        if (!isLast || short > 125) throw new FrameError(1002, "a control frame is fragmented or too long");
        const payload = await this.#full(short);
        return payload === null ? END : controlOf(opcode, payload);
      }
      if (opcode > OPCODE.BINARY) throw new FrameError(1002, "the opcode of a frame is not known");
      if ((opcode === OPCODE.CONTINUATION) !== (this.#message !== undefined)) {
        throw new FrameError(1002, "the fragments of a message are out of order");
      }
      const length = await this.#lengthOf(short);
      if (length === null) return END;
      const message = this.#message ??= new Message(opcode === OPCODE.TEXT, this.#maxMessage);
      message.expect(length);
      for (let left = length; left > 0;) {
        const chunk = await this.#some(left);
        if (chunk === null) return END;
        message.add(chunk);
        left -= chunk.length;
      }
      if (!isLast) continue;
      this.#message = undefined;
      return { kind: "message", data: message.end() };
    }
  }

  /** Reads and drops everything up to the end. */
  async drain(): Promise<void> {
    while (await this.#conn.read(this.#buffer) !== null);
  }

  async #lengthOf(short: number): Promise<number | null> {
    if (short < 126) return short;
    const bytes = await this.#full(short === 126 ? 2 : 8);
    if (bytes === null) return null;
    const view = new DataView(bytes.buffer);
    if (short === 126) return view.getUint16(0);
    if (bytes[0]! > 0x7f) throw new FrameError(1002, "the length of a frame is malformed");
    return Number(view.getBigUint64(0));
  }

  /** Up to `max` bytes, valid until the next call; `null` at the end. */
  async #some(max: number): Promise<Uint8Array | null> {
    if (this.#bytes.length === 0) {
      const n = await this.#conn.read(this.#buffer);
      if (n === null) return null;
      this.#bytes = this.#buffer.subarray(0, n);
    }
    const taken = this.#bytes.subarray(0, max);
    this.#bytes = this.#bytes.subarray(taken.length);
    return taken;
  }

  /** Exactly `n` bytes, a copy; `null` if the end comes before. */
  async #full(n: number): Promise<Bytes | null> {
    const bytes = new Uint8Array(n);
    for (let have = 0; have < n;) {
      const chunk = await this.#some(n - have);
      if (chunk === null) return null;
      bytes.set(chunk, have);
      have += chunk.length;
    }
    return bytes;
  }
}

const END: Incoming = { kind: "end" };

/** A message that is on its way, in one frame or more. Nothing is kept before it has come. */
class Message {
  readonly #decoder: TextDecoder | undefined;
  readonly #max: number;
  readonly #parts: Uint8Array[] = [];
  #text = "";
  #length = 0;

  constructor(isText: boolean, max: number) {
    if (isText) this.#decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    this.#max = max;
  }

  expect(length: number): void {
    this.#length += length;
    if (this.#length > this.#max) throw new FrameError(1009, `a message is longer than ${this.#max} bytes`);
  }

  add(chunk: Uint8Array): void {
    if (this.#decoder === undefined) this.#parts.push(chunk.slice());
    else this.#text += decoded(() => this.#decoder!.decode(chunk as Bytes, { stream: true }));
  }

  end(): string | Bytes {
    if (this.#decoder !== undefined) return this.#text + decoded(() => this.#decoder!.decode());
    const bytes = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }
}

function decoded(decode: () => string): string {
  try {
    return decode();
  } catch {
    throw new FrameError(1007, "a text is no UTF-8");
  }
}

function controlOf(opcode: number, payload: Bytes): Incoming {
  if (opcode === OPCODE.PING) return { kind: "ping", payload };
  if (opcode === OPCODE.PONG) return { kind: "pong" };
  if (opcode !== OPCODE.CLOSE) throw new FrameError(1002, "the opcode of a frame is not known");
  if (payload.length === 0) return { kind: "close", code: null, reason: "" };
  const code = payload.length === 1 ? 0 : payload[0]! << 8 | payload[1]!;
  if (!isCloseCode(code)) throw new FrameError(1002, "the code of a Close frame is malformed");
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  return { kind: "close", code, reason: decoded(() => decoder.decode(payload.subarray(2))) };
}

/** Those that may be on the wire (section 7.4). */
function isCloseCode(code: number): boolean {
  return (code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code)) || (code >= 3000 && code <= 4999);
}
