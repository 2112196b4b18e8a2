import { assert, assertEquals, assertMatch } from "@std/assert";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MEMBERS } from "../../cli/config_file.ts";
import { jsonErrorAt } from "../../cli/json_error.ts";
import { main } from "../../cli/mod.ts";
import { createTestProxy, type TestProxy } from "../../testing/mod.ts";
import { certificates } from "../support/certificates.ts";
import { missing, runClient } from "../support/client_program.ts";
import { cli, type FakeIo, fakeIo } from "../support/cli.ts";
import { isValid, type Schema } from "../support/json_schema.ts";
import { freePort } from "../support/real_process.ts";
import { basicOf } from "../support/serve_stage.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const SCHEMA = JSON.parse(readFileSync(new URL("../../schema.json", import.meta.url), "utf8")) as Schema;
const URL_ = "socks5h://alice:sesame@127.0.0.1:1";

interface Stage {
  directory: string;
  /** Writes the file, and gives its name. */
  write(config: unknown): string;
  /** Checks it with `--check`. */
  check(config: unknown): Promise<{ code: number; out: string; err: string }>;
}

async function withDirectory(use: (stage: Stage) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "socks5-"));
  const file = join(directory, "socks5.json");
  const write = (config: unknown) => {
    writeFileSync(file, typeof config === "string" ? config : JSON.stringify(config));
    return file;
  };
  writeFileSync(join(directory, "list.txt"), `${URL_}\n127.0.0.1:2 # two\n`);
  writeFileSync(join(directory, "cert.pem"), certificates().both.cert);
  writeFileSync(join(directory, "key.pem"), certificates().both.key);
  writeFileSync(join(directory, "bad.txt"), `${URL_}\nsesame::\n`);
  try {
    await use({ directory, write, check: (config) => cli(["serve", "--config", write(config), "--check"]) });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const one = (listener: object) => ({ proxies: [URL_], listeners: [listener] });

const right: Record<string, [config: Record<string, unknown>, says: string]> = {
  "one listener": [{ proxies: [URL_], listeners: [{}] }, "1 listener and 1 proxy"],
  "all there is": [
    {
      $schema: "./schema.json",
      proxies: [URL_, {
        hostname: "b.test",
        port: 1080,
        credentials: { username: "bob", password: "x" },
        weight: 2,
        maxOpen: 20,
        label: "b",
        tls: { serverName: "b.test" },
      }, { url: URL_, label: "a" }],
      client: {
        ...{ auth: "optional", handshake: "pipelined", dns: "proxy", timeout: 10_000, attemptTimeout: 5_000 },
        ...{ attemptDelay: 100, retry: 1, balance: "least-open", cooldown: 1_000, maxCooldown: 5_000 },
        ...{ probe: { target: "a.test:80", interval: 1_000, timeout: 500 }, noDelay: true, keepAlive: 60_000 },
      },
      listeners: [
        {
          ...{ hostname: "0.0.0.0", port: 0, credentials: { username: "ann", password: "hush" } },
          ...{ headTimeout: 1_000, idleTimeout: 1_000, maxClients: 10, maxHead: 4_096 },
        },
        { path: "/tmp/socks5-never.sock", credentials: "session" },
        { tls: { cert: "cert.pem", key: "key.pem" }, credentials: { session: true, password: "hush" } },
        { target: "db.internal:5432", session: "db", proxies: { file: "list.txt" }, client: { balance: "random" } },
        { credentials: "forward", proxies: ["socks5h://c.test"] },
      ],
      log: { file: "log.txt", format: "json" },
      drain: 0.5,
      admin: { port: 0, readonly: true },
    },
    "5 listeners and 6 proxies",
  ],
};

test("the example in examples/ is one that the checker and the schema accept", () =>
  withDirectory(async ({ check }) => {
    const example = JSON.parse(readFileSync(new URL("../../examples/socks5.json", import.meta.url), "utf8"));
    assertEquals(isValid(SCHEMA, example), true);
    const { proxies, listeners: [first, ...others] } = example;
    assertEquals([proxies.file, first.tls], ["/etc/socks5/proxies.txt", undefined]);
    const here = { ...example, proxies: { file: "list.txt" }, listeners: [first, ...others] };
    assertEquals(await check(here), { code: 0, out: "4 listeners and 3 proxies: ok\n", err: "" });
  }));

test("systemd accepts the unit in examples/", () =>
  withDirectory(async ({ directory }) => {
    const unit = fileURLToPath(new URL("../../examples/socks5.service", import.meta.url));
    const { code, out, err } = await runClient(directory, "systemd-analyze", ["verify", unit]);
    assertEquals([code, out, err], [0, "", ""]);
  }), { skip: missing("systemd-analyze") });

for (const [name, [config, says]] of Object.entries(right)) {
  test(`--config accepts ${name}, and so does the schema; --check opens nothing`, () =>
    withDirectory(async ({ check }) => {
      assertEquals(await check(config), { code: 0, out: `${says}: ok\n`, err: "" });
      assertEquals(isValid(SCHEMA, config), true);
    }));
}

const wrong: [config: unknown, message: string, isOfSchema?: boolean][] = [
  [[], "Cannot use the file as an object: current value is an empty array"],
  [{ proxies: [URL_] }, "Cannot use listeners as a list of at least one listener: current value is undefined"],
  [
    { proxies: [URL_], listeners: [] },
    "Cannot use listeners as a list of at least one listener: current value is an empty array",
  ],
  [{ proxys: [URL_], listeners: [{}] }, "Cannot use proxys in the file: did you mean proxies?"],
  [{ listeners: [{}] }, "listeners[0] leads nowhere: give proxies here or at the top", false],
  [
    { proxies: [URL_], listeners: [{}, {}, { port: 99999 }] },
    "Cannot use listeners[2].port as 0 to 65535: current value is 99999",
  ],
  [one({ port: "8118" }), "Cannot use listeners[0].port as a number"],
  [one({ prot: 8118 }), "Cannot use prot in listeners[0]: did you mean port?"],
  [one(7 as unknown as object), "Cannot use listeners[0] as an object: current value is 7"],
  [one({ hostname: "0.0.0.0" }), "Cannot use listeners[0].hostname as a loopback name", false],
  [one({ hostname: "0.0.0.0", credentials: "session" }), "Cannot use listeners[0].hostname as a loopback name", false],
  [one({ credentials: "secret" }), "Cannot use listeners[0].credentials as user name and password"],
  [one({ credentials: { user: "sesame" } }), "Cannot use listeners[0].credentials.user: did you mean username?"],
  [one({ credentials: { session: true } }), "listeners[0]: Cannot use credentials without a password"],
  [one({ target: "db", credentials: undefined }), 'Cannot use listeners[0].target as "host:port"', false],
  [one({ target: "db:1", credentials: "session" }), "listeners[0]: Cannot combine credentials with target", false],
  [one({ path: "relative" }), "Cannot use listeners[0].path as the absolute path of a unix socket"],
  [
    one({ maxClients: 0 }),
    "Cannot use listeners[0].maxClients as a whole number from 1, or Infinity: current value is 0",
  ],
  [one({ idleTimeout: -1 }), "Cannot use listeners[0].idleTimeout as milliseconds from 0"],
  [one({ session: "" }), "Cannot use listeners[0].session as"],
  [one({ session: "x", credentials: "session" }), "Cannot combine listeners[0].session with credentials", false],
  [one({ onConnection: 1 }), "Cannot use onConnection in listeners[0]: there are hostname, port, path, "],
  [one({ tls: { cert: "cert.pem" } }), "Cannot use listeners[0].tls.key as the name of a file in PEM"],
  [one({ tls: { cert: "cert.pem", key: "none.pem" } }), "cannot read ", false],
  [
    one({ tls: { cert: "key.pem", key: "cert.pem" } }),
    "Cannot use listeners[0].tls.key as the private key of tls.cert",
    false,
  ],
  [one({ client: { balance: "random" } }), "Cannot use listeners[0].client without listeners[0].proxies"],
  [one({ proxies: [] }), "Cannot use listeners[0].proxies as a list of proxies: current value is an empty array"],
  [
    one({ proxies: ["http://alice:sesame@a.test"] }),
    "Cannot use listeners[0].proxies[0] as SOCKS5 proxy, the scheme must be",
    false,
  ],
  [
    one({ proxies: [URL_, { url: URL_, weight: -1 }] }),
    "Cannot use listeners[0].proxies[1].weight as a number from 0 to 1000: current value is -1",
  ],
  [one({ proxies: [{ url: URL_, wieght: 1 }] }), "Cannot use listeners[0].proxies[0].wieght: did you mean weight?"],
  [
    one({ proxies: [{ url: URL_, label: "a" }, { url: `${URL_}0`, label: "a" }] }),
    "Cannot use listeners[0].proxies as SOCKS5 proxy, two have the same label",
    false,
  ],
  [one({ proxies: { file: "bad.txt" } }), "Cannot use line 2 of bad.txt as SOCKS5 proxy", false],
  [one({ proxies: { flie: "bad.txt" } }), "Cannot use flie in listeners[0].proxies: did you mean file?"],
  [
    one({ proxies: 1 }),
    "Cannot use listeners[0].proxies as a list of proxies, or an object with a file: current value is 1",
  ],
  [one({ proxies: [URL_], client: { timeout: -1 } }), "Cannot use listeners[0].client.timeout as milliseconds from 0"],
  [{ ...one({}), client: { balance: "best" } }, 'Cannot use client.balance as "first", "round-robin"'],
  [{ ...one({}), client: { onEvent: "x" } }, "Cannot use onEvent in client: there are "],
  [{ ...one({}), client: { probe: { interval: -1 } } }, "Cannot use client.probe.interval as milliseconds from 0"],
  [{ ...one({}), client: { probe: { intervall: 1 } } }, "Cannot use intervall in client.probe: did you mean interval?"],
  [
    { proxies: [URL_], listeners: [{ port: 8118 }, { port: 8118 }] },
    "listeners[1] listens where another one does: 127.0.0.1:8118",
    false,
  ],
  [{ ...one({}), log: {} }, "Cannot use log.file as the name of a file: current value is undefined"],
  [{ ...one({}), log: { file: "x", format: "xml" } }, 'Cannot use log.format as "text" or "json"'],
  [{ ...one({}), drain: -1 }, "Cannot use drain as seconds from 0 to 2000000: current value is -1"],
  [{ ...one({}), admin: { port: -1 } }, "Cannot use admin.port as 0 to 65535: current value is -1"],
  [{ ...one({}), admin: { hostname: "0.0.0.0" } }, "Cannot use admin.hostname as", false],
  ['{\n  "proxies": ["sesame" "x"]\n}', "socks5.json is not JSON: see line 2, column 24"],
];

for (const [config, message, isOfSchema = true] of wrong) {
  test(`--config says: ${message}`, () =>
    withDirectory(async ({ check }) => {
      const { code, out, err } = await check(config);
      assertEquals([code, out], [2, ""], err);
      assert(err.includes(message), `${err}${message}`);
      assertMatch(err, /^socks5: [^\n]* \(try: socks5 serve --help\)\n$/);
      assert(!/alice|sesame|secret|redacted/.test(err), err);
      if (typeof config !== "string") assertEquals(isValid(SCHEMA, JSON.parse(JSON.stringify(config))), !isOfSchema);
    }));
}

test("every member that the checker knows is in the schema, and the other way around", () => {
  const own = (schema: Schema) => Object.keys(schema.properties ?? {}).sort();
  const { listener, client, probe, tls, log, admin, proxies } = SCHEMA.$defs!;
  const found = {
    file: own(SCHEMA),
    ...Object.fromEntries(
      Object.entries({ listener, client, probe, tls, log, admin }).map(([name, it]) => [name, own(it!)]),
    ),
    proxyFile: own(proxies!.oneOf![1]!),
  };
  const known = Object.fromEntries(Object.entries(MEMBERS).map(([name, it]) => [name, Object.keys(it).sort()]));
  assertEquals(found, known);
});

test("the place where a text stops to be JSON is found", () => {
  for (
    const [text, place] of Object.entries({
      "": "line 1, column 1",
      "[1,]": "line 1, column 4",
      '{"a":1,}': "line 1, column 8",
      '{"a" 1}': "line 1, column 6",
      "{a:1}": "line 1, column 2",
      "[1 2]": "line 1, column 4",
      '["a\n"]': "line 1, column 2",
      "[01]": "line 1, column 2",
      '{"a":\n  tru}': "line 2, column 3",
      "[]\n x": "line 2, column 2",
      "[1": "line 1, column 3",
      '[{"a":[{}]}, "\\u12"]': "line 1, column 14",
      "]": "line 1, column 1",
      "// no\n{}": "line 1, column 1",
    })
  ) assertEquals(jsonErrorAt(text), place, text);
});

const CONNECT = (user?: string, password = "x") =>
  `CONNECT echo.test:7 HTTP/1.1\r\n${
    user === undefined ? "" : `Proxy-Authorization: ${basicOf(user, password)}\r\n`
  }\r\n`;

async function say(port: number, text: string): Promise<[Socket, string]> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {}); // it may be reset
  socket.write(text);
  const [chunk] = await once(socket, "data");
  return [socket, String(chunk)];
}

