import { assert, assertEquals } from "@std/assert";
import {
  type AuthMethod,
  type ConnectOptions,
  ProxyError,
  type RequestEvent,
  Socks5Client,
  Socks5Error,
} from "../../mod.ts";
import { type Clock, withClock } from "../support/clock.ts";
import { FakeTransport, type Script, socks5 } from "../support/fake.ts";
import { assertEchoes, withProxy, withTarget } from "../support/stage.ts";
import { startEcho } from "../support/targets.ts";
import { after, type Manner, setUpProxies } from "../support/proxies.ts";
import { test } from "../support/test.ts";

const ALICE = { username: "alice", password: "sesame" };
const TARGET = "example.test:80";

const GOOD: Manner = {};
const SILENT: Manner = { dial: "silence" };
const silence: Script = () => {};

test("three silent proxies at the head of a list do not keep the fourth from its work, in the first minute either", () =>
  withClock(async (clock: Clock) => {
    for (const silent of [SILENT, { script: after(1, silence) }, { script: after(2, silence) }]) {
      const begun = clock.now;
      const { client, transport } = setUpProxies([silent, silent, silent, GOOD], {}, "me:secret@");
      while (clock.now - begun < 90_000) {
        const conn = await clock.settle(client.connect(TARGET));
        assertEquals(conn.proxy, "d:1080");
        assert(clock.now - begun < 100_000);
        conn.close();
        await clock.tick(500);
      }
      await clock.settle(client.close());
      assertEquals(transport.open, 0);
    }
  }));

/** A proxy that takes greeting and request in one write, too. */
function socks5AtOnce(): Script {
  const good = socks5();
  return (conn, written) => {
    if (written[0] !== 5 || written.length < 10 || written[1] !== 1 || written[2] !== 0 || written[3] !== 5) {
      return good(conn, written);
    }
    good(conn, written.subarray(0, 3));
    good(conn, written.subarray(3));
  };
}

/** What happened, in short, with the time since the connect began. */
function brief(events: readonly RequestEvent[]): string[] {
  return events.map((event) => {
    const which = event.type === "closed" ? "" : ` ${event.attempt}`;
    const next = event.type === "failed" ? ` ${event.error.code} ${event.next}` : "";
    return `${event.ms} ${event.proxy[0]} ${event.type}${which}${next}`;
  });
}

/** How many requests were sent in all. */
function requests({ conns }: FakeTransport): number {
  return conns.filter(({ written }) => written.join().includes([5, 1, 0, 3, "example.test".length].join())).length;
}

test("a silent proxy is overtaken after attemptDelay, closed when another would send the request, and then passed over", () =>
  withClock(async (clock) => {
    const { client, transport, dialled, events } = setUpProxies([SILENT, { script: after(1, silence) }, GOOD, GOOD], {
      cooldown: 60_000,
    });
    const connecting = client.connect(TARGET);
    await clock.tick(1_999);
    assertEquals([dialled(), client.stats().opening], ["a", 1]);
    await clock.tick(1);
    assertEquals([dialled(), client.stats().opening], ["ab", 2]);
    const conn = await clock.settle(connecting);
    assertEquals([conn.proxy, clock.now, requests(transport), transport.open], ["c:1080", 4_000, 1, 1]);
    assertEquals(brief(events), [
      "0 a attempt 1",
      "2000 b attempt 2",
      "4000 c attempt 3",
      "4000 a overtaken 1",
      "4000 b overtaken 2",
      "4000 c connected 3",
    ]);
    const { inUse, opening, retries, failures, proxies } = client.stats();
    assertEquals([inUse, opening, retries, failures], [1, 0, 0, 0]);
    assertEquals(proxies.map(({ failures, cooldown }) => [failures, cooldown]), [
      [0, 60_000],
      [0, 60_000],
      [0, 0],
      [0, 0],
    ]);
    conn.close();
    (await clock.settle(client.connect(TARGET))).close();
    assertEquals([dialled(), transport.open, clock.next()], ["abcc", 0, false]);
  }));

test("the first that would send the request wins, whoever began first; who was only late is not passed over", () =>
  withClock(async (clock) => {
    const { client, transport, dialled, events } = setUpProxies([{ dial: 2_500 }, { dial: 4_000 }]);
    const conn = await clock.settle(client.connect(TARGET));
    assertEquals([conn.proxy, dialled(), clock.now, requests(transport), transport.open], [
      "a:1080",
      "ab",
      2_500,
      1,
      1,
    ]);
    assertEquals(brief(events).slice(2), ["2500 b overtaken 2", "2500 a connected 1"]);
    assertEquals(client.stats().proxies.map(({ cooldown }) => cooldown), [0, 0]);
    conn.close();
    await clock.settle(client.close());
    for (let i = 0; i < 10; i++) await clock.tick(1_000);
    assertEquals(transport.open, 0);
  }));

