import { assertEquals, assertInstanceOf, assertStrictEquals } from "@std/assert";
import {
  type CheckOptions,
  type ConnectOptions,
  type Credentials,
  type ProxySpec,
  Socks5Client,
  type Socks5Options,
  type TlsOptions,
  type Transport,
} from "../../mod.ts";
import { nodeTransport } from "../../adapters/node/mod.ts";
import { Socks5Agent, type Socks5AgentOptions, toDuplex } from "../../agent/mod.ts";
import { serve } from "../../serve/mod.ts";
import { checkOptions, nearest } from "../../src/arguments.ts";
import { createTestProxy, type TestProxyOptions } from "../../testing/mod.ts";
import { startEcho } from "../support/targets.ts";
import { test } from "../support/test.ts";

const PROXY = "socks5h://proxy.test";
const TARGET = "echo.test:7";

const client = (options: object = {}, proxy: object | string = PROXY) =>
  new Socks5Client(proxy as ProxySpec, {
    transport: { connect: () => Promise.reject(new Error("dialled")) },
    retry: 0,
    ...options,
  });

/** What takes options, as the messages call them; gives `options` to it, whatever they are. */
const entries: [name: string, give: (options: never) => unknown][] = [
  ["the options of Socks5Client", (options: Socks5Options) => new Socks5Client(PROXY, options)],
  ["pool", (pool) => client({ pool })],
  ["retry", (retry) => client({ retry })],
  ["the parts of a proxy", (parts: object) => client({}, { hostname: "proxy.test", port: 1080, ...parts })],
  ["the parts of a proxy", (parts: object) => client({}, { path: "/run/proxy", ...parts })],
  ["proxy.tls", (tls: TlsOptions) => client({}, { hostname: "proxy.test", tls })],
  ["the options of connect()", (options) => client().connect(TARGET, options)],
  ["tls", (tls: TlsOptions) => client().connect(TARGET, { tls })],
  ["the options of bind()", (options) => client().bind(TARGET, options)],
  ["the options of resolve()", (options) => client().resolve("a.test", options)],
  ["the options of resolvePtr()", (options) => client().resolvePtr("192.0.2.1", options)],
  [
    "the options of associate()",
    (options) => new Socks5Client("socks5h://127.0.0.1:1", { retry: 0 }).associate(options),
  ],
  ["the options of check()", (options) => client().check(TARGET, options)],
  ["tls", (tls: TlsOptions) => client().check(TARGET, { tls })],
  ["the options of close()", (options) => client().close(options)],
  ["the options of serve()", async (options) => await (await serve(client(), options)).close()],
  ["the options of toDuplex()", (options) => toDuplex(never, options)],
  ["options", async (options) => await (await createTestProxy(options)).close()],
  ["udp", async (udp) => await (await createTestProxy({ udp })).close()],
  ["the fault close", (more: object) => closing({ faults: { fault: "close", at: "request", ...more } })],
  ["reply", (reply) => closing({ faults: { fault: "reply", reply } })],
];

const never = () => new Promise<never>(() => {});

async function closing(options: TestProxyOptions): Promise<void> {
  await (await createTestProxy(options)).close();
}

for (const [i, [name, give]] of entries.entries()) {
  test(`an option that does not exist is a TypeError that names it and all there are: ${name} (${i})`, async () => {
    const error = await thrownBy(() => give({ family: 6 } as never));
    assertInstanceOf(error, TypeError);
    assertEquals(error.message.split(/(?<=there are )[a-z]\w+(?:, [a-z]\w+)*$/i), [
      `Cannot use family in ${name}: there are `,
      "",
    ]);
    const unset = await thrownBy(() => give({ family: undefined } as never));
    assertEquals(unset instanceof TypeError, false, `undefined was not given: ${unset}`);
  });
}

test("the options of what is open are looked at, too", async () => {
  const echo = await startEcho();
  const proxy = await createTestProxy({ udp: {}, faults: { fault: "wait", at: "arrival", for: Infinity } });
  const client = new Socks5Client(proxy.url);
  const conn = await client.connect(echo.address);
  const binding = await client.bind("127.0.0.1:1");
  const association = await client.associate();
  const opened: [name: string, give: (options: never) => unknown][] = [
    ["the options of startTls()", (options) => conn.startTls(options)],
    ["the options of accept()", (options) => binding.accept(options)],
    ["the options of receive()", (options) => association.receive(options)],
  ];
  for (const [name, give] of opened) {
    const { message } = await thrownBy(() => give({ family: 6 } as never)) as Error;
    assertEquals(message.split(": ")[0], `Cannot use family in ${name}`);
  }
  conn.close();
  binding.close();
  association.close();
  await client.close();
  await proxy.close();
  await echo.close();
});

