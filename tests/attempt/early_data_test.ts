import { assert, assertEquals, assertInstanceOf, assertNotEquals, assertRejects } from "@std/assert";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import {
  type ConnectOptions,
  type RequestEvent,
  Socks5Client,
  type Socks5Conn,
  type Socks5Options,
} from "../../mod.ts";
import { type Clock, withClock } from "../support/clock.ts";
import { bytes, readAll, readFull, text } from "../support/contract.ts";
import type { FakeConn, Script } from "../support/fake.ts";
import { fakeProxies, stream } from "../support/fake_stream.ts";
import type * as testing from "../../testing/mod.ts";
import type { TestFault } from "../../testing/mod.ts";
import { evaluate } from "../support/child.ts";
import { failure, TRANSPORTS, withProxy, withTarget } from "../support/stage.ts";
import * as targets from "../support/targets.ts";
import { quick, test } from "../support/test.ts";
import { until } from "../support/wait.ts";
import { ofRequests } from "../support/request_events.ts";

const TARGET = "example.test:80";
const EARLY = bytes("early");
const SUCCESS = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
const REQUEST = 7 + "example.test".length;

/** A client of fake proxies whose target keeps what it is sent. */
function setUp(
  scripts: (target: Script) => Record<string, Script | Error>,
  options: Socks5Options<FakeConn> = {},
) {
  const got: string[] = [];
  const events: RequestEvent[] = [];
  const proxies = fakeProxies(scripts((_, written) => got.push(text(written))));
  const names = Object.keys(proxies.scripts);
  const client = new Socks5Client(names.map((name) => `socks5://${name}`), {
    transport: proxies.transport,
    onEvent: ofRequests((event) => events.push(event)),
    ...options,
  });
  return { ...proxies, client, got, events };
}

const good = (target: Script) => ({ a: stream({ target }) });
const brief = (events: RequestEvent[]) =>
  events.map((it) => it.type === "failed" ? `failed ${it.attempt} ${it.next}` : it.type);

/** Connects once, so that there is a session. */
async function warmUp(clock: Clock, client: Socks5Client<FakeConn>, events: RequestEvent[]): Promise<void> {
  (await clock.settle(client.connect(TARGET))).close();
  await clock.pass(0);
  assertEquals(client.stats().warm, 1);
  events.length = 0;
}

// Arguments

test("data that is no Uint8Array, or too much, is refused before anything is opened", async () => {
  const { client, dials, events } = setUp(good);
  const wrong: unknown[] = ["text", [1, 2], new ArrayBuffer(4), new DataView(new ArrayBuffer(4)), null, 5, true, {}];
  wrong.push(new Uint16Array(2), new Uint8ClampedArray(2), new Blob([]));
  for (const data of wrong) {
    const error = await assertRejects(() => client.connect(TARGET, { data } as ConnectOptions), TypeError);
    assert(error.message.startsWith("Cannot use data as a Uint8Array: current value is "), error.message);
  }
  const error = await assertRejects(() => client.connect(TARGET, { data: new Uint8Array(65_537) }), RangeError);
  assertEquals(error.message, "Cannot use data.length as a number up to 65536: current value is 65537");
  assertEquals([dials.length, events.length, client.stats().failures], [0, 0, 0]);
});

test("65536 bytes are the most, and arrive", () =>
  withClock(async (clock) => {
    const { client, got, transport } = setUp(good);
    const data = new Uint8Array(65_536).fill(0x61);
    (await clock.settle(client.connect(TARGET, { data }))).close();
    assertEquals([got.join("") === "a".repeat(65_536), transport.conns[0]!.writes], [true, 2]);
  }));

test("empty data is none: the connect is tried again as usual", () =>
  withClock(async (clock) => {
    let requests = 0;
    const { client, got, transport, events } = setUp((target) => ({
      a: stream({
        answer: (message, conn) => message === "request" && ++requests === 1 && (conn.push(5, 1), true),
        target,
      }),
    }), { retry: { when: () => true } });
    (await clock.settle(client.connect(TARGET, { data: new Uint8Array() }))).close();
    assertEquals(brief(events), ["attempt", "failed 1 retry", "attempt", "connected", "closed"]);
    assertEquals([got, transport.conns.map(({ written }) => written.length)], [[], [3 + REQUEST, 3 + REQUEST]]);
  }));

