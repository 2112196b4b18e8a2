import type { Socket } from "node:net";

/** Thrown to leave the script of a connection that is over. */
export class ConnectionOver extends Error {
  override name = "ConnectionOver";
}

/**
 * What a client sends during the handshake, handed out by the byte. It always reads, so that the end of a client is
 * noticed even while the proxy is silent.
 */
export class Reader {
  /** Settles when the client ended its side or the connection closed. */
  readonly gone: Promise<void>;
  readonly #socket: Socket;
  readonly #isDatagram: boolean;
  readonly #receive: (chunk: Uint8Array) => void;
  #chunks: Uint8Array[] = [];
  #current: Uint8Array = EMPTY;
  #started = false;
  #isGone = false;
  #wake = () => {};

  constructor(socket: Socket, isDatagram: boolean, onChunk: (chunk: Uint8Array) => void) {
    this.#socket = socket;
    this.#isDatagram = isDatagram;
    this.#receive = (chunk) => {
      const bytes = Uint8Array.from(chunk);
      onChunk(bytes);
      this.#chunks.push(bytes);
      this.#wake();
    };
    socket.on("data", this.#receive);
    this.gone = new Promise((resolve) => {
      for (const event of ["end", "close"]) {
        socket.once(event, () => {
          this.#isGone = true;
          this.#wake();
          resolve();
        });
      }
    });
  }

  /** Whether the client ended its side or the connection closed. */
  get isGone(): boolean {
    return this.#isGone;
  }

  /** Starts the next message; where one receive is one message, what is left of the last one is dropped. */
  beginMessage(): void {
    if (!this.#isDatagram) return;
    this.#current = EMPTY;
    this.#started = false;
  }

  /** The next `length` bytes of the message. */
  async readFull(length: number): Promise<Uint8Array> {
    while (this.#current.length < length) {
      if (this.#started && this.#isDatagram) throw new ConnectionOver("A fragment of a message");
      this.#current = concat(this.#current, await this.#next());
      this.#started = true;
    }
    const taken = this.#current.subarray(0, length);
    this.#current = this.#current.subarray(length);
    return taken;
  }

  /** Whether more than the message was received already. */
  get hasMore(): boolean {
    return this.#current.length + this.#chunks.length > 0;
  }

  /** Stops reading and gives what was received and not taken. */
  detach(): Uint8Array {
    this.#socket.pause();
    this.#socket.off("data", this.#receive);
    this.beginMessage();
    return concat(this.#current, ...this.#chunks);
  }

  async #next(): Promise<Uint8Array> {
    while (true) {
      const chunk = this.#chunks.shift();
      if (chunk) return chunk;
      if (this.#isGone) throw new ConnectionOver("The client is gone");
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}

const EMPTY = new Uint8Array(0);

function concat(...parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
