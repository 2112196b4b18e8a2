import type { Conn } from "../transport.ts";

/** The writing side of a tunnel. It ends once, by our FIN or by an error, which it remembers. */
export class WriteSide {
  /** What went wrong. */
  error: unknown;
  #pending = 0;
  #closing: Promise<void> | undefined;
  #isOver = false;

  /** Whether a write is pending. */
  get isBusy(): boolean {
    return this.#pending > 0;
  }

  /** Whether our FIN was asked for. */
  get isClosed(): boolean {
    return this.#closing !== undefined;
  }

  /** Whether nothing more is going to leave. */
  get isOver(): boolean {
    return this.#isOver && this.#pending === 0;
  }

  /** A write begins; {@linkcode finish} or {@linkcode fail} ends it. */
  start(): void {
    this.#pending++;
  }

  finish(): void {
    this.#pending--;
  }

  /** Gives the error. */
  fail(error: unknown): unknown {
    this.#pending--;
    return this.#failed(error);
  }

  closeWrite(conn: Conn): Promise<void> {
    return this.#closing ??= this.#closeWrite(conn);
  }

  async #closeWrite(conn: Conn): Promise<void> {
    try {
      if (this.error !== undefined) throw this.error;
      await conn.closeWrite();
      this.#isOver = true;
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** What the peer sent before may still be read. */
  #failed(error: unknown): unknown {
    if (error instanceof TypeError) return error;
    this.error ??= error;
    this.#isOver = true;
    return error;
  }
}