test("a proxy that goes on answering is not silent: each step has its attemptDelay", () =>
  withClock(async (clock) => {
    const slowly: Script = (conn, written) => void setTimeout(() => good(conn, written), 150);
    const good = socks5();
    const { client, dialled } = setUpProxies(
      [{ dial: 150, script: slowly }, GOOD],
      { attemptDelay: 200 },
      "me:secret@",
    );
    const conn = await clock.settle(client.connect(TARGET));
    assertEquals([conn.proxy, dialled(), clock.now], ["a:1080", "a", 600]);
    conn.close();
  }));

test("what is asked for in sequence after one write may be overtaken, since that request is void", () =>
  withClock(async (clock) => {
    const { client, dialled } = setUpProxies([{ script: () => {} }, GOOD], { handshake: "pipelined" });
    const conn = await clock.settle(client.connect(TARGET));
    assertEquals([conn.proxy, dialled(), clock.now], ["b:1080", "aabb", 3_000]);
    conn.close();
    await clock.settle(client.close());
  }));

test("the target is asked for once, whenever the proxies answer", () =>
  withClock(async (clock) => {
    for (const first of [40, 50, 60, 70]) {
      for (const second of [0, 10, 19, 20, 21, 30]) {
        for (const handshake of ["sequential", "pipelined"] as const) {
          const script = socks5AtOnce();
          const manners = [first, second, second].map((dial) => ({ dial, script }));
          const { client, transport } = setUpProxies(manners, {
            attemptDelay: 20,
            handshake,
          });
          const conn = await clock.settle(client.connect(TARGET, { data: new Uint8Array(9) }));
          assertEquals([requests(transport), transport.open], [1, 1], `${first}, ${second}, ${handshake}`);
          conn.close();
          await clock.settle(client.close());
          await clock.tick(1_000);
          assertEquals(transport.open, 0);
        }
      }
    }
  }));

test("nothing overtakes a request that was sent: a reply that comes late is no reason to leave the proxy", () =>
  withClock(async (clock) => {
    for (const handshake of ["sequential", "pipelined"] as const) {
      let connects = 0;
      const late: Script = (conn, written) => {
        const isFirst = written.length > 4 && handshake === "pipelined" && connects++ === 0;
        if (written.length <= 4 || isFirst) good(conn, written);
        else setTimeout(() => good(conn, written), 6_000);
      };
      const good = socks5AtOnce();
      const { client, dialled, transport } = setUpProxies([{ script: late }, GOOD], { handshake });
      if (handshake === "pipelined") (await clock.settle(client.connect(TARGET))).close(); // it is known to take it
      const at = clock.now;
      const conn = await clock.settle(client.connect(TARGET));
      assertEquals([conn.proxy, dialled().replaceAll("a", ""), clock.now - at], ["a:1080", "", 6_000]);
      conn.close();
      assertEquals(transport.open, 0);
      await clock.settle(client.close());
    }
  }));

test("attemptDelay Infinity tries one after another, each for its share of what is left of timeout", () =>
  withClock(async (clock) => {
    const { client, events, dialled } = setUpProxies([SILENT, SILENT, SILENT, GOOD], { attemptDelay: Infinity });
    const conn = await clock.settle(client.connect(TARGET));
    assertEquals([conn.proxy, dialled(), clock.now], ["d:1080", "abcd", 22_500]);
    const failed = events.filter((event) => event.type === "failed");
    assertEquals(failed.map(({ ms, error: { code } }) => [ms, code]), [
      [7_500, "SOCKS5_ATTEMPT_TIMEOUT"],
      [15_000, "SOCKS5_ATTEMPT_TIMEOUT"],
      [22_500, "SOCKS5_ATTEMPT_TIMEOUT"],
    ]);
    assert(failed[0]!.error.message.includes("timed out after 7500 ms"), failed[0]!.error.message);
    conn.close();
    // the cooldown of the first is over before the third is given up: the one that never failed goes before it
    const later = setUpProxies([SILENT, SILENT, SILENT, GOOD], {
      attemptDelay: Infinity,
      cooldown: 5_000,
      timeout: 20_000,
    });
    for (let i = 0; i < 10; i++) {
      const begun = clock.now;
      const conn = await clock.settle(later.client.connect(TARGET));
      assertEquals(conn.proxy, "d:1080");
      if (i > 0) assert(clock.now - begun <= 5_000, `${clock.now - begun} ms: one is probed, and then the fourth`);
      conn.close();
      await clock.tick(3_000);
    }
  }));

