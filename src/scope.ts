import type { DeadlineTimer, Timed } from "./deadline_timer.ts";
import { cannot, type Phase } from "./errors.ts";
import { quietly } from "./guarded_conn.ts";

/** What is closed when an attempt ends; what `close()` throws is dropped. */
export interface Owned {
  close(): void;
}

/** Makes the error of a deadline: of the whole request, or of the running attempt. */
export type TimedOut = (deadline: "timeout" | "attempt", phase: Phase) => unknown;

/**
 * The lifetime of one request, or of one seat in a race: its deadlines, its cancellation and the attempt that runs at the
 * time. Whoever ends it first decides how; from then on nothing that I/O still throws counts.
 */
export class Scope implements Timed {
  /** The attempt that runs, or the wait for a place before it. */
  attempt: AttemptScope = new AttemptScope();
  /** Told of each step of its attempts before it begins. */
  onPhase: ((phase: Phase) => void) | undefined;
  /** Whether the caller's signal ended it: the reason is the caller's, whatever it is. */
  aborted = false;
  /** When the clock ends it, or its attempt. */
  deadline: number;
  slot = -1;
  readonly #end: number;
  readonly #timer: DeadlineTimer<Timed>;
  readonly #signal: AbortSignal | undefined;
  readonly #timedOut: TimedOut;
  #ended: { readonly reason: unknown } | undefined;
  #forks: Scope[] | undefined;

  /** `timeout` in milliseconds from now; throws the reason of a signal that is aborted already. */
  constructor(timer: DeadlineTimer<Timed>, signal: AbortSignal | undefined, timeout: number, timedOut: TimedOut) {
    if (signal !== undefined && typeof signal?.throwIfAborted !== "function") {
      throw new TypeError(cannot("signal", "an AbortSignal", signal));
    }
    signal?.throwIfAborted();
    this.#timer = timer;
    this.#signal = signal;
    this.#timedOut = timedOut;
    const now = performance.now();
    this.deadline = this.#end = now + timeout;
    signal?.addEventListener("abort", this);
    this.#arm(now);
  }

  /** Milliseconds until the deadline of the whole. */
  get remaining(): number {
    return this.#end - performance.now();
  }

  /** The reason for which the attempt or the scope ended; `undefined` while it runs. */
  get ended(): { readonly reason: unknown } | undefined {
    return this.#ended ?? this.attempt.ended;
  }

  /** Whether the whole ended, and not just an attempt. */
  get isOver(): boolean {
    return this.#ended !== undefined;
  }

  /** The step that runs now; of attempts beside each other, that of the last one. */
  get phase(): Phase {
    return this.#forks?.findLast((fork) => !fork.isOver)?.phase ?? this.attempt.phase;
  }

  /** Begins an attempt that ends after `ms`, or when the scope does; what the one before owned is closed. */
  begin(ms: number): AttemptScope {
    if (this.isOver) return this.attempt;
    if (!this.attempt.isNew) {
      this.attempt.drop();
      this.attempt = new AttemptScope();
    }
    this.attempt.onPhase = this.onPhase;
    this.attempt.begun = performance.now();
    this.#extend(ms, this.attempt.begun);
    return this.attempt;
  }

  /** A scope for attempts beside others: it has no deadline but theirs, and ends with this one at the latest. */
  fork(timedOut: TimedOut): Scope {
    const fork = new Scope(this.#timer, undefined, Infinity, timedOut);
    (this.#forks ??= []).push(fork);
    if (this.#ended !== undefined) fork.end(this.#ended.reason);
    return fork;
  }

  /** Moves the deadline of the running attempt; that of the scope stays. */
  extend(ms: number): void {
    this.#extend(ms, performance.now());
  }

  #extend(ms: number, now: number): void {
    if (this.ended !== undefined) return;
    this.deadline = Math.min(now + ms, this.#end);
    this.#arm(now);
  }

  /** Gives what `promise` gives, unless the attempt ends first. */
  run<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.ended !== undefined) reject(this.ended.reason);
      else this.attempt.reject = reject;
      promise.then(resolve, reject);
    });
  }

  /** Throws the reason for which the attempt or the scope ended: to be asked after each `await`. */
  throwIfEnded(): void {
    if (this.ended !== undefined) throw this.ended.reason;
  }

  /** Resolves after `ms`, unless the scope ends first; takes the place of the attempt. */
  sleep(ms: number): Promise<void> {
    const attempt = this.begin(Infinity);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const paused = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
    attempt.own({ close: () => clearTimeout(timer) });
    return this.run(paused);
  }

  /** Ends the whole with `reason`: the first call counts. */
  end(reason: unknown): void {
    if (!this.#finish(reason)) return;
    this.attempt.end(reason);
    for (const fork of this.#forks ?? []) fork.end(reason);
  }

  /** Ends well: what was owned is the caller's from now on. Synchronous, the last thing before it is handed over. */
  detach(): void {
    this.#finish(undefined);
  }

  /** The clock has come to `deadline`. */
  wake(): void {
    const { phase } = this.attempt;
    if (this.deadline >= this.#end) return this.end(this.#timedOut("timeout", phase));
    this.deadline = this.#end;
    this.#timer.set(this);
    this.attempt.end(this.#timedOut("attempt", phase));
  }

  /** The caller's signal aborts. */
  handleEvent(): void {
    this.aborted = !this.isOver;
    this.end(this.#signal!.reason);
  }

  #finish(reason: unknown): boolean {
    if (this.#ended !== undefined) return false;
    this.#ended = { reason };
    this.onPhase = this.attempt.onPhase = undefined; // a connection may keep its attempt
    this.#timer.delete(this);
    this.#signal?.removeEventListener("abort", this);
    return true;
  }

  #arm(now: number): void {
    if (this.deadline > now) this.#timer.set(this);
    else this.wake();
  }
}

/** One dial and handshake, or a wait: what it owns goes with it, and what still runs of it after its end is lost. */
export class AttemptScope {
  /** Told of each step before it begins. */
  onPhase: ((phase: Phase) => void) | undefined;
  /** When it began, on the clock of `performance.now()`. */
  begun = 0;
  /** The step that runs now. */
  phase: Phase = "pool";
  /** Why it ended. */
  ended: { readonly reason: unknown } | undefined;
  /** Told once, when it ends. */
  reject: ((reason: unknown) => void) | undefined;
  #owned: Owned | undefined;
  #controller: AbortController | undefined;

  /** Whether nothing was done in it. */
  get isNew(): boolean {
    return this.ended === undefined && this.reject === undefined && this.#controller === undefined &&
      this.#owned === undefined;
  }

  /** Aborts when it ends. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.ended !== undefined) this.#controller.abort(this.ended.reason);
    return this.#controller.signal;
  }

  /** Sets the step before it begins; throws the reason if the attempt is over. */
  enter(phase: Phase): void {
    if (this.ended !== undefined) throw this.ended.reason;
    this.phase = phase;
    this.onPhase?.(phase);
  }

  /** Takes what is to be closed if the attempt ends; closes it and throws if it has ended. */
  own<T extends Owned>(owned: T): T {
    if (this.ended !== undefined) {
      void quietly(() => owned.close());
      throw this.ended.reason;
    }
    this.#owned = owned;
    return owned;
  }

  /** Closes what it owns. */
  drop(): void {
    const owned = this.#owned;
    this.#owned = undefined;
    if (owned !== undefined) void quietly(() => owned.close());
  }

  end(reason: unknown): void {
    if (this.ended !== undefined) return;
    this.ended = { reason };
    this.#controller?.abort(reason);
    this.drop();
    this.reject?.(reason);
  }
}
