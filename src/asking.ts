import { type Address, ATYP } from "./address.ts";
import { explain, identify, type Identity, keyOf, timedOut, VERBS } from "./dial.ts";
import type { Next } from "./course.ts";
import type { Phase, Socks5Error } from "./errors.ts";
import { rounded, Teller } from "./events.ts";
import type { Call } from "./failover.ts";
import { CMD } from "./handshake.ts";
import { Names } from "./names.ts";
import { Opening, type Order } from "./opening.ts";
import type { Place } from "./place.ts";
import type { Wish } from "./plan.ts";
import type { Proxy } from "./proxy.ts";
import type { Want } from "./queue.ts";
import { Scope, type TimedOut } from "./scope.ts";
import { type Session, turn } from "./session.ts";
import type { Shared } from "./shared.ts";

/** One request of a client, of whatever command: its scope and its place, and what the failover calls for. */
export abstract class Asking<S, T> implements Call<Session<S>, T>, Want, Order, TimedOut {
  readonly scope: Scope;
  readonly cmd: number;
  readonly verb: string;
  readonly target: string;
  readonly perCall: boolean;
  readonly session: boolean; // it has the credentials of the proxy
  address: Address;
  readonly wish: Wish;
  committed = false;
  readonly #shared: Shared<S>;
  readonly key: string;
  readonly reuse: boolean;
  readonly #names: Names | undefined;
  readonly #teller: Teller | undefined;
  #place: Place<Session<S>> | undefined;
  #session: Session<S> | undefined; // one that was ready
  #spends = false;
  #attempts = 0;
  #proxy: string | null = null;

  /** Throws the reason of a signal that is aborted already. */
  constructor(shared: Shared<S>, cmd: number, wish: Wish) {
    const { address, credentials, reuse, signal, timeout, tls } = wish;
    this.cmd = cmd;
    this.verb = VERBS[cmd]!;
    this.wish = wish;
    this.#shared = shared;
    this.address = address;
    this.target = address.name;
    this.perCall = credentials !== undefined;
    this.session = !this.perCall;
    this.key = reuse ? keyOf(this.target, credentials, tls) : "";
    this.reuse = reuse;
    const isLocal = shared.settings.dns === "local" && address.atyp === ATYP.DOMAIN && cmd < CMD.RESOLVE;
    this.#names = isLocal ? new Names(address) : undefined;
    const id = ++shared.ids;
    this.#teller = shared.onEvent && new Teller(shared.onEvent, id, this.target);
    this.scope = new Scope(shared.alarm, signal, timeout, this);
  }

  /** Makes of a granted request what the caller gets, and owns from then on. Throws nothing. */
  protected abstract hold(place: Place<Session<S>>, session: Session<S>, reused: boolean): T;

  get ready(): Proxy | undefined {
    return this.#names?.ready ?? this.#session?.proxy;
  }

  begin(first: boolean): Promise<Session<S> | undefined> | undefined {
    this.scope.throwIfOver();
    const place = this.#shared.pool.take(this);
    return place && this.#arrive(place) ? undefined : this.#wait(place, first);
  }

  identify(proxy: Proxy): Identity {
    return identify(proxy, this.wish.credentials, this.#shared.settings);
  }

  attempt(proxy: Proxy, identity: Identity, attempt: number, lastProxy: boolean): Promise<Session<S>> {
    this.#proxy = proxy.name;
    this.#attempts = attempt;
    if (attempt > 1) this.#shared.counts.retries++;
    this.#teller?.tell(proxy.name, { type: "attempt", attempt });
    return this.#names === undefined
      ? this.#open(proxy, identity, lastProxy)
      : this.#openNamed(this.#names, proxy, identity, lastProxy);
  }

  another(): boolean {
    return this.#names?.another() ?? false;
  }

  #open(proxy: Proxy, identity: Identity, isLast: boolean): Promise<Session<S>> {
    const session = this.#session;
    this.#session = undefined;
    this.#spends = session !== undefined;
    return new Opening(this, this.#shared, proxy, identity, isLast).start(session);
  }

  async #openNamed(names: Names, proxy: Proxy, identity: Identity, isLast: boolean): Promise<Session<S>> {
    const { dialler, settings } = this.#shared;
    this.address = await names.take(proxy, this.scope, dialler.transport, settings);
    return await this.#open(proxy, identity, isLast && names.isLast);
  }

