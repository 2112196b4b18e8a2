import { assert, assertEquals, assertInstanceOf, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { isIP } from "node:net";
import {
  type CheckReport,
  ClosedError,
  type RequestEvent,
  Socks5Client,
  type Socks5ErrorCode,
  type Socks5Options,
  TargetError,
  type Transport,
} from "../../mod.ts";
import { type Clock, withClock } from "../support/clock.ts";
import { bytes, text } from "../support/contract.ts";
import { type FakeConn, FakeTransport } from "../support/fake.ts";
import { fakeProxies, stream } from "../support/fake_stream.ts";
import { failure } from "../support/stage.ts";
import { test } from "../support/test.ts";
import { ofRequests } from "../support/request_events.ts";

const TARGET = "example.test:80";
const [ONE, TWO, THREE] = ["192.0.2.1", "192.0.2.2", "2001:db8::3"] as const;

/** What a proxy answers to a request: a REP, or what it does instead. */
type Answer = number | "end" | "reset" | "silence";

/** A proxy that answers by the address, and notes what it was asked for. */
function proxy(answers: Record<string, Answer>, asked: string[] = []) {
  return stream({
    answer(message, conn, sent) {
      if (message !== "request") return false;
      const host = hostOf(sent);
      asked.push(host);
      const answer = answers[host] ?? 0;
      if (answer === 0) return false;
      if (answer === "end") conn.end();
      else if (answer === "reset") conn.reset();
      else if (answer !== "silence") conn.push(5, answer, 0, 1, 0, 0, 0, 0, 0, 0);
      return true;
    },
  });
}

function hostOf(request: readonly number[]): string {
  const [atyp, ...rest] = request.slice(3, -2);
  if (atyp === 1) return rest.join(".");
  if (atyp === 3) return `the name ${text(Uint8Array.from(rest.slice(1)))}`;
  const words = Array.from({ length: 8 }, (_, i) => (rest[2 * i]! << 8 | rest[2 * i + 1]!).toString(16));
  return new URL(`http://[${words.join(":")}]`).hostname.slice(1, -1);
}

interface Stage {
  client: Socks5Client<FakeConn>;
  transport: FakeTransport;
  asked: string[];
  events: RequestEvent[];
  clock: Clock;
}

/** Runs `use` with a client whose names come to `addresses`; nothing may be open in the end. */
function withLocal(
  answers: Record<string, Answer>,
  addresses: unknown,
  options: Socks5Options<FakeConn>,
  use: (stage: Stage) => Promise<void>,
): Promise<void> {
  return withClock(async (clock) => {
    const asked: string[] = [];
    const events: RequestEvent[] = [];
    const transport = new FakeTransport(proxy(answers, asked));
    transport.addresses = addresses as string[];
    const onEvent = ofRequests((event) => void events.push(event));
    const client = new Socks5Client("socks5h://a", { transport, dns: "local", onEvent, ...options });
    await use({ client, transport, asked, events, clock });
    assertEquals([client.stats().opening, client.stats().inUse], [0, 0]);
    await clock.settle(client.close());
    assertEquals(transport.open, 0, "a connection is left");
    assert(!clock.next(), "a timer is left");
  });
}

const after: [answer: Answer, code: Socks5ErrorCode, another: boolean][] = [
  [0x01, "SOCKS5_TARGET_FAILED", true],
  [0x02, "SOCKS5_TARGET_NOT_ALLOWED", false],
  [0x03, "SOCKS5_TARGET_NET_UNREACHABLE", true],
  [0x04, "SOCKS5_TARGET_HOST_UNREACHABLE", true],
  [0x05, "SOCKS5_TARGET_REFUSED", true],
  [0x06, "SOCKS5_TARGET_TTL_EXPIRED", true],
  [0x07, "SOCKS5_TARGET_BAD_COMMAND", false],
  [0x08, "SOCKS5_TARGET_BAD_ADDRESS_TYPE", true],
  [0x09, "SOCKS5_TARGET_UNKNOWN_REPLY", false],
  ["end", "SOCKS5_TARGET_NO_REPLY", true],
  ["reset", "SOCKS5_TARGET_NO_REPLY", true],
  ["silence", "SOCKS5_ATTEMPT_TIMEOUT", true],
];

for (const handshake of ["sequential", "pipelined"] as const) {
  for (const [answer, code, another] of after) {
    const what = `${handshake}: after ${typeof answer === "number" ? `REP 0${answer}` : answer} of one address`;
    test(`${what} ${another ? "the next one is tried" : "no other is tried"}`, () => {
      const options = { handshake, attemptTimeout: 1_000, retry: 0 };
      return withLocal({ [ONE]: answer }, [ONE, TWO], options, async ({ client, transport, asked, events, clock }) => {
        if (!another) {
          const error = await clock.settle(failure(client.connect(TARGET)));
          assertEquals([error.code, asked, error.errors], [code, [ONE], []]);
          return;
        }
        const conn = await clock.settle(client.connect(TARGET));
        assertEquals([conn.target, asked.at(-1)], [TARGET, TWO]);
        assertEquals(new Set(asked), new Set([ONE, TWO]));
        assertEquals([transport.open, transport.lookups], [1, ["example.test"]]);
        assertEquals(events.map((it) => it.type), ["attempt", "failed", "attempt", "connected"]);
        const [, failed] = events;
        assert(failed?.type === "failed");
        assertEquals([failed.next, failed.delay, failed.error.code, failed.target], ["address", 0, code, TARGET]);
        assertEquals([client.stats().retries, client.stats().proxies[0]!.cooldown], [1, 0]);
        conn.close();
      });
    });
  }
}

test("addresses are tried in the order of the lookup, once each, and at most twenty of them", async () => {
  const refuse = (addresses: string[]) => Object.fromEntries(addresses.map((it) => [it, 5 as const]));
  const many = Array.from({ length: 5_000 }, (_, i) => `198.51.${i >> 8}.${i & 255}`);
  const cases: [given: string[], tried: string[]][] = [
    [[THREE, ONE, TWO], [THREE, ONE, TWO]],
    [[ONE, ONE, THREE, "2001:DB8:0::3", `::ffff:${ONE}`, TWO], [ONE, THREE, TWO]],
    [many, many.slice(0, 20)],
  ];
  for (const [given, tried] of cases) {
    await withLocal(refuse(tried), given, {}, async ({ client, asked, clock }) => {
      const error = await clock.settle(failure(client.connect(TARGET)));
      assertInstanceOf(error, TargetError);
      assertEquals([error.code, error.rep, error.target], ["SOCKS5_TARGET_REFUSED", 5, TARGET]);
      assertEquals([asked, error.errors.length], [tried, tried.length - 1]);
    });
  }
});

test("only when all addresses failed follows what the last failure asks for: the next proxy, from the first one on", () =>
  withClock(async (clock) => {
    const asked: Record<string, string[]> = { a: [], b: [] };
    const { transport, scripts } = fakeProxies({
      a: proxy({ [ONE]: 5, [TWO]: 4 }, asked.a),
      b: proxy({ [ONE]: 5 }, asked.b),
    });
    transport.addresses = [ONE, TWO];
    const proxies = ["socks5://a", "socks5://b"];
    const client = new Socks5Client(proxies, { transport, dns: "local", cooldown: 0 });
    const conn = await clock.settle(client.connect(TARGET));
    assertEquals([conn.proxy, asked.a, asked.b], ["b:1080", [ONE, TWO], [ONE, TWO]]);
    conn.close();
    // a refusal of the last address is the answer of the target
    scripts.a = proxy({ [ONE]: 4, [TWO]: 5 });
    const error = await clock.settle(failure(client.connect(TARGET)));
    assertEquals([error.code, error.proxy], ["SOCKS5_TARGET_REFUSED", "a:1080"]);
    assertEquals(error.errors.map((it) => it.code), ["SOCKS5_TARGET_HOST_UNREACHABLE"]);
    // a failure of the proxy between two addresses: the other one begins with the first
    let greetings = 0;
    const bad = proxy({ [ONE]: 5 });
    scripts.a = (conn, written) =>
      written[0] === 5 && written.length === 3 && ++greetings === 2 ? conn.end() : bad(conn, written);
    asked.b!.length = 0;
    const third = await clock.settle(client.connect(TARGET));
    assertEquals([third.proxy, asked.b], ["b:1080", [ONE, TWO]]);
    third.close();
    assertEquals(transport.lookups, ["example.test", "example.test", "example.test"]);
    await client.close();
  }));

test("the next address is asked of the same proxy, also where another one is preferred by then", () =>
  withClock(async (clock) => {
    const asked: string[] = [];
    const { transport, scripts } = fakeProxies({ a: new Error("down"), b: proxy({ [ONE]: "silence" }, asked) });
    transport.addresses = [TWO];
    const options = { transport, dns: "local", cooldown: 500, attemptTimeout: 1_000 } as const;
    const client = new Socks5Client(["socks5://a", "socks5://b"], options);
    (await clock.settle(client.connect(TARGET))).close();
    [scripts.a, transport.addresses] = [stream(), [ONE, TWO]];
    const conn = await clock.settle(client.connect(TARGET));
    assertEquals([conn.proxy, asked], ["b:1080", [TWO, ONE, TWO]]);
    conn.close();
    await client.close();
  }));

test("a silent address leaves time for the others, and the last one all that is left", () =>
  withLocal(
    { [ONE]: "silence", [TWO]: "silence" },
    [ONE, TWO],
    { attemptTimeout: 1_000, timeout: 5_000 },
    async (it) => {
      const error = await it.clock.settle(failure(it.client.connect(TARGET)));
      assertEquals([error.code, error.phase, it.clock.now, it.asked], ["SOCKS5_TIMEOUT", "request", 5_000, [ONE, TWO]]);
      assertEquals(error.errors.map(({ code }) => code), ["SOCKS5_ATTEMPT_TIMEOUT"]);
    },
  ));

test("the timeout bounds all addresses together", () => {
  const addresses = Array.from({ length: 20 }, (_, i) => `192.0.2.${i + 1}`);
  const silent = Object.fromEntries(addresses.map((it) => [it, "silence" as const]));
  return withLocal(silent, addresses, { attemptTimeout: 1_000, timeout: 2_500 }, async ({ client, asked, clock }) => {
    const error = await clock.settle(failure(client.connect(TARGET)));
    assertEquals([error.code, clock.now, asked.length], ["SOCKS5_TIMEOUT", 2_500, 3]);
  });
});

test("in a further round all addresses are tried again, without another lookup", () =>
  withLocal({ [ONE]: 4, [TWO]: 4 }, [ONE, TWO], { retry: { retries: 1, when: () => true } }, async (it) => {
    const error = await it.clock.settle(failure(it.client.connect(TARGET)));
    assertEquals([error.errors.length, it.asked], [3, [ONE, TWO, ONE, TWO]]);
    assertEquals(it.transport.lookups, ["example.test"]);
  }));

for (
  const [what, answer, cause] of [
    ["fails", Object.assign(new Error("no such name"), { code: "ENOTFOUND" }), "ENOTFOUND"],
    ["fails with a TypeError of the resolver", new TypeError("odd name"), "odd name"],
    ["gives nothing", [], "no address"],
  ] as const
) {
  test(`a lookup that ${what} is SOCKS5_TARGET_NOT_FOUND, and no proxy is dialled`, () =>
    withLocal({}, answer, {}, async ({ client, transport, events, clock }) => {
      if (answer instanceof Error) {
        transport.onPoint = () => {
          throw answer;
        };
      }
      const error = await clock.settle(failure(client.connect(TARGET)));
      assertInstanceOf(error, TargetError);
      const { code, phase, proxy, target, rep, retryable } = error;
      assertEquals({ code, phase, proxy, target, rep, retryable }, {
        code: "SOCKS5_TARGET_NOT_FOUND",
        phase: "lookup",
        proxy: null,
        target: TARGET,
        rep: null,
        retryable: false,
      });
      assertEquals(error.cause, answer instanceof Error ? answer : undefined);
      assertStringIncludes(error.message, "Cannot connect to example.test:80: ");
      assertStringIncludes(error.message, cause);
      assertEquals([transport.endpoints, transport.lookups], [[], ["example.test"]]);
      assertEquals(events.map((it) => [it.type, "next" in it && it.next]), [["attempt", false], ["failed", null]]);
      const [stats] = client.stats().proxies;
      assertEquals([stats?.proxy, stats?.failures, stats?.cooldown], ["a:1080", 0, 0]);
    }));
}

test("a lookup that failed is tried again only if retry.when says so", () =>
  withLocal(
    {},
    [ONE],
    { retry: { retries: 2, when: ({ code }) => code === "SOCKS5_TARGET_NOT_FOUND" } },
    async (it) => {
      it.transport.onPoint = (point) => {
        if (point < 3) throw Object.assign(new Error("try again"), { code: "EAI_AGAIN" });
      };
      const conn = await it.clock.settle(it.client.connect(TARGET));
      assertEquals([it.transport.lookups.length, it.asked], [3, [ONE]]);
      conn.close();
    },
  ));

const malformed: [what: string, answer: unknown, shown: string][] = [
  ["a name", ["example.test"], '"example.test"'],
  ["a name among addresses", [ONE, "evil.test", TWO], '"evil.test"'],
  ["a zone id", ["fe80::1%eth0"], '"fe80::1%eth0"'],
  ["an address and a port", ["192.0.2.1:80"], '"192.0.2.1:80"'],
  ["a short form", ["127.1"], '"127.1"'],
  ["an empty text", [""], '""'],
  ["a long text", ["x".repeat(1e6)], `"${"x".repeat(100)}"`],
  ["an object, as node:dns gives", [{ address: ONE, family: 4 }], "object"],
  ["a number", [1], "number"],
  ["a hole", [undefined], "undefined"],
  ["one text", ONE, "string"],
  ["nothing", undefined, "undefined"],
  ["null", null, "object"],
  ["what is like an array", { length: 1, 0: ONE }, "object"],
];
for (const [what, answer, shown] of malformed) {
  test(`a lookup that gives ${what} is a TypeError, and no proxy is dialled`, () =>
    withLocal({}, answer, {}, async ({ client, transport, clock }) => {
      const error = await clock.settle(client.connect(TARGET).then(() => null, (error) => error));
      assertInstanceOf(error, TypeError);
      assertStringIncludes(error.message, "Cannot use the result of lookup() as ");
      assert(error.message.endsWith(`: current value is ${shown}`), error.message);
      assertEquals(transport.endpoints, []);
    }));
}

for (const end of ["timeout", "abort", "close"] as const) {
  test(`a lookup that hangs ends with ${end}`, () =>
    withClock(async (clock) => {
      let given: AbortSignal | undefined;
      const fake = new FakeTransport(stream());
      const lookup: Transport["lookup"] = (_, options) => (given = options?.signal, new Promise<never>(() => {}));
      const transport: Transport<FakeConn> = { connect: (to, options) => fake.connect(to, options), lookup: lookup! };
      const client = new Socks5Client("socks5h://a", { transport, dns: "local", attemptTimeout: 100, timeout: 700 });
      const controller = new AbortController();
      const reason = new Error("the caller's own reason");
      const connecting = client.connect(TARGET, { signal: controller.signal }).then(() => null, (error) => error);
      await clock.tick(300); // an attempt has no part in it
      assertEquals([client.stats().opening, given?.aborted], [1, false]);
      if (end === "abort") controller.abort(reason);
      if (end === "close") void client.close();
      const error = await clock.settle(connecting);
      if (end === "abort") assertEquals(error, reason);
      if (end === "close") assertInstanceOf(error, ClosedError);
      if (end === "timeout") {
        const { code, phase, proxy, message } = error;
        assertEquals([code, phase, proxy, clock.now], ["SOCKS5_TIMEOUT", "lookup", null, 700]);
        assertEquals(
          message,
          "Cannot connect to example.test:80: timed out after 700 ms, waiting for the addresses of the target",
        );
      }
      assertEquals([given?.aborted, fake.endpoints, client.stats().opening], [true, [], 0]);
      await client.close();
      assert(!clock.next(), "a timer is left");
    }));
}

test("a name is never sent to the proxy, and an address is not looked up", () =>
  withLocal({}, [TWO], {}, async ({ client, transport, asked, clock }) => {
    for (const target of ["example.test:80", "münchen.test:80", "192.0.2.9:80", "[2001:db8::9]:80"]) {
      (await clock.settle(client.connect(target))).close();
    }
    assertEquals(asked, [TWO, TWO, "192.0.2.9", "2001:db8::9"]);
    assertEquals(transport.lookups, ["example.test", "xn--mnchen-3ya.test"]);
  }));

test('without dns: "local" nothing is looked up', () =>
  withLocal({}, [TWO], { dns: "proxy" }, async ({ client, transport, asked, clock }) => {
    (await clock.settle(client.connect(TARGET))).close();
    assertEquals([asked, transport.lookups], [["the name example.test"], []]);
  }));

test("a released tunnel is found by its name, without a lookup", () =>
  withLocal({}, [ONE], {}, async ({ client, transport, clock }) => {
    const first = await clock.settle(client.connect(TARGET, { reuse: true }));
    first.release();
    transport.addresses = [TWO];
    const second = await clock.settle(client.connect(TARGET, { reuse: true }));
    assertEquals([second.reused, transport.lookups.length], [true, 1]);
    second.close();
    const other = await clock.settle(client.connect(`${ONE}:80`, { reuse: true }));
    assertEquals(other.reused, false);
    other.close();
  }));

test("a session that is ready serves the first address, a new connection the second", () =>
  withLocal({ [ONE]: 5 }, [TWO], { pool: { warm: 1 } }, async ({ client, transport, asked, clock }) => {
    (await clock.settle(client.connect(TARGET))).close();
    await clock.tick(1);
    assertEquals(client.stats().warm, 1);
    transport.addresses = [ONE, TWO];
    const conn = await clock.settle(client.connect(TARGET));
    assertEquals(asked, [TWO, ONE, TWO]);
    conn.close();
  }));

test("a session that dies during the lookup is replaced", () =>
  withLocal({}, [ONE], { pool: { warm: 1 } }, async ({ client, transport, asked, clock }) => {
    (await clock.settle(client.connect(TARGET))).close();
    await clock.tick(1);
    const session = transport.conns.at(-1)!;
    transport.onPoint = (_, what) => void (what === "lookup" && session.end());
    const conn = await clock.settle(client.connect(TARGET));
    assertEquals([asked, session.closed], [[ONE, ONE], true]);
    conn.close();
  }));

for (const handshake of ["sequential", "pipelined"] as const) {
  test(`${handshake}: early data is sent once, and then no other address is tried`, () =>
    withLocal({ [ONE]: 5 }, [ONE, TWO], { handshake, retry: 0 }, async ({ client, transport, asked, clock }) => {
      const data = bytes("early");
      const connecting = client.connect(TARGET, { data });
      if (handshake === "sequential") {
        const error = await clock.settle(failure(connecting));
        assertEquals([error.code, asked], ["SOCKS5_TARGET_REFUSED", [ONE]]);
      } else {
        (await clock.settle(connecting)).close(); // it leaves after the reply
        assertEquals(asked, [ONE, TWO]);
      }
      const sent = transport.conns.filter((it) => text(Uint8Array.from(it.written)).includes("early")).length;
      assertEquals(sent, 1);
    }));
}

const steps = (report: CheckReport) => report.steps.map(({ phase, status }) => `${phase} ${status}`).join(", ");
const checks: [what: string, addresses: string[], target: string | undefined, asked: string[], report: string][] = [
  ["the second address answers", [ONE, TWO], TARGET, [ONE, TWO], "lookup ok, request ok, transfer failed: unproven"],
  ["no address answers", [ONE, ONE], TARGET, [ONE], "lookup ok, request failed, transfer skipped: target-refused"],
  ["the name is not found", [], TARGET, [], "lookup failed, request skipped, transfer skipped: target-not-found"],
  ["the target is an address", [], `${TWO}:80`, [TWO], "lookup skipped, request ok, transfer failed: unproven"],
  ["there is no target", [], undefined, [], "lookup skipped, request skipped, transfer skipped: ok"],
];
for (const [what, addresses, target, tried, expected] of checks) {
  test(`a check with a lookup of its own, where ${what}`, () =>
    withLocal({ [ONE]: 5 }, addresses, {}, async ({ client, transport, asked, clock }) => {
      const [report] = await clock.settle(client.check(target));
      const dials = tried.length === 0 && target !== undefined ? "skipped" : "ok";
      const middle = `dial ${dials}, negotiate ${dials}, authenticate skipped, request`;
      assertEquals(`${steps(report!)}: ${report!.verdict}`, expected.replace("request", middle));
      assertEquals([asked, transport.endpoints.length], [tried, dials === "ok" ? Math.max(1, tried.length) : 0]);
      assertEquals(transport.open, 0);
    }));
}

test("a check goes on to the next address after silence, and not after what no address changes", async () => {
  const options = { attemptTimeout: 1_000 };
  await withLocal({ [ONE]: "silence", [TWO]: 5 }, [ONE, TWO], options, async ({ client, asked, clock }) => {
    const [report] = await clock.settle(client.check(TARGET));
    assertEquals([report!.code, clock.now, asked], ["SOCKS5_TARGET_REFUSED", 1_000, [ONE, TWO]]);
  });
  await withLocal({ [ONE]: 2, [TWO]: 5 }, [ONE, TWO], options, async ({ client, asked, clock }) => {
    const [report] = await clock.settle(client.check(TARGET));
    assertEquals([report!.code, asked], ["SOCKS5_TARGET_NOT_ALLOWED", [ONE]]);
  });
});

test("a check tells of the steps of the last address that it tried", () =>
  withLocal({ [ONE]: 5 }, [ONE, TWO], {}, async ({ client, transport, clock }) => {
    transport.onConnect = (attempt) => {
      if (attempt > 1) throw new Error("down");
    };
    const [report] = await clock.settle(client.check(TARGET));
    const rest = "negotiate skipped, authenticate skipped, request skipped, transfer skipped";
    assertEquals([report!.verdict, steps(report!)], ["proxy-down", `lookup ok, dial failed, ${rest}`]);
  }));

test("a check whose lookup hangs ends with its timeout, in the step lookup", () =>
  withClock(async (clock) => {
    const transport = {
      connect: () => Promise.reject(new Error("unused")),
      lookup: () => new Promise<never>(() => {}),
    };
    const client = new Socks5Client("socks5h://a", { transport, dns: "local", timeout: 700 });
    const [report] = await clock.settle(client.check(TARGET));
    assertEquals([report!.verdict, report!.code, clock.now], ["target-not-found", "SOCKS5_TIMEOUT", 700]);
    assertEquals(steps(report!).split(",")[0], "lookup failed");
    await client.close();
  }));

test("a transport without lookup() cannot look up: a client, for one", async () => {
  const inner = new Socks5Client("socks5h://a", { transport: new FakeTransport(stream()) });
  for (const transport of [inner, { connect: inner.connect.bind(inner) }, { connect() {}, lookup: 5 }]) {
    const make = () => new Socks5Client("socks5h://b", { transport: transport as Transport, dns: "local" });
    assertThrows(make, TypeError, 'Cannot use dns as "local": the transport has no lookup()');
  }
  await inner.close();
});

test("a chain looks names up with a lookup that it is given", () =>
  withClock(async (clock) => {
    const asked: string[] = [];
    const first = new Socks5Client("socks5h://a", {
      transport: new FakeTransport(stream({ target: proxy({ [ONE]: 5 }, asked) })),
    });
    const transport: Transport = {
      connect: (to, options) => first.connect(to as { hostname: string; port: number }, options),
      lookup: () => Promise.resolve([ONE, TWO]),
    };
    const client = new Socks5Client("socks5h://b", { transport, dns: "local" });
    const conn = await clock.settle(client.connect(TARGET));
    assertEquals([conn.target, asked], [TARGET, [ONE, TWO]]);
    conn.close();
    await client.close();
    await first.close();
  }));

test("every transport of a runtime looks names up as the system does", async () => {
  const { runtimeTransport } = await import("../../adapters/runtime.ts");
  const { nodeTransport } = await import("../../adapters/node/mod.ts");
  const { bunTransport } = await import("../../adapters/bun/mod.ts");
  const { denoTransport } = await import("../../adapters/deno/mod.ts");
  for (const transport of [runtimeTransport, nodeTransport, bunTransport, denoTransport]) {
    const found = await transport.lookup!("localhost");
    assert(found.length > 0 && found.every((address) => isIP(address) > 0), found.join());
    await assertRejects(() => transport.lookup!("a..b"), Error);
    const controller = new AbortController();
    const looking = transport.lookup!("localhost", { signal: controller.signal });
    controller.abort(new Error("enough"));
    await assertRejects(() => looking, Error, "enough");
    await assertRejects(() => transport.lookup!("localhost", { signal: controller.signal }), Error, "enough");
  }
});
