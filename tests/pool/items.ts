import { assertEquals } from "@std/assert";
import type { CloseReason } from "../../src/events.ts";
import type { Lease, Pooled, Want } from "../../src/pool/lease.ts";
import type { Pool } from "../../src/pool/pool.ts";

/** The proxy of all items. */
const PROXY = {};

export class Item implements Pooled {
  readonly proxy: object = PROXY;
  key: string;
  expires: number;
  closedBy: CloseReason | undefined;
  lost: (() => void) | undefined;
  /** Told if what is below it is closed for another. */
  below: (() => void) | undefined;
  #spoke = false;

  constructor(key = "a", expires: number = Infinity) {
    this.key = key;
    this.expires = expires;
  }

  get mayBeKept(): boolean {
    return this.expires > performance.now();
  }

  watch(lost: () => void): void {
    this.lost = lost;
    if (this.#spoke) lost();
  }

  markIdle(evicted: () => void): void {
    this.below = evicted;
  }

  markInUse(): void {
    this.below = undefined;
  }

  unwatch(): void {
    this.lost = undefined;
  }

  close(reason: CloseReason): void {
    assertEquals(this.closedBy, undefined, "closed twice");
    this.closedBy = reason;
  }

  /** The peer speaks, ends or resets. */
  speak(): void {
    this.#spoke = true;
    this.lost?.();
  }
}

/** A place for that key; more only if asked for. */
export function want(key: string, { reuse = false, mayBeWarm = false }: Partial<Want<Item>> = {}): Want<Item> {
  return { key, reuse, mayBeWarm, suits: () => true };
}

/** What the pool counts, the dials that fill apart from those of connects. */
export interface Counts {
  opening: number;
  filling: number;
  inUse: number;
  idle: number;
  warm: number;
  waiting: number;
}

/** What is left out is 0. */
export function counts(some: Partial<Counts>): Counts {
  return { opening: 0, filling: 0, inUse: 0, idle: 0, warm: 0, waiting: 0, ...some };
}

export function countsOf({ counts: { opening, ...counts }, reserved: filling, warm }: Pool<Item>): Counts {
  assertEquals(counts.warm, warm);
  return { opening: opening - filling, filling, ...counts };
}

/** Takes a place and puts something in it, as a connect does. */
export function open(pool: Pool<Item>, key = "a", item: Item = new Item(key)): Lease<Item> {
  const place = pool.acquire(want(key))!;
  place.conn = item;
  return place;
}

export function park(pool: Pool<Item>, key = "a", item: Item = new Item(key)): Item {
  open(pool, key, item).release();
  return item;
}

/** What rests at its holder, and how often that one was told that it is closed. */
export function rest(pool: Pool<Item>, key = "a"): { item: Item; place: Lease<Item>; told: number } {
  const place = open(pool, key);
  const resting = { item: place.conn!, place, told: 0 };
  place.markIdle(() => resting.told++);
  return resting;
}

/** A place that fills, and how often its dial was stopped; `undefined` if there is no room. */
export function fill(pool: Pool<Item>): { place: Lease<Item>; stops: number } | undefined {
  if (!pool.hasRoom) return undefined;
  const filling = { place: pool.reserve(() => filling.stops++), stops: 0 };
  return filling;
}

/** Keeps a session ready. */
export function warm(pool: Pool<Item>, item: Item = new Item("session")): Item {
  pool.addWarm(fill(pool)!.place, item);
  return item;
}
