import { type CloseReason, Place, type Pooled } from "./place.ts";

/** A parked tunnel only if its key is the same and reuse is asked for; else a place of its own. */
export interface Want {
  readonly key: string;
  readonly reuse: boolean;
}

export interface PoolLimits {
  readonly maxOpen: number;
  readonly maxIdle: number;
  readonly idleTimeout: number;
}

type Waiter<C extends Pooled> = { want: Want; resolve(place: Place<C>): void; reject(reason: unknown): void };

/**
 * Counts places, keeps waiters in order and parked tunnels for later. It opens nothing: who holds an empty place dials
 * into it. `open` (dialling, in use and parked) never exceeds `maxOpen`, and nobody waits while a place could be given.
 */
export class Pool<C extends Pooled> {
  readonly #limits: PoolLimits;
  readonly #held = new Set<Place<C>>();
  readonly #parked: Place<C>[] = []; // least recently used first
  readonly #waiters: Waiter<C>[] = [];
  readonly #ended: { conn: C; reason: CloseReason }[] = []; // still to be closed
  #closed: (() => Error) | undefined;
  #emptied: (() => void)[] = [];
  #reaper: { timer: ReturnType<typeof setTimeout>; due: number } | undefined;

  constructor(limits: PoolLimits) {
    this.#limits = limits;
  }

  /** What there is now. */
  get counts(): { opening: number; inUse: number; idle: number; waiting: number } {
    const opening = [...this.#held].filter((place) => place.conn === undefined).length;
    const inUse = this.#held.size - opening;
    return { opening, inUse, idle: this.#parked.length, waiting: this.#waiters.length };
  }

  /** A place at once, or `undefined` if one has to wait; throws once the pool is closed. */
  take(want: Want): Place<C> | undefined {
    if (this.#closed !== undefined) throw this.#closed();
    const place = this.#grant(want);
    this.#bury();
    return place;
  }

  /** A place when it is its turn; `first` is for those who have had a place and paused. */
  wait(want: Want, signal: AbortSignal, first: boolean): Promise<Place<C>> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const settled = () => signal.removeEventListener("abort", abort);
      const waiter: Waiter<C> = {
        want,
        resolve: (place) => (settled(), resolve(place)),
        reject: (reason) => (settled(), reject(reason)),
      };
      const abort = () => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        waiter.reject(signal.reason);
      };
      signal.addEventListener("abort", abort);
      if (first) this.#waiters.unshift(waiter);
      else this.#waiters.push(waiter);
    });
  }

  release(place: Place<C>): void {
    if (place.state !== "open") return;
    if (this.#closed !== undefined) return this.free(place, "client");
    if (place.conn!.expires <= performance.now()) return this.free(place, "evicted");
    place.state = "parked";
    place.since = performance.now();
    this.#held.delete(place);
    this.#parked.push(place);
    place.conn!.park(() => {
      if (place.state !== "parked") return;
      this.#end(place, "peer");
      this.#bury();
    });
    this.#pump();
    while (this.#parked.length > this.#limits.maxIdle) this.#end(this.#parked[0]!, "evicted");
    this.#arm();
    this.#bury();
  }

  free(place: Place<C>, reason: CloseReason): void {
    if (place.state !== "open") return;
    this.#end(place, reason);
    this.#pump();
    this.#bury();
  }

  /** Ends what is parked and rejects who waits, now and from now on, each with an error of its own. */
  close(error: () => Error): void {
    this.#closed ??= error;
    for (const place of [...this.#parked]) this.#end(place, "client");
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error());
    this.#bury();
  }

  /** Closes the tunnels in use. */
  closeHeld(): void {
    for (const place of [...this.#held]) if (place.conn !== undefined) this.free(place, "client");
  }

  /** Resolves when nothing is held any more. */
  emptied(): Promise<void> {
    return new Promise((resolve) => this.#held.size === 0 ? resolve() : this.#emptied.push(resolve));
  }

  #pump(): void {
    while (this.#waiters.length > 0) {
      const place = this.#grant(this.#waiters[0]!.want);
      if (place === undefined) return;
      this.#waiters.shift()!.resolve(place);
    }
  }

  #grant(want: Want): Place<C> | undefined {
    const place = (want.reuse ? this.#unpark(want.key) : undefined) ?? this.#empty(want.key);
    if (place !== undefined) this.#held.add(place);
    return place;
  }

  /** The place moves from the parked to a new holder: most recently used first. */
  #unpark(key: string): Place<C> | undefined {
    for (const place of this.#parked.toReversed()) {
      if (place.key !== key || this.#outlived(place)) continue;
      this.#unlist(place);
      place.conn!.unpark();
      place.state = "done";
      return new Place(this, key, place.conn);
    }
    return undefined;
  }

  #empty(key: string): Place<C> | undefined {
    if (this.#held.size + this.#parked.length >= this.#limits.maxOpen) {
      if (this.#parked.length === 0) return undefined;
      this.#end(this.#parked[0]!, "evicted");
    }
    return new Place(this, key);
  }

  #end(place: Place<C>, reason: CloseReason): void {
    if (place.state === "done") return;
    if (place.state === "parked") this.#unlist(place);
    else this.#held.delete(place);
    place.state = "done";
    if (place.conn !== undefined) this.#ended.push({ conn: place.conn, reason });
    if (this.#held.size === 0) { for (const resolve of this.#emptied.splice(0)) resolve(); }
  }

  /** Closes what has ended: last of all, since who is told of it may come back in here. */
  #bury(): void {
    for (let ended; (ended = this.#ended.shift());) ended.conn.close(ended.reason);
  }

  #unlist(place: Place<C>): void {
    this.#parked.splice(this.#parked.indexOf(place), 1);
    if (this.#parked.length > 0) return;
    clearTimeout(this.#reaper?.timer);
    this.#reaper = undefined;
  }

  /** One timer for all that is parked; it does not keep the process alive. */
  #arm(): void {
    const due = Math.min(...this.#parked.map((place) => this.#dueOf(place)));
    if (due === Infinity || (this.#reaper !== undefined && this.#reaper.due <= due)) return;
    clearTimeout(this.#reaper?.timer);
    const timer = setTimeout(() => this.#reap(), Math.max(0, Math.ceil(due - performance.now())));
    (timer as { unref?(): void }).unref?.();
    this.#reaper = { timer, due };
  }

  #reap(): void {
    this.#reaper = undefined;
    for (const place of [...this.#parked]) this.#outlived(place);
    this.#arm();
    this.#bury();
  }

  /** Ends a parked tunnel whose time is up. */
  #outlived(place: Place<C>): boolean {
    const now = performance.now();
    if (this.#dueOf(place) > now) return false;
    this.#end(place, place.conn!.expires <= now ? "evicted" : "idle");
    return true;
  }

  #dueOf(place: Place<C>): number {
    return Math.min(place.since + this.#limits.idleTimeout, place.conn!.expires);
  }
}
