import type { Balance } from "../config/options.ts";
import type { Proxy } from "../config/proxy_url.ts";
import { type FleetEventDetails, rounded } from "../events.ts";
import { DeadlineTimer, type Timed } from "../deadline_timer.ts";
import { balanced, Candidates, type Listed } from "./candidates.ts";
import { HostBans, hostnameOf } from "./host_bans.ts";
import { KnownProxies, Place, type ProxyState, type SuspensionReason } from "./proxy_state.ts";
import { firstUpTo } from "./number_tree.ts";
import { DUE, FULL, NONE, Roster, WORKING } from "./roster.ts";
import { Sessions } from "./sessions.ts";
import { Waiters } from "./waiters.ts";

/** How proxies are chosen, and for how long they are passed over. Times in milliseconds. */
export interface FleetSettings {
  readonly balance: Balance;
  readonly cooldown: number;
  readonly maxCooldown: number;
  readonly attemptTimeout: number;
  /** Whether those that failed are checked in the background, and no request is the first to try one again. */
  readonly isProbed: boolean;
}

/** What happens elsewhere when something happens to a proxy. */
export interface FleetHooks {
  /** It is out of service; with a host name: for the targets below it. */
  suspended(state: ProxyState, reason: SuspensionReason, duration: number, hostname: string | undefined): void;
  /** What it was out of service for is over before its time. */
  recovered(state: ProxyState, reason: SuspensionReason, hostname: string | undefined): void;
  /** Closes the connection that is unused for the longest time. */
  makeRoom(state: ProxyState): void;
  /** Proxies get no new connect: they have left the list, or have no weight. */
  left(states: readonly ProxyState[]): void;
  tell(event: FleetEventDetails): void;
}

/** All proxies of a client: which are in service, and which is tried next. What is asked or told of one costs O(log n). */
export class Fleet {
  readonly #settings: FleetSettings;
  readonly #hooks: FleetHooks;
  readonly #known = new KnownProxies();
  #roster: Roster;
  /** Of the host names for which proxies are suspended. */
  readonly #bans: HostBans;
  readonly #sessions = new Sessions();
  readonly #waiters = new Waiters();
  readonly #timer = new DeadlineTimer<Timed>(false);
  /** Rings when the first suspension is over, as long as somebody waits. */
  readonly #alarm = { deadline: Infinity, slot: -1, wake: (): void => this.#resumeForWaiters() };
  #all: Candidates;

