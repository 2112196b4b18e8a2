import { assert, assertEquals, assertInstanceOf, assertStrictEquals, assertThrows } from "@std/assert";
import { once } from "node:events";
import { nodeTransport } from "../../adapters/node/mod.ts";
import {
  type ConnectOptions,
  type Credentials,
  type RequestEvent,
  Socks5Client,
  type Socks5Options,
  TargetError,
} from "../../mod.ts";
import { type Clock, withClock } from "../support/clock.ts";
import { bytes, readFull, text } from "../support/contract.ts";
import type { FakeConn, Script } from "../support/fake.ts";
import { fakeProxies, stream } from "../support/fake_stream.ts";
import type * as testing from "../../testing/mod.ts";
import type { TestFault, TestFaults } from "../../testing/mod.ts";
import { assertEchoes, failure, TRANSPORTS, withProxy, withTarget } from "../support/stage.ts";
import { startEcho, type Target } from "../support/targets.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";
import { ofRequests } from "../support/request_events.ts";

const ALICE = { username: "alice", password: "secret" };
const BOB = { username: "bob", password: "hunter2" };
const TARGET = "example.test:80";
const RULES = { [TARGET]: { port: 1 } };
const MINUTES = 60_000;
const PIPELINED = { handshake: "pipelined" } as const;

const NONE = [5, 1, 0];
const PASSWORD = [5, 1, 2];
const BOTH = [5, 2, 0, 2];
const auth = ({ username, password = "" }: Credentials) => {
  return [1, username.length, ...bytes(username), password.length, ...bytes(password)];
};
const requestTo = (port: number) => [5, 1, 0, 1, 127, 0, 0, 1, port >> 8, port & 0xff];
const refused = () => Object.assign(new Error("refused"), { code: "ECONNREFUSED" });

/** What a connection of the mock got, receive by receive. */
const received = (connection: testing.TestConnection) => connection.received.map((chunk) => [...chunk]);
const types = (events: RequestEvent[]) => events.map((it) => "attempt" in it ? `${it.type} ${it.attempt}` : it.type);

async function withMock(
  mockOptions: testing.TestProxyOptions,
  options: Socks5Options,
  use: (
    stage: { proxy: testing.TestProxy; echo: Target; client: Socks5Client; events: RequestEvent[] },
  ) => Promise<void>,
): Promise<void> {
  await withTarget(startEcho(), (echo) =>
    withProxy(mockOptions, async (proxy) => {
      const events: RequestEvent[] = [];
      const client = new Socks5Client(proxy.url, {
        ...PIPELINED,
        onEvent: ofRequests((event) => events.push(event)),
        ...options,
      });
      try {
        await use({ proxy, echo, client, events });
      } finally {
        await client.close();
      }
    }));
}

// One write

const OFFERS: [what: string, own: Credentials | null, connect: ConnectOptions, messages: number[][]][] = [
  ["without credentials", null, {}, [NONE]],
  ["with the proxy's credentials", ALICE, {}, [PASSWORD, auth(ALICE)]],
  ["with those of the connect", ALICE, { credentials: BOB }, [PASSWORD, auth(BOB)]],
  ["with those of the connect to a proxy without", null, { credentials: BOB }, [PASSWORD, auth(BOB)]],
  ["with null of the connect", ALICE, { credentials: null }, [NONE]],
];

for (const [via, options] of Object.entries(TRANSPORTS)) {
  for (const [what, own, connect, messages] of OFFERS) {
    test(`${via}: ${what}, greeting, credentials and request are one write that offers one method`, () =>
      withMock({ credentials: () => 0, methods: [2, 0] }, options, async ({ proxy, echo }) => {
        const client = new Socks5Client({ ...proxy.endpoint, ...(own && { credentials: own }) }, {
          ...options,
          ...PIPELINED,
        });
        for (let i = 0; i < 3; i++) {
          const conn = await client.connect(echo.address, connect);
          await assertEchoes(conn);
          conn.close();
        }
        assertEquals(
          proxy.connections.map(received),
          new Array(3).fill([[...messages.flat(), ...requestTo(echo.port)]]),
        );
      }));
  }

  test(`${via}: answers byte by byte are taken in turn, and a banner glued to them is read first`, async () => {
    const banner = "220 ready\r\n";
    const faults: TestFaults[] = [[{ fault: "slow" }, { fault: "glued", bytes: banner }]];
    await withMock({ credentials: ALICE, faults }, options, async ({ proxy, echo, client }) => {
      const conn = await client.connect(echo.address);
      assertEquals(text(await readFull(conn, banner.length)), banner);
      await assertEchoes(conn);
      conn.close();
      assertEquals(proxy.connections.length, 1);
    });
  });
}

