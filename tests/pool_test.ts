import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { CloseReason, Place, Pooled } from "../src/place.ts";
import { Pool, type PoolLimits } from "../src/pool.ts";
import { type Clock, withClock } from "./support/clock.ts";
import { random } from "./support/random.ts";
import { test } from "./support/test.ts";

const LIMITS: PoolLimits = { maxOpen: 3, maxIdle: 2, idleTimeout: 1_000 };
const NEVER = new AbortController().signal;

class Item implements Pooled {
  readonly key: string;
  expires: number;
  closedBy: CloseReason | undefined;
  lost: (() => void) | undefined;
  #spoke = false;

  constructor(key = "a", expires = Infinity) {
    this.key = key;
    this.expires = expires;
  }

  park(lost: () => void): void {
    this.lost = lost;
    if (this.#spoke) lost();
  }

  unpark(): void {
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

/** Takes a place and puts something in it, as a connect does. */
function open(pool: Pool<Item>, key = "a", item: Item = new Item(key)): Place<Item> {
  const place = pool.take({ key, reuse: false })!;
  place.conn = item;
  return place;
}

function park(pool: Pool<Item>, key = "a", item: Item = new Item(key)): Item {
  open(pool, key, item).release();
  return item;
}

test("a place is given at once up to maxOpen, and then nothing", () => {
  const pool = new Pool<Item>(LIMITS);
  const places = [1, 2, 3].map(() => pool.take({ key: "a", reuse: false }));
  assert(places.every((place) => place?.conn === undefined));
  assertEquals(pool.take({ key: "a", reuse: false }), undefined);
  assertEquals(pool.counts, { opening: 3, inUse: 0, idle: 0, waiting: 0 });
});

test("a released tunnel is given to the same key only, the most recently used first", () => {
  const pool = new Pool<Item>(LIMITS);
  const [one, two] = [new Item(), new Item()];
  const places = [open(pool, "a", one), open(pool, "a", two)];
  for (const place of places) place.release();
  assertEquals(pool.take({ key: "b", reuse: true })!.conn, undefined);
  assertEquals(
    pool.take({ key: "a", reuse: false })?.conn,
    undefined,
    "not without reuse, and it takes the place of one",
  );
  assertEquals(one.closedBy, "evicted");
  assertEquals(pool.take({ key: "a", reuse: true })!.conn, two);
});

test("at the limit the least recently used parked tunnel makes room", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxIdle: 3 });
  const items = ["a", "b", "c"].map((key) => ({ item: new Item(key), place: open(pool, key) }));
  for (const { item, place } of items) {
    place.conn = item;
    place.release();
  }
  assertEquals(pool.take({ key: "d", reuse: true })!.conn, undefined);
  assertEquals(items.map(({ item }) => item.closedBy), ["evicted", undefined, undefined]);
  pool.close(() => new Error("end"));
});

test("more than maxIdle parked tunnels end the least recently used", () => {
  const pool = new Pool<Item>(LIMITS);
  const places = [1, 2, 3].map(() => open(pool));
  const items = places.map((place) => place.conn!);
  for (const place of places) place.release();
  assertEquals(items.map((item) => item.closedBy), ["evicted", undefined, undefined]);
  pool.close(() => new Error("end"));
});

test("maxIdle 0 keeps nothing, but hands on to who waits", async () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 1, maxIdle: 0 });
  const place = open(pool);
  const waiting = pool.wait({ key: "a", reuse: true }, NEVER, false);
  const item = place.conn!;
  place.release();
  const next = await waiting;
  assertEquals([next.conn, item.closedBy], [item, undefined]);
  next.release();
  assertEquals(item.closedBy, "evicted");
});

test("waiters are served in order of arrival, whatever the key, and who comes back from a pause goes first", async () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 1 });
  let held = open(pool, "x");
  const order: string[] = [];
  const wait = (name: string, first: boolean) =>
    pool.wait({ key: name, reuse: true }, NEVER, first).then((place) => {
      order.push(name);
      held = place;
    });
  const waits = [wait("a", false), wait("b", false), wait("c", true)];
  for (let i = 0; i < 3; i++) {
    held.free("holder");
    for (const before = order.length; order.length === before;) await Promise.resolve();
  }
  await Promise.all(waits);
  assertEquals(order, ["c", "a", "b"]);
  held.free("holder");
  assertEquals(pool.counts, { opening: 0, inUse: 0, idle: 0, waiting: 0 });
});

