import { type Opener, Pipelining } from "../attempt/open_tunnel.ts";
import type { ClientConfig, Load, ProbeArgs } from "../config/client_config.ts";
import type { Proxy } from "../config/proxy_url.ts";
import type { Settings } from "../config/settings.ts";
import { DeadlineTimer, type Timed } from "../deadline_timer.ts";
import { type Phase, type Socks5Error, socks5Error } from "../errors.ts";
import { type FleetEventDetails, rounded, type Socks5Event, type Traffic } from "../events.ts";
import { quietly } from "../guarded_conn.ts";
import { Pool } from "../pool/pool.ts";
import { Candidates } from "../proxies/candidates.ts";
import { Fleet, type FleetHooks } from "../proxies/fleet.ts";
import { hostnameOf } from "../proxies/host_bans.ts";
import type { FleetStore } from "../proxies/fleet_store.ts";
import type { Place, ProxyState, SuspensionReason } from "../proxies/proxy_state.ts";
import type { SharedFleet } from "../proxies/shared_fleet.ts";
import { Scope } from "../scope.ts";
import type { StartTls, Transport } from "../transport.ts";
import type { ProxyConn } from "../tunnel/proxy_conn.ts";
import type { Prober } from "./prober.ts";
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
  /** The proxies, in the order of the list. */
  proxies: ProxyStats[];
  /** The bytes of the sessions that were used last, for `stats({ sessions: true })` with `trackSessions`. */
  sessions?: { session: string; sent: number; received: number }[];
}

/** The counts of one proxy. */
export interface ProxyStats {
  /** Its label: `"host:port"` if it was given none. */
  proxy: string;
  /** Its share of the connects. */
  weight: number;
  /** Its connections: opening, in use, idle and warm. */
  open: number;
  /** Those among them that are opening or in use. */
  inUse: number;
  /** Those among them that are idle or warm. */
  idle: number;
  /** Requests that it granted. */
  connects: number;
  /** Attempts that failed because of it. */
  failures: number;
  /** Time from dial to grant in milliseconds, to a tenth: a moving average that follows a slow one at once. */
  ms: number;
  /** Bytes to targets through it; what is sent on a detached socket is not counted. */
  sent: number;
  /** Bytes from targets through it. */
  received: number;
  /** For how many milliseconds it is still out of service; 0 if it is in service. */
  cooldown: number;
  /** Why it is out of service, for how many milliseconds yet, and for the targets below which name, if not for all. */
  suspended: { reason: "failure" | "application" | "shared"; ms: number; hostname?: string }[];
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
  readonly fleet: Fleet;
  readonly pipelining: Pipelining = new Pipelining();
  readonly warmer: Warmer<S>;
  readonly counts: { connects: number; reused: number; failures: number; retries: number };
  /** How many requests began: the number of the last one. */
  lastId = 0;
  #prober: Prober<S> | undefined;
  #shared: SharedFleet | undefined;
  /** Loads what only some clients need, and learns what other processes know; `undefined` once that is done. */
  prepare: (() => Promise<void>) | undefined;
  #preparing: Promise<void> | undefined;
  readonly #sessions = new Map<string, Traffic>();
  readonly #drains = new Set<ReturnType<typeof setTimeout>>();
  #isClosed = false;

