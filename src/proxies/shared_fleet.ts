import { DeadlineTimer, type Timed } from "../deadline_timer.ts";
import { quietly } from "../guarded_conn.ts";
import { checkChanges, checkGranted } from "./fleet_answers.ts";
import type { FleetChanges, FleetLease, FleetStore, FleetSuspension } from "./fleet_store.ts";
import { within } from "./within.ts";

/** The store is lost, or it is back. */
export interface FleetEvent {
  type: "shared";
  state: "lost" | "back";
  /** Why it is lost. */
  error?: unknown;
}

/** Who is told. */
export interface FleetHooks {
  /** The word of another process: it replaces what was told of the same proxy, reason and host name before. */
  apply(suspension: FleetSuspension): void;
  tell(event: FleetEvent): void;
}

/** A place at a proxy. It is given back once, when the connection is closed. */
export interface FleetPlace {
  release(): void;
}

/** The longest that anybody waits for the store, in milliseconds. */
const PATIENCE = 250;

/** How often others are listened to. */
const PERIOD = 1_000;

/** How often leases are renewed, and when they end if they are not. */
const [RENEWAL, TTL] = [10_000, 30_000];

/** When a place is given back after its connection was closed: a proxy sees the end a moment later. */
const LINGER = 30;

/** How long a lost store is not asked again while it owes an answer. */
const OWED = 10_000;

/** The most changes that wait for a lost store. */
const MOST_CHANGES = 10_000;

/**
 * What a client does with a store that it shares with others. Whatever the store does, nobody waits for it longer than
 * 250 ms. While it is lost, this process counts for itself; it is asked again each second, and taken up when it answers.
 */
