// deno-lint-ignore-file require-yield no-unsafe-finally -- methods that have nothing to say, and such as misbehave
import { assert, assertEquals, assertInstanceOf, assertStringIncludes, assertThrows } from "@std/assert";
import {
  type AuthContext,
  AuthError,
  type AuthMethod,
  Socks5Client,
  type Socks5Conn,
  type Socks5Options,
} from "../../mod.ts";
import { certificates } from "../support/certificates.ts";
import { bytes, readAll, readFull, text } from "../support/contract.ts";
import { FakeConn, FakeTransport, type Script } from "../support/fake.ts";
import { FramedConn, GSSAPI, gssapi, SIGNED, signed, startMethodProxy } from "../support/methods.ts";
import { assertEchoes, failure } from "../support/stage.ts";
import { test } from "../support/test.ts";
import { startTls } from "../support/tls_targets.ts";
import { until } from "../support/wait.ts";

const TARGET = "192.0.2.1:80";

/** A method that has nothing to say. */
const mute = (method: number): AuthMethod => ({ method, *negotiate() {} });

const wrong: [what: string, methods: unknown, type: typeof TypeError | typeof RangeError, message: string][] = [
  ["no list", mute(0x80), TypeError, "Cannot use methods as a list of methods"],
  ["null", null, TypeError, "Cannot use methods as a list of methods"],
  ["null in it", [null], TypeError, "Cannot use methods[0].negotiate as a function"],
  ["a number in it", [0x80], TypeError, "Cannot use methods[0].negotiate as a function"],
  ["without negotiate", [mute(0x80), { method: 0x81 }], TypeError, "Cannot use methods[1].negotiate as a function"],
  ["a text for METHOD", [{ ...mute(0), method: "0x80" }], TypeError, "Cannot use methods[0].method as"],
  ["METHOD twice", [mute(0x80), mute(0x81), mute(0x80)], TypeError, "Cannot use methods[2].method as"],
  ...[0x00, 0x02, 0xff, 256, -1, 1.5, NaN, Infinity].map((
    method,
  ): typeof wrong[number] => [`METHOD ${method}`, [mute(method)], RangeError, "Cannot use methods[0].method as"]),
];

for (const [what, methods, type, message] of wrong) {
  test(`methods: ${what} is a ${type.name} that names the option`, () => {
    const make = () => new Socks5Client("socks5h://a", { methods } as Socks5Options);
    const error = assertThrows(make, type);
    assertEquals(error.constructor, type);
    assertStringIncludes(error.message, message);
  });
}

const A = [mute(0x81), mute(0x03), mute(0x80)];
const ALL = Array.from({ length: 254 }, (_, i) => i + 1).filter((method) => method !== 2);
const own = { username: "me", password: "own" };

const greetings: [what: string, url: string, options: Socks5Options, credentials: unknown, offered: number[]][] = [
  ["none of one's own", "socks5h://a", { methods: [] }, undefined, [0]],
  ["in their order, then no authentication", "socks5h://a", { methods: A }, undefined, [0x81, 3, 0x80, 0]],
  ["before what credentials offer", "socks5h://u:p@a", { methods: A }, undefined, [0x81, 3, 0x80, 0, 2]],
  ["required, with credentials", "socks5h://u:p@a", { methods: A, auth: "required" }, undefined, [0x81, 3, 0x80, 2]],
  ["required, without", "socks5h://a", { methods: A, auth: "required" }, undefined, [0x81, 3, 0x80]],
  ["credentials of a connect", "socks5h://a", { methods: A }, own, [2]],
  ["no credentials for a connect", "socks5h://u:p@a", { methods: A }, null, [0]],
  ["255 of them", "socks5h://u:p@a", { methods: ALL.map(mute) }, undefined, [...ALL, 0, 2]],
  ["one write asked for", "socks5h://a", { methods: A, handshake: "pipelined" }, undefined, [0x81, 3, 0x80, 0]],
];

for (const [what, url, options, credentials, offered] of greetings) {
  test(`the greeting offers methods: ${what}`, async () => {
    const transport = new FakeTransport((conn) => conn.push(5, 0xff));
    const client = new Socks5Client(url, { ...options, transport, retry: 0 });
    const error = await failure(client.connect(TARGET, { credentials } as object));
    assertEquals(error.code, "SOCKS5_AUTH_NO_METHOD");
    assertEquals(error.message.includes("it wants credentials"), offered.length === 1 && offered[0] === 0);
    assertEquals(transport.conns[0]!.written, [5, offered.length, ...offered]);
    assertEquals(transport.open, 0);
  });
}

