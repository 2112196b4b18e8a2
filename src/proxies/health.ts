import type { Proxy } from "../config/proxy_url.ts";
import { rounded } from "../events.ts";
import { Candidates } from "./candidates.ts";
import { firstUpTo, MinTree } from "./min_tree.ts";

/** What is known of one proxy. */
interface State {
  /** Its number in the list. */
  readonly index: number;
  failures: number;
  /** When it is no longer passed over, on the clock of `performance.now()`. */
  until: number;
}

/**
 * The rank of a proxy that did not fail since it has worked, and that of one whose time is up. One that is passed over has
 * the time until which it is, and `FOREVER` as the last.
 */
const [WORKING, DUE, FOREVER] = [-2, -1, Number.MAX_VALUE];

/** Which proxies failed, and which of them is tried next. What is asked or told of one costs O(log n). */
export class Health {
  readonly proxies: readonly Proxy[];
  /** Told of a proxy that is passed over from now on. */
  onCool: ((proxy: Proxy) => void) | undefined;
  readonly #cooldown: number;
  readonly #states: Map<Proxy, State>;
  readonly #ranks: MinTree;
  /** Until when those are that are passed over. */
  readonly #untils: MinTree;
  readonly #all: Candidates;

  /** `cooldown`: how long a proxy is passed over, in milliseconds. */
  constructor(proxies: readonly Proxy[], cooldown: number) {
    this.proxies = proxies;
    this.#cooldown = cooldown;
    this.#states = new Map(proxies.map((proxy, index) => [proxy, { index, failures: 0, until: 0 }]));
    this.#ranks = new MinTree(proxies.length, WORKING);
    this.#untils = new MinTree(proxies.length, Infinity);
    this.#all = this.candidates();
  }

  /** Failures of each proxy since the start, and the milliseconds for which it is still passed over. */
  get stats(): { proxy: string; failures: number; cooldown: number }[] {
    const now = performance.now();
    return [...this.#states].map(([{ name }, { failures, until }]) => {
      return { proxy: name, failures, cooldown: Math.max(0, rounded(until - now)) };
    });
  }

  /** All proxies, for one request to take them out. */
  candidates(): Candidates {
    return new Candidates(this.#ranks, this.proxies.length);
  }

  /** The number of a proxy in the list. */
  indexOf(proxy: Proxy): number {
    return this.#states.get(proxy)!.index;
  }

  /** The proxy has done its part. */
  succeeded(proxy: Proxy): void {
    const state = this.#states.get(proxy)!;
    if (this.#ranks.get(state.index) === WORKING) return;
    state.until = 0;
    this.#ranks.set(state.index, WORKING);
    this.#untils.set(state.index, Infinity);
  }

  failed(proxy: Proxy): void {
    this.#states.get(proxy)!.failures++;
    this.passOver(proxy);
  }

  /** For a while others go before it, although it may not have failed. */
  passOver(proxy: Proxy): void {
    this.#suspend(this.#states.get(proxy)!);
    this.onCool?.(proxy);
  }

  /** Whether one of them is not passed over. */
  hasInService(left: Candidates = this.#all): boolean {
    this.#resume();
    return left.least <= DUE;
  }

  /**
   * The first of them that is not passed over, else the one that is for the shortest time. `isProbe`: one whose time is up
   * counts as one that never failed; else those that never failed go first. Either is probed by one at a time.
   */
  pick(isProbe: boolean, left: Candidates = this.#all): Proxy {
    this.#resume();
    const { least } = left;
    const proxy = this.proxies[left.first(isProbe ? Math.max(least, DUE) : least)!]!;
    const state = this.#states.get(proxy)!;
    if (this.#ranks.get(state.index) !== WORKING) this.#suspend(state);
    return proxy;
  }

  #suspend(state: State): void {
    state.until = performance.now() + this.#cooldown;
    const until = Math.min(state.until, FOREVER);
    this.#ranks.set(state.index, until);
    this.#untils.set(state.index, until);
  }

  /** Puts those whose time is up back into service. */
  #resume(): void {
    if (this.#untils.at(1) === Infinity) return;
    const now = performance.now();
    for (let index; (index = firstUpTo(now, this.#untils)) !== undefined;) {
      this.#ranks.set(index, DUE);
      this.#untils.set(index, Infinity);
    }
  }
}
