import { assert, assertEquals, assertInstanceOf, assertStringIncludes, assertThrows } from "@std/assert";
import { type CheckOptions, type ConnectOptions, Socks5Client, type Socks5Options, type Target } from "../../mod.ts";
import { MAX_DELAY, milliseconds, settings } from "../../src/config/settings.ts";
import type { Transport } from "../../src/transport.ts";
import { test } from "../support/test.ts";

const PROXY = "socks5h://127.0.0.1:1080";

/** A transport that must not be used, or only to fail. */
function unused(): Transport & { dials: number } {
  return {
    dials: 0,
    connect() {
      this.dials++;
      return Promise.reject(new Error("refused"));
    },
    lookup: () => Promise.resolve([]),
  };
}

/** Puts `value` where `name` says: `"pool.maxOpen"` is `{ pool: { maxOpen: value } }`. */
function option(name: string, value: unknown): Socks5Options {
  const [group = "", member] = name.split(".");
  return { [group]: member === undefined ? value : { [member]: value } };
}

/** The error of making a client with the option, which names option and value. */
function refused(name: string, value: unknown, expected: typeof TypeError | typeof RangeError): void {
  const transport = unused();
  const error = assertThrows(() => new Socks5Client(PROXY, { transport, ...option(name, value) }), Error);
  assertInstanceOf(error, expected, `${name}: ${String(value)}: ${error}`);
  assertNames(error, name, value);
  assertEquals(transport.dials, 0);
}

function assertNames(error: Error, name: string, value: unknown): void {
  assertStringIncludes(error.message, `Cannot use ${name} as `);
  assert(error.message.endsWith(`: current value is ${SHOWN.get(value) ?? value}`), error.message);
}

function accepted(name: string, value: unknown): void {
  assertInstanceOf(new Socks5Client(PROXY, { transport: unused(), ...option(name, value) }), Socks5Client);
}

const TIMES = [
  "timeout",
  "attemptTimeout",
  "attemptDelay",
  "cooldown",
  "maxCooldown",
  "retry.maxDelay",
  "pool.idleTimeout",
  "pool.maxLifetime",
  "pool.warmIdle",
];
const FINITE_TIMES = ["retry.minDelay", "keepAlive"];
const COUNTS = ["retry", "retry.retries", "pool.maxOpen", "pool.maxIdle", "trackSessions"];
/** What a message shows of these; of numbers, booleans and nothing, themselves. */
const SHOWN = new Map<unknown, string>([
  ["", "an empty string"],
  ...["5", "3", "true", "Pipelined", "parallel", "remote", "Local", "none", "Required", "First", "roundrobin"].map((
    it,
  ) => [it, "a string"]),
] as [unknown, string][]);
const keep = <T>(value: T, shown: string): T => (SHOWN.set(value, shown), value);
const [LIST, OBJECT, FUNCTION] = [keep([5], "an array"), keep({}, "an object"), keep(() => 5, "a function")];
const [BIGINT, SYMBOL, TEXT] = [keep(5n, "a bigint"), keep(Symbol("5"), "a symbol"), keep("5", "a string")];
const NO_NUMBERS = [TEXT, "", null, BIGINT, LIST, OBJECT, FUNCTION, SYMBOL];

for (const name of [...TIMES, ...FINITE_TIMES]) {
  test(`${name} is 0 to ${MAX_DELAY} milliseconds${FINITE_TIMES.includes(name) ? "" : " or Infinity"}`, () => {
    for (const value of [0, -0, 0.5, 1, 30_000, MAX_DELAY, undefined]) accepted(name, value);
    for (const value of [NaN, -1, -0.001, -Infinity, MAX_DELAY + 1, MAX_DELAY + 0.5, 1e300]) {
      refused(name, value, RangeError);
    }
    for (const value of NO_NUMBERS) refused(name, value, TypeError);
    if (FINITE_TIMES.includes(name)) refused(name, Infinity, RangeError);
    else accepted(name, Infinity);
  });
}

for (const name of COUNTS) {
  test(`${name} is a whole number from 0, or Infinity`, () => {
    for (const value of [0, -0, 1, 100, 2 ** 31, Infinity, undefined]) accepted(name, value);
    for (const value of [NaN, -1, -Infinity, 1.5, 0.1]) refused(name, value, RangeError);
    if (name === "retry") return;
    for (const value of [...NO_NUMBERS, true]) refused(name, value, TypeError);
  });
}