test("an abort takes a waiter out of the line with its own reason, and leaves no listener", async () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 1 });
  const place = open(pool);
  const controller = new AbortController();
  const waiting = pool.wait({ key: "a", reuse: false }, controller.signal, false);
  controller.abort("mine");
  assertEquals(await waiting.catch((reason) => reason), "mine");
  assertEquals(pool.counts.waiting, 0);
  place.free("holder");
  assertEquals(pool.counts.inUse, 0);
});

test("release() and free() act once, the first one wins, also across two holders", () => {
  const pool = new Pool<Item>(LIMITS);
  const first = open(pool);
  const item = first.conn!;
  first.release();
  first.release();
  first.free("holder");
  const second = pool.take({ key: "a", reuse: true })!;
  assertEquals(second.conn, item);
  first.release();
  first.free("holder");
  assertEquals([item.closedBy, pool.counts.inUse], [undefined, 1]);
  second.free("holder");
  second.release();
  assertEquals([item.closedBy, pool.counts.inUse, pool.counts.idle], ["holder", 0, 0]);
});

test("a parked tunnel whose peer speaks is ended at once", () => {
  const pool = new Pool<Item>(LIMITS);
  const item = park(pool);
  item.speak();
  assertEquals([item.closedBy, pool.counts.idle], ["peer", 0]);
  pool.close(() => new Error("end"));
});

test("a tunnel whose peer spoke while it was held is not kept", () => {
  const pool = new Pool<Item>(LIMITS);
  const place = open(pool);
  const item = place.conn!;
  item.speak();
  place.release();
  assertEquals([item.closedBy, pool.counts.idle], ["peer", 0]);
});

test("a parked tunnel ends after idleTimeout, by a timer that does not keep the process alive", () =>
  withClock(async (clock) => {
    const pool = new Pool<Item>(LIMITS);
    const early = park(pool, "a");
    await clock.tick(600);
    const late = park(pool, "b");
    await clock.tick(399);
    assertEquals([early.closedBy, late.closedBy], [undefined, undefined]);
    await clock.tick(1);
    assertEquals([early.closedBy, late.closedBy], ["idle", undefined]);
    await clock.tick(600);
    assertEquals(late.closedBy, "idle");
  }));

test("a tunnel whose time ran out while the loop was busy is not given", () =>
  withClock((clock) => {
    for (const idleTimeout of [0, 1_000]) {
      const pool = new Pool<Item>({ ...LIMITS, idleTimeout });
      const item = park(pool);
      const before = clock.now;
      const now = performance.now;
      performance.now = () => before + 1_000; // the timer has not had its turn
      assertEquals(pool.take({ key: "a", reuse: true })!.conn, undefined);
      performance.now = now;
      assertEquals(item.closedBy, "idle");
    }
    return Promise.resolve();
  }));

test("a tunnel that is too old is neither kept nor given", () =>
  withClock(async (clock) => {
    const pool = new Pool<Item>({ ...LIMITS, idleTimeout: Infinity });
    const old = new Item("a", 500);
    const place = open(pool, "a", old);
    await clock.tick(500);
    place.release();
    assertEquals(old.closedBy, "evicted");
    const parked = park(pool, "a", new Item("a", 900));
    await clock.tick(399);
    assertEquals(parked.closedBy, undefined);
    await clock.tick(1);
    assertEquals(parked.closedBy, "evicted");
  }));

test("close() ends what is parked, rejects who waits, and every release after it closes", async () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 2 });
  const error = new Error("the client is closed");
  const held = open(pool, "a");
  const item = held.conn!;
  const parked = park(pool, "b");
  const other = pool.take({ key: "a", reuse: false })!;
  const waiting = pool.wait({ key: "a", reuse: true }, NEVER, false);
  pool.close(() => error);
  await assertRejects(() => waiting, Error, "the client is closed");
  assertThrows(() => pool.take({ key: "a", reuse: true }), Error, "the client is closed");
  assertEquals(parked.closedBy, "evicted", "it made room for the one before the close");
  held.release();
  assertEquals(item.closedBy, "client");
  const emptied = pool.emptied();
  other.free("holder");
  await emptied;
});

