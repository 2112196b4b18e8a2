/** What ends by a clock. */
export interface Timed {
  /** When, on the clock of `performance.now()`; `Infinity` is never. It changes only before {@linkcode DeadlineTimer.set}. */
  readonly deadline: number;
  /** Where the timer keeps it; -1 if it does not wait. */
  slot: number;
  /** The time has come: it waits no longer, unless it is set again. */
  wake(): void;
}

/**
 * One timer for the deadlines of all that waits in a client: thousands of connects arm it about once, and each costs
 * O(log n). It knows who waits, too; without anybody there is no timer.
 */
export class DeadlineTimer<T extends Timed> {
  /** A binary heap: none is later than the two below it. */
  readonly #heap: T[] = [];
  readonly #keepsAlive: boolean;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #at = Infinity;

  /** `keepsAlive`: whether the process waits for it. */
  constructor(keepsAlive: boolean) {
    this.#keepsAlive = keepsAlive;
  }

  /** All that wait, in a new array. */
  get all(): T[] {
    return [...this.#heap];
  }

  /** Begins to wait, or has another time to wait for. */
  set(timed: T): void {
    if (timed.slot < 0) this.#put(timed, this.#heap.length);
    this.#settle(timed);
    if (timed.deadline < this.#at) this.#arm(timed.deadline);
  }

  /** Waits no longer. */
  delete(timed: T): void {
    if (timed.slot < 0) return;
    const last = this.#heap.pop()!;
    if (last !== timed) {
      this.#put(last, timed.slot);
      this.#settle(last);
    }
    timed.slot = -1;
    if (this.#heap.length === 0) this.#arm(Infinity);
  }

  #arm(at: number): void {
    if (this.#at < Infinity) clearTimeout(this.#timer);
    this.#at = at;
    if (at === Infinity) return;
    // what is too far for a timer comes too early, and is armed again
    const ms = Math.min(2 ** 31 - 1, Math.max(0, Math.ceil(at - performance.now())));
    this.#timer = setTimeout(this.#fire, ms);
    if (!this.#keepsAlive) (this.#timer as { unref?(): void }).unref?.();
  }

  readonly #fire = (): void => {
    const clock = performance.now();
    const now = this.#at - clock < 1 ? Math.max(this.#at, clock) : clock; // a timer may come a little early
    this.#at = Infinity;
    for (let first; (first = this.#heap[0]) !== undefined && first.deadline <= now;) {
      this.delete(first);
      first.wake();
    }
    const next = this.#heap[0]?.deadline ?? Infinity;
    if (next < this.#at) this.#arm(next);
  };

  /** Moves it to where it belongs, up or down. */
  #settle(timed: T): void {
    const heap = this.#heap;
    const { deadline } = timed;
    let { slot } = timed;
    for (let above; slot > 0 && (above = heap[(slot - 1) >> 1]!).deadline > deadline; slot = (slot - 1) >> 1) {
      this.#put(above, slot);
    }
    for (let next; (next = 2 * slot + 1) < heap.length; slot = next) {
      if (next + 1 < heap.length && heap[next + 1]!.deadline < heap[next]!.deadline) next++;
      const below = heap[next]!;
      if (below.deadline >= deadline) break;
      this.#put(below, slot);
    }
    this.#put(timed, slot);
  }

  #put(timed: T, slot: number): void {
    this.#heap[slot] = timed;
    timed.slot = slot;
  }
}
