import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { CloseReason, Place, Pooled } from "../../src/pool/lease.ts";
import { Pool, type PoolLimits } from "../../src/pool/pool.ts";
import type { Want } from "../../src/pool/queue.ts";
import { type Clock, withClock } from "../support/clock.ts";
import { random } from "../support/random.ts";
import { test } from "../support/test.ts";

const LIMITS: PoolLimits = { maxOpen: 3, maxIdle: 2, idleTimeout: 1_000 };
const NEVER = new AbortController().signal;

class Item implements Pooled {
  key: string;
  expires: number;
  closedBy: CloseReason | undefined;
  lost: (() => void) | undefined;
  /** Told if what is below it is closed for another. */
  below: (() => void) | undefined;
  #spoke = false;

  constructor(key = "a", expires = Infinity) {
    this.key = key;
    this.expires = expires;
  }

  park(lost: () => void): void {
    this.lost = lost;
    if (this.#spoke) lost();
  }

  markIdle(evicted: () => void): void {
    this.below = evicted;
  }

  markInUse(): void {
    this.below = undefined;
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

/** A place for that key; more only if asked for. */
function want(key: string, { reuse = false, session = false } = {}): Want {
  return { key, reuse, session };
}

/** What the pool counts, the dials that fill apart from those of connects. */
interface Counts {
  opening: number;
  filling: number;
  inUse: number;
  idle: number;
  warm: number;
  waiting: number;
}

/** What is left out is 0. */
function counts(some: Partial<Counts>): Counts {
  return { opening: 0, filling: 0, inUse: 0, idle: 0, warm: 0, waiting: 0, ...some };
}

function countsOf({ counts: { opening, ...counts }, filling, warm }: Pool<Item>): Counts {
  assertEquals(counts.warm, warm);
  return { opening: opening - filling, filling, ...counts };
}

/** Takes a place and puts something in it, as a connect does. */
function open(pool: Pool<Item>, key = "a", item: Item = new Item(key)): Place<Item> {
  const place = pool.take(want(key))!;
  place.conn = item;
  return place;
}

function park(pool: Pool<Item>, key = "a", item: Item = new Item(key)): Item {
  open(pool, key, item).release();
  return item;
}

/** What rests at its holder, and how often that one was told that it is closed. */
function rest(pool: Pool<Item>, key = "a"): { item: Item; place: Place<Item>; told: number } {
  const place = open(pool, key);
  const resting = { item: place.conn!, place, told: 0 };
  place.markIdle(() => resting.told++);
  return resting;
}

/** A place that fills, and how often its dial was stopped; `undefined` if there is no room. */
function fill(pool: Pool<Item>): { place: Place<Item>; stops: number } | undefined {
  if (!pool.hasRoom) return undefined;
  const filling = { place: pool.fill(() => filling.stops++), stops: 0 };
  return filling;
}

/** Keeps a session ready. */
function warm(pool: Pool<Item>, item: Item = new Item("session")): Item {
  pool.keep(fill(pool)!.place, item);
  return item;
}

test("a place is given at once up to maxOpen, and then nothing", () => {
  const pool = new Pool<Item>(LIMITS);
  const places = [1, 2, 3].map(() => pool.take(want("a")));
  assert(places.every((place) => place?.conn === undefined));
  assertEquals(pool.take(want("a")), undefined);
  assertEquals(countsOf(pool), counts({ opening: 3 }));
});

test("a released tunnel is given to the same key only, the most recently used first", () => {
  const pool = new Pool<Item>(LIMITS);
  const [one, two] = [new Item(), new Item()];
  const places = [open(pool, "a", one), open(pool, "a", two)];
  for (const place of places) place.release();
  assertEquals(pool.take(want("b", { reuse: true }))!.conn, undefined);
  assertEquals(
    pool.take(want("a"))?.conn,
    undefined,
    "not without reuse, and it takes the place of one",
  );
  assertEquals(one.closedBy, "evicted");
  assertEquals(pool.take(want("a", { reuse: true }))!.conn, two);
});

test("at the limit the least recently used parked tunnel makes room", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxIdle: 3 });
  const items = ["a", "b", "c"].map((key) => ({ item: new Item(key), place: open(pool, key) }));
  for (const { item, place } of items) {
    place.conn = item;
    place.release();
  }
  assertEquals(pool.take(want("d", { reuse: true }))!.conn, undefined);
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
    held.free("holder");
    for (const before = order.length; order.length === before;) await Promise.resolve();
  }
  await Promise.all(waits);
  assertEquals(order, ["c", "a", "b"]);
  held.free("holder");
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
  const second = pool.take(want("a", { reuse: true }))!;
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
      assertEquals(pool.take(want("a", { reuse: true }))!.conn, undefined);
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
  const other = pool.take(want("a"))!;
  const waiting = pool.wait(want("a", { reuse: true }), NEVER, false);
  pool.close(() => error);
  await assertRejects(() => waiting, Error, "the client is closed");
  assertThrows(() => pool.take(want("a", { reuse: true })), Error, "the client is closed");
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
  pool.onRoom = () => {
    told++;
    assertEquals(pool.counts.inUse, 0, "it has left");
  };
  pool.take(want("a"))!.free("holder");
  park(pool, "a").speak();
  warm(pool).speak();
  const filling = fill(pool)!;
  filling.place.stop = undefined;
  filling.place.free("client");
  assertEquals(told, 0);
  const place = open(pool);
  place.free("holder");
  place.free("holder");
  assertEquals(told, 1);
});

