import { Course, type Next } from "./course.ts";
import { type Aim, explain, type Identity } from "./dial.ts";
import { Socks5Error, TargetError, withEarlier } from "./errors.ts";
import { rounded } from "./events.ts";
import { GIVE_UP, PROXY_UNFIT, type Rule, ruleFor } from "./policy.ts";
import type { Proxy } from "./proxy.ts";
import type { Scope } from "./scope.ts";
import { LONGEST, type Settings } from "./settings.ts";

/** Whose failures are judged. */
export interface Caller extends Aim {
  readonly scope: Scope;
  /** Whether it has credentials of its own. */
  readonly perCall: boolean;
}

/** One connect, as the failover sees it. */
export interface Call<O, T> extends Caller {
  /** Whether bytes of the caller are on their way: whatever fails from then on is final. */
  readonly committed: boolean;
  /** The proxy that is not chosen: a session of it came with the place, or it is asked for another address. */
  readonly ready: Proxy | undefined;
  /** Takes a place; a promise if it has to wait, which may give what needs no attempt. `first`: after a pause. */
  begin(first: boolean): Promise<O | undefined> | undefined;
  identify(proxy: Proxy): Identity;
  attempt(proxy: Proxy, identity: Identity, attempt: number, lastProxy: boolean): Promise<O>;
  /** Whether the target has another address, which the next attempt is for. */
  another?(): boolean;
  /** What the attempt opened becomes the caller's. */
  handOver(opened: O): T;
  failed(proxy: Proxy, attempt: number, error: Socks5Error, next: Next, delay: number): void;
  /** Gives the place back. */
  leave(): void;
  /** It is rejected. */
  lost(): void;
}

/** A failure and what follows from it. */
interface Judgement {
  readonly error: Socks5Error;
  readonly rule: Rule;
}

/** Tries proxies in rounds and remembers which of them failed. */
export class Failover {
  readonly proxies: readonly Proxy[];
  /** Told of a proxy that is passed over from now on. */
  onCool: ((proxy: Proxy) => void) | undefined;
  readonly #settings: Settings;
  readonly #health: Map<Proxy, { failures: number; failing: boolean; until: number }>;

  constructor(proxies: readonly Proxy[], settings: Settings) {
    this.proxies = proxies;
    this.#settings = settings;
    this.#health = new Map(proxies.map((proxy) => [proxy, { failures: 0, failing: false, until: 0 }]));
  }

