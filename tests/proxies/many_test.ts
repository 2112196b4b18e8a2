import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertNotEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { type ProxySpec, Socks5Client, type Socks5Event, type Socks5Options } from "../../mod.ts";
import { createTestFleet } from "../../testing/fleet.ts";
import { type Clock, withClock } from "../support/clock.ts";
import { type FakeConn, FakeTransport, type Script, socks5 } from "../support/fake.ts";
import { test } from "../support/test.ts";

const TARGET = "example.test:80";

/** A client of proxies on a fake transport: those among `broken` refuse connections. */
function setUp(proxies: readonly ProxySpec[], options: Socks5Options<FakeConn> = {}, script: Script = socks5()) {
  const transport = new FakeTransport(script);
  const broken = new Set<string>();
  const connect = transport.connect.bind(transport);
  transport.connect = async (to, dial) => {
    const conn = await connect(to, dial);
    if (!("hostname" in to) || !broken.has(to.hostname)) return conn;
    conn.close();
    throw Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
  };
  const events: Socks5Event[] = [];
  const client = new Socks5Client(proxies, { transport, onEvent: (event) => void events.push(event), ...options });
  /** The proxy that a connect takes, which is closed at once. */
  const taken = async (connect: Parameters<typeof client.connect>[1] = {}, target = TARGET) => {
    const conn = await client.connect(target, connect);
    conn.close();
    return conn.proxy.replace(":1080", "");
  };
  const statsOf = (name: string) => client.stats().proxies.find(({ proxy }) => proxy.startsWith(name))!;
  return { client, transport, broken, events, taken, statsOf };
}

const list = (...names: string[]) => names.map((name) => `socks5://${name}`);
const fleetEvents = (events: readonly Socks5Event[]) => events.filter(({ id }) => id === undefined);

/** Several times in a row. */
async function times<T>(count: number, run: () => Promise<T>): Promise<T[]> {
  const all: T[] = [];
  for (let i = 0; i < count; i++) all.push(await run());
  return all;
}

test("balance round-robin takes proxies in turn, as often as their weights say, and mixes them", async () => {
  const { taken } = setUp([{ url: "socks5://a", weight: 3 }, "socks5://b", { url: "socks5://c", weight: 0 }], {
    balance: "round-robin",
  });
  assertEquals((await times(8, taken)).join(""), "aabaaaba");
});

test("balance random takes proxies as often as their weights say, and none without weight", async () => {
  const { taken } = setUp([
    { url: "socks5://a", weight: 3 },
    { url: "socks5://b", weight: 0 },
    { url: "socks5://c" },
  ], { balance: "random" });
  const all = await times(2_000, taken);
  const share = all.filter((name) => name === "a").length / all.length;
  assertGreater(share, 0.7);
  assertLess(share, 0.8);
  assertEquals(new Set(all).size, 2);
});

test("balance least-open takes the one of two with fewer connections for its weight", async () => {
  const { client } = setUp([{ url: "socks5://a", weight: 2 }, "socks5://b"], { balance: "least-open" });
  const open = await times(60, () => client.connect(TARGET));
  const a = open.filter(({ proxy }) => proxy === "a:1080").length;
  assertGreater(a, 34);
  assertLess(a, 46);
  await client.close();
});

test("balance fastest takes the one of two that is faster, and tries the slow one again when that is long ago", () =>
  withClock(async (clock) => {
    const { client, transport } = setUp(list("a", "b"), { balance: "fastest" });
    const random = Math.random;
    let draw = 0;
    Math.random = () => (draw = (draw + 0.381966) % 1);
    transport.onConnect = (attempt) => {
      const to = transport.endpoints[attempt - 1]!;
      const ms = "hostname" in to && to.hostname === "a" ? 100 : 10;
      return new Promise((resolve) => setTimeout(resolve, ms));
    };
    const run = async () => {
      const conn = await clock.settle(client.connect(TARGET));
      conn.close();
      return conn.proxy;
    };
    await times(4, run);
    const quick = await times(20, run);
    assertEquals(quick.filter((proxy) => proxy === "b:1080").length >= 18, true, quick.join());
    assertGreater(client.stats().proxies[0]!.ms, 90);
    await clock.pass(120_000);
    assert((await times(4, run)).includes("a:1080"));
    Math.random = random;
  }));

