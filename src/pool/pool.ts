import { DeadlineTimer, type Timed } from "../deadline_timer.ts";
import type { CloseReason } from "../events.ts";
import { Members } from "../members.ts";
import { IdleList } from "./idle_list.ts";
import { Lease, type Pooled, Queue, type Want } from "./lease.ts";
import { LinkedList } from "../linked_list.ts";

/** The limits of a pool, as its options have them. */
export interface PoolLimits {
  readonly maxOpen: number;
  readonly maxIdle: number;
  readonly idleTimeout: number;
}

const WARM = "warm"; // no key of a tunnel: those are JSON arrays

/**
 * Counts connections, keeps waiters in order, and keeps idle tunnels and warm connections for later. It opens nothing:
 * the holder of an empty lease dials into it. `open` (dialing, in use, resting, reserved, idle and warm) never exceeds
 * `maxOpen`, and nobody waits while a lease could be given. A resting tunnel is in the keep-alive pool of its holder, and
 * gives way as an idle one does.
 */
export class Pool<C extends Pooled> {
  /** Called when a tunnel in use has ended. */
  onRelease: (() => void) | undefined;
  /** Called when a tunnel is no longer in use, and gives way from then on. */
  onIdle: ((proxy: object) => void) | undefined;
  readonly #limits: PoolLimits;
  readonly #held = new Members<Lease<C>>();
  #empty = 0; // of those that are held
  readonly #resting = new LinkedList<Lease<C>>(); // the longest resting first
  readonly #reserved = new Set<Lease<C>>();
  readonly #idle: IdleList<C>;
  readonly #warm: IdleList<C>;
  /** Those that give way, by their proxy, the longest unused first. */
  readonly #unused = new WeakMap<object, LinkedList<Lease<C>>>();
  readonly #timer = new DeadlineTimer<Timed>(false);
  readonly #queue = new Queue<C, Lease<C>>();
  #ended: { lease: Lease<C>; reason: CloseReason }[] = []; // to be closed
  #done = 0; // of those
  #closed: (() => Error) | undefined;
  #emptied: (() => void)[] = [];

  constructor(limits: PoolLimits) {
    this.#limits = limits;
    this.#idle = new IdleList(this, limits.idleTimeout, "key");
    this.#warm = new IdleList(this, Infinity, "proxy");
  }

  /** How many warm connections there are. */
  get warm(): number {
    return this.#warm.size;
  }

  /** How many are being opened ahead of need. */
  get reserved(): number {
    return this.#reserved.size;
  }

  /** How many there are now. */
  get counts(): { opening: number; inUse: number; idle: number; warm: number; waiting: number } {
    return {
      opening: this.#empty + this.reserved,
      inUse: this.#held.size - this.#empty,
      idle: this.#idle.size + this.#resting.size,
      warm: this.warm,
      waiting: this.#queue.length,
    };
  }