test("a method of one's own does not allow the proxy to choose another", async () => {
  for (const method of [1, 2, 0x82]) {
    const transport = new FakeTransport((conn) => conn.push(5, method));
    const client = new Socks5Client("socks5h://a", { methods: A, transport, retry: 0 });
    assertEquals((await failure(client.connect(TARGET))).code, "SOCKS5_PROXY_BAD_METHOD");
    assertEquals(transport.open, 0);
  }
});

/** A proxy that chooses METHOD 80 and then says `said`, whatever it is told; then it takes each request. */
function choosing(said: number[] = []): Script {
  const told = new WeakSet<object>();
  return (conn, written) => {
    if (written[0] === 5 && written[2] === 0x80) conn.push(5, 0x80, ...said);
    else if (written[0] === 5 && !told.has(conn.line)) {
      told.add(conn.line);
      conn.push(5, 0, 0, 1, 0, 0, 0, 0, 0, 0);
    } else if (told.has(conn.line)) conn.push(...written);
  };
}

/** The outcome of a connect with a method, through a fake. */
async function attempt(
  negotiate: (context: AuthContext) => unknown,
  script: Script = choosing([7, 8, 9]),
  options: Socks5Options = {},
): Promise<{ transport: FakeTransport; client: Socks5Client; connecting: Promise<Socks5Conn> }> {
  const transport = new FakeTransport(script);
  const methods = [{ method: 0x80, negotiate } as AuthMethod];
  const client = new Socks5Client("socks5h://u:p@a", { methods, transport, retry: 0, ...options });
  const connecting = client.connect(TARGET);
  await connecting.catch(() => {});
  return { transport, client, connecting };
}

test("what a method is told: proxy, credentials of the proxy, a signal and the connection", async () => {
  let given: AuthContext | undefined;
  const { connecting, transport } = await attempt(function* (context) {
    given = context;
  }, choosing());
  await given!.conn.write(bytes("through it"));
  (await connecting).close();
  const { proxy, credentials, signal } = given!;
  assertEquals([proxy, credentials], ["a:1080", { username: "u", password: "p" }]);
  assertEquals(signal.aborted, false);
  assertEquals(transport.conns[0]!.written.slice(-10), [...bytes("through it")]);
  assertEquals(transport.conns[0]!.closed, true);
  assertEquals(Object.keys(given!).sort(), ["conn", "credentials", "proxy", "signal"]);
});

for (const isAsync of [false, true]) {
  test(`${isAsync ? "an async" : "a"} generator is given each answer and no byte more`, async () => {
    const answers: number[][] = [];
    const steps = [{ have: 1 }, { have: 2, most: 4 }, { write: bytes("a"), have: 0 }] as const;
    const { connecting, transport } = await attempt(
      isAsync
        ? async function* () {
          for (const step of steps) answers.push([...(yield step) as Uint8Array]);
        }
        : function* () {
          for (const step of steps) answers.push([...(yield step) as Uint8Array]);
        },
    );
    (await connecting).close();
    assertEquals(answers, [[7], [7, 8, 9], []]);
    assertEquals(transport.conns[0]!.written.slice(0, 8), [5, 3, 0x80, 0, 2, 97, 5, 1]);
  });
}

test("an answer stays what it was when the next message is sent", async () => {
  let first: Uint8Array | undefined;
  const { connecting } = await attempt(async function* () {
    first = (yield { write: bytes("a"), have: 3 }) as Uint8Array;
    yield { write: bytes("b"), have: 3 };
  }, (conn, written) => {
    if (written[0] === 5 && written[2] === 0x80) conn.push(5, 0x80);
    else if (written[0] === 5) conn.push(5, 0, 0, 1, 0, 0, 0, 0, 0, 0);
    else conn.push(...(written[0] === 97 ? [1, 2, 3] : [4, 5, 6]));
  });
  (await connecting).close();
  assertEquals([...first!], [1, 2, 3]);
});

const SECRET = "kanarienvogel";

