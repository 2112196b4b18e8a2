import {
  assert,
  assertEquals,
  assertGreater,
  assertGreaterOrEqual,
  assertLessOrEqual,
  assertStrictEquals,
} from "@std/assert";
import type { ConnectOptions, Socks5ErrorCode, Socks5Options } from "../../mod.ts";
import { ProxyError, Socks5Error, TargetError, TimeoutError } from "../../mod.ts";
import { type Clock, withClock } from "../support/clock.ts";
import type { Script } from "../support/fake.ts";
import { after, type Manner as Fault, setUpProxies } from "../support/proxies.ts";
import { test } from "../support/test.ts";

const TARGET = "example.test:80";

interface Row {
  what: string;
  fault: Fault;
  code: Socks5ErrorCode;
  /** The columns of the policy: the next proxy at once, again after a pause, cools the proxy, `retryable`. */
  next: boolean;
  again: boolean | "when";
  cools: boolean;
  retryable: boolean;
  perCall?: boolean;
}

const says = (...bytes: number[]): Script => (conn) => conn.push(...bytes);
const eof: Script = (conn) => conn.end();
const reset: Script = (conn) => conn.reset();
const silence: Script = () => {};
const withCode = (code: string) => Object.assign(new Error(code), { code });

const dialFaults: Row[] = [
  ["permission denied", withCode("EACCES"), "SOCKS5_LOCAL_NOT_PERMITTED"],
  ["too many files", withCode("EMFILE"), "SOCKS5_LOCAL_FAILED"],
  [
    "no permission on Deno",
    Object.assign(new Error("net access"), { name: "NotCapable" }),
    "SOCKS5_LOCAL_NOT_PERMITTED",
  ],
  ["refused", withCode("ECONNREFUSED"), "SOCKS5_PROXY_UNREACHABLE"],
  ["unreachable", withCode("EHOSTUNREACH"), "SOCKS5_PROXY_UNREACHABLE"],
  ["the proxy's name is unknown", new Error("failed to lookup"), "SOCKS5_PROXY_UNREACHABLE"],
].map(([what, dial, code]) => {
  const denied = (code as string).startsWith("SOCKS5_LOCAL_");
  const fault = { dial: dial as Error };
  return { what, fault, code, next: !denied, again: !denied, cools: !denied, retryable: !denied } as Row;
});

const proxyFailed = { next: true, again: true, cools: true, retryable: true };
const proxyUnfit = { next: true, again: false, cools: true, retryable: false };
const giveUp = { next: false, again: false, cools: false, retryable: false };
const targetFailed = { next: true, again: "when", cools: false, retryable: false } as const;

const rows: Row[] = [
  ...dialFaults,
  { what: "the dial times out", fault: { dial: "silence" }, code: "SOCKS5_ATTEMPT_TIMEOUT", ...proxyFailed },
  { what: "EOF on the greeting", fault: { script: after(1, eof) }, code: "SOCKS5_PROXY_HUNG_UP", ...proxyFailed },
  { what: "reset on the greeting", fault: { script: after(1, reset) }, code: "SOCKS5_PROXY_HUNG_UP", ...proxyFailed },
  {
    what: "silence on the greeting",
    fault: { script: after(1, silence) },
    code: "SOCKS5_ATTEMPT_TIMEOUT",
    ...proxyFailed,
  },
  { what: "reset on the password", fault: { script: after(2, reset) }, code: "SOCKS5_PROXY_HUNG_UP", ...proxyFailed },
  {
    what: "silence on the password",
    fault: { script: after(2, silence) },
    code: "SOCKS5_ATTEMPT_TIMEOUT",
    ...proxyFailed,
  },
  { what: "an HTTP server", fault: { script: after(1, says(72, 84)) }, code: "SOCKS5_PROXY_NOT_SOCKS5", ...proxyUnfit },
  {
    what: "a method not offered",
    fault: { script: after(1, says(5, 1)) },
    code: "SOCKS5_PROXY_BAD_METHOD",
    ...proxyUnfit,
  },
  { what: "a malformed reply", fault: { script: after(3, says(9, 0)) }, code: "SOCKS5_PROXY_BAD_REPLY", ...proxyUnfit },
  { what: "05 FF", fault: { script: after(1, says(5, 255)) }, code: "SOCKS5_AUTH_NO_METHOD", ...proxyUnfit },
  { what: "the password refused", fault: { script: after(2, says(1, 1)) }, code: "SOCKS5_AUTH_REFUSED", ...proxyUnfit },
  { what: "EOF on the password", fault: { script: after(2, eof) }, code: "SOCKS5_AUTH_REFUSED", ...proxyUnfit },
  {
    what: "05 FF for credentials of the connect",
    fault: { script: after(1, says(5, 255)) },
    code: "SOCKS5_AUTH_NO_METHOD",
    perCall: true,
    ...giveUp,
  },
  {
    what: "credentials of the connect refused",
    fault: { script: after(2, says(1, 1)) },
    code: "SOCKS5_AUTH_REFUSED",
    perCall: true,
    ...giveUp,
  },
  ...([
    [1, "SOCKS5_TARGET_FAILED"],
    [2, "SOCKS5_TARGET_NOT_ALLOWED"],
    [3, "SOCKS5_TARGET_NET_UNREACHABLE"],
    [4, "SOCKS5_TARGET_HOST_UNREACHABLE"],
    [6, "SOCKS5_TARGET_TTL_EXPIRED"],
    [7, "SOCKS5_TARGET_BAD_COMMAND"],
    [8, "SOCKS5_TARGET_BAD_ADDRESS_TYPE"],
    [0x5b, "SOCKS5_TARGET_UNKNOWN_REPLY"],
  ] as [number, Socks5ErrorCode][]).map(([rep, code]): Row => {
    return { what: `REP ${rep}`, fault: { script: after(3, says(5, rep)) }, code, ...targetFailed };
  }),
  {
    what: "REP 05",
    fault: { script: after(3, says(5, 5)) },
    code: "SOCKS5_TARGET_REFUSED",
    ...targetFailed,
    next: false,
  },
  { what: "EOF on the request", fault: { script: after(3, eof) }, code: "SOCKS5_TARGET_NO_REPLY", ...targetFailed },
  { what: "reset on the request", fault: { script: after(3, reset) }, code: "SOCKS5_TARGET_NO_REPLY", ...targetFailed },
];

