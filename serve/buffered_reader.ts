import type { Conn } from "../src/transport.ts";
import { decodeLatin1 } from "./latin1.ts";

/** Takes what comes next: a chunk, `null` at the end, or why nothing more comes. */
export interface Receiver {
  resolve(chunk: Uint8Array | null): void;
  reject(reason: unknown): void;
}

/** Gives bytes as they come, to one receiver after another: a chunk is valid until the next call. */
export interface Source {
  /** Gives what comes next; without a promise, since those of an idle tunnel would take more memory than its sockets. */
  receive(receiver: Receiver): void;
}

/** The same as a promise. */
function nextOf(source: Source): Promise<Uint8Array | null> {
  return new Promise((resolve, reject) => source.receive({ resolve, reject }));
}

/** What was received breaks the rules of its protocol. */
export class Malformed extends Error {}

/** What was received is longer than allowed. */
export class TooLong extends Malformed {}

const [SMALLEST, LARGEST] = [1_024, 65_536];

/**
 * What a connection receives, chunk by chunk. A read holds its buffer for as long as it waits, so the buffer is as small as
 * what comes: a chunk that fills it makes it four times as large, one that takes a quarter or less makes it smaller again.
 */
export function sourceOf(conn: Conn): Source {
  return new ConnSource(conn);
}

class ConnSource implements Source {
  readonly #conn: Conn;
  #buffer = new Uint8Array(SMALLEST);
  #size = SMALLEST;
  #receiver: Receiver | undefined;

  constructor(conn: Conn) {
    this.#conn = conn;
  }

  receive(receiver: Receiver): void {
    if (this.#size !== this.#buffer.length) this.#buffer = new Uint8Array(this.#size);
    this.#receiver = receiver;
    this.#conn.read(this.#buffer).then(this.#received, this.#failed);
  }

  // made once, since reading is what is done most
  readonly #received = (n: number | null): void => this.#receiver!.resolve(n === null ? null : this.#filled(n));
  readonly #failed = (reason: unknown): void => this.#receiver!.reject(reason);

  #filled(n: number): Uint8Array {
    const { length } = this.#buffer;
    if (n === length) this.#size = Math.min(length * 4, LARGEST);
    else if (n <= length / 4) this.#size = Math.max(length / 4, SMALLEST);
    return this.#buffer.subarray(0, n);
  }
}

const NOTHING = new Uint8Array();
const MAX_FIELDS = 500;

/** Reads bytes, lines and heads from a source. */
export class BufferedReader implements Source {
  /** Whether lines may end in LF alone (RFC 9112 section 2.2), as those of responses of old servers do. */
  readonly isLenient: boolean;
  readonly #source: Source;
  #rest: Uint8Array = NOTHING;

  constructor(source: Source, isLenient = false) {
    this.#source = source;
    this.isLenient = isLenient;
  }

  /** Whether nothing is buffered. */
  get isEmpty(): boolean {
    return this.#rest.length === 0;
  }

  receive(receiver: Receiver): void {
    this.next().then((chunk) => receiver.resolve(chunk), (reason) => receiver.reject(reason));
  }

  /** All that follows. */
  rest(): Source {
    return this.isEmpty ? this.#source : this;
  }

  /** At least one byte and `max` at the most, or `null` at the end. */
  next(max: number = Infinity): Promise<Uint8Array | null> {
    if (!this.isEmpty) return Promise.resolve(this.#take(this.#rest, max));
    const next = nextOf(this.#source);
    return max === Infinity ? next : next.then((chunk) => chunk && this.#take(chunk, max));
  }

  #take(chunk: Uint8Array, max: number): Uint8Array {
    this.#rest = chunk.length > max ? chunk.subarray(max) : NOTHING;
    return chunk.length > max ? chunk.subarray(0, max) : chunk;
  }

  /** The next byte, which stays in the buffer; `null` at the end. */
  async peek(): Promise<number | null> {
    if (this.isEmpty) this.#rest = await nextOf(this.#source) ?? this.#rest;
    return this.#rest[0] ?? null;
  }

  /** Exactly `n` bytes. */
  async readFull(n: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(n);
    for (let have = 0; have < n;) {
      const chunk = await this.next(n - have);
      if (chunk === null) throw new Malformed("it ends too early");
      bytes.set(chunk, have);
      have += chunk.length;
    }
    return bytes;
  }

  /** The lines up to an empty one: up to 500, and `max` bytes together; `null` if the source ends before the first. */
  async readHead(max: number): Promise<string[] | null> {
    const lines: string[] = [];
    for (let left = max;;) {
      const line = await this.readLine(left);
      if (line === null && lines.length === 0) return null;
      if (line === null) throw new Malformed("it ends too early");
      if (line === "") return lines;
      if (lines.push(line) > MAX_FIELDS + 1) throw new TooLong(`there are more than ${MAX_FIELDS} fields`);
      left -= line.length + 2;
    }
  }

  /** A line of up to `max` bytes, without its end, a character for each byte; a CR may be in it. `null` at the end. */
  async readLine(max: number): Promise<string | null> {
    for (let line = "";;) {
      const chunk = await this.next();
      if (chunk === null && line === "") return null;
      if (chunk === null) throw new Malformed("it ends too early");
      const end = chunk.indexOf(0x0a) + 1 || chunk.length;
      this.#rest = end < chunk.length ? chunk.subarray(end) : NOTHING; // a view of nothing holds the chunk
      line += decodeLatin1(chunk.subarray(0, end));
      if (line.length > max + 2) throw new TooLong("a line is too long");
      if (!line.endsWith("\n")) continue;
      if (line.endsWith("\r\n")) return line.slice(0, -2);
      if (!this.isLenient) throw new Malformed("a line does not end in CR LF");
      return line.slice(0, -1);
    }
  }
}
