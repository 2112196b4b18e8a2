import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { once } from "node:events";
import { nodeTransport } from "../../adapters/node/mod.ts";
import {
  ClosedError,
  type ProxySpec,
  type RequestEvent,
  Socks5Client,
  type Socks5Error,
  type Socks5ErrorCode,
  type Socks5Event,
  type Socks5Options,
  TimeoutError,
} from "../../mod.ts";
import { bytes, readAll, readFull, text } from "../support/contract.ts";
import * as testing from "../../testing/mod.ts";
import type { TestFault, TestProxy, TestProxyOptions } from "../../testing/mod.ts";
import { assertEchoes, failure, withTarget } from "../support/stage.ts";
import * as targets from "../support/targets.ts";
import { test } from "../support/test.ts";
import { certificates } from "../support/certificates.ts";
import { startTls } from "../support/tls_targets.ts";
import { ofRequests } from "../support/request_events.ts";

const TARGET = "example.test:80";
const REFUSED = "127.0.0.1:1";
const REASON = new Error("the caller's own reason");

/** Runs `use` with a proxy for each of `options`, the nearest first, at which nothing may be open in the end. */
async function withHops(options: TestProxyOptions[], use: (...hops: TestProxy[]) => Promise<void>): Promise<void> {
  const hops = await Promise.all(options.map((it, i) => {
    return testing.createTestProxy({ credentials: { username: `user ${i}`, password: `pw:${i}` }, ...it });
  }));
  try {
    await use(...hops);
    for (const hop of hops) await hop.until(() => hop.open === 0);
  } finally {
    for (const hop of hops) await hop.close();
  }
}

/** A client for each hop, the nearest first: each is the transport of the next. */
function chain<S>(hops: readonly (ProxySpec | ProxySpec[])[], options: Socks5Options<S> = {}): Socks5Client<S>[] {
  const clients: Socks5Client<S>[] = [];
  for (const hop of hops) {
    const transport = clients.at(-1);
    clients.push(new Socks5Client(hop, { ...options, ...(transport && { transport }) }));
  }
  return clients;
}

const inUse = (clients: Socks5Client[]) => clients.map((client) => client.stats().inUse);
const name = ({ hostname, port }: TestProxy) => `${hostname}:${port}`;

for (const length of [2, 3]) {
  test(`a chain of ${length} proxies: each gets its own credentials and is asked for the next`, () =>
    withTarget(targets.startEcho(), (echo) =>
      withHops(new Array(length).fill({}), async (...hops) => {
        const clients = chain(hops.map(({ url }) => url), { auth: "required" });
        const conn = await clients.at(-1)!.connect(echo.address);
        assertEquals([conn.proxy, conn.target, conn.boundAddress.hostname], [
          name(hops.at(-1)!),
          echo.address,
          "127.0.0.1",
        ]);
        await assertEchoes(conn);
        assertEquals(inUse(clients), new Array(length).fill(1));
        assertEquals(
          hops.map(({ connections: [it] }) => [it!.credentials, `${it!.request!.hostname}:${it!.request!.port}`]),
          hops.map((
            _,
            i,
          ) => [{ username: `user ${i}`, password: `pw:${i}` }, hops[i + 1] ? name(hops[i + 1]!) : echo.address]),
        );
        conn.close();
        assertEquals(inUse(clients), new Array(length).fill(0));
      })));
}

test("a chain asks the earlier hop for the name of the next, and gives names and addresses on as they are", () =>
  withTarget(targets.startEcho(), async (echo) => {
    const rules = (target: string) => target === "second.test:1080" ? { port: second.port } : undefined;
    let second!: TestProxy;
    await withHops([{ rules }, { rules: { "xn--bcher-kva.test:80": echo } }], async (first, other) => {
      second = other;
      const credentials = { username: "user 1", password: "pw:1" };
      const clients = chain([first.url, { hostname: "SECOND.test", port: 1080, credentials }]);
      (await clients[1]!.connect("Bücher.test:80")).close();
      const requests = [first, second].map(({ connections: [it] }) => [it!.request!.atyp, it!.request!.hostname]);
      assertEquals(requests, [[3, "second.test"], [3, "xn--bcher-kva.test"]]);
    });
  }));