/** A client whose proxies `a`, `b`, ... do what `faults` say, one after another; no fault is a good proxy. */
function setUp(faults: (Fault | null)[], options: Socks5Options = {}) {
  return setUpProxies(faults, { timeout: Infinity, attemptDelay: Infinity, ...options }, "user:pw@");
}

async function failure(clock: Clock, promise: Promise<unknown>): Promise<Socks5Error> {
  const error = await clock.settle(promise.then(() => "it connected", (error: unknown) => error));
  assert(error instanceof Socks5Error, String(error));
  return error;
}

for (const { what, fault, code, next, again, cools, retryable, perCall = false } of rows) {
  const options: ConnectOptions = perCall ? { credentials: { username: "me", password: "mine" } } : {};

  test(`policy, ${what}: the error is ${code}, ${retryable ? "" : "not "}retryable`, () =>
    withClock(async (clock) => {
      const { client, transport } = setUp([fault], { retry: 0 });
      const error = await failure(clock, client.connect(TARGET, options));
      assertEquals([error.code, error.retryable], [code, retryable]);
      assertEquals([transport.open, client.stats().opening, client.stats().inUse], [0, 0, 0]);
    }));

  test(`policy, ${what}: ${next ? "the next proxy is tried at once" : "no other proxy is tried"}`, () =>
    withClock(async (clock) => {
      const { client, dialled, events } = setUp([fault, null], { retry: 0 });
      const outcome = await clock.settle(client.connect(TARGET, options).then((conn) => conn, (error) => error));
      assertEquals(dialled(), next ? "ab" : "a");
      const told = events.find((event) => event.type === "failed");
      assert(told?.type === "failed");
      assertEquals([told.next, told.delay], [next ? "failover" : null, 0]);
      if (next) outcome.close();
      else assertEquals(outcome.code, code);
    }));

  test(`policy, ${what}: ${again === true ? "it is tried again" : "it is not tried again"} after a pause`, () =>
    withClock(async (clock) => {
      const { client, dialled } = setUp([fault], { retry: 2 });
      assertEquals((await failure(clock, client.connect(TARGET, options))).code, code);
      assertEquals(dialled(), again === true ? "aaa" : "a");
    }));

  test(`policy, ${what}: retry.when ${again === false ? "is not asked" : "decides"}`, () =>
    withClock(async (clock) => {
      const yes = setUp([fault], { retry: { retries: 2, when: () => true } });
      assertEquals((await failure(clock, yes.client.connect(TARGET, options))).code, code);
      assertEquals(yes.dialled(), again === false ? "a" : "aaa");
      const no = setUp([fault], { retry: { retries: 2, when: () => false } });
      assertEquals((await failure(clock, no.client.connect(TARGET, options))).code, code);
      assertEquals(no.dialled(), "a");
    }));

  test(`policy, ${what}: it ${cools ? "cools" : "does not cool"} the proxy`, () =>
    withClock(async (clock) => {
      const { client } = setUp([fault], { retry: 0, cooldown: 7_000 });
      await failure(clock, client.connect(TARGET, options));
      const [proxy] = client.stats().proxies;
      assertEquals([proxy!.failures, proxy!.cooldown], cools ? [1, 7_000] : [0, 0]);
    }));
}

