import type { Balance } from "../config/options.ts";
import { firstUpTo, indexAtShare, type Tree } from "./number_tree.ts";
import type { ProxyState } from "./proxy_state.ts";

/** How often another one is drawn to compare it with the first. */
const MOST_DRAWS = 4;

/** The proxy that is next by the balance, of those in service, of which there is one. */
export function balanced(balance: Balance, states: readonly ProxyState[], chances: Tree, now: number): ProxyState {
  if (balance === "round-robin") return states[firstUpTo(chances.at(1), chances)!]!;
  const draw = () => states[indexAtShare(Math.random(), chances)!]!;
  const one = draw();
  if (balance === "random") return one;
  let other = draw();
  for (let tries = 0; other === one && tries < MOST_DRAWS; tries++) other = draw();
  const cost = balance === "least-open"
    ? load
    : (state: ProxyState) => (1 + state.latency.expected(now)) * (1 + load(state));
  return cost(other) < cost(one) ? other : one;
}

function load({ open, proxy: { weight } }: ProxyState): number {
  return open / weight;
}
