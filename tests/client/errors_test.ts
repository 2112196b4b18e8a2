import { assert, assertEquals, assertInstanceOf, assertNotInstanceOf, assertStrictEquals } from "@std/assert";
import { inspect } from "node:util";
import {
  AuthError,
  ClosedError,
  isProxyFailure,
  LocalError,
  type Phase,
  ProxyError,
  type RequestEvent,
  Socks5Client,
  Socks5Error,
  type Socks5ErrorCode,
  TargetError,
  TimeoutError,
  TlsError,
} from "../../mod.ts";
import { cannotConnect, ProtocolError, socks5Error, withEarlier } from "../../src/errors.ts";
import { POLICY, ruleFor } from "../../src/proxies/policy.ts";
import type { Conn, Transport } from "../../src/transport.ts";
import { tablesOf } from "../support/papers.ts";
import { test } from "../support/test.ts";

/** The codes: one list for the policy, this test and docs/errors.md. */
const CODES = Object.keys(POLICY) as Socks5ErrorCode[];

/** The phases in which each code comes up, and whether it is `retryable` there. */
const TABLE: Record<Socks5ErrorCode, { type: typeof Socks5Error; retryable: { [P in Phase]?: boolean } }> = {
  SOCKS5_PROXY_UNREACHABLE: { type: ProxyError, retryable: { dial: true } },
  SOCKS5_PROXY_HUNG_UP: { type: ProxyError, retryable: { negotiate: true, authenticate: true } },
  SOCKS5_PROXY_NOT_SOCKS5: { type: ProxyError, retryable: { negotiate: false } },
  SOCKS5_PROXY_BAD_METHOD: { type: ProxyError, retryable: { negotiate: false } },
  SOCKS5_PROXY_BAD_REPLY: { type: ProxyError, retryable: { request: false } },
  SOCKS5_LOCAL_NOT_PERMITTED: { type: LocalError, retryable: { dial: false } },
  SOCKS5_LOCAL_FAILED: { type: LocalError, retryable: { dial: false } },
  SOCKS5_AUTH_NO_METHOD: { type: AuthError, retryable: { negotiate: false } },
  SOCKS5_AUTH_REFUSED: { type: AuthError, retryable: { authenticate: false } },
  SOCKS5_AUTH_FAILED: { type: AuthError, retryable: { authenticate: false } },
  SOCKS5_TARGET_FAILED: { type: TargetError, retryable: { request: false } },
  SOCKS5_TARGET_NOT_ALLOWED: { type: TargetError, retryable: { request: false } },
  SOCKS5_TARGET_NET_UNREACHABLE: { type: TargetError, retryable: { request: false } },
  SOCKS5_TARGET_HOST_UNREACHABLE: { type: TargetError, retryable: { request: false } },
  SOCKS5_TARGET_REFUSED: { type: TargetError, retryable: { request: false } },
  SOCKS5_TARGET_TTL_EXPIRED: { type: TargetError, retryable: { request: false } },
  SOCKS5_TARGET_BAD_COMMAND: { type: TargetError, retryable: { request: false } },
  SOCKS5_TARGET_BAD_ADDRESS_TYPE: { type: TargetError, retryable: { request: false } },
  SOCKS5_TARGET_UNKNOWN_REPLY: { type: TargetError, retryable: { request: false } },
  SOCKS5_TARGET_NO_REPLY: { type: TargetError, retryable: { request: false } },
  SOCKS5_TARGET_NOT_FOUND: { type: TargetError, retryable: { lookup: false } },
  SOCKS5_TARGET_ONION_NOT_FOUND: { type: TargetError, retryable: { request: false } },
  SOCKS5_TARGET_ONION_IS_INVALID: { type: TargetError, retryable: { request: false } },
  SOCKS5_TARGET_ONION_INTRO_FAILED: { type: TargetError, retryable: { request: false } },
  SOCKS5_TARGET_ONION_REND_FAILED: { type: TargetError, retryable: { request: false } },
  SOCKS5_TARGET_ONION_MISSING_CLIENT_AUTH: { type: TargetError, retryable: { request: false } },
  SOCKS5_TARGET_ONION_BAD_CLIENT_AUTH: { type: TargetError, retryable: { request: false } },
  SOCKS5_TARGET_ONION_BAD_ADDRESS: { type: TargetError, retryable: { request: false } },
  SOCKS5_TARGET_ONION_INTRO_TIMEDOUT: { type: TargetError, retryable: { request: false } },
  SOCKS5_TLS_UNTRUSTED: { type: TlsError, retryable: { dial: false, tls: false } },
  SOCKS5_TLS_WRONG_NAME: { type: TlsError, retryable: { dial: false, tls: false } },
  SOCKS5_TLS_EXPIRED: { type: TlsError, retryable: { dial: false, tls: false } },
  SOCKS5_TLS_NOT_TLS: { type: TlsError, retryable: { dial: false, tls: false } },
  SOCKS5_TLS_PLAINTEXT: { type: TlsError, retryable: { dial: false, tls: false } },
  SOCKS5_TLS_REFUSED: { type: TlsError, retryable: { dial: false, tls: false } },
  SOCKS5_TLS_HUNG_UP: { type: TlsError, retryable: { dial: true, tls: false } },
  SOCKS5_TLS_FAILED: { type: TlsError, retryable: { dial: false, tls: false } },
  SOCKS5_TIMEOUT: {
    type: TimeoutError,
    retryable: {
      pool: false,
      lookup: false,
      dial: false,
      negotiate: false,
      authenticate: false,
      request: false,
      tls: false,
      transfer: false,
    },
  },
  SOCKS5_ATTEMPT_TIMEOUT: {
    type: TimeoutError,
    retryable: { dial: true, negotiate: true, authenticate: true, request: false },
  },
  SOCKS5_CLIENT_CLOSED: {
    type: ClosedError,
    retryable: {
      pool: false,
      lookup: false,
      dial: false,
      negotiate: false,
      authenticate: false,
      request: false,
      transfer: false,
    },
  },
  SOCKS5_CONN_CLOSED: { type: ClosedError, retryable: { transfer: false } },
  SOCKS5_CONN_RESET: { type: ClosedError, retryable: { transfer: false } },
};

