import { assert, assertEquals, assertInstanceOf, assertStrictEquals } from "@std/assert";
import { execFile } from "node:child_process";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import {
  ProxyError,
  type RequestEvent,
  Socks5Client,
  type Socks5Conn,
  Socks5Error,
  type Socks5Options,
} from "../../mod.ts";
import type { Transport } from "../../src/transport.ts";
import { withClock } from "../support/clock.ts";
import { type FakeConn, FakeTransport, socks5 } from "../support/fake.ts";
import { evaluate } from "../support/child.ts";
import { withProxy } from "../support/stage.ts";
import { quick, test } from "../support/test.ts";
import { ofRequests } from "../support/request_events.ts";

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

test("a transport that uses an owner is given one and no signal, and any other the other way round", async () => {
  for (const usesOwner of [true, false]) {
    const transport = new FakeTransport(socks5());
    transport.usesOwner = usesOwner;
    const connect = transport.connect.bind(transport);
    const given: string[][] = [];
    transport.connect = (to, options = {}) => {
      given.push(Object.entries(options).filter(([, value]) => value !== undefined).map(([name]) => name).sort());
      return connect(to, options);
    };
    const client = new Socks5Client("socks5h://proxy", { transport });
    const conn = await client.connect(TARGET);
    await client.check();
    conn.close();
    await client.close();
    const each = ["keepAlive", "noDelay", usesOwner ? "owner" : "signal"].sort();
    assertEquals(given, [each, each]);
    assertEquals(transport.open, 0);
  }
});