test("a chain carries much both ways at once, byte-wise answers, and a banner glued to the reply", () =>
  withTarget(targets.startExchange(1 << 20), async (exchange) => {
    const banner: TestFault = { fault: "glued", bytes: "220 " };
    await withHops(
      [{ faults: { fault: "slow" } }, { faults: { fault: "slow" } }, { faults: banner }],
      async (...hops) => {
        const conn = await chain(hops.map(({ url }) => url))[2]!.connect(exchange.address);
        const [got] = await Promise.all([readFull(conn, 4 + (1 << 20)), conn.write(targets.payload(1 << 20))]);
        assertEquals(text(got.subarray(0, 4)), "220 ");
        assert(got.subarray(4).every((byte, i) => byte === payload[i]));
        assertEquals(text(await readAll(conn, 100)), targets.digestOf(payload));
        conn.close();
      },
    );
  }));

const payload = targets.payload(1 << 20);

const innerFaults: [what: string, fault: TestFault, code: Socks5ErrorCode, attempts: number][] = [
  ["a refused password", { fault: "refuse-password", status: 1 }, "SOCKS5_AUTH_REFUSED", 1],
  ["no acceptable method", { fault: "method", method: 0xff }, "SOCKS5_AUTH_NO_METHOD", 1],
  ["an HTTP server", { fault: "http" }, "SOCKS5_PROXY_NOT_SOCKS5", 1],
  ["a method that was not offered", { fault: "method", method: 1 }, "SOCKS5_PROXY_BAD_METHOD", 1],
  [
    "a malformed reply",
    { fault: "answer", at: "request", bytes: Uint8Array.of(9, 9), then: "close" },
    "SOCKS5_PROXY_BAD_REPLY",
    1,
  ],
  ["a hang-up, after its own two retries", { fault: "close", at: "negotiate" }, "SOCKS5_PROXY_HUNG_UP", 3],
];

for (const [what, fault, code, attempts] of innerFaults) {
  test(`${what} of an inner hop passes unchanged, and the outer client does not try again`, () =>
    withHops([{ faults: () => fault }, {}, {}], async (first, second, third) => {
      const told: unknown[] = [];
      const onEvent = (event: Socks5Event) => event.type === "failed" && told.push(event.error);
      const inner = new Socks5Client(first.url, { retry: { retries: 2, minDelay: 1 }, onEvent });
      const events: RequestEvent[] = [];
      const outer = new Socks5Client([second.url, third.url], {
        transport: inner,
        retry: { retries: 5, minDelay: 1, when: () => true },
        onEvent: ofRequests((event) => events.push(event)),
      });
      const error = await failure(outer.connect(TARGET));
      assertStrictEquals(error, told.at(-1), "the same object");
      assertEquals([error.code, error.proxy, error.target], [code, name(first), name(second)]);
      assertEquals([first.connections.length, second.connections.length], [attempts, 0]);
      assertEquals(events.map((event) => [event.type, "next" in event ? event.next : ""]), [
        ["attempt", ""],
        ["failed", null],
      ]);
      assertEquals(outer.stats().proxies.map(({ failures, cooldown }) => failures + cooldown), [0, 0]);
    }));
}

test("a nearest hop that cannot be reached passes unchanged too", async () => {
  const outer = chain([`socks5h://${REFUSED}`, "socks5h://second.test", "socks5h://third.test"], { retry: 0 })[2]!;
  const error = await failure(outer.connect(TARGET));
  assertEquals([error.code, error.phase, error.proxy, error.target], [
    "SOCKS5_PROXY_UNREACHABLE",
    "dial",
    REFUSED,
    "second.test:1080",
  ]);
  assertEquals(error.errors, []);
});

const unreachable: [
  what: string,
  rule: testing.TestRule | undefined,
  fault: TestFault | undefined,
  code: Socks5ErrorCode,
][] = [
  ["is refused", undefined, undefined, "SOCKS5_TARGET_REFUSED"],
  ["is not allowed", { rep: 2 }, undefined, "SOCKS5_TARGET_NOT_ALLOWED"],
  ["is unreachable", { rep: 4 }, undefined, "SOCKS5_TARGET_HOST_UNREACHABLE"],
  ["gets no reply", undefined, { fault: "close", at: "request" }, "SOCKS5_TARGET_NO_REPLY"],
];

