import { assert, assertEquals, assertGreaterOrEqual, assertLessOrEqual } from "@std/assert";
import { ClosedError, type ConnectOptions, Socks5Client } from "../../mod.ts";
import { withClock } from "../support/clock.ts";
import type { Script } from "../support/fake.ts";
import { fakeProxies, stream } from "../support/fake_stream.ts";
import * as testing from "../../testing/mod.ts";
import { failure } from "../support/stage.ts";
import { test } from "../support/test.ts";
import { ends, filled, laterOnes, types, use } from "./warm.ts";

const TARGET = "example.test:80";
/** A connect that gets no session, to a proxy without a password. */
const APART: ConnectOptions = { credentials: null };
const refused = () => Object.assign(new Error("refused"), { code: "ECONNREFUSED" });

test("when a proxy begins to cool its sessions end, and filling goes to the first one in service", () =>
  withClock(async (clock) => {
    const scripts: Record<string, Script | Error> = { a: stream(), b: stream() };
    const { client, open, transport } = await filled(clock, { warm: 2 }, { names: ["a", "b"], scripts });
    assertEquals([open("a"), open("b")], [2, 0]);
    scripts.a = refused();
    const conn = await clock.settle(client.connect(TARGET, APART));
    assertEquals([conn.proxy, open("a"), client.stats().proxies[0]!.cooldown > 0], ["b:1080", 0, true]);
    conn.close();
    await clock.pass(0);
    assertEquals([client.stats().warm, open("a"), open("b")], [2, 0, 2]);
    const next = await clock.settle(client.connect(TARGET));
    assertEquals(next.proxy, "b:1080");
    next.close();
    await client.close();
    assertEquals(transport.open, 0);
  }));

const SAME_COOLDOWN = { cooldown: 20_000, maxCooldown: 20_000 };

test("filling probes a proxy whose cooldown is over, by one dial at a time", () =>
  withClock(async (clock) => {
    const scripts: Record<string, Script | Error> = { a: stream(), b: stream() };
    const pool = { warm: 3, warmIdle: Infinity, warmTimeout: 5_000 };
    const { client, open, dials } = await filled(clock, pool, { names: ["a", "b"], scripts, ...SAME_COOLDOWN });
    scripts.a = refused();
    await clock.settle(use(client, APART));
    const begin = dials.length;
    await clock.pass(200_000);
    const probes = dials.slice(begin).filter(({ to }) => to === "a").map(({ at }) => at);
    assertGreaterOrEqual(probes.length, 6);
    assertLessOrEqual(probes.length, 10);
    probes.forEach((at, i) => i > 0 && assertGreaterOrEqual(Math.round(at - probes[i - 1]!), 20_000));
    assertGreaterOrEqual(open("b"), 2);
    scripts.a = stream();
    await clock.pass(60_000);
    assertEquals([client.stats().proxies[0]!.cooldown, open("b"), open("a")], [0, 0, 3]);
    await client.close();
  }));

test("a proxy whose cooldown is over is not put off again by filling for which there is no place", () =>
  withClock(async (clock) => {
    const scripts: Record<string, Script | Error> = { a: refused(), b: stream() };
    const { transport } = fakeProxies(scripts);
    const client = new Socks5Client(["socks5://a", "socks5://b"], {
      transport,
      cooldown: 30_000,
      pool: { maxOpen: 1, warm: 1 },
    });
    await clock.settle(use(client));
    assertEquals(client.stats().proxies[0]!.cooldown > 0, true);
    scripts.a = stream();
    // a connect through b that begins while a cools and succeeds when that is over
    await clock.pass(29_900);
    transport.onConnect = () => new Promise((resolve) => setTimeout(resolve, 200));
    const conn = await clock.settle(client.connect(TARGET, APART));
    assertEquals([conn.proxy, client.stats().proxies[0]!.cooldown], ["b:1080", 0]);
    const waiting = client.connect(TARGET, APART);
    conn.close();
    const next = await clock.settle(waiting);
    assertEquals(next.proxy, "a:1080");
    next.close();
    await client.close();
  }));

