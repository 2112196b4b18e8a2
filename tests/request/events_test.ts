import { assert, assertEquals, assertLess, assertRejects, assertStrictEquals } from "@std/assert";
import { inspect } from "node:util";
import { type RequestEvent, Socks5Client, type Socks5Conn, type Socks5Event, type Socks5Options } from "../../mod.ts";
import { type Clock, withClock } from "../support/clock.ts";
import { bytes, readFull } from "../support/contract.ts";
import { type FakeConn, FakeTransport, type Script, socks5 } from "../support/fake.ts";
import * as testing from "../../testing/mod.ts";
import { random } from "../support/random.ts";
import { startEcho } from "../support/targets.ts";
import { test } from "../support/test.ts";
import { ofRequests } from "../support/request_events.ts";

const TARGET = "example.test:80";
const REASON = new Error("the caller's own reason");

/** An event in short: "2 failed a 1 SOCKS5_PROXY_HUNG_UP failover". */
function brief(event: RequestEvent): string {
  const words: unknown[] = [event.id, event.type, event.proxy.replace(":1080", "")];
  if ("attempt" in event) words.push(event.attempt);
  if (event.type === "connected") words.push(event.reused ? "reused" : "fresh");
  if (event.type === "failed") words.push(event.error.code, event.next);
  if (event.type === "closed") words.push(event.reason);
  return words.join(" ");
}

/** A client of fake proxies a, b, … that do what `scripts` say. */
function setUp(scripts: Record<string, Script | Error> = { a: socks5() }, options: Socks5Options<FakeConn> = {}) {
  const names = Object.keys(scripts);
  const byConn = new WeakMap<FakeConn, Script>();
  const transport = new FakeTransport((conn, written) => byConn.get(conn)!(conn, written));
  const connect = transport.connect.bind(transport);
  transport.connect = async (to, dial) => {
    const script = scripts["hostname" in to ? to.hostname : to.path]!;
    const conn = await connect(to, dial);
    if (script instanceof Error) throw (conn.close(), script);
    byConn.set(conn, script);
    return conn;
  };
  const events: RequestEvent[] = [];
  const client = new Socks5Client(names.map((name) => `socks5://${name}`), {
    transport,
    ...options,
    onEvent: ofRequests((event) => {
      events.push(event);
      options.onEvent?.(event);
    }),
  });
  return { client, transport, events, told: () => events.splice(0).map(brief) };
}

const refused = () => Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
const hangsUp: Script = (conn) => conn.end();
const refuses = (rep: number): Script => {
  const good = socks5();
  return (conn, written) => written.length > 3 ? conn.push(5, rep) : good(conn, written);
};

const stillOpen = ({ conns }: FakeTransport) => conns.filter((conn) => !conn.closed && !conn.detached).length;

const errorOf = (promise: Promise<unknown>) => promise.then(() => null, (error: unknown) => error);

test("a connect tells of its attempt, its tunnel and its end, with one id", async () => {
  const { client, events, told } = setUp();
  (await client.connect(TARGET)).close();
  for (const event of events) assertEquals([event.target, event.proxy], [TARGET, "a:1080"]);
  assertEquals(told(), ["1 attempt a 1", "1 connected a 1 fresh", "1 closed a holder"]);
});

test("attempts count through failover and rounds, and each failure says what is next", () =>
  withClock(async (clock) => {
    const { client, told } = setUp({ a: refused(), b: hangsUp, c: refuses(4) }, {
      retry: { retries: 1, minDelay: 10 },
    });
    assertEquals(((await clock.settle(errorOf(client.connect(TARGET)))) as Error).name, "TargetError");
    assertEquals(told(), [
      "1 attempt a 1",
      "1 failed a 1 SOCKS5_PROXY_UNREACHABLE failover",
      "1 attempt b 2",
      "1 failed b 2 SOCKS5_PROXY_HUNG_UP failover",
      "1 attempt c 3",
      "1 failed c 3 SOCKS5_TARGET_HOST_UNREACHABLE retry",
      "1 attempt a 4",
      "1 failed a 4 SOCKS5_PROXY_UNREACHABLE failover",
      "1 attempt b 5",
      "1 failed b 5 SOCKS5_PROXY_HUNG_UP ",
    ]);
  }));

