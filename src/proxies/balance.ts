import type { Balance } from "../config/options.ts";
import { firstUpTo, indexAtShare, type Tree } from "./number_tree.ts";
import type { ProxyState } from "./proxy_state.ts";
import type { Roster } from "./roster.ts";

/** How often a second one is drawn at most. */
const MOST_DRAWS = 16;

/**
 * The next one by the balance, of those in service among `left`, of which there is one.
 *
 * Of two random ones that with the lower cost: as if each proxy were as many equal ones, of the least weight, as make up
 * its own weight, and two of all those were drawn. Otherwise a large one, of which nearly always some connections are
 * open, would lose against small ones that have none.
 */
export function balanced(
  balance: Balance,
  { states, unit }: Roster,
  left: { readonly chances: Tree | undefined },
): ProxyState {
  const chances = left.chances!;
  if (balance === "round-robin") return states[firstUpTo(chances.at(1), chances)!]!;
  const draw = () => states[indexAtShare(Math.random(), chances)!]!;
  const one = draw();
  if (balance === "random") return one;
  let other = draw();
  for (let i = 0; i < MOST_DRAWS && other === one && Math.random() * one.proxy.weight < unit; i++) other = draw();
  if (other === one) return one;
  const now = balance === "fastest" ? performance.now() : 0;
  const shift = Math.random(); // a cost that is twice the other one always counts, one that is hardly more hardly ever
  const cost = balance === "least-open" ? load : (state: ProxyState, unit: number) => {
    return Math.floor(shift + Math.log2((1 + state.latency.expected(now)) * (1 + load(state, unit))));
  };
  return cost(other, unit) < cost(one, unit) ? other : one;
}

/** The connections of one of the equal ones, which are whole. */
function load({ open, proxy: { weight } }: ProxyState, unit: number): number {
  return Math.floor(open * unit / weight + Math.random());
}
