import { DeadlineTimer, type Timed } from "../deadline_timer.ts";
import { authenticate } from "../attempt/authenticate.ts";
import { dial, type Dialer, identify, type Identity, timedOut } from "../attempt/dial.ts";
import type { Failover } from "./failover.ts";
import type { Settings } from "../config/settings.ts";
import type { CloseReason, Lease } from "../pool/lease.ts";
import type { Pool } from "../pool/pool.ts";
import type { Proxy } from "../config/proxy_url.ts";
import { type Attempt, Scope } from "../scope.ts";
import { ProxyConn } from "../tunnel/proxy_conn.ts";

/** The shortest life that is learnt, and the shortest pause after a failure: no storm, whatever a proxy does. */
const [SHORTEST_LIFE, SHORTEST_PAUSE] = [1_000, 100];

const STOPPED = Symbol("stopped");

/**
 * Keeps sessions ready while the client is in use, by the sequential handshake that every proxy takes, with the first
 * proxy in service. Neither its sessions nor its dials' timers keep the process alive.
 */
export class Warmer<S> {
  readonly #settings: Settings;
  readonly #dialler: Dialer<S>;
  readonly #pool: Pool<ProxyConn<S>>;
  readonly #failover: Failover;
  readonly #alarm = new DeadlineTimer<Timed>(false);
  /** For how long proxies let a session live, as far as it is less than `warmTimeout`. */
  readonly #lives = new Map<Proxy, number>();
  #lastUse = -Infinity;
  #failures = 0; // since the last session that was of use
  #pause: ReturnType<typeof setTimeout> | undefined;

  constructor(settings: Settings, dialler: Dialer<S>, pool: Pool<ProxyConn<S>>, failover: Failover) {
    this.#settings = settings;
    this.#dialler = dialler;
    this.#pool = pool;
    this.#failover = failover;
    if (settings.warm > 0) pool.onRelease = () => this.#fill();
  }

  /** A connect has succeeded, and has spent a session or not. */
  used(spent: boolean): void {
    if (this.#settings.warm === 0) return;
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
    return this.#lastUse + this.#settings.warmIdle;
  }

  #fill(): void {
    while (this.#pause === undefined && performance.now() < this.#until && this.#pool.hasRoom) {
      const { warm, reserved: filling } = this.#pool;
      if (warm + filling >= this.#settings.warm || (this.#failures > 0 && filling > 0)) return;
      const { health } = this.#failover;
      const left = health.inService(health.proxies);
      if (left.length === 0) return this.#later();
      const proxy = health.pick(left, true);
      const { attemptTimeout } = this.#settings;
      const scope = new Scope(this.#alarm, undefined, attemptTimeout, {
        timedOut: (_, phase) => timedOut("attempt", attemptTimeout, phase, proxy.name, { target: null }),
      });
      this.#open(scope, this.#pool.reserve(() => scope.end(STOPPED)), proxy);
    }
  }

  async #open(scope: Scope, place: Lease<ProxyConn<S>>, proxy: Proxy): Promise<void> {
    const identity = identify(proxy, undefined, this.#settings);
    try {
      const session = await scope.run(this.#session(scope.attempt, proxy, identity));
      scope.throwIfOver();
      scope.detach();
      const life = this.#lives.get(proxy) ?? this.#settings.warmTimeout;
      session.expires = Math.min(session.openedAt + life * (0.9 + Math.random() / 10), this.#until);
      session.onClosed = (reason) => this.#ended(session, reason);
      this.#failover.health.succeeded(proxy);
      this.#pool.addWarm(place, session);
      if (this.#failures > 0) this.#later(); // the next one only now
    } catch (thrown) {
      scope.attempt.drop();
      if (scope.ended?.reason === STOPPED) return; // the place is another's
      place.stop = undefined;
      place.destroy("client");
      try {
        this.#failover.failed(thrown, { perCall: false, target: null }, { proxy, identity, seat: { scope } });
      } catch {
        // not for us to report: the next connect fails with it, too
      }
      this.#later();
    } finally {
      scope.end(undefined);
    }
  }

  async #session(attempt: Attempt, proxy: Proxy, identity: Identity): Promise<ProxyConn<S>> {
    const session = new ProxyConn(await dial(attempt, this.#dialler, proxy), proxy);
    session.conn.unref?.();
    session.conn = await authenticate(attempt, session.conn, proxy, identity);
    return session;
  }

  /** A session that nobody took: its time was up, or the proxy, which has a clock of its own, closed it. */
  #ended({ proxy, openedAt, expires }: ProxyConn<S>, reason: CloseReason): void {
    const { warmTimeout } = this.#settings;
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
    const delay = Math.max(SHORTEST_PAUSE, this.#failover.delay(this.#failures++));
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.#fill();
    }, delay);
    (this.#pause as { unref?(): void }).unref?.();
  }
}