const nonsense: [what: string, negotiate: () => unknown, says: string][] = [
  ...([
    ["no step", null, "have is undefined"],
    ["a step of nothing", {}, "have is undefined"],
    ["have 0 without a message", { have: 0 }, "have is 0"],
    ["have -1", { have: -1 }, "have is -1"],
    ["have NaN", { have: NaN }, "have is NaN"],
    ["have 1.5", { have: 1.5 }, "have is 1.5"],
    ["have a text", { have: "2" }, "have is a string"],
    ["a huge have", { have: 2 ** 32 }, "have is 4294967296"],
    ["have Infinity", { have: Infinity }, "have is Infinity"],
    ["most below have", { have: 2, most: 1 }, "most is 1"],
    ["a huge most", { have: 2, most: 2 ** 20 + 1 }, "most is 1048577"],
    ["most NaN", { have: 2, most: NaN }, "most is NaN"],
    ["a text for a message", { write: SECRET, have: 1 }, "write is no Uint8Array"],
  ] as [string, unknown, string][]).map(([what, step, says]): typeof nonsense[number] => [
    `yields ${what}`,
    async function* () {
      yield step;
    },
    `negotiate() of the authentication method yielded a step whose ${says} (METHOD 80)`,
  ]),
  ["gives nothing", () => undefined, "negotiate() of the authentication method gave no steps (METHOD 80)"],
  ["gives a text", () => SECRET, "negotiate() of the authentication method gave no steps (METHOD 80)"],
  [
    "returns what is no connection",
    function* () {
      return { read() {}, write() {}, close() {}, secret: SECRET };
    },
    "negotiate() of the authentication method returned no connection (METHOD 80)",
  ],
  [
    "throws at once",
    () => {
      throw new TypeError(SECRET);
    },
    "the authentication failed (METHOD 80)",
  ],
  [
    "throws before it yields",
    function* () {
      throw new Error(SECRET);
    },
    "the authentication failed (METHOD 80)",
  ],
  [
    "throws after an answer",
    async function* () {
      yield { have: 2 };
      throw new RangeError(SECRET);
    },
    "the authentication failed (METHOD 80)",
  ],
  ["has steps that throw", () => ({ next: () => Promise.reject(SECRET) }), "the authentication failed (METHOD 80)"],
];

for (const [what, negotiate, says] of nonsense) {
  test(`a method that ${what} is an AuthError, and nothing is open`, async () => {
    const { connecting, transport, client } = await attempt(negotiate);
    const error = await failure(connecting);
    assertInstanceOf(error, AuthError);
    assertEquals([error.code, error.phase, error.retryable], ["SOCKS5_AUTH_FAILED", "authenticate", false]);
    assertEquals(error.message, `Cannot connect to ${TARGET} through a:1080: ${says}`);
    const { cause } = error as { cause?: unknown };
    assertEquals(says.includes("failed") ? String(cause).includes(SECRET) : cause === undefined, true, String(cause));
    assertEquals([transport.open, client.stats().opening, client.stats().inUse], [0, 0, 0]);
    const [report] = await client.check();
    assertEquals([report!.verdict, report!.code], ["auth-refused", "SOCKS5_AUTH_FAILED"]);
    assert(!JSON.stringify(report).includes(SECRET));
    assertEquals(transport.open, 0);
  });
}

test("a method that fails makes the next proxy be tried, and cools the one before", async () => {
  const transport = new FakeTransport(choosing());
  const methods: AuthMethod[] = [{
    method: 0x80,
    *negotiate({ proxy }) {
      if (proxy.startsWith("a:")) throw new Error("not here");
    },
  }];
  const client = new Socks5Client(["socks5h://a", "socks5h://b"], { methods, transport });
  const conn = await client.connect(TARGET);
  assertEquals(conn.proxy, "b:1080");
  conn.close();
  assertEquals(client.stats().proxies.map(({ failures, cooldown }) => [failures, cooldown > 0]), [[1, true], [
    0,
    false,
  ]]);
  assertEquals([transport.endpoints.length, transport.open], [2, 0]);
});

for (const how of ["end", "reset"] as const) {
  test(`a proxy that ${how}s in a method of one's own ends it where it waits`, async () => {
    let finals = 0;
    const script: Script = (conn, written) => written[0] === 5 ? conn.push(5, 0x80) : conn[how]();
    const { connecting, transport } = await attempt(async function* () {
      try {
        yield { write: bytes("a"), have: 1 };
        throw new Error("never");
      } finally {
        finals++;
        throw new Error("nobody hears of it");
      }
    }, script);
    const error = await failure(connecting);
    const codes = { end: "SOCKS5_AUTH_REFUSED", reset: "SOCKS5_PROXY_HUNG_UP" };
    assertEquals([error.code, error.phase, finals], [codes[how], "authenticate", 1]);
    if (how === "end") assertStringIncludes(error.message, "closed the connection while authenticating (METHOD 80)");
    assertEquals(transport.open, 0);
  });
}