const CLASSES = [ProxyError, LocalError, AuthError, TargetError, TlsError, TimeoutError, ClosedError];

test("each code is in the table, and nothing else", () => {
  assertEquals(Object.keys(TABLE).sort(), [...CODES].sort());
});

test("docs/errors.md has a row for each code with its class and whether it is retryable", () => {
  const rows = tablesOf("docs/errors.md")["Codes"]!.map((row) => {
    const [code, type] = [row["Code"], row["Class"]].map((cell) => cell!.replaceAll("`", ""));
    return [code!, type!, /^\w+/.exec(row["`retryable`"]!)![0]];
  });
  const expected = CODES.map((code) => {
    const { type, retryable } = TABLE[code];
    return [code, type.name, Object.values(retryable).includes(true) ? "yes" : "no"];
  });
  assertEquals(rows.sort(), expected.sort());
});

test("each code has one class, and belongs to no other", () => {
  for (const code of CODES) {
    const error = socks5Error(code, "why", { phase: "dial" });
    assertStrictEquals(error.constructor, TABLE[code].type, code);
    assertInstanceOf(error, Socks5Error);
    assertInstanceOf(error, Error);
    for (const other of CLASSES) if (other !== TABLE[code].type) assertNotInstanceOf(error, other);
  }
});

test("each class has a name of its own, which is that of the class", () => {
  const names = new Map<unknown, string>();
  for (const code of CODES) {
    const error = socks5Error(code, "why", { phase: "dial" });
    assertEquals(error.name, TABLE[code].type.name);
    assertEquals(String(error), `${error.name}: why`);
    assert(error.stack?.startsWith(`${error.name}: why`), error.stack);
    names.set(error.constructor, error.name);
  }
  assertEquals([...names.values()].sort(), CLASSES.map((type) => type.name).sort());
  assertEquals(new Socks5Error("SOCKS5_TIMEOUT", "why", { phase: "dial" }).name, "Socks5Error");
});

test("retryable follows from code and phase alone", () => {
  for (const code of CODES) {
    for (const [phase, retryable] of Object.entries(TABLE[code].retryable) as [Phase, boolean][]) {
      const bare = socks5Error(code, "a", { phase });
      const full = socks5Error(code, "b", { phase, proxy: "p:1", target: "t:1", cause: new Error("x"), rep: 5 });
      assertEquals([bare.retryable, full.retryable], [retryable, retryable], `${code} in ${phase}`);
    }
  }
});

