// deno-lint-ignore-file require-yield -- methods that have nothing to say
import { assert, assertEquals, assertGreater, assertInstanceOf, assertThrows } from "@std/assert";
import { format, inspect } from "node:util";
import {
  type AuthMethod,
  type CheckOptions,
  type ConnectOptions,
  type Credentials,
  type ProxySpec,
  Socks5Client,
  Socks5Error,
  type Socks5Event,
  type Socks5Options,
  type Target,
} from "../../mod.ts";
import { Socks5Agent, toDuplex } from "../../agent/mod.ts";
import { proxyFromEnv } from "../../env/mod.ts";
import { serve } from "../../serve/mod.ts";
import { FakeTransport, type Script, socks5 } from "../support/fake.ts";
import * as testing from "../../testing/mod.ts";
import type { TestFault, TestProxy } from "../../testing/mod.ts";
import { startEcho } from "../support/targets.ts";
import { test } from "../support/test.ts";

const PLAIN = { username: "kanarienvogel", password: "correct-horse-battery" };
const ODD = { username: "kanarie/vögel", password: `s3cr3t:@<ü>/"pass" word\\?#%41` };
const OWN = { username: "per-call-canary", password: "per-call-p@ssw:rd" };
const TARGET = "example.test:80";

/** All that `value` shows when it is thrown, logged, sent or looked into, with its causes and earlier errors. */
function everything(value: unknown, seen: Set<unknown> = new Set()): string {
  if (seen.has(value)) return "";
  seen.add(value);
  const parts = [text(() => String(value)), text(() => JSON.stringify(value)), format("%s %o %j", value, value, value)];
  for (const showHidden of [false, true]) {
    const all = { depth: Infinity, maxArrayLength: null, maxStringLength: null, showHidden };
    parts.push(inspect(value, all), inspect(value, { ...all, breakLength: Infinity, compact: true }));
  }
  const { Deno, Bun } = globalThis as { Deno?: Inspector; Bun?: Inspector };
  if (Deno) {
    parts.push(Deno.inspect(value, { depth: 100, iterableLimit: 1e6, strAbbreviateSize: 1e6, showHidden: true }));
  }
  if (Bun) parts.push(Bun.inspect(value, { depth: 100 }));
  if (typeof value !== "object" || value === null) return parts.join("\n");
  for (const key of Reflect.ownKeys(value)) {
    const own: unknown = Reflect.get(value, key);
    parts.push(String(key), typeof own === "function" ? "" : everything(own, seen));
  }
  if (value instanceof Error) parts.push(value.name, value.message, value.stack ?? "", everything(value.cause, seen));
  return parts.join("\n");
}

/** What `make` gives; not everything can be made a string of. */
function text(make: () => string | undefined): string {
  try {
    return make() ?? "";
  } catch {
    return "";
  }
}

type Inspector = { inspect(value: unknown, options: object): string };

/** Each way in which `secret` could be written, without white space. */
function disguises(secret: string): string[] {
  const bytes = [...new TextEncoder().encode(secret)];
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0"));
  // base64 at each of the three places that it can have within a longer text
  const base64 = [0, 1, 2].map((before) => {
    const whole = btoa(String.fromCharCode(...new Array<number>(before).fill(0), ...bytes));
    return whole.replace(/=+$/, "").slice(before === 0 ? 0 : before + 1, -1);
  });
  const quoted = [secret, encodeURI(secret), encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)];
  const url = new URL("socks5h://proxy.test");
  url.password = secret;
  quoted.push(url.password, url.password.toLowerCase(), encodeURIComponent(encodeURIComponent(secret)));
  return [
    ...quoted,
    ...base64,
    ...base64.map((text) => text.replaceAll("+", "-").replaceAll("/", "_")),
    ...["", " ", ":", ",", ",0x", "%", "\\x"].flatMap((
      between,
    ) => [hex.join(between), hex.join(between).toUpperCase()]),
    bytes.join(","),
    inspect(secret).slice(1, -1),
  ].map((text) => text.replace(/\s/g, ""));
}