test("a session keeps its proxy, whatever the balance and however often it connects", async () => {
  for (const balance of ["first", "round-robin", "random", "least-open", "fastest"] as const) {
    const { taken } = setUp(list("a", "b", "c", "d"), { balance });
    const proxies = new Set<string>();
    for (const session of ["ann", "bob", "cid", "dan", "eve", "fay", "gil", "hal"]) {
      const [first, ...rest] = await times(4, () => taken({ session }));
      assertEquals(rest, [first, first, first], `${balance} ${session}`);
      proxies.add(first!);
    }
    assertGreater(proxies.size, 2);
  }
});

test("a session moves when its proxy fails, to the same one each time, and comes back to it", () =>
  withClock(async (clock) => {
    const { broken, client, taken } = setUp(list("a", "b", "c"), { cooldown: 1_000, maxCooldown: 1_000, retry: 0 });
    const take = () => clock.settle(taken({ session: "ann" }));
    const home = await take();
    broken.add(home);
    const away = await take();
    assertNotEquals(away, home);
    assertEquals(await times(3, take), [away, away, away]);
    broken.clear();
    await clock.pass(1_001);
    assertEquals(await times(3, take), [home, home, home]);
    await client.close();
  }));

test("sessions share no tunnels, neither with each other nor with none", async () => {
  const { client } = setUp(list("a"));
  const connect = async (session?: string) => {
    const conn = await client.connect(TARGET, { reuse: true, session });
    conn.release();
    return conn.reused;
  };
  assertEquals([await connect("ann"), await connect(), await connect("bob")], [false, false, false]);
  assertEquals([await connect("bob"), await connect("ann"), await connect()], [true, true, true]);
  await client.close();
});

test("a session reuses no tunnel of the proxy that it has left, and none that is warm at another", () =>
  withClock(async (clock) => {
    const { client } = setUp(list("a", "b", "c"), { pool: { warm: 2 } });
    const connect = async () => {
      const conn = await clock.settle(client.connect(TARGET, { reuse: true, session: "ann" }));
      const { proxy, reused } = conn;
      conn.release();
      await clock.pass(1);
      return { proxy, reused };
    };
    const home = (await connect()).proxy;
    assertEquals(await connect(), { proxy: home, reused: true });
    client.suspend({ session: "ann" }, { for: 5_000 });
    const away = (await connect()).proxy;
    assertNotEquals(away, home);
    client.resume(home);
    assertEquals(await connect(), { proxy: home, reused: false });
    await client.close();
  }));

test("suspend() of a session for a host name is about the proxy that the session has for that name", async () => {
  const { client, taken } = setUp(list("a", "b", "c"));
  const exits: string[] = [];
  for (let i = 0; i < 3; i++) {
    exits.push(await taken({ session: "ann" }));
    client.suspend({ session: "ann" }, { for: 60_000, hostname: "example.test" });
  }
  assertEquals(exits.toSorted(), ["a", "b", "c"]);
  assertEquals(await taken({ session: "ann" }, "elsewhere.test:80"), exits[0]);
  await client.close();
});

test("a closed client takes another list and suspends nothing: it tells nobody and has no timer", async () => {
  const { client, events, taken } = setUp(list("a", "b"));
  await taken();
  client.suspend("a:1080", { for: 60_000, hostname: "example.test" });
  await client.close();
  const before = events.length;
  client.setProxies(list("a", "b", "c"), { drain: 60_000 });
  client.setProxies(list("a"), { drain: 60_000 });
  client.suspend("a:1080", { for: 60_000 });
  client.suspend("a:1080", { for: 60_000, hostname: "example.test" });
  client.resume("a:1080");
  assertEquals(events.length, before);
});

