import type { Opener } from "../attempt/open_tunnel.ts";
import { Pipelining } from "../attempt/pipelining.ts";
import type { ClientConfig, Load } from "../config/client_config.ts";
import type { Settings } from "../config/settings.ts";
import { DeadlineTimer, type Timed } from "../deadline_timer.ts";
import { type Phase, type Socks5Error, socks5Error } from "../errors.ts";
import type { Socks5Event } from "../events.ts";
import { Pool } from "../pool/pool.ts";
import { Health } from "../proxies/health.ts";
import { Scope } from "../scope.ts";
import type { StartTls, Transport } from "../transport.ts";
import type { ProxyConn } from "../tunnel/proxy_conn.ts";
import { Warmer } from "./warmer.ts";

/** The counts of a client. */
export interface Socks5Stats {
  /** Connections that are being opened. */
  opening: number;
  /** Tunnels, bindings and associations in use. */
  inUse: number;
  /** Tunnels that were released and are kept for reuse, or that are idle in the keep-alive pool of their holder. */
  idle: number;
  /** Warm connections. */
  warm: number;
  /** Requests that wait because `pool.maxOpen` is reached. */
  waiting: number;
  /** Requests that succeeded, since the client was made. */
  connects: number;
  /** Connects among them that reused a tunnel. */
  reused: number;
  /** Requests that began and were rejected, for any reason. */
  failures: number;
  /** Attempts that followed a failed one. */
  retries: number;
  /** For each proxy its failures, and the milliseconds for which it is still passed over; 0 if it is in service. */
  proxies: { proxy: string; failures: number; cooldown: number }[];
}

/** What the requests of a client have in common. */
export class Core<S> implements Opener<S> {
  readonly settings: Settings;
  readonly transport: Transport<S>;
  readonly startTls: StartTls;
  readonly load: Load | undefined;
  readonly onEvent: ((event: Socks5Event) => void) | undefined;
  readonly keepsAlive = true;
  readonly timer: DeadlineTimer<Timed> = new DeadlineTimer<Timed>(true);
  readonly pool: Pool<ProxyConn<S>>;
  readonly health: Health;
  readonly pipelining: Pipelining = new Pipelining();
  readonly warmer: Warmer<S>;
  readonly counts: { connects: number; reused: number; failures: number; retries: number };
  /** How many requests began: the number of the last one. */
  lastId = 0;
  #isClosed = false;

  constructor({ proxies, transport, startTls, load, settings, onEvent }: ClientConfig<S>) {
    this.settings = settings;
    this.transport = transport;
    this.startTls = startTls;
    this.load = load;
    this.onEvent = onEvent;
    this.pool = new Pool<ProxyConn<S>>(settings);
    this.health = new Health(proxies, settings.cooldown);
    this.health.onCool = (proxy) => this.pool.dropWarm((conn) => conn.proxy === proxy);
    this.warmer = new Warmer(this);
    this.counts = { connects: 0, reused: 0, failures: 0, retries: 0 };
  }

  /** The error of whatever is asked of a closed client; `undefined` while it is open. */
  closedError(phase: Phase): Socks5Error | undefined {
    return this.#isClosed ? closed(phase) : undefined;
  }

  stats(): Socks5Stats {
    return { ...this.pool.counts, ...this.counts, proxies: this.health.stats };
  }

  /** Ends what is not in use now, and what is in use after `drain` milliseconds; resolves when nothing is left. */
  async close(drain: number): Promise<void> {
    const { pool, timer, warmer } = this;
    this.#isClosed = true;
    for (const it of timer.all) if (it instanceof Scope) it.end(closed(it.phase));
    warmer.close();
    pool.close(() => closed("pool"));
    const grace = drain > 0 && drain < Infinity ? setTimeout(() => pool.closeHeld(), drain) : undefined;
    if (drain === 0) pool.closeHeld();
    await pool.emptied();
    clearTimeout(grace);
  }
}

function closed(phase: Phase): Socks5Error {
  return socks5Error("SOCKS5_CLIENT_CLOSED", "Cannot use the client: it is closed", { phase });
}