const SECRETS = new Map(
  [PLAIN, ODD, OWN].flatMap((it) => Object.values(it)).map((secret) => [secret, disguises(secret)]),
);

/** Fails if `value` shows one of the secrets in whatever disguise. */
function assertSilent(what: string, value: unknown): void {
  const shown = everything(value).replace(/\s/g, "");
  for (const [secret, all] of SECRETS) {
    for (const disguise of all) {
      const at = shown.indexOf(disguise);
      assert(at < 0, `${what} shows ${secret} as ${disguise}: …${shown.slice(Math.max(0, at - 200), at + 100)}…`);
    }
  }
}

test("the canary is found in every disguise, wherever it sits", () => {
  for (const secret of SECRETS.keys()) {
    const bytes = new TextEncoder().encode(secret);
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    const hiding: unknown[] = [
      secret,
      new Error(`for ${secret}`),
      new Error("outer", { cause: new Error("inner", { cause: { deep: { password: secret } } }) }),
      Object.assign(new Error("x"), { errors: [Object.assign(new Error("y"), { input: secret })] }),
      Object.defineProperty(new Error("x"), "hidden", { value: secret, enumerable: false }),
      { passwd: bytes },
      { passwd: [...bytes] },
      [[bytes.slice(0, 3)], { list: [1, 2, ...bytes, 3] }],
      `socks5h://${encodeURIComponent(secret)}:x@host`,
      `Basic ${btoa(String.fromCharCode(...new TextEncoder().encode(`a:${secret}`)))}`,
      `Basic ${btoa(String.fromCharCode(...new TextEncoder().encode(`${secret}:pw`)))}`,
      hex,
      hex.toUpperCase(),
      new Map([["key", { [Symbol("s")]: secret }]]),
      { event: { error: new TypeError(JSON.stringify({ url: secret })) } },
      Object.assign(new URL("socks5://host"), { password: secret }),
    ];
    for (const value of hiding) assertThrows(() => assertSilent("it", value), Error, "shows", inspect(value));
  }
});

/** The proxy with credentials, in each form in which it may be given. */
function specs({ hostname, port }: { hostname: string; port: number }, credentials: Credentials): ProxySpec[] {
  const userInfo = [credentials.username, credentials.password ?? ""].map(encodeURIComponent).join(":");
  const url = `socks5h://${userInfo}@${hostname}:${port}`;
  return [url, new URL(url), { hostname, port, credentials }];
}

const broken = (url: string): unknown[] => {
  const raw = `${ODD.username}:${ODD.password}`;
  const info = [PLAIN.username, PLAIN.password].map(encodeURIComponent).join(":");
  return [
    url.replace("socks5h", "http"),
    url.replace("socks5h://", ""),
    url.replace("socks5h://", "socks5h:"),
    `${url}/path`,
    `${url}?query`,
    `${url}#fragment`,
    ...["/a?b", "/../a", "/a%00", "/a b", "/a@b", ":1080/a", `/${"a".repeat(107)}`].map((path) =>
      url.replace(/@.*/, `@localhost${path}`)
    ),
    url.replace(/.*@/, (info) => info.replace("socks5h", "socks5h+tls")).replace(/@.*/, "@localhost/a"),
    `${url}99999`,
    url.replace(/:\d+$/, ":0"),
    url.replace(/:\d+$/, ":"),
    url.replace("@", "@ho st"),
    url.replace("@", "@[::1"),
    url.replace("@", "@@"),
    url.replace("@", "@%"),
    url.replace("@", "@\u0000"),
    url.replace(/(:\/\/)[^:]*/, "$1"),
    `socks5h://${raw}@proxy.test`,
    `socks5h://${info}:more@proxy .test`,
    `socks5h://${info.repeat(20)}@proxy.test`,
    `SOCKS5H//${info}@proxy.test`,
    `socks5h://proxy.test:1080:${info}`,
    `socks5h://proxy.test:${PLAIN.password}`,
  ];
};

