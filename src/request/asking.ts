import { type Address, ATYP } from "../protocol/address.ts";
import { explain, identify, keyOf, timedOut, VERBS } from "../attempt/dial.ts";
import type { Next } from "../proxies/tries.ts";
import type { Phase, Socks5Error } from "../errors.ts";
import { rounded, Teller } from "../events.ts";
import type { Call, Progress } from "./call.ts";
import { CMD } from "../protocol/messages.ts";
import { TargetAddresses } from "../attempt/target_addresses.ts";
import { Opening, type Order } from "../attempt/open_tunnel.ts";
import type { Lease } from "../pool/lease.ts";
import type { ConnectArgs } from "../config/arguments_of.ts";
import type { Proxy } from "../config/proxy_url.ts";
import type { Want } from "../pool/queue.ts";
import type { Seat } from "./race.ts";
import { Scope, type TimedOut } from "../scope.ts";
import { type ProxyConn, settle } from "../tunnel/proxy_conn.ts";
import type { Shared } from "../shared.ts";

/** Where an attempt runs, with the one that runs there. */
interface Holder<S> extends Seat {
  place: Lease<ProxyConn<S>> | undefined;
  tried: Opening<S, Holder<S>> | undefined;
}

/** One attempt of a request. */
type Tried<S> = Opening<S, Holder<S>>;

/** One request of a client, of whatever command: its scope and its place, and what the failover calls for. */
export abstract class Asking<S, T> implements Call<Tried<S>, T>, Holder<S>, Want, Order<S>, TimedOut {
  readonly scope: Scope;
  place: Lease<ProxyConn<S>> | undefined;
  tried: Tried<S> | undefined;
  readonly cmd: number;
  readonly verb: string;
  readonly target: string | null; // an association has none
  readonly perCall: boolean;
  readonly session: boolean; // it has the credentials of the proxy
  readonly address: Address;
  readonly wish: ConnectArgs;
  committed = false;
  readonly #shared: Shared<S>;
  readonly key: string;
  readonly reuse: boolean;
  readonly names: TargetAddresses | undefined;
  readonly #teller: Teller | undefined;
  #session: ProxyConn<S> | undefined; // one that was ready
  #spends = false;
  #attempts = 0;
  #beside: Holder<S>[] | undefined; // where attempts may run beside each other

  /** Throws the reason of a signal that is aborted already. */
  constructor(shared: Shared<S>, cmd: number, wish: ConnectArgs) {
    const { address, credentials, reuse, signal, timeout, tls } = wish;
    this.cmd = cmd;
    this.verb = VERBS[cmd]!;
    this.wish = wish;
    this.#shared = shared;
    this.address = address;
    this.target = cmd === CMD.UDP_ASSOCIATE ? null : address.name;
    this.perCall = credentials !== undefined;
    this.session = !this.perCall;
    this.key = reuse ? keyOf(address.name, credentials, tls) : "";
    this.reuse = reuse;
    const isLocal = shared.settings.dns === "local" && address.atyp === ATYP.DOMAIN && cmd < CMD.RESOLVE;
    this.names = isLocal ? new TargetAddresses(address) : undefined;
    const id = ++shared.ids;
    this.#teller = shared.onEvent && new Teller(shared.onEvent, id, address.name);
    this.scope = new Scope(shared.alarm, signal, timeout, this);
  }

  /** Makes of a granted request what the caller gets, and owns from then on. Throws nothing. */
  protected abstract hold(place: Lease<ProxyConn<S>>, session: ProxyConn<S>, reused: boolean): T;

  get ready(): Proxy | undefined {
    return this.names?.ready ?? this.#session?.proxy;
  }

  begin(first: boolean): Promise<ProxyConn<S> | undefined> | undefined {
    this.scope.throwIfOver();
    const place = this.#shared.pool.acquire(this);
    return place && this.#arrive(place) ? undefined : this.#wait(place, first);
  }

  seat(isAlone: boolean): Holder<S> {
    if (isAlone) return this;
    const { place } = this;
    this.place = undefined;
    return this.#besides(place!);
  }

  spare(): Holder<S> | undefined {
    const place = this.#shared.pool.spare(this.key);
    return place && this.#besides(place);
  }

  vacate(seat: Holder<S>): void {
    if (!seat.scope.isOver) seat.scope.end(new DOMException("The attempt was given up", "AbortError"));
    this.#beside = this.#beside!.filter((other) => other !== seat);
    seat.place!.destroy("client");
  }