  /** Failures of each proxy since the start, and the milliseconds for which it is still passed over. */
  get stats(): { proxy: string; failures: number; cooldown: number }[] {
    return [...this.#health].map(([{ name }, { failures, failing, until }]) => {
      return { proxy: name, failures, cooldown: failing ? Math.max(0, rounded(until - performance.now())) : 0 };
    });
  }

  /** What the first attempt that succeeds gives; else the error that got furthest, with the others in `errors`. */
  async run<O, T>(call: Call<O, T>): Promise<T> {
    const { scope } = call;
    const course = new Course(this.proxies);
    try {
      for (;;) {
        const begins = course.next === null || course.next === "retry";
        const beginning = begins ? call.begin(course.next === "retry") : undefined;
        const found = beginning && await beginning;
        if (found !== undefined) {
          scope.throwIfOver();
          return call.handOver(found);
        }
        const proxy = call.ready ?? this.#pick(course.left);
        const identity = call.identify(proxy);
        scope.begin(this.#settings.attemptTimeout);
        try {
          const opened = await call.attempt(proxy, identity, course.errors.length + 1, course.isLast(proxy));
          scope.throwIfOver();
          this.succeeded(proxy);
          return call.handOver(opened);
        } catch (thrown) {
          scope.attempt.drop();
          const delay = this.#decide(course, call, proxy, this.failed(thrown, call, proxy, identity));
          if (course.next === "retry") {
            call.leave();
            await scope.pause(delay);
          }
        }
      }
    } catch (error) {
      call.lost();
      if (scope.ended) return endOf(scope, course.errors);
      scope.end(error);
      throw error;
    }
  }

  /** What comes after a failure, and after how many milliseconds; throws if nothing does. */
  #decide(course: Course, call: Call<unknown, unknown>, proxy: Proxy, { error, rule }: Judgement): number {
    const pause = this.delay(course.round);
    const next = this.#next(course, call, proxy, { error, rule }, pause);
    const delay = next === "retry" ? pause : 0;
    call.failed(proxy, course.errors.length, error, next, delay);
    if (next === null || call.scope.ended) throw call.scope.ended ? error : course.furthest;
    course.goOn(next);
    return delay;
  }

  #next(
    course: Course,
    call: Call<unknown, unknown>,
    proxy: Proxy,
    { error, rule }: Judgement,
    pause: number,
  ): Next {
    const { retries, when } = this.#settings;
    const { scope } = call;
    if (rule.address && !scope.ended && !call.committed && call.another?.()) {
      course.errors.push(error);
      return "address";
    }
    const again = rule.again !== false && (when === undefined ? rule.again : when(error)) === true;
    course.failed(proxy, error, again);
    if (scope.ended || call.committed) return null;
    if (rule.next && course.left.length > 0) return "failover";
    const mayRetry = (again || rule.next) && course.hopeful.length > 0 && course.round < retries;
    return mayRetry && pause < scope.left ? "retry" : null;
  }

  /** What was thrown as an error of ours with its rule, remembered; throws what is none. */
  failed(thrown: unknown, caller: Caller, proxy: Proxy, identity: Identity): Judgement {
    const judged = this.#judge(thrown, caller, proxy, identity);
    this.#record(proxy, judged.error, judged.rule);
    return judged;
  }

  /** The proxy has done its part. */
  succeeded(proxy: Proxy): void {
    const health = this.#health.get(proxy)!;
    health.failing = false;
    health.until = 0;
  }

  /** The first that is not passed over; one that failed is probed by one at a time. */
  inService(): Proxy | undefined {
    const left = this.proxies.filter((proxy) => this.#health.get(proxy)!.until <= performance.now());
    return left.length === 0 ? undefined : this.#pick(left);
  }

  /** The pause after a round. */
  delay(round: number): number {
    const { minDelay, maxDelay } = this.#settings;
    return Math.min(maxDelay, minDelay * 2 ** Math.min(round + 1, 30), LONGEST) * (0.5 + Math.random() / 2);
  }

  #judge(thrown: unknown, caller: Caller, proxy: Proxy, identity: Identity): Judgement {
    const { over, aborted, attempt } = caller.scope;
    if (aborted) throw over!.reason;
    // an earlier hop, which has retried already, has failed; a tunnel of it that broke is as good as a socket that broke
    const inner = over === undefined && thrown instanceof Socks5Error && thrown.code !== "SOCKS5_CONN_RESET";
    const own = inner ? thrown : explain(thrown, attempt.phase, proxy, identity, caller);
    const error = over === undefined ? own : over.reason;
    if (!(error instanceof Socks5Error)) throw error;
    if (!inner) return { error, rule: ruleFor(error, caller.perCall) };
    return { error, rule: error instanceof TargetError ? PROXY_UNFIT : GIVE_UP };
  }

  /** The first in service, else the one that cools for the shortest time; one that failed is probed by one at a time. */
  #pick(left: readonly Proxy[]): Proxy {
    if (left.length === 1 && !this.#health.get(left[0]!)!.failing) return left[0]!;
    const now = performance.now();
    const wait = (proxy: Proxy) => Math.max(0, this.#health.get(proxy)!.until - now);
    const proxy = left.reduce((best, other) => wait(other) < wait(best) ? other : best);
    const health = this.#health.get(proxy)!;
    if (health.failing) health.until = now + this.#settings.cooldown;
    return proxy;
  }

  #record(proxy: Proxy, error: Socks5Error, rule: Rule): void {
    const health = this.#health.get(proxy)!;
    if (error instanceof TargetError && error.rep !== null && error.proxy === proxy.name) this.succeeded(proxy);
    if (!rule.cools) return;
    health.failures++;
    health.failing = true;
    health.until = performance.now() + this.#settings.cooldown;
    this.onCool?.(proxy);
  }
}

function endOf(scope: Scope, errors: readonly Socks5Error[]): never {
  const reason = scope.over!.reason;
  throw reason instanceof Socks5Error && !scope.aborted
    ? withEarlier(reason, errors.filter((error) => error !== reason))
    : reason;
}
