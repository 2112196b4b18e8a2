import { type Phase, type Socks5Error, withEarlier } from "../errors.ts";
import type { Proxy } from "../config/proxy_url.ts";

/** What follows from a failed attempt: the next address of the target, a pause, another proxy, or nothing. */
export type Next = "address" | "retry" | "failover" | null;

/** How far one connect has come with its proxies. */
export class Tries {
  readonly errors: Socks5Error[] = [];
  round = 0;
  /** How many attempts began. */
  attempts = 0;
  /** What is next; `null` at the beginning. */
  next: Next = null;
  /** Whether a failure leaves no hope but in what is under way. */
  isFinal = false;
  /** Those that may still be tried in this round, and in the next one. */
  left: readonly Proxy[];
  retryable: readonly Proxy[];
  #untried: readonly Proxy[];

  constructor(proxies: readonly Proxy[]) {
    this.left = this.retryable = this.#untried = proxies;
  }

  /** Whether no proxy is untried. */
  get isLast(): boolean {
    return this.#untried.length === 0;
  }

  /** The error that got furthest, the last among equals, with the others. */
  get furthest(): Socks5Error {
    const depth = (error: Socks5Error) => DEPTH.indexOf(error.phase);
    const best = this.errors.reduce((a, b) => depth(b) >= depth(a) ? b : a);
    return withEarlier(best, this.errors.filter((error) => error !== best));
  }

  /** An attempt begins. */
  begin(proxy: Proxy): void {
    this.left = without(this.left, proxy);
    this.#untried = without(this.#untried, proxy);
    this.attempts++;
  }

  /** Another was ready to send the request before it; `isOvertaken`: although that one began later. */
  lost(proxy: Proxy, isOvertaken: boolean): void {
    this.left = [...this.left, proxy];
    if (!isOvertaken && this.round === 0) this.#untried = [...this.#untried, proxy];
  }

  /** `again`: it may be tried in the next round. */
  failed(proxy: Proxy, error: Socks5Error, again: boolean): void {
    this.errors.push(error);
    if (!again) this.retryable = without(this.retryable, proxy);
  }

  advance(next: Next): void {
    this.next = next;
    if (next !== "retry") return;
    this.round++;
    this.left = this.retryable;
  }
}

const DEPTH: readonly Phase[] = ["pool", "lookup", "dial", "negotiate", "authenticate", "request", "tls", "transfer"];

function without(proxies: readonly Proxy[], proxy: Proxy): readonly Proxy[] {
  if (proxies.length === 1) return proxies[0] === proxy ? NONE : proxies;
  return proxies.filter((other) => other !== proxy);
}

const NONE: readonly Proxy[] = [];