  /** Synchronous, so that nothing which ends the scope can come between. */
  handOver(tunnel: Session<S>): T {
    const place = this.#place!;
    const { counts, warmer } = this.#shared;
    const reused = place.conn !== undefined;
    const proxy = tunnel.proxy.name;
    this.scope.give();
    place.conn = tunnel;
    counts.connects++;
    counts.reused += Number(reused);
    if (this.#teller !== undefined) {
      tunnel.onClosed = this.#teller.closed(proxy);
      this.#teller.tell(proxy, { type: "connected", attempt: this.#attempts, reused });
    }
    warmer.used(this.#spends);
    return this.hold(place, tunnel, reused);
  }

  failed(proxy: Proxy, attempt: number, error: Socks5Error, next: Next, delay: number): void {
    this.#teller?.tell(proxy.name, { type: "failed", attempt, error, next, delay: rounded(delay) });
  }

  leave(): void {
    this.#session?.close();
    this.#session = undefined;
    // what has bytes of the caller on it never goes back: its answer would be taken for that of another question
    if (this.#place?.conn === undefined || this.committed) this.#place?.free("holder");
    else this.#place.release();
  }

  lost(): void {
    this.#shared.counts.failures++;
    this.leave();
  }

  timedOut(deadline: "timeout" | "attempt", phase: Phase): Socks5Error {
    const { pool, settings } = this.#shared;
    const ms = deadline === "timeout" ? this.wish.timeout : settings.attemptTimeout;
    const { inUse, opening, waiting } = pool.counts;
    const proxy = phase === "pool" ? null : this.#proxy;
    if (phase !== "pool" || waiting === 0) return timedOut(deadline, ms, phase, proxy, this);
    const taken = `${settings.maxOpen} of ${settings.maxOpen} are taken, ${inUse} in use and ${opening} opening`;
    return timedOut(deadline, ms, phase, null, this, `for a place: ${taken}`);
  }

  /** Takes a place, and a session out of it; `false` if a tunnel is in it, which has to be looked at. */
  #arrive(place: Place<Session<S>>): boolean {
    this.#place = place;
    if (place.conn === undefined) return true;
    if (place.conn.reply !== undefined) return false;
    [this.#session, place.conn] = [place.conn, undefined];
    this.#session.onClosed = undefined;
    return true;
  }

  /** Waits until there is a place, or a tunnel that is alive. */
  async #wait(place: Place<Session<S>> | undefined, first: boolean): Promise<Session<S> | undefined> {
    const { scope } = this;
    const { pool } = this.#shared;
    for (let next = place;; next = pool.take(this), first = true) {
      next ??= await pool.wait(this, scope.attempt.signal, first);
      const isEmpty = this.#arrive(next);
      scope.throwIfOver();
      if (isEmpty) return undefined;
      const tunnel = next.conn!;
      await scope.run(turn());
      scope.throwIfOver();
      if (tunnel.spoke) next.free("peer");
      else return this.wish.data === undefined ? tunnel : await this.#greet(next, tunnel, this.wish.data);
    }
  }

  /** The first bytes of the caller, on a tunnel that was released. */
  async #greet(place: Place<Session<S>>, tunnel: Session<S>, data: Uint8Array): Promise<Session<S>> {
    const { scope } = this;
    this.committed = true;
    scope.attempt.enter("transfer");
    try {
      await scope.run(tunnel.write(data));
      scope.throwIfOver();
    } catch (cause) {
      place.free("peer");
      scope.throwIfOver();
      throw explain(cause, "transfer", tunnel.proxy, this.identify(tunnel.proxy), this);
    }
    return tunnel;
  }
}
