import {
  assert,
  assertEquals,
  assertGreater,
  assertGreaterOrEqual,
  assertLess,
  assertLessOrEqual,
  assertThrows,
} from "@std/assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { nodeTransport } from "../../adapters/node/mod.ts";
import {
  ClosedError,
  type ConnectOptions,
  type PoolOptions,
  Socks5Client,
  type Socks5Conn,
  type Socks5Event,
  type Socks5Options,
} from "../../mod.ts";
import { type Clock, withClock } from "../support/clock.ts";
import { bytes } from "../support/contract.ts";
import { type FakeConn, FakeTransport, type Script } from "../support/fake.ts";
import { fakeProxies, type Message, stream } from "../support/fake_stream.ts";
import * as testing from "../../testing/mod.ts";
import { evaluate, listen } from "../support/peer.ts";
import { random } from "../support/random.ts";
import { eventually } from "../support/real_process.ts";
import { assertEchoes, failure, withProxy, withTarget } from "../support/stage.ts";
import { startEcho, type Target } from "../support/targets.ts";
import { test } from "../support/test.ts";

const ALICE = { username: "alice", password: "secret" };
const TARGET = "example.test:80";
const MOD = JSON.stringify(new URL("../../mod.ts", import.meta.url).href);
/** A connect that gets no session, to a proxy without a password. */
const APART: ConnectOptions = { credentials: null };

/** The running runtime's own transport and, where that is another one, node:net. */
const TRANSPORTS: Record<string, Socks5Options> = {
  "own transport": {},
  ...(("Deno" in globalThis || "Bun" in globalThis) && { "node:net": { transport: nodeTransport } }),
};

const refused = () => Object.assign(new Error("refused"), { code: "ECONNREFUSED" });

/** Connects and closes. */
async function use(client: Socks5Client<FakeConn>, options?: ConnectOptions): Promise<void> {
  (await client.connect(TARGET, options)).close();
}

/** A client of fake proxies, which has connected once and then filled. */
async function filled(
  clock: Clock,
  pool: PoolOptions = { warm: 1 },
  { scripts, names = ["a"], ...options }: Socks5Options<FakeConn> & {
    scripts?: Record<string, Script | Error>;
    names?: string[];
  } = {},
) {
  const proxies = fakeProxies(scripts);
  const events: Socks5Event[] = [];
  const client = new Socks5Client(names.map((name) => `socks5://${name}`), {
    ...options,
    transport: proxies.transport,
    pool,
    onEvent: (event) => events.push(event),
  });
  await clock.settle(use(client));
  await clock.pass(0);
  events.length = 0;
  return { ...proxies, client, events };
}

/** The messages that a connection got, by their lengths. */
const types = (events: Socks5Event[]) => events.map(({ type }) => type);

/** A script that takes the first connection well, and does something of its own at a message of the later ones. */
function laterOnes(at: Message, act: (conn: FakeConn) => boolean | void): Script {
  const seen = new Set<FakeConn>();
  return stream({
    answer(message, conn) {
      seen.add(conn);
      return seen.size > 1 && message === at && act(conn);
    },
  });
}

/** Refuses a session's request, with all that it is asked for. */
const ends = (conn: FakeConn) => (conn.end(), true);

// The wire

async function withWarm(
  options: testing.TestProxyOptions,
  clientOptions: Socks5Options,
  use: (
    stage: { proxy: testing.TestProxy; echo: Target; client: Socks5Client; events: Socks5Event[] },
  ) => Promise<void>,
): Promise<void> {
  await withTarget(startEcho(), (echo) =>
    withProxy(options, async (proxy) => {
      const events: Socks5Event[] = [];
      const client = new Socks5Client(proxy.url, {
        pool: { warm: 1 },
        onEvent: (event) => events.push(event),
        ...clientOptions,
      });
      try {
        await use({ proxy, echo, client, events });
      } finally {
        await client.close();
      }
    }));
}

async function ready(client: Socks5Client, sessions = 1): Promise<void> {
  assert(await eventually(() => client.stats().warm === sessions), `${JSON.stringify(client.stats())}`);
}

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

function requestTo(port: number): Uint8Array {
  return Uint8Array.of(5, 1, 0, 1, 127, 0, 0, 1, port >> 8, port & 0xff);
}

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

// Places

