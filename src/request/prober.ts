import { type Dialer, identify } from "../attempt/handshake.ts";
import type { ProbeArgs } from "../config/client_config.ts";
import { DeadlineTimer, type Timed } from "../deadline_timer.ts";
import { timedOut } from "../errors.ts";
import type { ProxyState } from "../proxies/proxy_state.ts";
import { Scope } from "../scope.ts";
import type { Core } from "./core.ts";
import { ProxyProbe } from "./proxy_probe.ts";

/** How many checks run at a time. */
const MOST = 8;

/** After how many milliseconds a proxy is looked at again whose places are all taken. */
const BUSY = 1_000;

/** Other processes have all places at the proxy. */
const TAKEN = Symbol("taken");

/** A check that is due at a time. */
class Due implements Timed {
  slot = -1;
  readonly deadline: number;
  readonly wake: () => void;

  constructor(deadline: number, wake: () => void) {
    this.deadline = deadline;
    this.wake = wake;
  }
}

/**
 * Checks proxies that failed until they work again. Neither its timers nor its connections keep the process alive.
 */
export class Prober<S> {
  readonly #core: Core<S>;
  readonly #args: ProbeArgs;
  readonly #dialer: Dialer<S>;
  readonly #timer = new DeadlineTimer<Timed>(false);
  readonly #due = new Map<ProxyState, Due>();
  /** Those whose time has come. */
  readonly #waiting = new Set<ProxyState>();
  readonly #running = new Set<Scope>();
  #isClosed = false;

  constructor(core: Core<S>, args: ProbeArgs) {
    const { settings, startTls, transport } = core;
    this.#core = core;
    this.#args = args;
    this.#dialer = { settings, startTls, transport, keepsAlive: false };
  }

  /** A proxy failed, and is out of service for `duration` milliseconds or until it works again. */
  schedule(state: ProxyState, duration: number): void {
    const before = this.#due.get(state);
    if (before !== undefined) this.#timer.delete(before);
    if (this.#isClosed) return;
    const due = new Due(performance.now() + (this.#args.interval ?? duration), () => {
      this.#due.delete(state);
      this.#timer.delete(due);
      this.#waiting.add(state);
      this.#start();
    });
    this.#due.set(state, due);
    this.#timer.set(due);
  }

  /** Ends all checks. */
  close(): void {
    this.#isClosed = true;
    for (const due of this.#due.values()) this.#timer.delete(due);
    this.#due.clear();
    this.#waiting.clear();
    for (const scope of this.#running) scope.end(this.#core.closedError(scope.attempt.phase));
  }

  #start(): void {
    for (const state of this.#waiting) {
      if (this.#running.size >= MOST) return;
      this.#waiting.delete(state);
      if (state.index < 0 || state.strikes === 0) continue;
      if (state.isFull) this.schedule(state, BUSY);
      else void this.#check(state);
    }
  }

  async #check(state: ProxyState): Promise<void> {
    const { fleet } = this.#core;
    const { proxy } = state;
    const { args } = this.#args;
    const place = fleet.enter(state);
    const scope = new Scope(this.#timer, undefined, args.timeout, (deadline, phase) => {
      return timedOut(deadline, args.timeout, phase, proxy.name, args);
    });
    this.#running.add(scope);
    let works: boolean | undefined;
    try {
      if (!(await this.#core.shareLimit(place, undefined))) throw TAKEN;
      works = false;
      const identity = identify(proxy, undefined, this.#core.settings, {
        session: undefined,
        target: args.target ?? "",
      });
      works = await new ProxyProbe(scope, this.#dialer, proxy, identity, args).run() === undefined;
    } catch {
      // not for us to report: the next connect fails with it, too
    }
    scope.end(undefined);
    this.#running.delete(scope);
    place.leave();
    if (this.#isClosed) return;
    if (works) fleet.worked(state);
    else if (works === undefined) this.schedule(state, BUSY);
    else if (state.index >= 0) fleet.passOver(state);
    this.#start();
  }
}
