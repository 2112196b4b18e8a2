/** A place in a {@linkcode LinkedList}. */
export interface Link<T> {
  readonly value: T;
  before: Link<T> | undefined;
  after: Link<T> | undefined;
}

/** A list from which each value is taken out in the same time, wherever it stands. */
export class LinkedList<T> {
  first: Link<T> | undefined;
  last: Link<T> | undefined;
  size = 0;

  /** Puts a value at the end. */
  push(value: T): Link<T> {
    const link: Link<T> = { value, before: this.last, after: undefined };
    if (this.last === undefined) this.first = link;
    else this.last.after = link;
    this.last = link;
    this.size++;
    return link;
  }

  /** Puts a value before all others. */
  unshift(value: T): Link<T> {
    const link: Link<T> = { value, before: undefined, after: this.first };
    if (this.first === undefined) this.last = link;
    else this.first.before = link;
    this.first = link;
    this.size++;
    return link;
  }

  /** Takes out what is in this list, once. */
  remove({ before, after }: Link<T>): void {
    if (before === undefined) this.first = after;
    else before.after = after;
    if (after === undefined) this.last = before;
    else after.before = before;
    this.size--;
  }

  *[Symbol.iterator](): Generator<T> {
    for (let link = this.first; link !== undefined; link = link.after) yield link.value;
  }
}
