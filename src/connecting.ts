import { type Address, formatHostPort, parseTarget, type Target } from "./address.ts";
import type { Socks5Conn } from "./connection.ts";
import { type Dialler, identify, type Identity, openSession, requestTunnel, timedOut } from "./dial.ts";
import type { Phase, Socks5Error } from "./errors.ts";
import type { EventDetails, Socks5Event } from "./events.ts";
import type { Call } from "./failover.ts";
import type { UserPass } from "./handshake.ts";
import { HeldConn } from "./held.ts";
import { type ConnectOptions, milliseconds, type Settings } from "./options.ts";
import { Tunnel } from "./park.ts";
import type { Place } from "./place.ts";
import type { Pool, Want } from "./pool.ts";
import { encodeCredentials, type Proxy } from "./proxy.ts";
import { Scope } from "./scope.ts";

/** What the connects of a client have in common. */
export interface Shared<S> {
  readonly settings: Settings;
  readonly dialler: Dialler<S>;
  readonly pool: Pool<Tunnel<S>>;
  readonly counts: { connects: number; reused: number; failures: number; retries: number };
  readonly onEvent: ((event: Socks5Event) => void) | undefined;
  ids: number;
}

/** One connect: its scope and its place, and what the failover calls for. */
export class Connecting<S> implements Call<Socks5Conn<S>> {
  readonly scope: Scope;
  readonly target: string;
  readonly perCall: boolean;
  readonly #shared: Shared<S>;
  readonly #address: Address;
  readonly #credentials: UserPass | null | undefined;
  readonly #want: Want;
  readonly #id: number;
  readonly #begun = performance.now();
  #place: Place<Tunnel<S>> | undefined;
  #attempts = 0;
  #proxy: string | null = null;

  /** Checks the arguments; throws a `TypeError` or a `RangeError`, or the reason of an aborted signal. */
  constructor(shared: Shared<S>, target: Target, options: ConnectOptions) {
    const { credentials, reuse = false, signal } = options;
    this.#shared = shared;
    this.#address = parseTarget(target);
    this.target = formatHostPort(this.#address.hostname, this.#address.port);
    this.#credentials = credentials == null ? credentials : encodeCredentials(credentials);
    this.perCall = credentials !== undefined;
    this.#want = { key: keyOf(this.target, this.#credentials), reuse };
    const timeout = milliseconds("timeout", options.timeout, shared.settings.timeout);
    this.#id = ++shared.ids;
    const { attemptTimeout } = shared.settings;
    this.scope = new Scope(signal, timeout, (deadline, phase) => {
      return this.#timedOut(deadline, deadline === "timeout" ? timeout : attemptTimeout, phase);
    });
  }

  async begin(first: boolean): Promise<Socks5Conn<S> | undefined> {
    const { scope } = this;
    const { pool } = this.#shared;
    scope.phase = "pool";
    for (let inFront = first;; inFront = true) {
      scope.throwIfOver();
      const place = this.#place = pool.take(this.#want) ?? await pool.wait(this.#want, scope.signal, inFront);
      scope.throwIfOver();
      const tunnel = place.conn;
      if (tunnel === undefined) return undefined;
      await scope.run(turn(), () => {});
      scope.throwIfOver();
      if (!tunnel.spoke) return this.#handOver(place, tunnel, true);
      place.free("peer");
    }
  }

  identify(proxy: Proxy): Identity {
    return identify(proxy, this.#credentials, this.#shared.settings.auth);
  }

  async attempt(proxy: Proxy, identity: Identity, attempt: number, lastProxy: boolean): Promise<Socks5Conn<S>> {
    const { scope, target } = this;
    this.#proxy = proxy.name;
    this.#attempts = attempt;
    if (attempt > 1) this.#shared.counts.retries++;
    this.#emit(proxy.name, { type: "attempt", attempt });
    const conn = await openSession(scope, this.#shared.dialler, proxy, identity);
    if (lastProxy) scope.extend(Infinity);
    const { bndAddr: hostname, bndPort: port } = await requestTunnel(scope, conn, this.#address);
    scope.throwIfOver();
    const expires = performance.now() + this.#shared.settings.maxLifetime * (0.9 + Math.random() / 10);
    const info = { proxy: proxy.name, target, boundAddress: { hostname, port } };
    return this.#handOver(this.#place!, new Tunnel(conn, info, expires), false);
  }

  failed(proxy: Proxy, attempt: number, error: Socks5Error, next: "retry" | "failover" | null, delay: number): void {
    this.#emit(proxy.name, { type: "failed", attempt, error, next, delay });
  }

  leave(): void {
    if (this.#place?.conn === undefined) this.#place?.free("holder");
    else this.#place.release();
  }

  /** The tunnel becomes the caller's: synchronous, so that nothing which ends the scope can come between. */
  #handOver(place: Place<Tunnel<S>>, tunnel: Tunnel<S>, reused: boolean): Socks5Conn<S> {
    this.scope.give();
    place.conn = tunnel;
    tunnel.onClosed = (reason) => this.#emit(tunnel.info.proxy, { type: "closed", reason });
    this.#shared.counts.connects++;
    if (reused) this.#shared.counts.reused++;
    this.#emit(tunnel.info.proxy, { type: "connected", attempt: this.#attempts, reused });
    return new HeldConn(tunnel, place, { reused, mayRelease: this.#want.reuse });
  }

  #emit(proxy: string, event: EventDetails): void {
    try {
      const ms = performance.now() - this.#begun;
      this.#shared.onEvent?.({ id: this.#id, proxy, target: this.target, ms, ...event });
    } catch {
      // a fault of the listener is none of the connect
    }
  }

  #timedOut(deadline: "timeout" | "attempt", ms: number, phase: Phase): Socks5Error {
    const { pool, settings } = this.#shared;
    const { inUse, opening, waiting } = pool.counts;
    const proxy = phase === "pool" ? null : this.#proxy;
    if (phase !== "pool" || waiting === 0) return timedOut(deadline, ms, phase, proxy, this.target);
    const taken = `all ${settings.maxOpen} are taken, ${inUse} tunnels are in use and ${opening} opening`;
    return timedOut(deadline, ms, phase, null, this.target, `for a place: ${taken}`);
  }
}

/** One target and one identity; never joined with a separator that could stand in one of them. */
function keyOf(target: string, credentials: UserPass | null | undefined): string {
  const own = credentials && [[...credentials.uname], [...credentials.passwd]];
  return JSON.stringify([target, credentials === undefined ? "proxy" : own]);
}

/** A whole turn of the event loop, by way of its timers: what the kernel knows of a connection, the runtime has told. */
function turn(): Promise<void> {
  const soon: (run: () => void) => unknown = "setImmediate" in globalThis ? setImmediate : setTimeout;
  return new Promise((resolve) => soon(() => setTimeout(() => soon(resolve), 0)));
}
