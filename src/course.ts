import type { Socks5Error } from "./errors.ts";
import type { Proxy } from "./proxy.ts";

/** How far one connect has come with its proxies. */
export class Course {
  readonly errors: Socks5Error[] = [];
  round = 0;
  /** What is next; `null` at the beginning. */
  next: "retry" | "failover" | null = null;
  /** Those that may still be tried in this round, and in the next one. */
  left: readonly Proxy[];
  hopeful: readonly Proxy[];
  #untried: readonly Proxy[];

  constructor(proxies: readonly Proxy[]) {
    this.left = this.hopeful = this.#untried = proxies;
  }

  /** Whether no other proxy is untried. */
  isLast(proxy: Proxy): boolean {
    return this.#untried.every((other) => other === proxy);
  }

  /** `again`: it may be tried in the next round. */
  failed(proxy: Proxy, error: Socks5Error, again: boolean): void {
    this.errors.push(error);
    this.left = without(this.left, proxy);
    this.#untried = without(this.#untried, proxy);
    if (!again) this.hopeful = without(this.hopeful, proxy);
  }

  goOn(next: "retry" | "failover"): void {
    this.next = next;
    if (next === "failover") return;
    this.round++;
    this.left = this.hopeful;
  }
}

function without(proxies: readonly Proxy[], proxy: Proxy): readonly Proxy[] {
  return proxies.filter((other) => other !== proxy);
}