  /** A lease, or `undefined` if the caller has to wait for one; throws once the pool is closed. */
  acquire(want: Want<C>): Lease<C> | undefined {
    if (this.#closed !== undefined) throw this.#closed();
    const lease = this.#grant(want);
    this.closeEnded();
    return lease;
  }

  /** A lease when it is the caller's turn; `first` is for those who have had one and paused. */
  wait(want: Want<C>, signal: AbortSignal, first: boolean): Promise<Lease<C>> {
    return this.#queue.wait(want, signal, first);
  }

  /** Whether there is a lease that nobody has or waits for. */
  get hasRoom(): boolean {
    return this.#closed === undefined && this.#queue.length === 0 && this.#open < this.#limits.maxOpen;
  }

  /** One more lease for a caller who has one, if there is room. */
  spare(key: string): Lease<C> | undefined {
    if (!this.hasRoom) return undefined;
    const lease = new Lease<C>(this, key);
    this.#hold(lease);
    return lease;
  }

  /** A lease for a connection that is opened ahead of need; `stop` is called when the place is needed. */
  reserve(stop: () => void): Lease<C> {
    const lease = new Lease<C>(this, WARM);
    lease.state = "reserved";
    lease.stop = stop;
    this.#reserved.add(lease);
    return lease;
  }

  /** Keeps the connection for a later request. */
  addWarm(lease: Lease<C>, conn: C): void {
    this.#reserved.delete(lease);
    lease.stop = undefined;
    lease.conn = conn;
    this.#warm.put(lease);
    this.#setUnused(lease);
    this.closeEnded();
    this.onIdle?.(conn.proxy);
  }

  /** Closes the connection to a proxy that is unused for the longest time, if there is one. */
  evictOne(proxy: object): void {
    const lease = this.#unused.get(proxy)?.first?.value;
    if (lease === undefined) return;
    this.end(lease, "evicted");
    this.closeEnded();
  }

  /** Closes the connections to a proxy that are unused, as far as they are meant. */
  evictUnused(proxy: object, isMeant: (conn: C) => boolean): void {
    for (const lease of [...this.#unused.get(proxy) ?? []]) if (isMeant(lease.conn!)) this.end(lease, "evicted");
    this.#serveWaiters();
    this.closeEnded();
  }

  release(lease: Lease<C>): void {
    if (!this.markInUse(lease)) return;
    if (this.#closed !== undefined) return this.destroy(lease, "client");
    if (!lease.conn!.mayBeKept) return this.destroy(lease, "evicted");
    this.#unhold(lease);
    this.#idle.put(lease);
    this.#setUnused(lease);
    this.#serveWaiters();
    while (this.#idle.size > this.#limits.maxIdle) this.end(this.#idle.longest!, "evicted");
    this.closeEnded();
    this.onIdle?.(lease.conn!.proxy);
  }

  markIdle(lease: Lease<C>, evicted: () => void): void {
    if (!this.markInUse(lease)) return;
    this.#unhold(lease);
    lease.resting = this.#resting.push(lease);
    lease.state = "resting";
    lease.since = performance.now();
    lease.evicted = evicted;
    if (this.#closed !== undefined) this.end(lease, "client");
    else if (!lease.conn!.mayBeKept) this.end(lease, "evicted");
    else lease.conn!.markIdle(() => this.#lost(lease));
    if (lease.conn !== undefined && this.#closed === undefined) this.#setUnused(lease);
    this.#serveWaiters();
    this.closeEnded();
    if (lease.conn !== undefined) this.onIdle?.(lease.conn.proxy);
  }

  markInUse(lease: Lease<C>): boolean {
    if (lease.state !== "resting") return lease.state === "open";
    this.#resting.remove(lease.resting!);
    this.setUsed(lease);
    this.#hold(lease);
    lease.state = "open";
    lease.evicted = undefined;
    lease.conn!.markInUse();
    return true;
  }

  destroy(lease: Lease<C>, reason: CloseReason): void {
    this.markInUse(lease);
    if (lease.state !== "open" && lease.state !== "reserved") return;
    const wasInUse = lease.state === "open" && lease.conn !== undefined;
    this.end(lease, reason);
    this.#serveWaiters();
    this.closeEnded();
    if (wasInUse) this.onRelease?.();
  }

  /** Closes all that is not in use and rejects who waits, now and from now on, each with an error of its own. */
  close(error: () => Error): void {
    this.#closed ??= error;
    const unused = [...this.#idle.leases, ...this.#resting, ...this.#warm.leases, ...this.#reserved];
    for (const lease of unused) this.end(lease, "client");
    this.#queue.close(error);
    this.closeEnded();
  }

  /** Closes the tunnels in use, or those among them that are meant. */
  closeHeld(isMeant: (conn: C) => boolean = () => true): void {
    for (const lease of [...this.#held]) {
      if (lease.conn !== undefined && isMeant(lease.conn)) this.destroy(lease, "client");
    }
  }

  /** Resolves when nothing is held any more. */
  emptied(): Promise<void> {
    return new Promise((resolve) => this.#held.size === 0 ? resolve() : this.#emptied.push(resolve));
  }

  /** The connection of a lease is another one from now on. */
  changed({ conn, state }: Lease<C>, next: C | undefined): void {
    if (state === "open") this.#empty += Number(next === undefined) - Number(conn === undefined);
  }

  #setUnused(lease: Lease<C>): void {
    if (lease.state === "done") return; // its watch has told that it is lost
    const { proxy } = lease.conn!;
    let list = this.#unused.get(proxy);
    if (list === undefined) this.#unused.set(proxy, list = new LinkedList<Lease<C>>());
    lease.unused = list.push(lease);
    const { idleLimit } = lease.conn!;
    if (idleLimit !== undefined) this.#limit(lease, idleLimit);
  }

  /** Ends it after a while, unless it is used before. */
  #limit(lease: Lease<C>, ms: number): void {
    const wake = () => {
      this.end(lease, "evicted");
      this.#serveWaiters();
      this.closeEnded();
    };
    lease.limit = { deadline: performance.now() + ms, slot: -1, wake };
    this.#timer.set(lease.limit);
  }

  /** It no longer gives way. */
  setUsed(lease: Lease<C>): void {
    if (lease.unused === undefined) return;
    const { proxy } = lease.conn!;
    this.#unused.get(proxy)!.remove(lease.unused);
    lease.unused = undefined;
    if (lease.limit !== undefined) this.#timer.delete(lease.limit);
    lease.limit = undefined;
  }

  #hold(lease: Lease<C>): void {
    this.#held.add(lease);
    if (lease.conn === undefined) this.#empty++;
  }

  #unhold(lease: Lease<C>): void {
    this.#held.delete(lease);
    if (lease.conn === undefined) this.#empty--;
  }

  get #open(): number {
    return this.#held.size + this.#resting.size + this.#reserved.size + this.#idle.size + this.#warm.size;
  }

  #serveWaiters(): void {
    for (let want; (want = this.#queue.first) !== undefined;) {
      const lease = this.#grant(want);
      if (lease === undefined) return;
      this.#queue.serve(lease);
    }
  }

  /** An idle tunnel, the last used; else a warm connection, the oldest; else an empty lease if there is room. */
  #grant(want: Want<C>): Lease<C> | undefined {
    const { key, reuse, mayBeWarm, proxy } = want;
    const suits = (conn: C) => want.suits(conn);
    const conn = (reuse && this.#idle.size > 0 ? this.#idle.takeLast(key, suits) : undefined) ??
      (mayBeWarm && this.#warm.size > 0 ? this.#warm.takeFirst(proxy, suits) : undefined);
    if (conn === undefined && !this.#makeRoom()) return undefined;
    const lease = new Lease(this, key, conn);
    this.#hold(lease);
    return lease;
  }

  #makeRoom(): boolean {
    if (this.#open < this.#limits.maxOpen) return true;
    const [reserved] = this.#reserved;
    const lease = this.#longestIdle ?? this.#warm.longest ?? reserved;
    if (lease !== undefined) this.end(lease, "evicted");
    return lease !== undefined;
  }

  /** The tunnel that has been idle for the longest time, here or at its holder. */
  get #longestIdle(): Lease<C> | undefined {
    const resting = this.#resting.first?.value;
    const idle = this.#idle.longest;
    return resting === undefined || (idle !== undefined && idle.idle!.since < resting.since) ? idle : resting;
  }

  /** What is below a resting connection was closed. */
  #lost(lease: Lease<C>): void {
    if (lease.state !== "resting") return;
    this.end(lease, "evicted");
    this.#serveWaiters();
    this.closeEnded();
  }

  /** Takes it out of the count; {@linkcode closeEnded} closes it. */
  end(lease: Lease<C>, reason: CloseReason): void {
    const { state } = lease;
    if (state === "done") return;
    this.setUsed(lease);
    if (state === "open") this.#unhold(lease);
    else if (state === "resting") this.#resting.remove(lease.resting!);
    else if (state === "reserved") this.#reserved.delete(lease);
    else (lease.key === WARM ? this.#warm : this.#idle).remove(lease);
    lease.state = "done";
    this.#ended.push({ lease, reason });
    if (this.#held.size === 0 && this.#emptied.length > 0) { for (const resolve of this.#emptied.splice(0)) resolve(); }
  }

  /** Closes what has ended: last of all, since who is told of it may come back in here. */
  closeEnded(): void {
    if (this.#ended.length === 0) return;
    // before anything else is told, so that nobody uses what has ended
    for (const { lease } of this.#ended) lease.notifyEvicted();
    while (this.#done < this.#ended.length) {
      const { lease, reason } = this.#ended[this.#done++]!;
      lease.conn?.close(reason);
      lease.stop?.();
    }
    this.#ended = [];
    this.#done = 0;
  }
}