test("the delay of a failure is the pause until the next attempt, and 0 if there is none", () =>
  withClock(async (clock) => {
    const { client, events } = setUp({ a: refused(), b: hangsUp }, { retry: { retries: 4, minDelay: 100 } });
    await clock.settle(errorOf(client.connect(TARGET)));
    assertEquals(events.length, 20);
    for (const [i, event] of events.entries()) {
      if (event.type !== "failed") continue;
      assertEquals(event.delay > 0, event.next === "retry");
      const after = events[i + 1];
      if (after !== undefined) assertLess(Math.abs(after.ms - event.ms - event.delay), 1.5);
    }
  }));

test("ms counts from the beginning of the connect, with the wait for a place, and goes on with the tunnel", () =>
  withClock(async (clock) => {
    const { client, events } = setUp({ a: socks5() }, { pool: { maxOpen: 1 }, timeout: Infinity });
    const first = await clock.settle(client.connect(TARGET));
    const connecting = client.connect(TARGET);
    await clock.tick(700);
    first.close();
    const second = await clock.settle(connecting);
    await clock.tick(300);
    second.close();
    assertEquals(events.map((event) => [event.id, event.type, event.ms]), [
      [1, "attempt", 0],
      [1, "connected", 0],
      [1, "closed", 700],
      [2, "attempt", 700],
      [2, "connected", 700],
      [2, "closed", 1_000],
    ]);
  }));

test("connects at the same time are told apart by their ids, which count the calls", async () => {
  const { client, events } = setUp({ a: socks5(), b: socks5() });
  await assertRejects(() => client.connect("malformed"), TypeError);
  const conns = await Promise.all([client.connect("x.test:1"), client.connect("y.test:2"), client.connect("z.test:3")]);
  conns.reverse().forEach((conn) => conn.close());
  const of = (target: string) => events.filter((event) => event.target === target);
  for (const [i, target] of ["x.test:1", "y.test:2", "z.test:3"].entries()) {
    assertEquals(of(target).map(brief), [
      `${i + 1} attempt a 1`,
      `${i + 1} connected a 1 fresh`,
      `${i + 1} closed a holder`,
    ]);
  }
});

test("a reused tunnel is told without an attempt, and its end under the id of its last holder", async () => {
  const { client, told } = setUp();
  const connect = () => client.connect(TARGET, { reuse: true });
  (await connect()).release();
  (await connect()).release();
  (await connect()).close();
  assertEquals(told(), [
    "1 attempt a 1",
    "1 connected a 1 fresh",
    "2 connected a 0 reused",
    "3 connected a 0 reused",
    "3 closed a holder",
  ]);
});

test("wrong arguments, an abort, a wait without a place and a closed client tell nothing more", () =>
  withClock(async (clock) => {
    const { client, transport, told } = setUp({ a: socks5() }, { pool: { maxOpen: 1 } });
    await errorOf(client.connect("no port"));
    await errorOf(client.connect(TARGET, { signal: AbortSignal.abort(REASON) }));
    const conn = await clock.settle(client.connect(TARGET));
    const waiting = errorOf(client.connect(TARGET, { timeout: 10 }));
    await clock.tick(20);
    assertEquals((await waiting as Error).name, "TimeoutError");
    const controller = new AbortController();
    const leaving = errorOf(client.connect(TARGET, { signal: controller.signal }));
    controller.abort(REASON);
    assertStrictEquals(await leaving, REASON);
    const [id] = told();
    conn.close();
    told();
    transport.onConnect = () => new Promise(() => {});
    const aborted = new AbortController();
    const dialling = errorOf(client.connect(TARGET, { signal: aborted.signal }));
    await clock.tick(1);
    aborted.abort(REASON);
    assertStrictEquals(await dialling, REASON);
    await client.close();
    await errorOf(client.connect(TARGET));
    const [attempt, ...rest] = told();
    assert(id!.endsWith(" attempt a 1") && attempt!.endsWith(" attempt a 1"));
    assertEquals(rest, []);
  }));

test("timeouts and close() are told as failures with nothing next", () =>
  withClock(async (clock) => {
    const silent: Script = () => {};
    const { client, told } = setUp({ a: silent, b: silent }, { timeout: 700, attemptTimeout: 500 });
    await clock.settle(errorOf(client.connect(TARGET)));
    assertEquals(told(), [
      "1 attempt a 1",
      "1 failed a 1 SOCKS5_ATTEMPT_TIMEOUT failover",
      "1 attempt b 2",
      "1 failed b 2 SOCKS5_TIMEOUT ",
    ]);
    const closing = errorOf(client.connect(TARGET));
    await clock.tick(1);
    await client.close();
    await closing;
    assertEquals(told(), ["2 attempt b 1", "2 failed b 1 SOCKS5_CLIENT_CLOSED "]);
  }));

