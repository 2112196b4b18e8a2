import { Members } from "./members.ts";

/** What ends by a clock. */
export interface Timed {
  /** When, on the clock of `performance.now()`; `Infinity` is never. */
  readonly deadline: number;
  /** The time has come. */
  wake(): void;
}

/**
 * One timer for all that waits in a client: thousands of connects arm it about once. It knows who waits, too; without
 * anybody there is no timer.
 */
export class DeadlineTimer<T extends Timed> {
  readonly #timed = new Members<T>();
  readonly #keepsAlive: boolean;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #at = Infinity;

  /** `keepsAlive`: whether the process waits for it. */
  constructor(keepsAlive: boolean) {
    this.#keepsAlive = keepsAlive;
  }

  /** All that wait. */
  get all(): T[] {
    return [...this.#timed];
  }

  /** Begins to wait, or has another time to wait for. */
  set(sleeper: T): void {
    this.#timed.add(sleeper);
    if (sleeper.deadline < this.#at) this.#arm(sleeper.deadline);
  }

  /** Waits no longer. */
  delete(sleeper: T): void {
    this.#timed.delete(sleeper);
    if (this.#timed.size === 0) this.#arm(Infinity);
  }

  #arm(at: number): void {
    if (this.#at < Infinity) clearTimeout(this.#timer);
    this.#at = at;
    if (at === Infinity) return;
    this.#timer = timerAt(at, this.#fire);
    if (!this.#keepsAlive) (this.#timer as { unref?(): void }).unref?.();
  }

  readonly #fire = (): void => {
    const clock = performance.now();
    const now = this.#at - clock < 1 ? Math.max(this.#at, clock) : clock; // a timer may come a little early
    this.#at = Infinity;
    for (const sleeper of this.all) if (sleeper.deadline <= now) sleeper.wake();
    let next = Infinity;
    for (const { deadline: due } of this.#timed) next = Math.min(next, due);
    if (next < this.#at) this.#arm(next);
  };
}

/** A timer for a time on the clock of `performance.now()`; if that is too far for timers it comes too early. */
export function timerAt(at: number, run: () => void): ReturnType<typeof setTimeout> {
  return setTimeout(run, Math.min(2 ** 31 - 1, Math.max(0, Math.ceil(at - performance.now()))));
}