test("nothing that is refused at the door shows user name or password: malformed URLs, URL objects, parts", () => {
  const good = { hostname: "proxy.test", port: 1080 };
  const parts: unknown[] = [
    { ...good, credentials: { ...PLAIN, password: PLAIN.password.repeat(20) } },
    { ...good, credentials: { ...PLAIN, username: PLAIN.username.repeat(20) } },
    { ...good, credentials: { ...PLAIN, username: "" } },
    { ...good, credentials: { ...PLAIN, password: [PLAIN.password] } },
    { ...good, credentials: `${PLAIN.username}:${PLAIN.password}` },
    { ...good, credentials: [PLAIN.username, PLAIN.password] },
    { ...good, hostname: `${PLAIN.username}:${PLAIN.password}@proxy.test`, credentials: ODD },
    { ...good, port: 0, credentials: ODD },
    { ...good, port: "1080", credentials: ODD },
    { path: "", credentials: ODD },
    { path: "a\0b", credentials: ODD },
    { credentials: ODD },
    { path: "/a", credentials: ODD, tls: true },
    { ...good, credentials: ODD, tls: { key: PLAIN.password } },
    { ...good, tls: { cert: PLAIN.password, key: PLAIN.password } },
    { ...good, tls: { caCerts: [PLAIN.password] } },
    { ...good, tls: PLAIN.password },
  ];
  const urls = specs(good, ODD).concat(specs(good, PLAIN)).filter((it) => typeof it === "string").flatMap(broken);
  const objects = urls.filter((url) => URL.canParse(url as string)).map((url) => new URL(url as string));
  assertGreater(objects.length, 5);
  let refused = 0;
  for (const spec of [...urls, ...objects, ...parts]) {
    for (const given of [spec, [...specs(good, PLAIN), spec]]) {
      try {
        assertSilent("a client", new Socks5Client(given as ProxySpec));
      } catch (error) {
        assert(error instanceof TypeError || error instanceof RangeError, inspect(error));
        assertSilent("an error of the constructor", error);
        refused++;
      }
    }
  }
  assertGreater(refused, 90);
});

test("a proxy, or credentials, given where a target is wanted are not shown", async () => {
  const client = new Socks5Client("socks5h://proxy.test", { transport: new FakeTransport(socks5()) });
  const good = { hostname: "proxy.test", port: 1080 };
  const wrong: unknown[] = [...specs(good, PLAIN), ...specs(good, ODD)].filter((spec) =>
    spec instanceof URL || typeof spec === "string"
  );
  wrong.push({ ...good, port: "1080", credentials: PLAIN }, { port: 1, ...PLAIN }, {
    path: "/run/x",
    credentials: ODD,
  });
  const options: unknown[] = [{ credentials: { ...OWN, password: OWN.password.repeat(20) } }, {
    credentials: Object.values(OWN).join(":"),
  }, {
    credentials: OWN,
    timeout: NaN,
  }];
  for (const [target, option] of [...wrong.map((it) => [it, {}]), ...options.map((it) => [TARGET, it])]) {
    for (const call of ["connect", "check"] as const) {
      const error = await client[call](target as Target, option as object).then(() => null, (error: unknown) => error);
      assertInstanceOf(error, Error, inspect(target));
      assertSilent(`an error of ${call}()`, error);
    }
  }
});

/** Collects all that a client shows while it is used, and looks at it in the end. */
async function watch(
  proxies: ProxySpec | ProxySpec[],
  options: Socks5Options,
  use: (client: Socks5Client, show: (what: string, value: unknown) => void) => Promise<void>,
): Promise<Socks5Error[]> {
  const shown: [what: string, value: unknown][] = [];
  const show = (what: string, value: unknown) => void shown.push([what, value]);
  const onEvent = (event: Socks5Event) => show(`the event ${event.type}`, event);
  const client = new Socks5Client(proxies, { retry: { retries: 1, minDelay: 1 }, ...options, onEvent });
  show("a new client", client);
  await use(client, show);
  show("stats()", client.stats());
  show("a used client", client);
  await client.close();
  show("a closed client", client);
  for (const [what, value] of shown) assertSilent(what, value);
  return shown.flatMap(([, value]) => value instanceof Socks5Error ? [value] : []);
}