test("policy, no reply in time: the next proxy is tried while one is untried, and the last may take its time", () =>
  withClock(async (clock) => {
    const fault = { script: after(3, silence) };
    const { client, dialled } = setUp([fault, fault], { attemptTimeout: 1_000, timeout: 8_000 });
    const error = await failure(clock, client.connect(TARGET));
    assertEquals(dialled(), "ab");
    assertEquals(clock.now, 8_000);
    assertEquals([error.code, error.phase, error.errors.map((e) => e.code)], [
      "SOCKS5_TIMEOUT",
      "request",
      ["SOCKS5_ATTEMPT_TIMEOUT"],
    ]);
    assertEquals(error.errors[0]!.retryable, false);
    assertEquals(client.stats().proxies.map((proxy) => proxy.cooldown), [0, 0]);
  }));

test("policy, a bad argument of the transport passes unchanged and ends it", () =>
  withClock(async (clock) => {
    const mistake = new TypeError("not an endpoint");
    const { client, dialled } = setUp([{ dial: mistake }, null]);
    const error = await clock.settle(client.connect(TARGET).then(() => null, (error: unknown) => error));
    assertStrictEquals(error, mistake);
    assertEquals(dialled(), "a");
  }));

test("an abort ends it with its own reason, untouched", () =>
  withClock(async (clock) => {
    for (const reason of [new Error("mine"), "a text", null, 0]) {
      const { client, dialled } = setUp([{ dial: "silence" }, null]);
      const controller = new AbortController();
      const connecting = client.connect(TARGET, { signal: controller.signal });
      const outcome = connecting.then(() => "it connected", (error: unknown) => error);
      await clock.tick(10);
      controller.abort(reason);
      assertStrictEquals(await clock.settle(outcome), reason);
      assertEquals(dialled(), "a");
    }
  }));

test("the timeout ends it, and says what failed before", () =>
  withClock(async (clock) => {
    const { client, dialled } = setUp([{ dial: withCode("ECONNREFUSED") }, { dial: "silence" }], { timeout: 3_000 });
    const error = await failure(clock, client.connect(TARGET));
    assert(error instanceof TimeoutError);
    assertEquals(dialled(), "ab");
    assertEquals(clock.now, 3_000);
    assertEquals([error.code, error.phase, error.proxy], ["SOCKS5_TIMEOUT", "dial", "b:1080"]);
    assertEquals(error.errors.map((e) => e.code), ["SOCKS5_PROXY_UNREACHABLE"]);
  }));

test("pauses double from minDelay to maxDelay, each at least the half of what the next may be", () =>
  withClock(async (clock) => {
    const retry = { retries: 6, minDelay: 100, maxDelay: 1_000 };
    const { client, events } = setUp([{ dial: withCode("ECONNREFUSED") }], { retry });
    await failure(clock, client.connect(TARGET));
    const delays = events.flatMap((event) => event.type === "failed" && event.next === "retry" ? [event.delay] : []);
    assertEquals(delays.length, 6);
    for (const [i, delay] of delays.entries()) {
      const most = Math.min(1_000, 200 * 2 ** i);
      assertGreaterOrEqual(delay, most / 2);
      assertLessOrEqual(delay, most);
    }
    assertEquals(events.map((event) => event.type).join().replaceAll("attempt,failed", "x"), "x,x,x,x,x,x,x");
    assertEquals(client.stats().retries, 6);
  }));

test("a pause that would outlast the timeout is not begun", () =>
  withClock(async (clock) => {
    const retry = { minDelay: 1_000 };
    const { client, dialled } = setUp([{ dial: withCode("ECONNREFUSED") }], { retry, timeout: 400 });
    assert(await failure(clock, client.connect(TARGET)) instanceof ProxyError);
    assertEquals([dialled(), clock.now], ["a", 0]);
  }));

