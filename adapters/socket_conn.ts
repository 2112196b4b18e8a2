import { SoundConn } from "../src/guarded_conn.ts";
import type { Conn, TlsOptions } from "../src/transport.ts";

/** A read that waits: `resolve` is told how many bytes are in `p`, or `null` at the end. */
export interface Reading {
  readonly p: Uint8Array;
  resolve(n: number | null): void;
  reject(reason: unknown): void;
}

/** A TLS handshake in progress; `close()` ends it. */
export interface TlsHandshake {
  readonly started: Promise<Conn>;
  close(): void;
}

/** A connection whose reads wait for the callbacks of a socket. */
export abstract class CallbackReader<S> extends SoundConn {
  /** The read that waits. */
  protected reading: Reading | undefined;
  protected gone: "closed" | "detached" | "lent" | "given to TLS" | undefined;
  #handshake: { close(): void } | undefined;

  /** Serves a read, at once or when bytes come. */
  protected abstract serve(reading: Reading): void;

  protected abstract failure(): Error;

  /** Closes the socket and rejects what is pending. */
  protected abstract destroy(): void;

  /** Why the connection cannot be handed over. */
  protected abstract whyBusy(): string | undefined;

  /** Gives the socket away; throws if there are unread bytes, or if it has ended. */
  protected abstract release(): S;

  close(): void {
    this.#handshake?.close();
    if (this.gone !== undefined && this.gone !== "lent") return;
    this.gone = "closed";
    this.destroy();
  }

  override forget(): void {
    this.takePending();
  }

  read(p: Uint8Array): Promise<number | null> {
    if (this.reading) return Promise.reject(new TypeError("Cannot read: another read is pending"));
    if (this.gone) return Promise.reject(this.failure());
    if (p.length === 0) return Promise.resolve(0);
    return new Promise((resolve, reject) => this.serve({ p, resolve, reject }));
  }

  /** Hands the socket to TLS; until the handshake has settled, `close()` ends it. */
  protected async secure(
    options: TlsOptions,
    load: () => Promise<(socket: S, options: TlsOptions) => TlsHandshake>,
  ): Promise<Conn> {
    const reason = this.whyBusy();
    if (reason) throw new TypeError(`Cannot start TLS: ${reason}`);
    this.gone = "given to TLS";
    let isClosed = false;
    this.#handshake = {
      close: () => {
        isClosed = true;
        this.destroy();
      },
    };
    try {
      const start = await load();
      if (isClosed) throw new Error("The connection is closed");
      this.#handshake = start(this.release(), options);
      return await (this.#handshake as TlsHandshake).started;
    } catch (error) {
      this.destroy();
      throw error;
    } finally {
      this.#handshake = undefined;
    }
  }

  protected busyBecause(writes: number, hasEnded: boolean): string | undefined {
    if (this.gone) return `the connection is ${this.gone}`;
    if (this.reading) return "a read is pending";
    if (writes > 0) return "a write is pending";
    return hasEnded ? "the connection has ended" : undefined;
  }

  /** Takes the pending read, if there is one. */
  protected takePending(): Reading | undefined {
    const reading = this.reading;
    this.reading = undefined;
    return reading;
  }
}
