import { assert, assertEquals, assertLess, assertLessOrEqual, assertRejects, assertStrictEquals } from "@std/assert";
import { type FleetLease, type FleetStore, type FleetSuspension, Socks5Client } from "../../mod.ts";
import { type FleetEvent, SharedFleet } from "../../src/proxies/shared_fleet.ts";
import { createGate, createTestFleet, type TestFleet } from "../../testing/mod.ts";
import { type Clock, withClock } from "../support/clock.ts";
import { FakeTransport, socks5 } from "../support/fake.ts";
import { startModule } from "../support/child.ts";
import { quick, test } from "../support/test.ts";

const DEAD: FleetSuspension = { proxy: "de-1", reason: "failure", ms: 30_000 };
const BANNED: FleetSuspension = { proxy: "de-1", reason: "application", hostname: "shop.example", ms: 60_000 };

/** What a process does with a store, and what it was told. */
interface Process {
  fleet: SharedFleet;
  applied: FleetSuspension[];
  events: FleetEvent[];
  /** The states that were told. */
  readonly states: string[];
}

/** Runs `use` in fake time with processes that share a store, and closes them. */
function withProcesses(
  count: number,
  use: (clock: Clock, store: TestFleet, ...processes: Process[]) => Promise<void>,
  own: (store: TestFleet) => FleetStore = (store) => store,
): Promise<void> {
  return withClock(async (clock) => {
    const store = createTestFleet();
    const processes = Array.from({ length: count }, () => startProcess(own(store)));
    await clock.tick(0);
    try {
      await use(clock, store, ...processes);
    } finally {
      store.fault = undefined;
      await clock.settle(Promise.all(processes.map(({ fleet }) => fleet.close())));
    }
  });
}

function startProcess(store: FleetStore): Process {
  const applied: FleetSuspension[] = [];
  const events: FleetEvent[] = [];
  const fleet = new SharedFleet(store, { apply: (it) => applied.push(it), tell: (event) => events.push(event) });
  void fleet.start();
  return {
    fleet,
    applied,
    events,
    get states() {
      return events.map(({ state }) => state);
    },
  };
}

test("what one process suspends and resumes is told to the others within a second, and not to itself", () =>
  withProcesses(3, async (clock, _store, a, b, c) => {
    await clock.pass(500);
    a.fleet.suspended(DEAD);
    a.fleet.suspended(BANNED);
    await clock.pass(1_000);
    const left = (it: FleetSuspension) => ({ ...it, ms: it.ms - 500 });
    assertEquals(b.applied, [left(DEAD), left(BANNED)]);
    assertEquals(c.applied, b.applied);
    a.fleet.suspended({ ...DEAD, ms: 0 });
    await clock.pass(1_000);
    assertEquals(b.applied.slice(2), [{ ...DEAD, ms: 0 }]);
    await clock.pass(5_000);
    assertEquals([a.applied.length, b.applied.length, c.applied.length], [0, 3, 3]);
    assertEquals([a.events, b.events], [[], []]);
  }));

test("what a client suspends before it has heard of others is told to them", () =>
  withClock(async (clock) => {
    const store = createTestFleet();
    const proxies = ["socks5h://a.test", "socks5h://b.test", "socks5h://c.test"];
    const client = new Socks5Client(proxies, { shared: store, transport: new FakeTransport(socks5()) });
    client.suspend("a.test:1080", { for: 60_000 });
    client.suspend("b.test:1080", { for: 60_000, hostname: "shop.example" });
    client.suspend("c.test:1080", { for: 60_000 });
    client.resume("c.test:1080");
    await clock.tick(0);
    assertEquals(store.suspensions, [
      { proxy: "a.test:1080", reason: "application", ms: 60_000 },
      { proxy: "b.test:1080", reason: "application", hostname: "shop.example", ms: 60_000 },
    ]);
    await clock.settle(client.close());
  }));