test("nothing is filled while somebody waits, or after close()", async () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 1 });
  const place = open(pool);
  const waiting = pool.wait(want("a"), NEVER, false);
  assertEquals(fill(pool), undefined);
  place.free("holder");
  assertEquals(fill(pool), undefined, "the place went to who waited");
  (await waiting).free("holder");
  assert(fill(pool) !== undefined);
  pool.close(() => new Error("end"));
  assertEquals(fill(pool), undefined);
});

test("a session is kept for who may take one, whatever the key: the oldest first", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 4 });
  const [one, two] = ["one", "two"].map((key) => warm(pool, new Item(key)));
  assertEquals(countsOf(pool), counts({ warm: 2 }));
  assertEquals(pool.take(want("a", { reuse: true }))!.conn, undefined, "not who may not");
  const first = pool.take(want("a", { session: true }))!;
  const second = pool.take(want("b", { session: true }))!;
  assertEquals([first.conn, first.key, second.conn, second.key], [one, "a", two, "b"]);
  assertEquals(countsOf(pool), counts({ opening: 1, inUse: 2 }));
  assertEquals([one!.lost, two!.lost], [undefined, undefined], "nobody watches them any more");
  assertEquals(pool.take(want("c", { session: true }))!.conn, undefined, "there is none left");
});

test("a tunnel of the same key goes before a session, and a session before room of its own", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 3 });
  const tunnel = park(pool, "a");
  const session = warm(pool, new Item("session"));
  const both = { reuse: true, session: true };
  assertEquals(pool.take(want("a", both))!.conn, tunnel);
  assertEquals(pool.take(want("a", both))!.conn, session);
  assertEquals(pool.take(want("a", both))!.conn, undefined);
});

test("no key of a tunnel gets a session: they are told apart by more than chance", () => {
  const pool = new Pool<Item>(LIMITS);
  warm(pool);
  assertEquals(pool.take(want(JSON.stringify(["session"]), { reuse: true }))!.conn, undefined);
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
    assert(pool.take(want("b")) !== undefined);
    expected[i] = end;
  }
  assertEquals([ends(), countsOf(pool)], [expected, counts({ opening: 4 })]);
  assertEquals(pool.take(want("b")), undefined);
  filling.place.free("client");
  assertEquals([filling.stops, countsOf(pool)], [1, counts({ opening: 4 })], "its dial gives back what it has no more");
});

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
      assert(pool.take(want("e")) !== undefined);
      const resting = { one, two, three };
      const gone = Object.entries(resting).filter(([, { item }]) => item.closedBy === "evicted").map(([name]) => name);
      if (parked.closedBy === "evicted") gone.push("parked");
      ended.push(...gone.filter((name) => !ended.includes(name)));
    }
    assertEquals(ended, ["parked", "two", "three", "one"]);
    assertEquals([one.told, two.told, three.told], [1, 1, 1]);
    assertEquals(pool.take(want("e")), undefined);
  }));

test("what is used again is nobody else's, and what made room is not used again", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 1 });
  const { item, place } = rest(pool);
  assertEquals([place.markInUse(), place.markInUse()], [true, true]);
  assertEquals(pool.take(want("b")), undefined);
  let usable: boolean | undefined;
  place.markIdle(() => usable = place.markInUse());
  assert(pool.take(want("b")) !== undefined);
  assertEquals([usable, place.markInUse(), item.closedBy], [false, false, "evicted"]);
  place.markIdle(() => usable = true);
  place.release();
  place.free("holder");
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
  closed.place.free("holder");
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