test("maxOpen of a proxy holds, and who finds no room waits in order of arrival", async () => {
  const { client, statsOf } = setUp([{ url: "socks5://a", maxOpen: 2 }, { url: "socks5://b", maxOpen: 1 }]);
  const open = await Promise.all([1, 2, 3].map(() => client.connect(TARGET)));
  assertEquals(open.map(({ proxy }) => proxy), ["a:1080", "a:1080", "b:1080"]);
  const served: number[] = [];
  const waiting = [1, 2, 3].map(async (number) => {
    const conn = await client.connect(TARGET);
    served.push(number);
    return conn;
  });
  await Promise.resolve();
  assertEquals([client.stats().waiting, statsOf("a").open, statsOf("b").open], [3, 2, 1]);
  open[2]!.close();
  assertEquals((await waiting[0]!).proxy, "b:1080");
  open[0]!.close();
  open[1]!.close();
  assertEquals([(await waiting[1]!).proxy, (await waiting[2]!).proxy, served], ["a:1080", "a:1080", [1, 2, 3]]);
  assertEquals([client.stats().waiting, statsOf("a").open, statsOf("b").open], [0, 2, 1]);
  await client.close();
  assertEquals([statsOf("a").open, statsOf("b").open], [0, 0]);
});

test("a session waits for its proxy although another one has room, and holds up nobody else", async () => {
  const { client } = setUp([{ url: "socks5://a", maxOpen: 1 }, { url: "socks5://b", maxOpen: 1 }], {
    pool: { maxOpen: 2 },
  });
  const first = await client.connect(TARGET, { session: "ann" });
  const second = client.connect(TARGET, { session: "ann" });
  const other = await client.connect(TARGET);
  assertNotEquals(other.proxy, first.proxy);
  first.close();
  assertEquals((await second).proxy, first.proxy);
  await client.close();
});

test("an idle tunnel gives way to who waits for a place at its proxy", async () => {
  const { client, transport } = setUp([{ url: "socks5://a", maxOpen: 1 }]);
  const first = await client.connect("one.test:80", { reuse: true });
  const second = client.connect("two.test:80");
  first.release();
  assertEquals((await second).target, "two.test:80");
  assertEquals(transport.open, 1);
  const third = client.connect("three.test:80");
  const fourth = client.connect("four.test:80");
  (await second).markIdle(() => {});
  assertEquals((await third).target, "three.test:80");
  (await third).close();
  assertEquals((await fourth).target, "four.test:80");
  await client.close();
  assertEquals(transport.open, 0);
});

test("who waits for a place at a proxy is ended by its timeout, its signal and close(), and says for what it waited", () =>
  withClock(async (clock) => {
    const { client, statsOf } = setUp([{ url: "socks5://a", maxOpen: 1 }]);
    const held = await clock.settle(client.connect(TARGET));
    const controller = new AbortController();
    const [late, aborted, closed] = [
      client.connect(TARGET, { timeout: 1_000 }),
      client.connect(TARGET, { signal: controller.signal }),
      client.connect(TARGET),
    ].map((promise) => promise.then(() => "open", (error) => error));
    await clock.pass(1_001);
    const error = await late;
    assertEquals([error.code, error.phase, error.proxy], ["SOCKS5_TIMEOUT", "pool", null]);
    assert(error.message.includes("for a place at a proxy"), error.message);
    controller.abort("enough");
    assertEquals(await aborted, "enough");
    const closing = client.close();
    assertEquals((await closed).code, "SOCKS5_CLIENT_CLOSED");
    held.close();
    await closing;
    assertEquals([client.stats().waiting, statsOf("a").open], [0, 0]);
  }));

test("suspend() takes a proxy out of service, and resume() puts it back; both are told", async () => {
  const { client, events, taken } = setUp(list("a", "b"));
  client.suspend("a:1080", { for: 60_000 });
  assertEquals(await taken(), "b");
  assertEquals(client.stats().proxies[0]!.suspended.map(({ reason }) => reason), ["application"]);
  client.resume("a:1080");
  assertEquals(await taken(), "a");
  assertEquals(client.stats().proxies[0]!.suspended, []);
  assertEquals(fleetEvents(events), [
    { type: "suspended", proxy: "a:1080", reason: "application", duration: 60_000 },
    { type: "resumed", proxy: "a:1080" },
  ]);
});

