import { assert, assertEquals } from "@std/assert";
import { Pool, type PoolLimits } from "../../src/pool/pool.ts";
import { withClock } from "../support/clock.ts";
import { test } from "../support/test.ts";
import { counts, countsOf, type Item, open, park, rest, want } from "./items.ts";

const LIMITS: PoolLimits = { maxOpen: 3, maxIdle: 2, idleTimeout: 1_000 };
const NEVER = new AbortController().signal;

test("what rests at its holder gives way in one order with idle tunnels, the longest first, and its holder is told", () =>
  withClock(async (clock) => {
    const pool = new Pool<Item>({ ...LIMITS, maxOpen: 4, maxIdle: 4 });
    const one = rest(pool, "a");
    await clock.tick(1);
    const parked = park(pool, "b");
    await clock.tick(1);
    const [two, three] = [rest(pool, "c"), rest(pool, "d")];
    await clock.tick(1);
    assert(one.place.markInUse());
    one.place.markIdle(() => one.told++); // it was used, and is the youngest now
    assertEquals(countsOf(pool), counts({ idle: 4 }));
    const ended: string[] = [];
    for (let i = 0; i < 4; i++) {
      assert(pool.acquire(want("e")) !== undefined);
      const resting = { one, two, three };
      const gone = Object.entries(resting).filter(([, { item }]) => item.closedBy === "evicted").map(([name]) => name);
      if (parked.closedBy === "evicted") gone.push("parked");
      ended.push(...gone.filter((name) => !ended.includes(name)));
    }
    assertEquals(ended, ["parked", "two", "three", "one"]);
    assertEquals([one.told, two.told, three.told], [1, 1, 1]);
    assertEquals(pool.acquire(want("e")), undefined);
  }));

test("what is used again is nobody else's, and what made room is not used again", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 1 });
  const { item, place } = rest(pool);
  assertEquals([place.markInUse(), place.markInUse()], [true, true]);
  assertEquals(pool.acquire(want("b")), undefined);
  let usable: boolean | undefined;
  place.markIdle(() => usable = place.markInUse());
  assert(pool.acquire(want("b")) !== undefined);
  assertEquals([usable, place.markInUse(), item.closedBy], [false, false, "evicted"]);
  place.markIdle(() => usable = true);
  place.release();
  place.destroy("holder");
  assertEquals([usable, countsOf(pool)], [false, counts({ opening: 1 })]);
});

test("who waits is served by what begins to rest", async () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 1 });
  const place = open(pool);
  const waiting = pool.wait(want("b"), NEVER, false);
  let told = 0;
  place.markIdle(() => told++);
  assertEquals([told, (await waiting).conn, countsOf(pool)], [1, undefined, counts({ opening: 1 })]);
});

test("all holders are told before anything else is, so that nobody uses what has ended", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 2 });
  const [one, two] = [rest(pool), rest(pool)];
  let seen: unknown;
  const close = one.item.close.bind(one.item);
  one.item.close = (reason) => {
    close(reason);
    seen = [two.told, two.place.markInUse()];
  };
  pool.close(() => new Error("end"));
  assertEquals(seen, [1, false]);
});

test("a holder who closes or releases what rests is not told, and the place is the next one's", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 2 });
  const [closed, released] = [rest(pool), rest(pool)];
  closed.place.destroy("holder");
  released.place.release();
  assertEquals([closed.item.closedBy, released.item.closedBy], ["holder", undefined]);
  assertEquals([closed.told, released.told, countsOf(pool)], [0, 0, counts({ idle: 1 })]);
  pool.close(() => new Error("end"));
});

test("what is below a resting one, in a chain, may be closed for another; while it is used it may not", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 1 });
  const { item, place } = rest(pool);
  place.markInUse();
  assertEquals(item.below, undefined);
  let told = 0;
  place.markIdle(() => told++);
  item.below!();
  assertEquals([told, item.closedBy, countsOf(pool)], [1, "evicted", counts({})]);
});

test("close() ends what rests, also if it begins to rest afterwards", async () => {
  const pool = new Pool<Item>(LIMITS);
  const resting = rest(pool);
  const place = open(pool);
  pool.close(() => new Error("end"));
  assertEquals([resting.told, resting.item.closedBy], [1, "client"]);
  const emptied = pool.emptied();
  let told = 0;
  place.markIdle(() => told++);
  assertEquals([told, place.conn!.closedBy], [1, "client"]);
  await emptied;
});
