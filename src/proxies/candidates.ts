import { firstUpTo, type MinTree, Remainder } from "./min_tree.ts";

/**
 * The proxies that a request may still try, by their numbers in the list: those of the list in its order, then those that
 * were put at the end. It keeps what is taken out and not what is left, so that the length of the list costs O(log n).
 */
export class Candidates {
  readonly #ranks: MinTree;
  readonly #length: number;
  /** Those that are out for this round. */
  readonly #out = new Set<number>();
  /** Those that are out for good. */
  #dropped: Set<number> | undefined;
  /** Those at the end: as many as a request had under way at a time. */
  #last: Set<number> | undefined;
  /** The ranks of those that are neither, once it is asked for. */
  #rest: Remainder | undefined;

  /** `ranks`: the lower the better, for each of the list, as they are at any time. */
  constructor(ranks: MinTree, length: number) {
    this.#ranks = ranks;
    this.#length = length;
  }

  get size(): number {
    return this.inNextRound - this.#out.size + (this.#last?.size ?? 0);
  }

  /** How many are left when the next round begins. */
  get inNextRound(): number {
    return this.#length - (this.#dropped?.size ?? 0);
  }

  /** The lowest rank, `Infinity` if nothing is left. */
  get least(): number {
    let least = this.#listed.at(1);
    if (this.#last !== undefined) { for (const index of this.#last) least = Math.min(least, this.#ranks.get(index)); }
    return least;
  }

  /** The first with a rank of at most `most`. */
  first(most: number): number | undefined {
    const first = firstUpTo(most, this.#listed);
    if (first !== undefined || this.#last === undefined) return first;
    for (const index of this.#last) if (this.#ranks.get(index) <= most) return index;
    return undefined;
  }

  /** Takes one out for this round. */
  take(index: number): void {
    this.#last?.delete(index);
    if (this.#dropped?.has(index) || this.#out.has(index)) return;
    this.#out.add(index);
    this.#rest?.take(index);
  }

  /** Puts one that was taken out at the end. */
  putLast(index: number): void {
    (this.#last ??= new Set()).add(index);
  }

  /** Keeps one that was taken out from coming back in the next round. */
  drop(index: number): void {
    if (this.#out.delete(index)) (this.#dropped ??= new Set()).add(index);
  }

  /** The next round begins. */
  restore(): void {
    if (this.#rest !== undefined) { for (const index of this.#out) this.#rest.put(index); }
    this.#out.clear();
    this.#last = undefined;
  }

  get #listed(): MinTree | Remainder {
    if (this.#rest !== undefined) return this.#rest;
    if (this.#out.size === 0 && this.#dropped === undefined) return this.#ranks;
    return this.#rest = new Remainder(this.#ranks, [...this.#out, ...this.#dropped ?? []]);
  }
}
