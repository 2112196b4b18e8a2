import { assert, assertEquals, assertGreater } from "@std/assert";
import { Socks5Client } from "../../mod.ts";
import { withClock } from "../support/clock.ts";
import { fakeProxies, stream } from "../support/fake_stream.ts";
import * as testing from "../../testing/mod.ts";
import { assertEchoes, failure, TRANSPORTS, withProxy, withTarget } from "../support/stage.ts";
import { startEcho } from "../support/targets.ts";
import { test } from "../support/test.ts";
import { filled, ready, requestTo, types, use, withWarm } from "./warm.ts";

const ALICE = { username: "alice", password: "secret" };
const TARGET = "example.test:80";
const refused = () => Object.assign(new Error("refused"), { code: "ECONNREFUSED" });

for (const [via, options] of Object.entries(TRANSPORTS)) {
  for (const credentials of [undefined, ALICE]) {
    const how = credentials ? "with a password" : "without a password";
    test(`${via}: a connect spends a session, ${how}: the request is the only message, on a connection that was there`, () =>
      withWarm({ ...(credentials && { credentials }) }, options, async ({ proxy, echo, client, events }) => {
        (await client.connect(echo.address)).close();
        await ready(client);
        for (const index of [1, 2, 3]) {
          assertEquals(proxy.connections.length, index + 1, "the session is there before the connect");
          const session = proxy.connections[index]!;
          const before = session.received.length;
          assertEquals([before, session.request], [credentials ? 2 : 1, null]);
          events.length = 0;
          const conn = await client.connect(echo.address);
          assertEquals(session.received.length, before + 1);
          assertEquals(session.received.at(-1), requestTo(echo.port));
          assertEquals(events.map((it) => "attempt" in it ? [it.type, it.attempt] : []), [["attempt", 1], [
            "connected",
            1,
          ]]);
          assertEquals([conn.reused, conn.boundAddress.hostname], [false, "127.0.0.1"]);
          await assertEchoes(conn);
          conn.close();
          await ready(client);
        }
        assertEquals([client.stats().retries, client.stats().failures, client.stats().connects], [0, 0, 4]);
      }));
  }

  test(`${via}: a session that the proxy closed meanwhile is replaced without the caller noticing`, () =>
    withWarm({}, options, async ({ proxy, echo, client, events }) => {
      (await client.connect(echo.address)).close();
      await ready(client);
      await proxy.stop();
      await proxy.start();
      events.length = 0;
      const conn = await client.connect(echo.address);
      await assertEchoes(conn);
      conn.close();
      assertEquals([types(events), client.stats().retries, client.stats().failures], [
        ["attempt", "connected", "closed"],
        0,
        0,
      ]);
    }));

  test(`${via}: credentials of a connect, also null, and the proxy's very own, never get a session`, () =>
    withWarm({ credentials: () => 0, methods: [2, 0] }, options, async ({ proxy, echo, client }) => {
      (await client.connect(echo.address)).close();
      await ready(client);
      const cases = [[null, [[0], null]], [ALICE, [[2], ALICE]]] as const;
      for (const [credentials, seen] of cases) {
        const index = proxy.connections.length;
        (await client.connect(echo.address, { credentials })).close();
        const { methods, credentials: sent, request } = proxy.connections[index]!;
        assertEquals<unknown>([[methods, sent], request?.port], [seen, echo.port]);
      }
      assertEquals([proxy.connections[1]!.request, client.stats().warm], [null, 1]);
    }));

  test(`${via}: close() ends sessions, resolves, and leaves nothing open`, () =>
    withWarm({ credentials: ALICE }, { ...options, pool: { warm: 5 } }, async ({ proxy, echo, client }) => {
      (await client.connect(echo.address)).close();
      await ready(client, 5);
      await client.close();
      assertEquals([client.stats().warm, client.stats().opening, client.stats().inUse], [0, 0, 0]);
      await proxy.until(() => proxy.open === 0);
      assertEquals(proxy.connections.length, 6);
    }));

  test(`${via}: close() ends a dial that fills while the proxy does not answer`, async () => {
    const gate = testing.createGate();
    const faults = ({ index }: testing.TestConnection): testing.TestFaults =>
      index > 0 ? { fault: "wait", at: "negotiate", for: gate.pass } : undefined;
    await withWarm({ faults }, options, async ({ echo, client }) => {
      (await client.connect(echo.address)).close();
      await gate.reached;
      assertEquals([client.stats().opening, client.stats().warm], [1, 0]);
      await client.close();
      assertEquals(client.stats().opening, 0);
    });
  });
}