test("never more are open than maxOpen, whatever is asked for and whenever the dials end", () =>
  withClock(async (clock) => {
    const next = random(1);
    for (let round = 0; round < 20; round++) {
      const maxOpen = 1 + Math.floor(next() * 4);
      const warm = Math.floor(next() * (maxOpen + 1));
      const { transport } = fakeProxies();
      let dialling = 0;
      const client = new Socks5Client("socks5://a", { transport, pool: { maxOpen, warm, maxIdle: 2 } });
      let most = 0;
      const count = () => {
        const { opening, inUse, idle, warm } = client.stats();
        most = Math.max(most, opening + inUse + idle + warm, transport.open);
      };
      transport.onConnect = () => {
        dialling++;
        return new Promise((resolve) => setTimeout(() => (dialling--, resolve()), Math.floor(next() * 3) * 50));
      };
      transport.onPoint = count;
      transport.onPassed = count;
      const held: Socks5Conn<FakeConn>[] = [];
      for (let step = 0; step < 30; step++) {
        const options: ConnectOptions[] = [{}, APART, { reuse: true }];
        const connecting = client.connect(TARGET, { ...options[Math.floor(next() * 3)], timeout: 400 });
        connecting.then((conn) => held.push(conn), () => {});
        if (next() < 0.7) await clock.pass(Math.floor(next() * 200));
        count();
        while (held.length > 0 && next() < 0.6) {
          const conn = held.shift()!;
          if (next() < 0.5) conn.release();
          else conn.close();
          count();
        }
      }
      await clock.pass(500);
      for (const conn of held) conn.close();
      const { waiting, inUse, connects } = client.stats();
      assertEquals([waiting, inUse], [0, 0]);
      assertGreater(connects, 3);
      assertLessOrEqual(most, maxOpen, `seed 1, round ${round}, warm ${warm}`);
      await client.close();
      await clock.pass(500);
      assertEquals([transport.open, dialling], [0, 0]);
    }
  }));

test("a connect that needs the place ends an idle tunnel, then a session, then a dial that fills", () =>
  withClock(async (clock) => {
    const gate = testing.createGate();
    const { client, transport } = await filled(clock, { warm: 2, maxOpen: 4 });
    assertEquals(client.stats().warm, 2);
    const idle = await clock.settle(client.connect(TARGET, { ...APART, reuse: true }));
    idle.release();
    transport.onConnect = () => gate.pass();
    transport.conns[1]!.end(); // one session less, so that it is filled again
    await clock.pass(500);
    const counts = () => {
      const { opening, inUse, idle, warm } = client.stats();
      return { opening, inUse, idle, warm };
    };
    assertEquals(counts(), { opening: 1, inUse: 0, idle: 1, warm: 1 });
    transport.onConnect = () => {};
    const held = [await clock.settle(client.connect(TARGET, APART))];
    assertEquals(counts(), { opening: 1, inUse: 1, idle: 1, warm: 1 });
    for (
      const expected of [
        { opening: 1, inUse: 2, idle: 0, warm: 1 },
        { opening: 1, inUse: 3, idle: 0, warm: 0 },
        { opening: 0, inUse: 4, idle: 0, warm: 0 },
      ]
    ) {
      held.push(await clock.settle(client.connect(TARGET, APART)));
      assertEquals(counts(), expected);
    }
    gate.open();
    await clock.pass(0);
    assertEquals([transport.open, client.stats().warm], [4, 0], "the dial that was stopped leaves nothing");
    for (const conn of held) conn.close();
    await client.close();
  }));

test("a connect that waits goes before a refill", () =>
  withClock(async (clock) => {
    const { client, transport, dials } = await filled(clock, { warm: 1, maxOpen: 2 });
    const held = [await clock.settle(client.connect(TARGET)), await clock.settle(client.connect(TARGET, APART))];
    const before = dials.length;
    const waiting = client.connect(TARGET, APART);
    await clock.pass(1_000);
    assertEquals([client.stats().waiting, client.stats().opening, dials.length], [1, 0, before]);
    held[0]!.close();
    held.push(await clock.settle(waiting));
    await clock.pass(1_000);
    assertEquals([client.stats().inUse, client.stats().warm, transport.open], [2, 0, 2]);
    for (const conn of held) conn.close();
    await client.close();
  }));

test("a session for which there was no place is opened once there is one", () =>
  withClock(async (clock) => {
    const { transport } = fakeProxies();
    const client = new Socks5Client("socks5://a", { transport, pool: { warm: 1, maxOpen: 1 } });
    const conn = await clock.settle(client.connect(TARGET));
    await clock.pass(0);
    assertEquals(client.stats().warm, 0);
    conn.close();
    await clock.pass(1_000);
    assertEquals([client.stats().warm, transport.open], [1, 1]);
    await client.close();
  }));