async function answers(socket: Socket, text: string): Promise<boolean> {
  socket.write(text);
  return String((await once(socket, "data"))[0]) === text;
}

/** Runs a config until `use` is over. */
async function serving(
  file: string,
  use: (io: FakeIo, reload: (config: unknown) => Promise<string>) => Promise<void>,
  write: (config: unknown) => string,
): Promise<FakeIo> {
  const io = fakeIo();
  const ended = main(["serve", "--config", file], io);
  await Promise.race([io.until(() => io.out !== ""), ended]);
  assert(io.out !== "", io.err);
  const reload = async (config: unknown) => {
    write(config);
    const before = io.err.length;
    io.hangup();
    await io.until(() => io.err.slice(before).endsWith("\n"));
    return io.err.slice(before);
  };
  try {
    await use(io, reload);
  } finally {
    io.signal("SIGTERM");
  }
  assertEquals(await ended, 0);
  return io;
}

async function withProxies(use: (proxies: TestProxy[]) => Promise<void>): Promise<void> {
  const proxies = await Promise.all([1, 2, 3].map(() => createTestProxy({ rules: () => "echo" })));
  try {
    await use(proxies);
  } finally {
    for (const proxy of proxies) await proxy.close();
  }
}

test("several listeners, each with its own credentials, session and proxies; a log of all", () =>
  withDirectory(({ directory, write }) =>
    withProxies(async ([a, b, c]) => {
      const ports = [await freePort(), await freePort(), await freePort()] as const;
      const file = write({
        proxies: [a!.url],
        listeners: [
          { port: ports[0], credentials: { username: "ann", password: "hush" } },
          { port: ports[1], target: "fixed.test:7", session: "s-1", proxies: [b!.url, c!.url] },
          { port: ports[2], credentials: "session", proxies: [b!.url, c!.url] },
        ],
        log: { file: "log.json", format: "json" },
      });
      const io = await serving(file, async () => {
        const [first, granted] = await say(ports[0], CONNECT("ann", "hush"));
        assertMatch(granted, /^HTTP\/1.1 200 /);
        assertMatch((await say(ports[0], CONNECT()))[1], /^HTTP\/1.1 407 /);
        const [second, echoed] = await say(ports[1], "ping");
        assertEquals(echoed, "ping");
        const [third] = await say(ports[2], CONNECT("s-1"));
        assertEquals(a!.connections.length, 1);
        for (const socket of [first, second, third]) socket.destroy();
        const log = () =>
          readFileSync(join(directory, "log.json"), "utf8").trimEnd().split("\n").map((it) => JSON.parse(it));
        await until(() => readFileSync(join(directory, "log.json"), "utf8").split("\n").length === 4);
        const [at1, at2] = [1, 2].map((i) => log().find(({ listener }) => listener === `127.0.0.1:${ports[i]}`));
        assertEquals([at1.session, at2.session, at1.proxy], ["s-1", "s-1", at2.proxy]);
        assertEquals(at1.target, "fixed.test:7");
      }, write);
      assertEquals(io.out.split("\n"), [
        `http://127.0.0.1:${ports[0]} leads through 1 proxy`,
        `127.0.0.1:${ports[1]} leads to fixed.test:7 through 2 proxies`,
        `http://127.0.0.1:${ports[2]} leads through 2 proxies`,
        "",
      ]);
      assert(!/hush/.test(io.out + io.err));
    })
  ));

