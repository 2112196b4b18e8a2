import type { Proxy } from "../config/proxy_url.ts";
import type { Settings } from "../config/settings.ts";
import { type Phase, type Socks5Error, withEarlier } from "../errors.ts";
import type { Candidates } from "./candidates.ts";
import type { Health } from "./health.ts";
import { pauseAfter, type Verdict } from "./policy.ts";

/** What follows from a failed attempt: the next address of the target, a pause, another proxy, or nothing. */
export type Next = "address" | "retry" | "failover" | null;

/** The shortest time of an attempt, however many proxies are left for the rest of `timeout`, in milliseconds. */
const SHORTEST = 500;

/** The least part of the remaining time that an attempt is given. */
const QUARTER = 4;

/** Which proxies one request tries: in rounds, each proxy once a round. */
export class Rounds {
  /** What failed so far, oldest first. */
  readonly errors: Socks5Error[] = [];
  /** How many attempts began. */
  begun = 0;
  /** How many pauses there were. */
  done = 0;
  /** Whether a failure leaves no hope but in what is under way. */
  isFinal = false;
  readonly #health: Health;
  readonly #settings: Settings;
  /** Those that may still be tried. */
  readonly #left: Candidates;
  readonly #tried = new Set<Proxy>();

  constructor(health: Health, settings: Settings) {
    this.#health = health;
    this.#settings = settings;
    this.#left = health.candidates();
  }

  /** Whether no proxy is untried, so that a reply may take what is left of `timeout`. */
  get isLast(): boolean {
    return this.#tried.size === this.#health.proxies.length;
  }

  /** The proxy for the next attempt; one that failed before may be probed by the first attempt of a request. */
  pick(): Proxy {
    return this.#health.pick(this.begun === 0, this.#left);
  }

  /** Whether a proxy that is in service is left for an attempt beside others. */
  get hasInService(): boolean {
    return !this.isFinal && this.#health.hasInService(this.#left);
  }

  /** That proxy. */
  pickBeside(): Proxy | undefined {
    return this.hasInService ? this.#health.pick(false, this.#left) : undefined;
  }

  /** Whether several proxies are left, so that attempts may run beside each other. */
  get isChoice(): boolean {
    return this.#left.size > 1;
  }

  /** An attempt begins; gives its limit in milliseconds, of those that the request has left. */
  begin(proxy: Proxy, request: { readonly remaining: number }): number {
    this.#left.take(this.#health.indexOf(proxy));
    this.#tried.add(proxy);
    this.begun++;
    const { attemptTimeout } = this.#settings;
    const parts = Math.min(1 + this.#left.size, QUARTER);
    return parts === 1 ? attemptTimeout : Math.min(attemptTimeout, Math.max(request.remaining / parts, SHORTEST));
  }

  /** Another attempt was ready to send the request before it; `isOvertaken`: although that one began later. */
  lost(proxy: Proxy, isOvertaken: boolean): void {
    this.#left.putLast(this.#health.indexOf(proxy));
    if (!isOvertaken && this.done === 0) this.#tried.delete(proxy);
    if (isOvertaken) this.#health.passOver(proxy);
  }

  /** An attempt failed while others are under way. */
  failedBeside(proxy: Proxy, { error, rule }: Verdict): void {
    this.#note(proxy, { error, rule });
    this.isFinal ||= !rule.nextProxy;
  }

  /** The last address that an attempt asked for was not reached, and there is another one. */
  failedAddress(error: Socks5Error): void {
    this.errors.push(error);
  }

  /** What follows from a failure, and after how many milliseconds, of the `remaining` ones. */
  failed(proxy: Proxy, verdict: Verdict, remaining: number): { next: Next; pause: number } {
    const mayRetry = this.#note(proxy, verdict);
    if (this.isFinal) return { next: null, pause: 0 };
    if (verdict.rule.nextProxy && this.#left.size > 0) return { next: "failover", pause: 0 };
    const pause = pauseAfter(this.done, this.#settings);
    const isAnotherRound = (mayRetry || verdict.rule.nextProxy) && this.#left.inNextRound > 0 &&
      this.done < this.#settings.retries && pause < remaining;
    if (!isAnotherRound) return { next: null, pause: 0 };
    this.done++;
    this.#left.restore();
    return { next: "retry", pause };
  }

  /** The error that got furthest, the last among equals, with the others. */
  get furthest(): Socks5Error {
    const depth = (error: Socks5Error) => DEPTH.indexOf(error.phase);
    const best = this.errors.reduce((a, b) => depth(b) >= depth(a) ? b : a);
    return withEarlier(best, this.errors.filter((error) => error !== best));
  }

  /** Gives whether the proxy may be tried again in the next round. */
  #note(proxy: Proxy, { error, rule }: Verdict): boolean {
    const { when } = this.#settings;
    const mayRetry = rule.retry !== false && (when === undefined ? rule.retry : when(error)) === true;
    this.errors.push(error);
    if (!mayRetry) this.#left.drop(this.#health.indexOf(proxy));
    return mayRetry;
  }
}

const DEPTH: readonly Phase[] = ["pool", "lookup", "dial", "negotiate", "authenticate", "request", "tls", "transfer"];
