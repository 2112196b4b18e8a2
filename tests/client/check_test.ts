import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertLessOrEqual,
  assertMatch,
  assertStrictEquals,
} from "@std/assert";
import {
  type CheckOptions,
  type CheckReport,
  type ProxySpec,
  type RequestEvent,
  Socks5Client,
  type Socks5ErrorCode,
  type Socks5Options,
  type Target,
} from "../../mod.ts";
import { bytes } from "../support/contract.ts";
import { FakeTransport, socks5 } from "../support/fake.ts";
import * as testing from "../../testing/mod.ts";
import type { TestProxyOptions } from "../../testing/mod.ts";
import { withProxy, withTarget } from "../support/stage.ts";
import * as targets from "../support/targets.ts";
import { test } from "../support/test.ts";
import { ofRequests } from "../support/request_events.ts";

const ALICE = { username: "alice", password: "secret" };
const BOB = { username: "bob", password: "hunter2" };
const TARGET = "example.test:80";
const RULES = { [TARGET]: { port: 1 } }; // for a success that is only claimed
const REASON = new Error("the caller's own reason");

/** The one report of a check of one proxy, which is plain JSON and leaves the client as it was. */
async function check(
  proxy: ProxySpec,
  target?: Target,
  { client: options, ...checkOptions }: CheckOptions & { client?: Socks5Options } = {},
): Promise<CheckReport> {
  const events: RequestEvent[] = [];
  const client = new Socks5Client(proxy, { ...options, onEvent: ofRequests((event) => events.push(event)) });
  const before = client.stats();
  const reports = await client.check(target, checkOptions);
  assertEquals(reports.length, 1);
  assertPlain(reports[0]!);
  assertEquals([client.stats(), events], [before, []]);
  return reports[0]!;
}

/** Milliseconds to a tenth, as they are printed. */
const TENTHS = /^\d+(\.\d)?$/;

function assertPlain(report: CheckReport): void {
  assertEquals(JSON.parse(JSON.stringify(report)), report);
  for (const { ms } of [report, ...report.steps]) assertMatch(String(ms), TENTHS);
  assertEquals(report.steps.map(({ phase }) => phase), ["dial", "negotiate", "authenticate", "request", "transfer"]);
  let sum = 0;
  for (const { ms, status } of report.steps) {
    assert(ms >= 0 && (status !== "skipped" || ms === 0));
    sum += ms;
  }
  assertLessOrEqual(sum, report.ms + 1e-6);
}

/** The steps in short: "ok", "failed" or "-" for each. */
function steps({ steps }: CheckReport): string {
  return steps.map(({ status }) => status === "skipped" ? "-" : status).join(" ");
}

const message = ({ steps }: CheckReport, phase: string) => steps.find((step) => step.phase === phase)!.message;

/** What a proxy or target does, what the report says, and what the message of the failed step ends with. */
interface Row {
  what: string;
  proxy?: TestProxyOptions;
  target?: Target | null;
  options?: CheckOptions & { client?: Socks5Options };
  verdict: CheckReport["verdict"];
  code: Socks5ErrorCode;
  steps: string;
  why: string;
}

const bad = (what: string, fault: testing.TestFault, rest: Omit<Row, "what" | "proxy">): Row => {
  return { what, proxy: { rules: RULES, faults: () => fault }, ...rest };
};

const down = { verdict: "proxy-down", code: "SOCKS5_PROXY_HUNG_UP", steps: "ok failed - - -" } as const;
const notSocks5 = { verdict: "not-socks5", code: "SOCKS5_PROXY_NOT_SOCKS5", steps: "ok failed - - -" } as const;
const refused = { verdict: "auth-refused", code: "SOCKS5_AUTH_REFUSED", steps: "ok ok failed - -" } as const;
const unproven = { verdict: "unproven", steps: "ok ok - ok failed" } as const;
const late = { client: { attemptTimeout: 300 } };
const password = (fault: testing.TestFault): TestProxyOptions => ({ credentials: ALICE, faults: () => fault });