const shares: [proxies: number, timeout: number, attemptTimeout: number, ends: number[]][] = [
  [1, 30_000, 10_000, [10_000]], // a single one keeps attemptTimeout
  [2, 30_000, 10_000, [10_000, 20_000]],
  [2, 30_000, 30_000, [15_000, 30_000]],
  [4, 30_000, 10_000, [7_500, 15_000, 22_500, 30_000]],
  [6, 8_000, 10_000, [2_000, 3_500, 4_625, 5_750, 6_875, 8_000]], // at least a quarter of what is left
  [4, 1_000, 10_000, [500, 1_000]], // and at least half a second
  [3, Infinity, 10_000, [10_000, 20_000, 30_000]],
];

for (const [count, timeout, attemptTimeout, ends] of shares) {
  test(`${count} silent proxies in ${timeout} ms, with at most ${attemptTimeout} for each`, () =>
    withClock(async (clock) => {
      const { client, events } = setUpProxies(new Array(count).fill(SILENT), {
        attemptDelay: Infinity,
        timeout,
        attemptTimeout,
        retry: 0,
      });
      const error = await clock.settle(client.connect(TARGET).then(() => null, (error) => error));
      assertEquals(events.filter(({ type }) => type === "failed").map(({ ms }) => ms), ends);
      assertEquals(error.errors.length, ends.length - 1);
      assertEquals(client.stats().opening, 0);
    }));
}

test("a proxy that is passed over overtakes nobody, and one that never failed goes before one whose time is up", () =>
  withClock(async (clock) => {
    const manners: Manner[] = [{ script: (conn) => conn.end() }, GOOD, GOOD];
    const { client, dialled } = setUpProxies(manners, { cooldown: 30_000 });
    (await clock.settle(client.connect(TARGET))).close();
    assertEquals(dialled(), "ab");
    manners[1] = { dial: 2_500 };
    manners[2] = SILENT;
    (await clock.settle(client.connect(TARGET))).close();
    assertEquals(dialled(), "abbc", "a has failed");
    manners[2] = { dial: 9_000 };
    manners[1] = { dial: 6_500 };
    (await clock.settle(client.connect(TARGET))).close();
    assertEquals(dialled(), "abbcbc", "no third one is left");
    await clock.tick(30_000);
    manners[0] = SILENT;
    manners[1] = GOOD;
    (await clock.settle(client.connect(TARGET))).close();
    assertEquals(dialled(), "abbcbcab", "a is probed, and overtaken");
  }));

test("an overtaking attempt needs room: maxOpen is never exceeded, and who waits for a place goes before it", () =>
  withClock(async (clock) => {
    for (const maxOpen of [1, 2, 3]) {
      const begun = clock.now;
      const { client, transport } = setUpProxies([SILENT, SILENT, SILENT, GOOD], { pool: { maxOpen } });
      let most = 0;
      transport.onPoint = () => {
        const { opening, inUse } = client.stats();
        most = Math.max(most, opening + inUse);
      };
      const conn = await clock.settle(client.connect(TARGET));
      assertEquals([conn.proxy, most, client.stats().opening], ["d:1080", maxOpen, 0]);
      assertEquals(clock.now - begun, [22_500, 11_334, 7_500][maxOpen - 1]);
      conn.close();
      await clock.settle(client.close());
    }
    const { client, dialled } = setUpProxies([SILENT, GOOD], { pool: { maxOpen: 2 }, attemptTimeout: 9_000 });
    const first = client.connect(TARGET);
    const second = client.connect(TARGET);
    const third = client.connect(TARGET);
    await clock.tick(5_000);
    assertEquals(dialled(), "aa", "the third waits for a place");
    (await clock.settle(first)).close();
    for (const conn of await clock.settle(Promise.all([second, third]))) conn.close();
    await clock.settle(client.close());
  }));

const withCode = (code: string) => Object.assign(new Error(code), { code });