  constructor({ proxies, transport, startTls, load, settings, onEvent, probe, shared }: ClientConfig<S>) {
    this.settings = settings;
    this.transport = transport;
    this.startTls = startTls;
    this.load = load;
    this.onEvent = onEvent;
    this.pool = new Pool<ProxyConn<S>>(settings);
    if (shared !== undefined || probe !== undefined) {
      const prepare = () => this.#prepare(shared, probe).finally(() => this.#preparing = undefined);
      this.prepare = () => this.#preparing ??= prepare();
      void quietly(this.prepare); // a failed import is tried again by the next request
    }
    this.fleet = new Fleet(proxies, { ...settings, isProbed: probe !== undefined }, this.#hooks());
    this.pool.onIdle = (proxy) => {
      if (this.fleet.waiting > 0) this.fleet.vacant(this.fleet.stateOf(proxy as Proxy));
    };
    this.warmer = new Warmer(this);
    this.counts = { connects: 0, reused: 0, failures: 0, retries: 0 };
  }

  /** The error of whatever is asked of a closed client; `undefined` while it is open. */
  closedError(phase: Phase): Socks5Error | undefined {
    return this.#isClosed ? closed(phase) : undefined;
  }

  stats({ sessions = false }: { sessions?: boolean } = {}): Socks5Stats {
    const counts = this.pool.counts;
    const proxies = this.fleet.states.map((state) => statsOf(this.fleet, state));
    const waiting = counts.waiting + this.fleet.waiting;
    const stats = { ...counts, waiting, ...this.counts, proxies };
    if (!sessions) return stats;
    return { ...stats, sessions: [...this.#sessions].map(([session, traffic]) => ({ session, ...traffic })) };
  }

  /** Where the bytes of a session are counted, if they are; the least recently used ones are forgotten. */
  sessionTraffic(session: string | undefined): Traffic | undefined {
    const { trackSessions } = this.settings;
    if (session === undefined || trackSessions === 0) return undefined;
    const traffic = this.#sessions.get(session) ?? { sent: 0, received: 0 };
    this.#sessions.delete(session);
    this.#sessions.set(session, traffic);
    if (this.#sessions.size > trackSessions) this.#sessions.delete(this.#sessions.keys().next().value!);
    return traffic;
  }

  /** Takes a place at a proxy for all processes, too; `false`, and the place is given back, if they have taken all. */
  async shareLimit(place: Place, signal: AbortSignal | undefined): Promise<boolean> {
    const { state, state: { proxy } } = place;
    if (this.#shared === undefined || proxy.maxOpen === Infinity || place.lease !== undefined) return true;
    try {
      place.lease = await this.#shared.acquire(proxy.name, proxy.maxOpen, signal);
    } catch (error) {
      place.leave();
      throw error;
    }
    if (place.lease !== undefined) return true;
    this.fleet.takenElsewhere(state);
    place.leave();
    return false;
  }

  /** Whether the place is still to be taken for all processes. */
  sharesLimit({ state: { proxy }, lease }: Place): boolean {
    return lease === undefined && this.sharesPlaces(proxy);
  }

  /** Whether places at a proxy are shared with other processes. */
  sharesPlaces({ maxOpen }: Proxy): boolean {
    return this.#shared !== undefined && maxOpen < Infinity;
  }

  async #prepare(shared: FleetStore | undefined, probe: ProbeArgs | undefined): Promise<void> {
    if (probe !== undefined) {
      const { Prober } = await import("./prober.ts");
      if (this.#isClosed) return;
      this.#prober ??= new Prober(this, probe);
    }
    if (shared !== undefined) await this.#share(shared);
    this.prepare = undefined;
  }

  async #share(store: FleetStore): Promise<void> {
    const { SharedFleet } = await import("../proxies/shared_fleet.ts");
    if (this.#isClosed) return;
    this.#shared = new SharedFleet(store, {
      apply: ({ proxy, reason, hostname, ms }) => {
        const { fleet } = this;
        for (const state of fleet.named(proxy)) {
          if (ms > 0) fleet.suspend(state, `shared ${reason}`, ms, hostname);
          else fleet.end(state, `shared ${reason}`, hostname);
        }
      },
      tell: (event) => this.#tell(event),
    });
    for (const state of this.fleet.states) {
      for (const { reason, ms, hostname } of this.fleet.suspensionsOf(state)) {
        if (reason !== "shared") this.#say(state, reason, ms, hostname); // of before there was somebody to tell
      }
    }
    await this.#shared.start();
  }

  /** The list is another one; what is in use of those that left ends after `drain` milliseconds. */
  setProxies(proxies: readonly Proxy[], drain: number): void {
    if (this.#isClosed) return;
    const left = new Set<object>(this.fleet.setProxies(proxies).map(({ proxy }) => proxy));
    if (left.size === 0 || drain === Infinity) return;
    const close = () => this.pool.closeHeld(({ proxy }) => left.has(proxy) && this.fleet.stateOf(proxy).index < 0);
    if (drain === 0) return close();
    const timer = setTimeout(() => {
      this.#drains.delete(timer);
      close();
    }, drain);
    this.#drains.add(timer);
    (timer as { unref?(): void }).unref?.();
  }

  /** Takes a proxy out of service, that with a label or that of a session. */
  suspend(which: string | { readonly session: string }, duration: number, hostname: string | undefined): void {
    if (this.#isClosed) return;
    const { fleet } = this;
    const left = hostname === undefined ? undefined : new Candidates(fleet.listFor(hostname));
    const states = typeof which === "string" ? fleet.named(which) : [fleet.proxyOf(which.session, left)];
    for (const state of states) fleet.suspend(state, "application", duration, hostname);
  }

  /** Puts a proxy back into service. */
  resume(name: string): void {
    if (this.#isClosed) return;
    for (const state of this.fleet.named(name)) this.fleet.resume(state);
  }

  /** Ends what is not in use now, and what is in use after `drain` milliseconds; resolves when nothing is left. */
  async close(drain: number): Promise<void> {
    const { pool, timer, warmer } = this;
    this.#isClosed = true;
    for (const it of timer.all) if (it instanceof Scope) it.end(closed(it.phase));
    warmer.close();
    this.#prober?.close();
    this.fleet.close();
    for (const timer of this.#drains) clearTimeout(timer);
    pool.close(() => closed("pool"));
    const grace = drain > 0 && drain < Infinity ? setTimeout(() => pool.closeHeld(), drain) : undefined;
    if (drain === 0) pool.closeHeld();
    await pool.emptied();
    clearTimeout(grace);
    await this.#shared?.close();
  }

  /** What follows from what happens to a proxy. */
  #hooks(): FleetHooks {
    const all = () => true;
    return {
      suspended: (state, reason, duration, hostname) => {
        if (reason === "failure") this.#prober?.schedule(state, duration);
        this.#say(state, reason, duration, hostname);
        // a tunnel that is there has nothing to do with a failure of others
        const isMeant = reason.endsWith("failure")
          ? (conn: ProxyConn<S>) => !conn.isTunnel
          : hostname === undefined
          ? all
          : (conn: ProxyConn<S>) => isBelow(hostname, conn.target);
        this.pool.evictUnused(state.proxy, isMeant);
      },
      recovered: (state, reason, hostname) => this.#say(state, reason, 0, hostname),
      makeRoom: ({ proxy }) => this.pool.evictOne(proxy),
      left: (states) => states.forEach(({ proxy }) => this.pool.evictUnused(proxy, all)),
      tell: (event) => this.#tell(event),
    };
  }

  #tell(event: FleetEventDetails): void {
    try {
      this.onEvent?.(event);
    } catch {
      // it was told
    }
  }

  /** Tells other processes, unless it is their own word. */
  #say({ proxy }: ProxyState, reason: SuspensionReason, ms: number, hostname: string | undefined): void {
    if (reason !== "failure" && reason !== "application") return;
    this.#shared?.suspended({ proxy: proxy.name, reason, ms, ...(hostname !== undefined && { hostname }) });
  }
}

function statsOf(fleet: Fleet, state: ProxyState): ProxyStats {
  const { proxy: { name, weight }, open, idle, connects, failures, latency, sent, received, suspendedUntil } = state;
  return {
    proxy: name,
    weight,
    open,
    inUse: open - idle,
    idle,
    connects,
    failures,
    ms: rounded(latency.ms),
    sent,
    received,
    cooldown: Math.max(0, rounded(suspendedUntil - performance.now())),
    suspended: fleet.suspensionsOf(state),
  };
}

/** Whether a target, `"host:port"`, has the host name or one below it. */
function isBelow(hostname: string, target: string): boolean {
  const name = hostnameOf(target);
  return name === hostname || name.endsWith(`.${hostname}`);
}

function closed(phase: Phase): Socks5Error {
  return socks5Error("SOCKS5_CLIENT_CLOSED", "Cannot use the client: it is closed", { phase });
}