test("start() resolves when what others know is applied, or the store does not say it in time", () =>
  withProcesses(1, async (clock, store, a) => {
    a.fleet.suspended(DEAD);
    await clock.tick(0);
    const next = startProcess(store);
    await next.fleet.start();
    assertEquals(next.applied, [DEAD]);
    store.fault = "silence";
    const late = startProcess(store);
    const begun = clock.now;
    await clock.settle(late.fleet.start());
    assertEquals(clock.now - begun, 250);
    assertEquals(late.states, ["lost"]);
    await clock.settle(Promise.all([next.fleet.close(), late.fleet.close()]));
  }));

test("changes are written at once, and those that come meanwhile together with the next exchange", () =>
  withProcesses(1, async (clock, store, a) => {
    const calls: number[] = [];
    const { exchange } = store;
    store.exchange = (changes, cursor) => (calls.push(changes.length), exchange.call(store, changes, cursor));
    for (let i = 0; i < 5; i++) a.fleet.suspended({ ...DEAD, proxy: `de-${i}` });
    assertEquals(calls, [1]);
    a.fleet.suspended({ ...DEAD, proxy: "de-3", ms: 5_000 }); // instead of the one before
    await clock.tick(0);
    assertEquals(calls, [1, 4]);
    assertEquals(store.suspensions.map(({ proxy, ms }) => [proxy, ms]), [
      ...["de-0", "de-1", "de-2"].map((it) => [it, 30_000]),
      ["de-3", 5_000],
      ["de-4", 30_000],
    ]);
    a.fleet.suspended(BANNED);
    await clock.tick(0);
    assertEquals(calls, [1, 4, 1]);
  }));

test("a change that was made when the last exchange ended is written at once", () =>
  withProcesses(1, async (clock, store, a) => {
    for (let turn = 0; turn < 20; turn++) {
      a.fleet.suspended({ ...DEAD, proxy: `first ${turn}` });
      for (let i = 0; i < turn; i++) await Promise.resolve();
      a.fleet.suspended({ ...DEAD, proxy: `second ${turn}` });
      await clock.tick(0);
      assertEquals(store.suspensions.length, 2 * (turn + 1));
    }
  }));

test("the own word goes before that of another process which was not told yet", () =>
  withProcesses(2, async (clock, store, a, b) => {
    b.fleet.suspended(DEAD);
    await clock.tick(0);
    const gate = createGate();
    store.fault = gate.pass;
    await clock.pass(1_000); // the poll of `a` waits for its answer
    a.fleet.suspended({ ...DEAD, ms: 0 });
    gate.open();
    store.fault = undefined;
    await clock.tick(0);
    assertEquals([a.applied, store.suspensions], [[], []]);
  }));

test("places are granted up to the limit of all processes, and come back a moment after they are released", () =>
  withProcesses(2, async (clock, store, a, b) => {
    const first = await a.fleet.acquire("de-1", 2);
    assert(first !== undefined && await b.fleet.acquire("de-1", 2) !== undefined);
    assertEquals(await b.fleet.acquire("de-1", 2), undefined);
    assert(await b.fleet.acquire("de-2", 2) !== undefined);
    first.release();
    first.release();
    await clock.pass(19);
    assertEquals(await b.fleet.acquire("de-1", 2), undefined);
    await clock.pass(31);
    assertEquals(store.open("de-1"), 1);
    assert(await b.fleet.acquire("de-1", 2) !== undefined);
  }));