const VIEWS: [what: string, make: (all: Uint8Array) => Uint8Array][] = [
  ["an array", (all) => all.slice(1, 6)],
  ["a part of an array", (all) => all.subarray(1, 6)],
  ["a Buffer", (all) => Buffer.from(all).subarray(1, 6)],
  ["an array over shared memory", (all) => {
    const shared = new Uint8Array(new SharedArrayBuffer(5));
    shared.set(all.subarray(1, 6));
    return shared;
  }],
];

for (const [what, make] of VIEWS) {
  test(`data is copied at the call: changing ${what} afterwards changes nothing`, () =>
    withClock(async (clock) => {
      const { client, got } = setUp(good);
      const data = make(bytes("(early)"));
      assertEquals(text(data.slice()), "early");
      const connecting = client.connect(TARGET, { data });
      data.fill(0x78);
      (await clock.settle(connecting)).close();
      assertEquals(got, ["early"]);
    }));
}

// The wire

async function withMock(
  mockOptions: testing.TestProxyOptions,
  options: Socks5Options,
  use: (stage: { proxy: testing.TestProxy; client: Socks5Client; events: RequestEvent[] }) => Promise<void>,
): Promise<void> {
  await withProxy(mockOptions, async (proxy) => {
    const events: RequestEvent[] = [];
    const client = new Socks5Client(proxy.url, { onEvent: ofRequests((event) => events.push(event)), ...options });
    try {
      await use({ proxy, client, events });
    } finally {
      await client.close();
    }
  });
}

for (const [via, options] of Object.entries(TRANSPORTS)) {
  test(`${via}: data leaves in the same write as the request, and the first read gives the target's answer`, () =>
    withTarget(
      targets.startEcho(),
      (echo) =>
        withMock({ credentials: { username: "me", password: "pw" } }, options, async ({ proxy, client }) => {
          const conn = await client.connect(echo.address, { data: EARLY });
          assertEquals(text(await readFull(conn, 5)), "early");
          const request = [5, 1, 0, 1, 127, 0, 0, 1, echo.port >> 8, echo.port & 0xff];
          assertEquals([...proxy.connections[0]!.received.at(-1)!], [...request, ...EARLY]);
          assertEquals(proxy.connections[0]!.received.length, 3);
          conn.close();
        }),
    ));

  for (const length of [1, 1_000, 65_536]) {
    test(`${via}: the target gets ${length} bytes of data exactly once, before what is written later`, async () => {
      const all = targets.payload(length + 200_000);
      const later = all.subarray(length);
      await withTarget(targets.startDigest(), (digest) =>
        withMock({}, options, async ({ client }) => {
          for (const pool of [0, 1]) {
            const conn = await client.connect(digest.address, { data: all.subarray(0, length), reuse: pool === 1 });
            await Promise.all([conn.write(later.subarray(0, 7)), conn.write(later.subarray(7))]);
            await conn.closeWrite();
            assertEquals(text(await readAll(conn, 1_000)), targets.digestOf(all));
            conn.close();
          }
        }));
    });
  }

  test(`${via}: over a session data is one message with the request`, () =>
    withTarget(
      targets.startEcho(),
      (echo) =>
        withMock({}, { ...options, pool: { warm: 1 } }, async ({ proxy, client }) => {
          (await client.connect(echo.address)).close();
          await proxy.until(() => proxy.connections[1]?.step === "negotiate");
          await until(() => client.stats().warm === 1);
          const conn = await client.connect(echo.address, { data: EARLY });
          assertEquals(text(await readFull(conn, 5)), "early");
          const { received } = proxy.connections[1]!;
          assertEquals([received.length, received[1]!.length], [2, 10 + 5]);
          conn.close();
        }),
    ));

  test(`${via}: a target that answers at once is read whole`, () =>
    withTarget(targets.startBanner("220 ready\r\n"), (banner) =>
      withMock({}, options, async ({ client }) => {
        const conn = await client.connect(banner.address, { data: EARLY });
        assertEquals(text(await readFull(conn, 16)), "220 ready\r\nearly");
        conn.close();
      })));
}