test("a method that waits for something else than the proxy is given up by the signal, the attempt and close()", async () => {
  for (const how of ["abort", "attempt", "close"] as const) {
    const seen: AbortSignal[] = [];
    const transport = new FakeTransport(choosing());
    const reached = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    const methods: AuthMethod[] = [{
      method: 0x80,
      async *negotiate({ signal, conn }) {
        seen.push(signal);
        reached.resolve();
        await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
        ended.resolve();
        return new FramedConn(conn);
      },
    }];
    const attemptTimeout = how === "attempt" ? 30 : 10_000;
    const client = new Socks5Client("socks5h://a", { methods, transport, retry: 0, attemptTimeout });
    const controller = new AbortController();
    const outcome = client.connect(TARGET, { signal: controller.signal }).then(() => null, (error) => error);
    await reached.promise;
    if (how === "abort") controller.abort(how);
    if (how === "close") await client.close();
    const error = await outcome;
    await ended.promise;
    const codes = { abort: undefined, attempt: "SOCKS5_ATTEMPT_TIMEOUT", close: "SOCKS5_CLIENT_CLOSED" };
    assertEquals(how === "abort" ? error : error.code, how === "abort" ? "abort" : codes[how]);
    if (how === "attempt") assertStringIncludes(error.message, "waiting for the proxy to authenticate this client");
    assertEquals([seen[0]!.aborted, transport.open], [true, 0]);
    await client.close();
  }
});

test("a method is not gone on with once nobody waits for it, although the transport ignores close()", async () => {
  const transport = new FakeTransport(choosing());
  const reached = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  let isResumed = false;
  const methods: AuthMethod[] = [{
    method: 0x80,
    async *negotiate() {
      try {
        reached.resolve();
        yield { have: 1 };
        isResumed = true;
      } finally {
        ended.resolve();
      }
    },
  }];
  const client = new Socks5Client("socks5h://a", { methods, transport });
  const controller = new AbortController();
  const outcome = client.connect(TARGET, { signal: controller.signal }).catch((reason) => reason);
  await reached.promise;
  const [conn] = transport.conns;
  conn!.close = () => {};
  controller.abort("now");
  assertEquals(await outcome, "now");
  conn!.push(1);
  await ended.promise;
  assertEquals(isResumed, false);
  await client.close();
});

test("a connection that a method returns too late is closed", async () => {
  const transport = new FakeTransport(choosing());
  const late = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  const wrapped: FramedConn[] = [];
  const methods: AuthMethod[] = [{
    method: 0x80,
    async *negotiate({ conn }) {
      reached.resolve();
      await late.promise;
      wrapped.push(new FramedConn(conn));
      return wrapped[0]!;
    },
  }];
  const client = new Socks5Client("socks5h://a", { methods, transport });
  const controller = new AbortController();
  const outcome = client.connect(TARGET, { signal: controller.signal }).catch((reason) => reason);
  await reached.promise;
  controller.abort("now");
  assertEquals(await outcome, "now");
  late.resolve();
  await client.close();
  for (let i = 0; i < 20; i++) await undefined;
  assertEquals([wrapped[0]!.closes, transport.open], [1, 0]);
});

test("a challenge of the proxy is signed and checked by a real server, and warm sessions and check() do it, too", async () => {
  const proxy = await startMethodProxy({ method: SIGNED, password: "sesame" });
  const url = `socks5h://me:sesame@${proxy.host}`;
  const client = new Socks5Client(url, { methods: [signed], handshake: "pipelined", pool: { warm: 1 } });
  const conn = await client.connect(TARGET);
  await assertEchoes(conn);
  const { socket } = conn.detach(); // a method that wraps nothing leaves the runtime's own
  const { close, destroy } = socket as { close?(): void; destroy?(): void };
  (close ?? destroy)!.call(socket);
  await until(() => client.stats().warm === 1);
  assertEquals(proxy.greetings.length, 2);
  const second = await client.connect(TARGET);
  await assertEchoes(second);
  second.close();
  const [report] = await client.check(TARGET, { probe: bytes("x") });
  assertEquals([report!.verdict, report!.steps.map(({ status }) => status).join()], ["ok", "ok,ok,ok,ok,ok"]);
  assertEquals(
    report!.steps.find(({ phase }) => phase === "authenticate")!.message,
    "the proxy accepted the authentication",
  );
  assert(proxy.greetings.every((greeting) => String(greeting) === "5,3,128,0,2"));
  await client.close();
  const other = new Socks5Client(url.replace("sesame", "wrong"), { methods: [signed], retry: 0 });
  const error = await failure(other.connect(TARGET));
  assertEquals([error.code, String(error.cause)], ["SOCKS5_AUTH_FAILED", "Error: refused, 1"]);
  await proxy.close();
});