test("no place is held during a pause", () =>
  withClock(async (clock) => {
    const { client } = setUp([{ dial: withCode("ECONNREFUSED") }], { retry: { retries: 1, minDelay: 1_000 } });
    const failing = failure(clock, client.connect(TARGET));
    await clock.tick(10);
    assertEquals([client.stats().opening, client.stats().inUse, client.stats().waiting], [0, 0, 0]);
    await failing;
  }));

test("the error that got furthest is thrown, the last among equals, with the others oldest first", () =>
  withClock(async (clock) => {
    const { client } = setUp([
      { dial: withCode("ECONNREFUSED") },
      { script: after(3, says(5, 4)) },
      { script: after(3, says(5, 1)) },
      { script: after(1, eof) },
    ], { retry: 0 });
    const error = await failure(clock, client.connect(TARGET));
    assert(error instanceof TargetError);
    assertEquals([error.rep, error.proxy, error.phase], [1, "c:1080", "request"]);
    assertEquals(error.errors.map((e) => [e.proxy, e.phase]), [
      ["a:1080", "dial"],
      ["b:1080", "request"],
      ["d:1080", "negotiate"],
    ]);
  }));

test("a proxy whose failure cannot pass is left out of further rounds", () =>
  withClock(async (clock) => {
    const { client, dialled } = setUp([{ dial: withCode("ECONNREFUSED") }, { script: after(2, says(1, 1)) }], {
      retry: 2,
    });
    assertEquals((await failure(clock, client.connect(TARGET))).code, "SOCKS5_AUTH_REFUSED");
    assertEquals(dialled(), "abaa");
  }));

test("a cooling proxy is passed over, probed by one connect when its time is up, and back after a success", () =>
  withClock(async (clock) => {
    const faults: (Fault | null)[] = [{ dial: withCode("ECONNREFUSED") }, null];
    const { client, dialled, transport } = setUp(faults, { cooldown: 10_000 });
    const connect = async () => (await clock.settle(client.connect(TARGET))).close();
    await connect();
    assertEquals(dialled(), "ab");
    await connect();
    assertEquals(dialled(), "abb", "it cools");
    await clock.tick(10_001);
    let open = () => {};
    transport.onConnect = () => new Promise((resolve) => open = resolve);
    const probe = client.connect(TARGET);
    await clock.tick(1);
    const release = open;
    transport.onConnect = () => {};
    faults[0] = null;
    await connect();
    assertEquals(dialled(), "abbab", "one probe, not a herd");
    release();
    (await clock.settle(probe)).close();
    assertEquals(client.stats().proxies[0]!.cooldown, 0);
    await connect();
    assertEquals(dialled(), "abbaba");
  }));

test("when all proxies cool, the one whose time is up first is tried first", () =>
  withClock(async (clock) => {
    const faults: (Fault | null)[] = [{ dial: withCode("ECONNREFUSED") }, { dial: withCode("ECONNREFUSED") }];
    const { client, dialled } = setUp(faults, { retry: 0 });
    await failure(clock, client.connect(TARGET));
    faults.fill(null);
    await clock.tick(1_000);
    (await clock.settle(client.connect(TARGET))).close();
    assertEquals(dialled(), "aba");
  }));

test("a target that is refused takes the proxy out of its cooldown: it works", () =>
  withClock(async (clock) => {
    const faults: (Fault | null)[] = [{ dial: withCode("ECONNREFUSED") }];
    const { client } = setUp(faults, { retry: 0 });
    await failure(clock, client.connect(TARGET));
    assertGreater(client.stats().proxies[0]!.cooldown, 0);
    faults[0] = { script: after(3, says(5, 5)) };
    await failure(clock, client.connect(TARGET));
    assertEquals(client.stats().proxies[0]!.cooldown, 0);
  }));

test("an error of retry.when rejects the connect and leaves nothing", () =>
  withClock(async (clock) => {
    const mistake = new Error("in when");
    const when = () => {
      throw mistake;
    };
    const { client, transport } = setUp([{ script: after(1, eof) }], { retry: { when } });
    const error = await clock.settle(client.connect(TARGET).then(() => null, (error: unknown) => error));
    assertStrictEquals(error, mistake);
    assertEquals([transport.open, client.stats().opening], [0, 0]);
  }));

test("REP 02 and a hang-up right after a password say that it may be the credentials", () =>
  withClock(async (clock) => {
    for (const act of [says(5, 2), eof]) {
      const { client } = setUp([{ script: after(3, act) }], { retry: 0 });
      const error = await failure(clock, client.connect(TARGET));
      assert(error.message.includes("it may not accept the credentials"), error.message);
    }
  }));