test("nothing behind the reply is read, although all answers come in one piece", () =>
  withClock(async (clock) => {
    const { transport } = fakeProxies({
      a: stream({ answer: (message, conn) => message === "request" && (conn.push(...SUCCESS, 1, 2, 3), true) }),
    });
    const client = new Socks5Client("socks5://me:pw@a", { transport, ...PIPELINED });
    const conn = await clock.settle(client.connect(TARGET));
    assertEquals([transport.conns[0]!.writes, transport.conns[0]!.taken], [1, 2 + 2 + 10]);
    assertEquals([...await readFull(conn, 3)], [1, 2, 3]);
    conn.close();
  }));

test("a socket that is detached after a pipelined handshake misses nothing", () =>
  withMock({ faults: { fault: "slow" } }, { transport: nodeTransport }, async ({ echo, client }) => {
    const { socket, head } = (await client.connect(echo.address)).detach();
    assertEquals(head.length, 0);
    const raw = socket as import("node:net").Socket;
    raw.write("ping");
    assertEquals(String((await once(raw, "data"))[0]), "ping");
    raw.destroy();
  }));

const SUCCESS = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

test("handshake is sequential unless told otherwise, and anything else is a TypeError", () =>
  withMock({}, { handshake: "sequential" }, async ({ proxy, echo, client }) => {
    for (const it of [client, new Socks5Client(proxy.url)]) (await it.connect(echo.address)).close();
    assertEquals(proxy.connections.map(received), new Array(2).fill([NONE, requestTo(echo.port)]));
    for (const handshake of ["Pipelined", "", true, null]) {
      const make = () => new Socks5Client(proxy.url, { handshake } as unknown as Socks5Options);
      assertThrows(make, TypeError, 'Cannot use handshake as "sequential" or "pipelined"');
    }
  }));

// Answers

for (const rep of [1, 2, 3, 4, 5, 6, 7, 8, 9, 0xff]) {
  test(`a REP of ${rep} is reported as it is, on the only connection`, () =>
    withMock(
      { faults: ({ index }) => index === 0 ? { fault: "refuse", rep } : undefined },
      { retry: 0 },
      async (stage) => {
        const { proxy, echo, client, events } = stage;
        const error = await failure(client.connect(TARGET));
        assertInstanceOf(error, TargetError);
        assertEquals([error.rep, error.phase, types(events), proxy.connections.length], [
          rep,
          "request",
          ["attempt 1", "failed 1"],
          1,
        ]);
        (await client.connect(echo.address)).close();
        assertEquals(received(proxy.connections[1]!).length, 1);
      },
    ));
}

test("a refusal proves that the proxy takes one write: the next one has more than the short deadline", () =>
  withClock(async (clock) => {
    let rep = 5;
    const { transport, dials } = fakeProxies({
      a: stream({
        answer(message, conn) {
          if (message !== "request") return false;
          setTimeout(() => conn.push(5, rep, ...SUCCESS.slice(2)), rep === 0 ? 700 : 0);
          return true;
        },
      }),
    });
    const client = new Socks5Client("socks5://a", { transport, ...PIPELINED });
    assertEquals((await clock.settle(failure(client.connect(TARGET)))).code, "SOCKS5_TARGET_REFUSED");
    rep = 0;
    (await clock.settle(client.connect(TARGET))).close();
    assertEquals([dials.length, transport.conns.map(({ writes }) => writes)], [2, [1, 1]]);
  }));

test("a REP of two bytes, and then the end, is an answer too", () =>
  withMock({ faults: { fault: "short-refusal", rep: 5 } }, {}, async ({ proxy, client }) => {
    assertEquals((await failure(client.connect(TARGET))).code, "SOCKS5_TARGET_REFUSED");
    assertEquals(proxy.connections.length, 1);
  }));

