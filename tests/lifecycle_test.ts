import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { ProxyError, Socks5Client, type Socks5Conn, Socks5Error, type Socks5Event } from "../mod.ts";
import { withClock } from "./support/clock.ts";
import { FakeTransport, socks5 } from "./support/fake.ts";
import { test } from "./support/test.ts";

const TARGET = "example.test:80";

test("the signal that a transport is given is not aborted after it has connected", async () => {
  const transport = new FakeTransport(socks5());
  const connect = transport.connect.bind(transport);
  const signals: AbortSignal[] = [];
  transport.connect = (to, options) => (signals.push(options!.signal!), connect(to, options));
  const client = new Socks5Client("socks5h://proxy", { transport });
  const conn = await client.connect(TARGET);
  conn.close();
  await client.close();
  assertEquals(signals.map((signal) => signal.aborted), [false]);
});

test("an abort whose reason is a Socks5Error is still the caller's: nothing cools, nothing is told, nothing is added", () =>
  withClock(async (clock) => {
    const transport = new FakeTransport(() => {});
    const events: Socks5Event[] = [];
    const client = new Socks5Client("socks5h://proxy", { transport, onEvent: (event) => events.push(event) });
    const reason = new ProxyError("SOCKS5_PROXY_UNREACHABLE", "another connect", { phase: "dial" });
    const controller = new AbortController();
    const connecting = client.connect(TARGET, { signal: controller.signal }).catch((error: unknown) => error);
    const checking = client.check(TARGET, { signal: controller.signal }).catch((error: unknown) => error);
    await clock.tick(10);
    controller.abort(reason);
    assertStrictEquals(await clock.settle(connecting), reason);
    assertStrictEquals(await clock.settle(checking), reason);
    assertEquals([reason.errors, client.stats().proxies[0]!.failures], [[], 0]);
    assertEquals(events.map((event) => event.type), ["attempt"]);
    assertEquals(transport.open, 0);
  }));

test("a second hop that does not answer cools no proxy of the first", () =>
  withClock(async (clock) => {
    const transport = new FakeTransport((conn, written) => {
      if (written.length === 3) conn.push(5, 0); // and no reply to the request
    });
    const first = new Socks5Client("socks5h://first", { transport });
    const second = new Socks5Client("socks5h://second", { transport: first, retry: 0, attemptTimeout: 1_000 });
    const error = await clock.settle(second.connect(TARGET).then(() => null, (error: Socks5Error) => error));
    assertEquals([error?.code, error?.phase], ["SOCKS5_ATTEMPT_TIMEOUT", "dial"]);
    assertEquals([first.stats().proxies[0]!.failures, second.stats().proxies[0]!.failures], [0, 1]);
    assertEquals(transport.open, 0);
  }));

test("a connect that is aborted while it finds its released tunnel dead does not wait for a place", async () => {
  const transport = new FakeTransport(socks5());
  const controller = new AbortController();
  let holder: Promise<Socks5Conn> | undefined;
  const client: Socks5Client = new Socks5Client("socks5h://proxy", {
    transport,
    pool: { maxOpen: 1 },
    onEvent: (event) => {
      if (event.type !== "closed" || holder !== undefined) return;
      holder = client.connect(TARGET);
      controller.abort("enough");
    },
  });
  const first = await client.connect(TARGET, { reuse: true });
  transport.conns[0]!.push(1); // so that it is lost as soon as it is watched
  first.release();
  const aborted = await client.connect(TARGET, { reuse: true, signal: controller.signal }).catch((reason) => reason);
  assertEquals(aborted, "enough");
  (await holder!).close();
  assertEquals([client.stats().waiting, transport.open], [0, 0]);
});

test("close() ends checks that run, and later ones at once: their reports say so", () =>
  withClock(async (clock) => {
    const transport = new FakeTransport(() => {});
    const client = new Socks5Client("socks5h://proxy", { transport });
    const checking = client.check(TARGET);
    await clock.tick(10);
    assertEquals(transport.open, 1);
    await client.close();
    assertEquals(transport.open, 0);
    for (const reports of [await checking, await client.check()]) {
      assertEquals(reports.map(({ code, verdict }) => [code, verdict]), [["SOCKS5_CLIENT_CLOSED", "unproven"]]);
    }
    assertEquals(transport.conns.length, 1);
  }));

test("a timeout of 0 opens nothing", async () => {
  const transport = new FakeTransport(socks5());
  const client = new Socks5Client("socks5h://proxy", { transport });
  const error = await client.connect(TARGET, { timeout: 0 }).catch((error: unknown) => error);
  assert(error instanceof Socks5Error);
  assertEquals([error.code, transport.endpoints.length], ["SOCKS5_TIMEOUT", 0]);
});

test("after close() each connect gets an error of its own", async () => {
  const client = new Socks5Client("socks5h://proxy", { transport: new FakeTransport(socks5()) });
  await client.close();
  const [one, two] = await Promise.all([1, 2].map(() => client.connect(TARGET).catch((error: Error) => error)));
  assert(one instanceof Socks5Error && two instanceof Socks5Error && one !== two);
  assertEquals(one.code, "SOCKS5_CLIENT_CLOSED");
});

test("retry.when says yes with true alone: a promise is no answer", () =>
  withClock(async (clock) => {
    const transport = new FakeTransport((conn) => conn.end());
    const when = (() => Promise.resolve(false)) as unknown as () => boolean;
    const client = new Socks5Client("socks5h://proxy", { transport, retry: { when } });
    await clock.settle(client.connect(TARGET).catch(() => {}));
    assertEquals(transport.endpoints.length, 1);
  }));