/** Each way in which a tunnel ends, and the reason that is told: once, and at once. */
const ENDS: Record<string, {
  reason: Socks5Event & { type: "closed" } extends { reason: infer R } ? R : never;
  options?: Socks5Options<FakeConn>;
  act(conn: Socks5Conn<FakeConn>, fake: FakeConn, client: Socks5Client<FakeConn>, clock: Clock): unknown;
}> = {
  "its holder closes it": { reason: "holder", act: (conn) => conn.close() },
  "its holder disposes of it": { reason: "holder", act: (conn) => conn[Symbol.dispose]() },
  "its holder cancels its readable": { reason: "holder", act: (conn) => conn.readable.cancel() },
  "its holder aborts its writable": { reason: "holder", act: (conn) => conn.writable.abort() },
  "its holder releases it after its end": {
    reason: "holder",
    act: async (conn, fake) => {
      fake.end();
      await conn.read(new Uint8Array(1));
      conn.release();
    },
  },
  "both sides ended": {
    reason: "holder",
    act: async (conn, fake) => {
      fake.end();
      await conn.closeWrite();
      await conn.read(new Uint8Array(1));
    },
  },
  "it breaks in use": {
    reason: "peer",
    act: async (conn, fake) => {
      fake.reset();
      await errorOf(conn.read(new Uint8Array(1)));
    },
  },
  "its peer ends it while idle": { reason: "peer", act: (conn, fake) => (conn.release(), fake.end()) },
  "its peer speaks while idle": { reason: "peer", act: (conn, fake) => (conn.release(), fake.push(1)) },
  "its peer resets it while idle": { reason: "peer", act: (conn, fake) => (conn.release(), fake.reset()) },
  "it was idle for too long": {
    reason: "idle",
    options: { pool: { idleTimeout: 5_000 } },
    act: (conn, _fake, _client, clock) => (conn.release(), clock.tick(5_001)),
  },
  "it is too old while idle": {
    reason: "evicted",
    options: { pool: { maxLifetime: 5_000 } },
    act: (conn, _fake, _client, clock) => (conn.release(), clock.tick(5_001)),
  },
  "it is too old when released": {
    reason: "evicted",
    options: { pool: { maxLifetime: 5_000 } },
    act: async (conn, _fake, _client, clock) => {
      await clock.tick(5_001);
      conn.release();
    },
  },
  "no idle ones are kept": { reason: "evicted", options: { pool: { maxIdle: 0 } }, act: (conn) => conn.release() },
  "its place is needed": {
    reason: "evicted",
    options: { pool: { maxOpen: 1 } },
    act: async (conn, _fake, client) => {
      conn.release();
      await errorOf(client.connect("other.test:80", { signal: AbortSignal.timeout(0) }));
    },
  },
  "the client closes while it is in use": { reason: "client", act: (_conn, _fake, client) => client.close() },
  "the client closes while it is idle": {
    reason: "client",
    act: (conn, _fake, client) => (conn.release(), client.close()),
  },
  "it is released to a closed client": {
    reason: "client",
    act: (conn, _fake, client) => {
      void client.close({ drain: Infinity });
      conn.release();
    },
  },
  "it is detached": { reason: "detached", act: (conn) => conn.detach().socket.close() },
};

for (const [what, { reason, options, act }] of Object.entries(ENDS)) {
  test(`a tunnel is told closed by "${reason}", once, when ${what}`, () =>
    withClock(async (clock) => {
      const { client, transport, events } = setUp({ a: socks5() }, options);
      const closed = () => events.flatMap((event) => event.type === "closed" && event.id === 1 ? [event.reason] : []);
      const conn = await clock.settle(client.connect(TARGET, { reuse: true }));
      assertEquals(closed(), []);
      await act(conn, transport.conns[0]!, client, clock);
      await clock.tick(0);
      assertEquals(closed(), [reason]);
      conn.close();
      conn.release();
      await client.close();
      assertEquals([closed(), stillOpen(transport)], [[reason], 0]);
    }));
}