test("pool.warm is a whole number from 0 to pool.maxOpen", () => {
  for (const value of [0, -0, 1, 100, undefined]) accepted("pool.warm", value);
  for (const value of [NaN, -1, -Infinity, 1.5, 0.1]) refused("pool.warm", value, RangeError);
  for (const value of [...NO_NUMBERS, true]) refused("pool.warm", value, TypeError);
  for (const [maxOpen, warm] of [[undefined, 101], [5, 6], [0, 1], [100, Infinity]] as const) {
    const error = assertThrows(() => settings({ pool: { maxOpen, warm } }), RangeError);
    const most = `a number up to pool.maxOpen, ${maxOpen ?? 100}`;
    assertEquals(error.message, `Cannot use pool.warm as ${most}: current value is ${warm}`);
  }
  for (const n of [0, 5]) assertEquals(settings({ pool: { maxOpen: n, warm: n } }).warm, n);
  assertEquals(settings({ pool: { maxOpen: Infinity, warm: 5 } }).warm, 5);
  const endless = assertThrows(() => settings({ pool: { maxOpen: Infinity, warm: Infinity } }), RangeError);
  assertEquals(endless.message, "Cannot use pool.warm as a whole number from 0: current value is Infinity");
});

test(`pool.warmTimeout is 1000 to ${MAX_DELAY} milliseconds or Infinity`, () => {
  for (const value of [1_000, 1_000.5, 20_000, MAX_DELAY, Infinity, undefined]) accepted("pool.warmTimeout", value);
  for (const value of [NaN, -1, 0, 1, 999, 999.9, -Infinity, MAX_DELAY + 1]) {
    refused("pool.warmTimeout", value, RangeError);
  }
  for (const value of NO_NUMBERS) refused("pool.warmTimeout", value, TypeError);
});

test("handshake is sequential or pipelined, and nothing else", () => {
  for (const value of ["sequential", "pipelined", undefined]) accepted("handshake", value);
  for (const value of ["parallel", "", "Pipelined", true, false, null, 1, OBJECT]) {
    refused("handshake", value, TypeError);
  }
});

test("a group of options is an object, and is never dropped silently", () => {
  for (const value of [TEXT, "", null, true, false, BIGINT, SYMBOL, FUNCTION, LIST]) {
    refused("retry", value, TypeError);
    refused("pool", value, TypeError);
  }
  refused("pool", 3, TypeError);
  for (const name of ["retry", "pool"]) accepted(name, {});
});

test("keepAlive and noDelay are booleans, keepAlive also a number of milliseconds", () => {
  for (const value of [true, false, undefined]) {
    accepted("keepAlive", value);
    accepted("noDelay", value);
  }
  for (const value of [0, 1, "true", null, OBJECT]) refused("noDelay", value, TypeError);
});

test("balance is one of five, and nothing else", () => {
  const all = ["first", "round-robin", "random", "least-open", "fastest"];
  for (const value of [...all, undefined]) accepted("balance", value);
  for (const value of ["", "First", "roundrobin", true, null, 1, OBJECT]) refused("balance", value, TypeError);
});

test("maxCooldown is ten times cooldown, and at least cooldown", () => {
  const times: [Socks5Options, number][] = [
    [{ cooldown: 5 }, 50],
    [{ cooldown: 5, maxCooldown: 1 }, 5],
    [{ cooldown: 5, maxCooldown: Infinity }, Infinity],
    [{ cooldown: Infinity }, Infinity],
    [{ cooldown: MAX_DELAY }, MAX_DELAY],
  ];
  for (const [options, expected] of times) assertEquals(settings(options).maxCooldown, expected);
});

test("dns is proxy or local, and nothing else", () => {
  for (const value of ["proxy", "local", undefined]) accepted("dns", value);
  for (const value of ["remote", "", "Local", true, false, null, 1, OBJECT]) refused("dns", value, TypeError);
});

test("auth is optional or required, and nothing else", () => {
  for (const value of ["optional", undefined]) accepted("auth", value);
  for (const value of ["none", "", "Required", true, null, 2, OBJECT]) refused("auth", value, TypeError);
});

test("auth may only be required if every proxy has credentials", () => {
  const transport = unused();
  const options = { transport, auth: "required" } as const;
  const withThem = "socks5h://u:p@127.0.0.1:1080";
  for (const proxies of [PROXY, [PROXY], [withThem, PROXY], { hostname: "h", port: 1 }]) {
    const wrong = 'Cannot use auth as "required": a proxy has no credentials';
    assertThrows(() => new Socks5Client(proxies, options), TypeError, wrong);
  }
  for (const proxies of [withThem, [withThem, "socks5h://u@h"]]) {
    assertInstanceOf(new Socks5Client(proxies, options), Socks5Client);
  }
});

