import type { DeadlineTimer, Timed } from "../deadline_timer.ts";
import type { Call, Caller, Tried, Try } from "./call.ts";
import { type Next, Tries } from "../proxies/tries.ts";
import { explain } from "../attempt/dial.ts";
import { Socks5Error, TargetError, withEarlier } from "../errors.ts";
import type { Health } from "../proxies/health.ts";
import { GIVE_UP, PROXY_UNFIT, type Rule, ruleFor } from "../proxies/policy.ts";
import type { Proxy } from "../config/proxy_url.ts";
import { Race, type Seat } from "./race.ts";
import type { Scope } from "../scope.ts";
import { MAX_DELAY, type Settings } from "../config/settings.ts";

/** A failure and what follows from it. */
interface Judgement {
  readonly error: Socks5Error;
  readonly rule: Rule;
}

/** The shortest time of an attempt, however many proxies are left for what is left of `timeout`, in milliseconds. */
const SHORTEST = 500;

/** The least part of what is left that an attempt is given. */
const QUARTER = 4;

/** Tries proxies in rounds, one after another, or beside one that is silent. */
export class Failover {
  readonly health: Health;
  readonly #settings: Settings;
  readonly #alarm: DeadlineTimer<Timed>;

  constructor(health: Health, settings: Settings, alarm: DeadlineTimer<Timed>) {
    this.health = health;
    this.#settings = settings;
    this.#alarm = alarm;
  }

  /** What the first attempt that succeeds gives; else the error that got furthest, with the others in `errors`. */
  async run<A extends Try<unknown>, T>(call: Call<A, T>): Promise<T> {
    const { scope } = call;
    const course = new Tries(this.health.proxies);
    const race = this.#raceOf(course, call);
    let tried: A | undefined;
    try {
      for (;;) {
        if (course.next === null || course.next === "retry") {
          const beginning = call.begin(course.next === "retry");
          const found = beginning && await beginning;
          if (found !== undefined) {
            scope.throwIfOver();
            return call.handOver(found, undefined);
          }
          tried = undefined;
        }
        const seat = tried?.seat ?? call.seat(race === undefined);
        tried = this.#begin(course, call, seat, call.ready ?? this.#pick(course), race);
        try {
          if (race !== undefined) tried = await this.#decided(race, course, call);
          const opened = await tried.opened as Awaited<A["opened"]>;
          tried.seat.scope.throwIfOver();
          this.health.succeeded(tried.proxy);
          return call.handOver(opened, tried);
        } catch (thrown) {
          tried.seat.scope.attempt.drop();
          if (scope.aborted) throw thrown;
          const delay = this.#decide(course, call, tried, this.failed(thrown, call, tried));
          if (course.next === "retry") {
            call.leave();
            await scope.sleep(delay);
          }
        }
      }
    } catch (error) {
      call.lost();
      if (scope.isOver) return endOf(scope, course.errors);
      scope.end(error);
      throw error;
    } finally {
      race?.close();
    }
  }

  /** What was thrown as an error of ours with its rule, remembered; throws what is none. */
  failed(thrown: unknown, caller: Caller, tried: Tried): Judgement {
    const { error, rule } = judge(thrown, caller, tried);
    const { proxy } = tried;
    if (error instanceof TargetError && error.rep !== null && error.proxy === proxy.name) this.health.succeeded(proxy);
    if (rule.cooldown) this.health.failed(proxy);
    return { error, rule };
  }

  /** The pause after a round. */
  delay(round: number): number {
    const { minDelay, maxDelay } = this.#settings;
    return Math.min(maxDelay, minDelay * 2 ** Math.min(round + 1, 30), MAX_DELAY) * (0.5 + Math.random() / 2);
  }