test("learns how long the proxy lets sessions live: later ones are renewed before it closes them", () =>
  withWarm({ handshakeTimeout: 1_500 }, {}, async ({ proxy, echo, client }) => {
    (await client.connect(echo.address)).close();
    await ready(client);
    await proxy.until(() => Boolean(proxy.connections[3]?.endedBy), 20_000);
    assertEquals(proxy.connections.map(({ endedBy }) => endedBy).slice(1, 4), ["proxy", "client", "client"]);
  }));

// Filling

test("filling begins after the first connect that succeeded, and keeps so many sessions", () =>
  withClock(async (clock) => {
    let rep = 5;
    const { transport, dials } = fakeProxies({
      a: stream({ answer: (message, conn) => message === "request" && rep !== 0 && (conn.push(5, rep), true) }),
    });
    const client = new Socks5Client("socks5://a", { transport, pool: { warm: 3 } });
    assertEquals((await clock.settle(failure(client.connect(TARGET)))).code, "SOCKS5_TARGET_REFUSED");
    await clock.pass(5_000);
    assertEquals([dials.length, client.stats().warm], [1, 0], "after a connect that failed");
    rep = 0;
    await clock.settle(use(client));
    await clock.pass(0);
    assertEquals([dials.length, client.stats().warm, client.stats().opening], [5, 3, 0]);
    assertEquals(transport.conns.map(({ writes }) => writes), [2, 2, 1, 1, 1]);
    await clock.pass(5_000);
    assertEquals([dials.length, client.stats().warm], [5, 3]);
    await client.close();
    assertEquals(transport.open, 0);
  }));

test("by default there are no sessions", () =>
  withClock(async (clock) => {
    const { client, dials, transport } = await filled(clock, {});
    await clock.pass(60_000);
    assertEquals([dials.length, transport.open, client.stats().warm], [1, 0, 0]);
    assert(!clock.next(), "a timer is left");
  }));

test("a connect does not wait for the filling, and each spent session is replaced", () =>
  withClock(async (clock) => {
    const { client, transport } = await filled(clock, { warm: 2 });
    for (let i = 0; i < 10; i++) {
      const before = transport.points;
      const conn = await clock.settle(client.connect(TARGET));
      assertEquals(transport.conns[i + 1]!.writes, 2, "the oldest session is spent");
      assertGreater(transport.points, before);
      conn.close();
      await clock.pass(0);
      assertEquals(client.stats().warm, 2);
    }
    await client.close();
  }));

test("the oldest session is spent first", () =>
  withClock(async (clock) => {
    const { client, transport } = await filled(clock, { warm: 3 });
    const held = [1, 2, 3].map(() => client.connect(TARGET));
    for (const conn of held) (await clock.settle(conn)).close();
    assertEquals(transport.conns.slice(0, 4).map(({ writes }) => writes), [2, 2, 2, 2]);
    const [first] = transport.conns.filter(({ closed }) => !closed);
    const last = transport.conns.at(-1)!;
    await clock.settle(use(client));
    assertEquals([first!.writes, last.writes], [2, 1]);
    await client.close();
  }));

test("stats() counts sessions as warm, and dials that fill as opening", () =>
  withClock(async (clock) => {
    const gate = testing.createGate();
    const { transport } = fakeProxies();
    transport.onConnect = (attempt) => attempt > 1 ? gate.pass() : undefined;
    const client = new Socks5Client("socks5://a", { transport, pool: { warm: 2 } });
    const conn = await clock.settle(client.connect(TARGET));
    await clock.pass(0);
    const counts = () => {
      const { opening, inUse, idle, warm, waiting } = client.stats();
      return { opening, inUse, idle, warm, waiting };
    };
    assertEquals(counts(), { opening: 2, inUse: 1, idle: 0, warm: 0, waiting: 0 });
    gate.open();
    await clock.pass(0);
    assertEquals(counts(), { opening: 0, inUse: 1, idle: 0, warm: 2, waiting: 0 });
    conn.close();
    await client.close();
    assertEquals(counts(), { opening: 0, inUse: 0, idle: 0, warm: 0, waiting: 0 });
  }));

