import { assert, assertEquals } from "@std/assert";
import type { Lease } from "../../src/pool/lease.ts";
import { Pool, type PoolLimits } from "../../src/pool/pool.ts";
import { withClock } from "../support/clock.ts";
import { test } from "../support/test.ts";
import { counts, countsOf, fill, Item, open, park, want, warm } from "./items.ts";

const LIMITS: PoolLimits = { maxOpen: 3, maxIdle: 2, idleTimeout: 1_000 };
const NEVER = new AbortController().signal;

test("places are filled as long as there is room, and count as open", () => {
  const pool = new Pool<Item>(LIMITS);
  open(pool);
  assert(fill(pool) !== undefined && fill(pool) !== undefined);
  assertEquals(fill(pool), undefined, "there is no room");
  assertEquals(countsOf(pool), counts({ inUse: 1, filling: 2 }));
});

test("who fills is told of room when a tunnel leaves its place, and of nothing else", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 4 });
  let told = 0;
  pool.onRelease = () => {
    told++;
    assertEquals(pool.counts.inUse, 0, "it has left");
  };
  pool.acquire(want("a"))!.destroy("holder");
  park(pool, "a").speak();
  warm(pool).speak();
  const filling = fill(pool)!;
  filling.place.stop = undefined;
  filling.place.destroy("client");
  assertEquals(told, 0);
  const place = open(pool);
  place.destroy("holder");
  place.destroy("holder");
  assertEquals(told, 1);
});

test("nothing is filled while somebody waits, or after close()", async () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 1 });
  const place = open(pool);
  const waiting = pool.wait(want("a"), NEVER, false);
  assertEquals(fill(pool), undefined);
  place.destroy("holder");
  assertEquals(fill(pool), undefined, "the place went to who waited");
  (await waiting).destroy("holder");
  assert(fill(pool) !== undefined);
  pool.close(() => new Error("end"));
  assertEquals(fill(pool), undefined);
});

test("a session is kept for who may take one, whatever the key: the oldest first", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 4 });
  const [one, two] = ["one", "two"].map((key) => warm(pool, new Item(key)));
  assertEquals(countsOf(pool), counts({ warm: 2 }));
  assertEquals(pool.acquire(want("a", { reuse: true }))!.conn, undefined, "not who may not");
  const first = pool.acquire(want("a", { mayBeWarm: true }))!;
  const second = pool.acquire(want("b", { mayBeWarm: true }))!;
  assertEquals([first.conn, first.key, second.conn, second.key], [one, "a", two, "b"]);
  assertEquals(countsOf(pool), counts({ opening: 1, inUse: 2 }));
  assertEquals([one!.lost, two!.lost], [undefined, undefined], "nobody watches them any more");
  assertEquals(pool.acquire(want("c", { mayBeWarm: true }))!.conn, undefined, "there is none left");
});

test("a tunnel of the same key goes before a session, and a session before room of its own", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 3 });
  const tunnel = park(pool, "a");
  const session = warm(pool, new Item("session"));
  const both = { reuse: true, mayBeWarm: true };
  assertEquals(pool.acquire(want("a", both))!.conn, tunnel);
  assertEquals(pool.acquire(want("a", both))!.conn, session);
  assertEquals(pool.acquire(want("a", both))!.conn, undefined);
});

test("no key of a tunnel gets a session: they are told apart by more than chance", () => {
  const pool = new Pool<Item>(LIMITS);
  warm(pool);
  assertEquals(pool.acquire(want(JSON.stringify(["session"]), { reuse: true }))!.conn, undefined);
  assertEquals(countsOf(pool), counts({ opening: 1, warm: 1 }));
  pool.close(() => new Error("end"));
});

test("who needs the place ends an idle tunnel, then the oldest session, then a dial that fills, each once", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 4 });
  const idle = park(pool, "a");
  const [old, young] = [warm(pool, new Item("old")), warm(pool, new Item("young"))];
  const filling = fill(pool)!;
  const ends = () => [idle.closedBy, old.closedBy, young.closedBy, filling.stops];
  const expected = [undefined, undefined, undefined, 0] as unknown[];
  for (const [i, end] of ["evicted", "evicted", "evicted", 1].entries()) {
    assertEquals(ends(), expected);
    assert(pool.acquire(want("b")) !== undefined);
    expected[i] = end;
  }
  assertEquals([ends(), countsOf(pool)], [expected, counts({ opening: 4 })]);
  assertEquals(pool.acquire(want("b")), undefined);
  filling.place.destroy("client");
  assertEquals([filling.stops, countsOf(pool)], [1, counts({ opening: 4 })], "its dial gives back what it has no more");
});