const rows: Row[] = [
  bad("hangs up at once", { fault: "close", at: "accept" }, {
    ...down,
    why: "the proxy closed the connection in the handshake",
  }),
  bad("hangs up on the greeting", { fault: "close", at: "negotiate" }, {
    ...down,
    why: "the proxy closed the connection in the handshake",
  }),
  bad("resets on the greeting", { fault: "reset", at: "negotiate" }, {
    ...down,
    why: "the proxy broke the connection in the handshake",
  }),
  bad("is silent", { fault: "silence", at: "negotiate" }, {
    ...down,
    code: "SOCKS5_ATTEMPT_TIMEOUT",
    options: late,
    why: "timed out after 300 ms, waiting for the answer of the proxy to the greeting",
  }),
  {
    what: "is silent on the password",
    proxy: password({ fault: "silence", at: "authenticate" }),
    verdict: "proxy-down",
    code: "SOCKS5_ATTEMPT_TIMEOUT",
    steps: "ok ok failed - -",
    options: late,
    why: "waiting for the proxy to authenticate this client",
  },
  {
    what: "resets on the password",
    proxy: password({ fault: "reset", at: "authenticate" }),
    ...down,
    steps: "ok ok failed - -",
    why: "the proxy broke the connection in the handshake",
  },
  bad("is an HTTP server", { fault: "http" }, {
    ...notSocks5,
    why: 'an HTTP server answered ("HTTP/1.1 400 Bad Request", 48 54)',
  }),
  bad("is an SSH server", { fault: "ssh" }, {
    ...notSocks5,
    why: 'an SSH server answered ("SSH-2.0-OpenSSH_9.2p1 Debian-2", 53 53)',
  }),
  bad("is a TLS server", { fault: "tls" }, { ...notSocks5, why: "a TLS server answered (15 03)" }),
  bad("is a SOCKS4 server", { fault: "socks4" }, { ...notSocks5, why: "a SOCKS4 server answered (00 5B)" }),
  bad("chooses a method that was not offered", { fault: "method", method: 1 }, {
    ...notSocks5,
    code: "SOCKS5_PROXY_BAD_METHOD",
    why: "the proxy chose a method that was not offered (05 01)",
  }),
  bad("sends a malformed reply", { fault: "answer", at: "request", bytes: Uint8Array.of(1, 2), then: "close" }, {
    verdict: "not-socks5",
    code: "SOCKS5_PROXY_BAD_REPLY",
    steps: "ok ok - failed -",
    why: "the reply of the proxy is malformed (01 02)",
  }),
  bad("accepts no method", { fault: "method", method: 0xff }, {
    ...refused,
    code: "SOCKS5_AUTH_NO_METHOD",
    steps: "ok failed - - -",
    why: "it wants credentials, and none were given",
  }),
  {
    what: "refuses the password",
    proxy: password({ fault: "refuse-password", status: 2 }),
    ...refused,
    why: "the proxy refused the user name or password (STATUS 02)",
  },
  {
    what: "hangs up on the password",
    proxy: password({ fault: "close", at: "authenticate" }),
    ...refused,
    why: "the proxy closed the connection after the user name and password",
  },
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((rep): Row => ({
    what: `answers REP ${rep}`,
    proxy: { faults: { fault: "refuse", rep } },
    verdict: "target-refused",
    code: ([
      "FAILED",
      "NOT_ALLOWED",
      "NET_UNREACHABLE",
      "HOST_UNREACHABLE",
      "REFUSED",
      "TTL_EXPIRED",
      "BAD_COMMAND",
      "BAD_ADDRESS_TYPE",
      "UNKNOWN_REPLY",
    ] as const).map((it) => `SOCKS5_TARGET_${it}` as const)[rep - 1]!,
    steps: "ok ok - failed -",
    why: `(REP 0${rep})`,
  })),
  bad("hangs up instead of a reply (ssh -D)", { fault: "close", at: "request" }, {
    verdict: "target-refused",
    code: "SOCKS5_TARGET_NO_REPLY",
    steps: "ok ok - failed -",
    why: "the proxy closed the connection before it replied",
  }),
  bad("never replies", { fault: "silence", at: "request" }, {
    verdict: "unanswered",
    code: "SOCKS5_TIMEOUT",
    steps: "ok ok - failed -",
    options: { timeout: 500, client: { attemptTimeout: 100 } },
    why: "timed out after 500 ms, waiting for the reply of the proxy",
  }),
  bad("claims a success and closes (shadowsocks)", { fault: "false-success", then: "close" }, {
    ...unproven,
    code: "SOCKS5_CONN_CLOSED",
    why: "the tunnel was closed before a byte came",
  }),
  bad("claims a success and resets", { fault: "false-success", then: "reset" }, {
    ...unproven,
    code: "SOCKS5_CONN_RESET",
    why: "the tunnel broke before a byte came",
  }),
  bad("claims a success and is silent", { fault: "false-success", then: "silence" }, {
    ...unproven,
    code: "SOCKS5_ATTEMPT_TIMEOUT",
    why: "timed out after 1000 ms, waiting for the first byte of the target",
  }),
  bad("claims a success and is silent on a probe", { fault: "false-success", then: "silence" }, {
    ...unproven,
    code: "SOCKS5_ATTEMPT_TIMEOUT",
    options: { ...late, probe: bytes("are you there?") },
    why: "timed out after 300 ms, waiting for the first byte of the target",
  }),
];

