import { DeadlineTimer, type Timed } from "./deadline_timer.ts";
import { checkOptions } from "./arguments.ts";
import type { Association } from "./udp/association.ts";
import { checkProxy, type CheckReport, scopeOfCheck } from "./check.ts";
import { bind } from "./request/bind.ts";
import { command } from "./request/command.ts";
import { Connecting } from "./request/connect.ts";
import type { Socks5Binding, Socks5Conn } from "./tunnel/socks5_conn.ts";
import { type Phase, type Socks5Error, socks5Error } from "./errors.ts";
import { Failover } from "./request/failover.ts";
import { CMD } from "./protocol/messages.ts";
import { Health } from "./proxies/health.ts";
import { Pipelining } from "./attempt/pipelining.ts";
import type { AssociateArgs, CheckArgs, ClientConfig, ConnectArgs, Load, RequestArgs } from "./config/arguments_of.ts";
import { Pool } from "./pool/pool.ts";
import { Scope } from "./scope.ts";
import type { ProxyConn } from "./tunnel/proxy_conn.ts";
import { secureHeld } from "./tunnel/upgrade_tls.ts";
import { milliseconds } from "./config/settings.ts";
import type { Shared } from "./shared.ts";
import { Warmer } from "./request/warmer.ts";

/** What a client counts. */
export interface Socks5Stats {
  /** Connections on their way. */
  opening: number;
  /** Tunnels and bindings that somebody holds. */
  inUse: number;
  /** Tunnels that were released and are kept, or that rest in the keep-alive pool of their holder. */
  idle: number;
  /** Sessions that are ready for the next connects. */
  warm: number;
  /** Connects that wait for one of `pool.maxOpen` places. */
  waiting: number;
  /** Connects that gave a tunnel and other requests that were granted, since the start. */
  connects: number;
  /** Those among them that gave a released one. */
  reused: number;
  /** Requests that began and were rejected, for whatever reason. */
  failures: number;
  /** Attempts that followed a failed one. */
  retries: number;
  /** Failures of each proxy since the start; for how many milliseconds it is still passed over, 0 = in service. */
  proxies: { proxy: string; failures: number; cooldown: number }[];
}

/** All of a client but the choice of its transport. */
export class Core<S> {
  readonly #shared: Shared<S>;
  readonly #alarm = new DeadlineTimer<Timed>(true);
  readonly #load: Load | undefined;
  #closed = false;

  constructor({ proxies, transport, startTls, load, settings, onEvent }: ClientConfig<S>) {
    const { noDelay, keepAlive, timeout } = settings;
    const dialler = { transport, noDelay, keepAlive, startTls };
    this.#load = load;
    const securing = { alarm: this.#alarm, startTls, timeout };
    const pool = new Pool<ProxyConn<S>>(settings);
    const health = new Health(proxies, settings.cooldown);
    const failover = new Failover(health, settings, this.#alarm);
    health.onCool = (proxy) => pool.drop((session) => session.proxy === proxy);
    this.#shared = {
      settings,
      dialer: dialler,
      pool,
      failover,
      alarm: this.#alarm,
      secure: (tunnel, options, then) => secureHeld(tunnel, options, then, securing),
      warmer: new Warmer(settings, dialler, pool, failover),
      pipelining: new Pipelining(),
      counts: { connects: 0, reused: 0, failures: 0, retries: 0 },
      onEvent,
      ids: 0,
    };
  }

  connect(wish: ConnectArgs): Promise<Socks5Conn<S>> {
    try {
      return this.#shared.failover.run(new Connecting(this.#shared, wish));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async associate(plan: AssociateArgs): Promise<Association> {
    const { associate } = await import("./request/associate.ts");
    return (await associate(this.#shared, plan)).handOver(plan.signal);
  }

  bind(asked: RequestArgs): Promise<Socks5Binding<S>> {
    return bind(this.#shared, asked);
  }

  resolve(asked: RequestArgs, what: "name" | "address"): Promise<string> {
    const cmd = what === "name" ? CMD.RESOLVE : CMD.RESOLVE_PTR;
    return command(this.#shared, cmd, asked.address, asked, ({ reply, place }) => {
      place.destroy("holder");
      return reply.bound.hostname;
    });
  }

  async check(plan: CheckArgs): Promise<CheckReport[]> {
    const { dialer: dialler, failover: { health }, settings } = this.#shared;
    const tls = plan.tls !== null || health.proxies.some((proxy) => proxy.tls !== null);
    await this.#load?.({ lookup: settings.dns === "local", tls }).catch(() => {}); // the step that needs it tells
    const checks = health.proxies.map(async (proxy) => {
      const scope = scopeOfCheck(this.#alarm, plan, settings, proxy);
      if (this.#closed) scope.end(closed(scope.attempt.phase));
      return await checkProxy(scope, dialler, settings, proxy, plan);
    });
    return await Promise.all(checks);
  }

  stats(): Socks5Stats {
    const { pool, counts, failover } = this.#shared;
    return { ...pool.counts, ...counts, proxies: failover.health.stats };
  }

  async close(options?: { drain?: number }): Promise<void> {
    const { drain } = checkOptions("the options of close()", options, { drain: true });
    const grace = milliseconds("drain", drain, 0);
    const { pool, warmer } = this.#shared;
    this.#closed = true;
    for (const it of this.#alarm.all) if (it instanceof Scope) it.end(closed(it.phase));
    warmer.close();
    pool.close(() => closed("pool"));
    const timer = grace > 0 && grace < Infinity ? setTimeout(() => pool.closeHeld(), grace) : undefined;
    if (grace === 0) pool.closeHeld();
    await pool.emptied();
    clearTimeout(timer);
  }
}

function closed(phase: Phase): Socks5Error {
  return socks5Error("SOCKS5_CLIENT_CLOSED", "Cannot use the client: it is closed", { phase });
}