const LIMITS: [what: string, pool: object, error: typeof TypeError | typeof RangeError | null][] = [
  ["warm above maxOpen", { warm: 3, maxOpen: 2 }, RangeError],
  ["warm above the default maxOpen", { warm: 101 }, RangeError],
  ["warm of maxOpen", { warm: 2, maxOpen: 2 }, null],
  ["warm 0 with maxOpen 0", { warm: 0, maxOpen: 0 }, null],
  ["a negative warm", { warm: -1 }, RangeError],
  ["a warm that is no whole number", { warm: 1.5 }, RangeError],
  ["warm NaN", { warm: NaN }, RangeError],
  ["warm as text", { warm: "1" }, TypeError],
  ["endless warm: it would never be full", { warm: Infinity, maxOpen: Infinity }, RangeError],
  ["warm with endless maxOpen", { warm: 5, maxOpen: Infinity }, null],
  ["warmTimeout below 1000", { warmTimeout: 999 }, RangeError],
  ["warmTimeout 1000", { warmTimeout: 1_000 }, null],
  ["an endless warmTimeout", { warmTimeout: Infinity }, null],
  ["warmTimeout NaN", { warmTimeout: NaN }, RangeError],
  ["warmTimeout as text", { warmTimeout: "20000" }, TypeError],
  ["warmTimeout of more than a timer takes", { warmTimeout: 2 ** 31 }, RangeError],
  ["warmIdle 0", { warmIdle: 0 }, null],
  ["an endless warmIdle", { warmIdle: Infinity }, null],
  ["a negative warmIdle", { warmIdle: -1 }, RangeError],
  ["warmIdle as null", { warmIdle: null }, TypeError],
];

for (const [what, pool, error] of LIMITS) {
  test(`the constructor ${error === null ? "takes" : `answers with ${error.name}`} ${what}`, () => {
    const make = () => new Socks5Client("socks5://a", { pool });
    if (error === null) return void make();
    const message = (assertThrows(make, error) as Error).message;
    const [name] = Object.keys(pool);
    assert(message.startsWith(`Cannot use pool.${name} as `), message);
  });
}

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

// Sessions that die

type Death = (conn: FakeConn) => void;
const DEATHS: Record<string, Death> = { "an end": (conn) => conn.end(), "a reset": (conn) => conn.reset() };

for (const [how, die] of Object.entries(DEATHS)) {
  for (const told of [true, false]) {
    const when = told ? "that was seen" : "in the same moment as the connect";
    test(`a session with ${how} ${when} is replaced: one attempt, and no retry`, () =>
      withClock(async (clock) => {
        const { client, transport, events, dials } = await filled(clock);
        const before = dials.length;
        die(transport.conns[1]!);
        if (told) await clock.tick(0);
        assertEquals(client.stats().warm, told ? 0 : 1);
        const conn = await clock.settle(client.connect(TARGET));
        assertEquals(events.map((it) => "attempt" in it ? [it.type, it.attempt] : []), [["attempt", 1], [
          "connected",
          1,
        ]]);
        const { retries, failures, proxies: [health] } = client.stats();
        assertEquals([retries, failures, health!.failures, health!.cooldown], [0, 0, 0, 0]);
        assert(transport.conns[1]!.closed && !transport.conns[before]!.closed);
        conn.close();
        await client.close();
        assertEquals(transport.open, 0);
      }));
  }

  for (const cut of [[], [5], [5, 0, 0], [5, 0, 0, 1, 0, 0, 0, 0, 0]]) {
    test(`a session with ${how} under the request, after ${cut.length} bytes of the reply, is redialled once`, () =>
      withClock(async (clock) => {
        let sessions = 0;
        const script = laterOnes("request", (conn) => {
          if (sessions++ > 0) return false;
          conn.push(...cut);
          die(conn);
          return true;
        });
        const { client, transport, events, dials } = await filled(clock, { warm: 1 }, { scripts: { a: script } });
        const conn = await clock.settle(client.connect(TARGET));
        assertEquals(events.map((it) => "attempt" in it ? [it.type, it.attempt] : []), [["attempt", 1], [
          "connected",
          1,
        ]]);
        assertEquals([transport.conns[1]!.writes, transport.conns[1]!.closed], [2, true]);
        assertEquals([transport.conns[2]!.writes, dials[2]!.to, client.stats().retries], [2, "a", 0]);
        conn.close();
        await client.close();
        assertEquals(transport.open, 0);
      }));
  }

  test(`with ${how} for a refused target (ssh -D) a session is redialled once, and that answer counts`, () =>
    withClock(async (clock) => {
      const script = laterOnes("request", (conn) => (die(conn), true));
      const options = { scripts: { a: script }, retry: { retries: 5 } };
      const { client, transport, events } = await filled(clock, { warm: 1 }, options);
      const error = await clock.settle(failure(client.connect(TARGET)));
      assertEquals([error.code, error.phase, error.errors.length], ["SOCKS5_TARGET_NO_REPLY", "request", 0]);
      assertEquals(transport.conns.slice(1, 3).map(({ writes }) => writes), [2, 2]);
      assertEquals(events.map((it) => "attempt" in it ? [it.type, it.attempt] : []), [["attempt", 1], ["failed", 1]]);
      assertEquals(transport.conns.filter(({ writes }) => writes === 2).length, 3, "the first connect, and these two");
      assertEquals(client.stats().retries, 0);
      await client.close();
    }));
}

