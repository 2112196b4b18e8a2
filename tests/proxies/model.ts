import type { Proxy } from "../../src/config/proxy_url.ts";
import type { Verdict } from "../../src/proxies/policy.ts";

type State = { failing: boolean; until: number };

/** The rules of choosing a proxy, written down without a thought of how long it takes: lists that are gone through. */
export class HealthModel {
  readonly proxies: readonly Proxy[];
  readonly #cooldown: number;
  readonly #states: Map<Proxy, State>;

  constructor(proxies: readonly Proxy[], cooldown: number) {
    this.proxies = proxies;
    this.#cooldown = cooldown;
    this.#states = new Map(proxies.map((proxy) => [proxy, { failing: false, until: 0 }]));
  }

  /** For how long each is passed over. */
  get cooldowns(): number[] {
    return [...this.#states.values()].map(({ until }) => Math.max(0, until - performance.now()));
  }

  succeeded(proxy: Proxy): void {
    this.#states.set(proxy, { failing: false, until: 0 });
  }

  passOver(proxy: Proxy): void {
    this.#states.set(proxy, { failing: true, until: performance.now() + this.#cooldown });
  }

  inService(proxies: readonly Proxy[]): readonly Proxy[] {
    return proxies.filter((proxy) => this.#states.get(proxy)!.until <= performance.now());
  }

  pick(proxies: readonly Proxy[], isProbe: boolean): Proxy {
    const now = performance.now();
    const rank = (proxy: Proxy) => {
      const { failing, until } = this.#states.get(proxy)!;
      return failing && !(isProbe && until <= now) ? Math.max(until, now) : 0;
    };
    const proxy = proxies.reduce((best, other) => rank(other) < rank(best) ? other : best);
    if (this.#states.get(proxy)!.failing) this.passOver(proxy);
    return proxy;
  }
}

/** Which proxies one request tries, in the same manner. */
export class RoundsModel {
  begun = 0;
  done = 0;
  isFinal = false;
  readonly #health: HealthModel;
  readonly #retries: number;
  #left: readonly Proxy[];
  #retryable: readonly Proxy[];
  #untried: readonly Proxy[];

  constructor(health: HealthModel, retries: number) {
    this.#health = health;
    this.#retries = retries;
    this.#left = this.#retryable = this.#untried = health.proxies;
  }

  get isLast(): boolean {
    return this.#untried.length === 0;
  }

  get isChoice(): boolean {
    return this.#left.length > 1;
  }

  get hasInService(): boolean {
    return !this.isFinal && this.#health.inService(this.#left).length > 0;
  }

  pick(): Proxy {
    return this.#health.pick(this.#left, this.begun === 0);
  }

  pickBeside(): Proxy | undefined {
    return this.hasInService ? this.#health.pick(this.#health.inService(this.#left), false) : undefined;
  }

  /** Gives into how many parts the remaining time is divided. */
  begin(proxy: Proxy): number {
    this.#left = without(this.#left, proxy);
    this.#untried = without(this.#untried, proxy);
    this.begun++;
    return Math.min(1 + this.#left.length, 4);
  }

  lost(proxy: Proxy, isOvertaken: boolean): void {
    this.#left = [...this.#left, proxy];
    if (!isOvertaken && this.done === 0) this.#untried = [...this.#untried, proxy];
    if (isOvertaken) this.#health.passOver(proxy);
  }

  failedBeside(proxy: Proxy, { rule }: Verdict): void {
    if (!rule.retry) this.#retryable = without(this.#retryable, proxy);
    this.isFinal ||= !rule.nextProxy;
  }

  failed(proxy: Proxy, { rule }: Verdict): string | null {
    if (!rule.retry) this.#retryable = without(this.#retryable, proxy);
    if (this.isFinal) return null;
    if (rule.nextProxy && this.#left.length > 0) return "failover";
    if (!(rule.retry || rule.nextProxy) || this.#retryable.length === 0 || this.done >= this.#retries) return null;
    this.done++;
    this.#left = this.#retryable;
    return "retry";
  }
}

function without(proxies: readonly Proxy[], proxy: Proxy): readonly Proxy[] {
  return proxies.filter((other) => other !== proxy);
}
