import type { Target } from "./address.ts";
import { type CheckOptions, checkProxy, type CheckReport, planCheck, scopeOfCheck } from "./check.ts";
import { Connecting, type Shared } from "./connecting.ts";
import type { Socks5Conn } from "./connection.ts";
import { type Phase, type Socks5Error, socks5Error } from "./errors.ts";
import { Failover } from "./failover.ts";
import { cannot, type ConnectOptions, milliseconds, settings, type Socks5Options } from "./options.ts";
import { Pool } from "./pool.ts";
import { parseProxy, type ProxySpec } from "./proxy.ts";
import type { Scope } from "./scope.ts";
import type { Transport } from "./transport.ts";

/** What a client counts. */
export interface Socks5Stats {
  /** Connections on their way. */
  opening: number;
  /** Tunnels that somebody holds. */
  inUse: number;
  /** Tunnels that were released and are kept. */
  idle: number;
  /** Connects that wait for one of `pool.maxOpen` places. */
  waiting: number;
  /** Connects that gave a tunnel, since the start. */
  connects: number;
  /** Those among them that gave a released one. */
  reused: number;
  /** Connects that began and were rejected, for whatever reason. */
  failures: number;
  /** Attempts that followed a failed one. */
  retries: number;
  /** Failures of each proxy since the start; for how many milliseconds it is still passed over, 0 = in service. */
  proxies: { proxy: string; failures: number; cooldown: number }[];
}

/** All of a client but the choice of its transport. */
export class Core<S> {
  readonly #shared: Shared<S>;
  readonly #failover: Failover;
  readonly #scopes = new Set<Scope>();
  #closed = false;

  constructor(proxy: ProxySpec | readonly ProxySpec[], transport: Transport<S>, options: Socks5Options<S>) {
    const proxies = (Array.isArray(proxy) ? proxy : [proxy]).map(parseProxy);
    if (proxies.length === 0) throw new TypeError("Cannot use proxy as a list of proxies: current value is []");
    if (typeof transport?.connect !== "function") {
      throw new TypeError(cannot("transport", "an object with connect()", transport));
    }
    const { onEvent } = options;
    if (onEvent !== undefined && typeof onEvent !== "function") {
      throw new TypeError(cannot("onEvent", "a function", onEvent));
    }
    const checked = settings(options);
    if (checked.auth === "required" && proxies.some(({ credentials }) => credentials === null)) {
      throw new TypeError('Cannot use auth as "required": a proxy has no credentials');
    }
    this.#shared = {
      settings: checked,
      dialler: { transport, noDelay: checked.noDelay, keepAlive: checked.keepAlive },
      pool: new Pool(checked),
      counts: { connects: 0, reused: 0, failures: 0, retries: 0 },
      onEvent,
      ids: 0,
    };
    this.#failover = new Failover(proxies, checked);
  }

  async connect(target: Target, options: ConnectOptions): Promise<Socks5Conn<S>> {
    const call = new Connecting(this.#shared, target, options);
    this.#scopes.add(call.scope);
    try {
      return await this.#failover.run(call);
    } catch (error) {
      this.#shared.counts.failures++;
      throw error;
    } finally {
      call.scope.end(undefined);
      this.#scopes.delete(call.scope);
    }
  }

  async check(target: Target | undefined, options: CheckOptions): Promise<CheckReport[]> {
    const { dialler, settings } = this.#shared;
    const plan = planCheck(settings, target, options);
    const checks = this.#failover.proxies.map(async (proxy) => {
      const scope = scopeOfCheck(plan, settings, proxy);
      this.#scopes.add(scope);
      if (this.#closed) scope.end(closed(scope.phase));
      try {
        return await checkProxy(scope, dialler, settings, proxy, plan);
      } finally {
        this.#scopes.delete(scope);
      }
    });
    return await Promise.all(checks);
  }

  stats(): Socks5Stats {
    const { pool, counts } = this.#shared;
    return { ...pool.counts, ...counts, proxies: this.#failover.stats };
  }

  async close({ drain }: { drain?: number } = {}): Promise<void> {
    const grace = milliseconds("drain", drain, 0);
    const { pool } = this.#shared;
    this.#closed = true;
    for (const scope of [...this.#scopes]) scope.end(closed(scope.phase));
    pool.close(() => closed("pool"));
    const timer = grace > 0 && grace < Infinity ? setTimeout(() => pool.closeHeld(), grace) : undefined;
    if (grace === 0) pool.closeHeld();
    await pool.emptied();
    clearTimeout(timer);
  }
}

function closed(phase: Phase): Socks5Error {
  return socks5Error("SOCKS5_CLIENT_CLOSED", "Cannot connect: the client is closed", { phase });
}
