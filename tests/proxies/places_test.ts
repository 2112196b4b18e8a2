import { assert, assertEquals, assertGreater } from "@std/assert";
import { Socks5Client, type Socks5Event, type Socks5Options } from "../../mod.ts";
import type { ProxySpec } from "../../src/config/proxy_url.ts";
import "../../src/proxies/shared_fleet.ts"; // loaded by the first client that shares: not in fake time
import { createTestFleet } from "../../testing/fleet.ts";
import { withClock } from "../support/clock.ts";
import { FakeTransport, socks5 } from "../support/fake.ts";
import { test } from "../support/test.ts";

const TARGET = "shop.example:80";

test("who waits for a place is served by a warm connection that has come", () =>
  withClock(async (clock) => {
    const { client, transport } = clientOf([{ hostname: "a", port: 1080, maxOpen: 1 }], { pool: { warm: 1 } });
    transport.onConnect = (attempt) => attempt === 2 ? new Promise((resolve) => setTimeout(resolve, 100)) : undefined;
    const first = await clock.settle(client.connect(TARGET));
    first.close();
    while (transport.endpoints.length < 2) await clock.pass(10); // the warmer takes the place
    const second = await clock.settle(client.connect(TARGET));
    assert(clock.now < 1_000, `it waited for ${clock.now} ms`);
    second.close();
    await clock.settle(client.close());
  }));

test("who waits in the pool may be given a tunnel of a proxy that stands elsewhere in another list", () =>
  withClock(async (clock) => {
    const { client } = clientOf(["socks5h://a"], { pool: { maxOpen: 1 } });
    const first = await clock.settle(client.connect(TARGET, { reuse: true }));
    const waiting = client.connect(TARGET, { reuse: true });
    await clock.tick(0);
    client.setProxies(["b", "c", "d", "a"].map((name) => `socks5h://${name}`));
    first.release();
    const second = await clock.settle(waiting);
    assertEquals([second.reused, second.proxy], [true, "a:1080"]);
    second.close();
    await clock.settle(client.close());
  }));

test("who waits for a proxy that is suspended, since no other one is left, is served", () =>
  withClock(async (clock) => {
    const { client } = clientOf([{ hostname: "a", port: 1080, maxOpen: 1 }]);
    const first = await clock.settle(client.connect(TARGET));
    client.suspend("a:1080", { for: 3_600_000 });
    const waiting = client.connect(TARGET);
    await clock.tick(0);
    first.close();
    (await clock.settle(waiting)).close();
    assert(clock.now < 1_000, `it waited for ${clock.now} ms`);
    await clock.settle(client.close());
  }));

const suspensions = {
  "a proxy whose suspension is over": {},
  "one that is suspended for its host name no longer": { hostname: "shop.example" },
};

for (const [what, suspension] of Object.entries(suspensions)) {
  test(`who waits for a place is served by ${what}`, () =>
    withClock(async (clock) => {
      const { client } = clientOf([{ hostname: "a", port: 1080, maxOpen: 1 }, "socks5h://b"]);
      client.suspend("b:1080", { for: 500, ...suspension });
      const first = await clock.settle(client.connect(TARGET));
      const second = await clock.settle(client.connect(TARGET));
      assertEquals([second.proxy, Math.round(clock.now / 100)], ["b:1080", 5]);
      first.close();
      second.close();
      await clock.settle(client.close());
    }));
}

test("a proxy that is suspended for a name and another for a name below it are both passed over", () =>
  withClock(async (clock) => {
    const { client } = clientOf(["a", "b", "c"].map((name) => `socks5h://${name}`));
    client.suspend("a:1080", { for: 1_000, hostname: "cdn.shop.example" });
    client.suspend("b:1080", { for: 1_000, hostname: "shop.example" });
    const proxyFor = async (target: string) => {
      const conn = await clock.settle(client.connect(target));
      conn.close();
      return conn.proxy;
    };
    assertEquals(await proxyFor("img.cdn.shop.example:80"), "c:1080");
    assertEquals(await proxyFor("www.shop.example:80"), "a:1080");
    assertEquals(await proxyFor("other.example:80"), "a:1080");
    client.resume("b:1080");
    assertEquals(await proxyFor("img.cdn.shop.example:80"), "b:1080");
    client.suspend("b:1080", { for: 500, hostname: "shop.example" });
    assertEquals(await proxyFor("img.cdn.shop.example:80"), "c:1080");
    await clock.pass(600);
    assertEquals(await proxyFor("img.cdn.shop.example:80"), "b:1080");
    await clock.settle(client.close());
  }));

