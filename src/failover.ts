import { explain, type Identity } from "./dial.ts";
import { type Phase, Socks5Error, type Socks5ErrorCode, TargetError, withEarlier } from "./errors.ts";
import { LONGEST, type Settings } from "./options.ts";
import type { Proxy } from "./proxy.ts";
import type { Scope } from "./scope.ts";

/** What follows from a failure. */
export interface Rule {
  /** Whether another proxy is tried at once. */
  readonly next: boolean;
  /** Whether this one is tried again after a pause; `"when"`: only if `retry.when` says so. */
  readonly again: boolean | "when";
  /** Whether it is passed over for a while. */
  readonly cools: boolean;
}

const GIVE_UP: Rule = { next: false, again: false, cools: false };
const PROXY_FAILED: Rule = { next: true, again: true, cools: true };
const PROXY_UNFIT: Rule = { next: true, again: false, cools: true };
const TARGET_FAILED: Rule = { next: true, again: "when", cools: false };

/** The policy: until the request is sent a failure is the proxy's, from then on the target's. */
export const POLICY: Readonly<Record<Socks5ErrorCode, Rule>> = {
  SOCKS5_PROXY_UNREACHABLE: PROXY_FAILED,
  SOCKS5_PROXY_DENIED: GIVE_UP,
  SOCKS5_PROXY_HUNG_UP: PROXY_FAILED,
  SOCKS5_PROXY_NOT_SOCKS5: PROXY_UNFIT,
  SOCKS5_PROXY_BAD_METHOD: PROXY_UNFIT,
  SOCKS5_PROXY_BAD_REPLY: PROXY_UNFIT,
  SOCKS5_AUTH_NO_METHOD: PROXY_UNFIT,
  SOCKS5_AUTH_REFUSED: PROXY_UNFIT,
  SOCKS5_TARGET_FAILED: TARGET_FAILED,
  SOCKS5_TARGET_NOT_ALLOWED: TARGET_FAILED,
  SOCKS5_TARGET_NET_UNREACHABLE: TARGET_FAILED,
  SOCKS5_TARGET_HOST_UNREACHABLE: TARGET_FAILED,
  SOCKS5_TARGET_REFUSED: { ...TARGET_FAILED, next: false },
  SOCKS5_TARGET_TTL_EXPIRED: TARGET_FAILED,
  SOCKS5_TARGET_BAD_COMMAND: TARGET_FAILED,
  SOCKS5_TARGET_BAD_ADDRESS_TYPE: TARGET_FAILED,
  SOCKS5_TARGET_UNKNOWN_REPLY: TARGET_FAILED,
  SOCKS5_TARGET_NO_REPLY: TARGET_FAILED,
  SOCKS5_TIMEOUT: GIVE_UP,
  SOCKS5_ATTEMPT_TIMEOUT: PROXY_FAILED,
  SOCKS5_CLIENT_CLOSED: GIVE_UP,
  SOCKS5_CONN_CLOSED: GIVE_UP,
  SOCKS5_CONN_RESET: GIVE_UP,
};

/** The rule for an error; `perCall`: with credentials of this connect, which no other proxy takes either. */
export function ruleFor({ code, phase }: Socks5Error, perCall: boolean): Rule {
  if (code === "SOCKS5_ATTEMPT_TIMEOUT" && phase === "request") return { next: true, again: false, cools: false };
  if (perCall && code.startsWith("SOCKS5_AUTH_")) return GIVE_UP;
  return POLICY[code];
}

/** One connect, as the failover sees it. */
export interface Call<T> {
  readonly scope: Scope;
  readonly target: string;
  readonly perCall: boolean;
  /** Waits for a place, or finds that no attempt is needed; `first`: comes back from a pause. */
  begin(first: boolean): Promise<T | undefined>;
  identify(proxy: Proxy): Identity;
  attempt(proxy: Proxy, identity: Identity, attempt: number, lastProxy: boolean): Promise<T>;
  failed(proxy: Proxy, attempt: number, error: Socks5Error, next: "retry" | "failover" | null, delay: number): void;
  /** Gives the place back. */
  leave(): void;
}

