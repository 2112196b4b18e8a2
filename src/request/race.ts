import type { Timed } from "../deadline_timer.ts";
import { type Phase, Socks5Error, timedOut } from "../errors.ts";
import { rounded } from "../events.ts";
import type { Lease } from "../pool/lease.ts";
import type { ProxyConn } from "../tunnel/proxy_conn.ts";
import { type Attempts, type RunningAttempt, Seat } from "./attempts.ts";

/** How long it takes until room for one more attempt is looked for again, in milliseconds. */
const LOOK_AGAIN = 250;

/**
 * Attempts at several proxies at the same time, as RFC 8305 section 5 has them at several addresses: when all under way
 * are silent for `attemptDelay` another begins, and the first that is about to send the request goes on alone.
 */
export class Race<S> implements Timed {
  deadline: number = Infinity;
  slot = -1;
  readonly #attempts: Attempts<S>;
  readonly #delay: number;
  /** Those under way, in the order in which they began. */
  #running: readonly RunningAttempt<S>[] = [];
  /** Those that are done, and were not looked at yet. */
  readonly #done: RunningAttempt<S>[] = [];
  /** Those beside which another has begun. */
  readonly #overtaken = new Set<RunningAttempt<S>>();
  readonly #seats = new Set<Seat<S>>();
  /** Whether one of them is about to send the request, or has sent it. */
  #isDecided = false;
  #isSilent = false;
  #notify: (() => void) | undefined;

  constructor(attempts: Attempts<S>) {
    this.#attempts = attempts;
    this.#delay = attempts.core.settings.attemptDelay;
  }

  /** A seat for attempts that others may run beside; it ends with the race. */
  seat(lease: Lease<ProxyConn<S>>): Seat<S> {
    const { scope: whole, call } = this.#attempts;
    const scope = whole.fork((deadline, phase) => {
      const { limit, proxy } = seat.newest!;
      return timedOut(deadline, rounded(limit), phase, proxy.name, call);
    });
    const seat = new Seat(scope, lease);
    scope.onPhase = (phase) => this.#entered(seat, phase);
    this.#seats.add(seat);
    return seat;
  }