test("places that are released together are given back in one call, and renewed in one every ten seconds", () =>
  withProcesses(1, async (clock, store, a) => {
    const calls: [what: string, count: number, at: number][] = [];
    const { renew, release } = store;
    store.renew = (leases, ttl) => (calls.push(["renew", leases.length, clock.now]), renew.call(store, leases, ttl));
    store.release = (leases) => (calls.push(["release", leases.length, clock.now]), release.call(store, leases));
    const begun = clock.now;
    const places = await Promise.all(Array.from({ length: 5 }, (_, i) => a.fleet.acquire(`de-${i % 2}`, 10)));
    for (let i = 0; i < 60; i++) await clock.pass(1_000);
    assertEquals([store.open("de-0"), store.open("de-1")], [3, 2]);
    assertEquals(new Set(calls.map(([what, count]) => `${what} ${count}`)), new Set(["renew 5"]));
    assertLessOrEqual(calls.length, 6);
    calls.length = 0;
    for (const it of places) it!.release();
    await clock.pass(50);
    assertEquals(calls.map(([what, count]) => [what, count]), [["release", 5]]);
    for (let i = 0; i < 30; i++) await clock.pass(1_000);
    assertEquals(calls.length, 1);
    assertLess(begun, clock.now);
  }));

test("a process that dies gives its places back by not renewing them", () =>
  withProcesses(1, async (clock, store, a) => {
    const dead = startProcess({ ...methodsOf(store), renew: () => new Promise(() => {}), release: async () => {} });
    await dead.fleet.acquire("de-1", 1);
    await clock.settle(dead.fleet.close());
    assertEquals(await a.fleet.acquire("de-1", 1), undefined);
    await clock.pass(30_000);
    assert(await a.fleet.acquire("de-1", 1) !== undefined);
  }));

/** The ways in which a store may be of no use. */
const uses: [what: string, broken: Partial<Record<keyof FleetStore, unknown>>, ms: number][] = [
  ["rejects", all(() => Promise.reject(new Error("lost"))), 0],
  [
    "throws",
    all(() => {
      throw new Error("lost");
    }),
    0,
  ],
  ["never answers", all(() => new Promise(() => {})), 250],
  ["answers nothing", all(() => Promise.resolve()), 0],
  ["answers at once, and garbage", all(() => "garbage"), 0],
  ["answers null", all(() => Promise.resolve(null)), 0],
  ["has no methods", { exchange: undefined, acquire: undefined, renew: undefined, release: undefined }, 0],
  ["has a wrong cursor", answering({ cursor: NaN, suspensions: [] }), 0],
  ["has no list", answering({ cursor: 1, suspensions: {} }), 0],
  ...[null, {}, { ...DEAD, ms: -1 }, { ...DEAD, ms: "5" }, { ...DEAD, proxy: 5 }, { ...DEAD, reason: "x" }, {
    ...DEAD,
    hostname: 5,
  }].map((it) =>
    [`has ${JSON.stringify(it)} for a suspension`, answering({ cursor: 1, suspensions: [it] }), 0] as [
      string,
      object,
      number,
    ]
  ),
];

for (const [what, broken, ms] of uses) {
  test(`a store that ${what} holds nobody up for longer than 250 ms, which is told once`, () =>
    withClock(async (clock) => {
      const store = { ...methodsOf(createTestFleet()), ...broken } as FleetStore;
      const { fleet, applied, events } = startProcess(store);
      const places = await clock.settle(Promise.all([1, 2, 3].map(() => fleet.acquire("de-1", 10))));
      assertEquals(clock.now, ms);
      assertEquals(places.map((it) => typeof it?.release), ["function", "function", "function"]);
      fleet.suspended(DEAD);
      fleet.suspended(BANNED);
      for (const it of places) it!.release();
      for (let i = 0; i < 5; i++) {
        const begun = clock.now;
        await clock.settle(fleet.acquire("de-1", 1));
        assertEquals(clock.now, begun); // it is known to be lost
        await clock.pass(1_000);
      }
      assertEquals([applied, events.map(({ type, state }) => [type, state])], [[], [["shared", "lost"]]]);
      assert(events[0]!.error instanceof Error);
      await clock.settle(fleet.close());
    }));
}

