/** What the numbers below a node make: `of` two of them, and `none` where there is no number. */
export interface Fold {
  readonly none: number;
  of(a: number, b: number): number;
}

export const MIN: Fold = { none: Infinity, of: Math.min };
export const SUM: Fold = { none: 0, of: (a, b) => a + b };

/**
 * Numbers in a row as a complete binary tree: node 1 is the root, `2 * n` and `2 * n + 1` are below node `n`, and the
 * numbers are the nodes from `width` on.
 */
export interface Tree {
  /** A power of two. */
  readonly width: number;
  readonly fold: Fold;
  /** What the numbers below a node make, or the number of a leaf. */
  at(node: number): number;
  /** A number that is another one once something below the node has changed. */
  changesAt(node: number): number;
}

/** Finds the first number in the row that is at most `most`, in a tree of minima; `undefined` if there is none. */
export function firstUpTo(most: number, tree: Tree): number | undefined {
  const { width } = tree;
  if (tree.at(1) > most) return undefined;
  let node = 1;
  while (node < width) {
    node *= 2;
    if (tree.at(node) > most) node++;
  }
  return node - width;
}

/**
 * Finds the number in which `share` of the sum lies, from 0 to less than 1, in a tree of sums: each is found as often as
 * it is large. `undefined` if the sum is 0.
 */
export function indexAtShare(share: number, tree: Tree): number | undefined {
  const { width } = tree;
  let rest = share * tree.at(1);
  if (!(tree.at(1) > 0)) return undefined;
  let node = 1;
  while (node < width) {
    node *= 2;
    const left = tree.at(node);
    if (rest < left || !(tree.at(node + 1) > 0)) continue; // what rounding leaves over belongs to the last one
    rest -= left;
    node++;
  }
  return node - width;
}

/** Numbers of which each change costs O(log n). */
export class NumberTree implements Tree {
  readonly width: number;
  readonly fold: Fold;
  readonly #folded: Float64Array;
  /** How often something below a node has changed. */
  readonly #changes: Uint32Array;

  constructor(numbers: readonly number[], fold: Fold) {
    this.fold = fold;
    this.width = 2 ** Math.ceil(Math.log2(numbers.length));
    this.#folded = new Float64Array(2 * this.width).fill(fold.none);
    this.#changes = new Uint32Array(2 * this.width);
    this.#folded.set(numbers, this.width);
    for (let node = this.width - 1; node > 0; node--) this.#find(node);
  }

  at(node: number): number {
    return this.#folded[node]!;
  }

  changesAt(node: number): number {
    return this.#changes[node]!;
  }

  get(index: number): number {
    return this.#folded[this.width + index]!;
  }

  set(index: number, number: number): void {
    let node = this.width + index;
    if (this.#folded[node] === number) return;
    this.#folded[node] = number;
    for (this.#changes[node]!++; (node >>= 1) > 0; this.#changes[node]!++) this.#find(node);
  }

  #find(node: number): void {
    this.#folded[node] = this.fold.of(this.#folded[2 * node]!, this.#folded[2 * node + 1]!);
  }
}

/** What a {@linkcode Remainder} knows of a node that is not as in the tree; `stamp`: its changes when that was found. */
interface Known {
  value: number;
  stamp: number;
  taken: number;
}

/**
 * The numbers of a tree, as they are at any time, without some. It keeps nothing but the nodes above those; to take one
 * out or back costs O(log n), and so does each change of the tree in between.
 */
export class Remainder implements Tree {
  readonly width: number;
  readonly fold: Fold;
  readonly #tree: Tree;
  readonly #nodes = new Map<number, Known>();

  constructor(tree: Tree, without: Iterable<number>) {
    this.width = tree.width;
    this.fold = tree.fold;
    this.#tree = tree;
    for (const index of without) this.take(index);
  }

  at(node: number): number {
    const known = this.#nodes.get(node);
    if (known === undefined) return this.#tree.at(node);
    if (node >= this.width) return known.value;
    const stamp = this.#tree.changesAt(node) + known.taken;
    if (known.stamp !== stamp) {
      known.value = this.fold.of(this.at(2 * node), this.at(2 * node + 1));
      known.stamp = stamp;
    }
    return known.value;
  }

  changesAt(node: number): number {
    return this.#tree.changesAt(node) + (this.#nodes.get(node)?.taken ?? 0);
  }

  /** Whether a number was taken out of it. */
  isTaken(index: number): boolean {
    return this.#nodes.has(this.width + index);
  }

  /** Takes a number out. */
  take(index: number): void {
    this.#nodes.set(this.width + index, { value: this.fold.none, stamp: UNKNOWN, taken: 0 });
    this.#changed(index);
  }

  /** Puts it back. */
  put(index: number): void {
    this.#nodes.delete(this.width + index);
    this.#changed(index);
  }

  #changed(index: number): void {
    for (let node = this.width + index; (node >>= 1) > 0;) {
      const known = this.#nodes.get(node);
      if (known === undefined) this.#nodes.set(node, { value: 0, stamp: UNKNOWN, taken: 1 });
      else known.taken++;
    }
  }
}

const UNKNOWN = -1;
