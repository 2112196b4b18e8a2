import { assert, assertEquals, assertGreater, assertGreaterOrEqual, assertLess, assertLessOrEqual } from "@std/assert";
import { type ConnectOptions, Socks5Client } from "../../mod.ts";
import { withClock } from "../support/clock.ts";
import type { FakeConn, Script } from "../support/fake.ts";
import { fakeProxies, stream } from "../support/fake_stream.ts";
import { test } from "../support/test.ts";
import { ends, filled, laterOnes, use } from "./warm.ts";

const TARGET = "example.test:80";
/** A connect that gets no session, to a proxy without a password. */
const APART: ConnectOptions = { credentials: null };
const refused = () => Object.assign(new Error("refused"), { code: "ECONNREFUSED" });

// No storm

/** What a proxy does with dials that fill. */
const STORMS: [what: string, later: (proxies: ReturnType<typeof fakeProxies>) => Script | Error][] = [
  ["is gone", refused],
  ["closes at the accept", () => stream({ answer: (_, conn) => ends(conn) })],
  ["resets at the accept", () => stream({ answer: (_, conn) => (conn.reset(), true) })],
  ["says nothing", () => stream({ answer: () => true })],
  ["is no SOCKS5 proxy", () => stream({ answer: (_, conn) => (conn.push(72, 84), true) })],
  ["takes no method", () => stream({ answer: (_, conn) => (conn.push(5, 255), true) })],
  [
    "refuses the password",
    () => stream({ answer: (message, conn) => message === "password" && (conn.push(1, 1), true) }),
  ],
  [
    "accepts and then closes each session at once",
    () => stream({ answer: (message, conn) => message === "password" && (conn.push(1, 0), conn.end(), true) }),
  ],
  [
    "accepts and then resets each session at once",
    () => stream({ answer: (message, conn) => message === "password" && (conn.push(1, 0), conn.reset(), true) }),
  ],
  [
    "accepts and then closes each session after 50 ms",
    () => {
      return stream({
        answer: (message, conn) => message === "password" && (conn.push(1, 0), setTimeout(() => conn.end(), 50), true),
      });
    },
  ],
  [
    "accepts and then sends a byte that nobody asked for",
    () => stream({ answer: (message, conn) => message === "password" && (conn.push(1, 0, 7), true) }),
  ],
];

for (const [what, later] of STORMS) {
  for (const cooldown of [0, 30_000]) {
    test(`no storm while the proxy ${what}, with a cooldown of ${cooldown}: one refill at a time, with pauses`, () =>
      withClock(async (clock) => {
        const proxies = fakeProxies({ a: stream() });
        const { transport, scripts, dials } = proxies;
        const client = new Socks5Client("socks5://me:secret@a", {
          transport,
          cooldown,
          pool: { warm: 5, warmIdle: Infinity },
        });
        const conn = await clock.settle(client.connect(TARGET));
        await clock.pass(0);
        assertEquals(client.stats().warm, 5);
        scripts.a = later(proxies);
        for (const conn of transport.conns.slice(1)) conn.end();
        const begin = dials.length;
        let most = 0;
        transport.onPassed = () => most = Math.max(most, client.stats().warm + client.stats().opening);
        await clock.pass(150_000);
        const at = dials.slice(begin).map((dial) => dial.at);
        // pauses of 100 to 200, 200 to 400, … and then 2500 to 5000 ms
        assertLessOrEqual(at.length, 70);
        assertGreaterOrEqual(at.length, 3, "it is not given up");
        at.forEach((time, i) => i > 0 && assertGreaterOrEqual(Math.round(time - at[i - 1]!), 100));
        assertLess(at.findIndex((time) => time - at[0]! > 60_000), 40);
        assertLessOrEqual(most, 1);
        conn.close();
        await client.close();
        assertEquals(transport.open, 0);
        await clock.pass(50); // for what the proxy may still have to do
        assert(!clock.next(), "a timer is left");
      }));
  }
}

test("no storm while connects come and go and each session is closed at once", () =>
  withClock(async (clock) => {
    const { client, dials, scripts } = await filled(clock, { warm: 3 }, { cooldown: 0 });
    const seen = new Map<FakeConn, number>();
    scripts.a = stream({
      answer(message, conn) {
        if (message !== "greeting") return false;
        seen.set(conn, dials.length);
        conn.push(5, 0);
        // a connect asks in the same turn; who does not is closed
        setTimeout(() => conn.writes === 1 && conn.end(), 1);
        return true;
      },
    });
    const begin = dials.length;
    let connects = 0;
    for (let i = 0; i < 240; i++, connects++) {
      await clock.settle(use(client, APART));
      await clock.pass(250);
    }
    assertLessOrEqual(dials.length - begin - connects, 35, "dials that fill, in a minute");
    assertGreaterOrEqual(dials.length - begin - connects, 5);
    await client.close();
  }));

test("after a failure sessions come back one at a time until there are as many as wanted", () =>
  withClock(async (clock) => {
    const pool = { warm: 3, warmTimeout: 100_000, warmIdle: Infinity };
    const { client, transport, scripts, dials } = await filled(clock, pool, { cooldown: 0 });
    await clock.pass(80_000); // so that the life that is learnt is no short one
    scripts.a = refused();
    for (const conn of transport.conns) conn.end();
    await clock.pass(3_000);
    assertEquals(client.stats().warm, 0);
    scripts.a = stream();
    const before = dials.length;
    await clock.pass(20_000);
    assertEquals([client.stats().warm, dials.length - before], [3, 3]);
    await client.close();
  }));

