/** So many may have left, beside as many as are there, until the others move to a new set. */
const MOST_GONE = 64;

/**
 * A set, in the order in which its members came, for members that come and go with each request. V8 keeps the tables that
 * a set has outgrown, with all that was in them, as long as an older one is there, which only a full collection ends;
 * until then each collection copies them. A new set leaves them behind.
 */
export class Members<T> {
  #all = new Set<T>();
  #gone = 0;

  get size(): number {
    return this.#all.size;
  }

  add(member: T): void {
    this.#all.add(member);
  }

  delete(member: T): void {
    if (!this.#all.delete(member) || ++this.#gone < MOST_GONE + this.size) return;
    this.#all = new Set(this.#all);
    this.#gone = 0;
  }

  [Symbol.iterator](): IterableIterator<T> {
    return this.#all.values();
  }
}
