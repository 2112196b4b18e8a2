import { DeadlineTimer, type Timed } from "../deadline_timer.ts";
import type { Lease, Pooled } from "./lease.ts";
import { type Link, LinkedList } from "../linked_list.ts";
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
  readonly #byKey = new Map<unknown, LinkedList<Lease<C>>>();
  readonly #timer = new DeadlineTimer<Idle<C>>(false);
  readonly #limit: number;
  readonly #pool: Pool<C>;
  readonly #foundBy: "key" | "proxy";

  /** `limit`: how long one is kept at most, in milliseconds. `foundBy`: the key of a lease, or the proxy. */
  constructor(pool: Pool<C>, limit: number, foundBy: "key" | "proxy") {
    this.#pool = pool;
    this.#limit = limit;
    this.#foundBy = foundBy;
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
    const key = this.#keyOf(lease);
    let same = this.#byKey.get(key);
    if (same === undefined) this.#byKey.set(key, same = new LinkedList<Lease<C>>());
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
    const key = this.#keyOf(lease);
    const same = this.#byKey.get(key)!;
    lease.idle = undefined;
    this.#timer.delete(idle);
    this.#all.remove(idle.inAll);
    same.remove(idle.inKey);
    if (same.size === 0) this.#byKey.delete(key);
  }

  /** Takes out the last one that came with that key and suits; those whose time is up end on the way. */
  takeLast(key: unknown, suits: (conn: C) => boolean): C | undefined {
    return this.#take(this.#byKey.get(key), "last", "before", suits);
  }

  /** Takes out the first one that suits, of all or of those with a key. */
  takeFirst(key: unknown, suits: (conn: C) => boolean): C | undefined {
    return this.#take(key === undefined ? this.#all : this.#byKey.get(key), "first", "after", suits);
  }

  #keyOf({ key, conn }: Lease<C>): unknown {
    return this.#foundBy === "key" ? key : conn!.proxy;
  }

  #take(
    list: LinkedList<Lease<C>> | undefined,
    first: "first" | "last",
    next: "before" | "after",
    suits: (conn: C) => boolean,
  ): C | undefined {
    const now = performance.now();
    for (let link = list?.[first]; link !== undefined; link = link[next]) {
      const lease = link.value;
      if (lease.idle!.deadline <= now) lease.idle!.expire();
      else if (suits(lease.conn!)) {
        this.remove(lease);
        this.#pool.setUsed(lease);
        lease.state = "done";
        lease.conn!.unwatch();
        return lease.conn;
      }
    }
    return undefined;
  }
}