const per = (credentials: Credentials | undefined) => credentials && { credentials };

/** What a real proxy does wrong; the wrong password is sent before most of it. */
const faults: [what: string, fault: TestFault, credentials?: Credentials][] = [
  ...(["accept", "negotiate", "authenticate", "request"] as const).flatMap((at): [string, TestFault][] => [
    [`closes at ${at}`, { fault: "close", at }],
    [`resets at ${at}`, { fault: "reset", at }],
    [`is silent at ${at}`, { fault: "silence", at }],
  ]),
  ["is an HTTP server", { fault: "http" }],
  ["is an SSH server", { fault: "ssh" }],
  ["is a TLS server", { fault: "tls" }],
  ["is a SOCKS4 server", { fault: "socks4" }],
  ["chooses a method that was not offered", { fault: "method", method: 1 }],
  ["accepts no method", { fault: "method", method: 0xff }],
  ["refuses the password", { fault: "refuse-password", status: 1 }],
  ["cuts the status", { fault: "cut", at: "authenticate", length: 1 }],
  ["cuts the reply", { fault: "cut", at: "request", length: 7 }],
  ["sends an unknown ATYP", { fault: "reply", reply: { atyp: 9 }, then: "close" }],
  ["sends a malformed reply", { fault: "reply", reply: { ver: 4 }, then: "close" }],
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 0xff].map((rep): [string, TestFault] => [`replies ${rep}`, { fault: "refuse", rep }]),
  [
    "says its password back as its own status",
    { fault: "answer", at: "authenticate", bytes: new TextEncoder().encode(PLAIN.password), then: "close" },
    PLAIN,
  ],
  [
    "says user name and password back as its reply",
    { fault: "answer", at: "request", bytes: `no ${ODD.username} with ${ODD.password}`, then: "silence" },
    ODD,
  ],
];

for (const [what, fault, credentials] of faults) {
  test(`a real proxy that ${what} brings nothing to light`, async () => {
    const options = { attemptTimeout: 200, timeout: 1_000 };
    const proxy = await testing.createTestProxy({
      methods: [2],
      credentials: () => 0,
      rules: { [TARGET]: { port: 1 } },
      faults: () => fault,
    });
    try {
      const errors = await Promise.all(
        (credentials === undefined ? [PLAIN, ODD] : [credentials]).flatMap((credentials) => specs(proxy, credentials))
          .map((spec, i) =>
            watch(spec, options, async (client, show) => {
              const own: ConnectOptions & CheckOptions = i % 2 === 0 ? {} : { credentials: OWN };
              show("an error", await client.connect(TARGET, { ...own, timeout: 400 }).catch((error: unknown) => error));
              show("a report", await client.check(TARGET, { ...own, timeout: 400 }));
            })
          ),
      );
      assertEquals(errors.flat().length, errors.length, "each connect failed");
      await proxy.until(() => proxy.open === 0);
    } finally {
      await proxy.close();
    }
  });
}

test("tunnels show nothing of how they came about: in use, idle, reused, ended, broken, closed, detached", async () => {
  const echo = await startEcho();
  const proxy = await testing.createTestProxy({ methods: [2], credentials: () => 0 });
  for (const own of [undefined, OWN]) {
    for (const spec of [...specs(proxy, PLAIN), ...specs(proxy, ODD)]) {
      await watch(spec, {}, async (client, show) => {
        const options = { reuse: true, ...per(own) };
        const first = await client.connect(echo.address, options);
        show("a tunnel", first);
        first.release();
        show("a released tunnel", first);
        show("I/O on it", await first.write(new Uint8Array(1)).catch((error: unknown) => error));
        const second = await client.connect(echo.address, options);
        show("a reused tunnel", [second, second.readable, second.writable]);
        try {
          second.detach();
        } catch (error) {
          show("detach() of it", error);
        }
        second.close();
        const third = await client.connect(echo.address, options);
        const socket = third.detach().socket as { close?(): void; destroy?(): void };
        if (socket.close) socket.close();
        else socket.destroy!();
        show("a detached tunnel", third);
        const fourth = await client.connect(echo.address, options);
        const reading = fourth.read(new Uint8Array(1)).catch((error: unknown) => error);
        const closing = client.close();
        show("a closed tunnel", [fourth, await reading]);
        await closing;
        show("a connect after close()", await client.connect(echo.address).catch((error: unknown) => error));
      });
    }
  }
  await proxy.close();
  await echo.close();
});

