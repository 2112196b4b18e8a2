import type { Proxy } from "../config/proxy_url.ts";
import { ProxyState } from "./proxy_state.ts";

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