test("a store that comes back is told of the places that are held, of new ones, and of what the application said", () =>
  withProcesses(2, async (clock, store, a, b) => {
    const kept = await a.fleet.acquire("de-1", 1);
    const gone = await a.fleet.acquire("de-2", 1);
    store.fault = "lost";
    await clock.pass(1_000);
    assertEquals([a.states, b.states], [["lost"], ["lost"]]);
    gone!.release();
    await a.fleet.acquire("de-3", 1);
    const brief = await a.fleet.acquire("de-4", 1);
    brief!.release();
    a.fleet.suspended(DEAD);
    a.fleet.suspended(BANNED);
    a.fleet.suspended({ ...BANNED, hostname: "brief.example", ms: 1_000 });
    assert(await b.fleet.acquire("de-1", 1) !== undefined); // each process counts for itself
    await clock.pass(10_000);
    store.clear();
    store.fault = undefined;
    await clock.pass(1_100);
    assertEquals([a.states, b.states], [["lost", "back"], ["lost", "back"]]);
    assertEquals(["de-1", "de-2", "de-3", "de-4"].map((it) => store.open(it)), [2, 0, 1, 0]);
    await clock.pass(1_000);
    const { ms: _, ...banned } = BANNED;
    assertEquals(b.applied.map(({ ms: _, ...it }) => it), [banned]); // no failure: it may have been this machine's
    assertLess(b.applied[0]!.ms, 50_000);
    kept!.release();
    await clock.pass(50);
    assertEquals(store.open("de-1"), 1);
    assertEquals(await b.fleet.acquire("de-1", 1), undefined);
  }));

test("places that were released while the store was lost are given back when it is back", () =>
  withProcesses(1, async (clock, store, a) => {
    const place = await a.fleet.acquire("de-1", 1);
    store.fault = "lost";
    await clock.pass(1_000);
    place!.release();
    await clock.pass(1_000);
    store.fault = undefined;
    await clock.pass(1_100);
    assertEquals([a.states, store.open("de-1")], [["lost", "back"], 0]);
  }));

test("a release that fails is done again", () =>
  withProcesses(1, async (clock, store, a) => {
    const place = await a.fleet.acquire("de-1", 1);
    place!.release();
    store.fault = "lost";
    await clock.pass(50);
    assertEquals(a.states, ["lost"]);
    store.fault = undefined;
    await clock.pass(1_100);
    assertEquals([a.states, store.open("de-1")], [["lost", "back"], 0]);
  }));

test("a store is back only once it has the places that are held", () =>
  withProcesses(1, async (clock, store, a) => {
    const { renew } = store;
    await a.fleet.acquire("de-1", 1);
    store.fault = "lost";
    await clock.pass(1_000);
    store.fault = undefined;
    store.renew = () => Promise.reject(new Error("out of memory"));
    await clock.pass(5_000);
    assertEquals(a.states, ["lost"]);
    store.renew = renew;
    await clock.pass(1_100);
    assertEquals(a.states, ["lost", "back"]);
  }));

test("a place that is granted too late counts while the connection is open, and is given back after it", () =>
  withProcesses(1, async (clock, store, a) => {
    const gate = createGate();
    store.fault = gate.pass;
    const place = await clock.settle(a.fleet.acquire("de-1", 5));
    place!.release();
    gate.open();
    store.fault = undefined;
    await clock.tick(0);
    assertEquals(store.open("de-1"), 0);
    await clock.pass(2_000);
    assertEquals([a.states, store.open("de-1")], [["lost", "back"], 0]);
  }));

test("an acquire that is aborted rejects with the reason of the signal, and gives back what it is granted later", () =>
  withProcesses(1, async (clock, store, a) => {
    const reason = new RangeError("enough");
    await assertRejects(() => a.fleet.acquire("de-1", 1, AbortSignal.abort(reason)), RangeError, "enough");
    const gate = createGate();
    store.fault = gate.pass;
    const given = new AbortController();
    const acquired = a.fleet.acquire("de-1", 1, given.signal).catch((error) => error);
    await gate.reached;
    given.abort(reason);
    assertStrictEquals(await acquired, reason);
    assertEquals(a.states, []);
    gate.open();
    store.fault = undefined;
    await clock.tick(0);
    assertEquals(store.open("de-1"), 0);
  }));