test("in a chain the data goes through all hops, and once", () =>
  withTarget(targets.startDigest(), (digest) =>
    withProxy({}, (first) =>
      withMock({}, {}, async ({ proxy }) => {
        const inner = new Socks5Client(first.url, { pool: { warm: 1 } });
        const outer = new Socks5Client(proxy.url, { transport: inner, pool: { warm: 1 } });
        for (let i = 0; i < 3; i++) {
          const conn = await outer.connect(digest.address, { data: EARLY });
          await conn.closeWrite();
          assertEquals(text(await readAll(conn, 1_000)), targets.digestOf(EARLY));
          conn.close();
        }
        await outer.close();
        await inner.close();
      }))));

test("a proxy that takes one receive for one message loses the data, and a caller with a deadline gets out", () =>
  withTarget(targets.startEcho(), (echo) =>
    withMock({ framing: "datagram" }, {}, async ({ client }) => {
      const conn = await client.connect(echo.address, { data: EARLY });
      await conn.write(bytes("later"));
      assertEquals(text(await readFull(conn, 5)), "later", "nothing but what came in a segment of its own");
      conn.close();
    })));

// Whatever happens then is final

/** What a proxy does with the request, and what is told of it. */
const FINAL: [what: string, act: (conn: FakeConn) => unknown, code: string, phase: string][] = [
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((rep) =>
    [
      `a REP of ${rep}`,
      (conn: FakeConn) => conn.push(5, rep, 0, 1, 0, 0, 0, 0, 0, 0),
      rep === 5 ? "SOCKS5_TARGET_REFUSED" : "SOCKS5_TARGET_",
      "request",
    ] as (typeof FINAL)[0]
  ),
  ["an end", (conn) => conn.end(), "SOCKS5_TARGET_NO_REPLY", "request"],
  ["an end within the reply", (conn) => (conn.push(5, 0, 0), conn.end()), "SOCKS5_TARGET_NO_REPLY", "request"],
  ["a reset", (conn) => conn.reset(), "SOCKS5_TARGET_NO_REPLY", "request"],
  ["a malformed reply", (conn) => conn.push(9, 9), "SOCKS5_PROXY_BAD_REPLY", "request"],
  ["an unknown ATYP", (conn) => conn.push(5, 0, 0, 9, 0, 0, 0, 0, 0, 0), "SOCKS5_PROXY_BAD_REPLY", "request"],
  ["silence", () => {}, "TIMEOUT", "request"],
];

for (const [what, act, code, phase] of FINAL) {
  for (const isWarm of [false, true]) {
    test(`${what} after data is final${isWarm ? " on a session, too" : ""}: no retry, no redial, no other proxy`, () =>
      withClock(async (clock) => {
        let isGood = isWarm;
        const options = {
          retry: { retries: 5, when: () => true },
          pool: { warm: Number(isWarm) },
          attemptTimeout: 2_000,
        };
        const { client, dials, transport, events } = setUp((target) => ({
          a: stream({ answer: (message, conn) => message === "request" && !isGood && (act(conn), true), target }),
          b: stream({ target }),
        }), options);
        if (isWarm) await warmUp(clock, client, events);
        isGood = false;
        const before = transport.conns.filter(({ written }) => written.length > 3).length;
        const error = await clock.settle(failure(client.connect(TARGET, { data: EARLY })));
        assert(error.code.includes(code), error.code);
        assertEquals([error.phase, error.errors.length], [phase, 0]);
        assertEquals(brief(events), ["attempt", "failed 1 null"]);
        assertEquals(client.stats().retries, 0);
        const asked = transport.conns.filter(({ written }) => written.length > 3);
        assertEquals([asked.length - before, dials.filter(({ to }) => to === "b").length], [1, 0]);
        assertEquals(occurrences(transport.conns), 1);
        await client.close();
        assertEquals(transport.open, 0);
      }));
  }
}

