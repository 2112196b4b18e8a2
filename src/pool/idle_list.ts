import { timerAt } from "../deadline_timer.ts";
import type { Lease, Pooled } from "./lease.ts";
import type { Pool } from "./pool.ts";

/** Idle connections, the longest idle first. Each is watched, and ends when it is lost or its time is up. */
export class IdleList<C extends Pooled> {
  readonly #leases: Lease<C>[] = [];
  readonly #limit: number;
  readonly #pool: Pool<C>;
  #reaper: ReturnType<typeof setTimeout> | undefined;
  #due = Infinity;

  /** `limit`: how long one is kept at most, in milliseconds. */
  constructor(pool: Pool<C>, limit: number) {
    this.#pool = pool;
    this.#limit = limit;
  }

  /** All of them. */
  get leases(): readonly Lease<C>[] {
    return this.#leases;
  }

  put(lease: Lease<C>): void {
    lease.state = "idle";
    lease.since = performance.now();
    this.#leases.push(lease);
    lease.conn!.watch(() => {
      if (lease.state !== "idle") return;
      this.#pool.end(lease, "peer");
      this.#pool.closeEnded();
    });
    this.#arm();
  }

  remove(lease: Lease<C>): void {
    this.#leases.splice(this.#leases.indexOf(lease), 1);
    if (this.#leases.length === 0) this.#disarm();
  }

  /** Takes out one with that key, the `"first"` or the `"last"` that came; those whose time is up end on the way. */
  take(key: string, which: "first" | "last"): C | undefined {
    for (const lease of which === "first" ? [...this.#leases] : this.#leases.toReversed()) {
      if (lease.key !== key || this.#outlived(lease)) continue;
      this.remove(lease);
      lease.state = "done";
      lease.conn!.unwatch();
      return lease.conn;
    }
    return undefined;
  }

  /** One timer for all; it does not keep the process alive. */
  #arm(): void {
    const due = Math.min(...this.#leases.map((lease) => this.#dueOf(lease)));
    if (this.#due <= due) return;
    this.#disarm();
    this.#due = due;
    this.#reaper = timerAt(due, this.#reap);
    (this.#reaper as { unref?(): void }).unref?.();
  }

  #disarm(): void {
    clearTimeout(this.#reaper);
    this.#due = Infinity;
  }

  readonly #reap = (): void => {
    this.#due = Infinity;
    for (const lease of [...this.#leases]) this.#outlived(lease);
    if (this.#leases.length > 0) this.#arm();
    this.#pool.closeEnded();
  };

  /** Ends one whose time is up. */
  #outlived(lease: Lease<C>): boolean {
    const now = performance.now();
    if (this.#dueOf(lease) > now) return false;
    this.#pool.end(lease, lease.conn!.expires <= now ? "evicted" : "idle");
    return true;
  }

  #dueOf(lease: Lease<C>): number {
    return Math.min(lease.since + this.#limit, lease.conn!.expires);
  }
}