test("a refused connection, an abort, a timeout, a wait, close() and the hops of a chain show nothing", async () => {
  const silent = await testing.createTestProxy({
    faults: { fault: "silence", at: "request" },
    methods: [2],
    credentials: () => 0,
  });
  const proxy = await testing.createTestProxy({ methods: [2], credentials: () => 0 });
  const refused = { hostname: "127.0.0.1", port: 1 };
  const thrown = (promise: Promise<unknown>) =>
    promise.then(() => assert(false, "it succeeded"), (error: unknown) => error);
  for (const own of [undefined, OWN]) {
    const options = { ...per(own), timeout: 300 };
    await watch([...specs(refused, PLAIN), ...specs(refused, ODD)], {}, async (client, show) => {
      show("refused", await thrown(client.connect(TARGET, options)));
      show("the report", await client.check(TARGET, options));
    });
    await watch([...specs(silent, PLAIN), ...specs(silent, ODD)], { pool: { maxOpen: 1 } }, async (client, show) => {
      const waiting = [client.connect(TARGET, options), client.connect(TARGET, options)];
      for (const error of await Promise.all(waiting.map(thrown))) show("a timeout", error);
      const signal = AbortSignal.timeout(50);
      show("an abort", await thrown(client.connect(TARGET, { ...options, signal })));
      show("an abort of a check", await thrown(client.check(TARGET, { ...per(own), signal: AbortSignal.timeout(50) })));
      const closed = thrown(client.connect(TARGET, { ...per(own) }));
      await client.close();
      show("close()", await closed);
    });
    for (const hop of [silent, proxy]) {
      const inner = new Socks5Client(specs(hop, ODD)[0]!);
      await watch(specs(refused, PLAIN), { transport: inner }, async (client, show) => {
        show("a chain", await thrown(client.connect(TARGET, options)));
        show("the report of a chain", await client.check(TARGET, options));
        show("the inner client", [inner, inner.stats()]);
      });
      await inner.close();
    }
  }
  for (const it of [silent, proxy] as TestProxy[]) {
    await it.until(() => it.open === 0);
    await it.close();
  }
});

test("methods of one's own, and proxies that fail in them, show nothing of credentials or of what they throw", async () => {
  const greet: Script = (conn, written) => void (written[0] === 5 && conn.push(5, 0x80));
  const methods: [what: string, negotiate: AuthMethod["negotiate"], script: Script][] = [
    ["fails", async function* ({ credentials }) {
      assertGreater(credentials!.password!.length, 0);
      yield { write: new TextEncoder().encode(credentials!.password!), have: 0 };
      throw new Error("refused");
    }, greet],
    ["is left alone", function* ({ credentials }) {
      yield { write: new TextEncoder().encode(credentials!.username), have: 1 };
    }, (conn, written) => written[0] === 5 ? conn.push(5, 0x80) : conn.end()],
    ["yields its secret", function* ({ credentials }) {
      yield { write: credentials!.password, have: credentials!.password } as never;
    }, greet],
    ["returns its secret", function* ({ credentials }) {
      return credentials as never;
    }, greet],
    ["gives its secret", ({ credentials }) => credentials as never, greet],
    ["succeeds", function* ({ conn }) {
      return conn;
    }, (conn, written) => conn.push(...written[3] === 0 ? [5, 0x80] : [5, 5, 0, 1, 0, 0, 0, 0, 0, 0])],
  ];
  for (const [what, negotiate, script] of methods) {
    for (const credentials of [PLAIN, ODD]) {
      const options = { methods: [{ method: 0x80, negotiate }], transport: new FakeTransport(script) };
      const errors = await watch(
        specs({ hostname: "proxy.test", port: 1080 }, credentials),
        options,
        async (client, show) => {
          show(`the error of a method that ${what}`, await client.connect(TARGET).catch((error: unknown) => error));
          show("the report", await client.check(TARGET));
        },
      );
      assertEquals(errors.length, 1, what);
    }
  }
  for (const method of [{ method: PLAIN.password }, PLAIN.password, { negotiate: PLAIN.password }]) {
    for (const methods of [[method], method]) {
      const error = assertThrows(() => new Socks5Client("socks5h://proxy.test", { methods } as never), TypeError);
      assertSilent("an error of the constructor", error);
    }
  }
});