for (const [what, rule, fault, code] of unreachable) {
  test(`an outer proxy that ${what} through the inner hop is passed over for the next`, () =>
    withTarget(
      targets.startEcho(),
      (echo) =>
        withHops(
          [{ rules: (to) => to === REFUSED ? rule : undefined, faults: fault ? [fault] : [] }, {}],
          async (first, living) => {
            const failures: Socks5Error[] = [];
            const told: string[] = [];
            const outer = new Socks5Client([`socks5h://${REFUSED}`, living.url], {
              transport: new Socks5Client(first.url),
              onEvent: (event) => {
                if (event.type !== "failed") return;
                failures.push(event.error);
                told.push(`${event.proxy} ${event.next}`);
              },
            });
            for (let i = 0; i < 2; i++) {
              const conn = await outer.connect(echo.address);
              assertEquals(conn.proxy, name(living));
              await assertEchoes(conn);
              conn.close();
            }
            assertEquals(failures.map((error) => [error.code, error.proxy, error.target]), [[
              code,
              name(first),
              REFUSED,
            ]]);
            assertEquals(told, [`${REFUSED} failover`]);
            assertEquals(outer.stats().proxies.map(({ failures }) => failures), [1, 0]);
          },
        ),
    ));
}

test("when no outer proxy is reached through the inner hop, its error passes unchanged and is not tried again", () =>
  withHops([{}], async (first) => {
    const inner = new Socks5Client(first.url);
    const outer = new Socks5Client([`socks5h://${REFUSED}`, "socks5h://127.0.0.1:2"], { transport: inner, retry: 5 });
    const error = await failure(outer.connect(TARGET));
    assertEquals([error.code, error.proxy, error.target], ["SOCKS5_TARGET_REFUSED", name(first), "127.0.0.1:2"]);
    assertEquals(error.errors.map(({ code, target }) => [code, target]), [["SOCKS5_TARGET_REFUSED", REFUSED]]);
    assertEquals(first.connections.length, 2);
  }));

// the tunnel through the inner hop is to the outer proxy what a socket is: how it ends is the outer proxy's
const outerFaults: [what: string, fault: TestFault, code: Socks5ErrorCode, phase: string][] = [
  ["hangs up", { fault: "close", at: "negotiate" }, "SOCKS5_PROXY_HUNG_UP", "negotiate"],
  ["resets", { fault: "reset", at: "negotiate" }, "SOCKS5_PROXY_HUNG_UP", "negotiate"],
  ["resets on the password", { fault: "reset", at: "authenticate" }, "SOCKS5_PROXY_HUNG_UP", "authenticate"],
  ["refuses the password", { fault: "refuse-password", status: 1 }, "SOCKS5_AUTH_REFUSED", "authenticate"],
  ["is an HTTP server", { fault: "http" }, "SOCKS5_PROXY_NOT_SOCKS5", "negotiate"],
  ["refuses the target", { fault: "refuse", rep: 4 }, "SOCKS5_TARGET_HOST_UNREACHABLE", "request"],
  [
    "refuses the target and resets",
    { fault: "refuse", rep: 4, then: "reset" },
    "SOCKS5_TARGET_HOST_UNREACHABLE",
    "request",
  ],
  ["resets instead of a reply", { fault: "reset", at: "request" }, "SOCKS5_TARGET_NO_REPLY", "request"],
];

for (const [what, fault, code, phase] of outerFaults) {
  test(`an outer proxy that ${what} is at fault itself: ${code}, and the next one is tried`, () =>
    withTarget(targets.startEcho(), (echo) =>
      withHops([{}, { faults: () => fault }, {}], async (first, bad, good) => {
        const inner = new Socks5Client(first.url);
        const alone = new Socks5Client(bad.url, { transport: inner, retry: 0 });
        const error = await failure(alone.connect(echo.address));
        assertEquals([error.code, error.phase, error.proxy, error.target], [code, phase, name(bad), echo.address]);
        const both = new Socks5Client([bad.url, good.url], { transport: inner });
        const conn = await both.connect(echo.address);
        assertEquals(conn.proxy, name(good));
        await assertEchoes(conn);
        conn.close();
        assertEquals(inUse([inner, alone, both]), [0, 0, 0]);
      })));
}