test("suspend() with a host name counts for the targets below that name alone, until its time is up", () =>
  withClock(async (clock) => {
    const { client, events, taken } = setUp(list("a", "b"));
    client.suspend("a:1080", { for: 1_000, hostname: "Shop.Example" });
    const take = (target: string) => clock.settle(taken({}, target));
    const targets = ["shop.example:80", "img.shop.example:80", "myshop.example:80", "example:80", "192.0.2.1:80"];
    assertEquals(await Promise.all(targets.map(take)), ["b", "b", "a", "a", "a"]);
    assertEquals(client.stats().proxies[0]!.suspended[0]?.hostname, "shop.example");
    await clock.pass(1_001);
    assertEquals(await take("shop.example:80"), "a");
    assertEquals(fleetEvents(events).map(({ type }) => type), ["suspended", "resumed"]);
    client.suspend("a:1080", { for: 1_000, hostname: "shop.example" });
    client.suspend("b:1080", { for: 1_000, hostname: "shop.example" });
    assertEquals(await take("shop.example:80"), "a"); // all of them: none is better
    client.resume("a:1080");
    assertEquals(await take("shop.example:80"), "a");
    await client.close();
  }));

test("suspend() closes what is idle at the proxy, and leaves what is in use", async () => {
  const { client, transport } = setUp(list("a", "b"));
  const open = async (target: string) => await client.connect(target, { reuse: true });
  const [used, idle, other] = [await open("a.test:80"), await open("b.test:80"), await open("c.shop:80")];
  idle.release();
  other.release();
  client.suspend("a:1080", { for: 60_000, hostname: "shop" });
  assertEquals(transport.open, 2);
  client.suspend("a:1080", { for: 60_000 });
  assertEquals(transport.open, 1);
  assertEquals(await used.write(new Uint8Array(1)), 1);
  await client.close();
});

test("what is said of proxies before the first connect counts", async () => {
  const { client, taken } = setUp(list("a", "b", "c"));
  client.suspend("a:1080", { for: 60_000 });
  client.setProxies(list("a", "d"));
  assertEquals(await taken(), "d");
  assertThrows(() => client.suspend("b:1080", { for: 1 }), TypeError, 'Cannot find a proxy with the label "b:1080"');
});

test("suspend() of a client that was not used yet shows in stats(), and is told", () => {
  const events: Socks5Event[] = [];
  const client = new Socks5Client(["socks5h://a.test", "socks5h://b.test"], { onEvent: (event) => events.push(event) });
  client.suspend("a.test:1080", { for: 60_000 });
  const reasons = () => client.stats().proxies.map(({ suspended }) => suspended.map(({ reason }) => reason));
  assertEquals([reasons(), events.map(({ type }) => type)], [[["application"], []], ["suspended"]]);
  client.resume("a.test:1080");
  assertEquals([reasons(), events.map(({ type }) => type)], [[[], []], ["suspended", "resumed"]]);
});

test("setProxies() keeps what is known of those that stay, and gives the others no new connect", async () => {
  const { broken, client, statsOf, taken, transport } = setUp(list("a", "b"));
  broken.add("a");
  assertEquals(await taken(), "b");
  const idle = await client.connect(TARGET, { reuse: true });
  idle.release();
  const used = await client.connect(TARGET);
  client.setProxies(list("a", "c"));
  assertEquals([statsOf("a").failures, statsOf("a").cooldown > 0, statsOf("c").connects], [1, true, 0]);
  assertEquals(await taken({ reuse: true }), "c");
  assertEquals([used.proxy, await used.write(new Uint8Array(1)), transport.open], ["b:1080", 1, 1]);
  client.setProxies(list("b", "a"));
  assertEquals(await taken(), "b");
  assertThrows(() => client.setProxies(["http://x"]), TypeError);
  assertEquals(client.stats().proxies.map(({ proxy }) => proxy), ["b:1080", "a:1080"]);
  await client.close();
});

test("setProxies() takes a proxy out as often as it was in the list", async () => {
  const { client, taken, transport } = setUp(list("a", "a"), { balance: "round-robin" });
  for (const target of ["x.test:1", "y.test:1"]) (await client.connect(target, { reuse: true })).release();
  assertEquals(transport.open, 2);
  client.setProxies(list("a", "b"));
  assertEquals(transport.open, 1);
  client.setProxies(list("b"));
  assertEquals([transport.open, await taken({ reuse: true }, "x.test:1")], [0, "b"]);
  await client.close();
});