/** What the first connection meets, with a password; the second one is taken in sequence. */
const FALLBACKS: [what: string, fault: TestFault][] = [
  ["an end at once", { fault: "close", at: "accept" }],
  ["an end instead of a method", { fault: "close", at: "negotiate" }],
  ["an end within the method", { fault: "cut", at: "negotiate", length: 1 }],
  ["a reset instead of a method", { fault: "reset", at: "negotiate" }],
  ["silence instead of a method", { fault: "silence", at: "negotiate" }],
  ["tor's 01 00 instead of a method", {
    fault: "answer",
    at: "negotiate",
    bytes: Uint8Array.of(1, 0),
    then: "silence",
  }],
  ["an HTTP server", { fault: "http" }],
  ["no acceptable method", { fault: "method", method: 0xff }],
  ["a method that was not offered", { fault: "method", method: 0 }],
  ["a refused password", { fault: "refuse-password", status: 1 }],
  ["an end after the password", { fault: "close", at: "authenticate" }],
  ["a reset after the password", { fault: "reset", at: "authenticate" }],
  ["silence after the password", { fault: "silence", at: "authenticate" }],
  ["an end instead of a reply", { fault: "close", at: "request" }],
  ["a reset instead of a reply", { fault: "reset", at: "request" }],
  ["silence instead of a reply", { fault: "silence", at: "request" }],
  ["half a reply and the end", { fault: "cut", at: "request", length: 6 }],
  ["a malformed reply", { fault: "answer", at: "request", bytes: Uint8Array.of(9, 9), then: "close" }],
];

for (const [what, fault] of FALLBACKS) {
  test(`${what} makes a pipelined connect begin anew in sequence: one attempt, and the first connection is closed`, () =>
    withMock({ credentials: ALICE, rules: RULES, faults: [fault] }, { retry: 0 }, async (stage) => {
      const { proxy, echo, client, events } = stage;
      const conn = await client.connect(echo.address);
      assertEquals(proxy.connections.length, 2);
      assertEquals(received(proxy.connections[1]!), [BOTH, auth(ALICE), requestTo(echo.port)]);
      await proxy.until(() => !proxy.connections[0]!.open);
      await assertEchoes(conn);
      assertEquals([client.stats().inUse, client.stats().retries, client.stats().failures], [1, 0, 0]);
      assertEquals(client.stats().proxies[0]!.failures, 0);
      conn.close();
      assertEquals(types(events), ["attempt 1", "connected 1", "closed"]);
      (await client.connect(echo.address)).close();
      assertEquals(received(proxy.connections[2]!).length, 3, "from now on it is asked in sequence");
    }));

  test(`${what} in sequence, too, is reported as that of one attempt`, () =>
    withMock(
      { credentials: ALICE, rules: RULES, faults: [fault, { fault: "refuse-password", status: 9 }] },
      { retry: 0 },
      async (stage) => {
        const { proxy, client, events } = stage;
        const error = await failure(client.connect(TARGET));
        assertEquals([error.code, error.phase, error.errors.length], ["SOCKS5_AUTH_REFUSED", "authenticate", 0]);
        assert(error.message.includes("STATUS 09"), error.message);
        assertEquals([types(events), proxy.connections.length], [["attempt 1", "failed 1"], 2]);
        assertEquals(client.stats().proxies[0]!.failures, 1);
      },
    ));
}

for (const framing of ["datagram", "overwrite"] as const) {
  for (const credentials of [undefined, ALICE]) {
    const how = `${framing === "datagram" ? "one receive for one message" : "a reply lost to haste"}${
      credentials ? ", with a password" : ""
    }`;
    test(`with ${how}, the first connect falls back, and later ones know`, () =>
      withMock({ framing, ...(credentials && { credentials }) }, {}, async ({ proxy, echo, client }) => {
        for (let i = 0; i < 3; i++) {
          const conn = await client.connect(echo.address);
          await assertEchoes(conn);
          conn.close();
        }
        const takesIt = framing === "overwrite" && credentials === undefined;
        const inSequence = credentials ? 3 : 2;
        assertEquals(
          proxy.connections.map((it) => received(it).length),
          takesIt ? [1, 1, 1] : [1, inSequence, inSequence, inSequence],
        );
        assertEquals(client.stats().retries, 0);
      }));
  }
}

test("a dial that fails gives no second one", () =>
  withClock(async (clock) => {
    const { transport, dials } = fakeProxies({ a: refused() });
    const client = new Socks5Client("socks5://a", { transport, ...PIPELINED, retry: 0 });
    const error = await clock.settle(failure(client.connect(TARGET)));
    assertEquals([error.code, error.phase, dials.length], ["SOCKS5_PROXY_UNREACHABLE", "dial", 1]);
  }));