  constructor(proxies: readonly Proxy[], settings: FleetSettings, hooks: FleetHooks) {
    this.#settings = settings;
    this.#hooks = hooks;
    this.#bans = new HostBans(this.#timer, ({ proxy }, hostname) => {
      hooks.tell({ type: "resumed", proxy: proxy.name, hostname });
      if (this.#waiters.size > 0) this.vacant(this.stateOf(proxy));
    });
    this.#known.replace(proxies);
    this.#roster = this.#listed();
    this.#all = new Candidates(this.#roster);
  }

  /** The list as it is now. */
  get states(): readonly ProxyState[] {
    return this.#roster.states;
  }

  get proxies(): Proxy[] {
    return this.states.map(({ proxy }) => proxy);
  }

  /** What is known of a proxy that is or was in the list. */
  stateOf(proxy: Proxy): ProxyState {
    return this.#known.stateOf(proxy);
  }

  /** Those with that label. */
  named(name: string): readonly ProxyState[] {
    return this.#known.named(name);
  }

  /** The list, less those that are suspended for the host name of a target; another object once it has changed. */
  listFor(hostname: string): Listed {
    return this.#bans.listFor(hostname, this.#roster);
  }

  /** A request was granted at `now`, `ms` after the dial began. */
  succeeded(state: ProxyState, ms: number, now: number = performance.now()): void {
    state.connects++;
    state.latency.observe(ms, now);
    this.worked(state, now);
  }

  /** The proxy has done its part. */
  worked(state: ProxyState, now: number = performance.now()): void {
    if (state.strikes === 0 && state.until.failure === 0) return;
    state.strikes = state.struckAt = 0;
    state.until.failure = 0;
    this.#hooks.recovered(state, "failure", undefined);
    this.#resumed(state, now);
  }

  /** An attempt that began at `begun` failed, which counts as a slow one. */
  failed(state: ProxyState, begun?: number): void {
    const { attemptTimeout } = this.#settings;
    state.failures++;
    if (attemptTimeout < Infinity) state.latency.observe(attemptTimeout, performance.now());
    this.passOver(state, begun);
  }

  /**
   * For a while others go before it, although it may not have failed. Attempts that ran at the same time say it once.
   */
  passOver(state: ProxyState, begun: number = performance.now()): void {
    if (begun < state.struckAt) return;
    state.struckAt = performance.now();
    state.strikes++;
    const duration = this.#pauseOf(state);
    this.#suspend(state, "failure", duration * (1 + Math.random() / 10));
  }

  /** Takes it out of service for `duration` milliseconds; with a host name: for the targets below it. */
  suspend(state: ProxyState, reason: SuspensionReason, duration: number, hostname?: string): void {
    if (hostname === undefined) return this.#suspend(state, reason, duration);
    this.#bans.suspend(state, hostname, performance.now() + duration, this.#roster);
    this.#told(state, reason, duration, hostname);
    if (this.#waiters.size > 0) this.#waiters.release(state);
  }

  /** Puts it back into service, also for each host name. */
  resume(state: ProxyState): void {
    for (const { hostname } of this.#bans.of(state)) this.end(state, "application", hostname);
    state.strikes = state.struckAt = 0;
    for (const reason of Object.keys(state.until) as SuspensionReason[]) {
      if (state.until[reason] > 0) this.end(state, reason);
    }
  }

  /** Ends what it was suspended for. */
  end(state: ProxyState, reason: SuspensionReason, hostname?: string): void {
    this.#hooks.recovered(state, reason, hostname);
    if (hostname !== undefined) return this.#bans.resume(state, hostname);
    state.until[reason] = 0;
    this.#resumed(state, performance.now());
  }

  /** Other processes have taken all of its places: it is looked at again after a moment. */
  takenElsewhere(state: ProxyState): void {
    if (state.isTakenElsewhere) return;
    state.isTakenElsewhere = true;
    this.#update(state);
    const wake = () => {
      state.isTakenElsewhere = false;
      this.vacant(state);
    };
    this.#timer.set({ deadline: performance.now() + LOOK_AGAIN, slot: -1, wake });
  }

  /** Why it is out of service, and for how many milliseconds yet. */
  suspensionsOf(state: ProxyState): { reason: "failure" | "application" | "shared"; ms: number; hostname?: string }[] {
    const now = performance.now();
    const reasons = Object.entries(state.until) as [SuspensionReason, number][];
    const whole = reasons.filter(([, until]) => until > now)
      .map(([reason, until]) => ({ reason: shown(reason), ms: rounded(until - now) }));
    const banned = this.#bans.of(state).filter(({ until }) => until > now).map(({ hostname, until }) => {
      return { reason: "application" as const, ms: rounded(until - now), hostname };
    });
    return [...whole, ...banned];
  }

  /** The list is another one: those with the same key keep what is known of them. Gives those that have left. */
  setProxies(proxies: readonly Proxy[]): readonly ProxyState[] {
    const left = this.#known.replace(proxies);
    this.#roster = this.#listed();
    this.#all = new Candidates(this.#roster);
    this.#bans.move(this.#roster);
    this.#hooks.left([...left, ...this.states.filter(({ proxy }) => proxy.weight === 0)]);
    this.#waiters.releaseAll(() => true);
    this.#waiters.release(undefined);
    return left;
  }

  /** How many requests wait for a place. */
  get waiting(): number {
    return this.#waiters.size;
  }

  /** Whether one of them is in service, and may have one more connection. */
  hasInService(left: Candidates = this.#all): boolean {
    this.#resume();
    return this.#leastOf(left) <= DUE;
  }

  /**
   * The next one to be tried; `undefined` if those in service have as many connections as they may: see `wait`. If none is
   * in service, the one that is suspended for the shortest time. `isProbe`: in the order of the list one whose suspension
   * is over counts as one that never failed; else those that never failed go first. Either is probed by one at a time. The
   * proxy of a session may have no room.
   */
  pick(isProbe: boolean, left: Candidates = this.#all, session?: string): ProxyState | undefined {
    this.#resume();
    const listed = left.ranks.at(1);
    const least = this.#leastOf(left);
    let state: ProxyState;
    if (session !== undefined && listed <= FULL) state = this.#preferred(session, left);
    else if (least === FULL) return undefined;
    else if (listed <= DUE && left.chances !== undefined) {
      state = balanced(this.#settings.balance, this.#roster, left);
    } else state = this.#firstOf(left, isProbe ? Math.max(least, DUE) : least);
    const rank = this.#rankOf(state);
    if (rank !== WORKING && rank !== FULL) this.#holdBack(state);
    return state;
  }

  /** Whoever has picked one that was in service does not try it after all. */
  putBack(state: ProxyState): void {
    if (state.strikes === 0) return;
    state.until.failure = 0;
    this.#update(state);
  }

  /** The proxy that a session has now, whether or not it has room. */
  proxyOf(session: string, left: Candidates = this.#all): ProxyState {
    this.#resume();
    return left.ranks.at(1) <= FULL ? this.#preferred(session, left) : this.#firstOf(left, this.#leastOf(left));
  }

  /** Takes a place for a connection. */
  enter(state: ProxyState): Place {
    state.open++;
    if (state.open > state.proxy.maxOpen && state.idle > 0) this.#hooks.makeRoom(state);
    if (state.isFull) this.#update(state);
    if (this.#settings.balance === "round-robin" && state.index >= 0) this.#roster.takeTurn(state);
    return new Place(this, state);
  }

  leave(state: ProxyState): void {
    const wasFull = state.isFull;
    state.open--;
    this.#known.left(state);
    if (wasFull) this.vacant(state);
  }

  /** So many of its connections more are idle, and give way to others. */
  idled(state: ProxyState, by: number): void {
    const wasFull = state.isFull;
    state.idle += by;
    if (state.isFull !== wasFull) this.#update(state);
  }

  /** It may have room: those who wait for it are served. */
  vacant(state: ProxyState): void {
    this.#update(state);
    while (this.#waiters.size > 0 && !state.isFull) {
      const waiter = this.#waiters.nextFor(state, this.#rankOf(state) <= DUE);
      if (waiter === undefined) return;
      waiter.resolve(this.enter(state));
    }
  }

  /**
   * Waits in order of arrival for a place at `one`, or at any that it accepts: gives the place, or `undefined` if the
   * request has to choose again.
   */
  wait(
    one: ProxyState | undefined,
    accepts: (state: ProxyState) => boolean,
    signal: AbortSignal,
  ): Promise<Place | undefined> {
    const waiting = this.#waiters.wait(one, accepts, signal);
    this.#setAlarm();
    return waiting;
  }

  /** Whether a tunnel to a target may be kept for the next connect. */
  mayBeKept({ index, until, proxy }: ProxyState, target: string): boolean {
    const suspended = Math.max(until.application, until["shared application"]);
    if (index < 0 || proxy.weight === 0 || suspended > performance.now()) return false;
    return this.listFor(hostnameOf(target)).has(index);
  }

  /** Ends its timers. */
  close(): void {
    for (const timed of this.#timer.all) this.#timer.delete(timed);
  }

  #listed(): Roster {
    const { states } = this.#known;
    this.#sessions.reset(states);
    return new Roster(states, this.#settings.balance, this.#settings.isProbed);
  }

  #rankOf(state: ProxyState): number {
    return state.index < 0 ? NONE : this.#roster.rankOf(state);
  }

  #update(state: ProxyState): void {
    if (state.index >= 0) this.#roster.update(state, performance.now());
  }

  /** The lowest rank of those that are left. */
  #leastOf(left: Candidates): number {
    let least = left.ranks.at(1);
    for (const state of left.last) least = Math.min(least, this.#rankOf(state));
    return least;
  }

  /** The first one with a rank of at most `most`, in the order of the list; if none is left, of the whole list. */
  #firstOf(left: Candidates, most: number): ProxyState {
    const { ranks, states } = this.#roster;
    const index = most === NONE ? firstUpTo(ranks.at(1), ranks) : firstUpTo(most, left.ranks);
    if (index !== undefined) return states[index]!;
    for (const state of left.last) if (this.#rankOf(state) <= most) return state;
    throw new Error("no proxy is left"); // one has that rank
  }

  /** The one that a session prefers among those in service, whether or not it has room. */
  #preferred(session: string, left: Candidates): ProxyState {
    const willDo = (state: ProxyState) => left.has(state) && this.#rankOf(state) <= FULL;
    return this.#sessions.preferredBy(session).find(willDo) ?? this.#sessions.bestFor(session, willDo)!;
  }

  /** How long a proxy that failed again and again is passed over. */
  #pauseOf({ strikes }: ProxyState): number {
    const { cooldown, maxCooldown } = this.#settings;
    return Math.min(cooldown * 2 ** (Math.max(strikes, 1) - 1), maxCooldown);
  }

  /** Somebody tries it just now: others do not, until it is known whether it works. */
  #holdBack(state: ProxyState): void {
    state.until.failure = performance.now() + this.#pauseOf(state);
    this.#update(state);
  }

  #suspend(state: ProxyState, reason: SuspensionReason, duration: number): void {
    state.until[reason] = performance.now() + duration;
    this.#update(state);
    this.#told(state, reason, duration, undefined);
    if (this.#waiters.size === 0) return;
    this.#waiters.release(state);
    if (this.#all.ranks.at(1) > FULL) this.#waiters.release(undefined);
    this.#setAlarm();
  }

  #told(state: ProxyState, reason: SuspensionReason, duration: number, hostname: string | undefined): void {
    if (hostname === undefined) state.isToldOf = true;
    const event = {
      type: "suspended",
      proxy: state.proxy.name,
      reason: shown(reason),
      duration: rounded(duration),
    } as const;
    this.#hooks.tell(hostname === undefined ? event : { ...event, hostname });
    this.#hooks.suspended(state, reason, duration, hostname);
  }

  #resumed(state: ProxyState, now: number): void {
    this.#update(state);
    if (state.suspendedUntil > now) return;
    if (state.isToldOf) this.#hooks.tell({ type: "resumed", proxy: state.proxy.name });
    state.isToldOf = false;
    if (this.#waiters.size === 0) return;
    this.#waiters.releaseAll((one) => this.#rankOf(one) > FULL); // they had no better one
    this.vacant(state);
  }

  #setAlarm(): void {
    const { soonest } = this.#roster;
    if (this.#waiters.size === 0 || soonest === NONE) return;
    this.#alarm.deadline = soonest + 1; // a timer may come a little early
    this.#timer.set(this.#alarm);
  }

  #resumeForWaiters(): void {
    this.#resume();
    this.#setAlarm();
  }

  /** Puts those whose time is up back into service. */
  #resume(): void {
    if (!this.#roster.hasSuspended) return; // nearly always, and the clock takes its time
    const now = performance.now();
    for (const state of this.#roster.resume(now)) this.#resumed(state, now);
  }
}

/** After how many milliseconds places are looked at again that other processes had. */
const LOOK_AGAIN = 50;

/** Who said so. */
function shown(reason: SuspensionReason): "failure" | "application" | "shared" {
  return reason === "failure" || reason === "application" ? reason : "shared";
}