test("retry.when and onEvent are functions", () => {
  for (const name of ["retry.when", "onEvent"]) {
    for (const value of [() => true, undefined]) accepted(name, value);
    for (const value of [true, null, "x", {}]) {
      const error = assertThrows(() => new Socks5Client(PROXY, option(name, value)), TypeError);
      assertStringIncludes(error.message, `Cannot use ${name}`);
    }
  }
});

test("a transport has a connect method", () => {
  for (const transport of [{}, 5, "tcp", true, { connect: 5 }, { connect: null }, () => {}]) {
    const options = { transport } as unknown as Socks5Options;
    assertThrows(() => new Socks5Client(PROXY, options), TypeError, "Cannot use transport");
  }
  assertInstanceOf(new Socks5Client(PROXY, { transport: new Socks5Client(PROXY) }), Socks5Client);
});

test("a client has at least one proxy", () => {
  assertThrows(
    () => new Socks5Client([]),
    TypeError,
    "Cannot use proxy as a list of proxies: current value is an empty array",
  );
  assertThrows(() => new Socks5Client(undefined as unknown as string), TypeError, "(redacted)");
  assertThrows(() => new Socks5Client([PROXY, undefined as unknown as string]), TypeError, "(redacted)");
});

test("the defaults are those that the documentation names", () => {
  const defaults = {
    auth: "optional",
    methods: [],
    handshake: "sequential",
    dns: "proxy",
    warm: 0,
    warmTimeout: 20_000,
    warmIdle: 60_000,
    noDelay: true,
    keepAlive: true,
    timeout: 30_000,
    attemptTimeout: 10_000,
    attemptDelay: 2_000,
    retries: 3,
    minDelay: 100,
    maxDelay: 5_000,
    when: undefined,
    balance: "first",
    cooldown: 30_000,
    maxCooldown: 300_000,
    trackSessions: 0,
    maxOpen: 100,
    maxIdle: 10,
    idleTimeout: 90_000,
    maxLifetime: 600_000,
  };
  assertEquals<unknown>(settings({}), defaults);
  assertEquals<unknown>(settings({ retry: {}, pool: {} }), defaults);
  const unset = {
    auth: undefined,
    methods: undefined,
    handshake: undefined,
    dns: undefined,
    noDelay: undefined,
    timeout: undefined,
    retry: undefined,
    pool: undefined,
  };
  assertEquals<unknown>(settings(unset as unknown as Socks5Options), defaults);
  assertEquals<unknown>(settings({ retry: 5 }), { ...defaults, retries: 5 });
  assertEquals<unknown>(settings({ retry: { retries: 5, minDelay: 1, maxDelay: 2 } }), {
    ...defaults,
    retries: 5,
    minDelay: 1,
    maxDelay: 2,
  });
});

test("each option goes where it belongs, 0 and Infinity too", () => {
  for (const n of [0, 7]) {
    const all = settings({
      auth: "required",
      handshake: "pipelined",
      dns: "local",
      noDelay: false,
      keepAlive: n,
      timeout: n + 1,
      attemptTimeout: n + 2,
      attemptDelay: n + 2,
      retry: { retries: n + 3, minDelay: n + 4, maxDelay: n + 5 },
      balance: "fastest",
      cooldown: n + 6,
      maxCooldown: n + 20,
      trackSessions: n + 21,
      pool: {
        maxOpen: n + 7,
        maxIdle: n + 8,
        idleTimeout: n + 9,
        maxLifetime: Infinity,
        warm: n,
        warmTimeout: n + 1_000,
        warmIdle: n + 10,
      },
    });
    const { when: _, ...rest } = all;
    assertEquals<unknown>(rest, {
      auth: "required",
      methods: [],
      handshake: "pipelined",
      dns: "local",
      warm: n,
      warmTimeout: n + 1_000,
      warmIdle: n + 10,
      noDelay: false,
      keepAlive: n,
      timeout: n + 1,
      attemptTimeout: n + 2,
      attemptDelay: n + 2,
      retries: n + 3,
      minDelay: n + 4,
      maxDelay: n + 5,
      balance: "fastest",
      cooldown: n + 6,
      maxCooldown: n + 20,
      trackSessions: n + 21,
      maxOpen: n + 7,
      maxIdle: n + 8,
      idleTimeout: n + 9,
      maxLifetime: Infinity,
    });
  }
  assertEquals(settings({ timeout: 0, retry: 0 }).timeout, 0);
  assertEquals(settings({ keepAlive: false }).keepAlive, false);
  assertEquals(milliseconds("timeout", 0, 5), 0);
  assertEquals(milliseconds("timeout", undefined, 5), 5);
});