/** How often the data stands in what was written. */
function occurrences(conns: FakeConn[]): number {
  return conns.map(({ written }) => text(Uint8Array.from(written)).split("early").length - 1).reduce(
    (a, b) => a + b,
    0,
  );
}

test("the timeout of the connect after data is final, and told as such", () =>
  withClock(async (clock) => {
    const { client, dials, events } = setUp(() => ({
      a: stream({ answer: (message) => message === "request" }),
      b: stream(),
    }));
    const error = await clock.settle(failure(client.connect(TARGET, { data: EARLY, timeout: 3_000 })));
    assertEquals([error.code, error.phase, clock.now], ["SOCKS5_TIMEOUT", "request", 3_000]);
    assertEquals([brief(events), dials.length], [["attempt", "failed 1 null"], 1]);
  }));

test("without data the same failures are tried elsewhere: it is the data that makes them final", () =>
  withClock(async (clock) => {
    for (const [what, act, code] of FINAL) {
      const { client, dials } = setUp((target) => ({
        a: stream({ answer: (message, conn) => message === "request" && (act(conn), true), target }),
        b: stream({ target }),
      }), { attemptTimeout: 2_000 });
      const outcome = await clock.settle(client.connect(TARGET).then((conn) => conn.close(), (error) => error.code));
      assertEquals(
        [what, outcome, dials.length],
        code === "SOCKS5_TARGET_REFUSED" ? [what, code, 1] : [what, undefined, 2],
      );
    }
  }));

/** What goes wrong before the request, once. */
const BEFORE: [what: string, first: (conn: FakeConn) => unknown, password: boolean][] = [
  ["an end instead of a method", (conn) => conn.end(), false],
  ["a reset instead of a method", (conn) => conn.reset(), false],
  ["silence instead of a method", () => {}, false],
  ["a reset after the password", (conn) => conn.reset(), true],
  ["silence after the password", () => {}, true],
];

for (const [what, act, password] of BEFORE) {
  test(`${what} is tried again as always, and the data is then sent once`, () =>
    withClock(async (clock) => {
      let first = true;
      const at = password ? "password" : "greeting";
      const got: string[] = [];
      const { transport } = fakeProxies({
        a: stream({
          answer: (message, conn) => message === at && first && (first = false, act(conn), true),
          target: (_, written) => got.push(text(written)),
        }),
      });
      const events: RequestEvent[] = [];
      const client = new Socks5Client("socks5://me:pw@a", {
        transport,
        attemptTimeout: 1_000,
        onEvent: ofRequests((event) => events.push(event)),
      });
      (await clock.settle(client.connect(TARGET, { data: EARLY }))).close();
      assertEquals(brief(events), ["attempt", "failed 1 retry", "attempt", "connected", "closed"]);
      assertEquals([got, occurrences(transport.conns)], [["early"], 1]);
    }));
}

test("a dial that fails is tried elsewhere, and the data is then sent once", () =>
  withClock(async (clock) => {
    const refused = Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
    const { client, got, events } = setUp((target) => ({ a: refused, b: stream({ target }) }));
    const conn = await clock.settle(client.connect(TARGET, { data: EARLY }));
    assertEquals([conn.proxy, got, brief(events)], ["b:1080", ["early"], [
      "attempt",
      "failed 1 failover",
      "attempt",
      "connected",
    ]]);
    conn.close();
  }));

test("an abort after data rejects with the caller's reason, and nothing more is sent", () =>
  withClock(async (clock) => {
    const { client, transport, dials } = setUp(() => ({ a: stream({ answer: (message) => message === "request" }) }));
    const controller = new AbortController();
    const connecting = client.connect(TARGET, { data: EARLY, signal: controller.signal }).catch((it: unknown) => it);
    await clock.tick(10);
    assertEquals(occurrences(transport.conns), 1);
    controller.abort("enough");
    assertEquals(await clock.settle(connecting), "enough");
    assertEquals([dials.length, transport.open, occurrences(transport.conns)], [1, 0, 1]);
  }));

// Sessions