test("with a method that encapsulates, request, reply and all bytes go through it, cut at each byte", async () => {
  const whole = await startMethodProxy({ method: GSSAPI });
  await talk(whole.host);
  const length = whole.sent;
  await whole.close();
  const cuts = Array.from({ length }, (_, i) => [i]);
  for (const at of [...cuts, cuts.flat()]) {
    const proxy = await startMethodProxy({ method: GSSAPI, cuts: at });
    await talk(proxy.host);
    assertEquals(proxy.greetings, [[5, 2, 1, 0]]);
    await proxy.close();
  }
});

test("a proxy that hangs up at any byte of an encapsulated handshake is a clear error", async () => {
  const codes = new Set<string>();
  for (let endsAt = 0; endsAt < 30; endsAt++) {
    const proxy = await startMethodProxy({ method: GSSAPI, endsAt });
    const client = new Socks5Client(`socks5h://${proxy.host}`, { methods: [gssapi], retry: 0 });
    const error = await failure(client.connect(TARGET));
    codes.add(`${error.phase} ${error.code}`);
    assertEquals(client.stats().opening, 0);
    await proxy.close();
  }
  assertEquals([...codes], [
    "negotiate SOCKS5_PROXY_HUNG_UP",
    "authenticate SOCKS5_AUTH_REFUSED",
    "request SOCKS5_TARGET_NO_REPLY",
  ]);
});

test("sessions that are kept ready, and check(), go through what a method returns", async () => {
  const proxy = await startMethodProxy({ method: GSSAPI });
  const client = new Socks5Client(`socks5h://${proxy.host}`, { methods: [gssapi], pool: { warm: 1 } });
  (await client.connect(TARGET)).close();
  await until(() => client.stats().warm === 1);
  const events = proxy.greetings.length;
  const conn = await client.connect(TARGET);
  await assertEchoes(conn);
  assertEquals(events, 2);
  conn.close();
  assertEquals((await client.check(TARGET, { probe: bytes("x") })).map(({ verdict }) => verdict), ["ok"]);
  await client.close();
  await proxy.close();
});

test("TLS with the target goes through what a method returns, at once or later", async () => {
  const target = await startTls({ certificate: certificates().names }, (socket) => void socket.pipe(socket));
  const proxy = await startMethodProxy({ method: GSSAPI, target: target.port });
  const client = new Socks5Client(`socks5h://${proxy.host}`, { methods: [gssapi] });
  const tls = { caCerts: [certificates().authority.cert], serverName: "example.com" };
  const first = await client.connect(TARGET, { tls });
  await assertEchoes(first);
  first.close();
  const second = await (await client.connect(TARGET)).startTls(tls);
  await assertEchoes(second);
  second.close();
  await client.close();
  await target.until(() => target.open === 0);
  for (const it of [proxy, target]) await it.close();
});

/** Uses a tunnel in all ways: read and write, reuse, detach, the streams, the end. */
async function talk(host: string): Promise<void> {
  const client = new Socks5Client(`socks5h://${host}`, { methods: [gssapi] });
  const first = await client.connect(TARGET, { reuse: true });
  await assertEchoes(first);
  const error = assertThrows(() => first.detach(), TypeError);
  assertStringIncludes(error.message, "has no socket to give");
  first.release();
  const second = await client.connect(TARGET, { reuse: true });
  assertEquals(second.reused, true);
  await second.write(bytes("pong"));
  assertEquals(text(await readFull(second, 4)), "pong");
  await second.closeWrite();
  assertEquals((await readAll(second, 10)).length, 0);
  second.close();
  await client.close();
}

test("the session owns the connection that a method returns: closing the tunnel closes it once", async () => {
  const wrapped: FramedConn[] = [];
  const { connecting, transport } = await attempt(function* ({ conn }) {
    wrapped.push(new FramedConn(conn));
    return wrapped[0];
  }, (conn, written) => {
    if (written[2] === 0x80) conn.push(5, 0x80);
    else conn.push(1, 3, 0, 10, ...[5, 0, 0, 1, 0, 0, 0, 0, 0, 0].map((byte) => byte ^ 0x5a));
  });
  const conn = await connecting;
  assertEquals([wrapped[0]!.closes, transport.open], [0, 1]);
  conn.close();
  conn.close();
  assertEquals([wrapped[0]!.closes, transport.open], [1, 0]);
  assertInstanceOf(transport.conns[0], FakeConn);
});
