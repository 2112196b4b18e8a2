import { type Dialer, openProxyConn } from "../attempt/handshake.ts";
import { identify } from "../attempt/handshake.ts";
import type { Proxy } from "../config/proxy_url.ts";
import { DeadlineTimer, type Timed } from "../deadline_timer.ts";
import { timedOut } from "../errors.ts";
import type { CloseReason } from "../events.ts";
import type { Lease } from "../pool/lease.ts";
import type { Place } from "../proxies/proxy_state.ts";
import { pauseAfter } from "../proxies/policy.ts";
import { Scope } from "../scope.ts";
import type { ProxyConn } from "../tunnel/proxy_conn.ts";
import type { Core } from "./core.ts";
import { judge } from "./judge.ts";

/** The shortest life that is learnt, and the shortest pause after a failure: no storm, whatever a proxy does. */
const [SHORTEST_LIFE, SHORTEST_PAUSE] = [1_000, 100];

const STOPPED = Symbol("stopped");

/**
 * Keeps warm connections while the client is in use: dialed, negotiated and authenticated in sequence, which every proxy
 * takes, with the first proxy in service. Neither they nor the timers of their dials keep the process alive.
 */
export class Warmer<S> {
  readonly #core: Core<S>;
  readonly #dialer: Dialer<S>;
  readonly #timer = new DeadlineTimer<Timed>(false);
  /** For how long proxies let a warm connection live, as far as it is less than `warmTimeout`. */
  readonly #lives = new WeakMap<Proxy, number>();
  #lastUse = -Infinity;
  #failures = 0; // since the last one that was of use
  #pause: ReturnType<typeof setTimeout> | undefined;

  constructor(core: Core<S>) {
    const { pool, settings, startTls, transport } = core;
    this.#core = core;
    this.#dialer = { settings, startTls, transport, keepsAlive: false };
    if (settings.warm > 0) pool.onRelease = () => this.#fill();
  }

  /** A request has succeeded, and has spent a warm connection or not. */
  used(spent: boolean): void {
    if (this.#core.settings.warm === 0) return;
    this.#lastUse = performance.now();
    if (spent) this.#failures = 0;
    this.#fill();
  }

  /** Opens no more; what there is the pool ends. */
  close(): void {
    this.#lastUse = -Infinity;
    clearTimeout(this.#pause);
  }

  /** When there was no connect for so long that nothing is kept. */
  get #until(): number {
    return this.#lastUse + this.#core.settings.warmIdle;
  }

  #fill(): void {
    while (this.#pause === undefined && performance.now() < this.#until && this.#core.pool.hasRoom) {
      const { fleet, pool } = this.#core;
      const { warm, reserved } = pool;
      if (warm + reserved >= this.#core.settings.warm || (this.#failures > 0 && reserved > 0)) return;
      const state = fleet.hasInService() ? fleet.pick(true) : undefined;
      if (state === undefined) return this.#later();
      const { proxy } = state;
      // a place that others may need is not for what may be needed
      if (proxy.credentialsFor !== undefined || this.#core.sharesPlaces(proxy)) {
        fleet.putBack(state);
        return this.#later();
      }
      const { attemptTimeout } = this.#core.settings;
      const scope = new Scope(this.#timer, undefined, attemptTimeout, (_, phase) => {
        return timedOut("attempt", attemptTimeout, phase, proxy.name, { target: null });
      });
      void this.#open(scope, pool.reserve(() => scope.end(STOPPED)), fleet.enter(state));
    }
  }

  async #open(scope: Scope, lease: Lease<ProxyConn<S>>, place: Place): Promise<void> {
    const { fleet, pool, settings } = this.#core;
    const { state, state: { proxy } } = place;
    const identity = identify(proxy, undefined, settings);
    const begun = performance.now();
    try {
      const conn = await scope.run(openProxyConn(scope.attempt, this.#dialer, proxy, identity));
      scope.throwIfEnded();
      scope.detach();
      const life = this.#lives.get(proxy) ?? settings.warmTimeout;
      conn.expires = Math.min(conn.openedAt + life * (0.9 + Math.random() / 10), this.#until);
      conn.onClosed = (reason) => this.#ended(conn, reason);
      conn.place = place;
      fleet.worked(state);
      pool.addWarm(lease, conn);
      if (this.#failures > 0) this.#later(); // the next one only now
    } catch (thrown) {
      scope.attempt.drop();
      place.leave();
      if (scope.ended?.reason === STOPPED) return; // the place is another's
      lease.stop = undefined;
      lease.destroy("client");
      try {
        judge(thrown, { scope, state, identity, begun }, { target: null }, false, fleet);
      } catch {
        // not for us to report: the next connect fails with it, too
      }
      this.#later();
    } finally {
      scope.end(undefined);
    }
  }

  /** A warm connection that nobody took has ended: its time was up, or the proxy, which has a clock of its own, closed it. */
  #ended({ proxy, openedAt, expires }: ProxyConn<S>, reason: CloseReason): void {
    const { warmTimeout } = this.#core.settings;
    const now = performance.now();
    if (reason === "peer") {
      this.#lives.set(proxy, Math.min(warmTimeout, Math.max(SHORTEST_LIFE, (now - openedAt) * 0.75)));
      this.#later();
    } else if (now >= expires) {
      const life = this.#lives.get(proxy) ?? warmTimeout;
      if (now - openedAt >= life * 0.9) this.#lives.set(proxy, Math.min(warmTimeout, life * 1.1));
      this.#failures = 0;
      this.#fill();
    }
  }

  /** Goes on after a pause, as long as it is for retries. */
  #later(): void {
    if (this.#pause !== undefined || !(performance.now() < this.#until)) return;
    const delay = Math.max(SHORTEST_PAUSE, pauseAfter(this.#failures++, this.#core.settings));
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.#fill();
    }, delay);
    (this.#pause as { unref?(): void }).unref?.();
  }
}