test("a dial that is not answered in time gives no second one either", () =>
  withClock(async (clock) => {
    const { transport, dials } = fakeProxies();
    transport.onConnect = () => new Promise(() => {});
    const client = new Socks5Client("socks5://a", { transport, ...PIPELINED, retry: 0, attemptTimeout: 3_000 });
    const error = await clock.settle(failure(client.connect(TARGET)));
    assertEquals([error.code, error.phase, dials.length, clock.now], ["SOCKS5_ATTEMPT_TIMEOUT", "dial", 1, 3_000]);
  }));

// Deadlines

/** A proxy that is silent as long as `isSilent`, and dials that take `ms`. */
function slow(ms: number, options: Socks5Options<FakeConn> = {}) {
  const state = { isSilent: true };
  const events: RequestEvent[] = [];
  const proxies = fakeProxies({
    a: stream({ answer: (_, conn) => state.isSilent && conn.writes === 1 && conn.written.length > 3 }),
  });
  proxies.transport.onConnect = () => ms > 0 ? new Promise((resolve) => setTimeout(resolve, ms)) : undefined;
  const client = new Socks5Client("socks5://a", {
    transport: proxies.transport,
    ...PIPELINED,
    onEvent: ofRequests((event) => events.push(event)),
    ...options,
  });
  return { ...proxies, client, state, events };
}

const PATIENCE: [dial: number, attemptTimeout: number, deadline: number][] = [
  [0, 10_000, 500],
  [20, 10_000, 500],
  [50, 10_000, 500],
  [80, 10_000, 800],
  [300, 10_000, 3_000],
  [2_000, 10_000, 8_000], // what is left of the attempt
  [0, 200, 200],
];

for (const [dial, attemptTimeout, deadline] of PATIENCE) {
  test(`a proxy that was connected in ${dial} ms, and of which nothing is known, has ${deadline} ms of ${attemptTimeout}`, () =>
    withClock(async (clock) => {
      const { client, dials, transport, events } = slow(dial, { attemptTimeout });
      const conn = await clock.settle(client.connect(TARGET));
      assertEquals(dials.map(({ at }) => at), [0, dial + deadline]);
      assert(transport.conns[0]!.closed && !transport.conns[1]!.closed);
      assertEquals([types(events), client.stats().retries], [["attempt 1", "connected 1"], 0]);
      conn.close();
      await client.close();
    }));
}

test("a proxy that has taken one write has attemptTimeout to answer the next", () =>
  withClock(async (clock) => {
    const { client, dials, state } = slow(0, { attemptTimeout: 7_000 });
    state.isSilent = false;
    (await clock.settle(client.connect(TARGET))).close();
    state.isSilent = true;
    const begun = clock.now;
    (await clock.settle(client.connect(TARGET))).close();
    assertEquals(dials.slice(1).map(({ at }) => at - begun), [0, 7_000]);
  }));

test("a slow target behind a proxy that has taken one write is waited for", () =>
  withClock(async (clock) => {
    let wait = 0;
    const { transport, dials } = fakeProxies({
      a: stream({
        answer: (message, conn) =>
          message === "request" && wait > 0 && (setTimeout(() => conn.push(...SUCCESS), wait), true),
      }),
    });
    const client = new Socks5Client("socks5://a", { transport, ...PIPELINED });
    (await clock.settle(client.connect(TARGET))).close();
    wait = 20_000;
    (await clock.settle(client.connect(TARGET))).close();
    assertEquals([dials.length, clock.now], [2, 20_000]);
  }));

test("timeout is the end of both handshakes together", () =>
  withClock(async (clock) => {
    const { transport, dials } = fakeProxies({ a: stream({ answer: () => true }) });
    const client = new Socks5Client("socks5://a", { transport, ...PIPELINED, timeout: 700 });
    const error = await clock.settle(failure(client.connect(TARGET)));
    assertEquals([error.code, error.phase, clock.now], ["SOCKS5_TIMEOUT", "negotiate", 700]);
    assertEquals(dials.map(({ at }) => at), [0, 500]);
    const short = await clock.settle(failure(client.connect(TARGET, { timeout: 300 })));
    assertEquals([short.code, dials.length], ["SOCKS5_TIMEOUT", 3], "no second one once the time is up");
    assertEquals(transport.open, 0);
  }));

test("an abort while one write is not answered, and in the sequence after it, ends both", () =>
  withClock(async (clock) => {
    const { transport, dials } = fakeProxies({ a: stream({ answer: () => true }) });
    const client = new Socks5Client("socks5://a", { transport, ...PIPELINED });
    for (const [ms, expected] of [[100, 1], [600, 3]] as const) {
      const controller = new AbortController();
      const reason = new Error("the caller's own");
      const connecting = client.connect(TARGET, { signal: controller.signal }).catch((error: unknown) => error);
      await clock.pass(ms);
      controller.abort(reason);
      assertStrictEquals(await clock.settle(connecting), reason);
      assertEquals([dials.length, transport.open], [expected, 0]);
    }
  }));

