import type { Timed } from "../deadline_timer.ts";
import type { CloseReason } from "../events.ts";
import { type Link, LinkedList } from "../linked_list.ts";
import type { Idle } from "./idle_list.ts";
import type { Pool } from "./pool.ts";

/** A connection that a pool keeps for later. */
export interface Pooled {
  /** The proxy that it is a connection to. */
  readonly proxy: object;
  /** How long it may be unused, in milliseconds, if others need its place who cannot say so. */
  readonly idleLimit?: number | undefined;
  /** When it is too old to be handed out again, on the clock of `performance.now()`. */
  readonly expires: number;
  /** Whether it is neither too old to be kept nor unwanted. */
  readonly mayBeKept: boolean;
  /** Watches it while it is idle; `onLost` is called if the peer speaks, ends or resets, or if what is below it is closed. */
  watch(onLost: () => void): void;
  /** Ends the watch. */
  unwatch(): void;
  /** Its holder keeps it for later; `evicted` is called if what is below it is closed for another. */
  markIdle(evicted: () => void): void;
  /** Its holder uses it again. */
  markInUse(): void;
  /** Closes it; the first reason counts. */
  close(reason: CloseReason): void;
}

/**
 * The right to one connection to a proxy. Each hand-out is a new object, so that `release()` and `destroy()` act once:
 * the first call counts.
 */
export class Lease<C extends Pooled> {
  readonly key: string;
  /**
   * `"reserved"`: for a connection that is opened ahead of need. `"resting"`: its holder keeps it for later. `"idle"`: the
   * pool does.
   */
  state: "open" | "reserved" | "resting" | "idle" | "done" = "open";
  /** Ends the dial that a reserved one is for. */
  stop: (() => void) | undefined;
  /** Tells the holder of a resting one that it is closed. */
  evicted: (() => void) | undefined;
  /** Since when it is resting, on the clock of `performance.now()`. */
  since = 0;
  /** Where it stands while it is resting. */
  resting: Link<Lease<C>> | undefined;
  /** Where it stands while it is idle. */
  idle: Idle<C> | undefined;
  /** Where it stands among the unused ones of its proxy. */
  unused: Link<Lease<C>> | undefined;
  /** When it ends if it is still unused. */
  limit: Timed | undefined;
  readonly #pool: Pool<C>;
  #conn: C | undefined;

  constructor(pool: Pool<C>, key: string, conn?: C) {
    this.#pool = pool;
    this.key = key;
    this.#conn = conn;
  }

  /** The connection, once there is one. */
  get conn(): C | undefined {
    return this.#conn;
  }

  set conn(conn: C | undefined) {
    this.#pool.changed(this, conn);
    this.#conn = conn;
  }

  /** Takes a warm connection out, which is the holder's to close from then on. */
  takeConn(): C | undefined {
    const { conn } = this;
    if (conn !== undefined) this.conn = undefined;
    return conn;
  }

  /** Gives the connection back to the pool, which closes it if it is too old or the pool is closed. */
  release(): void {
    this.#pool.release(this);
  }

  /** Its holder keeps the connection, and gives way to whoever waits for a place; `evicted` is called then. */
  markIdle(evicted: () => void): void {
    this.#pool.markIdle(this, evicted);
  }

  /** Its holder uses the connection again; `false` if it is closed. */
  markInUse(): boolean {
    return this.#pool.markInUse(this);
  }

  /** Closes the connection; the place goes to the next in line. */
  destroy(reason: CloseReason): void {
    this.#pool.destroy(this, reason);
  }

  /** Tells the holder of a resting one, once, that it has ended. */
  notifyEvicted(): void {
    const { evicted } = this;
    this.evicted = undefined;
    evicted?.();
  }
}

/** What a request wants: an idle tunnel with its key if it may, else a warm connection if it may, else an empty lease. */
export interface Want<C> {
  readonly key: string;
  readonly reuse: boolean;
  readonly mayBeWarm: boolean;
  /** The only proxy whose connections will do, if there is one. */
  readonly proxy?: object | undefined;
  /** Whether this connection will do. */
  suits(conn: C): boolean;
}

type Waiter<C, T> = { want: Want<C>; resolve(given: T): void; reject(reason: unknown): void };

/** Those who wait for a lease, in the order in which they are served. */
export class Queue<C, T> {
  readonly #waiters = new LinkedList<Waiter<C, T>>();

  get length(): number {
    return this.#waiters.size;
  }

  /** What the next one wants. */
  get first(): Want<C> | undefined {
    return this.#waiters.first?.value.want;
  }

  /** Gives what it is served with; rejects with the reason of the signal. `first`: before all others. */
  wait(want: Want<C>, signal: AbortSignal, first: boolean): Promise<T> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const settled = () => signal.removeEventListener("abort", abort);
      const waiter: Waiter<C, T> = {
        want,
        resolve: (given) => (settled(), resolve(given)),
        reject: (reason) => (settled(), reject(reason)),
      };
      const abort = () => {
        this.#waiters.remove(link);
        waiter.reject(signal.reason);
      };
      signal.addEventListener("abort", abort);
      const link = first ? this.#waiters.unshift(waiter) : this.#waiters.push(waiter);
    });
  }

  /** Serves the next one. */
  serve(given: T): void {
    const link = this.#waiters.first!;
    this.#waiters.remove(link);
    link.value.resolve(given);
  }

  /** Rejects all, each with an error of its own. */
  close(error: () => Error): void {
    for (let link; (link = this.#waiters.first) !== undefined;) {
      this.#waiters.remove(link);
      link.value.reject(error());
    }
  }
}