test("what is retryable is what the policy tries again", () => {
  for (const code of CODES) {
    for (const [phase, retryable] of Object.entries(TABLE[code].retryable) as [Phase, boolean][]) {
      const rule = ruleFor(socks5Error(code, "why", { phase }), false);
      assertEquals(rule.retry === true, retryable, `${code} in ${phase}`);
    }
  }
});

test("isProxyFailure() is true for what the policy passes a proxy over for, and for nothing else", () => {
  const phases: Phase[] = ["pool", "lookup", "dial", "negotiate", "authenticate", "request", "tls", "transfer"];
  for (const code of CODES) {
    for (const phase of phases) {
      const error = socks5Error(code, "why", { phase });
      assertEquals(isProxyFailure(error), ruleFor(error, false).cooldown, `${code} in ${phase}`);
    }
  }
});

test("isProxyFailure() looks at the first Socks5Error among an error and its causes", () => {
  const down = socks5Error("SOCKS5_PROXY_UNREACHABLE", "why", { phase: "dial" });
  const refused = socks5Error("SOCKS5_TARGET_REFUSED", "why", { phase: "request", cause: down });
  const wrap = (cause: unknown) => new TypeError("fetch failed", { cause: new Error("again", { cause }) });
  assertEquals([down, refused].map((error) => isProxyFailure(wrap(error))), [true, false]);
  const circle = new Error("circle");
  circle.cause = circle;
  const others = [
    circle,
    wrap(undefined),
    new Error("x"),
    { code: down.code, phase: "dial" },
    down.code,
    null,
    undefined,
  ];
  assertEquals(others.filter(isProxyFailure), []);
});

test("a TimeoutError has the name of what AbortSignal.timeout() aborts with", async () => {
  const signal = AbortSignal.timeout(0);
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  assertEquals(socks5Error("SOCKS5_TIMEOUT", "why", { phase: "dial" }).name, signal.reason.name);
});

test("an error says where it happened, and null where nothing is known", () => {
  const cause = new Error("ECONNREFUSED");
  const context = { phase: "dial", proxy: "p:1080", target: "t:80", cause } as const;
  const { code, phase, proxy, target, errors, cause: kept } = socks5Error("SOCKS5_PROXY_UNREACHABLE", "why", context);
  assertEquals({ code, phase, proxy, target, errors }, {
    code: "SOCKS5_PROXY_UNREACHABLE",
    phase: "dial",
    proxy: "p:1080",
    target: "t:80",
    errors: [],
  });
  assertStrictEquals(kept, cause);
  const bare = socks5Error("SOCKS5_TIMEOUT", "why", { phase: "pool" });
  assertEquals([bare.proxy, bare.target, "cause" in bare], [null, null, false]);
});

test("a TargetError carries REP, or null if there was no reply", () => {
  const refused = socks5Error("SOCKS5_TARGET_REFUSED", "why", { phase: "request", rep: 5 });
  assertInstanceOf(refused, TargetError);
  assertEquals(refused.rep, 5);
  for (const context of [{ phase: "request" } as const, { phase: "request", rep: null } as const]) {
    const silent = socks5Error("SOCKS5_TARGET_NO_REPLY", "why", context);
    assertInstanceOf(silent, TargetError);
    assertEquals(silent.rep, null);
  }
  assert(!("rep" in socks5Error("SOCKS5_PROXY_HUNG_UP", "why", { phase: "negotiate", rep: 5 })));
});

test("JSON and inspect show the code", () => {
  for (const code of CODES) {
    const phase = Object.keys(TABLE[code].retryable)[0] as Phase;
    const error = socks5Error(code, "why it failed", { phase, proxy: "p:1080", target: "t:80" });
    const json = JSON.parse(JSON.stringify(error));
    const { proxy, target, retryable } = error;
    assertEquals({ ...json, rep: null }, { code, phase, proxy, target, retryable, errors: [], rep: null });
    const shown = [inspect(error), ...("Deno" in globalThis ? [Deno.inspect(error)] : [])];
    for (const text of shown) {
      for (const part of [code, error.name, "why it failed", phase, "p:1080", "t:80"]) {
        assert(text.includes(part), `${part} is not in ${text}`);
      }
    }
  }
});