for (
  const [how, die] of [["end", (conn: FakeConn) => conn.end()], ["reset", (conn: FakeConn) => conn.reset()]] as const
) {
  test(`a session with an ${how} in the same moment as the connect is replaced before data is written on it`, () =>
    withClock(async (clock) => {
      const { client, transport, got, events } = setUp(good, { pool: { warm: 1 } });
      await warmUp(clock, client, events);
      die(transport.conns[1]!);
      const conn = await clock.settle(client.connect(TARGET, { data: EARLY }));
      assertEquals([transport.conns[1]!.written.length, got, occurrences(transport.conns)], [3, ["early"], 1]);
      assertEquals([brief(events), client.stats().retries], [["attempt", "connected"], 0]);
      conn.close();
      await client.close();
      assertEquals(transport.open, 0);
    }));
}

test(
  "a session that ended long ago in the kernel, of which the runtime has not heard, is replaced before data is written",
  () =>
    withFarProxy(async (far) => {
      for (const data of [EARLY, undefined]) {
        const events: RequestEvent[] = [];
        const client = new Socks5Client(far.url, {
          pool: { warm: 1 },
          onEvent: ofRequests((event) => events.push(event)),
        });
        (await client.connect(far.target)).close();
        await until(() => client.stats().warm === 1);
        events.length = 0;
        far.restart();
        assertEquals(client.stats().warm, 1, "nobody has been told");
        const conn = await client.connect(far.target, { ...(data && { data }), timeout: 10_000 });
        if (data === undefined) await conn.write(EARLY);
        assertEquals(text(await readFull(conn, 5)), "early");
        assertEquals([brief(events), client.stats().retries], [["attempt", "connected"], 0]);
        conn.close();
        await client.close();
      }
    }),
  { skip: quick },
);

interface FarProxy {
  url: string;
  target: string;
  /** Ends all connections of the proxy and starts it again, while this process does not turn. */
  restart(): void;
}

/** A mock proxy and an echo in a process of their own. */
async function withFarProxy(use: (far: FarProxy) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "far-"));
  const module = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
  const child = spawn(
    process.execPath,
    evaluate(`
      import { existsSync, rmSync, writeFileSync } from "node:fs";
      import { createTestProxy } from ${module("../../testing/mod.ts")};
      import { startEcho } from ${module("../support/targets.ts")};
      const proxy = await createTestProxy();
      const echo = await startEcho();
      const file = (name) => ${JSON.stringify(directory)} + "/" + name;
      console.log(proxy.url + " " + echo.address);
      for (;;) {
        await new Promise((resolve) => setTimeout(resolve, 2));
        if (!existsSync(file("restart"))) continue;
        rmSync(file("restart"));
        await proxy.stop();
        await proxy.start();
        await new Promise((resolve) => setTimeout(resolve, 50));
        writeFileSync(file("restarted"), "");
      }`),
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const exited = once(child, "exit");
  try {
    const [line] = await once(child.stdout, "data");
    const [url, target] = String(line).trim().split(" ");
    await use({
      url: url!,
      target: target!,
      restart() {
        writeFileSync(join(directory, "restart"), "");
        const late = Date.now() + 10_000;
        while (!existsSync(join(directory, "restarted"))) {
          if (Date.now() > late) throw new Error("The proxy did not start again");
        }
        rmSync(join(directory, "restarted"));
      },
    });
  } finally {
    child.kill("SIGKILL");
    await exited;
    rmSync(directory, { recursive: true });
  }
}

// Released tunnels

test("on a released tunnel the data is written before the hand-over", () =>
  withClock(async (clock) => {
    const { client, transport, got, dials, events } = setUp(good);
    const first = await clock.settle(client.connect(TARGET, { reuse: true, data: bytes("one ") }));
    first.release();
    events.length = 0;
    let conn: Socks5Conn<FakeConn> | undefined;
    let wasWritten = false;
    transport.onPassed = (_, what) => wasWritten ||= what === "write" && conn === undefined;
    const connecting = client.connect(TARGET, { reuse: true, data: bytes("two ") });
    connecting.then((it) => conn = it);
    conn = await clock.settle(connecting);
    assertEquals([wasWritten, conn.reused, got], [true, true, ["one ", "two "]]);
    await conn.write(bytes("three"));
    assertEquals([got.join(""), dials.length, brief(events)], ["one two three", 1, ["connected"]]);
    transport.conns[0]!.push(...bytes("answer"));
    assertEquals(text(await readFull(conn, 6)), "answer");
    conn.close();
  }));