test("setProxies() closes what is in use of those that left, after drain", () =>
  withClock(async (clock) => {
    const { client, transport } = setUp(list("a", "b"));
    const first = await clock.settle(client.connect(TARGET));
    client.setProxies(list("b"), { drain: 1_000 });
    await clock.pass(999);
    assertEquals(transport.open, 1);
    await clock.pass(2);
    assertEquals(transport.open, 0);
    await assertRejects(() => first.read(new Uint8Array(1)));
    const second = await clock.settle(client.connect(TARGET));
    client.setProxies(list("c"), { drain: 0 });
    await assertRejects(() => second.read(new Uint8Array(1)));
    await client.close();
  }));

test("who waits for a place is served by a list with more proxies", async () => {
  const { client } = setUp([{ url: "socks5://a", maxOpen: 1 }]);
  const first = await client.connect(TARGET);
  const second = client.connect(TARGET);
  const third = client.connect(TARGET, { session: "ann" });
  await Promise.resolve();
  client.setProxies([{ url: "socks5://a", maxOpen: 1 }, "socks5://b", "socks5://c"]);
  assertEquals([first.proxy, (await second).proxy, typeof (await third).proxy], ["a:1080", "b:1080", "string"]);
  await client.close();
});

test("a cooldown doubles with each failure in a row up to maxCooldown, and a success forgets that", () =>
  withClock(async (clock) => {
    const { broken, client, statsOf, taken } = setUp(list("a", "b"), { cooldown: 1_000, maxCooldown: 5_000 });
    broken.add("a");
    const cooldowns: number[] = [];
    for (let i = 0; i < 5; i++) {
      await clock.settle(taken());
      cooldowns.push(statsOf("a").cooldown);
      await clock.pass(cooldowns[i]! + 1);
    }
    assertEquals(cooldowns, [1_000, 2_000, 4_000, 5_000, 5_000]);
    broken.clear();
    assertEquals(await clock.settle(taken()), "a");
    broken.add("a");
    await clock.settle(taken());
    assertEquals(statsOf("a").cooldown, 1_000);
    await client.close();
  }));

test("with probe a proxy that failed is checked in the background, and no connect is the first to try it again", () =>
  withClock(async (clock) => {
    const { broken, client, events, statsOf, taken, transport } = setUp(list("a", "b"), {
      cooldown: 1_000,
      probe: { target: TARGET, probe: new Uint8Array([1]) },
    }, socks5({ target: (conn) => conn.push(1) }));
    broken.add("a");
    await clock.settle(taken());
    await clock.pass(10_000); // checks after 1, 2 and 4 seconds
    assertEquals(transport.endpoints.map((to) => "hostname" in to && to.hostname), ["a", "b", "a", "a", "a"]);
    assertEquals([await clock.settle(taken()), statsOf("a").failures], ["b", 1]);
    broken.clear();
    await clock.pass(10_000);
    assertEquals([await clock.settle(taken()), statsOf("a").cooldown], ["a", 0]);
    assertEquals(fleetEvents(events).at(-1), { type: "resumed", proxy: "a:1080" });
    await client.close();
    assertEquals(transport.open, 0);
  }));

test("check() takes so many proxies at a time, and gives the reports in the order of the list", async () => {
  const names = Array.from({ length: 7 }, (_, i) => `p${i}`);
  const good = socks5();
  let most = 0;
  const { client, transport } = setUp(list(...names), {}, (conn, written) => {
    most = Math.max(most, transport.open);
    good(conn, written);
  });
  const reports = await client.check(undefined, { concurrency: 2 });
  assertEquals(reports.map(({ proxy, verdict }) => `${proxy} ${verdict}`), names.map((name) => `${name}:1080 ok`));
  assertEquals([most, transport.open], [2, 0]);
  const controller = new AbortController();
  transport.onConnect = () => controller.abort("enough");
  assertEquals(
    await client.check(undefined, { concurrency: 2, signal: controller.signal }).catch((it) => it),
    "enough",
  );
  assertEquals(transport.endpoints.length <= 7 + 2, true);
});

test("with probe a proxy whose cooldown is over is out of service until it was checked", () =>
  withClock(async (clock) => {
    const { broken, client, taken } = setUp(list("a", "b"), { cooldown: 1_000, probe: { interval: 5_000 } });
    broken.add("a");
    assertEquals(await clock.settle(taken()), "b");
    broken.clear();
    await clock.pass(2_000);
    assertEquals(await clock.settle(taken()), "b");
    await clock.pass(3_100);
    assertEquals(await clock.settle(taken()), "a");
    await client.close();
  }));

