import { Remainder, type Tree } from "./number_tree.ts";
import type { ProxyState } from "./proxy_state.ts";

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