for (const { what, proxy: options = {}, verdict, code, options: checkOptions = {}, steps: expected, why } of rows) {
  test(`check() of a proxy that ${what} is ${verdict}, and closes`, () =>
    withProxy(options, async (proxy) => {
      const report = await check(proxy.url, TARGET, checkOptions);
      assertEquals([report.verdict, report.code, steps(report)], [verdict, code, expected]);
      const failed = report.steps.find(({ status }) => status === "failed")!;
      assert(
        failed.message.startsWith(`Cannot connect to ${TARGET} through 127.0.0.1:${proxy.port}: `),
        failed.message,
      );
      assert(failed.message.endsWith(why), failed.message);
      assertEquals([report.proxy, report.target, proxy.connections.length], [`127.0.0.1:${proxy.port}`, TARGET, 1]);
      const rest = report.steps.slice(report.steps.indexOf(failed) + 1).map(({ message }) => message);
      assertEquals(rest, rest.map(() => "not reached"));
    }));
}

test("check() of a proxy that cannot be reached is proxy-down", async () => {
  const report = await check("socks5h://127.0.0.1:1", TARGET);
  assertEquals([report.verdict, report.code, steps(report)], [
    "proxy-down",
    "SOCKS5_PROXY_UNREACHABLE",
    "failed - - - -",
  ]);
  const alone = await check("socks5h://127.0.0.1:1");
  assert(message(alone, "dial").startsWith("Cannot use the proxy 127.0.0.1:1: the proxy cannot be reached ("));
  assertEquals([alone.verdict, alone.target, message(alone, "request")], ["proxy-down", null, "no target was given"]);
});

test("check() with a target that speaks first is ok, and reads no more than it needs", () =>
  withTarget(targets.startBanner("220 hello"), (banner) =>
    withProxy({}, async (proxy) => {
      const report = await check(proxy.url, banner.address);
      assertEquals([report.verdict, report.code, steps(report)], ["ok", undefined, "ok ok - ok ok"]);
      assertEquals(report.steps.map(({ message }) => message), [
        "the proxy takes connections",
        "the proxy speaks SOCKS5",
        "the proxy asked for none",
        "the proxy says that the target is connected",
        "bytes came from the target",
      ]);
      assertEquals([report.target, "code" in report], [banner.address, false]);
    })));