test("what a transport is given shows nothing but where to connect to", async () => {
  const scripts: Script[] = [socks5(), (conn) => conn.reset()];
  for (const script of scripts) {
    const inner = new FakeTransport(script);
    const given: unknown[] = [];
    const transport = {
      connect: (...args: Parameters<FakeTransport["connect"]>) => {
        given.push(args);
        return inner.connect(...args);
      },
    };
    for (const credentials of [PLAIN, ODD]) {
      await watch(specs({ hostname: "proxy.test", port: 1080 }, credentials), { transport }, async (client, show) => {
        const conn = await client.connect(TARGET, { reuse: true }).catch((error: unknown) => error);
        show("what connect() gives", conn);
        if (!(conn instanceof Error)) (conn as { release(): void }).release();
        show("what the transport was given", given);
      });
    }
  }
});

/** The secrets as they get into the place of something else. */
function misplaced(secret: string): unknown[] {
  const text = encodeURIComponent(secret);
  return [
    secret,
    `socks5h://user:${text}@proxy.test:1080`,
    `proxy.test:1080:user:${secret}`,
    `user:${secret}@proxy.test:1080`,
    new TextEncoder().encode(secret),
    new URL(`socks5h://user:${text}@proxy.test:1080`),
    { password: secret },
    { [secret.replace(/\W/g, "_")]: secret, toString: () => secret, [Symbol.toPrimitive]: () => secret },
    [secret],
    Symbol(secret),
    Object.defineProperty(() => secret, "name", { value: secret }),
    new Error(secret),
  ];
}

type Door = [name: string, options: string, give: (options: Record<string, unknown>) => unknown];