/** What the second proxy does while the first is slow; whether a third may be tried then. */
const beside: [what: string, manner: Manner, options: ConnectOptions, next: boolean][] = [
  ["is refused", { dial: withCode("ECONNREFUSED") }, {}, true],
  ["hangs up", { script: (conn) => conn.end() }, {}, true],
  ["is no SOCKS5 proxy", { script: (conn) => conn.push(72, 84) }, {}, true],
  ["refuses the password", { script: (conn) => conn.push(5, 0xff) }, {}, true],
  [
    "refuses the credentials of the connect",
    { script: (conn) => conn.push(5, 0xff) },
    { credentials: { username: "me", password: "mine" } },
    false,
  ],
  ["finds no file left", { dial: withCode("EMFILE") }, {}, false],
];

for (const [what, manner, options, next] of beside) {
  for (const ends of [true, false]) {
    test(`a proxy that ${what} beside a silent one does not end what is under way, which ${ends ? "works" : "fails, too"}`, () =>
      withClock(async (clock) => {
        const first = ends ? { dial: 3_000 } : SILENT;
        const { client, dialled, events, transport } = setUpProxies([first, manner, { dial: 8_000 }], {
          retry: 0,
          attemptTimeout: 5_000,
        });
        const outcome = await clock.settle(client.connect(TARGET, options).then((conn) => conn, (error) => error));
        assertEquals(dialled(), next ? "abc" : "ab");
        const failed = events.find(({ type }) => type === "failed");
        assert(failed?.type === "failed");
        assertEquals([failed.attempt, failed.proxy, failed.next, failed.ms], [2, "b:1080", "failover", 2_000]);
        if (ends) assertEquals([outcome.proxy, clock.now], ["a:1080", 3_000]);
        else {
          assert(outcome instanceof Socks5Error, String(outcome));
          assertEquals(outcome.errors.length, next ? 2 : 1);
        }
        if (ends) outcome.close();
        assertEquals([transport.open, client.stats().opening, client.stats().inUse], [0, 0, 0]);
        await clock.settle(client.close());
        for (let i = 0; i < 10; i++) await clock.tick(1_000);
        assertEquals(transport.open, 0);
      }));
  }
}

test("when timeout ends several attempts the error names the last one, and the next connect begins behind them", () =>
  withClock(async (clock) => {
    const silent = new Array<Manner>(24).fill(SILENT);
    const { client, dialled, events, transport } = setUpProxies([...silent, GOOD], {
      timeout: 4_000,
      attemptDelay: 500,
    });
    const error = await clock.settle(client.connect(TARGET).then(() => null, (error) => error));
    const first = dialled();
    assert(first.length >= 8, first);
    assertEquals([error.code, error.phase, error.proxy, clock.now], [
      "SOCKS5_TIMEOUT",
      "dial",
      `${first.at(-1)}:1080`,
      4_000,
    ]);
    const last = events.at(-1)!;
    assert(last.type === "failed");
    assertEquals([last.attempt, last.proxy, last.next], [first.length, error.proxy, null]);
    assertEquals([transport.open, client.stats().opening, client.stats().inUse], [0, 0, 0]);
    assert(client.stats().proxies.slice(0, first.length - 1).every(({ cooldown }) => cooldown > 0));
    await clock.settle(client.connect(TARGET).then((conn) => conn.close(), () => {}));
    const second = dialled().slice(first.length);
    assert([...second.slice(1)].every((name) => !first.includes(name)), `${first}, ${second}`); // but for the last one
    await clock.settle(client.close());
  }));

test("with a name that is looked up here the lookup is no silence, and each proxy is asked for the first address", () =>
  withClock(async (clock) => {
    const { client, transport, dialled } = setUpProxies([SILENT, GOOD], { dns: "local" });
    const { lookup } = FakeTransport.prototype;
    transport.lookup = async (name, options) => {
      await new Promise((resolve) => setTimeout(resolve, 5_000));
      return await lookup.call(transport, name, options);
    };
    transport.addresses = ["192.0.2.1", "192.0.2.2"];
    const conn = await clock.settle(client.connect(TARGET));
    assertEquals([conn.proxy, dialled(), clock.now, transport.lookups.length], ["b:1080", "ab", 7_000, 1]);
    assertEquals(transport.conns.at(-1)!.written.slice(3, 11), [5, 1, 0, 1, 192, 0, 2, 1]);
    conn.close();
    await clock.settle(client.close());
  }));

