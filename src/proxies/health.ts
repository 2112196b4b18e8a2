import { rounded } from "../events.ts";
import type { Proxy } from "../config/proxy_url.ts";

/** What is known of one proxy. */
interface State {
  failures: number;
  /** Whether it failed or was overtaken, and has not worked since. */
  failing: boolean;
  /** When it is no longer passed over, on the clock of `performance.now()`. */
  until: number;
}

/** Which proxies failed, and which of them is tried next. */
export class Health {
  readonly proxies: readonly Proxy[];
  /** Told of a proxy that is passed over from now on. */
  onCool: ((proxy: Proxy) => void) | undefined;
  readonly #cooldown: number;
  readonly #states: Map<Proxy, State>;

  /** `cooldown`: how long a proxy is passed over, in milliseconds. */
  constructor(proxies: readonly Proxy[], cooldown: number) {
    this.proxies = proxies;
    this.#cooldown = cooldown;
    this.#states = new Map(proxies.map((proxy) => [proxy, { failures: 0, failing: false, until: 0 }]));
  }

  /** Failures of each proxy since the start, and the milliseconds for which it is still passed over. */
  get stats(): { proxy: string; failures: number; cooldown: number }[] {
    const now = performance.now();
    return [...this.#states].map(([{ name }, { failures, failing, until }]) => {
      return { proxy: name, failures, cooldown: failing ? Math.max(0, rounded(until - now)) : 0 };
    });
  }

  /** The proxy has done its part. */
  succeeded(proxy: Proxy): void {
    const state = this.#states.get(proxy)!;
    state.failing = false;
    state.until = 0;
  }

  failed(proxy: Proxy): void {
    this.#states.get(proxy)!.failures++;
    this.passOver(proxy);
  }

  /** For a while others go before it, although it may not have failed. */
  passOver(proxy: Proxy): void {
    const state = this.#states.get(proxy)!;
    state.failing = true;
    state.until = performance.now() + this.#cooldown;
    this.onCool?.(proxy);
  }

  /** Those of `proxies` that are not passed over. */
  inService(proxies: readonly Proxy[]): readonly Proxy[] {
    const now = performance.now();
    return proxies.filter((proxy) => this.#states.get(proxy)!.until <= now);
  }

  /**
   * The first of `proxies` that is not passed over, else the one that is for the shortest time. `isProbe`: one whose time
   * is up counts as one that never failed; else those that never failed go first. Either is probed by one at a time.
   */
  pick(proxies: readonly Proxy[], isProbe: boolean): Proxy {
    if (proxies.length === 1 && !this.#states.get(proxies[0]!)!.failing) return proxies[0]!;
    const now = performance.now();
    const rank = (proxy: Proxy) => {
      const { failing, until } = this.#states.get(proxy)!;
      return failing && !(isProbe && until <= now) ? Math.max(until, now) : 0;
    };
    const proxy = proxies.reduce((best, other) => rank(other) < rank(best) ? other : best);
    const state = this.#states.get(proxy)!;
    if (state.failing) state.until = now + this.#cooldown;
    return proxy;
  }
}