test("a chain tells at each of its clients what happened at its own hop", () =>
  withClock(async (clock) => {
    const { client: inner, told } = setUp({ a: socks5({ hops: 2 }) });
    const events: RequestEvent[] = [];
    const outer = new Socks5Client("socks5://second.test", {
      transport: inner,
      onEvent: ofRequests((event) => events.push(event)),
    });
    (await clock.settle(outer.connect(TARGET))).close();
    assertEquals(told(), ["1 attempt a 1", "1 connected a 1 fresh", "1 closed a holder"]);
    assertEquals(events.map(brief), [
      "1 attempt second.test 1",
      "1 connected second.test 1 fresh",
      "1 closed second.test holder",
    ]);
  }));

test("a listener that throws, whatever and whenever, harms nothing", () =>
  withClock(async (clock) => {
    for (const thrown of [new Error("in the listener"), undefined, null, "text"]) {
      const onEvent = () => {
        throw thrown;
      };
      const { client, transport, told } = setUp({ a: refused(), b: hangsUp, c: socks5() }, { onEvent });
      const conn = await clock.settle(client.connect(TARGET, { reuse: true }));
      conn.release();
      (await clock.settle(client.connect(TARGET, { reuse: true }))).close();
      (await clock.settle(client.connect(TARGET))).detach().socket.close();
      await clock.settle(client.connect(TARGET, { reuse: true })).then((conn) => conn.release());
      await clock.settle(client.connect(TARGET));
      await client.close();
      assertEquals([client.stats().inUse, client.stats().idle, client.stats().connects, stillOpen(transport)], [
        0,
        0,
        5,
        0,
      ]);
      assertEquals(told().filter((line) => line.includes("closed")).length, 4);
    }
  }));

test("a listener that closes the client ends the connect that tells it, without another dial", () =>
  withClock(async (clock) => {
    for (const type of ["attempt", "failed"] as const) {
      const { client, transport, told } = setUp({ a: hangsUp, b: socks5() }, {
        onEvent: (event) => event.type === type && void client.close(),
      });
      const error = await clock.settle(errorOf(client.connect(TARGET)));
      assertEquals((error as { code?: string }).code, "SOCKS5_CLIENT_CLOSED");
      assertEquals([transport.conns.length, transport.open], [type === "attempt" ? 0 : 1, 0]);
      assertEquals(told().filter((line) => line.includes("attempt")), ["1 attempt a 1"]);
    }
  }));

test("a listener that aborts the connect after a failure stops it: nothing more is tried or told", () =>
  withClock(async (clock) => {
    for (const retry of [0, 3]) {
      const controller = new AbortController();
      const proxies = retry === 0 ? { a: hangsUp, b: socks5() } : { a: hangsUp };
      const { client, transport, told } = setUp(proxies, {
        retry,
        onEvent: ({ type }) => type === "failed" && controller.abort(REASON),
      });
      assertStrictEquals(await clock.settle(errorOf(client.connect(TARGET, { signal: controller.signal }))), REASON);
      assertEquals([told().length, transport.conns.length, transport.open], [2, 1, 0]);
    }
  }));

test("a listener that connects when a place becomes free waits its turn, and no place is given twice", () =>
  withClock(async (clock) => {
    const extra: Promise<Socks5Conn<FakeConn>>[] = [];
    let max = 0;
    const { client, told } = setUp({ a: socks5() }, {
      pool: { maxOpen: 1 },
      onEvent: (event) => {
        if (event.type === "closed" && extra.length < 2) extra.push(client.connect("extra.test:80"));
        const { opening, inUse, idle } = client.stats();
        max = Math.max(max, opening + inUse + idle);
      },
    });
    const first = await clock.settle(client.connect(TARGET));
    const second = client.connect(TARGET, { reuse: true });
    first.close();
    (await clock.settle(second)).release();
    for (const connecting of extra) (await clock.settle(connecting)).close();
    (await clock.settle(extra[1]!)).close();
    assertEquals(told().filter((line) => line.includes("attempt")), [
      "1 attempt a 1",
      "2 attempt a 1",
      "3 attempt a 1",
      "4 attempt a 1",
    ]);
    assertEquals([max, client.stats().inUse], [1, 0]);
  }));