test("the answer to the redial is reported as it is, also where it differs", () =>
  withClock(async (clock) => {
    let requests = 0;
    const script = laterOnes("request", (conn) => (requests++ === 0 ? conn.end() : conn.push(5, 4), true));
    const { client } = await filled(clock, { warm: 1 }, { scripts: { a: script } });
    const error = await clock.settle(failure(client.connect(TARGET)));
    assertEquals([error.code, requests], ["SOCKS5_TARGET_HOST_UNREACHABLE", 2]);
    await client.close();
  }));

const ANSWERS: [what: string, answer: number[], code: string][] = [
  ["a refusal", [5, 5, 0, 1, 0, 0, 0, 0, 0, 0], "SOCKS5_TARGET_REFUSED"],
  ["a refusal in two bytes", [5, 3], "SOCKS5_TARGET_NET_UNREACHABLE"],
  ["a malformed reply", [9, 9], "SOCKS5_PROXY_BAD_REPLY"],
];

for (const [what, answer, code] of ANSWERS) {
  test(`${what} on a session is an answer: nothing is redialled`, () =>
    withClock(async (clock) => {
      const script = laterOnes("request", (conn) => (conn.push(...answer), conn.end(), true));
      const { client, transport } = await filled(clock, { warm: 1 }, { scripts: { a: script } });
      const error = await clock.settle(failure(client.connect(TARGET)));
      assertEquals([error.code, error.phase], [code, "request"]);
      assertEquals(transport.conns.slice(1).filter(({ writes }) => writes > 1).length, 1);
      await client.close();
    }));
}

test("silence on a session ends with the timeout of the connect, and nothing is redialled", () =>
  withClock(async (clock) => {
    const script = laterOnes("request", () => true);
    const { client, transport, events } = await filled(clock, { warm: 1 }, { scripts: { a: script } });
    const begun = clock.now;
    const error = await clock.settle(failure(client.connect(TARGET, { timeout: 15_000 })));
    assertEquals([error.code, error.phase, clock.now - begun], ["SOCKS5_TIMEOUT", "request", 15_000]);
    assertEquals(transport.conns.filter(({ writes }) => writes > 1).length, 2);
    assertEquals(types(events), ["attempt", "failed"]);
    await client.close();
  }));

test("a session whose replacement cannot be dialled fails like any attempt: the next one is a retry", () =>
  withClock(async (clock) => {
    const { client, transport, events, scripts, dials } = await filled(clock);
    transport.conns[1]!.end();
    scripts.a = refused();
    const before = dials.length;
    const connecting = client.connect(TARGET);
    await clock.tick(0);
    scripts.a = stream();
    await clock.settle(connecting.then((conn) => conn.close()));
    assertEquals(types(events), ["attempt", "failed", "attempt", "connected", "closed"]);
    assertEquals(client.stats().retries, 1);
    assertGreaterOrEqual(dials.length, before + 2);
    await client.close();
  }));

test("an aborted connect that had a session ends it, and the place is free", () =>
  withClock(async (clock) => {
    const script = laterOnes("request", () => true);
    const { client, transport } = await filled(clock, { warm: 1 }, { scripts: { a: script } });
    const controller = new AbortController();
    const connecting = client.connect(TARGET, { signal: controller.signal }).catch((reason: unknown) => reason);
    await clock.tick(10);
    controller.abort("enough");
    assertEquals(await clock.settle(connecting), "enough");
    assert(transport.conns[1]!.closed);
    assertEquals([client.stats().opening, client.stats().inUse, client.stats().warm], [0, 0, 0]);
    await client.close();
    assertEquals(transport.open, 0);
  }));