/** Each option of each entry; what is opened by mistake is closed. */
const doors: Door[] = [
  [
    "Socks5Client",
    "transport auth methods handshake dns timeout attemptTimeout retry cooldown noDelay keepAlive isolate pool onEvent",
    (options) => quiet({ ...options }),
  ],
  ["pool", "maxOpen maxIdle idleTimeout maxLifetime warm warmTimeout warmIdle", (pool) => quiet({ pool })],
  ["retry", "retries minDelay maxDelay when", (retry) => quiet({ retry })],
  ["methods", "method negotiate", (method) => quiet({ methods: [method] })],
  ["proxy", "hostname port path credentials tls", (parts) => quiet({}, { hostname: "h", port: 1, ...parts })],
  ["proxy.credentials", "username password", (credentials) => quiet({}, { hostname: "h", port: 1, credentials })],
  ["proxy.tls", "serverName caCerts cert key alpnProtocols", (tls) => quiet({}, { hostname: "h", port: 1, tls })],
  ["connect()", "signal timeout credentials isolate reuse data tls", (it) => quiet().connect(TARGET, it)],
  ["connect().tls", "serverName caCerts cert key alpnProtocols", (tls) => quiet().connect(TARGET, { tls })],
  ["connect(target)", "target", ({ target }) => quiet().connect(target as Target)],
  ["connect({ hostname })", "hostname", ({ hostname }) => quiet().connect({ hostname, port: "80" } as never)],
  ["connect({ port })", "port path", (it) => quiet().connect({ hostname: "a.test", ...it } as never)],
  ["bind()", "signal timeout credentials isolate", (it) => quiet().bind(TARGET, it)],
  ["bind(peer)", "peer", ({ peer }) => quiet().bind(peer as Target)],
  ["resolve()", "signal timeout credentials isolate", (it) => quiet().resolve("a.test", it)],
  ["resolve(name)", "name", ({ name }) => quiet().resolve(name as string)],
  ["resolvePtr(address)", "address", ({ address }) => quiet().resolvePtr(address as string)],
  [
    "associate()",
    "signal timeout credentials isolate from allowPrivateRelay",
    (it) => new Socks5Client("socks5h://127.0.0.1:1", { retry: 0 }).associate(it),
  ],
  ["check()", "signal timeout credentials isolate tls probe onStep", (it) => quiet().check(TARGET, it)],
  ["check(target)", "target", ({ target }) => quiet().check(target as Target)],
  ["close()", "drain", (it) => quiet().close(it)],
  [
    "Socks5Agent",
    "keepAlive maxSockets maxTotalSockets maxFreeSockets scheduling timeout maxCachedSessions",
    (it) => void new Socks5Agent(quiet(), it as object),
  ],
  ["Socks5Agent(client)", "client", ({ client }) => void new Socks5Agent(client as Socks5Client)],
  ["toDuplex()", "allowHalfOpen highWaterMark", (it) => void toDuplex(() => Promise.reject(new Error("no")), it)],
  ["toDuplex(open)", "open", ({ open }) => void toDuplex(open as () => Promise<never>)],
  [
    "serve()",
    "hostname port credentials target headTimeout maxHead",
    async (it) => await (await serve(quiet(), it)).close(),
  ],
  ["serve(client)", "client", async ({ client }) => await (await serve(client as Socks5Client)).close()],
  [
    "createTestProxy()",
    "hostname port credentials methods rules udp faults framing halfClose handshakeTimeout",
    async (it) => await (await testing.createTestProxy(it)).close(),
  ],
  ["proxyFromEnv()", "ALL_PROXY http_proxy HTTPS_PROXY no_proxy", (env) => void proxyFromEnv(env as never)],
  [
    "bypasses()",
    "target",
    ({ target }) => void proxyFromEnv({ ALL_PROXY: "socks5h://h" })!.bypasses(target as Target),
  ],
];

/** A client that dials nothing, and looks at what it tells. */
function quiet(options: object = {}, proxy: object | string = "socks5h://proxy.test"): Socks5Client {
  const transport = {
    connect: () => Promise.reject(new Error("dialled")),
    lookup: () => Promise.resolve(["192.0.2.1"]),
  };
  const onEvent = (event: Socks5Event) => void told.push(event);
  return new Socks5Client(proxy as ProxySpec, { transport, onEvent, retry: 0, ...options });
}

const told: Socks5Event[] = [];

for (const [name, options, give] of doors) {
  test(`a secret in the place of something else is not shown: ${name}`, async () => {
    const messages = new Set<string>();
    let refused = 0;
    const secrets = name === "resolve(name)" ? [ODD.password] : [PLAIN.password, ODD.password]; // one could be a name
    for (const option of options.split(" ")) {
      for (const value of secrets.flatMap(misplaced)) {
        const error = await Promise.resolve().then(() => give({ [option]: value })).then(() => null, (error) => error);
        refused += Number(error instanceof TypeError || error instanceof RangeError);
        if (messages.has(String(error))) continue;
        messages.add(String(error));
        assertSilent(`${name} with ${option}`, error);
      }
    }
    for (const event of told.splice(0)) assertSilent(`an event of ${name}`, event);
    assertGreater(refused, options.split(" ").length * 5, [...messages].join("\n"));
  });
}