  /** The attempt that comes to its end alone: the first one, the winner, or the last of those that failed. */
  async decided(first: RunningAttempt<S>): Promise<RunningAttempt<S>> {
    const { scope } = this.#attempts;
    this.#add(first);
    for (;;) {
      while (this.#done.length === 0 && !this.#isSilent) await new Promise<void>((resolve) => this.#notify = resolve);
      const it = this.#done.shift();
      if (it === undefined) await this.#overtake();
      else if (scope.isOver) return this.#last([it, ...this.#done, ...this.#running]);
      else if (this.#running.length === 0 && this.#done.length === 0) return it;
      else await this.#failedBeside(it);
    }
  }

  /** Gives all places back, and ends what still runs in them. */
  close(): void {
    this.#disarm();
    this.#running = [];
    for (const seat of this.#seats) this.#vacate(seat);
  }

  /** The seat of the winner is the caller's. */
  letGo({ seat }: RunningAttempt<S>): void {
    seat.scope.detach();
    this.#seats.delete(seat);
  }

  /** The clock has come to `deadline`. */
  wake(): void {
    this.#disarm();
    this.#isSilent = true;
    this.#notify?.();
  }

  #add(it: RunningAttempt<S>): void {
    this.#running = [...this.#running, it];
    const done = () => {
      if (!this.#running.includes(it)) return;
      this.#leave(it);
      this.#done.push(it);
      this.#notify?.();
    };
    it.opened.then(done, done);
  }

  /** Those under way are silent: another begins beside them, if a proxy is in service and there is room. */
  async #overtake(): Promise<void> {
    this.#isSilent = false;
    const { scope, rounds, core, key } = this.#attempts;
    if (this.#isDecided || scope.isOver || !rounds.hasInService) return;
    const lease = core.pool.spare(key);
    if (lease === undefined) return this.#wait(Math.max(this.#delay, LOOK_AGAIN));
    for (const it of this.#running) this.#overtaken.add(it);
    await this.#beginBeside(this.seat(lease), false);
  }

  /** Begins an attempt beside others, unless no proxy is left for it; `isRetry`: it follows a failure. */
  async #beginBeside(seat: Seat<S>, isRetry: boolean): Promise<void> {
    const { core, rounds, scope } = this.#attempts;
    const isInTime = () => !this.#isDecided && !scope.isOver;
    const state = isInTime() ? rounds.pickBeside() : undefined;
    if (state === undefined) return this.#vacate(seat);
    const place = core.fleet.enter(state);
    if (core.sharesLimit(place)) {
      const isShared = await core.shareLimit(place, seat.scope.attempt.signal).catch(() => false);
      if (!isShared || !isInTime()) {
        place.leave();
        return this.#vacate(seat);
      }
    }
    this.#add(this.#attempts.begin(seat, place, isRetry));
  }

  /** One failed while others are under way, which go on in any case. */
  async #failedBeside(it: RunningAttempt<S>): Promise<void> {
    const { rounds } = this.#attempts;
    try {
      await it.opened;
    } catch (thrown) {
      const verdict = this.#attempts.judge(it, thrown);
      rounds.failedBeside(it.place.state, verdict);
      this.#attempts.tellFailed(it, verdict.error, "failover", 0);
      await this.#beginBeside(it.seat, true);
    }
  }

  /** The last one that began; if `timeout` has ended them all, the others are passed over. */
  #last(ended: readonly RunningAttempt<S>[]): RunningAttempt<S> {
    const { scope, core: { fleet } } = this.#attempts;
    const last = ended.reduce((a, b) => b.number > a.number ? b : a);
    const { reason } = scope.ended!;
    const isTimeout = !scope.aborted && reason instanceof Socks5Error && reason.code === "SOCKS5_TIMEOUT";
    if (isTimeout) { for (const it of ended) if (it !== last) fleet.passOver(it.place.state, it.begun); }
    return last;
  }

  #entered(seat: Seat<S>, phase: Phase): void {
    if (phase === "dial") this.#isDecided = false; // a request that was sent before is void
    if (phase !== "request") return this.#isDecided || phase === "lookup" ? undefined : this.#wait(this.#delay);
    this.#disarm();
    this.#isSilent = false;
    this.#isDecided = true;
    for (const it of this.#running) if (it.seat !== seat) this.#lost(it);
  }

  /** Another was ready to send the request before it. */
  #lost(it: RunningAttempt<S>): void {
    this.#leave(it);
    this.#attempts.rounds.lost(it.place.state, this.#overtaken.has(it), it.begun);
    this.#vacate(it.seat);
    this.#attempts.tell(it.proxy, { type: "overtaken", attempt: it.number });
  }

  /** Ends what runs at a seat, and gives its place back. */
  #vacate(seat: Seat<S>): void {
    if (!seat.scope.isOver) seat.scope.end(new DOMException("The attempt was given up", "AbortError"));
    this.#seats.delete(seat);
    // what time runs out for from now on is another attempt
    if (this.#attempts.newest?.seat === seat) this.#attempts.newest = newestOf(this.#seats);
    seat.newest?.place.leave();
    seat.lease.destroy("client");
  }

  #leave(it: RunningAttempt<S>): void {
    this.#running = this.#running.filter((other) => other !== it);
  }

  #wait(ms: number): void {
    this.deadline = performance.now() + ms;
    this.#attempts.core.timer.set(this);
  }

  #disarm(): void {
    if (this.deadline === Infinity) return;
    this.deadline = Infinity;
    this.#attempts.core.timer.delete(this);
  }
}

/** The attempt that began last in one of the seats. */
function newestOf<S>(seats: Iterable<Seat<S>>): RunningAttempt<S> | undefined {
  let newest: RunningAttempt<S> | undefined;
  for (const { newest: it } of seats) if (it !== undefined && it.number > (newest?.number ?? 0)) newest = it;
  return newest;
}
