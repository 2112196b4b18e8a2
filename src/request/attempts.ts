import { identify, type Identity } from "../attempt/handshake.ts";
import { type Attempt, Call, openTunnel } from "../attempt/open_tunnel.ts";
import type { Proxy } from "../config/proxy_url.ts";
import type { RequestArgs } from "../config/request_args.ts";
import { type Phase, type Socks5Error, timedOut } from "../errors.ts";
import { type EventDetails, rounded, Teller } from "../events.ts";
import type { Lease, Want } from "../pool/lease.ts";
import type { Verdict } from "../proxies/policy.ts";
import type { Place, ProxyState } from "../proxies/proxy_state.ts";
import { type Next, Rounds } from "../proxies/rounds.ts";
import { Scope } from "../scope.ts";
import type { ProxyConn } from "../tunnel/proxy_conn.ts";
import type { Core } from "./core.ts";
import { judge } from "./judge.ts";

/** Where attempts run, one after another: their deadline, and their place in the pool. */
export class Seat<S> {
  readonly scope: Scope;
  readonly lease: Lease<ProxyConn<S>>;
  /** The attempt that began last. */
  newest: RunningAttempt<S> | undefined;

  constructor(scope: Scope, lease: Lease<ProxyConn<S>>) {
    this.scope = scope;
    this.lease = lease;
  }
}

/** One attempt that has begun. */
export interface RunningAttempt<S> extends Attempt<S> {
  readonly seat: Seat<S>;
  /** Its place at the proxy, which goes to the tunnel. */
  readonly place: Place;
  /** Counted from 1. */
  readonly number: number;
  /** When it began, on the clock of `performance.now()`. */
  begun: number;
  /** The tunnel that it opens. */
  opened: Promise<ProxyConn<S>>;
}

/** The attempts of one request: what they share, how each begins, and what it means when it fails. */
export class Attempts<S> implements Want<ProxyConn<S>> {
  readonly core: Core<S>;
  readonly call: Call<S>;
  readonly scope: Scope;
  readonly rounds: Rounds;
  readonly key: string;
  readonly reuse: boolean;
  /** Whether it brought credentials, which no other proxy takes either. */
  readonly hasOwnCredentials: boolean;
  /** The one that began last. */
  newest: RunningAttempt<S> | undefined;
  /** A place at a proxy for the next attempt, for which it has waited. */
  place: Place | undefined;
  /** Whether it waits until a proxy may have one more connection. */
  isWaitingForProxy = false;
  readonly #teller: Teller | undefined;