test("earlier failures are in errors, oldest first, before those that the error carries already", () => {
  const [a, b, c, d] = ["a", "b", "c", "d"].map((why) => socks5Error("SOCKS5_PROXY_HUNG_UP", why, { phase: "dial" }));
  assert(a && b && c && d);
  assertStrictEquals(withEarlier(d, []), d);
  assertEquals(d.errors, []);
  assertStrictEquals(withEarlier(d, [c]), d);
  withEarlier(d, [a, b]);
  assertEquals(d.errors.map(({ message }) => message), ["a", "b", "c"]);
  assertEquals(a.errors, [], "each error has a list of its own");
});

test("a Fault is none of the errors that a caller sees", () => {
  const fault = new ProtocolError("SOCKS5_TARGET_REFUSED", "why", 5);
  assertNotInstanceOf(fault, Socks5Error);
  assertEquals([fault.code, fault.message, fault.rep], ["SOCKS5_TARGET_REFUSED", "why", 5]);
  assertEquals(new ProtocolError("SOCKS5_PROXY_HUNG_UP", "why").rep, null);
});

test("a message begins with what was tried, as far as it is known", () => {
  assertEquals(cannotConnect("p:1080", "t:80"), "Cannot connect to t:80 through p:1080");
  assertEquals(cannotConnect(null, "t:80"), "Cannot connect to t:80");
  assertEquals(cannotConnect("p:1080", null), "Cannot use the proxy p:1080");
});

const TUNNEL = "Cannot connect to example.com:443 through 127.0.0.1:1080: ";
const MAYBE = "; it may not accept the credentials";

/** What a proxy does, and what comes of it: without credentials, and with some that it took. */
const FAILURES: [name: string, answer: number[], code: Socks5ErrorCode, phase: Phase, why: string, hint?: string][] = [
  ["an end at once", [], "SOCKS5_PROXY_HUNG_UP", "negotiate", "the proxy closed the connection in the handshake"],
  ["HTTP", [0x48, 0x54], "SOCKS5_PROXY_NOT_SOCKS5", "negotiate", 'an HTTP server answered ("HT", 48 54)'],
  ["GSSAPI", [5, 1], "SOCKS5_PROXY_BAD_METHOD", "negotiate", "the proxy chose a method that was not offered (05 01)"],
  ["REP 05", [5, 0, 5, 5], "SOCKS5_TARGET_REFUSED", "request", "connection refused by the target (REP 05)"],
  [
    "REP 02",
    [5, 0, 5, 2],
    "SOCKS5_TARGET_NOT_ALLOWED",
    "request",
    "not allowed by the rules of the proxy (REP 02)",
    MAYBE,
  ],
  ["VER 4", [5, 0, 4, 0], "SOCKS5_PROXY_BAD_REPLY", "request", "the reply of the proxy is malformed (04 00)"],
  [
    "no reply",
    [5, 0],
    "SOCKS5_TARGET_NO_REPLY",
    "request",
    "the proxy closed the connection before it replied",
    MAYBE,
  ],
  [
    "a byte",
    [5, 0, 5],
    "SOCKS5_TARGET_NO_REPLY",
    "request",
    "the proxy closed the connection before it replied",
    MAYBE,
  ],
];

test("connect() says what was tried and why it failed, and hints at the credentials where they may be it", async () => {
  for (const [name, answer, code, phase, why, hint = ""] of FAILURES) {
    for (const user of ["", "u:p@"]) {
      const error = await failure(`socks5h://${user}127.0.0.1:1080`, answering(answer));
      const { proxy, target } = error;
      assertEquals([error.code, error.phase, proxy, target], [code, phase, "127.0.0.1:1080", "example.com:443"], name);
      assertEquals(error.message, TUNNEL + why + (user === "" ? "" : hint));
      assertEquals("cause" in error, false);
    }
  }
});

test("connect() tells a refused password from a missing one", async () => {
  const cases: [string, number[], Socks5ErrorCode, Phase, string][] = [
    [
      "u:p@",
      [5, 2, 1, 1],
      "SOCKS5_AUTH_REFUSED",
      "authenticate",
      "the proxy refused the user name or password (STATUS 01)",
    ],
    [
      "u:p@",
      [5, 2],
      "SOCKS5_AUTH_REFUSED",
      "authenticate",
      "the proxy closed the connection after the user name and password",
    ],
    [
      "u:p@",
      [5, 0xff],
      "SOCKS5_AUTH_NO_METHOD",
      "negotiate",
      "the proxy accepts no authentication method that was offered (05 FF)",
    ],
  ];
  for (const [user, answer, code, phase, why] of cases) {
    const error = await failure(`socks5h://${user}127.0.0.1:1080`, answering(answer));
    assertInstanceOf(error, AuthError);
    assertEquals([error.code, error.phase, error.message], [code, phase, TUNNEL + why]);
  }
  const { message } = await failure("socks5h://127.0.0.1:1080", answering([5, 0xff]));
  assertEquals(message.endsWith("(05 FF): it wants credentials, and none were given"), true);
});