test("two connections of one connect are never open at once: it has one place", () =>
  withClock(async (clock) => {
    const { client, transport } = slow(0, { pool: { maxOpen: 1 } });
    let most = 0;
    transport.onPoint = () => most = Math.max(most, transport.open);
    transport.onPassed = () => most = Math.max(most, transport.open);
    const both = [client.connect(TARGET), client.connect(TARGET)];
    for (const connecting of both) (await clock.settle(connecting)).close();
    assertEquals([most, transport.conns.length, transport.open], [1, 3, 0]);
  }));

// What is remembered

async function connects(clock: Clock, client: Socks5Client<FakeConn>): Promise<void> {
  (await clock.settle(client.connect(TARGET))).close();
}

test("that a proxy does not take one write is remembered for ten minutes, then one write is tried again", () =>
  withClock(async (clock) => {
    const { client, transport, state } = slow(0);
    await connects(clock, client);
    const noted = clock.now;
    for (const at of [1, 5, 9.99]) {
      await clock.pass(noted + at * MINUTES - clock.now);
      await connects(clock, client);
    }
    assertEquals(transport.conns.map(({ writes }) => writes), [1, 2, 2, 2, 2]);
    await clock.pass(noted + 10.01 * MINUTES - clock.now);
    state.isSilent = false;
    await connects(clock, client);
    assertEquals(transport.conns.slice(5).map(({ writes }) => writes), [1]);
  }));

test("that a proxy takes one write is remembered for ten minutes, then it is to be proven again", () =>
  withClock(async (clock) => {
    let wait = 0;
    const { transport, dials } = fakeProxies({
      a: stream({
        answer: (message, conn) =>
          message === "request" && wait > 0 && (setTimeout(() => conn.push(...SUCCESS), wait), true),
      }),
    });
    const client = new Socks5Client("socks5://a", { transport, ...PIPELINED });
    await connects(clock, client);
    await clock.pass(9.99 * MINUTES);
    wait = 700; // more than an unknown one has
    await connects(clock, client);
    assertEquals(dials.length, 2);
    wait = 0;
    await connects(clock, client);
    await clock.pass(10.01 * MINUTES);
    wait = 700;
    await connects(clock, client);
    assertEquals(dials.length, 5);
    assertEquals(transport.conns.map(({ writes }) => writes), [1, 1, 1, 1, 2]);
  }));

test("each proxy has a verdict of its own", () =>
  withClock(async (clock) => {
    const hangs: Script = stream({ answer: (_, conn) => conn.writes === 1 && conn.written.length > 3 });
    const scripts: Record<string, Script | Error> = { a: hangs, b: stream() };
    const { transport } = fakeProxies(scripts);
    const client = new Socks5Client(["socks5://a", "socks5://b"], { transport, ...PIPELINED, cooldown: 10_000 });
    const writes = async () => {
      transport.conns.length = 0;
      await connects(clock, client);
      return transport.conns.filter(({ writes }) => writes > 0).map(({ writes }) => writes);
    };
    assertEquals(await writes(), [1, 2], "a");
    scripts.a = refused();
    assertEquals(await writes(), [1], "b");
    scripts.a = hangs;
    await clock.pass(10_001);
    assertEquals(await writes(), [2], "a");
  }));

test("a proxy that took one write and takes it no longer is asked in sequence, and that is remembered", () =>
  withClock(async (clock) => {
    const { client, transport, scripts } = slow(0);
    scripts.a = stream();
    await connects(clock, client);
    scripts.a = stream({ answer: (_, conn) => conn.writes === 1 && conn.written.length > 3 && (conn.end(), true) });
    await connects(clock, client);
    await connects(clock, client);
    assertEquals(transport.conns.map(({ writes }) => writes), [1, 1, 2, 2]);
  }));

test("a refusal in sequence, after one write was not answered, tells as much as a success", () =>
  withClock(async (clock) => {
    const refuses = stream({
      answer: (message, conn) =>
        conn.writes === 1 && conn.written.length > 3 ? true : message === "request" && (conn.push(5, 5), true),
    });
    const { transport } = fakeProxies({ a: refuses });
    const client = new Socks5Client("socks5://a", { transport, ...PIPELINED });
    for (let i = 0; i < 2; i++) {
      assertEquals((await clock.settle(failure(client.connect(TARGET)))).code, "SOCKS5_TARGET_REFUSED");
    }
    assertEquals(transport.conns.map(({ writes }) => writes), [1, 2, 2]);
  }));

