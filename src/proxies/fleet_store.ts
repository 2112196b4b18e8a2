/** A proxy that is passed over, as processes tell each other. A word of the same `proxy`, `reason` and `hostname` replaces it. */
export interface FleetSuspension {
  /** The label of the proxy. */
  proxy: string;
  /** `"failure"`: the proxy failed, and works again if a connect succeeds; `"application"`: `client.suspend()` said so. */
  reason: "failure" | "application";
  /** The host name for which it is passed over, and the names below it. Default: for every target. */
  hostname?: string;
  /** For how many milliseconds from now; 0: no longer. */
  ms: number;
}

/** A place at a proxy that one connection of one process takes. */
export interface FleetLease {
  /** The label of the proxy. */
  proxy: string;
  /** Names the lease among all of all processes. */
  id: string;
}

/** What {@linkcode FleetStore.exchange} gives. */
export interface FleetChanges {
  /** What to ask with the next time: a number over 0. */
  cursor: number;
  /** What others said, each with what is left of it. */
  suspensions: FleetSuspension[];
}

/**
 * Where the clients of several processes keep what they know of their proxies: which of them are passed over, and how many
 * connections are open at each. `redisStore()` of `./redis` is one, `createTestFleet()` of `./testing` another.
 *
 * A store keeps labels of proxies and host names of targets, and never credentials. It rejects if it fails, and need not
 * limit the time that it takes: a client waits 250 ms for it and then goes on without it. One clock, that of the store,
 * counts all times. Every call may come twice.
 *
 * @example A store of your own that shares suspensions within one process, and no limits
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import type { FleetStore, FleetSuspension } from "jsr:@x/socks5";
 *
 * const told: { until: number; suspension: FleetSuspension }[] = [];
 * const store: FleetStore = {
 *   async exchange(changes, cursor) {
 *     const suspensions = told.slice(Math.max(0, cursor - 1)).map(({ until, suspension }) => {
 *       return { ...suspension, ms: Math.max(0, until - Date.now()) };
 *     });
 *     told.push(...changes.map((suspension) => ({ until: Date.now() + suspension.ms, suspension })));
 *     return { cursor: told.length + 1, suspensions };
 *   },
 *   acquire: async () => true,
 *   renew: async () => {},
 *   release: async () => {},
 * };
 *
 * const { cursor } = await store.exchange([], 0);
 * await store.exchange([{ proxy: "de-1", reason: "application", hostname: "shop.example", ms: 60_000 }], cursor);
 * const { suspensions } = await store.exchange([], cursor);
 * assertEquals(suspensions[0]?.proxy, "de-1");
 * ```
 */
export interface FleetStore {
  /**
   * Writes what this process says, and gives what others said since `cursor`; 0: all that holds now. Of two times for the
   * same thing the later one holds, until `ms: 0` ends it.
   */
  exchange(changes: readonly FleetSuspension[], cursor: number): Promise<FleetChanges>;
  /**
   * Takes one of `maxOpen` places at a proxy. It becomes free by itself after `ttl` milliseconds, unless it is renewed;
   * `false`: all are taken.
   */
  acquire(lease: FleetLease, maxOpen: number, ttl: number): Promise<boolean>;
  /**
   * Keeps leases for another `ttl` milliseconds. Those that the store does not know are taken, beyond the limit too: the
   * connections are open.
   */
  renew(leases: readonly FleetLease[], ttl: number): Promise<void>;
  /** Gives leases back, also those that the store does not know. */
  release(leases: readonly FleetLease[]): Promise<void>;
}