test("at most eight checks run at a time, and close() ends them", () =>
  withClock(async (clock) => {
    const names = Array.from({ length: 20 }, (_, i) => `p${i}`);
    const { broken, client, transport } = setUp([...list(...names), "socks5://good"], {
      attemptDelay: Infinity,
      probe: { interval: 1_000 },
    });
    for (const name of names) broken.add(name);
    await clock.settle(client.connect(TARGET));
    const before = transport.endpoints.length;
    transport.onConnect = () => new Promise(() => {});
    await clock.pass(1_001);
    assertEquals(transport.endpoints.length - before, 8);
    await client.close();
    assertEquals(client.stats().proxies.every(({ inUse }) => inUse === 0), true);
  }));

test("a proxy that cannot be warmed is not put off by warming when its cooldown is over", () =>
  withClock(async (clock) => {
    const credentials = () => ({ username: "u" });
    const { broken, client, taken } = setUp([{ url: "socks5://a", credentials }, { url: "socks5://b", credentials }], {
      cooldown: 10_000,
      pool: { warm: 1 },
    });
    broken.add("a");
    assertEquals(await clock.settle(taken()), "b");
    broken.clear();
    await clock.pass(15_000);
    assertEquals(await clock.settle(taken()), "a");
    await client.close();
  }));

test("credentials may be a function of the session and the target, which is asked for each connect", async () => {
  const asked: unknown[] = [];
  const sent: string[] = [];
  const good = socks5();
  const { client } = setUp(
    [{
      url: "socks5://gateway",
      credentials: (context) => {
        asked.push(context);
        return { username: `user-${context.session ?? "none"}`, password: "secret" };
      },
    }],
    {},
    (conn, written) => {
      if (written[0] === 1) sent.push(new TextDecoder().decode(written.subarray(2, 2 + written[1]!)));
      good(conn, written);
    },
  );
  (await client.connect(TARGET, { session: "ann" })).close();
  (await client.connect("other.test:443")).close();
  assertEquals(asked, [{ session: "ann", target: TARGET }, { session: undefined, target: "other.test:443" }]);
  assertEquals(sent, ["user-ann", "user-none"]);
  await client.close();
});

test("a function of credentials that throws ends that connect as a wrong argument, and suspends nothing", async () => {
  const bad = [
    () => {
      throw new Error("the vault is closed: hunter2");
    },
    () => ({ username: "" }),
    () => Promise.resolve({ username: "u" }),
    () => undefined,
  ];
  for (const credentials of bad as unknown as (() => { username: string })[]) {
    const { client, transport, statsOf } = setUp([{ url: "socks5://a", credentials }, "socks5://b"]);
    const error = await client.connect(TARGET).then(() => undefined, (error) => error);
    assert(error instanceof TypeError || error instanceof RangeError, String(error));
    assert(!error.message.includes("hunter2"));
    const { cooldown, failures, open } = statsOf("a");
    assertEquals([cooldown, failures, open, client.stats().opening, transport.endpoints.length], [0, 0, 0, 0, 0]);
    await client.close();
  }
});

test("bytes are counted for each proxy, for the sessions that are tracked, and told when a tunnel ends", async () => {
  const { client, events, statsOf } = setUp(
    list("a"),
    { trackSessions: 1 },
    socks5({ target: (conn, written) => conn.push(...written) }),
  );
  const through = async (session: string, count: number) => {
    const conn = await client.connect(TARGET, { session, reuse: true });
    await conn.write(new Uint8Array(count));
    for (let left = count; left > 0;) left -= (await conn.read(new Uint8Array(left)))!;
    conn.release();
  };
  await through("ann", 5);
  await through("bob", 7);
  assertEquals([statsOf("a").sent, statsOf("a").received], [12, 12]);
  assertEquals(client.stats({ sessions: true }).sessions, [{ session: "bob", sent: 7, received: 7 }]);
  await through("bob", 3);
  assertEquals(client.stats({ sessions: true }).sessions, [{ session: "bob", sent: 10, received: 10 }]);
  assertEquals(client.stats().sessions, undefined);
  await client.close();
  const closed = events.filter((event) => event.type === "closed").map((event) => [event.sent, event.received]);
  assertEquals(closed.sort(), [[3, 3], [5, 5]]);
});