  /** Throws the reason of a signal that is aborted already. */
  constructor(core: Core<S>, cmd: number, args: RequestArgs) {
    const { address, credentials, reuse, session, signal, timeout } = args;
    this.core = core;
    this.rounds = new Rounds(core.fleet, core.settings, address.hostname, session);
    this.call = new Call(cmd, args, this.rounds, core.settings.dns);
    this.key = reuse ? keyOf(args) : "";
    this.reuse = reuse;
    this.hasOwnCredentials = credentials !== undefined;
    const id = ++core.lastId;
    this.#teller = core.onEvent && new Teller(core.onEvent, id, address.name);
    // last: with a timeout of 0 it ends at once, and tells why
    this.scope = new Scope(core.timer, signal, timeout, (deadline, phase) => this.#timedOut(deadline, phase));
  }

  /** Whether a warm connection will do, which was authenticated with the credentials of the proxy. */
  get mayBeWarm(): boolean {
    return !this.hasOwnCredentials && this.place === undefined;
  }

  /** The proxy of the session: no tunnel of another one will do. */
  get proxy(): Proxy | undefined {
    return this.rounds.sessionProxy?.proxy;
  }

  /** Whether the request may go through this connection. */
  suits({ proxy }: ProxyConn<S>): boolean {
    return this.rounds.mayUse(this.core.fleet.stateOf(proxy));
  }

  /** The proxy for the next attempt; `undefined` if none has room, and that of a session may have none. */
  pick(): ProxyState | undefined {
    const again = this.call.addresses?.proxyToAskAgain;
    return again === undefined ? this.rounds.pick() : this.core.fleet.stateOf(again);
  }

  /** Begins an attempt in a place at a proxy; `isRetry`: it follows a failure. Throws what is wrong with its credentials. */
  begin(seat: Seat<S>, place: Place, isRetry: boolean): RunningAttempt<S> {
    const { call, core, rounds } = this;
    const { scope } = seat;
    const { state, state: { proxy } } = place;
    const identity = this.#identify(place);
    const limit = rounds.begin(state, this.scope);
    const number = rounds.begun;
    if (isRetry) core.counts.retries++;
    this.tell(proxy, { type: "attempt", attempt: number });
    const it: RunningAttempt<S> = {
      call,
      proxy,
      identity,
      scope,
      limit,
      found: undefined,
      seat,
      place,
      number,
      begun: 0,
      opened: NEVER,
    };
    this.newest = seat.newest = it;
    it.begun = scope.begin(limit).begun;
    it.opened = openTunnel(core, it);
    return it;
  }

  /** What a failed attempt means; throws the reason of the caller's signal, and what is no failure of a proxy or a target. */
  judge(it: RunningAttempt<S>, thrown: unknown): Verdict {
    it.scope.attempt.drop();
    it.place.leave();
    if (this.scope.aborted) throw this.scope.ended!.reason;
    return judge(thrown, { ...it, state: it.place.state }, this.call, this.hasOwnCredentials, this.core.fleet);
  }

  /** Tells the listener of a failure. */
  tellFailed({ proxy, number }: RunningAttempt<S>, error: Socks5Error, next: Next, delay: number): void {
    this.tell(proxy, { type: "failed", attempt: number, error, next, delay: rounded(delay) });
  }

  tell(proxy: Proxy, event: EventDetails): void {
    this.#teller?.tell(proxy.name, event);
  }

  /** The tunnel is the caller's: its bytes are counted from now on, and the listener is told when it ends. */
  handedOver(conn: ProxyConn<S>): void {
    const { data, session } = this.call.args;
    conn.sent = conn.received = 0;
    conn.session = this.core.sessionTraffic(session);
    if (data !== undefined) conn.count(data.length, 0);
    if (this.#teller !== undefined) conn.onClosed = this.#teller.closedListener(conn.proxy.name);
  }

  /** Who asks at a proxy; with credentials that are not to be used the place is given back. */
  #identify(place: Place): Identity {
    const { proxy } = place.state;
    const { args: { address, credentials, session } } = this.call;
    try {
      return identify(proxy, credentials, this.core.settings, { session, target: address.name });
    } catch (error) {
      place.leave();
      throw error;
    }
  }

  #timedOut(deadline: "timeout" | "attempt", phase: Phase): Socks5Error {
    const { core: { pool, settings }, call, newest } = this;
    const at = newest === undefined ? phase : newest.scope.attempt.phase;
    const ms = deadline === "timeout" ? call.args.timeout : rounded(newest!.limit);
    const { inUse, opening, waiting } = pool.counts;
    if (at === "pool" && this.isWaitingForProxy) {
      const why = "for a place at a proxy: those in service have as many connections as their maxOpen";
      return timedOut(deadline, ms, at, null, call, why);
    }
    const proxy = at === "pool" || newest === undefined ? null : newest.proxy.name;
    if (at !== "pool" || waiting === 0) return timedOut(deadline, ms, at, proxy, call);
    const taken = `${settings.maxOpen} of ${settings.maxOpen} are taken, ${inUse} in use and ${opening} opening`;
    return timedOut(deadline, ms, at, null, call, `for a place: ${taken}`);
  }
}

const NEVER: Promise<never> = new Promise(() => {});

/** One target, one identity and one kind of TLS; never joined with a separator that could stand in one of them. */
function keyOf({ address, credentials, session, tls }: RequestArgs): string {
  const own = credentials && [[...credentials.uname], [...credentials.passwd]];
  const identity = [credentials === undefined ? "proxy" : own, ...(session === undefined ? [] : [session])];
  return JSON.stringify([address.name, ...identity, tls]);
}
