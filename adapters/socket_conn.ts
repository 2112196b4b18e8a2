import { SoundConn } from "../src/guarded_conn.ts";
import type { Conn, Steps, TlsOptions } from "../src/transport.ts";

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

  abstract write(p: Uint8Array): Promise<number>;

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
    return new Promise((resolve, reject) => this.receive({ p, resolve, reject }));
  }

  converse<T>(steps: Steps<T>, ended: () => unknown): Promise<T> {
    return new Promise((resolve, reject) => new Talk(this, steps, ended, resolve, reject).go());
  }

  receive(reading: Reading): void {
    if (this.reading) reading.reject(new TypeError("Cannot read: another read is pending"));
    else if (this.gone) reading.reject(this.failure());
    else if (reading.p.length === 0) reading.resolve(0);
    else this.serve(reading);
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

const ROOM = 22; // a reply with an IPv6 address

/** A conversation that goes on as soon as its bytes are there, without a promise for each read. */
class Talk<T> implements Reading {
  p: Uint8Array = new Uint8Array(ROOM);
  readonly #receiver: Receiver<unknown>;
  readonly #steps: Steps<T>;
  readonly #ended: () => unknown;
  readonly #resolve: (result: T) => void;
  readonly #reject: (reason: unknown) => void;
  #answer = this.p;
  #got = 0;
  #have = 0;
  #most = 0;

  constructor(
    receiver: Receiver<unknown>,
    steps: Steps<T>,
    ended: () => unknown,
    resolve: (result: T) => void,
    reject: (reason: unknown) => void,
  ) {
    this.#receiver = receiver;
    this.#steps = steps;
    this.#ended = ended;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Takes the next step, or waits for what the last one has to have. */
  go(): void {
    try {
      while (this.#got >= this.#have) {
        const step = this.#steps.next(this.#answer);
        if (step.done) return this.#resolve(step.value);
        const { write, have, most = have } = step.value;
        this.#have = have;
        this.#most = most;
        if (most > this.#answer.length) this.#grow(most);
        if (write === undefined) continue;
        this.#got = 0;
        this.#receiver.write(write).catch(this.#reject);
      }
    } catch (error) {
      return this.#reject(error);
    }
    this.p = this.#answer.subarray(this.#got, this.#most);
    this.#receiver.receive(this);
  }

  resolve(n: number | null): void {
    if (n === null) return this.#reject(this.#ended());
    this.#got += n;
    this.go();
  }

  reject(reason: unknown): void {
    this.#reject(reason);
  }

  #grow(length: number): void {
    const answer = new Uint8Array(length);
    answer.set(this.#answer);
    this.#answer = answer;
  }
}