test("a dial that is not permitted, or finds no file left, is a LocalError and is tried once", async () => {
  const named = (name: string) => Object.assign(new Error("why"), { name });
  const coded = (code: string) => Object.assign(new Error("why"), { code });
  const denied: unknown[] = [...["NotCapable", "PermissionDenied"].map(named), ...["EACCES", "EPERM"].map(coded)];
  const exhausted: unknown[] = ["EMFILE", "ENFILE"].map(coded);
  const other = [named("ConnectionRefused"), coded("ECONNREFUSED"), coded("ENOTFOUND"), new Error(""), "a string", 5];
  for (const cause of [...denied, ...exhausted, ...other]) {
    const [type, code] = denied.includes(cause)
      ? [LocalError, "SOCKS5_LOCAL_NOT_PERMITTED"]
      : exhausted.includes(cause)
      ? [LocalError, "SOCKS5_LOCAL_FAILED"]
      : [ProxyError, "SOCKS5_PROXY_UNREACHABLE"];
    const attempts: RequestEvent[] = [];
    const client = new Socks5Client("socks5h://127.0.0.1:1080", {
      transport: { connect: () => Promise.reject(cause) },
      retry: { retries: 1, minDelay: 0 },
      onEvent: (event) => void (event.type === "attempt" && attempts.push(event)),
    });
    const error = await client.connect("example.com:443").then(() => null, (error: unknown) => error);
    assertInstanceOf(error, type);
    assertEquals([error.code, error.phase, error.cause], [code, "dial", cause]);
    assertEquals(attempts.length, error.retryable ? 2 : 1);
    assertEquals(error.errors.length, attempts.length - 1);
  }
});

test("wrong arguments that a transport finds stay what they are", async () => {
  for (const cause of [new TypeError("bad"), new RangeError("bad")]) {
    const client = new Socks5Client("socks5h://127.0.0.1:1080", {
      transport: { connect: () => Promise.reject(cause) },
    });
    assertStrictEquals(await client.connect("example.com:443").then(() => null, (error: unknown) => error), cause);
  }
});

test("the error of the runtime is the cause of a connection that broke", async () => {
  const cause = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
  const cases: [number[], Socks5ErrorCode, Phase, string][] = [
    [[], "SOCKS5_PROXY_HUNG_UP", "negotiate", "the proxy broke the connection in the handshake"],
    [[5, 2], "SOCKS5_PROXY_HUNG_UP", "authenticate", "the proxy broke the connection in the handshake"],
    [[5, 0], "SOCKS5_TARGET_NO_REPLY", "request", `the proxy broke the connection before it replied${MAYBE}`],
  ];
  for (const [answer, code, phase, why] of cases) {
    const error = await failure("socks5h://u:p@127.0.0.1:1080", answering(answer, cause));
    assertEquals([error.code, error.phase, error.message], [code, phase, TUNNEL + why]);
    assertStrictEquals(error.cause, cause);
  }
});

async function failure(proxy: string, transport: Transport): Promise<Socks5Error> {
  const error = await new Socks5Client(proxy, { transport, retry: 0 }).connect("example.com:443")
    .then(() => null, (error: unknown) => error);
  assertInstanceOf(error, Socks5Error);
  return error;
}

/** Opens connections that give `answer` and then the end, or an error. */
function answering(answer: readonly number[], error?: Error): Transport {
  const open = (): Conn => {
    const left = [...answer];
    return {
      read: (p) => {
        const bytes = left.splice(0, p.length);
        p.set(bytes);
        if (bytes.length > 0) return Promise.resolve(bytes.length);
        return error === undefined ? Promise.resolve(null) : Promise.reject(error);
      },
      write: (p) => Promise.resolve(p.length),
      closeWrite: () => Promise.resolve(),
      close: () => {},
    };
  };
  return { connect: () => Promise.resolve(open()) };
}