test("a dial that fills and fails gives its place back", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 1 });
  const filling = fill(pool)!;
  filling.place.free("client");
  filling.place.free("client");
  assertEquals(countsOf(pool), counts({}));
  assert(fill(pool) !== undefined);
});

test("a session that is kept is not stopped any more", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 1 });
  const filling = fill(pool)!;
  const session = new Item("session");
  pool.keep(filling.place, session);
  assert(pool.take(want("a")) !== undefined);
  assertEquals([session.closedBy, filling.stops], ["evicted", 0]);
});

test("release() and free() by nobody's right do nothing to a session", () => {
  const pool = new Pool<Item>(LIMITS);
  const filling = fill(pool)!;
  filling.place.release();
  assertEquals(countsOf(pool), counts({ filling: 1 }));
  const session = new Item("session");
  pool.keep(filling.place, session);
  filling.place.release();
  filling.place.free("client");
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
    assertEquals(pool.take(want("a", { session: true }))!.conn, young);
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

test("drop() ends the sessions that are meant, and nothing else", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 6 });
  const sessions = ["x", "y", "x"].map((key) => warm(pool, new Item(key)));
  const [idle, held, filling] = [park(pool, "x"), open(pool, "x"), fill(pool)!];
  pool.drop((session) => session.key === "x");
  assertEquals(sessions.map((session) => session.closedBy), ["evicted", undefined, "evicted"]);
  assertEquals([idle.closedBy, held.conn!.closedBy, filling.stops], [undefined, undefined, 0]);
  assertEquals(countsOf(pool), counts({ inUse: 1, idle: 1, warm: 1, filling: 1 }));
  pool.close(() => new Error("end"));
});

test("close() ends sessions and stops dials that fill, once", () => {
  const pool = new Pool<Item>(LIMITS);
  const [session, filling] = [warm(pool), fill(pool)!];
  pool.close(() => new Error("the client is closed"));
  pool.close(() => new Error("the client is closed"));
  assertEquals([session.closedBy, filling.stops, countsOf(pool)], ["client", 1, counts({})]);
  filling.place.free("client");
  assertEquals([filling.stops, countsOf(pool)], [1, counts({})]);
});