/** The three methods that take options of their own, as promises. */
const CALLS: [name: string, option: string, call: (client: Socks5Client, value: unknown) => Promise<unknown>][] = [
  ["connect()", "timeout", (client, value) => client.connect("a:1", { timeout: value } as ConnectOptions)],
  ["check()", "timeout", (client, value) => client.check("a:1", { timeout: value } as CheckOptions)],
  ["close()", "drain", (client, value) => client.close({ drain: value } as { drain: number })],
];

for (const [name, option, call] of CALLS) {
  test(`${name} rejects a bad ${option} before any I/O`, async () => {
    const transport = unused();
    const client = new Socks5Client(PROXY, { transport, retry: 0 });
    for (const value of [NaN, -1, -Infinity, MAX_DELAY + 1, ...NO_NUMBERS]) {
      const error = await thrownBy(call(client, value));
      assertInstanceOf(error, typeof value === "number" ? RangeError : TypeError, String(value));
      assertNames(error, option, value);
    }
    assertEquals([transport.dials, client.stats().failures], [0, 0]);
    for (const value of [0, MAX_DELAY, Infinity, undefined]) {
      const error = await call(client, value).then(() => null, (error: unknown) => error);
      assert(!(error instanceof TypeError || error instanceof RangeError), String(error));
    }
    await client.close();
  });
}

test("connect() and check() reject bad credentials before any I/O and show nothing of them", async () => {
  const transport = unused();
  const client = new Socks5Client(PROXY, { transport, retry: 0 });
  const bad: [unknown, typeof TypeError | typeof RangeError][] = [
    [{}, TypeError],
    ["canary:canary", TypeError],
    [{ username: "", password: "canary" }, RangeError],
    [{ username: "canary".repeat(50) }, RangeError],
    [{ username: "u", password: "canary".repeat(50) }, RangeError],
    [{ username: "u", password: 5 }, TypeError],
  ];
  for (const [credentials, expected] of bad) {
    const options = { credentials } as ConnectOptions;
    for (const call of [() => client.connect("a:1", options), () => client.check("a:1", options)]) {
      const error = await thrownBy(call());
      assertInstanceOf(error, expected);
      assert(!`${error.message} ${error.stack}`.includes("canary"));
    }
  }
  assertEquals(transport.dials, 0);
});

test("check() takes a function to tell of its steps", async () => {
  for (const onStep of [null, "dial", {}]) {
    const error = await thrownBy(new Socks5Client("socks5h://proxy").check(undefined, { onStep } as CheckOptions));
    assertStringIncludes(error.message, "Cannot use onStep as a function: current value is ");
  }
});

test("check() takes a probe of bytes, and only for a target", async () => {
  const transport = unused();
  const client = new Socks5Client(PROXY, { transport, retry: 0 });
  const cases: [Target | undefined, unknown][] = [["a:1", "x"], ["a:1", [1]], ["a:1", null], [
    undefined,
    new Uint8Array(1),
  ]];
  for (const [target, probe] of cases) {
    const error = await thrownBy(client.check(target, { probe } as CheckOptions));
    assertInstanceOf(error, TypeError);
    assertStringIncludes(error.message, "Cannot use probe");
  }
  assertEquals(transport.dials, 0);
});

test("a signal that is aborted already is thrown as it is, before any I/O", async () => {
  const transport = unused();
  const client = new Socks5Client(PROXY, { transport, retry: 0 });
  const reason = { mine: true };
  const signal = AbortSignal.abort(reason);
  for (const call of [() => client.connect("a:1", { signal }), () => client.check("a:1", { signal })]) {
    assertEquals(await call().then(() => null, (error: unknown) => error === reason), true);
  }
  assertEquals(transport.dials, 0);
});

test("what is wrong with a call is a rejection and never thrown", async () => {
  const client = new Socks5Client(PROXY, { transport: unused() });
  const calls = [
    () => client.connect(undefined as unknown as Target),
    () => client.connect("a:1", null as unknown as ConnectOptions),
    () => client.check("a:1", null as unknown as CheckOptions),
    () => client.check(5 as unknown as Target),
    () => client.close(null as unknown as { drain: number }),
  ];
  for (const call of calls) assertInstanceOf(await thrownBy(call()), TypeError);
  await client.close();
});

async function thrownBy(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(() => null, (error: unknown) => error);
  assertInstanceOf(error, Error);
  return error;
}