test("a listener that closes the pool while a tunnel ends does no harm", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxIdle: 3 });
  const items = ["a", "b", "c"].map((key) => new Item(key));
  const places = items.map((item) => open(pool, item.key, item));
  for (const place of places) place.release();
  const [first] = items;
  const close = first!.close.bind(first);
  first!.close = (reason) => {
    close(reason);
    pool.close(() => new Error("from inside"));
  };
  pool.close(() => new Error("outside"));
  assertEquals(items.map((item) => item.closedBy), ["client", "client", "client"]);
});

test("random steps break no invariant", () =>
  withClock(async (clock) => {
    for (let seed = 1; seed <= 150; seed++) {
      try {
        await simulate(seed, clock);
      } catch (error) {
        throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : error}`, { cause: error });
      }
    }
  }));

/** Random connects, dials, releases, closes, aborts and losses against the invariants of the pool. */
async function simulate(seed: number, clock: Clock): Promise<void> {
  const next = random(seed);
  const any = <T>(list: T[]): T | undefined => list.splice(Math.floor(next() * list.length), 1)[0];
  const limits = { maxOpen: 1 + Math.floor(next() * 4), maxIdle: Math.floor(next() * 4), idleTimeout: 20 };
  const pool = new Pool<Item>(limits);
  const live = new Set<Item>();
  const held: Place<Item>[] = [];
  const dialling: Place<Item>[] = [];
  const aborts: AbortController[] = [];
  let asked = 0;
  let settled = 0;
  let closed = false;

  const make = (key: string): Item => {
    const item = new Item(key, performance.now() + 50 + next() * 100);
    const close = item.close.bind(item);
    item.close = (reason) => {
      close(reason);
      live.delete(item);
    };
    live.add(item);
    return item;
  };
  const granted = (place: Place<Item>, key: string) => {
    settled++;
    if (place.conn === undefined) return void dialling.push(place);
    assertEquals([place.conn.key, place.conn.closedBy], [key, undefined], "handed out a wrong or dead tunnel");
    held.push(place);
  };
  const connect = async (key: string, reuse: boolean, first: boolean): Promise<void> => {
    asked++;
    const controller = new AbortController();
    aborts.push(controller);
    try {
      const place = pool.take({ key, reuse }) ?? await pool.wait({ key, reuse }, controller.signal, first);
      granted(place, key);
    } catch {
      settled++;
    }
  };
  const check = (when: string) => {
    const { opening, inUse, idle, waiting } = pool.counts;
    assert(opening + inUse + idle <= limits.maxOpen, `${when}: more than maxOpen`);
    assert(waiting === 0 || (idle === 0 && opening + inUse === limits.maxOpen), `${when}: waits for nothing`);
    assert(idle <= limits.maxIdle, `${when}: more than maxIdle`);
    assertEquals(live.size, inUse + idle, `${when}: open connections are not those that count`);
    assert(!closed || (idle === 0 && waiting === 0), `${when}: something is left after close()`);
  };

  for (let step = 0; step < 200; step++) {
    const dice = next();
    if (dice < 0.35) void connect("abc"[Math.floor(next() * 3)]!, next() < 0.9, next() < 0.1);
    else if (dice < 0.55) {
      const place = any(dialling);
      if (place !== undefined) {
        place.conn = make(place.key);
        held.push(place);
      }
    } else if (dice < 0.62) any(dialling)?.free("holder");
    else if (dice < 0.85) {
      const place = any(held);
      if (next() < 0.1) place?.conn?.speak();
      place?.release();
      if (next() < 0.2) place?.release();
      if (next() < 0.2) place?.free("holder");
    } else if (dice < 0.9) any(held)?.free("holder");
    else if (dice < 0.94) any(aborts)?.abort(new Error("user"));
    else if (dice < 0.97) [...live].find((item) => item.lost !== undefined)?.speak();
    else if (step > 190 && !closed) {
      closed = true;
      pool.close(() => new Error("closed"));
    }
    check(`step ${step}`);
    for (let i = 0; i < 8; i++) await Promise.resolve();
    if (next() < 0.02) await clock.tick(15);
    check(`after step ${step}`);
  }
  pool.close(() => new Error("closed"));
  for (let i = 0; i < 8; i++) await Promise.resolve();
  for (const place of [...dialling, ...held]) place.free("holder");
  await pool.emptied();
  assertEquals([settled, live.size], [asked, 0]);
  assertEquals(pool.counts, { opening: 0, inUse: 0, idle: 0, waiting: 0 });
}