test("a lost store that owes answers is asked again after ten seconds, and told nothing that may be late", () =>
  withProcesses(1, async (clock, store, a) => {
    const asked: number[] = [];
    const { exchange } = store;
    store.exchange = (changes, cursor) => (asked.push(changes.length), exchange.call(store, changes, cursor));
    store.fault = "silence";
    a.fleet.suspended(BANNED);
    await clock.settle(a.fleet.acquire("de-1", 1));
    for (let i = 0; i < 9; i++) await clock.pass(1_000);
    assertEquals(asked, [1]);
    await clock.pass(3_000);
    assertEquals(asked, [1, 0]);
  }));

test("a process that was busy while the answer came does not take the store for lost", () =>
  withClock(async (clock) => {
    let answer = (_: boolean) => {};
    const acquire = () => new Promise<boolean>((resolve) => answer = resolve);
    const { fleet, events } = startProcess({ ...methodsOf(createTestFleet()), acquire });
    await clock.tick(0);
    const acquired = fleet.acquire("de-1", 1);
    setTimeout(() => setImmediate(() => answer(false)), 250); // the kernel has had it for long
    clock.jump(251);
    assertEquals(await clock.settle(acquired), undefined);
    assertEquals(events, []);
    await clock.settle(fleet.close());
  }));

test("close() tells what is to be told, gives all places back, and is over in a moment", () =>
  withProcesses(2, async (clock, store, a, b) => {
    await Promise.all([a.fleet.acquire("de-1", 5), a.fleet.acquire("de-2", 5), b.fleet.acquire("de-1", 5)]);
    a.fleet.suspended(BANNED);
    const begun = clock.now;
    await clock.settle(Promise.all([a.fleet.close(), a.fleet.close()]));
    assertLessOrEqual(clock.now - begun, 50);
    assertEquals([store.open("de-1"), store.open("de-2"), store.suspensions.length], [1, 0, 1]);
    a.fleet.suspended(DEAD);
    await clock.pass(2_000);
    assertEquals(store.suspensions.length, 1);
  }));

test("close() waits no longer than usual for a store that does not answer", () =>
  withProcesses(1, async (clock, store, a) => {
    await a.fleet.acquire("de-1", 1);
    store.fault = "silence";
    const begun = clock.now;
    await clock.settle(a.fleet.close());
    assertLessOrEqual(clock.now - begun, 300);
    assertEquals(clock.next(), false);
  }));

for (const fault of [undefined, "lost", "silence"]) {
  test(
    `a process ends by itself that shares what it knows and closes nothing, with a store that has ${fault}`,
    async () => {
      const { code, written } = await startModule(`
      import { SharedFleet } from ${JSON.stringify(new URL("../../src/proxies/shared_fleet.ts", import.meta.url).href)};
      import { createTestFleet } from ${JSON.stringify(new URL("../../testing/fleet.ts", import.meta.url).href)};
      const store = createTestFleet();
      store.fault = ${JSON.stringify(fault)};
      const fleet = new SharedFleet(store, { apply() {}, tell() {} });
      (await fleet.acquire("de-1", 5)).release();
      await fleet.acquire("de-1", 5);
      fleet.suspended({ proxy: "de-1", reason: "application", ms: 60_000 });
    `).ended;
      assertEquals([code, written], [0, ""]);
    },
    { skip: quick },
  );
}

function methodsOf(store: TestFleet): FleetStore {
  return {
    exchange: (changes, cursor) => store.exchange(changes, cursor),
    acquire: (lease: FleetLease, maxOpen, ttl) => store.acquire(lease, maxOpen, ttl),
    renew: (leases, ttl) => store.renew(leases, ttl),
    release: (leases) => store.release(leases),
  };
}

function answering(changes: unknown): Record<string, unknown> {
  return { exchange: () => Promise.resolve(changes) };
}

function all(call: () => unknown): Record<keyof FleetStore, unknown> {
  return { exchange: call, acquire: call, renew: call, release: call };
}
