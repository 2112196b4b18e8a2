// What the suite uses of @std/testing/time, for machines that do not reach it.

type Timer = { due: number; every: number | null; fire: () => void };
type Globals = Pick<typeof globalThis, "Date" | "setTimeout" | "clearTimeout" | "setInterval" | "clearInterval">;

const real: Globals & { timeout: typeof AbortSignal.timeout } = {
  Date,
  setTimeout,
  clearTimeout,
  setInterval,
  clearInterval,
  timeout: AbortSignal.timeout,
};

let current: FakeTime | undefined;

/** Time was faked twice, or restored twice. */
export class TimeError extends Error {
  override name = "TimeError";
}

/** Replaces `Date`, the timers and `AbortSignal.timeout` until it is restored; time moves only when told to. */
export class FakeTime {
  readonly start: number;
  #now: number;
  #timers = new Map<number, Timer>();
  #ids = 0;

  /** Fakes time from `start` on, by default from now. */
  constructor(start?: number | string | Date | null) {
    if (current) throw new TimeError("Cannot construct FakeTime: time is already faked");
    this.start = this.#now = start == null ? real.Date.now() : new real.Date(start).getTime();
    if (Number.isNaN(this.start)) throw new TypeError(`Cannot construct FakeTime: current start is ${start}`);
    current = this;
    this.#fake();
  }

  /** Brings real time back. */
  static restore(): void {
    if (!current) throw new TimeError("Cannot restore time: time is already restored");
    current.restore();
  }

  /** Milliseconds since 1970; when set, runs the timers that fall due on the way. */
  get now(): number {
    return this.#now;
  }

  set now(value: number) {
    if (value < this.#now) throw new RangeError(`Cannot set time backwards: current value is ${value}`);
    for (let next = this.#next(); next && next[1].due <= value; next = this.#next()) {
      const [id, timer] = next;
      this.#now = timer.due;
      this.#timers.delete(id);
      // Set anew, so that it comes after the timers that were already due then.
      if (timer.every !== null) this.#timers.set(id, { ...timer, due: timer.due + timer.every });
      timer.fire();
    }
    this.#now = value;
  }

  /** Moves time on by `ms`. */
  tick(ms = 0): void {
    this.now += ms;
  }

  /** Runs pending microtasks, then moves time on by `ms`. */
  async tickAsync(ms = 0): Promise<void> {
    await this.runMicrotasks();
    this.now += ms;
  }

  /** Moves time on to the next timer; false if there is none. */
  next(): boolean {
    const next = this.#next();
    if (next) this.now = next[1].due;
    return next !== undefined;
  }

  /** Runs pending microtasks, then moves time on to the next timer; false if there is none. */
  async nextAsync(): Promise<boolean> {
    await this.runMicrotasks();
    return this.next();
  }

  /** Moves time on until no timer is left. */
  runAll(): void {
    while (this.next());
  }

  /** Moves time on until no timer is left, and runs pending microtasks before each. */
  async runAllAsync(): Promise<void> {
    while (this.#timers.size > 0) await this.nextAsync();
  }

  /** Waits for `ms` of real time. */
  delay(ms: number): Promise<void> {
    return new Promise((resolve) => Reflect.apply(real.setTimeout, globalThis, [resolve, ms])); // Workers want that
  }

  /** Runs pending microtasks, and one turn of the real event loop. */
  runMicrotasks(): Promise<void> {
    return this.delay(0);
  }

  /** Brings real time back. */
  restore(): void {
    if (current !== this) throw new TimeError("Cannot restore time: time is already restored");
    current = undefined;
    const { timeout, ...globals } = real;
    Object.assign(globalThis, globals);
    AbortSignal.timeout = timeout;
  }

  /** Brings real time back. */
  [Symbol.dispose](): void {
    this.restore();
  }

  #next(): [number, Timer] | undefined {
    let next: [number, Timer] | undefined;
    for (const entry of this.#timers) {
      if (!next || entry[1].due < next[1].due) next = entry;
    }
    return next;
  }

  #fake(): void {
    const now = () => this.#now;
    const set =
      (repeats: boolean) => (callback: (...args: unknown[]) => void, delay = 0, ...args: unknown[]): number => {
        const ms = Math.max(repeats ? 1 : 0, Math.floor(delay));
        this.#timers.set(++this.#ids, {
          due: this.#now + ms,
          every: repeats ? ms : null,
          fire: () => callback(...args),
        });
        return this.#ids;
      };
    const clear = (id?: unknown): void => void this.#timers.delete(id as number);
    Object.assign(globalThis, {
      Date: new Proxy(real.Date, {
        construct: (date, args) => Reflect.construct(date, args.length === 0 ? [now()] : args),
        apply: () => new real.Date(now()).toString(),
        get: (date, key, receiver) => key === "now" ? now : Reflect.get(date, key, receiver),
      }),
      setTimeout: set(false),
      clearTimeout: clear,
      setInterval: set(true),
      clearInterval: clear,
    });
    AbortSignal.timeout = (ms: number): AbortSignal => {
      const controller = new AbortController();
      setTimeout(() => controller.abort(new DOMException("Signal timed out.", "TimeoutError")), ms);
      return controller.signal;
    };
  }
}