test("the second address of a name is asked for at the proxy that did not reach the first, unless that is silent now", () =>
  withClock(async (clock) => {
    let dials = 0;
    const good = socks5();
    const manner: Manner = { script: (conn, written) => written.at(-3) === 1 ? conn.push(5, 4) : good(conn, written) };
    const manners = [manner, GOOD];
    const { client, transport, dialled } = setUpProxies(manners, { dns: "local" });
    const { connect } = transport;
    transport.connect = (to, options) => {
      if (++dials === 2) manners[0] = SILENT;
      return connect(to, options);
    };
    transport.addresses = ["192.0.2.1", "192.0.2.2"];
    const conn = await clock.settle(client.connect(TARGET));
    assertEquals([conn.proxy, dialled(), clock.now], ["b:1080", "aab", 2_000]);
    assertEquals(transport.conns.at(-1)!.written.slice(3, 11), [5, 1, 0, 1, 192, 0, 2, 1]);
    conn.close();
    await clock.settle(client.close());
  }));

test("bind(), resolve() and associate() overtake a silent proxy as well", () =>
  withClock(async (clock) => {
    const { client, dialled, transport } = setUpProxies([SILENT, GOOD], { cooldown: 0 });
    (await clock.settle(client.bind(TARGET))).close();
    assertEquals([dialled(), clock.now], ["ab", 2_000]);
    await clock.settle(client.resolve("example.test"));
    assertEquals([dialled(), clock.now, transport.open], ["abab", 4_000, 0]);
    await clock.settle(client.close());
  }));

test("a method that still runs for a proxy that is overtaken is aborted, and its connection closed", () =>
  withClock(async (clock) => {
    const signals: AbortSignal[] = [];
    const methods: AuthMethod[] = [{
      method: 0x80,
      async *negotiate({ proxy, signal }) {
        signals.push(signal);
        if (proxy === "a:1080") await new Promise(() => {});
        yield { write: Uint8Array.of(1), have: 1 };
      },
    }];
    const answers: Script = (conn, written) => {
      if (written[0] === 5 && written.length === written[1]! + 2) conn.push(5, 0x80);
      else if (written.length === 1) conn.push(1);
      else conn.push(5, 0, 0, 1, 0, 0, 0, 0, 0, 0);
    };
    const { client, transport } = setUpProxies([{ script: answers }, { script: answers }], { methods });
    const conn = await clock.settle(client.connect(TARGET));
    assertEquals([conn.proxy, clock.now, transport.open], ["b:1080", 2_000, 1]);
    assertEquals(signals.map(({ aborted }) => aborted), [true, false]);
    assert(signals[0]!.reason instanceof DOMException);
    conn.close();
    await clock.settle(client.close());
  }));

test("an overtaken proxy gives the sessions up that were ready with it", () =>
  withClock(async (clock) => {
    const manners: Manner[] = [GOOD, GOOD];
    const { client, dialled } = setUpProxies(manners, { pool: { warm: 1 } });
    (await clock.settle(client.connect(TARGET))).close();
    await clock.tick(1);
    assertEquals([client.stats().warm, dialled()], [1, "aa"]);
    manners[0] = SILENT;
    const both = await clock.settle(Promise.all([1, 2].map(() => client.connect(TARGET))));
    assertEquals(both.map(({ proxy }) => proxy), ["a:1080", "b:1080"]);
    for (const conn of both) conn.close();
    await clock.settle(client.close());
  }));

test("a client of one proxy has no timer more for attemptDelay, and one of several has one", () =>
  withClock(async (clock) => {
    const { setTimeout: set } = globalThis;
    for (const [manners, most] of [[[GOOD], 2], [[GOOD, GOOD], 3]] as const) {
      const { client } = setUpProxies([...manners]);
      (await clock.settle(client.connect(TARGET))).close();
      let timers = 0;
      globalThis.setTimeout = ((...args: Parameters<typeof set>) => (timers++, set(...args))) as typeof set;
      try {
        (await clock.settle(client.connect(TARGET))).close();
      } finally {
        globalThis.setTimeout = set;
      }
      assertEquals(timers, most); // timeout and attemptTimeout
      await clock.settle(client.close());
    }
  }));

test("over a chain the tunnel of a proxy that is overtaken is closed", () =>
  withClock(async (clock) => {
    const transport = new FakeTransport(socks5({
      target: (conn, written) =>
        conn.written.join().includes([..."slow.test"].map((it) => it.charCodeAt(0)).join())
          ? undefined
          : second(conn, written),
    }));
    const second = socks5();
    const first = new Socks5Client("socks5://first", { transport });
    const client = new Socks5Client(["socks5://slow.test", "socks5://fast.test"], { transport: first });
    const conn = await clock.settle(client.connect(TARGET));
    assertEquals([conn.proxy, clock.now, first.stats().inUse, transport.open], ["fast.test:1080", 2_000, 1, 1]);
    conn.close();
    assertEquals([first.stats().inUse, transport.open], [0, 0]);
    await clock.settle(client.close());
    await clock.settle(first.close());
  }));