test("a name with a dot at its end is suspended as one without", () =>
  withClock(async (clock) => {
    const { client } = clientOf(["socks5h://a", "socks5h://b"]);
    client.suspend("a:1080", { for: 1_000, hostname: "shop.example" });
    const conn = await clock.settle(client.connect("www.shop.example.:80"));
    assertEquals(conn.proxy, "b:1080");
    conn.close();
    await clock.settle(client.close());
  }));

test("a tunnel that was in use while its proxy was suspended is not used again", () =>
  withClock(async (clock) => {
    const { client } = clientOf(["socks5h://a", "socks5h://b"]);
    const first = await clock.settle(client.connect(TARGET, { reuse: true }));
    client.suspend("a:1080", { for: 1_000 });
    first.release();
    const second = await clock.settle(client.connect(TARGET, { reuse: true }));
    assertEquals([second.proxy, second.reused], ["b:1080", false]);
    second.close();
    assertEquals(client.stats().idle, 0);
    await clock.settle(client.close());
  }));

test("a tunnel that was in use while its proxy left the list is closed when it is released", () =>
  withClock(async (clock) => {
    const { client, transport } = clientOf(["socks5h://a", "socks5h://b"]);
    const first = await clock.settle(client.connect(TARGET, { reuse: true }));
    client.setProxies(["socks5h://b"]);
    first.release();
    assertEquals([client.stats().idle, transport.open], [0, 0]);
    await clock.settle(client.close());
  }));

test("a proxy that leaves the list and comes back has the connections that it had", () =>
  withClock(async (clock) => {
    const list = [{ hostname: "a", port: 1080, maxOpen: 1 }, "socks5h://b"];
    const { client } = clientOf(list);
    const first = await clock.settle(client.connect(TARGET));
    client.setProxies(["socks5h://b"], { drain: 1_000 });
    client.setProxies(list);
    const second = await clock.settle(client.connect(TARGET));
    assertEquals([first.proxy, second.proxy], ["a:1080", "b:1080"]);
    assertEquals(client.stats().proxies.map(({ open }) => open), [1, 1]);
    await clock.pass(2_000); // the time to drain is void
    assertEquals(client.stats().proxies.map(({ open }) => open), [1, 1]);
    first.close();
    second.close();
    await clock.settle(client.close());
  }));

test("a proxy that was in the list twice and is there once is one proxy", () =>
  withClock(async (clock) => {
    const a = { hostname: "a", port: 1080, maxOpen: 1 };
    const { client } = clientOf([a, a, "socks5h://b"], { balance: "round-robin" });
    const conns = [];
    for (let i = 0; i < 3; i++) conns.push(await clock.settle(client.connect(TARGET)));
    client.setProxies([a, "socks5h://b"]);
    client.suspend("a:1080", { for: 1_000 });
    for (const conn of conns.reverse()) conn.close();
    for (let i = 0; i < 2; i++) {
      const conn = await clock.settle(client.connect(TARGET));
      assertEquals(conn.proxy, "b:1080");
      conn.close();
    }
    await clock.settle(client.close());
  }));

test("attempts that fail together count as one failure of their proxy", () =>
  withClock(async (clock) => {
    const { client, transport } = clientOf(["socks5h://a", "socks5h://b"], { cooldown: 1_000 });
    transport.onConnect = async (attempt) => {
      if (attempt > 16) return;
      await new Promise((resolve) => setTimeout(resolve, attempt));
      throw new Error("refused");
    };
    const connects = Array.from({ length: 16 }, () => client.connect(TARGET));
    for (const conn of await clock.settle(Promise.all(connects))) conn.close();
    const [proxy] = client.stats().proxies;
    assertEquals(proxy!.failures, 16);
    assert(proxy!.cooldown <= 1_000, `it is passed over for ${proxy!.cooldown} ms`);
    await clock.settle(client.close());
  }));

