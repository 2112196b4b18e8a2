import { identify } from "../attempt/handshake.ts";
import { type Attempt, Call, openTunnel } from "../attempt/open_tunnel.ts";
import type { Proxy } from "../config/proxy_url.ts";
import type { RequestArgs } from "../config/request_args.ts";
import { type Phase, type Socks5Error, timedOut } from "../errors.ts";
import { type EventDetails, rounded, Teller } from "../events.ts";
import type { Lease } from "../pool/lease.ts";
import type { Want } from "../pool/queue.ts";
import type { UserPass } from "../protocol/messages.ts";
import type { Verdict } from "../proxies/policy.ts";
import { type Next, Rounds } from "../proxies/rounds.ts";
import { Scope } from "../scope.ts";
import type { TlsOptions } from "../transport.ts";
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
  /** Counted from 1. */
  readonly number: number;
  /** The tunnel that it opens. */
  opened: Promise<ProxyConn<S>>;
}

/** The attempts of one request: what they share, how each begins, and what it means when it fails. */
export class Attempts<S> implements Want {
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
  readonly #teller: Teller | undefined;

  /** Throws the reason of a signal that is aborted already. */
  constructor(core: Core<S>, cmd: number, args: RequestArgs) {
    const { address, credentials, reuse, signal, timeout, tls } = args;
    this.core = core;
    this.rounds = new Rounds(core.health, core.settings);
    this.call = new Call(cmd, args, this.rounds, core.settings.dns);
    this.key = reuse ? keyOf(address.name, credentials, tls) : "";
    this.reuse = reuse;
    this.hasOwnCredentials = credentials !== undefined;
    const id = ++core.lastId;
    this.#teller = core.onEvent && new Teller(core.onEvent, id, address.name);
    // last: with a timeout of 0 it ends at once, and tells why
    this.scope = new Scope(core.timer, signal, timeout, (deadline, phase) => this.#timedOut(deadline, phase));
  }

  /** Whether a warm connection will do, which was authenticated with the credentials of the proxy. */
  get mayBeWarm(): boolean {
    return !this.hasOwnCredentials;
  }

  /** Begins an attempt; `isRetry`: it follows a failure. */
  begin(seat: Seat<S>, proxy: Proxy, isRetry: boolean): RunningAttempt<S> {
    const { call, core, rounds } = this;
    const { scope } = seat;
    const limit = rounds.begin(proxy, this.scope);
    const number = rounds.begun;
    if (isRetry) core.counts.retries++;
    this.tell(proxy, { type: "attempt", attempt: number });
    const identity = identify(proxy, call.args.credentials, core.settings);
    const it: RunningAttempt<S> = {
      call,
      proxy,
      identity,
      scope,
      limit,
      found: undefined,
      seat,
      number,
      opened: NEVER,
    };
    this.newest = seat.newest = it;
    scope.begin(limit);
    it.opened = openTunnel(core, it);
    return it;
  }

  /** What a failed attempt means; throws the reason of the caller's signal, and what is no failure of a proxy or a target. */
  judge(it: RunningAttempt<S>, thrown: unknown): Verdict {
    it.scope.attempt.drop();
    if (this.scope.aborted) throw this.scope.ended!.reason;
    return judge(thrown, it, this.call, this.hasOwnCredentials, this.core.health);
  }

  /** Tells the listener of a failure. */
  tellFailed({ proxy, number }: RunningAttempt<S>, error: Socks5Error, next: Next, delay: number): void {
    this.tell(proxy, { type: "failed", attempt: number, error, next, delay: rounded(delay) });
  }

  tell(proxy: Proxy, event: EventDetails): void {
    this.#teller?.tell(proxy.name, event);
  }

  /** Has the listener told when the tunnel ends. */
  tellWhenClosed(conn: ProxyConn<S>): void {
    if (this.#teller !== undefined) conn.onClosed = this.#teller.closedListener(conn.proxy.name);
  }

  #timedOut(deadline: "timeout" | "attempt", phase: Phase): Socks5Error {
    const { core: { pool, settings }, call, newest } = this;
    const at = newest === undefined ? phase : newest.scope.attempt.phase;
    const ms = deadline === "timeout" ? call.args.timeout : rounded(newest!.limit);
    const { inUse, opening, waiting } = pool.counts;
    const proxy = at === "pool" || newest === undefined ? null : newest.proxy.name;
    if (at !== "pool" || waiting === 0) return timedOut(deadline, ms, at, proxy, call);
    const taken = `${settings.maxOpen} of ${settings.maxOpen} are taken, ${inUse} in use and ${opening} opening`;
    return timedOut(deadline, ms, at, null, call, `for a place: ${taken}`);
  }
}

const NEVER: Promise<never> = new Promise(() => {});

/** One target, one identity and one kind of TLS; never joined with a separator that could stand in one of them. */
function keyOf(target: string, credentials: UserPass | null | undefined, tls: TlsOptions | null): string {
  const own = credentials && [[...credentials.uname], [...credentials.passwd]];
  return JSON.stringify([target, credentials === undefined ? "proxy" : own, tls]);
}