test("a timeout of 30 seconds outlasts 14 silent proxies, or nine if they are tried one after another", () =>
  withClock(async (clock) => {
    for (const [attemptDelay, silent] of [[2_000, 14], [Infinity, 9]] as const) {
      const { client } = setUpProxies([...new Array<Manner>(silent).fill(SILENT), GOOD], { attemptDelay });
      const begun = clock.now;
      const conn = await clock.settle(client.connect(TARGET));
      assert(clock.now - begun < 30_000);
      conn.close();
      await clock.settle(client.close());
    }
  }));

test("on real sockets: a silent proxy is overtaken, and sees its connection closed", () =>
  withTarget(
    startEcho(),
    (echo) =>
      withProxy({ faults: { fault: "silence", at: "negotiate" } }, (silent) =>
        withProxy({ faults: { fault: "silence", at: "authenticate" }, credentials: ALICE }, (late) =>
          withProxy({}, async (good) => {
            const attemptDelay = 50;
            const client = new Socks5Client([silent.url, late.url, good.url], { attemptDelay });
            const conn = await client.connect(echo.address);
            await assertEchoes(conn);
            assertEquals(conn.proxy, `127.0.0.1:${good.port}`);
            await silent.until(() =>
              silent.open === 0
            );
            await late.until(() =>
              late.open === 0
            );
            assertEquals([silent, late, good].map(({ connections }) => connections.length), [1, 1, 1]);
            assertEquals([silent, late].map(({ connections }) => connections[0]!.request), [null, null]);
            conn.close();
            await client.close();
          }))),
  ));

test("what retry.when throws of an attempt beside others rejects the connect, and is no failure of another proxy", () =>
  withClock(async (clock) => {
    let asked = 0;
    const { client, transport, events } = setUpProxies([SILENT, { dial: withCode("ECONNREFUSED") }, GOOD], {
      retry: {
        when: () => {
          asked++;
          throw new Error("of the caller");
        },
      },
    });
    assertEquals(await clock.settle(client.connect(TARGET).catch(String)), "Error: of the caller");
    assertEquals([asked, transport.open, client.stats().opening], [1, 0, 0]);
    assertEquals(client.stats().proxies.map(({ failures }) => failures), [0, 1, 0], brief(events).join());
  }));

test("an abort in whatever moment an attempt beside others fails is told of no attempt, although its reason is an error of ours", () =>
  withClock(async (clock) => {
    for (let turns = 0; turns < 30; turns++) {
      const controller = new AbortController();
      const reason = new ProxyError("SOCKS5_PROXY_UNREACHABLE", "of another connect", { phase: "dial" });
      const dial = withCode("ECONNREFUSED");
      const { client, transport, events } = setUpProxies([SILENT, { dial }, SILENT]);
      const { onConnect } = transport;
      transport.onConnect = (attempt) => {
        if (attempt === 2) void later(turns).then(() => controller.abort(reason));
        return onConnect?.(attempt);
      };
      const connecting = client.connect(TARGET, { signal: controller.signal }).catch((error) => error);
      assertEquals(await clock.settle(connecting) === reason, true, `after ${turns} turns`);
      const told = events.filter((event) => event.type === "failed" && event.error === reason);
      assertEquals([told, transport.open], [[], 0], `after ${turns} turns`);
    }
  }));

test("when timeout ends a request, the error names an attempt that was still under way", () =>
  withClock(async (clock) => {
    const late: Manner = {
      script: (conn, written) => written.length < 5 ? void setTimeout(() => conn.push(5, 0), 150) : undefined,
    };
    const scenes: [Manner[], string, string][] = [
      [[late, SILENT], "a:1080", "request"],
      [[SILENT, { script: (conn) => conn.end() }], "a:1080", "dial"],
    ];
    for (const [manners, proxy, phase] of scenes) {
      const { client } = setUpProxies(manners, { timeout: 450, attemptDelay: 50, retry: 0 });
      const error = await clock.settle(client.connect(TARGET).catch((error) => error));
      assertEquals([error.code, error.proxy, error.phase], ["SOCKS5_TIMEOUT", proxy, phase]);
    }
  }));

async function later(turns: number): Promise<void> {
  for (let i = 0; i < turns; i++) await undefined;
}
