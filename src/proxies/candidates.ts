import type { Balance } from "../config/options.ts";
import { firstUpTo, indexAtShare, Remainder, type Tree } from "./number_tree.ts";
import type { ProxyState } from "./proxy_state.ts";
import type { Roster } from "./roster.ts";

/** A list of proxies by their numbers, as far as a request may try them. */
export interface Listed {
  /** The lower the better: see `Fleet`. */
  readonly ranks: Tree;
  /** What chooses among those in service, if the order of the list does not. */
  readonly chances: Tree | undefined;
  /** How many there are. */
  readonly size: number;
  /** Whether one is among them. */
  has(index: number): boolean;
}

/**
 * The proxies that a request may still try: those of the list, then those that were put at the end. It keeps what is taken
 * out and not what is left, so that the length of the list costs O(log n).
 */
export class Candidates {
  readonly list: Listed;
  /** Those that are out for this round. */
  readonly #out = new Set<ProxyState>();
  /** Those that are out for good. */
  #dropped: Set<ProxyState> | undefined;
  /** Those at the end: as many as a request had under way at a time. */
  #last: Set<ProxyState> | undefined;
  /** What is left of the ranks and of the chances, once it is asked for. */
  #ranks: Remainder | undefined;
  #chances: Remainder | undefined;

  constructor(list: Listed) {
    this.list = list;
  }

  get size(): number {
    return this.inNextRound - this.#out.size + (this.#last?.size ?? 0);
  }

  /** How many are left when the next round begins. */
  get inNextRound(): number {
    return this.list.size - (this.#dropped?.size ?? 0);
  }

  /** Those that are out, which the list has too. */
  get out(): Iterable<ProxyState> {
    return this.#dropped === undefined ? this.#out : [...this.#out, ...this.#dropped];
  }

  /** Those at the end. */
  get last(): Iterable<ProxyState> {
    return this.#last ?? [];
  }

  /** Whether it may be tried, before those at the end. */
  has(state: ProxyState): boolean {
    return !this.#out.has(state) && !this.#dropped?.has(state) && this.list.has(state.index);
  }

  get ranks(): Tree {
    if (this.#isWhole) return this.list.ranks;
    return this.#ranks ??= this.#rest(this.list.ranks);
  }

  get chances(): Tree | undefined {
    const { chances } = this.list;
    if (chances === undefined || this.#isWhole) return chances;
    return this.#chances ??= this.#rest(chances);
  }

  /** Takes one out for this round. */
  take(state: ProxyState): void {
    this.#last?.delete(state);
    if (!this.has(state)) return;
    this.#out.add(state);
    this.#ranks?.take(state.index);
    this.#chances?.take(state.index);
  }

  /** Puts one that was taken out at the end. */
  putLast(state: ProxyState): void {
    (this.#last ??= new Set()).add(state);
  }

  /** Keeps one that was taken out from coming back in the next round. */
  drop(state: ProxyState): void {
    if (this.#out.delete(state)) (this.#dropped ??= new Set()).add(state);
  }

  /** The next round begins. */
  restore(): void {
    for (const { index } of this.#out) {
      this.#ranks?.put(index);
      this.#chances?.put(index);
    }
    this.#out.clear();
    this.#last = undefined;
  }

  /** The same for another list, in which some may have left. */
  over(list: Listed): Candidates {
    const same = new Candidates(list);
    for (const state of this.#dropped ?? []) {
      same.take(state);
      same.drop(state);
    }
    for (const state of this.#out) same.take(state);
    for (const state of this.#last ?? []) if (list.has(state.index)) same.putLast(state);
    return same;
  }

  get #isWhole(): boolean {
    return this.#ranks === undefined && this.#chances === undefined && this.#out.size === 0 &&
      this.#dropped === undefined;
  }

  #rest(tree: Tree): Remainder {
    return new Remainder(tree, [...this.out].map(({ index }) => index));
  }
}

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