const slips: [what: string, give: () => unknown, message: string][] = [
  [
    "retries",
    () => client({ retries: 9 }),
    "Cannot use retries in the options of Socks5Client: did you mean retry?",
  ],
  ["pool.max", () => client({ pool: { max: 5 } }), "Cannot use max in pool: did you mean maxOpen?"],
  ["retry.tries", () => client({ retry: { tries: 5 } }), "Cannot use tries in retry: did you mean retries?"],
  ["timeOut", () => client().connect(TARGET, { timeOut: 5 } as ConnectOptions), "did you mean timeout?"],
  [
    "servername",
    () => client().connect(TARGET, { tls: { servername: "a" } as TlsOptions }),
    "did you mean serverName?",
  ],
  ["host", () => client({}, { host: "proxy.test", port: 1 }), "Cannot use host in the parts of a proxy: did you mean"],
  ["onstep", () => client().check(TARGET, { onstep() {} } as CheckOptions), "did you mean onStep?"],
  [
    "maxSocket",
    () => new Socks5Agent(client(), { maxSocket: 1 } as object),
    "Cannot use maxSocket in the options of Socks5Agent: did you mean maxSockets?",
  ],
  ["retry", () => new Socks5Agent(client(), { retry: 1 } as object), "Cannot use retry in the options of Socks5Agent"],
  ["proxyEnv", () => new Socks5Agent(client(), { proxyEnv: {} } as object), "there is no such option"],
  ["hostName", () => closing({ hostName: "a" } as object), "did you mean hostname?"],
  [
    "user and pass",
    () => client().connect(TARGET, { credentials: { user: "me", pass: "secret" } as unknown as Credentials }),
    "Cannot use user in credentials: did you mean username?",
  ],
];

for (const [what, give, message] of slips) {
  test(`the nearest option that exists is named: ${what}`, async () => {
    const error = await thrownBy(give);
    assertInstanceOf(error, TypeError);
    assertEquals(error.message.includes(message), true, error.message);
  });
}

test("a user name in the place of an option of credentials is not shown", async () => {
  const credentials = { kanarienvogel: "secret" } as unknown as Credentials;
  for (
    const give of [() => client({}, { hostname: "a", credentials }), () => client().connect(TARGET, { credentials })]
  ) {
    assertEquals(
      (await thrownBy(give) as Error).message,
      "Cannot use credentials as user name and password, there is something else beside username and password: " +
        "current value is (redacted)",
    );
  }
});

test("a key that is no name is not shown", async () => {
  for (const key of ["socks5h://user:secret@host", "secret-token", "0", "a".repeat(31), "\u202e", ""]) {
    const { message } = await thrownBy(() => client({ [key]: 1 })) as Error;
    assertEquals(message.split(": ")[0], "Cannot use an option in the options of Socks5Client");
  }
});

test("an agent takes what https.Agent takes", () => {
  const options = {
    keepAlive: false,
    maxSockets: 5,
    scheduling: "fifo",
    servername: "a.test",
    ca: [],
    minVersion: "TLSv1.2",
  };
  const agent = new Socks5Agent(client(), options as Socks5AgentOptions);
  assertEquals([agent.maxSockets, (agent as unknown as { options: { ca: unknown } }).options.ca], [5, []]);
  agent.destroy();
  // each that the running version of Node reads
  for (const name of ["timeout", "maxTotalSockets", "maxFreeSockets", "keepAliveMsecs", "maxCachedSessions"]) {
    new Socks5Agent(client(), { [name]: 1 });
  }
});

test("what the agent itself goes by is checked, and not in the words of node:http, which show it", async () => {
  const wrong: [object, string][] = [
    [{ scheduling: "secret" }, 'Cannot use scheduling as "fifo" or "lifo": current value is a string'],
    [{ maxTotalSockets: "secret" }, "Cannot use maxTotalSockets as a number: current value is a string"],
    [{ maxSockets: null }, "Cannot use maxSockets as a number: current value is null"],
    [{ keepAlive: "secret" }, "Cannot use keepAlive as a boolean: current value is a string"],
  ];
  for (const [options, message] of wrong) {
    assertEquals((await thrownBy(() => new Socks5Agent(client(), options)) as Error).message, message);
  }
  const duplex: [object, string][] = [
    [{ highWaterMark: "secret" }, "Cannot use highWaterMark as a number of bytes: current value is a string"],
    [{ highWaterMark: -1 }, "Cannot use highWaterMark as a number of bytes: current value is -1"],
    [{ allowHalfOpen: "secret" }, "Cannot use allowHalfOpen as a boolean: current value is a string"],
  ];
  for (const [options, message] of duplex) {
    assertEquals((await thrownBy(() => toDuplex(never, options)) as Error).message, message);
  }
});

