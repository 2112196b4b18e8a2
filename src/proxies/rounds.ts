import type { Settings } from "../config/settings.ts";
import { type Phase, type Socks5Error, withEarlier } from "../errors.ts";
import { Candidates } from "./candidates.ts";
import type { Fleet } from "./fleet.ts";
import { pauseAfter, type Verdict } from "./policy.ts";
import type { Place, ProxyState } from "./proxy_state.ts";

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
  readonly #fleet: Fleet;
  readonly #settings: Settings;
  readonly #hostname: string;
  readonly #session: string | undefined;
  readonly #tried = new Set<ProxyState>();
  #candidates: Candidates;

  /** `hostname`: of the target. */
  constructor(fleet: Fleet, settings: Settings, hostname: string, session: string | undefined) {
    this.#fleet = fleet;
    this.#settings = settings;
    this.#hostname = hostname;
    this.#session = session;
    this.#candidates = new Candidates(fleet.listFor(hostname));
  }

  /** Whether no proxy is untried, so that a reply may take what is left of `timeout`. */
  get isLast(): boolean {
    return this.#tried.size >= this.#left.list.size;
  }

  /** The proxy of the session, which may have no room. */
  get sessionProxy(): ProxyState | undefined {
    return this.#session === undefined ? undefined : this.#fleet.proxyOf(this.#session, this.#left);
  }

  /** Whether a connection of this proxy will do. */
  mayUse(state: ProxyState): boolean {
    return this.#session === undefined ? this.#left.list.has(state.index) : this.sessionProxy === state;
  }

  /**
   * The proxy for the next attempt, `undefined` if none has room; that of a session may have none. One that failed before
   * may be probed by the first attempt of a request.
   */
  pick(): ProxyState | undefined {
    return this.#fleet.pick(this.begun === 0, this.#left, this.#session);
  }

  /** Waits for a place at one proxy, or at any that may be tried. */
  wait(one: ProxyState | undefined, signal: AbortSignal): Promise<Place | undefined> {
    return this.#fleet.wait(one, (state) => this.#left.has(state), signal);
  }

  /** Whether a proxy that is in service is left for an attempt beside others. */
  get hasInService(): boolean {
    return !this.isFinal && this.#fleet.hasInService(this.#left);
  }

  /** That proxy. */
  pickBeside(): ProxyState | undefined {
    const state = this.hasInService ? this.#fleet.pick(false, this.#left, this.#session) : undefined;
    return state?.isFull ? undefined : state;
  }

  /** Whether several proxies are left, so that attempts may run beside each other. */
  get isChoice(): boolean {
    return this.#left.size > 1;
  }

  /** Those of the list, as it is now, that may still be tried. */
  get #left(): Candidates {
    const list = this.#fleet.listFor(this.#hostname);
    if (list !== this.#candidates.list) this.#candidates = this.#candidates.over(list);
    return this.#candidates;
  }

  /** An attempt begins; gives its limit in milliseconds, of those that the request has left. */
  begin(state: ProxyState, request: { readonly remaining: number }): number {
    this.#left.take(state);
    this.#tried.add(state);
    this.begun++;
    const { attemptTimeout } = this.#settings;
    const parts = Math.min(1 + this.#left.size, QUARTER);
    return parts === 1 ? attemptTimeout : Math.min(attemptTimeout, Math.max(request.remaining / parts, SHORTEST));
  }

  /**
   * Another attempt was ready to send the request before it, which began at `begun`; `isOvertaken`: although that one
   * began later.
   */
  lost(state: ProxyState, isOvertaken: boolean, begun?: number): void {
    this.#left.putLast(state);
    if (!isOvertaken && this.done === 0) this.#tried.delete(state);
    if (isOvertaken) this.#fleet.passOver(state, begun);
  }

  /** An attempt failed while others are under way. */
  failedBeside(state: ProxyState, { error, rule }: Verdict): void {
    this.#note(state, { error, rule });
    this.isFinal ||= !rule.nextProxy;
  }

  /** The last address that an attempt asked for was not reached, and there is another one. */
  failedAddress(error: Socks5Error): void {
    this.errors.push(error);
  }

  /** What follows from a failure, and after how many milliseconds, of the `remaining` ones. */
  failed(state: ProxyState, verdict: Verdict, remaining: number): { next: Next; pause: number } {
    const mayRetry = this.#note(state, verdict);
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
  #note(state: ProxyState, { error, rule }: Verdict): boolean {
    const { when } = this.#settings;
    const mayRetry = rule.retry !== false && (when === undefined ? rule.retry : when(error)) === true;
    this.errors.push(error);
    if (!mayRetry) this.#left.drop(state);
    return mayRetry;
  }
}

const DEPTH: readonly Phase[] = ["pool", "lookup", "dial", "negotiate", "authenticate", "request", "tls", "transfer"];