const STEPS = ["accept", "negotiate", "authenticate", "request"] as const;

for (const hop of [0, 1, 2]) {
  test(`abort at each step of hop ${hop} rejects with the caller's reason and leaves nothing at any hop`, async () => {
    for (const at of STEPS) {
      const gate = testing.createGate();
      const faulty = (i: number): TestProxyOptions =>
        i === hop ? { faults: { fault: "wait", at, for: gate.pass } } : {};
      await withHops([faulty(0), faulty(1), faulty(2)], async (...hops) => {
        const clients = chain(hops.map(({ url }) => url));
        const controller = new AbortController();
        const connecting = clients[2]!.connect(TARGET, { signal: controller.signal });
        await gate.reached;
        controller.abort(REASON);
        assertStrictEquals(await connecting.then(() => null, (reason: unknown) => reason), REASON);
        for (const it of hops) await it.until(() => it.open === 0);
        for (const client of clients) assertEquals([client.stats().opening, client.stats().inUse], [0, 0]);
      });
    }
  });

  test(`close() of the outer client while hop ${hop} is silent leaves nothing at any hop`, async () => {
    for (const at of STEPS) {
      const gate = testing.createGate();
      const faulty = (i: number): TestProxyOptions =>
        i === hop ? { faults: { fault: "wait", at, for: gate.pass } } : {};
      await withHops([faulty(0), faulty(1), faulty(2)], async (...hops) => {
        const clients = chain(hops.map(({ url }) => url));
        const connecting = failure(clients[2]!.connect(TARGET));
        await gate.reached;
        await clients[2]!.close();
        assertEquals((await connecting).code, "SOCKS5_CLIENT_CLOSED");
        for (const it of hops) await it.until(() => it.open === 0);
        for (const client of clients) assertEquals([client.stats().opening, client.stats().inUse], [0, 0]);
      });
    }
  });

  test(`the timeout of the outer client counts for hop ${hop} too`, async () => {
    await Promise.all(STEPS.map(async (at) => {
      const faulty = (i: number): TestProxyOptions => i === hop ? { faults: { fault: "silence", at } } : {};
      await withHops([faulty(0), faulty(1), faulty(2)], async (...hops) => {
        const clients = chain(hops.map(({ url }) => url));
        const error = await failure(clients[2]!.connect(TARGET, { timeout: 1_000 }));
        assertInstanceOf(error, TimeoutError);
        assertEquals([error.code, error.proxy, error.target], ["SOCKS5_TIMEOUT", name(hops[2]!), TARGET]);
        for (const client of clients) assertEquals([client.stats().opening, client.stats().inUse], [0, 0]);
      });
    }));
  });
}

test("an inner hop's own attemptTimeout passes unchanged, the outer client's goes on to its next proxy", () =>
  withTarget(
    targets.startEcho(),
    (echo) =>
      withHops([{}, { faults: { fault: "silence", at: "negotiate" } }, {}], async (first, silent, third) => {
        const impatient = new Socks5Client(silent.url, { attemptTimeout: 300, retry: 0 });
        const error = await failure(new Socks5Client(first.url, { transport: impatient }).connect(echo.address));
        assertEquals([error.code, error.proxy, error.target], ["SOCKS5_ATTEMPT_TIMEOUT", name(silent), name(first)]);
        const outer = new Socks5Client([silent.url, third.url], {
          transport: new Socks5Client(first.url),
          attemptTimeout: 500,
        });
        const conn = await outer.connect(echo.address);
        assertEquals(conn.proxy, name(third));
        conn.close();
      }),
  ));