// Ages

test("nothing is kept once the client was unused for warmIdle, and nothing opened until the next connect", () =>
  withClock(async (clock) => {
    const { client, dials, transport } = await filled(clock, { warm: 2 });
    await clock.pass(30_000);
    await clock.settle(use(client, APART));
    await clock.pass(59_000);
    assertEquals([client.stats().warm, transport.open], [2, 2], "59 s after the last connect");
    await clock.pass(1_000);
    assertEquals([client.stats().warm, transport.open, client.stats().opening], [0, 0, 0], "60 s after it");
    const before = dials.length;
    assert(!clock.next(), "a timer is left");
    await clock.pass(600_000);
    assertEquals(dials.length, before);
    await clock.settle(use(client));
    await clock.pass(0);
    assertEquals([client.stats().warm, dials.length], [2, before + 3]);
    await client.close();
  }));

test("warmIdle 0 keeps nothing", () =>
  withClock(async (clock) => {
    const { dials, transport } = await filled(clock, { warm: 2, warmIdle: 0 });
    await clock.pass(60_000);
    assertEquals([dials.length, transport.open], [1, 0]);
  }));

test("refills that fail end with warmIdle, too", () =>
  withClock(async (clock) => {
    const { client, dials, transport, scripts } = await filled(clock, { warm: 2 }, { cooldown: 0 });
    scripts.a = refused();
    for (const conn of transport.conns) conn.end();
    await clock.pass(60_000);
    const before = dials.length;
    assertGreater(before, 5);
    await clock.pass(600_000);
    assertEquals(dials.length, before);
    assert(!clock.next(), "a timer is left");
    await client.close();
  }));

test("no session gets older than warmTimeout: it is renewed before, and not all are in the same moment", () =>
  withClock(async (clock) => {
    const warmTimeout = 5_000;
    let tenths = 0;
    Math.random = () => (tenths = (tenths + 3) % 10) / 10;
    const { client, dials, transport, openedAt } = await filled(clock, { warm: 3, warmTimeout, warmIdle: Infinity });
    const ages: number[] = [];
    const closing = new Set<FakeConn>();
    for (let i = 0; i < 240; i++) {
      await clock.pass(250);
      assertEquals(client.stats().warm, 3);
      for (const conn of transport.conns.slice(1)) {
        if (!conn.closed || closing.has(conn)) continue;
        closing.add(conn);
        ages.push(performance.now() - openedAt(conn));
      }
    }
    assertGreater(ages.length, 30);
    // seen up to 250 ms late
    assertLessOrEqual(Math.max(...ages), warmTimeout + 250);
    assertGreaterOrEqual(Math.min(...ages), 0.9 * warmTimeout);
    assertLess(dials.length, 3 * 60_000 / (0.9 * warmTimeout) + 5);
    assertGreater(new Set(ages.map((age) => Math.round(age / 100))).size, 2);
    await client.close();
  }));

/** How sessions ended, in their order: the age, and whether the proxy closed them. */
async function lives(age: (session: number) => number, minutes: number) {
  const found: { age: number; byProxy: boolean }[] = [];
  await withClock(async (clock) => {
    let sessions = 0;
    const script = laterOnes("greeting", (conn) => {
      const session = sessions++;
      const entry = { age: -1, byProxy: false };
      found.push(entry);
      const opened = clock.now;
      const timer = age(session) < Infinity
        ? setTimeout(() => (entry.byProxy = true, conn.end()), age(session))
        : undefined;
      conn.onChange = () => {
        if (!conn.closed || entry.age >= 0) return;
        clearTimeout(timer);
        entry.age = clock.now - opened;
      };
      return false;
    });
    const { client } = await filled(clock, { warm: 1, warmIdle: Infinity }, { scripts: { a: script } });
    await clock.pass(minutes * 60_000);
    found.pop(); // the last one lives
    await client.close();
  });
  return found;
}

test("a session that the proxy closed at some age makes later ones end before it, and their life grows slowly again", async () => {
  const found = await lives(() => 5_000, 3);
  assertEquals(found[0], { age: 5_000, byProxy: true });
  let life = 3_750;
  for (const { age, byProxy } of found.slice(1, 5)) {
    assertEquals(byProxy, false);
    assertGreaterOrEqual(age, Math.floor(0.9 * life));
    assertLessOrEqual(age, Math.ceil(life));
    life *= 1.1;
  }
  const byProxy = found.filter((it) => it.byProxy).length;
  assertGreaterOrEqual(byProxy, 3, "the life does grow");
  assertLess(byProxy, found.length / 3);
});

test("the life that is learnt is never shorter than a second, and never longer than warmTimeout", async () => {
  const found = await lives((session) => session === 0 ? 100 : Infinity, 6);
  assertEquals(found[0], { age: 100, byProxy: true });
  assertGreaterOrEqual(found[1]!.age, 900);
  assertLessOrEqual(found[1]!.age, 1_000);
  assert(found.slice(1).every(({ byProxy }) => !byProxy));
  const ages = found.map(({ age }) => age);
  assertLessOrEqual(Math.max(...ages), 20_000);
  assertGreater(ages.at(-1)!, 17_999, "it has grown back");
  assertGreater(ages.findIndex((age) => age >= 15_000), 20, "slowly");
});