export class SharedFleet {
  readonly #store: FleetStore;
  readonly #hooks: FleetHooks;
  readonly #id: string = crypto.randomUUID();
  #lastPlace = 0;
  readonly #deadlines: DeadlineTimer<Timed> = new DeadlineTimer<Timed>(true);
  /** The deadlines of what no caller waits for. */
  readonly #quietDeadlines: DeadlineTimer<Timed> = new DeadlineTimer<Timed>(false);
  /** What the store is to be told, each by what it is about, with the time at which it ends. */
  readonly #changes = new Map<string, Change>();
  #cursor = 0;
  readonly #held = new Set<Place>();
  /** Leases to be given back, of which the store may know. */
  #released: FleetLease[] = [];
  #renewAt: number = performance.now() + RENEWAL;
  #isLost = false;
  #isToldLost = false;
  /** Exchanges without an answer, and when the last one began. */
  #owed = 0;
  #askedAt = 0;
  #started: Promise<void> | undefined;
  #exchanging: Promise<void> | undefined;
  #poll: ReturnType<typeof setTimeout> | undefined;
  #lingering: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  constructor(store: FleetStore, hooks: FleetHooks) {
    this.#store = store;
    this.#hooks = hooks;
  }

  /** Begins to listen to others. Resolves when what they know is applied, or the store is lost; never rejects. */
  start(): Promise<void> {
    return this.#started ??= this.#exchange(this.#deadlines).finally(() => this.#listen());
  }

  /** Tells others that this process suspended a proxy, or resumed it. */
  suspended(change: FleetSuspension): void {
    // a process without a network sees all proxies fail: that is not to be told when it has one again
    if (this.#isClosed || (this.#isLost && change.reason === "failure")) return;
    const until = change.ms === 0 ? 0 : performance.now() + change.ms;
    this.#changes.set(keyOf(change), { change, until });
    if (this.#changes.size > MOST_CHANGES) this.#changes.delete(this.#changes.keys().next().value!);
    void this.start();
    if (!this.#isLost) void this.#exchange(this.#quietDeadlines);
  }

  /**
   * Takes one of the `maxOpen` places that all processes have at a proxy; `undefined`: all are taken. While the store is
   * lost, every place is granted. Rejects with the reason of the signal, and for nothing else.
   */
  async acquire(proxy: string, maxOpen: number, signal?: AbortSignal): Promise<FleetPlace | undefined> {
    signal?.throwIfAborted();
    void this.start();
    const lease = { proxy, id: `${this.#id}:${++this.#lastPlace}` };
    const place = new Place(lease, (place) => this.#free(place));
    if (this.#isLost || this.#isClosed) return this.#hold(place);
    place.isKnown = true;
    const take = async () => {
      const isGranted = checkGranted(await this.#store.acquire(lease, maxOpen, TTL));
      if (isGranted && place.isOver) void quietly(() => this.#store.release([lease])); // it came too late
      return isGranted;
    };
    try {
      return await within(PATIENCE, this.#deadlines, take, signal) ? this.#hold(place) : undefined;
    } catch (error) {
      if (signal?.aborted) {
        place.isOver = true;
        throw signal.reason;
      }
      this.#lose(error);
      return this.#hold(place);
    }
  }

  /** Gives all places back, and ends. Resolves when the store has them, or is lost; never rejects. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    for (const place of this.#held) place.release();
    this.#isClosed = true;
    clearTimeout(this.#poll);
    clearTimeout(this.#lingering);
    await this.#exchanging;
    if (this.#released.length === 0 || this.#isLost) return;
    await new Promise((resolve) => setTimeout(resolve, LINGER));
    await this.#giveBack(this.#deadlines);
  }

  #listen(): void {
    if (this.#isClosed) return;
    const poll = () => void this.#exchange(this.#quietDeadlines).finally(() => this.#listen());
    this.#poll = unref(setTimeout(poll, PERIOD));
  }

  /** Tells what is to be told and hears what others said, one exchange at a time. */
  #exchange(deadlines: DeadlineTimer<Timed>): Promise<void> {
    if (this.#isLost && this.#owed > 0 && performance.now() < this.#askedAt + OWED) return Promise.resolve();
    return this.#exchanging ??= this.#exchangeAll(deadlines);
  }

  async #exchangeAll(deadlines: DeadlineTimer<Timed>): Promise<void> {
    do {
      // a lost one may do later what it is asked now
      const sent = this.#isLost ? new Map<string, Change>() : this.#takeChanges();
      try {
        const { cursor, suspensions } = await within(PATIENCE, deadlines, () => this.#ask(sent.values()));
        this.#cursor = cursor;
        for (const it of suspensions) if (!this.#changes.has(keyOf(it))) this.#hooks.apply(it);
        await this.#renew(deadlines);
      } catch (error) {
        for (const [key, change] of sent) if (!this.#changes.has(key)) this.#changes.set(key, change);
        this.#lose(error);
      }
    } while (!this.#isLost && this.#changes.size > 0);
    this.#exchanging = undefined;
  }

  async #ask(changes: Iterable<Change>): Promise<FleetChanges> {
    this.#owed++;
    this.#askedAt = performance.now();
    const told = Array.from(changes, ({ change, until }) => ({ ...change, ms: remaining(until) }));
    try {
      return checkChanges(await this.#store.exchange(told, this.#cursor));
    } finally {
      this.#owed--;
    }
  }

  #takeChanges(): Map<string, Change> {
    const changes = new Map([...this.#changes].filter(([, { until }]) => until === 0 || remaining(until) > 0));
    this.#changes.clear();
    return changes;
  }

  /** After an answer of the store: takes it up if it was lost, and renews the leases if it is time. */
  async #renew(deadlines: DeadlineTimer<Timed>): Promise<void> {
    const now = performance.now();
    if (!this.#isLost && now < this.#renewAt) return;
    this.#isLost = false; // what is acquired from now on comes after the renewal
    this.#renewAt = now + RENEWAL;
    const leases = Array.from(this.#held, (place) => {
      place.isKnown = true;
      return place.lease;
    });
    if (leases.length > 0) await within(PATIENCE, deadlines, () => this.#store.renew(leases, TTL));
    if (this.#isLost || !this.#isToldLost) return;
    this.#isToldLost = false;
    void quietly(() => this.#hooks.tell({ type: "shared", state: "back" }));
    this.#linger();
  }

  #lose(error: unknown): void {
    if (this.#isLost) return;
    this.#isLost = true;
    for (const [key, { change }] of this.#changes) if (change.reason === "failure") this.#changes.delete(key);
    if (this.#isToldLost) return;
    this.#isToldLost = true;
    void quietly(() => this.#hooks.tell({ type: "shared", state: "lost", error }));
  }

  #hold(place: Place): FleetPlace {
    this.#held.add(place);
    return place;
  }

  #free(place: Place): void {
    this.#held.delete(place);
    if (!place.isKnown) return;
    this.#released.push(place.lease);
    this.#linger();
  }

  /** Gives places back a moment later. */
  #linger(): void {
    if (this.#lingering !== undefined || this.#isClosed || this.#isLost) return;
    this.#lingering = unref(setTimeout(() => {
      this.#lingering = undefined;
      void this.#giveBack(this.#quietDeadlines);
    }, LINGER));
  }

  async #giveBack(deadlines: DeadlineTimer<Timed>): Promise<void> {
    const leases = this.#released;
    if (leases.length === 0 || this.#isLost) return;
    this.#released = [];
    try {
      await within(PATIENCE, deadlines, () => this.#store.release(leases));
    } catch (error) {
      this.#released.push(...leases);
      this.#lose(error);
    }
  }
}

/** A change, and when it ends on the clock of `performance.now()`; 0 if it is the end of one. */
interface Change {
  readonly change: FleetSuspension;
  readonly until: number;
}

class Place implements FleetPlace {
  readonly lease: FleetLease;
  /** Whether the store was asked for it. */
  isKnown = false;
  isOver = false;
  readonly #free: (place: Place) => void;

  constructor(lease: FleetLease, free: (place: Place) => void) {
    this.lease = lease;
    this.#free = free;
  }

  release(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#free(this);
  }
}

/** What names the thing that a suspension is about. */
function keyOf({ proxy, reason, hostname }: FleetSuspension): string {
  return JSON.stringify([proxy, reason, hostname]);
}

/** Milliseconds until `until`; 0 is 0. */
function remaining(until: number): number {
  return until === 0 ? 0 : until - performance.now();
}

function unref(timer: ReturnType<typeof setTimeout>): ReturnType<typeof setTimeout> {
  (timer as { unref?(): void }).unref?.();
  return timer;
}
