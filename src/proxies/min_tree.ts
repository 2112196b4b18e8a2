/**
 * Numbers in a row as a complete binary tree of their minima: node 1 is the root, `2 * n` and `2 * n + 1` are below node
 * `n`, and the numbers are the nodes from `width` on. Where there is none it is `Infinity`.
 */
export interface Minima {
  /** A power of two. */
  readonly width: number;
  /** The least number below a node, or that of a leaf. */
  at(node: number): number;
}

/** Finds the first number in the row that is at most `most`, in O(log n); `undefined` if there is none. */
export function firstUpTo(most: number, tree: Minima): number | undefined {
  const { width } = tree;
  if (tree.at(1) > most) return undefined;
  let node = 1;
  while (node < width) {
    node *= 2;
    if (tree.at(node) > most) node++;
  }
  return node - width;
}

/** Numbers of which each change costs O(log n). */
export class MinTree implements Minima {
  readonly width: number;
  readonly #minima: Float64Array;
  /** How often something below a node has changed. */
  readonly #changes: Uint32Array;

  /** `length` times the same number. */
  constructor(length: number, number: number) {
    this.width = 2 ** Math.ceil(Math.log2(length));
    this.#minima = new Float64Array(2 * this.width).fill(Infinity);
    this.#changes = new Uint32Array(2 * this.width);
    this.#minima.fill(number, this.width, this.width + length);
    for (let node = this.width - 1; node > 0; node--) this.#find(node);
  }

  at(node: number): number {
    return this.#minima[node]!;
  }

  /** A number that is another one once something below the node has changed. */
  changesAt(node: number): number {
    return this.#changes[node]!;
  }

  get(index: number): number {
    return this.#minima[this.width + index]!;
  }

  set(index: number, number: number): void {
    let node = this.width + index;
    if (this.#minima[node] === number) return;
    this.#minima[node] = number;
    for (this.#changes[node]!++; (node >>= 1) > 0; this.#changes[node]!++) this.#find(node);
  }

  #find(node: number): void {
    this.#minima[node] = Math.min(this.#minima[2 * node]!, this.#minima[2 * node + 1]!);
  }
}

/**
 * The numbers of a tree, as they are at any time, without some. It keeps nothing but the nodes above those; to take one
 * out or back costs O(log n), and so does each change of the tree in between.
 */
export class Remainder implements Minima {
  readonly width: number;
  readonly #tree: MinTree;
  /** What is not as in the tree; `changes`: those at the node when `min` was found. */
  readonly #nodes = new Map<number, { min: number; changes: number }>();

  constructor(tree: MinTree, without: Iterable<number>) {
    this.width = tree.width;
    this.#tree = tree;
    for (const index of without) this.take(index);
  }

  at(node: number): number {
    const known = this.#nodes.get(node);
    if (known === undefined) return this.#tree.at(node);
    if (node >= this.width) return known.min;
    const changes = this.#tree.changesAt(node);
    if (known.changes !== changes) {
      known.min = Math.min(this.at(2 * node), this.at(2 * node + 1));
      known.changes = changes;
    }
    return known.min;
  }

  /** Takes a number out. */
  take(index: number): void {
    this.#nodes.set(this.width + index, { min: Infinity, changes: UNKNOWN });
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
      if (known === undefined) this.#nodes.set(node, { min: Infinity, changes: UNKNOWN });
      else known.changes = UNKNOWN;
    }
  }
}

const UNKNOWN = -1;
