import { Members } from "../members.ts";
import { type CloseReason, Lease, type Pooled } from "./lease.ts";
import { Queue, type Want } from "./queue.ts";
import { IdleList } from "./idle_list.ts";

export interface PoolLimits {
  readonly maxOpen: number;
  readonly maxIdle: number;
  readonly idleTimeout: number;
}

const SESSION = "session"; // no key of a tunnel: those are JSON arrays

/**
 * Counts places, keeps waiters in order, and parked tunnels and sessions for later. It opens nothing: who holds an empty
 * place dials into it. `open` (dialling, in use, resting, filling and parked) never exceeds `maxOpen`, and nobody waits
 * while a place could be given. What rests is idle in the keep-alive pool of its holder, and gives way as a parked tunnel.
 */
export class Pool<C extends Pooled> {
  /** Told that a tunnel has left its place. */
  onRelease: (() => void) | undefined;
  readonly #limits: PoolLimits;
  readonly #held = new Members<Lease<C>>();
  readonly #resting = new Set<Lease<C>>(); // the longest resting first
  readonly #reserved = new Set<Lease<C>>();
  readonly #idle: IdleList<C>;
  readonly #warm: IdleList<C>;
  readonly #queue = new Queue<Lease<C>>();
  readonly #ended: { place: Lease<C>; reason: CloseReason }[] = []; // still to be closed
  #closed: (() => Error) | undefined;
  #emptied: (() => void)[] = [];

  constructor(limits: PoolLimits) {
    this.#limits = limits;
    const keeper = {
      end: (place: Lease<C>, reason: CloseReason) => this.#end(place, reason),
      bury: () => this.#closeEnded(),
    };
    this.#idle = new IdleList(limits.idleTimeout, keeper);
    this.#warm = new IdleList(Infinity, keeper);
  }

  /** Sessions that are ready. */
  get warm(): number {
    return this.#warm.places.length;
  }

  /** Sessions that are opened ahead of need. */
  get reserved(): number {
    return this.#reserved.size;
  }