test("check() with a probe is ok when the target answers it, and the probe arrives whole", async () => {
  const probe = targets.payload(200_000);
  await withTarget(targets.startDigest(probe.length), (digest) =>
    withProxy({ credentials: ALICE }, async (proxy) => {
      const report = await check(proxy.url, digest.address, { probe });
      assertEquals([report.verdict, steps(report)], ["ok", "ok ok ok ok ok"]);
      assertMatch(message(report, "authenticate"), /^the proxy accepted the (credentials|user name and password)$/);
      assertEquals(proxy.connections[0]!.sent, probe.length);
    }));
});

test("check() with a target that waits to be spoken to is unproven, and ok with a probe that it answers", () =>
  withTarget(targets.startEcho(), (echo) =>
    withProxy({}, async (proxy) => {
      assertEquals((await check(proxy.url, echo.address)).verdict, "unproven");
      assertEquals((await check(proxy.url, echo.address, { probe: bytes("x") })).verdict, "ok");
      const silent = { probe: new Uint8Array(), client: { attemptTimeout: 300 } };
      assertEquals((await check(proxy.url, echo.address, silent)).verdict, "unproven");
    })));

test("check() without a target ends after the credentials, and asks the proxy for nothing", () =>
  withProxy({ credentials: ALICE }, async (proxy) => {
    const report = await check(proxy.url);
    assertEquals([report.verdict, report.target, steps(report)], ["ok", null, "ok ok ok - -"]);
    assertEquals([message(report, "request"), message(report, "transfer")], new Array(2).fill("no target was given"));
    await proxy.until(() => proxy.open === 0);
    assertEquals([proxy.connections[0]!.credentials, proxy.connections[0]!.request], [ALICE, null]);
    const wrong = await check({ ...proxy.endpoint, credentials: BOB });
    assertEquals([wrong.verdict, steps(wrong)], ["auth-refused", "ok ok failed - -"]);
    assert(message(wrong, "authenticate").startsWith(`Cannot use the proxy 127.0.0.1:${proxy.port}: `));
  }));

test("check() says when credentials were not looked at", () =>
  withProxy({ methods: [0] }, async (proxy) => {
    const report = await check({ ...proxy.endpoint, credentials: ALICE });
    assertEquals([report.verdict, steps(report)], ["ok", "ok ok - - -"]);
    assertEquals(
      message(report, "authenticate"),
      "the proxy asked for none: the credentials were not checked",
    );
  }));

test("check() takes credentials instead of the proxy's own: they are required, null is none", () =>
  withProxy({ methods: [2, 0], credentials: BOB }, async (proxy) => {
    const own = { ...proxy.endpoint, credentials: ALICE };
    assertEquals((await check(own)).verdict, "auth-refused");
    assertEquals((await check(own, undefined, { credentials: BOB })).verdict, "ok");
    assertEquals((await check(own, undefined, { credentials: null })).verdict, "ok");
    assertEquals(proxy.connections.map(({ methods }) => methods), [[0, 2], [2], [0]]);
    const required = { client: { auth: "required" as const } };
    assertEquals((await check(own, undefined, { ...required, credentials: BOB })).verdict, "ok");
    assertEquals((await check(own, undefined, required)).verdict, "auth-refused");
    assertEquals(proxy.connections.slice(3).map(({ methods }) => methods), [[2], [2]]);
  }));