test("a listener that connects when an idle tunnel is too old does not get what another one is given", () =>
  withClock(async (clock) => {
    let extra: Promise<Socks5Conn<FakeConn>> | undefined;
    const connect = () => client.connect(TARGET, { reuse: true });
    const { client, transport } = setUp({ a: socks5() }, {
      pool: { maxLifetime: 1_000 },
      onEvent: (event) => {
        if (event.type === "closed") extra ??= connect();
      },
    });
    const old = await clock.settle(connect());
    await clock.tick(800);
    (await clock.settle(connect())).release();
    old.release();
    const real = performance.now;
    performance.now = () => real() + 201; // it is time, and the timer is late
    const given = await clock.settle(connect());
    const other = await clock.settle(extra!);
    performance.now = real;
    assertEquals([given.reused, other.reused, transport.conns.length], [true, false, 3]);
    given.close();
    other.close();
    assertEquals([transport.open, client.stats().inUse, client.stats().idle], [0, 0, 0]);
  }));

test("the events and the numbers of stats() add up, at each event and in the end", async () => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const next = random(seed);
  const kinds: (testing.TestFault | undefined)[] = [
    undefined,
    undefined,
    { fault: "close", at: "negotiate" },
    { fault: "reset", at: "negotiate" },
    { fault: "http" },
    { fault: "refuse", rep: 4 },
    { fault: "refuse", rep: 5, then: "reset" },
    { fault: "close", at: "request" },
  ];
  const faults = Array.from({ length: 1_000 }, () => kinds[Math.floor(next() * kinds.length)]);
  const echo = await startEcho();
  const proxies = [
    await testing.createTestProxy({ faults }),
    await testing.createTestProxy({ faults: faults.toReversed() }),
  ];
  const seen = { connects: 0, reused: 0, retries: 0, closed: 0, failed: new Map<string, number>() };
  const last = new Map<number, number>();
  const wrong: string[] = []; // what a listener throws is not heard
  const client = new Socks5Client(proxies.map(({ url }) => url), {
    pool: { maxOpen: 7, maxIdle: 3 },
    retry: { retries: 2, minDelay: 1 },
    onEvent: ofRequests((event) => {
      const late = event.ms < (last.get(event.id) ?? 0);
      last.set(event.id, event.ms);
      if (event.type === "attempt" && event.attempt > 1) seen.retries++;
      if (event.type === "connected") seen.connects++;
      if (event.type === "connected" && event.reused) seen.reused++;
      if (event.type === "closed") seen.closed++;
      if (event.type === "failed" && event.error.code.startsWith("SOCKS5_PROXY_")) {
        seen.failed.set(event.proxy, (seen.failed.get(event.proxy) ?? 0) + 1);
      }
      const { opening, inUse, idle, connects, reused, retries } = client.stats();
      const tooMany = Math.min(opening, inUse, idle) < 0 || opening + inUse + idle > 7 || idle > 3;
      const differ = connects !== seen.connects || reused !== seen.reused || retries !== seen.retries;
      if (late || tooMany || differ) wrong.push(`${brief(event)}: ${inspect(client.stats())}, seen ${inspect(seen)}`);
    }),
  });
  try {
    let failures = 0;
    await Promise.all(Array.from({ length: 200 }, async () => {
      try {
        const conn = await client.connect(echo.address, { reuse: next() < 0.6 });
        await conn.write(bytes("ping"));
        await readFull(conn, 4);
        if (next() < 0.6) conn.release();
        else conn.close();
      } catch {
        failures++;
      }
    }));
    assertEquals(wrong, [], `seed ${seed}`);
    const stats = client.stats();
    assertEquals([stats.connects + stats.failures, stats.failures], [200, failures], `seed ${seed}`);
    assertEquals([stats.opening, stats.inUse, stats.waiting], [0, 0, 0]);
    assertEquals(seen.connects - seen.reused - seen.closed, stats.idle, "each tunnel is told closed once");
    assertEquals(
      stats.proxies.map(({ proxy, failures }) => [proxy, failures]),
      proxies.map(({ hostname, port }) => {
        return [`${hostname}:${port}`, seen.failed.get(`${hostname}:${port}`) ?? 0];
      }),
    );
    await client.close();
    assertEquals([client.stats().idle, seen.connects - seen.reused - seen.closed], [0, 0]);
    for (const proxy of proxies) await proxy.until(() => proxy.open === 0);
  } finally {
    for (const proxy of proxies) await proxy.close();
    await echo.close();
  }
});