test("background dials are no events, whether they succeed or fail", () =>
  withClock(async (clock) => {
    const { client, events, scripts, dials } = await filled(clock, { warm: 2, warmIdle: 100_000 });
    await clock.pass(30_000);
    scripts.a = refused();
    await clock.pass(60_000);
    assertGreater(dials.length, 5);
    assertEquals(events, []);
    assertEquals([client.stats().failures, client.stats().retries, client.stats().connects], [0, 0, 1]);
    assertGreater(client.stats().proxies[0]!.failures, 0);
    await client.close();
  }));

// With the rest

test("reuse prefers a released tunnel to a session, and a session to a dial", () =>
  withClock(async (clock) => {
    const { client, dials, transport } = await filled(clock);
    const first = await clock.settle(client.connect(TARGET, { reuse: true }));
    assertEquals([first.reused, transport.conns[1]!.writes], [false, 2], "none was released");
    await clock.pass(0);
    first.release();
    const before = dials.length;
    const second = await clock.settle(client.connect(TARGET, { reuse: true }));
    await clock.pass(0);
    assertEquals([second.reused, client.stats().warm, dials.length], [true, 1, before]);
    const other = await clock.settle(client.connect("other.test:80", { reuse: true }));
    assertEquals([other.reused, transport.conns[2]!.writes], [false, 2]);
    other.close();
    second.close();
    await client.close();
  }));

test("a tunnel over a session is released and reused, detached and closed as any other", () =>
  withClock(async (clock) => {
    const { client, transport, events } = await filled(clock);
    const conn = await clock.settle(client.connect(TARGET, { reuse: true }));
    conn.release();
    assertEquals(client.stats().idle, 1);
    const again = await clock.settle(client.connect(TARGET, { reuse: true }));
    assert(again.reused && transport.conns[1]!.refs.at(-1), "it keeps the process alive");
    again.close();
    await clock.pass(0);
    events.length = 0;
    const detached = await clock.settle(client.connect(TARGET));
    assertEquals([detached.detach().head.length, client.stats().inUse], [0, 0]);
    assertEquals(events.flatMap((it) => it.type === "closed" ? [it.reason] : []), ["detached"]);
    await client.close();
  }));

test("check() spends no session", () =>
  withClock(async (clock) => {
    const { client, dials } = await filled(clock);
    const before = dials.length;
    const [report] = await clock.settle(client.check());
    assertEquals([report!.verdict, client.stats().warm, dials.length], ["ok", 1, before + 1]);
    await client.close();
  }));

test("in a chain both clients keep sessions, and a connect sends one message through one that was there", () =>
  withTarget(
    startEcho(),
    (echo) =>
      withProxy({ credentials: ALICE }, (first) =>
        withProxy({ credentials: ALICE }, async (second) => {
          const inner = new Socks5Client(first.url, { pool: { warm: 2 } });
          const outer = new Socks5Client(second.url, { transport: inner, pool: { warm: 1 } });
          (await outer.connect(echo.address)).close();
          await ready(outer);
          await ready(inner, 2);
          for (let round = 0; round < 3; round++) {
            const session = second.connections.findLast((it) => it.open && it.request === null)!;
            const [before, count] = [session.received.length, first.connections.length];
            const conn = await outer.connect(echo.address);
            assertEquals([session.received.length, session.request?.port], [before + 1, echo.port]);
            assertEquals(
              first.connections.slice(0, count).filter((it) => it.open && it.request !== null).length >= 1,
              true,
            );
            await assertEchoes(conn);
            conn.close();
            await ready(outer);
            await ready(inner, 2);
          }
          // each connect to the second proxy took a session at the first
          assertEquals(first.connections.slice(1, 4).map((it) => it.request?.port), [1, 2, 3].map(() => second.port));
          await outer.close();
          await inner.close();
        })),
  ));