test("a proxy that fails both ways is tried again like any other, and cools", () =>
  withClock(async (clock) => {
    const scripts: Record<string, Script | Error> = {
      a: stream({ answer: (_, conn) => (conn.end(), true) }),
      b: stream(),
    };
    const { transport, dials } = fakeProxies(scripts);
    const events: RequestEvent[] = [];
    const client = new Socks5Client(["socks5://a", "socks5://b"], {
      transport,
      ...PIPELINED,
      onEvent: ofRequests((event) => events.push(event)),
    });
    await connects(clock, client);
    assertEquals(dials.map(({ to }) => to), ["a", "a", "b"]);
    assertEquals(types(events).slice(0, 4), ["attempt 1", "failed 1", "attempt 2", "connected 2"]);
    assertEquals([client.stats().retries, client.stats().proxies[0]!.failures], [1, 1]);
    assert(client.stats().proxies[0]!.cooldown > 0);
  }));

// Data and sessions

for (const isProven of [false, true]) {
  test(`data is no part of the one write to a proxy ${isProven ? "proven" : "unknown"}: it follows the success`, () =>
    withClock(async (clock) => {
      const got: number[][] = [];
      const { transport } = fakeProxies({ a: stream({ target: (_, written) => got.push([...written]) }) });
      const client = new Socks5Client("socks5://a", { transport, ...PIPELINED });
      if (isProven) await connects(clock, client);
      transport.conns.length = 0;
      let before = -1;
      const [data, request] = [bytes("early"), 3 + 7 + 12];
      transport.onPassed = () =>
        before = Math.max(before, transport.conns[0]?.taken === 0 ? transport.conns[0].written.length : -1);
      const conn = await clock.settle(client.connect(TARGET, { data }));
      assertEquals([before, transport.conns[0]!.writes], [request, 2]);
      assertEquals(got, [[...data]]);
      conn.close();
    }));
}

test("data of a refused connect is never sent", () =>
  withClock(async (clock) => {
    const { transport } = fakeProxies({
      a: stream({ answer: (message, conn) => message === "request" && (conn.push(5, 5), true) }),
    });
    const client = new Socks5Client("socks5://a", { transport, ...PIPELINED });
    const error = await clock.settle(failure(client.connect(TARGET, { data: bytes("early") })));
    assertEquals([error.code, transport.conns.map(({ writes }) => writes)], ["SOCKS5_TARGET_REFUSED", [1]]);
  }));

test("data after a fallback leaves once, with the request", () =>
  withMock({ framing: "overwrite", credentials: ALICE }, {}, async ({ proxy, echo, client }) => {
    for (const index of [1, 2]) {
      const conn = await client.connect(echo.address, { data: bytes("early") });
      await conn.write(bytes(" later"));
      assertEquals(text(await readFull(conn, 11)), "early later");
      assertEquals(received(proxy.connections[index]!).at(-1), [...requestTo(echo.port), ...bytes("early")]);
      conn.close();
    }
    assertEquals(received(proxy.connections[0]!), [[...PASSWORD, ...auth(ALICE), ...requestTo(echo.port)]]);
    assertEquals(proxy.connections.length, 3);
  }));

test("a session is spent in place of one write, and filled in sequence", () =>
  withMock({ credentials: ALICE }, { pool: { warm: 1 } }, async ({ proxy, echo, client }) => {
    (await client.connect(echo.address)).close();
    await until(() => client.stats().warm === 1);
    const conn = await client.connect(echo.address);
    await assertEchoes(conn);
    conn.close();
    assertEquals(received(proxy.connections[0]!).length, 1);
    assertEquals(received(proxy.connections[1]!), [BOTH, auth(ALICE), requestTo(echo.port)]);
  }));

test("a session that dies under the request is replaced by one write", () =>
  withClock(async (clock) => {
    const { client, transport, scripts } = slow(0, { pool: { warm: 1 } });
    scripts.a = stream({ answer: (_, conn) => conn === transport.conns[1] && conn.writes === 2 && (conn.end(), true) });
    await connects(clock, client);
    await clock.pass(0);
    assertEquals(client.stats().warm, 1);
    await connects(clock, client);
    assertEquals(transport.conns.slice(0, 3).map(({ writes }) => writes), [1, 2, 1]);
    await client.close();
  }));