test("check() of several proxies gives a report for each, in their order, all at the same time", () =>
  withTarget(targets.startBanner("220 hello"), (banner) => {
    const first = testing.createGate();
    return withProxy(
      { faults: { fault: "wait", at: "negotiate", for: first.pass } },
      (waiting) =>
        withProxy({ faults: { fault: "http" } }, (http) =>
          withProxy({
            faults: { fault: "wait", at: "accept", for: () => Promise.resolve(first.open()) },
          }, async (opens) => {
            const client = new Socks5Client([waiting.url, http.url, "socks5h://127.0.0.1:1", opens.url, waiting.url]);
            const reports = await client.check(banner.address);
            reports.forEach(assertPlain);
            assertEquals(reports.map(({ proxy, verdict }) => [proxy, verdict]), [
              [`127.0.0.1:${waiting.port}`, "ok"],
              [`127.0.0.1:${http.port}`, "not-socks5"],
              ["127.0.0.1:1", "proxy-down"],
              [`127.0.0.1:${opens.port}`, "ok"],
              [`127.0.0.1:${waiting.port}`, "ok"],
            ]);
          })),
    );
  }));

test("check() of one proxy of a list, by its label, dials no other, and another label is an error", () =>
  withProxy({}, (one) =>
    withProxy({}, async (other) => {
      const client = new Socks5Client([one.url, { url: other.url, label: "de-1" }]);
      assertEquals((await client.check(undefined, { proxy: "de-1" })).map(({ label }) => label), ["de-1"]);
      assertEquals([one.connections.length, other.connections.length], [0, 1]);
      client.setProxies([one.url]);
      const error = await client.check(undefined, { proxy: "de-1" }).catch((error) => error);
      assertInstanceOf(error, TypeError);
      assertEquals(error.message, 'Cannot find a proxy with the label "de-1" in the list');
      await client.close();
    })));

test("check() tells of each step as it begins, and a listener that throws changes nothing", () =>
  withTarget(targets.startBanner("220 hello"), (banner) =>
    withProxy({ credentials: ALICE }, async (proxy) => {
      const told: unknown[] = [];
      const onStep: CheckOptions["onStep"] = (step) => {
        told.push([step, proxy.connections[0]?.request != null]);
        throw new Error("a fault of the listener");
      };
      const step = (phase: string, requested = false) => [{ proxy: `127.0.0.1:${proxy.port}`, phase }, requested];
      assertEquals((await check(proxy.url, banner.address, { onStep })).verdict, "ok");
      const early = ["dial", "negotiate", "authenticate", "request"].map((phase) => step(phase));
      assertEquals(told, [...early, step("transfer", true)]);
    })));

test("check() needs no place of the pool, takes no idle tunnel and cools no proxy", () =>
  withTarget(
    targets.startBanner("220 hello"),
    (banner) =>
      withProxy(
        { faults: ({ index }) => index === 2 ? { fault: "close", at: "negotiate" } : undefined },
        async (proxy) => {
          const events: RequestEvent[] = [];
          const client = new Socks5Client(proxy.url, {
            pool: { maxOpen: 1 },
            onEvent: ofRequests((event) => events.push(event)),
          });
          (await client.connect(banner.address, { reuse: true })).release();
          const idle = await client.connect(banner.address); // what was left in the first one made it unfit
          idle.close();
          const before = [client.stats(), events.length];
          assertEquals((await client.check(banner.address))[0]!.verdict, "proxy-down");
          assertEquals((await client.check(banner.address))[0]!.verdict, "ok");
          assertEquals([client.stats(), events.length], before);
          const held = await client.connect(banner.address);
          assertEquals((await client.check(banner.address))[0]!.verdict, "ok");
          held.close();
        },
      ),
  ));

for (const at of ["accept", "negotiate", "authenticate", "request", "transfer"] as const) {
  test(`check() that is aborted at the step ${at} rejects with the caller's reason and leaves nothing`, () =>
    withTarget(targets.startSilent(), async (silent) => {
      const gates = [testing.createGate(), testing.createGate()];
      const faults = (i: number) => ({ fault: "wait", at, for: gates[i]!.pass }) as const;
      await withProxy(
        { credentials: ALICE, faults: faults(0) },
        (first) =>
          withProxy({ credentials: ALICE, faults: faults(1) }, async (second) => {
            const client = new Socks5Client([first.url, second.url]);
            const controller = new AbortController();
            const checking = client.check(silent.address, { signal: controller.signal, probe: bytes("x") });
            for (const { reached } of gates) await reached;
            controller.abort(REASON);
            assertStrictEquals(await checking.then(() => null, (reason: unknown) => reason), REASON);
          }),
      );
    }));
}