  attempt(seat: Holder<S>, proxy: Proxy, progress: Progress, limit: number, isRetry: boolean): Tried<S> {
    if (isRetry) this.#shared.counts.retries++;
    this.#teller?.tell(proxy.name, { type: "attempt", attempt: progress.attempts });
    this.#attempts = progress.attempts;
    const identity = identify(proxy, this.wish.credentials, this.#shared.settings);
    return seat.tried = new Opening(this, this.#shared, seat, proxy, identity, progress, limit);
  }

  takeSession(): ProxyConn<S> | undefined {
    const session = this.#session;
    this.#session = undefined;
    this.#spends = session !== undefined;
    return session;
  }

  another({ proxy, found }: Tried<S>): boolean {
    return found !== undefined && this.names!.another(proxy, found);
  }

  /** Synchronous, so that nothing which ends the scope can come between. */
  handOver(tunnel: ProxyConn<S>, tried: Tried<S> | undefined): T {
    const { counts, warmer } = this.#shared;
    const { scope, place } = tried?.seat ?? this;
    const reused = place!.conn !== undefined;
    const proxy = tunnel.proxy.name;
    this.scope.detach();
    if (scope !== this.scope) scope.detach();
    place!.conn = tunnel;
    counts.connects++;
    counts.reused += Number(reused);
    if (this.#teller !== undefined) {
      tunnel.onClosed = this.#teller.closed(proxy);
      this.#teller.tell(proxy, { type: "connected", attempt: tried?.number ?? this.#attempts, reused });
    }
    warmer.used(this.#spends);
    return this.hold(place!, tunnel, reused);
  }

  failed({ proxy, number }: Tried<S>, error: Socks5Error, next: Next, delay: number): void {
    this.#teller?.tell(proxy.name, { type: "failed", attempt: number, error, next, delay: rounded(delay) });
  }

  overtaken({ proxy, number }: Tried<S>): void {
    this.#teller?.tell(proxy.name, { type: "overtaken", attempt: number });
  }

  leave(): void {
    for (const seat of this.#beside ?? []) this.vacate(seat);
    this.#session?.close();
    this.#session = undefined;
    // what has bytes of the caller on it never goes back: its answer would be taken for that of another question
    if (this.place?.conn === undefined || this.committed) this.place?.destroy("holder");
    else this.place.release();
  }

  lost(): void {
    this.#shared.counts.failures++;
    this.leave();
  }

  timedOut(deadline: "timeout" | "attempt", phase: Phase): Socks5Error {
    const { pool, settings } = this.#shared;
    const { tried } = this.#newest;
    const at = this.#newest === this ? phase : this.#newest.scope.attempt.phase;
    const ms = deadline === "timeout" ? this.wish.timeout : rounded(tried!.limit);
    const { inUse, opening, waiting } = pool.counts;
    const proxy = at === "pool" || tried === undefined ? null : tried.proxy.name;
    if (at !== "pool" || waiting === 0) return timedOut(deadline, ms, at, proxy, this);
    const taken = `${settings.maxOpen} of ${settings.maxOpen} are taken, ${inUse} in use and ${opening} opening`;
    return timedOut(deadline, ms, at, null, this, `for a place: ${taken}`);
  }

  /** Where the attempt runs that began last. */
  get #newest(): Holder<S> {
    const seats = this.#beside ?? [];
    return seats.reduce((a: Holder<S>, b) => (b.tried?.number ?? 0) > (a.tried?.number ?? 0) ? b : a, this);
  }

  /** A seat beside others. */
  #besides(place: Lease<ProxyConn<S>>): Holder<S> {
    const scope = this.scope.fork({
      timedOut: (deadline, phase) => {
        const { limit, proxy } = holder.tried!;
        return timedOut(deadline, rounded(limit), phase, proxy.name, this);
      },
    });
    const holder: Holder<S> = { scope, place, tried: undefined };
    (this.#beside ??= []).push(holder);
    return holder;
  }

  /** Takes a place, and a session out of it; `false` if a tunnel is in it, which has to be looked at. */
  #arrive(place: Lease<ProxyConn<S>>): boolean {
    this.place = place;
    if (place.conn === undefined) return true;
    if (place.conn.reply !== undefined) return false;
    [this.#session, place.conn] = [place.conn, undefined];
    this.#session.onClosed = undefined;
    return true;
  }

  /** Waits until there is a place, or a tunnel that is alive. */
  async #wait(place: Lease<ProxyConn<S>> | undefined, first: boolean): Promise<ProxyConn<S> | undefined> {
    const { scope } = this;
    const { pool } = this.#shared;
    for (let next = place;; next = pool.acquire(this), first = true) {
      next ??= await pool.wait(this, scope.attempt.signal, first);
      const isEmpty = this.#arrive(next);
      scope.throwIfOver();
      if (isEmpty) return undefined;
      const tunnel = next.conn!;
      await scope.run(settle());
      scope.throwIfOver();
      if (tunnel.readable) next.destroy("peer");
      else return this.wish.data === undefined ? tunnel : await this.#greet(next, tunnel, this.wish.data);
    }
  }

  /** The first bytes of the caller, on a tunnel that was released. */
  async #greet(place: Lease<ProxyConn<S>>, tunnel: ProxyConn<S>, data: Uint8Array): Promise<ProxyConn<S>> {
    const { scope } = this;
    this.committed = true;
    scope.attempt.enter("transfer");
    try {
      await scope.run(tunnel.write(data));
      scope.throwIfOver();
    } catch (cause) {
      place.destroy("peer");
      scope.throwIfOver();
      const identity = identify(tunnel.proxy, this.wish.credentials, this.#shared.settings);
      throw explain(cause, "transfer", tunnel.proxy, identity, this);
    }
    return tunnel;
  }
}