test("an abort whose reason is a Socks5Error is still the caller's: nothing cools, nothing is told, nothing is added", () =>
  withClock(async (clock) => {
    const transport = new FakeTransport(() => {});
    const events: RequestEvent[] = [];
    const client = new Socks5Client("socks5h://proxy", {
      transport,
      onEvent: ofRequests((event) => events.push(event)),
    });
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

/** A client whose requests are not loaded yet. */
async function unloaded(transport: Transport, options: Socks5Options = {}): Promise<Socks5Client> {
  const fresh = `../../src/socks5_client.ts?fresh=${fresher++}`;
  const { Socks5Client } = await import(fresh) as typeof import("../../src/socks5_client.ts");
  return new Socks5Client("socks5h://proxy", { transport, ...options });
}

let fresher = 0;

test("connect() gives a tunnel although nothing is loaded yet, and several at once share one client", async () => {
  const transport = new FakeTransport(socks5());
  const client = await unloaded(transport, { pool: { maxOpen: 2 } });
  const connecting = [1, 2, 3].map(() => client.connect(TARGET, {}));
  (await connecting[0]!).close();
  for (const conn of await Promise.all(connecting)) conn.close();
  const { connects, failures } = client.stats();
  assertEquals([connects, failures, transport.conns.length, transport.open], [3, 0, 3, 0]);
  await client.close({});
});

test("check() reports although nothing is loaded yet", async () => {
  const transport = new FakeTransport(socks5());
  const client = await unloaded(transport);
  assertEquals((await client.check(undefined, {})).map(({ verdict }) => verdict), ["ok"]);
  assertEquals(transport.open, 0);
});

test("stats() has all its numbers although nothing is loaded yet, and they are the same afterwards", async () => {
  const client = await unloaded(new FakeTransport(socks5()), { pool: { warm: 2 } });
  const before = client.stats();
  await client.close({});
  assertEquals(client.stats(), before);
  assertEquals(Object.keys(client.stats()), Object.keys(before));
  const none = { open: 0, inUse: 0, idle: 0, connects: 0, failures: 0, ms: 0, sent: 0, received: 0, cooldown: 0 };
  const proxies = [{ proxy: "proxy:1080", weight: 1, ...none, suspended: [] }];
  const now = { opening: 0, inUse: 0, idle: 0, warm: 0, waiting: 0 };
  assertEquals(before, { ...now, connects: 0, reused: 0, failures: 0, retries: 0, proxies });
});

test("close() resolves although nothing is loaded yet, and what is asked for after it is rejected", async () => {
  for (const isAwaited of [true, false]) {
    const transport = new FakeTransport(socks5());
    const client = await unloaded(transport);
    const closing = client.close({});
    if (isAwaited) await closing;
    const error = await client.connect(TARGET, {}).catch((error: unknown) => error);
    assertInstanceOf(error, Socks5Error);
    assertEquals([error.code, transport.endpoints.length], ["SOCKS5_CLIENT_CLOSED", 0]);
    assertEquals((await client.check(undefined, {})).map(({ code }) => code), ["SOCKS5_CLIENT_CLOSED"]);
    await closing;
    await client.close({});
  }
});

test("close() at once after connect() and check() ends them, although nothing is loaded yet", async () => {
  const transport = new FakeTransport(socks5());
  const client = await unloaded(transport);
  const connecting = client.connect(TARGET, {}).catch((error: unknown) => error);
  const checking = client.check(undefined, {});
  await client.close({});
  const error = await connecting;
  assertInstanceOf(error, Socks5Error);
  assertEquals(error.code, "SOCKS5_CLIENT_CLOSED");
  assertEquals((await checking).map(({ code }) => code), ["SOCKS5_CLIENT_CLOSED"]);
  await delay(1);
  assertEquals([transport.open, client.stats().opening, client.stats().failures], [0, 0, 1]);
});

test("an abort at once after connect() rejects with its reason, although nothing is loaded yet", async () => {
  const transport = new FakeTransport(socks5());
  const client = await unloaded(transport);
  const controller = new AbortController();
  const connecting = client.connect(TARGET, { signal: controller.signal });
  controller.abort("enough");
  assertEquals(await connecting.catch((reason: unknown) => reason), "enough");
  assertEquals([transport.open, transport.endpoints.length], [0, 0]);
  await client.close({});
});

test("wrong arguments are rejections before anything is opened, although nothing is loaded yet", async () => {
  const transport = new FakeTransport(socks5());
  const wrong: ((client: Socks5Client) => Promise<unknown>)[] = [
    (client) => client.connect("no port", {}),
    (client) => client.connect(TARGET, null as never),
    (client) => client.check("no port", {}),
    (client) => client.close({ drain: -1 }),
  ];
  for (const call of wrong) {
    const client = await unloaded(transport);
    const error = await call(client).catch((error: unknown) => error);
    assert(error instanceof TypeError || error instanceof RangeError, String(error));
    await client.close({});
  }
  assertEquals(transport.endpoints.length, 0);
});

test("what connect() is given counts as it was at the call, although nothing is loaded yet", async () => {
  const got: number[] = [];
  const transport = new FakeTransport(socks5({ target: (_, written) => void got.push(...written) }));
  const client = await unloaded(transport);
  const target = { hostname: "first.test", port: 80 };
  const credentials = { username: "first", password: "first" };
  const data = Uint8Array.of(1, 2, 3);
  const options = { credentials, data, reuse: false, timeout: 10_000 };
  const connecting = client.connect(target, options);
  target.hostname = "second.test";
  credentials.username = credentials.password = "second";
  data.fill(0);
  options.reuse = true;
  options.timeout = 0;
  const conn = await connecting;
  const sent = new TextDecoder("latin1").decode(Uint8Array.from(transport.conns[0]!.written));
  conn.close();
  await client.close({});
  assertEquals(conn.target, "first.test:80");
  assert(!sent.includes("second"), JSON.stringify(sent));
  assert(sent.includes("first") && sent.endsWith("\x01\x02\x03"), JSON.stringify(sent));
});

for (const isLoaded of [false, true]) {
  test(`what check() is given counts as it was at the call, ${isLoaded ? "loaded or not" : "although nothing is loaded yet"}`, async () => {
    const got: number[] = [];
    const answers = (conn: FakeConn, written: Uint8Array) => (got.push(...written), conn.push(1));
    const transport = new FakeTransport(socks5({ target: answers }));
    const client = await unloaded(transport);
    if (isLoaded) await client.check(undefined, {});
    const target = { hostname: "first.test", port: 80 };
    const credentials = { username: "first", password: "first" };
    const options = { credentials, timeout: 10_000, probe: Uint8Array.of(1, 2, 3) };
    const checking = client.check(target, options);
    target.hostname = "second.test";
    credentials.username = credentials.password = "second";
    options.timeout = 0;
    const [report] = await checking;
    const sent = new TextDecoder("latin1").decode(Uint8Array.from(transport.conns.at(-1)!.written));
    await client.close({});
    assertEquals([report!.verdict, report!.target, got], ["ok", "first.test:80", [1, 2, 3]]);
    assert(sent.includes("first") && !sent.includes("second"), JSON.stringify(sent));
  });
}

/** Runs a program in a process of its own, where nothing is loaded yet; gives what it prints. */
async function run(program: string): Promise<string> {
  const code = `
    import { Socks5Client } from ${JSON.stringify(import.meta.resolve("../../mod.ts"))};
    let open = 0;
    const transport = {
      async connect() {
        open++;
        const answers = [5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        return {
          async read(p) {
            const bytes = answers.splice(0, p.length);
            p.set(bytes);
            return bytes.length || null;
          },
          write: (p) => Promise.resolve(p.length),
          closeWrite: () => Promise.resolve(),
          close: () => void open--,
        };
      },
    };
    const client = new Socks5Client("socks5h://proxy", { transport });
    ${program}`;
  return await output(code);
}

/** What a program prints; it ends by itself, and says nothing else. */
async function output(code: string): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, evaluate(code));
  assertEquals(
    stderr.split("\n").filter((line) => line !== "" && !/ExperimentalWarning|--trace-warnings/.test(line)),
    [],
  );
  return stdout.trim();
}

test("the first check() has loaded the code of its runtime before the time of its first step begins", async () => {
  await withProxy({}, async (proxy) => {
    // what connects is called in the same turn as the step begins: nothing is loaded in between, on Node in no turn either
    const program = `
      import * as modules from "node:module";
      import { Socket } from "node:net";
      import { Socks5Client } from ${JSON.stringify(import.meta.resolve("../../mod.ts"))};
      const [owner, name] = globalThis.Deno?.version?.deno ? [Deno, "connect"]
        : globalThis.Bun ? [Bun, "connect"] : [Socket.prototype, "connect"];
      const connect = owner[name];
      let turns = -1;
      const load = (url, context, next) => (turns >= 0 && turns++, next(url, context));
      if (owner === Socket.prototype) modules.registerHooks?.({ load });
      owner[name] = function (...args) {
        console.log("turns", turns);
        return connect.apply(this, args);
      };
      const onStep = ({ phase }) => {
        if (phase !== "dial") return;
        turns = 0;
        const turn = () => setImmediate(() => { if (turns++ < 1000) turn(); });
        turn();
      };
      const [report] = await new Socks5Client("socks5h://127.0.0.1:${proxy.port}").check(undefined, { onStep });
      console.log(report.verdict);
      turns = 1000;`;
    assertEquals(await output(program), "turns 0\nok");
  });
}, { skip: quick });

const PROGRAMS: [what: string, program: string, prints: string][] = [
  [
    "connect() and then close() at once",
    `
    const connecting = client.connect("a.test:80").then(() => "a tunnel", (error) => error.code);
    await client.close();
    console.log(await connecting, open, client.stats().opening);`,
    "SOCKS5_CLIENT_CLOSED 0 0",
  ],
  [
    "connect()",
    `
    const conn = await client.connect("a.test:80");
    console.log(conn.target, open, client.stats().inUse);
    conn.close();
    console.log(open);`,
    "a.test:80 1 1\n0",
  ],
  ["check()", "console.log((await client.check())[0].verdict, open);", "ok 0"],
  [
    "stats()",
    "console.log(client.stats().proxies[0].proxy, open);",
    "proxy:1080 0",
  ],
  ["close()", 'await client.close(); console.log("closed", open);', "closed 0"],
  ["nothing at all", 'console.log("idle", open);', "idle 0"],
];

for (const [what, program, prints] of PROGRAMS) {
  test(`a program of which the first is ${what} does it, and ends by itself`, async () => {
    assertEquals(await run(program), prints);
  }, { skip: quick });
}

test("a connect whose time is over before it begins takes nothing: no idle tunnel makes room, no warm connection goes", () =>
  withClock(async (clock) => {
    for (const pool of [{ maxOpen: 1 }, { warm: 1, maxOpen: 2 }]) {
      const transport = new FakeTransport(socks5());
      const client = new Socks5Client("socks5h://proxy", { transport, pool });
      const conn = await clock.settle(client.connect(TARGET, { reuse: true }));
      if ("warm" in pool) await clock.tick(1_000);
      conn.release();
      const { idle, warm } = client.stats();
      const outcome = client.connect("other.test:80", { timeout: 0 }).then(() => "opened", ({ code }) => code);
      assertEquals(await clock.settle(outcome), "SOCKS5_TIMEOUT");
      const after = client.stats();
      assertEquals([after.idle, after.warm, idle], [idle, warm, 1]);
      await clock.settle(client.close());
    }
  }));