test("check() ends with its timeout, and with that of the client, whatever the proxy does", () =>
  withProxy({ faults: { fault: "silence", at: "negotiate" } }, async (proxy) => {
    const silent: [Socks5Options, CheckOptions][] = [[{ timeout: 200 }, {}], [{}, { timeout: 200 }]];
    await Promise.all(silent.map(async ([client, options]) => {
      const report = await check(proxy.url, TARGET, { client, ...options });
      assertEquals([report.verdict, report.code], ["proxy-down", "SOCKS5_TIMEOUT"]);
      assert(message(report, "negotiate").includes("timed out after 200 ms"));
    }));
  }));

test("check() reports whatever a transport throws, and rejects for none of it", async () => {
  const thrown = [
    new Error("x"),
    "text",
    null,
    undefined,
    { code: "EMFILE" },
    Object.assign(new Error(), { code: "EACCES" }),
  ];
  for (const error of thrown) {
    for (
      const connect of [() => Promise.reject(error), () => {
        throw error;
      }]
    ) {
      const report = await check("socks5h://proxy.test", TARGET, { client: { transport: { connect } } });
      const isLocal = (error as { code?: unknown } | null | undefined)?.code !== undefined;
      assertEquals([report.verdict, steps(report)], [isLocal ? "local-failed" : "proxy-down", "failed - - - -"]);
    }
  }
});

test("check() says when it began, and tells the users of one gateway apart without naming them", () =>
  withProxy({ credentials: ALICE }, async (proxy) => {
    const before = Date.now();
    const as = (credentials?: typeof ALICE) => ({ ...proxy.endpoint, ...(credentials && { credentials }) });
    const client = new Socks5Client([as(ALICE), as(BOB), as(), as({ ...ALICE, password: "other" })]);
    const reports = await client.check();
    for (const report of reports) {
      assertEquals(report.time, new Date(report.time).toISOString());
      assert(Date.parse(report.time) >= before && Date.parse(report.time) <= Date.now());
      assertEquals(report.proxy, `127.0.0.1:${proxy.port}`);
    }
    const [alice, bob, nobody, again] = reports.map(({ label }) => label);
    assertEquals(alice, `127.0.0.1:${proxy.port}#872213e7`); // FNV-1a, the same in each process
    assertMatch(bob!, /^127\.0\.0\.1:\d+#[0-9a-f]{8}$/);
    assert(bob !== alice);
    assertEquals([nobody, again], [`127.0.0.1:${proxy.port}`, alice]);
    const [report] = await client.check(undefined, { credentials: BOB });
    assertEquals(report!.label, bob);
  }));

test("check() rejects wrong arguments before it dials", async () => {
  const transport = new FakeTransport(socks5());
  const client = new Socks5Client("socks5h://proxy.test", { transport });
  const wrong: [Target, CheckOptions, typeof TypeError | typeof RangeError][] = [
    ["", {}, TypeError],
    ["no port", {}, TypeError],
    ["user@example.test:80", {}, TypeError],
    [{ path: "/run/target.sock" }, {}, TypeError],
    ["example.test:0", {}, RangeError],
    [TARGET, { timeout: NaN }, RangeError],
    [TARGET, { timeout: -1 }, RangeError],
    [TARGET, { credentials: { username: "" } }, RangeError],
    [TARGET, { probe: "text" as unknown as Uint8Array }, TypeError],
  ];
  for (const [target, options, expected] of wrong) {
    assertInstanceOf(await client.check(target, options).catch((error: unknown) => error), expected);
  }
  assertEquals(transport.endpoints.length, 0);
});
