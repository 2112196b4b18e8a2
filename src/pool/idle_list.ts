import { DeadlineTimer, type Timed } from "../deadline_timer.ts";
import type { Lease, Pooled } from "./lease.ts";
import { type Link, LinkedList } from "./linked_list.ts";
import type { Pool } from "./pool.ts";

/** An idle lease, until when it is, and where it stands: among all, and among those with its key. */
export class Idle<C extends Pooled> implements Timed {
  readonly since: number = performance.now();
  readonly deadline: number;
  slot = -1;
  readonly lease: Lease<C>;
  readonly inAll: Link<Lease<C>>;
  readonly inKey: Link<Lease<C>>;
  readonly #pool: Pool<C>;

  constructor(pool: Pool<C>, lease: Lease<C>, limit: number, all: LinkedList<Lease<C>>, same: LinkedList<Lease<C>>) {
    this.deadline = Math.min(this.since + limit, lease.conn!.expires);
    this.lease = lease;
    this.inAll = all.push(lease);
    this.inKey = same.push(lease);
    this.#pool = pool;
  }

  wake(): void {
    this.expire();
    this.#pool.closeEnded();
  }

  /** Its time is up. */
  expire(): void {
    this.#pool.end(this.lease, this.lease.conn!.expires <= performance.now() ? "evicted" : "idle");
  }
}

/**
 * Idle connections, the longest idle first. Each is watched, and ends when it is lost or its time is up. What is done with
 * one costs O(log n), however many there are.
 */
export class IdleList<C extends Pooled> {
  readonly #all = new LinkedList<Lease<C>>();
  readonly #byKey = new Map<string, LinkedList<Lease<C>>>();
  readonly #timer = new DeadlineTimer<Idle<C>>(false);
  readonly #limit: number;
  readonly #pool: Pool<C>;

  /** `limit`: how long one is kept at most, in milliseconds. */
  constructor(pool: Pool<C>, limit: number) {
    this.#pool = pool;
    this.#limit = limit;
  }

  get size(): number {
    return this.#all.size;
  }

  /** The one that has been idle for the longest time. */
  get longest(): Lease<C> | undefined {
    return this.#all.first?.value;
  }

  /** All of them, in a new array. */
  get leases(): Lease<C>[] {
    return [...this.#all];
  }

  put(lease: Lease<C>): void {
    lease.state = "idle";
    let same = this.#byKey.get(lease.key);
    if (same === undefined) this.#byKey.set(lease.key, same = new LinkedList<Lease<C>>());
    lease.idle = new Idle(this.#pool, lease, this.#limit, this.#all, same);
    this.#timer.set(lease.idle);
    lease.conn!.watch(() => {
      if (lease.state !== "idle") return;
      this.#pool.end(lease, "peer");
      this.#pool.closeEnded();
    });
  }

  remove(lease: Lease<C>): void {
    const idle = lease.idle!;
    const same = this.#byKey.get(lease.key)!;
    lease.idle = undefined;
    this.#timer.delete(idle);
    this.#all.remove(idle.inAll);
    same.remove(idle.inKey);
    if (same.size === 0) this.#byKey.delete(lease.key);
  }

  /** Takes out one with that key, the `"first"` or the `"last"` that came; those whose time is up end on the way. */
  take(key: string, which: "first" | "last"): C | undefined {
    for (let lease; (lease = this.#byKey.get(key)?.[which]?.value) !== undefined;) {
      if (lease.idle!.deadline <= performance.now()) {
        lease.idle!.expire();
        continue;
      }
      this.remove(lease);
      lease.state = "done";
      lease.conn!.unwatch();
      return lease.conn;
    }
    return undefined;
  }
}
