import { choice } from "../src/arguments.ts";
import type { FleetChanges, FleetLease, FleetStore, FleetSuspension } from "../src/proxies/fleet_store.ts";

/**
 * What goes wrong with each call of a store: `"lost"` rejects, `"silence"` never answers, and a function is waited for
 * first, such as the `pass` of {@linkcode createGate}.
 */
export type TestFleetFault = "lost" | "silence" | (() => Promise<void>);

/** A store that clients of one process share: what `redisStore()` is for those of several. */
export interface TestFleet extends FleetStore {
  /** What goes wrong from now on; `undefined`: nothing. */
  fault: TestFleetFault | undefined;
  /** The suspensions that hold now. */
  readonly suspensions: FleetSuspension[];
  /** How many leases are held at a proxy, by its label. */
  open(proxy: string): number;
  /** Forgets everything, as a Redis does that is started again. */
  clear(): void;
}

/**
 * Makes a store for the option `shared` of several clients of a test. It needs no server, keeps nothing alive and counts
 * time by `performance.now()`.
 *
 * @example Two processes that share a limit, and one that dies
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createTestFleet } from "jsr:@x/socks5/testing";
 *
 * const fleet = createTestFleet();
 * assertEquals(await fleet.acquire({ proxy: "de-1", id: "a" }, 1, 30_000), true);
 * assertEquals(await fleet.acquire({ proxy: "de-1", id: "b" }, 1, 30_000), false);
 * assertEquals(fleet.open("de-1"), 1);
 *
 * fleet.fault = "lost";
 * const error = await fleet.release([{ proxy: "de-1", id: "a" }]).catch((error) => error);
 * assertEquals(error.message, "The store is lost");
 * ```
 */
export function createTestFleet(): TestFleet {
  return new MemoryFleet();
}

/** A suspension, when it ends or would have ended, and the number of its last change. */
interface Entry {
  readonly suspension: Omit<FleetSuspension, "ms">;
  readonly until: number;
  readonly isOver: boolean;
  readonly change: number;
}

class MemoryFleet implements TestFleet {
  readonly #entries = new Map<string, Entry>();
  /** The ids at each proxy, with the time at which they end. */
  readonly #leases = new Map<string, Map<string, number>>();
  /** Never less than before, so that a cursor is good after `clear()` too. */
  #changes = 1;
  #fault: TestFleetFault | undefined;

  get fault(): TestFleetFault | undefined {
    return this.#fault;
  }

  set fault(fault: TestFleetFault | undefined) {
    if (fault !== undefined && typeof fault !== "function") choice("fault", fault, ["lost", "silence"]);
    this.#fault = fault;
  }

  get suspensions(): FleetSuspension[] {
    return this.#since(0, new Set());
  }

  async exchange(changes: readonly FleetSuspension[], cursor: number): Promise<FleetChanges> {
    await this.#pass();
    const own = new Set<string>();
    for (const change of changes) {
      const key = this.#put(change);
      if (key !== undefined) own.add(key);
    }
    return { cursor: this.#changes, suspensions: this.#since(cursor, own) };
  }

  async acquire({ proxy, id }: FleetLease, maxOpen: number, ttl: number): Promise<boolean> {
    await this.#pass();
    const ids = this.#idsAt(proxy);
    if (!ids.has(id) && ids.size >= maxOpen) return false;
    ids.set(id, performance.now() + ttl);
    return true;
  }

  async renew(leases: readonly FleetLease[], ttl: number): Promise<void> {
    await this.#pass();
    for (const { proxy, id } of leases) this.#idsAt(proxy).set(id, performance.now() + ttl);
  }

  async release(leases: readonly FleetLease[]): Promise<void> {
    await this.#pass();
    for (const { proxy, id } of leases) this.#idsAt(proxy).delete(id);
  }

  open(proxy: string): number {
    return this.#idsAt(proxy).size;
  }

  clear(): void {
    this.#entries.clear();
    this.#leases.clear();
  }

  async #pass(): Promise<void> {
    const fault = this.#fault;
    if (fault === "lost") throw new Error("The store is lost");
    await (fault === "silence" ? new Promise<never>(() => {}) : fault?.());
  }

  /** Writes a change, and gives its key if it changes something. */
  #put({ ms, ...suspension }: FleetSuspension): string | undefined {
    const key = JSON.stringify([suspension.proxy, suspension.reason, suspension.hostname]);
    const before = this.#entries.get(key);
    const isOver = ms === 0;
    const isOpen = before !== undefined && !before.isOver && before.until > performance.now();
    const until = isOver ? before?.until : performance.now() + ms;
    if (until === undefined || (isOver ? !isOpen : isOpen && before.until >= until)) return undefined;
    this.#entries.set(key, { suspension, until, isOver, change: ++this.#changes });
    return key;
  }

  #since(cursor: number, own: Set<string>): FleetSuspension[] {
    const now = performance.now();
    for (const [key, { until }] of this.#entries) if (until <= now) this.#entries.delete(key);
    return [...this.#entries]
      .filter(([key, { change, isOver }]) => change > cursor && !own.has(key) && !(isOver && cursor === 0))
      .map(([, { suspension, until, isOver }]) => ({ ...suspension, ms: isOver ? 0 : until - now }));
  }

  #idsAt(proxy: string): Map<string, number> {
    let ids = this.#leases.get(proxy);
    if (ids === undefined) this.#leases.set(proxy, ids = new Map());
    for (const [id, until] of ids) if (until <= performance.now()) ids.delete(id);
    return ids;
  }
}
