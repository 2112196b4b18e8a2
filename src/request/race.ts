import type { DeadlineTimer, Timed } from "../deadline_timer.ts";
import type { Phase } from "../errors.ts";
import type { Scope } from "../scope.ts";

/** Where an attempt runs: its deadline, and its place in the pool. */
export interface Seat {
  readonly scope: Scope;
}

/** An attempt that others may run beside. */
export interface Racer {
  readonly seat: Seat;
  readonly opened: Promise<unknown>;
  /** Whether another has begun since this one was silent. */
  isOvertaken: boolean;
}

/** How long it takes until room for one more is looked for again, in milliseconds. */
const LOOK_AGAIN = 250;

/**
 * Attempts at several proxies at the same time, as RFC 8305 section 5 has them at several addresses: when all under way
 * are silent for a while another may begin, and the first that is about to send the request goes on alone.
 */
export class Race<R extends Racer> implements Timed {
  deadline: number = Infinity;
  /** Those under way, in the order in which they began. */
  running: readonly R[] = [];
  /** Whether one of them is about to send the request, or has sent it. */
  isDecided: boolean = false;
  readonly #alarm: DeadlineTimer<Timed>;
  readonly #delay: number;
  readonly #lost: (racer: R) => void;
  readonly #done: R[] = [];
  #isSilent = false;
  #told: (() => void) | undefined;

  /** `lost` has to end an attempt that another has won against. */
  constructor(alarm: DeadlineTimer<Timed>, delay: number, lost: (racer: R) => void) {
    this.#alarm = alarm;
    this.#delay = delay;
    this.#lost = lost;
  }

  /** Whether nothing is under way, and all that was is known. */
  get isOver(): boolean {
    return this.running.length === 0 && this.#done.length === 0;
  }

  /** Those whose end nobody was told of, the last one last. */
  get rest(): readonly R[] {
    return [...this.#done, ...this.running];
  }

  /** Watches the attempts at `seat`, from before they begin. */
  watch(seat: Seat): void {
    seat.scope.onPhase ??= (phase) => this.#entered(seat, phase);
  }

  /** Has an attempt take part, which was watched from before it began. */
  add(racer: R): void {
    this.running = [...this.running, racer];
    const done = () => {
      if (!this.running.includes(racer)) return;
      this.#leave(racer);
      this.#done.push(racer);
      this.#told?.();
    };
    racer.opened.then(done, done);
  }

  /** The next attempt that is done; `undefined` when it is time for one more. */
  async next(): Promise<R | undefined> {
    while (this.#done.length === 0 && !this.#isSilent) await new Promise<void>((resolve) => this.#told = resolve);
    const done = this.#done.shift();
    if (done === undefined) this.#isSilent = false;
    return done;
  }

  /** There was no room for one more. */
  waitForRoom(): void {
    this.#wait(Math.max(this.#delay, LOOK_AGAIN));
  }

  /** The clock has come to `due`. */
  wake(): void {
    this.#disarm();
    this.#isSilent = true;
    this.#told?.();
  }

  /** Ends it; what is still under way is not its own to end. */
  close(): void {
    this.#disarm();
    this.running = [];
  }

  #entered(seat: Seat, phase: Phase): void {
    if (phase === "dial") this.isDecided = false; // a request that was sent before is void
    if (phase !== "request") return this.isDecided || phase === "lookup" ? undefined : this.#wait(this.#delay);
    this.#disarm();
    this.#isSilent = false;
    this.isDecided = true;
    for (const racer of this.running) {
      if (racer.seat === seat) continue;
      this.#leave(racer);
      this.#lost(racer);
    }
  }

  #leave(racer: R): void {
    this.running = this.running.filter((other) => other !== racer);
  }

  #wait(ms: number): void {
    this.deadline = performance.now() + ms;
    this.#alarm.set(this);
  }

  #disarm(): void {
    if (this.deadline === Infinity) return;
    this.deadline = Infinity;
    this.#alarm.delete(this);
  }
}