test("a released tunnel that is dead gets no data: a new one does, once", () =>
  withClock(async (clock) => {
    for (const how of ["end", "reset"] as const) {
      const { client, transport, got } = setUp(good);
      (await clock.settle(client.connect(TARGET, { reuse: true }))).release();
      transport.conns[0]![how]();
      const conn = await clock.settle(client.connect(TARGET, { reuse: true, data: EARLY }));
      assertEquals([conn.reused, got, occurrences(transport.conns)], [false, ["early"], 1]);
      conn.close();
    }
  }));

test("data that breaks off on a released tunnel is final", () =>
  withClock(async (clock) => {
    const { client, transport, events, dials } = setUp(good, { retry: { when: () => true } });
    (await clock.settle(client.connect(TARGET, { reuse: true }))).release();
    events.length = 0;
    transport.onPoint = (_, what) => {
      if (what === "write") throw new Error("broken pipe");
    };
    const error = await clock.settle(failure(client.connect(TARGET, { reuse: true, data: EARLY })));
    assertEquals([error.code, error.phase, error.target, error.proxy], [
      "SOCKS5_CONN_RESET",
      "transfer",
      TARGET,
      "a:1080",
    ]);
    assertInstanceOf(error.cause, Error);
    assertEquals([dials.length, transport.open, client.stats().inUse, client.stats().idle], [1, 0, 0, 0]);
    assertEquals([client.stats().failures, events.some(({ type }) => type === "attempt")], [1, false]);
    const ends = events.flatMap((event) => event.type === "closed" ? [event.reason] : []);
    assertEquals(ends, ["peer"], "what the request before is told of its tunnel");
  }));

test("data that a released tunnel does not take in time ends with the timeout, and the tunnel with it", () =>
  withClock(async (clock) => {
    const { client, transport } = setUp(good);
    const first = await clock.settle(client.connect(TARGET, { reuse: true }));
    const tunnel = transport.conns[0]!;
    first.release();
    tunnel.write = () => new Promise(() => {});
    const error = await clock.settle(failure(client.connect(TARGET, { reuse: true, data: EARLY, timeout: 1_000 })));
    assertEquals([error.code, error.phase], ["SOCKS5_TIMEOUT", "transfer"]);
    assertEquals([transport.open, client.stats().inUse, client.stats().idle], [0, 0, 0]);
    assertNotEquals(error.message, "");
  }));

/** Faults of the mock, over real sockets. */
const REAL: [what: string, fault: TestFault][] = [
  ["a refusal", { fault: "refuse", rep: 1 }],
  ["an end", { fault: "close", at: "request" }],
  ["a reset", { fault: "reset", at: "request" }],
  ["a cut reply", { fault: "cut", at: "request", length: 5 }],
];

for (const [via, options] of Object.entries(TRANSPORTS)) {
  for (const [what, fault] of REAL) {
    test(`${via}: ${what} after data is final on real sockets, and the proxy saw one request`, () =>
      withMock(
        { rules: { [TARGET]: { port: 1 } }, faults: () => fault },
        { ...options, retry: { retries: 3, minDelay: 1, when: () => true } },
        async ({ proxy, client, events }) => {
          const error = await failure(client.connect(TARGET, { data: EARLY }));
          assertEquals(error.phase, "request");
          assertEquals([brief(events), proxy.connections.length], [["attempt", "failed 1 null"], 1]);
        },
      ));
  }
}

test("what comes with the success in one piece is read first", () =>
  withClock(async (clock) => {
    const { transport } = fakeProxies({
      a: stream({
        answer: (message, conn) => message === "request" && (conn.push(...SUCCESS, ...bytes("answer")), true),
      }),
    });
    const client = new Socks5Client("socks5://a", { transport });
    const conn = await clock.settle(client.connect(TARGET, { data: EARLY }));
    assertEquals(text(await readFull(conn, 6)), "answer");
    conn.close();
  }));