test("a dial that fills and fails gives its place back", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 1 });
  const filling = fill(pool)!;
  filling.place.destroy("client");
  filling.place.destroy("client");
  assertEquals(countsOf(pool), counts({}));
  assert(fill(pool) !== undefined);
});

test("a session that is kept is not stopped any more", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 1 });
  const filling = fill(pool)!;
  const session = new Item("session");
  pool.addWarm(filling.place, session);
  assert(pool.acquire(want("a")) !== undefined);
  assertEquals([session.closedBy, filling.stops], ["evicted", 0]);
});

test("release() and free() by nobody's right do nothing to a session", () => {
  const pool = new Pool<Item>(LIMITS);
  const filling = fill(pool)!;
  filling.place.release();
  assertEquals(countsOf(pool), counts({ filling: 1 }));
  const session = new Item("session");
  pool.addWarm(filling.place, session);
  filling.place.release();
  filling.place.destroy("client");
  assertEquals([session.closedBy, countsOf(pool)], [undefined, counts({ warm: 1 })]);
});

test("sessions are no idle tunnels: maxIdle and idleTimeout do not end them, their age does", () =>
  withClock(async (clock) => {
    const pool = new Pool<Item>({ maxOpen: 4, maxIdle: 0, idleTimeout: 0 });
    const [one, two, three] = [warm(pool), warm(pool, new Item("s", 500)), warm(pool, new Item("s", 900))];
    await clock.tick(499);
    assertEquals([one.closedBy, two.closedBy, three.closedBy], [undefined, undefined, undefined]);
    await clock.tick(1);
    assertEquals([one.closedBy, two.closedBy, three.closedBy], [undefined, "evicted", undefined]);
    await clock.tick(400);
    assertEquals([one.closedBy, three.closedBy, countsOf(pool)], [undefined, "evicted", counts({ warm: 1 })]);
    pool.close(() => new Error("end"));
  }));

test("a session whose time ran out while the loop was busy is not given", () =>
  withClock((clock) => {
    const pool = new Pool<Item>(LIMITS);
    const [old, young] = [warm(pool, new Item("s", 500)), warm(pool, new Item("s", 5_000))];
    const [before, now] = [clock.now, performance.now];
    performance.now = () => before + 1_000; // the timer has not had its turn
    assertEquals(pool.acquire(want("a", { mayBeWarm: true }))!.conn, young);
    performance.now = now;
    assertEquals(old.closedBy, "evicted");
    return Promise.resolve();
  }));

test("a session whose peer speaks or ends is ended at once, also if it did before it was kept", () => {
  const pool = new Pool<Item>(LIMITS);
  const [session, early] = [warm(pool), new Item("session")];
  session.speak();
  early.speak();
  warm(pool, early);
  assertEquals([session.closedBy, early.closedBy, countsOf(pool)], ["peer", "peer", counts({})]);
});

test("evictUnused() ends what is unused and meant, and nothing else", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 6 });
  const sessions = ["x", "y", "x"].map((key) => warm(pool, new Item(key)));
  const [idle, held, filling] = [park(pool, "x"), open(pool, "x"), fill(pool)!];
  pool.evictUnused({}, () => true); // another proxy
  assertEquals(countsOf(pool), counts({ inUse: 1, idle: 1, warm: 3, filling: 1 }));
  pool.evictUnused(idle.proxy, (item) => item.key === "x");
  assertEquals(sessions.map((session) => session.closedBy), ["evicted", undefined, "evicted"]);
  assertEquals([idle.closedBy, held.conn!.closedBy, filling.stops], ["evicted", undefined, 0]);
  assertEquals(countsOf(pool), counts({ inUse: 1, warm: 1, filling: 1 }));
  pool.close(() => new Error("end"));
});

test("close() ends sessions and stops dials that fill, once", () => {
  const pool = new Pool<Item>(LIMITS);
  const [session, filling] = [warm(pool), fill(pool)!];
  pool.close(() => new Error("the client is closed"));
  pool.close(() => new Error("the client is closed"));
  assertEquals([session.closedBy, filling.stops, countsOf(pool)], ["client", 1, counts({})]);
  filling.place.destroy("client");
  assertEquals([filling.stops, countsOf(pool)], [1, counts({})]);
});

test("a dial that is stopped may come back in: the pool has changed by then", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 1 });
  let inside: unknown;
  const place: Lease<Item> = pool.reserve(() => {
    place.destroy("client");
    inside = [countsOf(pool), pool.hasRoom];
  });
  assert(pool.acquire(want("a")) !== undefined);
  assertEquals(inside, [counts({ opening: 1 }), false]);
});