test("SIGHUP reads the file again: listeners that stay keep their connections, an error changes nothing", () =>
  withDirectory(({ write }) =>
    withProxies(async ([a, b]) => {
      const ports = [await freePort(), await freePort(), await freePort(), await freePort()] as const;
      const listeners = [{ port: ports[0] }, { port: ports[1] }, { port: ports[2] }];
      const file = write({ proxies: [a!.url], listeners });
      await serving(file, async (_, reload) => {
        const tunnels = await Promise.all([0, 1, 2].map(async (i) => (await say(ports[i]!, CONNECT()))[0]));
        const config = {
          proxies: [b!.url],
          // the second goes, the third wants credentials, the last one is new
          listeners: [{ port: ports[0] }, { port: ports[2], credentials: "session" }, { port: ports[3] }],
        };
        assertEquals(await reload(config), "socks5: read again: 1 proxy for 3 listeners\n");
        for (const tunnel of tunnels) assert(await answers(tunnel, "still here"));
        assertMatch((await say(ports[0], CONNECT()))[1], /^HTTP\/1.1 200 /);
        assertMatch((await say(ports[2], CONNECT()))[1], /^HTTP\/1.1 407 /);
        assertMatch((await say(ports[3], CONNECT()))[1], /^HTTP\/1.1 200 /);
        const gone = connect(ports[1], "127.0.0.1");
        assertEquals((await once(gone, "error"))[0].code, "ECONNREFUSED");
        assertEquals([a!.connections.length, b!.connections.length], [3, 2]);

        const told = await reload({ ...config, listeners: [{ port: ports[0] }, { port: -1 }] });
        assertMatch(told, /^socks5: nothing has changed: .*listeners\[1\]\.port/);
        const taken = connect(ports[0], "127.0.0.1"); // of this process, but not of the new listener
        const server = await createTestProxy();
        const busy = await reload({ ...config, listeners: [{ port: ports[0] }, { port: server.port }] });
        assertMatch(busy, /^socks5: nothing has changed: .*(in use|EADDRINUSE)/);
        await server.close();
        taken.destroy();
        assertMatch((await say(ports[3], CONNECT()))[1], /^HTTP\/1.1 200 /);
        for (const tunnel of tunnels) {
          assert(await answers(tunnel, "and still"));
          tunnel.destroy();
        }
      }, write);
    })
  ));

const mixed: [args: string[], why: string][] = [
  [["--port", "1"], "--config goes without --port: the file says it"],
  [["--proxies", "x"], "--config goes without --proxies: the file says it"],
  [[URL_], "--config goes without proxies: the file has them"],
];

for (const [args, why] of mixed) {
  test(`socks5 serve --config FILE ${args[0]!.replace(URL_, "PROXY")} is 2`, async () => {
    const { code, err } = await cli(["serve", "--config", "none.json", ...args]);
    assertEquals([code, err], [2, `socks5: ${why} (try: socks5 serve --help)\n`]);
  });
}

test("--check is for --config, whose file must be there", async () => {
  assertMatch((await cli(["serve", "--check", URL_])).err, /^socks5: --check is for --config FILE /);
  assertMatch(
    (await cli(["serve", "--config", "none.json"])).err,
    /^socks5: cannot read none.json: there is no such file /,
  );
});