test("close() of the inner client ends what goes through it: connects, tunnels in use and idle ones", () =>
  withTarget(targets.startEcho(), async (echo) => {
    const gate = testing.createGate();
    await withHops(
      [{}, { faults: ({ index }) => index === 2 ? { fault: "wait", at: "request", for: gate.pass } : undefined }],
      async (first, second) => {
        const gone = Promise.withResolvers<string>();
        const inner = new Socks5Client(first.url);
        const outer = new Socks5Client(second.url, {
          transport: inner,
          retry: 0,
          onEvent: (event) => event.type === "closed" && gone.resolve(event.reason),
        });
        const held = await outer.connect(echo.address);
        (await outer.connect(echo.address, { reuse: true })).release();
        const connecting = failure(outer.connect(echo.address));
        await gate.reached;
        const reading = failure(held.read(new Uint8Array(1)));
        assertEquals([inUse([inner, outer]), inner.stats().idle], [[2, 1], 1]);
        await inner.close();
        const broken = await reading;
        assertEquals([broken.code, (broken.cause as Socks5Error).code], ["SOCKS5_CONN_RESET", "SOCKS5_CLIENT_CLOSED"]);
        assertEquals((await connecting).code, "SOCKS5_CLIENT_CLOSED");
        assertEquals(await gone.promise, "peer");
        const late = await failure(outer.connect(echo.address));
        assertInstanceOf(late, ClosedError);
        assertEquals([late.code, inUse([inner, outer]), outer.stats().idle], ["SOCKS5_CLIENT_CLOSED", [0, 0], 0]);
      },
    );
  }));

test("close() of the outer client ends its tunnels at every hop, and leaves the inner client in service", () =>
  withTarget(targets.startEcho(), (echo) =>
    withHops([{}, {}], async (first, second) => {
      const [inner, outer] = chain([first.url, second.url]);
      const held = await outer!.connect(echo.address);
      (await outer!.connect(echo.address, { reuse: true })).release();
      await outer!.close();
      assertEquals((await failure(held.write(bytes("x")))).code, "SOCKS5_CLIENT_CLOSED");
      for (const hop of [first, second]) await hop.until(() => hop.open === 0);
      const conn = await inner!.connect(echo.address);
      await assertEchoes(conn);
      conn.close();
    })));

test("a tunnel through a chain is released and used again, and gone once any hop is", () =>
  withTarget(targets.startEcho(), (echo) =>
    withHops([{}, {}], async (first, second) => {
      for (const stopped of [first, second]) {
        const gone = Promise.withResolvers<string>();
        const inner = new Socks5Client(first.url);
        const outer = new Socks5Client(second.url, {
          transport: inner,
          onEvent: (event) => event.type === "closed" && gone.resolve(event.reason),
        });
        const before = first.connections.length;
        for (let round = 0; round < 3; round++) {
          const conn = await outer.connect(echo.address, { reuse: true });
          assertEquals(conn.reused, round > 0);
          await assertEchoes(conn, `round ${round}`);
          conn.release();
        }
        const idle = [inner, outer].map((client) => client.stats().idle);
        assertEquals([first.connections.length - before, idle, inUse([inner, outer])], [1, [1, 1], [0, 0]]);
        await stopped.stop();
        assertEquals([await gone.promise, outer.stats().idle, inUse([inner, outer])], ["peer", 0, [0, 0]]);
        await stopped.start();
      }
    })));

test("connects of the outer client wait for the places of the inner one", () =>
  withTarget(targets.startEcho(), (echo) =>
    withHops([{}, {}], async (first, second) => {
      const inner = new Socks5Client(first.url, { pool: { maxOpen: 2 } });
      const outer = new Socks5Client(second.url, { transport: inner });
      const uses = Array.from({ length: 20 }, async (_, i) => {
        const conn = await outer.connect(echo.address);
        await assertEchoes(conn, `this is ${i}`);
        conn.close();
      });
      await first.until(() => first.connections.length > 0);
      assertEquals([inner.stats().opening, inner.stats().waiting, outer.stats().opening], [2, 18, 20]);
      await Promise.all(uses);
      assertEquals([inner.stats().connects, outer.stats().connects, inUse([inner, outer])], [20, 20, [0, 0]]);
    })));

test("detach() through a chain hands over the runtime's own socket, which no client counts or closes", () =>
  withTarget(targets.startEcho(), (echo) =>
    withHops([{}, {}, {}], async (...hops) => {
      const clients = chain(hops.map(({ url }) => url), { transport: nodeTransport });
      const { socket, head } = (await clients[2]!.connect(echo.address)).detach();
      assertEquals([head.length, inUse(clients)], [0, [0, 0, 0]]);
      for (const client of clients) await client.close();
      socket.write("ping");
      assertEquals(String((await once(socket, "data"))[0]), "ping");
      socket.destroy();
    })));

