import type { Phase } from "./errors.ts";

/** What a scope closes when it ends. */
export interface Owned {
  close(): void;
}

/** Makes the error of a deadline: of the whole connect, or of the running attempt. */
export type TimedOut = (deadline: "timeout" | "attempt", phase: Phase) => unknown;

/**
 * One connect: its deadlines, its cancellation and the one connection that it owns at the time. Whoever ends it first
 * decides how; from then on nothing that I/O still throws counts.
 */
export class Scope {
  /** Told of each step before it begins. */
  onPhase: ((phase: Phase) => void) | undefined;
  #phase: Phase = "pool";
  #attempt = new Attempt();
  #over: { readonly reason: unknown } | undefined;
  /** Whether the caller's signal ended it: the reason is the caller's, whatever it is. */
  aborted = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #end: number;
  readonly #user: AbortSignal | undefined;
  readonly #timedOut: TimedOut;

  /** `timeout` in milliseconds from now; throws the reason of a signal that is aborted already. */
  constructor(user: AbortSignal | undefined, timeout: number, timedOut: TimedOut) {
    if (user !== undefined && typeof user?.throwIfAborted !== "function") {
      throw new TypeError(`Cannot use signal as AbortSignal: current value is ${String(user)}`);
    }
    user?.throwIfAborted();
    this.#user = user;
    this.#timedOut = timedOut;
    this.#end = performance.now() + timeout;
    user?.addEventListener("abort", this.#onAbort);
    this.#arm(Infinity);
  }

  /** The step that runs now, set before it begins. */
  get phase(): Phase {
    return this.#phase;
  }

  set phase(phase: Phase) {
    this.#phase = phase;
    this.onPhase?.(phase);
  }

  /** Milliseconds until the deadline of the whole. */
  get left(): number {
    return this.#end - performance.now();
  }

  /** Aborts when the attempt or the scope ends. */
  get signal(): AbortSignal {
    return this.#attempt.signal;
  }

  /** The reason for which the attempt or the scope ended; `undefined` while it runs. */
  get over(): { readonly reason: unknown } | undefined {
    return this.#over ?? this.#attempt.over;
  }

  /** Whether the whole ended, and not just an attempt. */
  get ended(): boolean {
    return this.#over !== undefined;
  }

  /** Throws the reason for which the attempt or the scope ended: to be asked after each `await`. */
  throwIfOver(): void {
    if (this.over !== undefined) throw this.over.reason;
  }

  /** Begins an attempt that ends after `ms`, or when the scope does. */
  attempt(ms: number): void {
    if (this.ended) return;
    this.#attempt = new Attempt();
    this.#arm(ms);
  }

  /** Moves the deadline of the running attempt; that of the scope stays. */
  extend(ms: number): void {
    if (this.over === undefined) this.#arm(ms);
  }

  /** Gives what `promise` gives, unless the attempt ends first; what comes after that goes to `late`. */
  run<T>(promise: Promise<T>, late: (value: T) => void): Promise<T> {
    const attempt = this.#attempt;
    return new Promise((resolve, reject) => {
      if (this.over !== undefined) reject(this.over.reason);
      else attempt.reject = reject;
      promise.then(
        (value) => this.over === undefined && attempt === this.#attempt ? resolve(value) : late(value),
        reject,
      );
    });
  }

  /** Takes what is to be closed if the attempt ends; closes it and throws if it has ended. */
  own<T extends Owned>(owned: T): T {
    if (this.over !== undefined) owned.close();
    this.throwIfOver();
    this.#attempt.owned = owned;
    return owned;
  }

  /** Closes what the attempt owns. */
  drop(): void {
    this.#attempt.owned?.close();
    this.#attempt.owned = undefined;
  }

  /** Resolves after `ms`, unless the scope ends first; takes the place of the attempt. */
  pause(ms: number): Promise<void> {
    this.attempt(Infinity);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const paused = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
    this.own({ close: () => clearTimeout(timer) });
    return this.run(paused, () => {});
  }

  /** Ends the whole with `reason`: the first call counts. */
  end(reason: unknown): void {
    if (this.ended) return;
    this.#over = { reason };
    this.#dispose();
    this.#attempt.end(reason);
  }

  /** Ends well: what was owned is the caller's from now on. Synchronous, the last thing before it is handed over. */
  give(): void {
    this.#dispose();
    this.#attempt = new Attempt(); // its signal counts no more
  }

  readonly #onAbort = (): void => {
    this.aborted = !this.ended;
    this.end(this.#user!.reason);
  };

  #dispose(): void {
    clearTimeout(this.#timer);
    this.#user?.removeEventListener("abort", this.#onAbort);
  }

  #arm(ms: number): void {
    clearTimeout(this.#timer);
    const whole = ms >= this.left;
    const due = whole ? this.left : ms;
    if (due === Infinity) return;
    const expire = () => {
      if (whole) this.end(this.#timedOut("timeout", this.phase));
      else this.#attempt.end(this.#timedOut("attempt", this.phase));
    };
    if (due > 0) this.#timer = setTimeout(expire, due);
    else expire();
  }
}

/** One dial and handshake, or a wait: what it owns goes with it. */
class Attempt {
  over: { readonly reason: unknown } | undefined;
  owned: Owned | undefined;
  reject: ((reason: unknown) => void) | undefined;
  #controller: AbortController | undefined;

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.over !== undefined) this.#controller.abort(this.over.reason);
    return this.#controller.signal;
  }

  end(reason: unknown): void {
    if (this.over !== undefined) return;
    this.over = { reason };
    this.#controller?.abort(reason);
    this.owned?.close();
    this.owned = undefined;
    this.reject?.(reason);
  }
}
