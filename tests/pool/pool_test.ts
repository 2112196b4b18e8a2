import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Pool, type PoolLimits } from "../../src/pool/pool.ts";
import { withClock } from "../support/clock.ts";
import { test } from "../support/test.ts";
import { counts, countsOf, Item, open, park, want } from "./items.ts";

const LIMITS: PoolLimits = { maxOpen: 3, maxIdle: 2, idleTimeout: 1_000 };
const NEVER = new AbortController().signal;

test("a place is given at once up to maxOpen, and then nothing", () => {
  const pool = new Pool<Item>(LIMITS);
  const places = [1, 2, 3].map(() => pool.acquire(want("a")));
  assert(places.every((place) => place?.conn === undefined));
  assertEquals(pool.acquire(want("a")), undefined);
  assertEquals(countsOf(pool), counts({ opening: 3 }));
});

test("a released tunnel is given to the same key only, the most recently used first", () => {
  const pool = new Pool<Item>(LIMITS);
  const [one, two] = [new Item(), new Item()];
  const places = [open(pool, "a", one), open(pool, "a", two)];
  for (const place of places) place.release();
  assertEquals(pool.acquire(want("b", { reuse: true }))!.conn, undefined);
  assertEquals(
    pool.acquire(want("a"))?.conn,
    undefined,
    "not without reuse, and it takes the place of one",
  );
  assertEquals(one.closedBy, "evicted");
  assertEquals(pool.acquire(want("a", { reuse: true }))!.conn, two);
});

test("at the limit the least recently used parked tunnel makes room", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxIdle: 3 });
  const items = ["a", "b", "c"].map((key) => ({ item: new Item(key), place: open(pool, key) }));
  for (const { item, place } of items) {
    place.conn = item;
    place.release();
  }
  assertEquals(pool.acquire(want("d", { reuse: true }))!.conn, undefined);
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
  const waiting = pool.wait(want("a", { reuse: true }), NEVER, false);
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
    pool.wait(want(name, { reuse: true }), NEVER, first).then((place) => {
      order.push(name);
      held = place;
    });
  const waits = [wait("a", false), wait("b", false), wait("c", true)];
  for (let i = 0; i < 3; i++) {
    held.destroy("holder");
    for (const before = order.length; order.length === before;) await Promise.resolve();
  }
  await Promise.all(waits);
  assertEquals(order, ["c", "a", "b"]);
  held.destroy("holder");
  assertEquals(countsOf(pool), counts({}));
});

test("an abort takes a waiter out of the line with its own reason, and leaves no listener", async () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 1 });
  const place = open(pool);
  const controller = new AbortController();
  const waiting = pool.wait(want("a"), controller.signal, false);
  controller.abort("mine");
  assertEquals(await waiting.catch((reason) => reason), "mine");
  assertEquals(pool.counts.waiting, 0);
  place.destroy("holder");
  assertEquals(pool.counts.inUse, 0);
});

test("release() and free() act once, the first one wins, also across two holders", () => {
  const pool = new Pool<Item>(LIMITS);
  const first = open(pool);
  const item = first.conn!;
  first.release();
  first.release();
  first.destroy("holder");
  const second = pool.acquire(want("a", { reuse: true }))!;
  assertEquals(second.conn, item);
  first.release();
  first.destroy("holder");
  assertEquals([item.closedBy, pool.counts.inUse], [undefined, 1]);
  second.destroy("holder");
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
      assertEquals(pool.acquire(want("a", { reuse: true }))!.conn, undefined);
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
  const other = pool.acquire(want("a"))!;
  const waiting = pool.wait(want("a", { reuse: true }), NEVER, false);
  pool.close(() => error);
  await assertRejects(() => waiting, Error, "the client is closed");
  assertThrows(() => pool.acquire(want("a", { reuse: true })), Error, "the client is closed");
  assertEquals(parked.closedBy, "evicted", "it made room for the one before the close");
  held.release();
  assertEquals(item.closedBy, "client");
  const emptied = pool.emptied();
  other.destroy("holder");
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

test("each of many tunnels is closed without moving the others", () => {
  const pool = new Pool<Item>({ maxOpen: Infinity, maxIdle: Infinity, idleTimeout: 1_000 });
  const items = Array.from({ length: 1_000 }, (_, i) => park(pool, `${i}`));
  const shift = Array.prototype.shift;
  let moved = 0;
  Array.prototype.shift = function () {
    moved += this.length;
    return shift.call(this);
  };
  try {
    pool.close(() => new Error("the client is closed"));
  } finally {
    Array.prototype.shift = shift;
  }
  assert(items.every(({ closedBy }) => closedBy === "client"));
  assert(moved < 10 * items.length, `${moved} were moved`);
});