test("labels name proxies, by default with a hash of the user name where two share an address", () => {
  const names = (proxies: readonly ProxySpec[]) => new Socks5Client(proxies).stats().proxies.map(({ proxy }) => proxy);
  const [one, two] = ["socks5://ann@h", "socks5://bob@h"];
  assertEquals(names([one, "socks5://x"]), ["h:1080", "x:1080"]);
  const [first, second] = names([one, two]);
  assert(/^h:1080#[0-9a-f]{8}$/.test(first!) && /^h:1080#[0-9a-f]{8}$/.test(second!) && first !== second);
  assertEquals(names([{ url: one, label: "de-1" }, two]), ["de-1", second!]);
  assertEquals(names([one, one]), ["h:1080", "h:1080"]);
});

test("an idle tunnel at a proxy whose places processes share gives way after a second: they cannot ask for it", () =>
  withClock(async (clock) => {
    const shared = createTestFleet();
    const proxies = [{ url: "socks5://a", maxOpen: 1 }];
    const [one, two] = [setUp(proxies, { shared, pool: { warm: 1 } }), setUp(proxies, { shared })];
    const kept = await clock.settle(one.client.connect(TARGET, { reuse: true }));
    kept.release();
    await clock.settle(one.client.connect(TARGET, { reuse: true })).then((conn) => conn.markIdle(() => {}));
    assertEquals([one.transport.conns.length, shared.open("a:1080")], [1, 1]);
    const begun = clock.now;
    (await clock.settle(two.client.connect(TARGET))).close();
    assertGreater(clock.now - begun, 900);
    assertLess(clock.now - begun, 1_500);
    assertEquals(one.transport.open, 0);
    await clock.settle(Promise.all([one.client.close(), two.client.close()]));
  }));

test("a warm connection whose place processes have come to share is not used for an attempt at another proxy", () =>
  withClock(async (clock) => {
    const shared = createTestFleet();
    const { client, transport } = setUp(list("a", "b"), { shared, pool: { warm: 1 } });
    (await clock.settle(client.connect(TARGET))).close();
    await clock.pass(1);
    assertEquals(client.stats().warm, 1);
    client.setProxies([{ url: "socks5://a", maxOpen: 1 }, "socks5://b"]);
    await shared.acquire({ proxy: "a:1080", id: "another process" }, 1, 60_000);
    const conn = await clock.settle(client.connect(TARGET));
    const last = transport.endpoints.at(-1)!;
    assertEquals([conn.proxy, "hostname" in last && last.hostname], ["b:1080", "b"]);
    conn.close();
    await clock.settle(client.close());
    assertEquals(transport.open, 0);
  }));

/** Whatever happens, at the end no place is taken. */
test("places at proxies are given back whatever ends an attempt", () =>
  withClock(async (clock: Clock) => {
    const { broken, client, transport } = setUp(
      ["a", "b", "c"].map((name) => ({ url: `socks5://${name}`, maxOpen: 2 })),
      { attemptDelay: 10, attemptTimeout: 50, retry: 1, timeout: 400 },
      socks5(),
    );
    let turn = 0;
    transport.onConnect = () => {
      turn++;
      if (turn % 3 === 0) return new Promise((resolve) => setTimeout(resolve, 15));
      if (turn % 5 === 0) return new Promise(() => {});
      return undefined;
    };
    broken.add("b");
    const controllers = Array.from({ length: 40 }, () => new AbortController());
    const results = controllers.map(({ signal }, i) =>
      client.connect(`${i}.test:80`, { signal, session: i % 4 === 0 ? `s${i}` : undefined })
        .then((conn) => conn.close(), () => {})
    );
    for (let i = 0; i < 40; i += 7) controllers[i]!.abort("enough");
    await clock.settle(Promise.all(results));
    assertEquals(client.stats().proxies.map(({ open, inUse }) => [open, inUse]), [[0, 0], [0, 0], [0, 0]]);
    assertEquals([client.stats().waiting, client.stats().opening], [0, 0]);
    await client.close();
  }));