test("a session that a connect got in the moment of its abort, in place of a dead tunnel, is ended", () =>
  withClock(async (clock) => {
    const { transport } = fakeProxies();
    const controller = new AbortController();
    const client: Socks5Client<FakeConn> = new Socks5Client("socks5://a", {
      transport,
      pool: { warm: 1 },
      onEvent: (event) => event.type === "closed" && controller.abort("enough"),
    });
    const first = await clock.settle(client.connect(TARGET, { reuse: true }));
    await clock.pass(0);
    assertEquals(client.stats().warm, 1);
    first.release();
    const connecting = client.connect(TARGET, { reuse: true, signal: controller.signal }).catch((it: unknown) => it);
    transport.conns[0]!.end();
    assertEquals(await clock.settle(connecting), "enough");
    assertEquals([client.stats().opening, client.stats().inUse, client.stats().idle], [0, 0, 0]);
    assertEquals(transport.open, client.stats().warm, "a session of nobody is left");
    await client.close();
    assertEquals(transport.open, 0);
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

test("filling probes a proxy whose cooldown is over, by one dial at a time", () =>
  withClock(async (clock) => {
    const scripts: Record<string, Script | Error> = { a: stream(), b: stream() };
    const pool = { warm: 3, warmIdle: Infinity, warmTimeout: 5_000 };
    const { client, open, dials } = await filled(clock, pool, { names: ["a", "b"], scripts, cooldown: 20_000 });
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

/** Runs a module with the running runtime, to its end; gives what it wrote to stdout and stderr. */
async function program(code: string): Promise<{ code: number | null; written: string }> {
  const child = spawn(process.execPath, evaluate(code), { stdio: ["ignore", "pipe", "pipe"] });
  let written = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => written += chunk);
  const [exit] = await once(child, "close");
  return { code: exit, written };
}

const KEPT = [
  ["sessions", {}, "client.stats().warm === 2"],
  ["sessions that the proxy closes and refills that wait", { handshakeTimeout: 150 }, "closed(2)"],
  [
    "a refused password and a refill that waits",
    { credentials: () => Number(++asked > 1) },
    "client.stats().proxies[0].failures > 0",
  ],
] as [what: string, options: testing.TestProxyOptions, until: string][];
let asked = 0;

for (const [what, options, condition] of KEPT) {
  test(`a program with ${what} ends by itself, without close(), and writes nothing`, () =>
    withTarget(startEcho(), (echo) =>
      withProxy({ credentials: ALICE, ...options }, async (proxy) => {
        asked = 0;
        const url = proxy.url.replace("//127", "//canary:canary@127");
        const begun = performance.now();
        const { code, written } = await program(`
          import { Socks5Client } from ${MOD};
          const client = new Socks5Client(${JSON.stringify(url)}, { pool: { warm: 2 } });
          let most = 0;
          const closed = (n) => (most = Math.max(most, client.stats().warm)) >= n && client.stats().warm === 0;
          (await client.connect(${JSON.stringify(echo.address)})).close();
          for (let i = 0; !(${condition}); i++) {
            if (i > 500) throw new Error("not so: " + JSON.stringify(client.stats()));
            await new Promise((resolve) => setTimeout(resolve, 10));
          }
        `);
        assertEquals([code, written], [0, ""]);
        assertLess(performance.now() - begun, 15_000);
        await proxy.until(() => proxy.open === 0);
      })));
}

test("a program whose refill waits for an answer ends by itself, without close()", async () => {
  const server = await listen();
  const exited = program(`
    import { Socks5Client } from ${MOD};
    const client = new Socks5Client(${JSON.stringify(server.endpoint)}, { pool: { warm: 1 } });
    (await client.connect("${TARGET}")).close();
    while (client.stats().opening !== 1) await new Promise((resolve) => setTimeout(resolve, 10));
  `);
  const peer = await server.accepted();
  await peer.received(3);
  await peer.write(Uint8Array.of(5, 0));
  await peer.received(3 + 7 + bytes("example.test").length);
  await peer.write(Uint8Array.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
  const filling = await server.accepted();
  await filling.received(3);
  const begun = performance.now();
  assertEquals(await exited, { code: 0, written: "" });
  assertLess(performance.now() - begun, 8_000, "it waited for attemptTimeout");
  await server.close();
});

test("a client with sessions keeps no listener and no timer behind after close()", () =>
  withClock(async (clock) => {
    for (const moment of [0, 100, 5_000, 19_000, 61_000]) {
      const { client, transport } = await filled(clock, { warm: 2 });
      await clock.pass(moment);
      await clock.settle(client.close());
      await client.close();
      assertEquals(transport.open, 0);
      assert(!clock.next(), "a timer is left");
    }
    assert(new FakeTransport(() => {}).open === 0);
  }));