/** Tries proxies in rounds and remembers which of them failed. */
export class Failover {
  readonly proxies: readonly Proxy[];
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
      return { proxy: name, failures, cooldown: failing ? Math.max(0, until - performance.now()) : 0 };
    });
  }

  /** What the first attempt that succeeds gives; else the error that got furthest, with the others in `errors`. */
  async run<T>(call: Call<T>): Promise<T> {
    const errors: Socks5Error[] = [];
    try {
      return await this.#rounds(call, errors);
    } catch (error) {
      call.leave();
      if (call.scope.ended) return endOf(call.scope, errors);
      throw error;
    }
  }

  async #rounds<T>(call: Call<T>, errors: Socks5Error[]): Promise<T> {
    const { scope } = call;
    const { attemptTimeout, retries, when } = this.#settings;
    const hopeful = new Set(this.proxies);
    const untried = new Set(this.proxies);
    for (let round = 0;; round++) {
      const ready = await call.begin(round > 0);
      if (ready !== undefined) return ready;
      const left = new Set(hopeful);
      for (let next: "retry" | "failover" | null = "failover"; next === "failover";) {
        const proxy = this.#pick(left);
        left.delete(proxy);
        untried.delete(proxy);
        const identity = call.identify(proxy);
        const attempt = errors.length + 1;
        scope.attempt(attemptTimeout);
        try {
          const done = await call.attempt(proxy, identity, attempt, untried.size === 0);
          this.#clear(proxy);
          return done;
        } catch (thrown) {
          scope.drop();
          const { error, rule } = this.#judge(thrown, call, proxy, identity);
          errors.push(error);
          this.#record(proxy, error, rule);
          const again = rule.again !== false && (when === undefined ? rule.again : when(error)) === true;
          if (!again) hopeful.delete(proxy);
          const delay = this.#delay(round);
          const mayRetry = (again || rule.next) && hopeful.size > 0 && round < retries && delay < scope.left;
          next = scope.ended ? null : rule.next && left.size > 0 ? "failover" : mayRetry ? "retry" : null;
          call.failed(proxy, attempt, error, next, next === "retry" ? delay : 0);
          if (next === null || scope.ended) throw scope.ended ? error : furthest(errors);
          if (next === "retry") {
            call.leave();
            await scope.pause(delay);
          }
        }
      }
    }
  }

  /** What was thrown as an error of ours with its rule; throws what is none. */
  #judge(thrown: unknown, call: Call<unknown>, proxy: Proxy, identity: Identity): { error: Socks5Error; rule: Rule } {
    const { over, aborted } = call.scope;
    if (aborted) throw over!.reason;
    // an earlier hop, which has retried already, has failed; a tunnel of it that broke is as good as a socket that broke
    const inner = over === undefined && thrown instanceof Socks5Error && thrown.code !== "SOCKS5_CONN_RESET";
    const own = inner ? thrown : explain(thrown, call.scope, proxy, identity, call.target);
    const error = over === undefined ? own : over.reason;
    if (!(error instanceof Socks5Error)) throw error;
    if (!inner) return { error, rule: ruleFor(error, call.perCall) };
    return { error, rule: error instanceof TargetError ? PROXY_UNFIT : GIVE_UP };
  }

  /** The first in service, else the one that cools for the shortest time; one that failed is probed by one at a time. */
  #pick(left: ReadonlySet<Proxy>): Proxy {
    const now = performance.now();
    const wait = (proxy: Proxy) => Math.max(0, this.#health.get(proxy)!.until - now);
    const proxy = [...left].reduce((best, other) => wait(other) < wait(best) ? other : best);
    const health = this.#health.get(proxy)!;
    if (health.failing) health.until = now + this.#settings.cooldown;
    return proxy;
  }

  #record(proxy: Proxy, error: Socks5Error, rule: Rule): void {
    const health = this.#health.get(proxy)!;
    if (error instanceof TargetError && error.rep !== null && error.proxy === proxy.name) this.#clear(proxy);
    if (!rule.cools) return;
    health.failures++;
    health.failing = true;
    health.until = performance.now() + this.#settings.cooldown;
  }

  #clear(proxy: Proxy): void {
    Object.assign(this.#health.get(proxy)!, { failing: false, until: 0 });
  }

  #delay(round: number): number {
    const { minDelay, maxDelay } = this.#settings;
    return Math.min(maxDelay, minDelay * 2 ** Math.min(round + 1, 30), LONGEST) * (0.5 + Math.random() / 2);
  }
}

const DEPTH: readonly Phase[] = ["pool", "dial", "negotiate", "authenticate", "request", "transfer"];

/** The error that got furthest, the last among equals, with the others. */
function furthest(errors: readonly Socks5Error[]): Socks5Error {
  const depth = (error: Socks5Error) => DEPTH.indexOf(error.phase);
  const best = errors.reduce((a, b) => depth(b) >= depth(a) ? b : a);
  return withEarlier(best, errors.filter((error) => error !== best));
}

function endOf(scope: Scope, errors: readonly Socks5Error[]): never {
  const reason = scope.over!.reason;
  throw reason instanceof Socks5Error && !scope.aborted
    ? withEarlier(reason, errors.filter((error) => error !== reason))
    : reason;
}