test("what a library left in Object.prototype leads nobody elsewhere", async () => {
  const echo = await startEcho();
  const proxy = await createTestProxy({ rules: { [TARGET]: "echo" } });
  const evil = await createTestProxy();
  const left: Record<string, unknown> = {
    path: "/nowhere.sock",
    unix: "/nowhere.sock",
    hostname: evil.hostname,
    port: evil.port,
    transport: "unix",
    credentials: { username: "evil" },
    isolate: true,
    tls: true,
    timeout: -1,
    reuse: "evil",
    serverName: "evil",
  };
  const another: Transport = { // a transport of somebody else's
    connect: (to, options) => "path" in to ? Promise.reject(new Error(to.path)) : nodeTransport.connect(to, options),
  };
  const clients = [
    new Socks5Client(proxy.url),
    new Socks5Client({ hostname: proxy.hostname, port: proxy.port }),
    new Socks5Client(proxy.url, { transport: another }),
  ];
  for (const client of clients) (await client.connect(TARGET)).close(); // all is loaded
  for (const enumerable of [true, false]) {
    for (const [name, value] of Object.entries(left)) {
      Object.defineProperty(Object.prototype, name, { value, enumerable, configurable: true, writable: true });
    }
    try {
      const { hostname, port } = Object.fromEntries([["hostname", proxy.hostname], ["port", proxy.port]]);
      const parts = { hostname, port };
      for (
        const client of [...clients, new Socks5Client(parts), new Socks5Client(parts, { transport: nodeTransport })]
      ) {
        for (const target of [TARGET, { hostname: "echo.test", port: 7 }]) {
          const conn = await client.connect(target, { signal: undefined });
          await conn.write(new Uint8Array(1));
          assertEquals(await conn.read(new Uint8Array(9)), 1);
          conn.close();
        }
      }
      const conn = await nodeTransport.connect({ hostname: proxy.hostname, port: proxy.port });
      conn.close();
    } finally {
      for (const name of Object.keys(left)) delete (Object.prototype as Record<string, unknown>)[name];
    }
  }
  assertEquals(evil.connections.length, 0);
  for (const it of clients) await it.close();
  await proxy.close();
  await evil.close();
  await echo.close();
});

test("options are an object", async () => {
  for (const [name, give] of entries.filter(([name]) => !/^the (parts|fault)/.test(name))) {
    for (const options of ["secret", 5n, null, [], () => {}]) {
      const error = await thrownBy(() => give(options as never));
      assertInstanceOf(error, TypeError);
      assertEquals(
        /^Cannot use .* as .*: current value is [a-z ]+$/.test(error.message),
        true,
        `${name}: ${error.message}`,
      );
    }
  }
});

test("options without any are given back as they are, and read once each", () => {
  const options = { timeout: 5 };
  assertStrictEquals(checkOptions("options", options, { timeout: true }), options);
  const reads: string[] = [];
  const watched = (values: Record<string, unknown>) =>
    Object.defineProperties(
      {},
      Object.fromEntries(
        Object.entries(values).map(([name, value]) => [
          name,
          { enumerable: true, get: () => (reads.push(name), value) },
        ]),
      ),
    );
  const all = {
    signal: undefined,
    timeout: 5,
    credentials: undefined,
    isolate: "a",
    reuse: true,
    data: undefined,
    tls: true,
  };
  client().connect(watched({ hostname: "a.test", port: 80 }) as never, watched(all)).catch(() => {});
  assertEquals(reads.sort(), ["hostname", "port", ...Object.keys(all)].sort());
  reads.length = 0;
  client(
    {},
    watched({ hostname: "a.test", port: 80, credentials: watched({ username: "u", password: "p" }) }) as object,
  );
  assertEquals(reads.sort(), ["credentials", "hostname", "password", "port", "username"]);
});

test("a word is near if it begins as it was written, or differs in few letters", () => {
  const words = ["maxOpen", "maxIdle", "timeout", "to"];
  const cases: [string, string | undefined][] = [
    ["max", "maxOpen"],
    ["maxidle", "maxIdle"],
    ["tiemout", "timeout"],
    ["timeuots", "timeout"],
    ["ma", undefined],
    ["", undefined],
    ["zzz", undefined],
    ["x".repeat(1e6), undefined],
  ];
  for (const [word, near] of cases) assertEquals(nearest(word, words), near, word.slice(0, 20));
  assertEquals(nearest("a", []), undefined);
});

/** What `give` throws, or rejects with; `null` if nothing. */
async function thrownBy(give: () => unknown): Promise<unknown> {
  try {
    await give();
    return null;
  } catch (error) {
    return error;
  }
}
