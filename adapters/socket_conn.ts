import { SoundConn } from "../src/guarded_conn.ts";
import type { Conn, TlsOptions } from "../src/transport.ts";

/** A read that waits: `resolve` is told how many bytes are in `p`, or `null` at the end. */
export interface Reading {
  readonly p: Uint8Array;
  resolve(n: number | null): void;
  reject(reason: unknown): void;
}

/** A handshake of TLS under way: `close()` ends it. */
export interface Securing {
  readonly started: Promise<Conn>;
  close(): void;
}

/** A connection that reads for a callback, at once if there is something; promises are made of that. */
export abstract class Receiver<S> extends SoundConn {
  /** The read that waits. */
  protected reading: Reading | undefined;
  protected gone: "closed" | "detached" | "given to TLS" | undefined;
  #securing: { close(): void } | undefined;

  /** Serves a read into a place with room, at once or when something comes. */
  protected abstract serve(reading: Reading): void;

  protected abstract failure(): Error;

  /** Closes the socket and ends what waits. */
  protected abstract destroy(): void;

  /** Why the connection cannot be handed over. */
  protected abstract obstacle(): string | undefined;

  /** Gives the socket, which is nobody's now; throws if there is something that nobody has read, or if it has ended. */
  protected abstract letGo(): S;

  close(): void {
    this.#securing?.close();
    if (this.gone) return;
    this.gone = "closed";
    this.destroy();
  }

  read(p: Uint8Array): Promise<number | null> {
    if (this.reading) return Promise.reject(new TypeError("Cannot read: another read is pending"));
    if (this.gone) return Promise.reject(this.failure());
    if (p.length === 0) return Promise.resolve(0);
    return new Promise((resolve, reject) => this.serve({ p, resolve, reject }));
  }

  /** Hands the socket to TLS; until that has settled, `close()` ends it. */
  protected async secure(
    options: TlsOptions,
    load: () => Promise<(socket: S, options: TlsOptions) => Securing>,
  ): Promise<Conn> {
    const obstacle = this.obstacle();
    if (obstacle) throw new TypeError(`Cannot start TLS: ${obstacle}`);
    this.gone = "given to TLS";
    let isClosed = false;
    this.#securing = {
      close: () => {
        isClosed = true;
        this.destroy();
      },
    };
    try {
      const start = await load();
      if (isClosed) throw new Error("The connection is closed");
      this.#securing = start(this.letGo(), options);
      return await (this.#securing as Securing).started;
    } catch (error) {
      this.destroy();
      throw error;
    } finally {
      this.#securing = undefined;
    }
  }

  protected obstacleOf(writes: number, hasEnded: boolean): string | undefined {
    if (this.gone) return `the connection is ${this.gone}`;
    if (this.reading) return "a read is pending";
    if (writes > 0) return "a write is pending";
    return hasEnded ? "the connection has ended" : undefined;
  }

  /** The read that waited, which waits no longer. */
  protected waited(): Reading | undefined {
    const reading = this.reading;
    this.reading = undefined;
    return reading;
  }
}

/** The error of TLS behind bytes that somebody may have put there. */
export function unreadPlaintext(): Error {
  const message = "Cannot start TLS: there are bytes that nobody has read";
  return Object.assign(new Error(message), { code: "UNREAD_PLAINTEXT" });
}

/** The error of TLS on a connection that has ended. */
export function endedBeforeTls(): Error {
  return Object.assign(new Error("Cannot start TLS: the connection has ended"), { code: "ECONNRESET" });
}
