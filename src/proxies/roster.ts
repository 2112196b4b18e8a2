import type { Balance } from "../config/options.ts";
import type { Listed } from "./candidates.ts";
import { firstUpTo, MIN, NumberTree, SUM } from "./number_tree.ts";
import type { ProxyState } from "./proxy_state.ts";

/**
 * The ranks: of a proxy that has worked since it failed, of one whose suspension is over, and of one that has as many
 * connections as it may. One that is suspended has the time until which it is, with `FOREVER` as the last; one without
 * weight has none.
 */
export const WORKING = -3;
export const DUE = -2;
export const FULL = -1;
export const FOREVER: number = Number.MAX_VALUE;
export const NONE: number = Infinity;

/** The list of proxies as it is at a time. What changes with one of them costs O(log n). */
export class Roster implements Listed {
  readonly states: readonly ProxyState[];
  readonly size: number;
  /** The least weight. */
  readonly unit: number;
  readonly ranks: NumberTree;
  readonly chances: NumberTree | undefined;
  readonly #balance: Balance;
  readonly #isProbed: boolean;
  /** Until when those are that are suspended. */
  readonly #untils: NumberTree;

  /** `isProbed`: one that failed stays out of service until it has worked, and not just for a time. */
  constructor(states: readonly ProxyState[], balance: Balance, isProbed: boolean) {
    const nothing = states.map(() => NONE);
    states.forEach((state, index) => state.index = index);
    this.states = states;
    this.size = states.filter(({ proxy }) => proxy.weight > 0).length;
    this.unit = states.reduce((least, { proxy: { weight } }) => weight > 0 ? Math.min(least, weight) : least, Infinity);
    this.ranks = new NumberTree(nothing, MIN);
    this.#untils = new NumberTree(nothing, MIN);
    this.#balance = balance;
    this.#isProbed = isProbed;
    if (balance === "round-robin") this.chances = new NumberTree(nothing, MIN);
    else if (balance !== "first") this.chances = new NumberTree(states.map(() => 0), SUM);
    const now = performance.now();
    const first = states.reduce((least, { turn }) => turn > 0 ? Math.min(least, turn) : least, Infinity);
    for (const state of states) {
      // half a turn in: so the turns of proxies with different weights mix
      if (state.turn === 0) state.turn = (first === Infinity ? 0 : first) + 0.5 / state.proxy.weight;
      this.update(state, now, 0);
    }
  }

  has(index: number): boolean {
    return index >= 0 && this.states[index]!.proxy.weight > 0;
  }

  rankOf(state: ProxyState): number {
    return this.ranks.get(state.index);
  }

  /** Something has changed that its rank or its chance depends on; it comes into line not before `turn`. */
  update(state: ProxyState, now: number, turn: number = this.#firstTurn): void {
    const { index, proxy: { weight }, suspendedUntil } = state;
    const isSuspended = suspendedUntil > now || (this.#isProbed && state.strikes > 0);
    const until = Math.min(suspendedUntil, FOREVER);
    const rank = weight === 0 ? NONE : isSuspended ? until : state.isFull ? FULL : state.strikes > 0 ? DUE : WORKING;
    this.#untils.set(index, suspendedUntil > now ? until : NONE);
    this.ranks.set(index, rank);
    const { chances } = this;
    if (chances === undefined) return;
    if (rank > DUE) chances.set(index, chances.fold.none);
    else if (this.#balance !== "round-robin") chances.set(index, weight);
    else chances.set(index, state.turn = Math.max(state.turn, turn));
  }

  /** Its turn is over. */
  takeTurn(state: ProxyState): void {
    state.turn += 1 / state.proxy.weight;
    if (this.rankOf(state) <= DUE) this.chances!.set(state.index, state.turn);
  }

  /** When the first suspension is over; `NONE` if no one is suspended, or for ever. */
  get soonest(): number {
    const until = this.#untils.at(1);
    return until === FOREVER ? NONE : until;
  }

  /** Whether one is suspended, or was. */
  get hasSuspended(): boolean {
    return this.#untils.at(1) !== NONE;
  }

  /** Puts those whose suspension is over back into service, and gives them. */
  resume(now: number): ProxyState[] {
    const resumed: ProxyState[] = [];
    for (let index; (index = firstUpTo(now, this.#untils)) !== undefined;) {
      const state = this.states[index]!;
      this.update(state, now);
      resumed.push(state);
    }
    return resumed;
  }

  /** The turn of the first in line: whoever was away does not make up for it. */
  get #firstTurn(): number {
    const first = this.#balance === "round-robin" ? this.chances!.at(1) : 0;
    return first === NONE ? 0 : first;
  }
}
