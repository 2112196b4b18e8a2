import type { Proxy } from "../config/proxy_url.ts";
import type { Fleet } from "./fleet.ts";

/** Why a proxy is out of service: it failed, or the application said so; here, or in another process. */
export type SuspensionReason = "failure" | "application" | "shared failure" | "shared application";

/** What is known of one proxy. */
export class ProxyState {
  readonly proxy: Proxy;
  /** Its number in the list; -1 once it has left. */
  index = -1;
  /** Its connections: opening, in use, idle and warm. */
  open = 0;
  /** Those among them that nobody uses, which give way. */
  idle = 0;
  /** Tunnels and other requests that it granted. */
  connects = 0;
  failures = 0;
  /** Bytes to and from targets. */
  sent = 0;
  received = 0;
  /** Times in a row that it was passed over; 0: it has worked since. */
  strikes = 0;
  /** When it was the last time, on the clock of `performance.now()`. */
  struckAt = 0;
  /** Until when it is out of service, by the reason, on the clock of `performance.now()`. */
  readonly until: Record<SuspensionReason, number> = {
    failure: 0,
    application: 0,
    "shared failure": 0,
    "shared application": 0,
  };
  /** When it is its turn, if proxies take turns. */
  turn = 0;
  /** All of its places are taken as far as other processes know, and it is asked again only later. */
  isTakenElsewhere = false;
  /** Whether the listener was told that it is suspended. */
  isToldOf = false;
  readonly latency: Latency = new Latency();

  constructor(proxy: Proxy) {
    this.proxy = proxy;
  }

  /** Whether it has as many connections as it may, none of which gives way. */
  get isFull(): boolean {
    return this.open - this.idle >= this.proxy.maxOpen || this.isTakenElsewhere;
  }

  /** Until when it is out of service, for whatever reason. */
  get suspendedUntil(): number {
    const { until } = this;
    return Math.max(until.failure, until.application, until["shared failure"], until["shared application"]);
  }
}

/** How long an average remembers, in milliseconds. */
const MEMORY = 10_000;

/** Time from dial to grant: a moving average that follows a slow one at once, and forgets it as time goes. */
export class Latency {
  /** The average when it was last observed, in milliseconds. */
  ms = 0;
  #at = 0;

  observe(ms: number, now: number): void {
    const share = Math.exp((this.#at - now) / MEMORY);
    this.ms = Math.max(ms, this.ms * share + ms * (1 - share));
    this.#at = now;
  }

  /** What is still to be expected: a proxy that was slow long ago is worth a try. */
  expected(now: number): number {
    return this.ms * Math.exp((this.#at - now) / MEMORY);
  }
}

/** What other processes know of a connection. */
export interface SharedLease {
  release(): void;
}

/** The right to one connection to a proxy, for as long as the connection is open. */
export class Place {
  readonly state: ProxyState;
  /** Where processes share the places of the proxy. */
  lease: SharedLease | undefined;
  readonly #fleet: Fleet;
  #isIdle = false;
  #isLeft = false;

  constructor(fleet: Fleet, state: ProxyState) {
    this.#fleet = fleet;
    this.state = state;
  }

  /** Whether nobody uses the connection, which gives way then. */
  set isIdle(isIdle: boolean) {
    if (this.#isLeft || this.#isIdle === isIdle) return;
    this.#isIdle = isIdle;
    this.#fleet.idled(this.state, isIdle ? 1 : -1);
  }

  /** Whether the connection may be kept for the next connect to its target. */
  mayBeKept(target: string): boolean {
    return this.#fleet.mayBeKept(this.state, target);
  }

  /** The connection is closed; the first call counts. */
  leave(): void {
    if (this.#isLeft) return;
    this.isIdle = false;
    this.#isLeft = true;
    this.lease?.release();
    this.#fleet.leave(this.state);
  }
}

/** What is known of the proxies of a list, and of those that have left it and have open connections. */
export class KnownProxies {
  /** The list as it is now. */
  states: readonly ProxyState[] = [];
  readonly #states = new WeakMap<Proxy, ProxyState>();
  readonly #departed = new Set<ProxyState>();
  #byName: Map<string, ProxyState[]> | undefined;

  /** What is known of a proxy that is or was in the list. */
  stateOf(proxy: Proxy): ProxyState {
    return this.#states.get(proxy)!;
  }

  /** Those with that label. */
  named(name: string): readonly ProxyState[] {
    this.#byName ??= byText(this.states, ({ proxy }) => proxy.name);
    return this.#byName.get(name) ?? [];
  }

  /** The list is another one: what is known of those with the same key stays. Gives those that have left. */
  replace(proxies: readonly Proxy[]): readonly ProxyState[] {
    const known = byText([...this.states, ...this.#departed], ({ proxy }) => proxy.key);
    this.states = proxies.map((proxy) => {
      const state = known.get(proxy.key)?.shift();
      if (state === undefined) return new ProxyState(proxy);
      this.#departed.delete(state);
      Object.assign(state.proxy, proxy);
      return state;
    });
    this.#byName = undefined;
    for (const state of this.states) this.#states.set(state.proxy, state);
    const left = [...known.values()].flat().filter(({ index }) => index >= 0);
    for (const state of left) {
      state.index = -1;
      state.turn = 0;
      if (state.open > 0) this.#departed.add(state);
    }
    return left;
  }

  /** A connection was closed. */
  left(state: ProxyState): void {
    if (state.open === 0 && state.index < 0) this.#departed.delete(state);
  }
}

function byText(states: readonly ProxyState[], textOf: (state: ProxyState) => string): Map<string, ProxyState[]> {
  const map = new Map<string, ProxyState[]>();
  for (const state of states) {
    const same = map.get(textOf(state));
    same === undefined ? map.set(textOf(state), [state]) : same.push(state);
  }
  return map;
}