test("a dial that is stopped may come back in: the pool has changed by then", () => {
  const pool = new Pool<Item>({ ...LIMITS, maxOpen: 1 });
  let inside: unknown;
  const place: Place<Item> = pool.fill(() => {
    place.free("client");
    inside = [countsOf(pool), pool.hasRoom];
  });
  assert(pool.take(want("a")) !== undefined);
  assertEquals(inside, [counts({ opening: 1 }), false]);
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

/** Random connects, dials, refills, releases, closes, aborts and losses against the invariants of the pool. */
async function simulate(seed: number, clock: Clock): Promise<void> {
  const next = random(seed);
  const any = <T>(list: T[]): T | undefined => list.splice(Math.floor(next() * list.length), 1)[0];
  const limits = { maxOpen: 1 + Math.floor(next() * 5), maxIdle: Math.floor(next() * 4), idleTimeout: 20 };
  const pool = new Pool<Item>(limits);
  const live = new Set<Item>();
  const held: Place<Item>[] = [];
  const resting: Place<Item>[] = [];
  const dialling: { place: Place<Item>; session?: Item }[] = [];
  const filling: Place<Item>[] = [];
  const stopped: Place<Item>[] = [];
  const aborts: AbortController[] = [];
  let [asked, settled, made, ended] = [0, 0, 0, 0];
  let closed = false;

  const make = (key: string): Item => {
    const item = new Item(key, performance.now() + 50 + next() * 100);
    const close = item.close.bind(item);
    item.close = (reason) => {
      close(reason);
      live.delete(item);
      ended++;
    };
    live.add(item);
    made++;
    return item;
  };
  const granted = (place: Place<Item>, { key, session }: Want) => {
    const { conn } = place;
    if (conn === undefined) return void dialling.push({ place });
    assertEquals([conn.closedBy, conn.expires > performance.now()], [undefined, true], "handed out a dead one");
    if (conn.key === key) return void held.push(place);
    assertEquals([conn.key, session], ["session", true], "handed out a wrong one");
    place.conn = undefined; // as a connect does until the proxy has replied
    dialling.push({ place, session: conn });
  };
  const connect = async (wanted: Want, first: boolean): Promise<void> => {
    asked++;
    const controller = new AbortController();
    aborts.push(controller);
    const given = async () => pool.take(wanted) ?? await pool.wait(wanted, controller.signal, first);
    const place = await given().catch(() => undefined);
    settled++;
    if (place !== undefined) granted(place, wanted);
  };
  const refill = () => {
    if (!pool.hasRoom) return;
    const place = pool.fill(() => stopped.push(...filling.splice(filling.indexOf(place), 1)));
    filling.push(place);
  };
  const checkCounts = (when: string) => {
    const { opening, inUse, idle, warm, filling: fills, waiting } = countsOf(pool);
    const open = opening + inUse + idle + warm + fills;
    assertEquals(pool.hasRoom, !closed && waiting === 0 && open < limits.maxOpen, `${when}: room`);
    assert(open <= limits.maxOpen, `${when}: more than maxOpen`);
    assert(
      waiting === 0 || (idle + warm + fills === 0 && open === limits.maxOpen),
      `${when}: waits although something is parked or filling, or there is room`,
    );
    assert(idle - resting.length <= limits.maxIdle, `${when}: more than maxIdle`);
    assertEquals(fills, filling.length, `${when}: dials that fill are not those that count`);
    assert(!closed || idle + warm + fills + waiting === 0, `${when}: something is left after close()`);
  };
  const check = (when: string) => {
    checkCounts(when);
    const { opening, inUse, idle, warm } = countsOf(pool);
    assertEquals([opening, inUse], [dialling.length, held.length], `${when}: holders are not those that count`);
    const spent = dialling.filter(({ session }) => session !== undefined).length;
    assertEquals(live.size, inUse + idle + warm + spent, `${when}: open connections are not those that count`);
  };

  for (let step = 0; step < 250; step++) {
    const dice = next();
    if (dice < 0.3) {
      const wanted = want("abc"[Math.floor(next() * 3)]!, { reuse: next() < 0.8, session: next() < 0.6 });
      void connect(wanted, next() < 0.1);
    } else if (dice < 0.45) {
      const dial = any(dialling);
      if (dial !== undefined) {
        const tunnel = dial.place.conn = dial.session ?? make(dial.place.key);
        tunnel.key = dial.place.key;
        held.push(dial.place);
      }
    } else if (dice < 0.51) {
      const dial = any(dialling);
      dial?.session?.close("holder");
      dial?.place.free("holder");
    } else if (dice < 0.68) {
      const place = any(held);
      if (next() < 0.1) place?.conn?.speak();
      place?.release();
      if (next() < 0.2) place?.release();
      if (next() < 0.2) place?.free("holder");
    } else if (dice < 0.7) any(held)?.free("holder");
    else if (dice < 0.72) {
      const place = any(held);
      if (place !== undefined) {
        resting.push(place);
        place.markIdle(() => resting.splice(resting.indexOf(place), 1));
      }
    } else if (dice < 0.73) {
      const place = any(resting);
      if (place !== undefined) assert(place.markInUse(), "what its holder takes for resting is gone");
      if (place !== undefined) held.push(place);
      if (next() < 0.2) any(resting)?.free("holder");
    } else if (dice < 0.82) refill();
    else if (dice < 0.9) {
      const place = any(filling);
      if (place !== undefined) {
        const session = make("session");
        if (next() < 0.1) session.speak();
        pool.keep(place, session);
      }
    } else if (dice < 0.92) {
      const place = any(filling);
      if (place !== undefined) place.stop = undefined; // as who fills does before he gives up
      place?.free("client");
    } else if (dice < 0.93) any(stopped)?.free("client");
    else if (dice < 0.94) pool.drop(() => next() < 0.5);
    else if (dice < 0.96) any(aborts)?.abort(new Error("user"));
    else if (dice < 0.98) [...live].find((item) => item.lost !== undefined)?.speak();
    else if (step > 235 && !closed) {
      closed = true;
      pool.close(() => new Error("closed"));
    }
    checkCounts(`step ${step}`); // who was granted a place has not run on yet
    for (let i = 0; i < 8; i++) await Promise.resolve();
    check(`after step ${step}`);
    if (next() < 0.02) await clock.tick(15);
    check(`some time after step ${step}`);
  }
  pool.close(() => new Error("closed"));
  for (let i = 0; i < 8; i++) await Promise.resolve();
  assertEquals(filling, [], "a dial that fills goes on after close()");
  for (const { place, session } of dialling) {
    session?.close("holder");
    place.free("holder");
  }
  assertEquals(resting, [], "something rests after close()");
  for (const place of [...held, ...stopped]) place.free("holder");
  await pool.emptied();
  assertEquals([settled, live.size, ended], [asked, 0, made]);
  assertEquals(countsOf(pool), counts({}));
}