test("closeWrite() and the target's end go through a chain", () =>
  withTarget(targets.startDigest(), (digest) =>
    withHops([{}, {}, {}], async (...hops) => {
      const clients = chain(hops.map(({ url }) => url));
      const conn = await clients[2]!.connect(digest.address);
      await conn.write(payload);
      await conn.closeWrite();
      assertEquals(text(await readAll(conn, 1000)), targets.digestOf(payload));
      assertEquals(inUse(clients), [0, 0, 0], "ended both ways at every hop");
    })));

test("a reset of the target, or of a hop, is a reset of the tunnel and not an end", () =>
  withTarget(targets.startReset(4), async (rude) => {
    await withHops([{}, {}], async (first, second) => {
      const clients = chain([first.url, second.url]);
      const conn = await clients[1]!.connect(rude.address);
      await conn.write(bytes("ping"));
      const error = await failure(conn.read(new Uint8Array(1)));
      assertEquals([error.code, error.proxy], ["SOCKS5_CONN_RESET", name(second)]);
      assertEquals(inUse(clients), [0, 0]);
    });
  }));

test("check() of the outer client goes through the inner one", () =>
  withTarget(targets.startBanner("220 hello"), (banner) =>
    withHops([{}, {}], async (first, second) => {
      const [inner, outer] = chain([first.url, second.url], { retry: 0 });
      const [good] = await outer!.check(banner.address);
      assertEquals([good!.verdict, good!.proxy], ["ok", name(second)]);
      assertEquals([first.connections.length, second.connections.length, inUse([inner!])], [1, 1, [0]]);
      await second.stop();
      const [down] = await outer!.check(banner.address);
      assertEquals([down!.verdict, down!.steps.map(({ status }) => status).join(" ")], [
        "proxy-down",
        "failed skipped skipped skipped skipped",
      ]);
      assertMatch(down!.steps[0]!.message, /SOCKS5_TARGET_REFUSED|connection refused by the target/);
    })));

test("a proxy on a unix socket can only be the nearest hop", () =>
  withHops([{}], async (first) => {
    const outer = new Socks5Client({ path: "/run/proxy.sock" }, { transport: new Socks5Client(first.url) });
    await assertRejects(() => outer.connect(TARGET), TypeError, "SOCKS5 cannot address a unix socket");
    assertEquals([first.connections.length, outer.stats().opening], [0, 0]);
  }));

for (const tls of [false, true]) {
  test(`what rests in the pool of a client, ${tls ? "with" : "without"} TLS, makes room in that of its transport`, () =>
    withTarget(
      tls ? startTls() : targets.startEcho(),
      (echo) =>
        withHops([{}, {}, {}], async (first, second, third) => {
          const inner = new Socks5Client(first.url, { pool: { maxOpen: 1 } });
          const outer = [second, third].map(({ url }) => new Socks5Client(url, { transport: inner, retry: 0 }));
          const options = {
            reuse: true,
            timeout: 5_000,
            ...(tls && { tls: { serverName: "localhost", caCerts: [certificates().authority.cert] } }),
          };
          for (const client of [...outer, ...outer]) {
            const conn = await client.connect(echo.address, options);
            await assertEchoes(conn, "hello");
            assertEquals(inner.stats().inUse, 1);
            conn.release();
          }
          assertEquals(outer.map((client) => client.stats().idle), [0, 1]);
          assertEquals([inner.stats().inUse, inner.stats().idle], [0, 1]);
          const again = await outer[1]!.connect(echo.address, options);
          assertEquals([again.reused, inner.stats().inUse, inner.stats().idle], [true, 1, 0]);
          again.markIdle(() => {});
          assertEquals([inner.stats().inUse, inner.stats().idle], [0, 1]);
          assertEquals((await outer[0]!.connect(echo.address, options)).reused, false);
          assertEquals([again.markInUse(), outer[1]!.stats().idle], [false, 0]);
          await inner.close();
        }),
    ));
}