test("a check in the background takes no place that is beyond the limit", () =>
  withClock(async (clock) => {
    const { client, transport } = clientOf([{ hostname: "a", port: 1080, maxOpen: 1 }], {
      probe: { interval: 100 },
      cooldown: 1_000,
      retry: 0,
    });
    let isDead = true;
    transport.onConnect = () => {
      if (isDead) throw new Error("refused");
    };
    await clock.settle(client.connect(TARGET).catch(() => {}));
    isDead = false;
    const conn = await clock.settle(client.connect(TARGET, { timeout: 90 })); // no other one is left
    client.suspend("a:1080", { for: 1 });
    const dials = transport.endpoints.length;
    isDead = true;
    await clock.settle(client.connect(TARGET, { timeout: 50 }).catch(() => {}));
    await clock.pass(1_000);
    assertEquals(transport.endpoints.length, dials);
    conn.close();
    await clock.settle(client.close());
  }));

test("a check in the background takes no place that other processes have", () =>
  withClock(async (clock) => {
    const store = createTestFleet();
    const { client, transport } = clientOf([{ hostname: "a", port: 1080, maxOpen: 1 }], {
      shared: store,
      probe: { interval: 100 },
      retry: 0,
    });
    transport.onConnect = () => {
      throw new Error("refused");
    };
    await clock.settle(client.connect(TARGET).catch(() => {}));
    await clock.pass(50); // its place is given back
    const other = { proxy: "a:1080", id: "of another process" };
    assertEquals(await store.acquire(other, 1, 60_000), true);
    const dials = transport.endpoints.length;
    await clock.pass(5_000);
    assertEquals(transport.endpoints.length, dials);
    await store.release([other]);
    await clock.pass(2_000);
    assertGreater(transport.endpoints.length, dials);
    await clock.settle(client.close());
  }));

test("a connect that is given up while it tries a suspended proxy does not keep that out of service", () =>
  withClock(async (clock) => {
    const { client, transport } = clientOf(["socks5h://a", "socks5h://b"], { probe: { interval: 100 } });
    client.suspend("a:1080", { for: 100 });
    client.suspend("b:1080", { for: 1_000 });
    transport.onConnect = () => new Promise((resolve) => setTimeout(resolve, 50));
    await clock.settle(client.connect(TARGET, { signal: AbortSignal.abort() }).catch(() => {}));
    const given = new AbortController();
    const connect = client.connect(TARGET, { signal: given.signal }).catch(() => {});
    await clock.pass(10);
    given.abort();
    await clock.settle(connect);
    await clock.pass(60_000);
    const conn = await clock.settle(client.connect(TARGET));
    assertEquals(conn.proxy, "a:1080");
    conn.close();
    await clock.settle(client.close());
  }));

test("host names for which nothing is suspended any more are forgotten", () =>
  withClock(async (clock) => {
    const events: Socks5Event[] = [];
    const { client } = clientOf(["socks5h://a", "socks5h://b"], { onEvent: (event) => void events.push(event) });
    (await clock.settle(client.connect(TARGET))).close();
    for (let i = 0; i < 1_000; i++) {
      client.suspend("a:1080", { for: 10, hostname: `shop-${i}.example` });
      if (i % 100 === 99) await clock.tick(20);
    }
    const resumed = events.filter(({ type }) => type === "resumed").length;
    assert(resumed > 500, `${resumed} of 1000 were forgotten`);
    await clock.settle(client.close());
  }));

function clientOf(
  proxies: readonly ProxySpec[],
  options: Socks5Options = {},
): { client: Socks5Client; transport: FakeTransport } {
  const transport = new FakeTransport(socks5());
  return { client: new Socks5Client(proxies, { transport, ...options }), transport };
}