test("a target that the proxy of the session cannot reach is asked of the next proxy", () =>
  withClock(async (clock) => {
    const scripts = { a: laterOnes("request", (conn) => (conn.push(5, 1), true)), b: stream() };
    const { client, events } = await filled(clock, { warm: 1 }, { names: ["a", "b"], scripts });
    const conn = await clock.settle(client.connect(TARGET));
    assertEquals([conn.proxy, types(events), client.stats().retries], [
      "b:1080",
      ["attempt", "failed", "attempt", "connected"],
      1,
    ]);
    conn.close();
    await client.close();
  }));

test("a pause before a retry gives the place back, and the next round may spend a session", () =>
  withClock(async (clock) => {
    let fails = 1;
    const proxies = fakeProxies();
    const client = new Socks5Client("socks5://a", { transport: proxies.transport, pool: { warm: 1 } });
    await clock.settle(use(client));
    await clock.pass(0);
    proxies.scripts.a = stream({ answer: (message, conn) => message === "greeting" && fails-- > 0 && ends(conn) });
    const conn = await clock.settle(client.connect(TARGET, APART));
    assertEquals([client.stats().retries, client.stats().inUse], [1, 1]);
    conn.close();
    await client.close();
    assertEquals(proxies.transport.open, 0);
  }));

test("close() ends a pause before a refill, and what cannot be taken back is closed when it opens", () =>
  withClock(async (clock) => {
    const gate = testing.createGate();
    const { client, transport } = await filled(clock);
    transport.cancels = false;
    transport.onConnect = () => gate.pass();
    await clock.settle(use(client));
    await clock.pass(0);
    assertEquals(client.stats().opening, 1);
    await clock.settle(client.close());
    assertEquals([client.stats().opening, transport.open], [0, 0]);
    gate.open();
    await clock.pass(0);
    assertEquals([transport.open, transport.conns.at(-1)!.closed, client.stats().warm], [0, true, 0]);
    assert(!clock.next(), "a timer is left");

    // the same without an end to the use of the client
    const endless = await filled(clock, { warm: 1, warmIdle: Infinity });
    endless.transport.onConnect = () => new Promise(() => {});
    await clock.settle(use(endless.client));
    await clock.pass(0);
    assertEquals(endless.client.stats().opening, 1);
    await clock.settle(endless.client.close());
    await clock.pass(0);
    assert(!clock.next(), "a timer is left");

    const other = await filled(clock);
    other.scripts.a = refused();
    other.transport.conns[1]!.end();
    await clock.pass(1_000);
    await other.client.close();
    const before = other.dials.length;
    assert(!clock.next(), "a timer is left");
    assertEquals(other.dials.length, before);
  }));

test("close({ drain }) ends sessions at once and opens none while the last tunnels are used", () =>
  withClock(async (clock) => {
    const { client, transport, dials } = await filled(clock, { warm: 2 });
    const conn = await clock.settle(client.connect(TARGET));
    await clock.pass(0);
    const closing = client.close({ drain: Infinity });
    assertEquals([client.stats().warm, client.stats().inUse, transport.open], [0, 1, 1]);
    const before = dials.length;
    await clock.pass(30_000);
    assertEquals(dials.length, before);
    const error = await clock.settle(failure(client.connect(TARGET)));
    assert(error instanceof ClosedError);
    conn.close();
    await clock.settle(closing);
    assertEquals(transport.open, 0);
  }));

test("close() ends a connect that is on a session", () =>
  withClock(async (clock) => {
    const script = laterOnes("request", () => true);
    const { client, transport } = await filled(clock, { warm: 1 }, { scripts: { a: script } });
    const connecting = failure(client.connect(TARGET));
    await clock.tick(1);
    await clock.settle(client.close());
    const error = await connecting;
    assertEquals([error.code, error.phase], ["SOCKS5_CLIENT_CLOSED", "request"]);
    assertEquals(transport.open, 0);
  }));

test("a client with sessions keeps no connection and no timer behind after close()", () =>
  withClock(async (clock) => {
    for (const moment of [0, 100, 5_000, 19_000, 61_000]) {
      const { client, transport } = await filled(clock, { warm: 2 });
      await clock.pass(moment);
      await clock.settle(client.close());
      await client.close();
      assertEquals(transport.open, 0);
      assert(!clock.next(), "a timer is left");
    }
  }));
