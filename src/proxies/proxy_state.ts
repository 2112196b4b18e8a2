import type { Proxy } from "../config/proxy_url.ts";

/** Why a proxy is out of service: it failed, or the application said so; here, or in another process. */
export type SuspensionReason = "failure" | "application" | "shared failure" | "shared application";

/** What is known of one proxy. */
export class ProxyState {
  readonly proxy: Proxy;
  /** Its number in the list; -1 once it has left. */
  index = -1;
  /** Its connections: opening, in use, idle and warm. */
  open = 0;
  /** Those among them that nobody uses, which give way. */
  idle = 0;
  /** Tunnels and other requests that it granted. */
  connects = 0;
  failures = 0;
  /** Bytes to and from targets. */
  sent = 0;
  received = 0;
  /** Times in a row that it was passed over; 0: it has worked since. */
  strikes = 0;
  /** When it was the last time, on the clock of `performance.now()`. */
  struckAt = 0;
  /** Until when it is out of service, by the reason, on the clock of `performance.now()`. */
  readonly until: Record<SuspensionReason, number> = {
    failure: 0,
    application: 0,
    "shared failure": 0,
    "shared application": 0,
  };
  /** When it is its turn, if proxies take turns. */
  turn = 0;
  /** All of its places are taken as far as other processes know, and it is asked again only later. */
  isTakenElsewhere = false;
  /** Whether the listener was told that it is suspended. */
  isToldOf = false;
  readonly latency: Latency = new Latency();

  constructor(proxy: Proxy) {
    this.proxy = proxy;
  }

  /** Whether it has as many connections as it may, none of which gives way. */
  get isFull(): boolean {
    return this.open - this.idle >= this.proxy.maxOpen || this.isTakenElsewhere;
  }

  /** Until when it is out of service, for whatever reason. */
  get suspendedUntil(): number {
    const { until } = this;
    return Math.max(until.failure, until.application, until["shared failure"], until["shared application"]);
  }
}

/** How long an average remembers, in milliseconds. */
const MEMORY = 10_000;

/** Time from dial to grant: a moving average that follows a slow one at once, and forgets it as time goes. */
export class Latency {
  /** The average when it was last observed, in milliseconds. */
  ms = 0;
  #at = 0;

  observe(ms: number, now: number): void {
    const share = Math.exp((this.#at - now) / MEMORY);
    this.ms = Math.max(ms, this.ms * share + ms * (1 - share));
    this.#at = now;
  }

  /** What is still to be expected: a proxy that was slow long ago is worth a try. */
  expected(now: number): number {
    return this.ms * Math.exp((this.#at - now) / MEMORY);
  }
}