  /** What there is now. */
  get counts(): { opening: number; inUse: number; idle: number; warm: number; waiting: number } {
    const empty = [...this.#held].filter((place) => place.conn === undefined).length;
    const idle = this.#idle.places.length + this.#resting.size;
    return {
      opening: empty + this.reserved,
      inUse: this.#held.size - empty,
      idle,
      warm: this.warm,
      waiting: this.#queue.length,
    };
  }

  /** A place at once, or `undefined` if one has to wait; throws once the pool is closed. */
  acquire(want: Want): Lease<C> | undefined {
    if (this.#closed !== undefined) throw this.#closed();
    const place = this.#grant(want);
    this.#closeEnded();
    return place;
  }

  /** A place when it is its turn; `first` is for those who have had a place and paused. */
  wait(want: Want, signal: AbortSignal, first: boolean): Promise<Lease<C>> {
    return this.#queue.wait(want, signal, first);
  }

  /** Whether somebody could have a place without taking it from anybody. */
  get hasRoom(): boolean {
    return this.#closed === undefined && this.#queue.length === 0 && this.#open < this.#limits.maxOpen;
  }

  /** A place beside one that somebody has already, if it is taken from nobody. */
  spare(key: string): Lease<C> | undefined {
    if (!this.hasRoom) return undefined;
    const place = new Lease<C>(this, key);
    this.#held.add(place);
    return place;
  }

  /** A place to open a session in ahead of need, when there is room; for who needs it `stop` is called. */
  reserve(stop: () => void): Lease<C> {
    const place = new Lease<C>(this, SESSION);
    place.state = "filling";
    place.stop = stop;
    this.#reserved.add(place);
    return place;
  }

  /** Keeps the session for whoever may take one. */
  addWarm(place: Lease<C>, session: C): void {
    this.#reserved.delete(place);
    place.stop = undefined;
    place.conn = session;
    this.#warm.put(place);
    this.#closeEnded();
  }

  /** Ends the sessions that are meant. */
  drop(meant: (session: C) => boolean): void {
    for (const place of [...this.#warm.places]) if (meant(place.conn!)) this.#end(place, "evicted");
    this.#closeEnded();
  }

  release(place: Lease<C>): void {
    if (!this.markInUse(place)) return;
    if (this.#closed !== undefined) return this.destroy(place, "client");
    if (place.conn!.expires <= performance.now()) return this.destroy(place, "evicted");
    this.#held.delete(place);
    this.#idle.put(place);
    this.#serveWaiters();
    while (this.#idle.places.length > this.#limits.maxIdle) this.#end(this.#idle.places[0]!, "evicted");
    this.#closeEnded();
  }

  markIdle(place: Lease<C>, evicted: () => void): void {
    if (!this.markInUse(place)) return;
    this.#held.delete(place);
    this.#resting.add(place);
    place.state = "resting";
    place.since = performance.now();
    place.evicted = evicted;
    if (this.#closed !== undefined) this.#end(place, "client");
    else place.conn!.markIdle(() => this.#gone(place));
    this.#serveWaiters();
    this.#closeEnded();
  }

  markInUse(place: Lease<C>): boolean {
    if (place.state !== "resting") return place.state === "open";
    this.#resting.delete(place);
    this.#held.add(place);
    place.state = "open";
    place.evicted = undefined;
    place.conn!.markInUse();
    return true;
  }

  destroy(place: Lease<C>, reason: CloseReason): void {
    this.markInUse(place);
    if (place.state !== "open" && place.state !== "filling") return;
    const wasInUse = place.state === "open" && place.conn !== undefined;
    this.#end(place, reason);
    this.#serveWaiters();
    this.#closeEnded();
    if (wasInUse) this.onRelease?.();
  }

  /** Ends what is parked or filling and rejects who waits, now and from now on, each with an error of its own. */
  close(error: () => Error): void {
    this.#closed ??= error;
    const unused = [...this.#idle.places, ...this.#resting, ...this.#warm.places, ...this.#reserved];
    for (const place of unused) this.#end(place, "client");
    this.#queue.close(error);
    this.#closeEnded();
  }

  /** Closes the tunnels in use. */
  closeHeld(): void {
    for (const place of [...this.#held]) if (place.conn !== undefined) this.destroy(place, "client");
  }

  /** Resolves when nothing is held any more. */
  emptied(): Promise<void> {
    return new Promise((resolve) => this.#held.size === 0 ? resolve() : this.#emptied.push(resolve));
  }

  get #open(): number {
    const { places: { length: idle } } = this.#idle;
    return this.#held.size + this.#resting.size + this.#reserved.size + idle + this.#warm.places.length;
  }

  #serveWaiters(): void {
    for (let want; (want = this.#queue.first) !== undefined;) {
      const place = this.#grant(want);
      if (place === undefined) return;
      this.#queue.serve(place);
    }
  }

  /** What is parked moves to a new holder: of the tunnels the last used, of the sessions the oldest. */
  #grant({ key, reuse, session }: Want): Lease<C> | undefined {
    const conn = (reuse ? this.#idle.take(key, "last") : undefined) ??
      (session && this.#warm.places.length > 0 ? this.#warm.take(SESSION, "first") : undefined);
    if (conn === undefined && !this.#makeRoom()) return undefined;
    const place = new Lease(this, key, conn);
    this.#held.add(place);
    return place;
  }

  #makeRoom(): boolean {
    if (this.#open < this.#limits.maxOpen) return true;
    const [filling] = this.#reserved;
    const place = this.#longestIdle ?? this.#warm.places[0] ?? filling;
    if (place !== undefined) this.#end(place, "evicted");
    return place !== undefined;
  }

  /** Whether it is parked here or rests at its holder. */
  get #longestIdle(): Lease<C> | undefined {
    const [resting] = this.#resting;
    const [parked] = this.#idle.places;
    return resting === undefined || (parked !== undefined && parked.since < resting.since) ? parked : resting;
  }

  /** What is below a resting connection was closed. */
  #gone(place: Lease<C>): void {
    if (place.state !== "resting") return;
    this.#end(place, "evicted");
    this.#serveWaiters();
    this.#closeEnded();
  }

  #end(place: Lease<C>, reason: CloseReason): void {
    const { state } = place;
    if (state === "done") return;
    if (state === "open") this.#held.delete(place);
    else if (state === "resting") this.#resting.delete(place);
    else if (state === "filling") this.#reserved.delete(place);
    else (place.key === SESSION ? this.#warm : this.#idle).remove(place);
    place.state = "done";
    this.#ended.push({ place, reason });
    if (this.#held.size === 0 && this.#emptied.length > 0) { for (const resolve of this.#emptied.splice(0)) resolve(); }
  }

  /** Closes what has ended: last of all, since who is told of it may come back in here. */
  #closeEnded(): void {
    // before anything else is told, so that nobody uses what has ended
    for (const { place } of this.#ended) place.notifyEvicted();
    while (this.#ended.length > 0) {
      const { place, reason } = this.#ended.shift()!;
      place.conn?.close(reason);
      place.stop?.();
    }
  }
}