  /** None if there is one proxy, or if `attemptDelay` is endless. */
  #raceOf<A extends Try<unknown>>(course: Tries, call: Call<A, unknown>): Race<A> | undefined {
    const { attemptDelay } = this.#settings;
    if (course.left.length < 2 || attemptDelay === Infinity) return undefined;
    return new Race<A>(this.#alarm, attemptDelay, (tried) => {
      const { proxy, isOvertaken } = tried;
      course.lost(proxy, isOvertaken);
      if (isOvertaken) this.health.passOver(proxy);
      call.vacate(tried.seat);
      call.overtaken(tried);
    });
  }

  #begin<A extends Try<unknown>>(
    course: Tries,
    call: Call<A, unknown>,
    seat: Seat,
    proxy: Proxy,
    race: Race<A> | undefined,
    isRetry = course.errors.length > 0,
  ): A {
    course.begin(proxy);
    const { attemptTimeout } = this.#settings;
    const parts = Math.min(1 + course.left.length, QUARTER);
    const limit = parts === 1
      ? attemptTimeout
      : Math.min(attemptTimeout, Math.max(call.scope.remaining / parts, SHORTEST));
    const tried = call.attempt(seat, proxy, course, limit, isRetry);
    race?.watch(seat);
    seat.scope.begin(limit);
    tried.start();
    race?.add(tried);
    return tried;
  }

  /** The attempt that comes to its end alone: that of the request, or the last of those that failed before. */
  async #decided<A extends Try<unknown>>(race: Race<A>, course: Tries, call: Call<A, unknown>): Promise<A> {
    for (;;) {
      const tried = await race.next();
      if (tried === undefined) this.#overtake(race, course, call);
      else if (call.scope.isOver) return this.#last([tried, ...race.rest], call.scope);
      else if (race.isOver) return tried;
      else await this.#failedBeside(race, course, call, tried);
    }
  }

  /** The last one that began; if `timeout` has ended them all, the others are passed over. */
  #last<A extends Try<unknown>>(ended: readonly A[], { ended: over, aborted }: Scope): A {
    const last = ended.reduce((a, b) => b.number > a.number ? b : a);
    const isTimeout = !aborted && over!.reason instanceof Socks5Error && over!.reason.code === "SOCKS5_TIMEOUT";
    if (isTimeout) { for (const { proxy } of ended) if (proxy !== last.proxy) this.health.passOver(proxy); }
    return last;
  }

  /** Those under way are silent: another begins beside them, if one is in service and there is room. */
  #overtake<A extends Try<unknown>>(race: Race<A>, course: Tries, call: Call<A, unknown>): void {
    if (race.isDecided || course.isFinal || call.scope.isOver) return;
    const left = this.health.inService(course.left);
    if (left.length === 0) return;
    const seat = call.spare();
    if (seat === undefined) return race.waitForRoom();
    for (const tried of race.running) tried.isOvertaken = true;
    this.#begin(course, call, seat, this.health.pick(left, false), race, false);
  }

  /** One failed while others are under way, which go on in any case. */
  async #failedBeside<A extends Try<unknown>>(
    race: Race<A>,
    course: Tries,
    call: Call<A, unknown>,
    tried: A,
  ): Promise<void> {
    try {
      await tried.opened;
    } catch (thrown) {
      tried.seat.scope.attempt.drop();
      const { error, rule } = this.failed(thrown, call, tried);
      course.failed(tried.proxy, error, this.#mayTryAgain(error, rule));
      course.isFinal ||= !rule.nextProxy;
      call.failed(tried, error, "failover", 0);
      const left = course.isFinal || race.isDecided || call.scope.isOver ? [] : this.health.inService(course.left);
      if (left.length === 0) return call.vacate(tried.seat);
      this.#begin(course, call, tried.seat, this.health.pick(left, false), race);
    }
  }

  #pick(course: Tries): Proxy {
    return this.health.pick(course.left, course.attempts === 0);
  }

  /** What comes after a failure, and after how many milliseconds; throws if nothing does. */
  #decide<A extends Try<unknown>>(
    course: Tries,
    call: Call<A, unknown>,
    tried: A,
    { error, rule }: Judgement,
  ): number {
    const pause = this.delay(course.round);
    const next = this.#next(course, call, tried, { error, rule }, pause);
    const delay = next === "retry" ? pause : 0;
    call.failed(tried, error, next, delay);
    if (next === null || call.scope.isOver) throw call.scope.isOver ? error : course.furthest;
    course.advance(next);
    return delay;
  }

  #next<A extends Try<unknown>>(
    course: Tries,
    call: Call<A, unknown>,
    tried: A,
    { error, rule }: Judgement,
    pause: number,
  ): Next {
    const { scope } = call;
    if (rule.address && !scope.isOver && !call.committed && call.another(tried)) {
      course.errors.push(error);
      return "address";
    }
    const again = this.#mayTryAgain(error, rule);
    course.failed(tried.proxy, error, again);
    if (scope.isOver || call.committed || course.isFinal) return null;
    if (rule.nextProxy && course.left.length > 0) return "failover";
    const mayRetry = (again || rule.nextProxy) && course.retryable.length > 0 && course.round < this.#settings.retries;
    return mayRetry && pause < scope.remaining ? "retry" : null;
  }

  #mayTryAgain(error: Socks5Error, rule: Rule): boolean {
    const { when } = this.#settings;
    return rule.retry !== false && (when === undefined ? rule.retry : when(error)) === true;
  }
}

function judge(thrown: unknown, caller: Caller, { proxy, identity, seat }: Tried): Judgement {
  const { ended: over, aborted, attempt } = seat.scope;
  if (aborted) throw over!.reason;
  // an earlier hop, which has retried already, has failed; a tunnel of it that broke is as good as a socket that broke
  const inner = over === undefined && thrown instanceof Socks5Error && thrown.code !== "SOCKS5_CONN_RESET";
  const own = inner ? thrown : explain(thrown, attempt.phase, proxy, identity, caller);
  const error = over === undefined ? own : over.reason;
  if (!(error instanceof Socks5Error)) throw error;
  if (!inner) return { error, rule: ruleFor(error, caller.perCall) };
  return { error, rule: error instanceof TargetError ? PROXY_UNFIT : GIVE_UP };
}

function endOf(scope: Scope, errors: readonly Socks5Error[]): never {
  const reason = scope.ended!.reason;
  throw reason instanceof Socks5Error && !scope.aborted
    ? withEarlier(reason, errors.filter((error) => error !== reason))
    : reason;
}
