import { clearTimeout, setTimeout } from "node:timers";

const MAX_DELAY = 2 ** 31 - 1;

/** Calls a function when nothing has happened for a while; does not keep the process alive. */
export class IdleTimer {
  /** In milliseconds; 0: none. */
  timeout = 0;
  readonly #fire: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(fire: () => void) {
    this.#fire = fire;
  }

  /** Begins anew with so many milliseconds; with 0 it stops. */
  set(timeout: number): void {
    if (typeof timeout !== "number") {
      throw new TypeError(`Cannot use timeout as milliseconds: current value is ${typeof timeout}`);
    }
    if (!(timeout >= 0)) throw new RangeError(`Cannot use timeout as milliseconds: current value is ${timeout}`);
    clearTimeout(this.#timer);
    this.timeout = timeout;
    this.#timer = timeout > 0 && timeout <= MAX_DELAY ? setTimeout(this.#fire, timeout) : undefined;
    this.#timer?.unref();
  }

  /** Something happened. */
  rearm(): void {
    this.#timer?.refresh();
  }
}
