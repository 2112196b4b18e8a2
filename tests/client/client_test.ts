import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "@std/assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { nodeTransport } from "../../adapters/node/mod.ts";
import * as api from "../../mod.ts";
import { Socks5Client, type Socks5Conn, type Socks5ErrorCode, type Socks5Options } from "../../mod.ts";
import { bytes, readAll, readFull, text } from "../support/contract.ts";
import { FakeTransport, socks5 } from "../support/fake.ts";
import * as testing from "../../testing/mod.ts";
import type { TestFault, TestFaults, TestProxy, TestProxyOptions, TestStep } from "../../testing/mod.ts";
import { blackHole, evaluate } from "../support/peer.ts";
import { assertEchoes, failure, withProxy } from "../support/stage.ts";
import * as targets from "../support/targets.ts";
import { test } from "../support/test.ts";

const ALICE = { username: "alice", password: "secret" };
const BOB = { username: "bob", password: "hunter2" };
const TARGET = "example.test:80";
const RULES = { [TARGET]: { port: 1 } }; // for a success that is only claimed
const REASON = new Error("the caller's own reason");
const MOD = JSON.stringify(new URL("../../mod.ts", import.meta.url).href);

/** The running runtime's own transport and, where that is another one, node:net. */
const TRANSPORTS: Record<string, Socks5Options> = {
  "own transport": {},
  ...(("Deno" in globalThis || "Bun" in globalThis) && { "node:net": { transport: nodeTransport } }),
};

/** As {@linkcode withProxy}, with a target that echoes. */
async function withEcho(
  options: TestProxyOptions,
  use: (proxy: TestProxy, echo: targets.Target) => Promise<void>,
): Promise<void> {
  const echo = await targets.startEcho();
  try {
    await withProxy(options, (proxy) => use(proxy, echo));
    await echo.until(() => echo.open === 0);
  } finally {
    await echo.close();
  }
}

function assertNothingOpen(client: Socks5Client): void {
  const { opening, inUse, idle, waiting } = client.stats();
  assertEquals({ opening, inUse, idle, waiting }, { opening: 0, inUse: 0, idle: 0, waiting: 0 });
}

const CLASSES: Record<string, keyof typeof api> = { PROXY: "ProxyError", AUTH: "AuthError", TARGET: "TargetError" };

/** What a proxy does, and what the client says: code, phase and the message after "Cannot connect to … through …: ". */
type Row = [what: string, fault: TestFault, code: Socks5ErrorCode, phase: api.Phase, why: string];

const HINT = "; it may not accept the credentials";
const NO_REPLY = "the proxy closed the connection before it replied";
const HUNG_UP = "the proxy closed the connection in the handshake";

const withoutPassword: Row[] = [
  ["EOF at once", { fault: "close", at: "accept" }, "SOCKS5_PROXY_HUNG_UP", "negotiate", HUNG_UP],
  ["EOF on the greeting", { fault: "close", at: "negotiate" }, "SOCKS5_PROXY_HUNG_UP", "negotiate", HUNG_UP],
  ["EOF within the method", { fault: "cut", at: "negotiate", length: 1 }, "SOCKS5_PROXY_HUNG_UP", "negotiate", HUNG_UP],
  [
    "a reset on the greeting",
    { fault: "reset", at: "negotiate" },
    "SOCKS5_PROXY_HUNG_UP",
    "negotiate",
    "the proxy broke the connection in the handshake",
  ],
  [
    "an HTTP server",
    { fault: "http" },
    "SOCKS5_PROXY_NOT_SOCKS5",
    "negotiate",
    'an HTTP server answered ("HTTP/1.1 400 Bad Request", 48 54)',
  ],
  [
    "an SSH server",
    { fault: "ssh" },
    "SOCKS5_PROXY_NOT_SOCKS5",
    "negotiate",
    'an SSH server answered ("SSH-2.0-OpenSSH_9.2p1 Debian-2", 53 53)',
  ],
  [
    "a TLS server",
    { fault: "tls" },
    "SOCKS5_PROXY_NOT_SOCKS5",
    "negotiate",
    "a TLS server answered (15 03)",
  ],
  [
    "a SOCKS4 server",
    { fault: "socks4" },
    "SOCKS5_PROXY_NOT_SOCKS5",
    "negotiate",
    "a SOCKS4 server answered (00 5B)",
  ],
  [
    "bytes of nobody known",
    { fault: "answer", at: "negotiate", bytes: Uint8Array.of(0x1b, 0x5b), then: "close" },
    "SOCKS5_PROXY_NOT_SOCKS5",
    "negotiate",
    "what answered is not a SOCKS5 proxy (1B 5B)",
  ],
  [
    "a method that was not offered",
    { fault: "method", method: 2 },
    "SOCKS5_PROXY_BAD_METHOD",
    "negotiate",
    "the proxy chose a method that was not offered (05 02)",
  ],
  [
    "no acceptable method",
    { fault: "method", method: 0xff },
    "SOCKS5_AUTH_NO_METHOD",
    "negotiate",
    "the proxy accepts no authentication method that was offered (05 FF): it wants credentials, and none were given",
  ],
  ["EOF for a refusal (ssh -D)", { fault: "close", at: "request" }, "SOCKS5_TARGET_NO_REPLY", "request", NO_REPLY],
  [
    "a reset for a refusal",
    { fault: "reset", at: "request" },
    "SOCKS5_TARGET_NO_REPLY",
    "request",
    "the proxy broke the connection before it replied",
  ],
  ...[1, 2, 4, 5, 8, 9].map((n): Row => {
    return [
      `a success cut after ${n}`,
      { fault: "cut", at: "request", length: n },
      "SOCKS5_TARGET_NO_REPLY",
      "request",
      NO_REPLY,
    ];
  }),
  [
    "a reply of SOCKS4",
    { fault: "answer", at: "request", bytes: Uint8Array.of(0, 0x5a, 0, 0, 0, 0, 0, 0), then: "close" },
    "SOCKS5_PROXY_BAD_REPLY",
    "request",
    "the reply of the proxy is malformed (00 5A)",
  ],
  [
    "a success with an unknown ATYP",
    { fault: "reply", reply: { atyp: 9 }, then: "silence" },
    "SOCKS5_PROXY_BAD_REPLY",
    "request",
    "the reply of the proxy has an unknown ATYP (09)",
  ],
  ...([
    [0x01, "SOCKS5_TARGET_FAILED", "general failure of the proxy (REP 01)"],
    [0x02, "SOCKS5_TARGET_NOT_ALLOWED", "not allowed by the rules of the proxy (REP 02)"],
    [0x03, "SOCKS5_TARGET_NET_UNREACHABLE", "network unreachable (REP 03)"],
    [0x04, "SOCKS5_TARGET_HOST_UNREACHABLE", "host unreachable (REP 04)"],
    [0x05, "SOCKS5_TARGET_REFUSED", "connection refused by the target (REP 05)"],
    [0x06, "SOCKS5_TARGET_TTL_EXPIRED", "TTL expired (REP 06)"],
    [0x07, "SOCKS5_TARGET_BAD_COMMAND", "the proxy does not support the command (REP 07)"],
    [0x08, "SOCKS5_TARGET_BAD_ADDRESS_TYPE", "the proxy does not support the address type (REP 08)"],
    [0x09, "SOCKS5_TARGET_UNKNOWN_REPLY", "the proxy refused with a code of its own (REP 09)"],
    [0xff, "SOCKS5_TARGET_UNKNOWN_REPLY", "the proxy refused with a code of its own (REP FF)"],
  ] as const).flatMap(([rep, code, why]): Row[] => [
    [`REP ${rep}, then EOF`, { fault: "refuse", rep }, code, "request", why],
    [`REP ${rep}, then a reset (dante)`, { fault: "refuse", rep, then: "reset" }, code, "request", why],
    [`REP ${rep} in 2 bytes (socksv5)`, { fault: "short-refusal", rep }, code, "request", why],
    [`REP ${rep}, then silence`, { fault: "refuse", rep, then: "silence" }, code, "request", why],
  ]),
  [
    "a refusal with a nonsense ATYP",
    { fault: "reply", reply: { rep: 5, atyp: 77 }, then: "close" },
    "SOCKS5_TARGET_REFUSED",
    "request",
    "connection refused by the target (REP 05)",
  ],
  [
    "a refusal with an empty domain (dante)",
    { fault: "reply", reply: { rep: 4, atyp: 3, bndAddr: Uint8Array.of(0) }, then: "close" },
    "SOCKS5_TARGET_HOST_UNREACHABLE",
    "request",
    "host unreachable (REP 04)",
  ],
];

const withPassword: Row[] = [
  ...[0x01, 0x02, 0xff].map((status): Row => [
    `STATUS ${status}`,
    { fault: "refuse-password", status },
    "SOCKS5_AUTH_REFUSED",
    "authenticate",
    `the proxy refused the user name or password (STATUS ${status === 0xff ? "FF" : `0${status}`})`,
  ]),
  ...([["EOF on the password", 0], ["EOF within the status", 1]] as const).map(([what, length]): Row => [
    what,
    { fault: "cut", at: "authenticate", length },
    "SOCKS5_AUTH_REFUSED",
    "authenticate",
    "the proxy closed the connection after the user name and password",
  ]),
  [
    "a reset on the password",
    { fault: "reset", at: "authenticate" },
    "SOCKS5_PROXY_HUNG_UP",
    "authenticate",
    "the proxy broke the connection in the handshake",
  ],
  [
    "no acceptable method although a password was offered",
    { fault: "method", method: 0xff },
    "SOCKS5_AUTH_NO_METHOD",
    "negotiate",
    "the proxy accepts no authentication method that was offered (05 FF)",
  ],
  [
    "REP 02 after a password",
    { fault: "refuse", rep: 2 },
    "SOCKS5_TARGET_NOT_ALLOWED",
    "request",
    `not allowed by the rules of the proxy (REP 02)${HINT}`,
  ],
  [
    "EOF for a refusal after a password",
    { fault: "close", at: "request" },
    "SOCKS5_TARGET_NO_REPLY",
    "request",
    NO_REPLY + HINT,
  ],
];

for (const [via, options] of Object.entries(TRANSPORTS)) {
  for (const [rows, credentials] of [[withoutPassword], [withPassword, ALICE]] as const) {
    for (const [what, fault, code, phase, why] of rows) {
      test(`${via}: ${what} is ${code} of the phase ${phase}, and everything is closed`, () =>
        withProxy({ ...(credentials && { credentials }), rules: RULES, faults: () => fault }, async (proxy) => {
          const client = new Socks5Client(proxy.url, { ...options, retry: 0 });
          const error = await failure(client.connect(TARGET));
          const name = `127.0.0.1:${proxy.port}`;
          assertEquals(error.message, `Cannot connect to ${TARGET} through ${name}: ${why}`);
          assertEquals([error.code, error.phase, error.proxy, error.target], [code, phase, name, TARGET]);
          assertEquals([error.name, error.constructor], [
            CLASSES[code.split("_")[1]!],
            api[CLASSES[code.split("_")[1]!]!],
          ]);
          if (error instanceof api.TargetError) assertEquals(error.rep, /REP (..)/.exec(why) ? repOf(why) : null);
          assertNothingOpen(client);
          assertEquals([client.stats().failures, proxy.connections.length], [1, 1]);
        }));
    }
  }

  test(`${via}: a reset at the accept is a failure to reach the proxy, or a hang-up`, () =>
    withProxy({ faults: { fault: "reset", at: "accept" } }, async (proxy) => {
      const client = new Socks5Client(proxy.url, { ...options, retry: 0 });
      const { code, phase } = await failure(client.connect(TARGET));
      const seen = `${code} ${phase}`;
      assert(["SOCKS5_PROXY_UNREACHABLE dial", "SOCKS5_PROXY_HUNG_UP negotiate"].includes(seen), seen);
      assertNothingOpen(client);
    }));

  test(`${via}: a refused connection, and a unix socket that is not there, are SOCKS5_PROXY_UNREACHABLE`, async () => {
    for (const proxy of [{ hostname: "127.0.0.1", port: 1 }, { path: "/nonexistent/proxy.sock" }]) {
      const client = new Socks5Client(proxy, { ...options, retry: 0 });
      const error = await failure(client.connect(TARGET));
      assertInstanceOf(error, api.ProxyError);
      assertEquals([error.code, error.phase, error.retryable], ["SOCKS5_PROXY_UNREACHABLE", "dial", true]);
      assertInstanceOf(error.cause, Error);
      assertNothingOpen(client);
    }
  });

  const odd: [what: string, fault: TestFaults, bound?: api.Socks5Conn["boundAddress"]][] = [
    ["RSV other than 0", { fault: "rsv", rsv: 0xff }],
    ["VER 5 in the answer to the password", { fault: "wrong-version", at: "authenticate", version: 5 }],
    [
      "BND of IPv4",
      { fault: "reply", reply: { bndAddr: Uint8Array.of(192, 0, 2, 1), bndPort: 65535 } },
      {
        hostname: "192.0.2.1",
        port: 65535,
      },
    ],
    ["BND of IPv6", { fault: "reply", reply: { atyp: 4, bndAddr: new Uint8Array(16).with(15, 1) } }, {
      hostname: "::1",
      port: 0,
    }],
    ["BND of an empty domain", { fault: "bound-domain", length: 0 }, { hostname: "", port: 0 }],
    ["BND of a domain of 255 bytes", { fault: "bound-domain", length: 255 }, { hostname: "d".repeat(255), port: 0 }],
    ["answers byte by byte", { fault: "slow" }],
    ["all of it byte by byte, and BND of 255 bytes", [{ fault: "slow" }, { fault: "bound-domain", length: 255 }]],
  ];

  for (const [what, fault, bound] of odd) {
    test(`${via}: a tunnel works behind ${what}`, () =>
      withEcho({ credentials: ALICE, faults: () => fault }, async (proxy, echo) => {
        const client = new Socks5Client(proxy.url, options);
        const conn = await client.connect(echo.address);
        if (bound) assertEquals(conn.boundAddress, bound);
        await assertEchoes(conn);
        conn.close();
        assertNothingOpen(client);
      }));
  }

  test(`${via}: what comes in one write with the reply is read first and whole`, async () => {
    for (const length of [1, 100_000]) {
      const banner = targets.payload(length);
      await withEcho({ faults: { fault: "glued", bytes: banner } }, async (proxy, echo) => {
        const conn = await new Socks5Client(proxy.url, options).connect(echo.address);
        await conn.write(bytes("ping"));
        assertEquals(await readFull(conn, length), banner);
        assertEquals(text(await readFull(conn, 4)), "ping");
        conn.close();
      });
    }
  });

  test(`${via}: a refusal with a reset behind it is always read`, () =>
    withProxy(
      { faults: { fault: "answer", at: "request", bytes: Uint8Array.of(5, 5), then: "reset" } },
      async (proxy) => {
        const client = new Socks5Client(proxy.url, { ...options, retry: 0 });
        const errors = await Promise.all(Array.from({ length: 50 }, () => failure(client.connect(TARGET))));
        assertEquals(new Set(errors.map(({ code }) => code)), new Set(["SOCKS5_TARGET_REFUSED"]));
      },
    ));

  test(`${via}: a success for a target that was never reached shows as an end or a reset of the tunnel`, async () => {
    for (const then of ["close", "reset"] as const) {
      await withProxy({ rules: RULES, faults: { fault: "false-success", then } }, async (proxy) => {
        const client = new Socks5Client(proxy.url, options);
        const conn = await client.connect(TARGET);
        if (then === "close") assertEquals(await conn.read(new Uint8Array(1)), null);
        else assertEquals((await failure(conn.read(new Uint8Array(1)))).code, "SOCKS5_CONN_RESET");
        conn.close();
        assertNothingOpen(client);
      });
    }
  });

  test(`${via}: abort at each step of the handshake rejects with the caller's reason and closes`, async () => {
    for (const at of ["accept", "negotiate", "authenticate", "request"] as const) {
      const gate = testing.createGate();
      await withProxy({ credentials: ALICE, faults: { fault: "wait", at, for: gate.pass } }, async (proxy) => {
        const client = new Socks5Client(proxy.url, options);
        const controller = new AbortController();
        const connecting = client.connect(TARGET, { signal: controller.signal });
        await gate.reached;
        controller.abort(REASON);
        assertStrictEquals(await connecting.then(() => null, (reason: unknown) => reason), REASON);
        assertNothingOpen(client);
        await proxy.until(() => proxy.open === 0);
        assertEquals([proxy.connections.length, client.stats().failures], [1, 1]);
      });
    }
  });

  test(`${via}: abort after connect() has no effect on the tunnel`, () =>
    withEcho({}, async (proxy, echo) => {
      const controller = new AbortController();
      const client = new Socks5Client(proxy.url, options);
      const conn = await client.connect(echo.address, { signal: controller.signal });
      controller.abort(REASON);
      await assertEchoes(conn);
      conn.close();
    }));

  test(`${via}: close() at each step of the handshake rejects with ClosedError and leaves nothing`, async () => {
    const phases = { accept: "negotiate", negotiate: "negotiate", authenticate: "authenticate", request: "request" };
    for (const [at, phase] of Object.entries(phases)) {
      const gate = testing.createGate();
      const faults: TestFault = { fault: "wait", at: at as TestStep, for: gate.pass };
      await withProxy({ credentials: ALICE, faults }, async (proxy) => {
        const client = new Socks5Client(proxy.url, options);
        const connecting = failure(client.connect(TARGET));
        await gate.reached;
        await proxy.until(() => proxy.connections[0]!.received.length > 0);
        await client.close({ drain: Infinity });
        const error = await connecting;
        assertInstanceOf(error, api.ClosedError);
        assertEquals([error.code, error.phase], ["SOCKS5_CLIENT_CLOSED", phase]);
        assertNothingOpen(client);
      });
    }
  });

  test(`${via}: silence at each step ends with the timeout, and says at which`, async () => {
    const phases = { accept: "negotiate", negotiate: "negotiate", authenticate: "authenticate", request: "request" };
    await Promise.all(
      Object.entries(phases).map(async ([at, phase]) => {
        await withProxy({ credentials: ALICE, faults: { fault: "silence", at: at as TestStep } }, async (proxy) => {
          const client = new Socks5Client(proxy.url, options);
          const error = await failure(client.connect(TARGET, { timeout: 1_000 }));
          assertInstanceOf(error, api.TimeoutError);
          assertEquals([error.code, error.phase, error.proxy], ["SOCKS5_TIMEOUT", phase, `127.0.0.1:${proxy.port}`]);
          assertNothingOpen(client);
        });
      }),
    );
  });

  test(`${via}: a proxy that is silent, or takes no connection, is given up for the next`, async () => {
    const hole = await blackHole();
    try {
      await withProxy(
        { faults: { fault: "silence", at: "negotiate" } },
        (silent) =>
          withEcho({}, async (proxy, echo) => {
            const events: api.Socks5Event[] = [];
            const client = new Socks5Client([hole.endpoint, silent.url, proxy.url], {
              ...options,
              attemptTimeout: 500,
              onEvent: (event) => events.push(event),
            });
            const conn = await client.connect(echo.address);
            await assertEchoes(conn);
            conn.close();
            const failed = events.flatMap((event) => event.type === "failed" ? [event.error] : []);
            assertEquals(failed.map(({ code, phase }) => [code, phase]), [
              ["SOCKS5_ATTEMPT_TIMEOUT", "dial"],
              ["SOCKS5_ATTEMPT_TIMEOUT", "negotiate"],
            ]);
          }),
      );
    } finally {
      await hole.close();
    }
  });

  test(`${via}: a released tunnel is used again, and closed once its peer ends it`, () =>
    withEcho({}, async (proxy, echo) => {
      const gone = Promise.withResolvers<string>();
      const client = new Socks5Client(proxy.url, {
        ...options,
        onEvent: (event) => event.type === "closed" && gone.resolve(event.reason),
      });
      for (let round = 0; round < 5; round++) {
        const conn = await client.connect(echo.address, { reuse: true });
        assertEquals(conn.reused, round > 0);
        await assertEchoes(conn, `round ${round}`);
        conn.release();
      }
      assertEquals([proxy.connections.length, client.stats().idle, client.stats().reused], [1, 1, 4]);
      await proxy.stop();
      assertEquals(await gone.promise, "peer");
      assertNothingOpen(client);
      await proxy.start();
      const conn = await client.connect(echo.address, { reuse: true });
      assertEquals(conn.reused, false);
      conn.release();
      await client.close();
    }));

  test(`${via}: a proxy on a unix socket, and one on IPv6`, async () => {
    const directory = mkdtempSync(join(tmpdir(), "client-"));
    try {
      for (const where of [{ path: join(directory, "proxy for ü.sock") }, { hostname: "::1" }]) {
        await withEcho({ ...where, credentials: ALICE }, async (proxy, echo) => {
          const specs = [{ ...proxy.endpoint, credentials: ALICE }, proxy.url, new URL(proxy.url)];
          for (const [i, spec] of specs.entries()) {
            const client = new Socks5Client(spec, options);
            const conn = await client.connect(echo.address);
            assertEquals(conn.proxy, where.path ?? `[::1]:${proxy.port}`);
            await assertEchoes(conn);
            conn.close();
            assertEquals(proxy.connections[i]!.credentials, ALICE);
          }
        });
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test(`${via}: a name that is looked up here reaches the proxy as an address`, () =>
    withEcho({}, async (proxy, echo) => {
      const client = new Socks5Client(proxy.url, { ...options, dns: "local" });
      const target = `localhost:${new URL(`http://${echo.address}`).port}`;
      const conn = await client.connect(target, { reuse: true });
      assertEquals(conn.target, target);
      await assertEchoes(conn);
      conn.release();
      await assertEchoes(await client.connect(target, { reuse: true }).then((conn) => (assert(conn.reused), conn)));
      const error = await failure(client.connect(`${"x".repeat(64)}.test:80`));
      assertEquals([error.code, error.phase, error.proxy], ["SOCKS5_TARGET_NOT_FOUND", "lookup", null]);
      for (const { request } of proxy.connections) assert(request!.atyp === 1 || request!.atyp === 4);
      await client.close();
    }));
}

function repOf(why: string): number {
  return Number.parseInt(/REP (..)/.exec(why)![1]!, 16);
}

test("byte by byte, a client reads no byte too many", () =>
  withEcho({ credentials: ALICE, faults: { fault: "slow" } }, async (proxy, echo) => {
    const { socket, head } = (await new Socks5Client(proxy.url, { transport: nodeTransport }).connect(echo.address))
      .detach();
    assertEquals(head.length, 0);
    socket.write("ping");
    assertEquals(String((await once(socket, "data"))[0]), "ping");
    socket.destroy();
  }));

// what the mock saw of the credentials: [methods offered, user name and password sent]
const credentialCases: [
  what: string,
  methods: readonly number[],
  options: Socks5Options,
  own: api.Credentials | null | undefined,
  connect: api.ConnectOptions,
  seen: [methods: number[], sent: Required<api.Credentials> | null],
][] = [
  ["none", [0], {}, null, {}, [[0], null]],
  ["none, where the proxy would take a password", [2, 0], {}, null, {}, [[0], null]],
  ["the proxy's own, and it asks for them", [2], {}, ALICE, {}, [[0, 2], ALICE]],
  ["the proxy's own, and it does not ask", [0], {}, ALICE, {}, [[0, 2], null]],
  ["the proxy's own, and it takes a password whenever offered (tor)", [2, 0], {}, ALICE, {}, [[0, 2], ALICE]],
  ["the proxy's own, required", [2, 0], { auth: "required" }, ALICE, {}, [[2], ALICE]],
  ["a user name alone", [2], {}, { username: "alice" }, {}, [[0, 2], { username: "alice", password: "" }]],
  ["an empty password", [2], {}, { username: "a", password: "" }, {}, [[0, 2], { username: "a", password: "" }]],
  ["those of the connect: they are required", [2, 0], {}, ALICE, { credentials: BOB }, [[2], BOB]],
  ["those of the connect, where the proxy has none", [2, 0], {}, null, { credentials: BOB }, [[2], BOB]],
  ["null of the connect: none", [0], {}, ALICE, { credentials: null }, [[0], null]],
  ["null of the connect, although required for others", [0], { auth: "required" }, ALICE, { credentials: null }, [
    [0],
    null,
  ]],
];

for (const [what, methods, options, own, connect, seen] of credentialCases) {
  test(`credentials, ${what}: the methods ${seen[0].join(" and ")} are offered`, () =>
    withEcho({ methods, credentials: () => 0 }, async (proxy, echo) => {
      const client = new Socks5Client({ ...proxy.endpoint, ...(own && { credentials: own }) }, options);
      const conn = await client.connect(echo.address, connect);
      await assertEchoes(conn);
      conn.close();
      assertEquals<unknown>([proxy.connections[0]!.methods, proxy.connections[0]!.credentials], seen);
    }));
}

test("credentials of a connect are never dropped: a proxy that wants none does not get the connection", () =>
  withProxy({ methods: [0] }, async (proxy) => {
    const client = new Socks5Client(proxy.url, { retry: 3 });
    const error = await failure(client.connect(TARGET, { credentials: BOB }));
    assertEquals([error.code, proxy.connections[0]!.methods], ["SOCKS5_AUTH_NO_METHOD", [2]]);
    assertEquals(proxy.connections.length, 1, "there is nothing to hope for");
  }));

test("credentials get in however the URL has them: percent-encoded, as text, as a URL object or as parts", async () => {
  const all = [
    { username: "u:s@e/r?#[]%20", password: 'p:@/?#[]\\ %41"' },
    { username: "jürgen", password: "пароль🔑" },
    { username: "a", password: "" },
    { username: "u".repeat(255), password: "é".repeat(127) },
  ];
  for (const credentials of all) {
    await withEcho({ credentials }, async (proxy, echo) => {
      for (const spec of [proxy.url, new URL(proxy.url), { ...proxy.endpoint, credentials }]) {
        const conn = await new Socks5Client(spec, { auth: "required" }).connect(echo.address);
        conn.close();
        assertEquals(proxy.connections.at(-1)!.credentials, credentials);
      }
    });
  }
});

test("wrong credentials are refused, the right ones of the connect are taken", () =>
  withEcho({ credentials: ALICE }, async (proxy, echo) => {
    const client = new Socks5Client({ ...proxy.endpoint, credentials: BOB });
    assertEquals((await failure(client.connect(echo.address))).code, "SOCKS5_AUTH_REFUSED");
    (await client.connect(echo.address, { credentials: ALICE })).close();
  }));

const hex = (text: string) => Uint8Array.from(text.split(" ").map((byte) => Number.parseInt(byte, 16)));
const domain = (name: string) => Uint8Array.of(5, 1, 0, 3, name.length, ...bytes(name), 0, 80);

// RFC 1928 section 4: VER CMD RSV ATYP DST.ADDR DST.PORT, derived field by field
const requests: [target: api.Target, request: Uint8Array][] = [
  ["192.0.2.7:8080", hex("05 01 00 01 c0 00 02 07 1f 90")],
  ["[2001:db8::1]:443", hex("05 01 00 04 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01 01 bb")],
  [{ hostname: "::1", port: 1 }, hex("05 01 00 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 01")],
  ["[::ffff:192.0.2.7]:65535", hex("05 01 00 01 c0 00 02 07 ff ff")],
  ["Example.TEST:80", domain("example.test")],
  ["localhost:80", domain("localhost")],
  ["bücher.example:80", domain("xn--bcher-kva.example")],
  [{ hostname: "例え.テスト", port: 80 }, domain("xn--r8jz45g.xn--zckzah")],
  [
    `${`${"n".repeat(63)}.`.repeat(3)}${"n".repeat(63)}:80`,
    domain(`${`${"n".repeat(63)}.`.repeat(3)}${"n".repeat(63)}`),
  ],
];

test("each message of the handshake leaves in one write", async () => {
  const transport = new FakeTransport(socks5());
  for (const [proxy, writes] of [["socks5h://a", 2], ["socks5h://user:password@a", 3]] as const) {
    for (const [target] of requests) (await new Socks5Client(proxy, { transport }).connect(target)).close();
    assertEquals(transport.conns.splice(0).map((it) => it.writes), requests.map(() => writes));
  }
});

test("each message of the handshake arrives in one receive, and targets as IPv4, IPv6 or an IDNA name", async () => {
  const echo = await targets.startEcho();
  for (const [via, options] of Object.entries(TRANSPORTS)) {
    await withProxy({ methods: [2], credentials: ALICE, rules: () => echo }, async (proxy) => {
      const client = new Socks5Client(proxy.url, options);
      for (const [target, request] of requests) {
        (await client.connect(target)).close();
        assertEquals(proxy.connections.at(-1)!.received, [
          Uint8Array.of(5, 2, 0, 2),
          Uint8Array.of(1, 5, ...bytes("alice"), 6, ...bytes("secret")),
          request,
        ], via);
      }
    });
  }
  await echo.close();
});

test("proxies that take one receive for one message, and one that loses a reply to haste, are no trouble", async () => {
  for (const framing of ["datagram", "overwrite"] as const) {
    await withEcho({ framing, credentials: ALICE }, async (proxy, echo) => {
      const client = new Socks5Client(proxy.url, { retry: 0 });
      for (let i = 0; i < 20; i++) {
        const conn = await client.connect(echo.address);
        await assertEchoes(conn);
        conn.close();
      }
    });
  }
});

test("a proxy that closes what is not used in time (dante, v2ray, tor) hangs up", () =>
  withProxy({ handshakeTimeout: 20, faults: { fault: "silence", at: "negotiate" } }, async (proxy) => {
    const error = await failure(new Socks5Client(proxy.url, { retry: 0 }).connect(TARGET));
    assertEquals([error.code, error.retryable], ["SOCKS5_PROXY_HUNG_UP", true]);
  }));

test("closeWrite() carries the end to the target where the proxy does, and else cuts the answer off", async () => {
  const digest = await targets.startDigest();
  const question = targets.payload(100_000);
  const answer = targets.digestOf(question);
  for (const halfClose of ["carry", "cut"] as const) {
    await withProxy({ halfClose }, async (proxy) => {
      const client = new Socks5Client(proxy.url);
      const conn = await client.connect(digest.address);
      await conn.write(question);
      await conn.closeWrite();
      const got = await readAll(conn, 1000).catch((error: unknown) => error);
      if (halfClose === "carry") assertEquals(text(got as Uint8Array), answer);
      else assert(got instanceof api.ClosedError || (got as Uint8Array).length === 0, String(got));
      conn.close();
      assertNothingOpen(client);
    });
  }
  await digest.close();
});

test("the target's end leaves the way to it open, and its reset is a reset", async () => {
  const early = await targets.startTarget((socket) =>
    socket.end("bye").on("data", (chunk) => got.resolve(String(chunk)))
  );
  const rude = await targets.startReset(4);
  const got = Promise.withResolvers<string>();
  await withProxy({}, async (proxy) => {
    const client = new Socks5Client(proxy.url);
    const conn = await client.connect(early.address);
    assertEquals(text(await readAll(conn, 100)), "bye");
    await conn.write(bytes("late"));
    assertEquals(await got.promise, "late");
    await conn.closeWrite();
    assertNothingOpen(client);
    const reset = await client.connect(rude.address);
    await reset.write(bytes("ping"));
    assertEquals((await failure(reset.read(new Uint8Array(1)))).code, "SOCKS5_CONN_RESET");
    assertNothingOpen(client);
  });
  await early.close();
  await rude.close();
});

test("a stopped proxy is passed over for a living one, and then not even asked", () =>
  withProxy({}, (stopped) =>
    withEcho({}, async (living, echo) => {
      await stopped.stop();
      const events: string[] = [];
      const client = new Socks5Client([stopped.url, living.url], {
        onEvent: ({ type, proxy }) => events.push(`${type} ${proxy === conn(stopped) ? "stopped" : "living"}`),
      });
      for (let i = 0; i < 2; i++) (await client.connect(echo.address)).close();
      const rest = ["attempt living", "connected living", "closed living"];
      assertEquals(events, ["attempt stopped", "failed stopped", ...rest, ...rest]);
      assertEquals(client.stats().proxies.map(({ failures, cooldown }) => [failures, cooldown > 0]), [
        [1, true],
        [0, false],
      ]);
    })));

const conn = ({ hostname, port }: TestProxy) => `${hostname}:${port}`;

test("a proxy that was stopped and started again is used again at once if it is the only one", () =>
  withEcho({}, async (proxy, echo) => {
    const client = new Socks5Client(proxy.url, { retry: 0 });
    const first = await client.connect(echo.address);
    await proxy.stop();
    assertEquals(await readAll(first, 1).catch(() => new Uint8Array()), new Uint8Array());
    first.close();
    assertEquals((await failure(client.connect(echo.address))).code, "SOCKS5_PROXY_UNREACHABLE");
    await proxy.start();
    const second = await client.connect(echo.address);
    await assertEchoes(second);
    second.close();
    assertEquals(client.stats().proxies[0]!.cooldown, 0);
  }));

test("a proxy that hangs up twice works at the third attempt", () =>
  withEcho(
    { faults: [{ fault: "close", at: "negotiate" }, { fault: "reset", at: "negotiate" }] },
    async (proxy, echo) => {
      const client = new Socks5Client(proxy.url, { retry: { retries: 2, minDelay: 1 } });
      const conn = await client.connect(echo.address);
      await assertEchoes(conn);
      conn.close();
      assertEquals([proxy.connections.length, client.stats().retries, client.stats().failures], [3, 2, 0]);
    },
  ));

test("a connect waits, by trying again, for a proxy that is being started", () =>
  withEcho({}, async (proxy, echo) => {
    await proxy.stop();
    let starting: Promise<void> | undefined;
    const client = new Socks5Client(proxy.url, {
      retry: { retries: Infinity, minDelay: 1, maxDelay: 10 },
      onEvent: (event) => event.type === "failed" && event.attempt === 3 && (starting = proxy.start()),
    });
    const conn = await client.connect(echo.address);
    await starting;
    await assertEchoes(conn);
    conn.close();
  }));

test("close() ends waiting and open connects, and every later one", () =>
  withEcho({}, async (proxy, echo) => {
    const client = new Socks5Client(proxy.url, { pool: { maxOpen: 1 } });
    const held = await client.connect(echo.address);
    const waiting = failure(client.connect(echo.address));
    const reading = failure(held.read(new Uint8Array(1)));
    await Promise.resolve();
    assertEquals(client.stats().waiting, 1);
    await Promise.all([client.close(), client.close()]);
    for (const error of [await waiting, await reading, await failure(client.connect(echo.address))]) {
      assertInstanceOf(error, api.ClosedError);
      assertEquals(error.code, "SOCKS5_CLIENT_CLOSED");
    }
    assertEquals([(await waiting).phase, (await reading).phase], ["pool", "transfer"]);
    assertNothingOpen(client);
    await client.close();
    assertEquals(proxy.connections.length, 1);
  }));

test("close({ drain }) lets tunnels in use finish, ends idle ones at once, and resolves with the last one", () =>
  withEcho({}, async (proxy, echo) => {
    for (const drain of [Infinity, 50_000]) {
      const client = new Socks5Client(proxy.url);
      const idle = await client.connect(echo.address, { reuse: true });
      const held = await client.connect(echo.address, { reuse: true });
      const third = await client.connect(echo.address);
      idle.release();
      let closed = false;
      const closing = client.close({ drain }).then(() => closed = true);
      assertEquals([client.stats().idle, client.stats().inUse], [0, 2]);
      await assertEchoes(held);
      await assertRejects(() => client.connect(echo.address), api.ClosedError);
      held.release();
      assertEquals([client.stats().idle, client.stats().inUse], [0, 1], "a release closes now");
      await assertEchoes(third);
      assertEquals(closed, false);
      third.close();
      await closing;
      assertNothingOpen(client);
    }
  }));

test("close({ drain }) closes what is still in use when its time is up", () =>
  withEcho({}, async (proxy, echo) => {
    const client = new Socks5Client(proxy.url);
    const conn = await client.connect(echo.address);
    const reading = failure(conn.read(new Uint8Array(1)));
    await client.close({ drain: 20 });
    assertEquals((await reading).code, "SOCKS5_CLIENT_CLOSED");
    assertNothingOpen(client);
  }));

test("a second close() ends what the first one waits for", () =>
  withEcho({}, async (proxy, echo) => {
    const client = new Socks5Client(proxy.url);
    const conn = await client.connect(echo.address);
    const closing = client.close({ drain: Infinity });
    await client[Symbol.asyncDispose]();
    await closing;
    assertEquals((await failure(conn.write(bytes("x")))).code, "SOCKS5_CLIENT_CLOSED");
    assertNothingOpen(client);
  }));

test("200 connects go through 20 places, in order", () =>
  withEcho({}, async (proxy, echo) => {
    const order: number[] = [];
    let most = 0;
    const client = new Socks5Client(proxy.url, {
      pool: { maxOpen: 20 },
      timeout: Infinity,
      onEvent: ({ type, id }) => {
        if (type === "attempt") order.push(id);
        const { opening, inUse, idle } = client.stats();
        most = Math.max(most, opening + inUse + idle);
      },
    });
    const uses = Array.from({ length: 200 }, async (_, i) => {
      const conn = await client.connect(echo.address, { reuse: i % 3 === 0 });
      await assertEchoes(conn, `this is ${i}`);
      conn.close();
    });
    assertEquals([client.stats().opening, client.stats().waiting], [20, 180]);
    await Promise.all(uses);
    assertEquals(order, Array.from({ length: 200 }, (_, i) => i + 1));
    assertEquals(most, 20);
    assertEquals([client.stats().connects, client.stats().failures, proxy.connections.length], [200, 0, 200]);
    assertNothingOpen(client);
  }));

test("100 connects that are aborted at any moment leave nothing, and the next one works", () =>
  withEcho({ credentials: ALICE, faults: { fault: "slow" } }, async (proxy, echo) => {
    const client = new Socks5Client(proxy.url, { pool: { maxOpen: 10 } });
    const outcomes = await Promise.all(Array.from({ length: 100 }, async (_, i) => {
      const controller = new AbortController();
      const timer = setTimeout(() => controller.abort(REASON), i % 25);
      try {
        (await client.connect(echo.address, { signal: controller.signal })).close();
        return "connected";
      } catch (error) {
        assertStrictEquals(error, REASON);
        return "aborted";
      } finally {
        clearTimeout(timer);
      }
    }));
    assert(outcomes.includes("aborted"));
    assertNothingOpen(client);
    const conn = await client.connect(echo.address);
    await assertEchoes(conn);
    conn.close();
  }));

test("detach() hands over the runtime's own socket, which close() of the client leaves alone", () =>
  withEcho({}, async (proxy, echo) => {
    const client = new Socks5Client(proxy.url);
    const { socket, head } = (await client.connect(echo.address)).detach();
    assertEquals([head.length, client.stats().inUse], [0, 0]);
    await client.close();
    if (socket instanceof Socket) {
      socket.write("ping");
      assertEquals(String((await once(socket, "data"))[0]), "ping");
      socket.destroy();
    } else if ("Deno" in globalThis) {
      const conn = socket as Deno.TcpConn;
      await conn.write(bytes("ping"));
      assertEquals(text(await readFull(conn as unknown as Socks5Conn, 4)), "ping");
      conn.close();
    } else {
      const raw = socket as import("../../adapters/bun/mod.ts").BunSocket;
      const answer = new Promise((resolve) =>
        raw.reload({ socket: { data: (_: unknown, p: Uint8Array) => resolve(text(p)) } })
      );
      raw.resume();
      raw.write(bytes("ping"));
      assertEquals(await answer, "ping");
      raw.close();
    }
  }));

test("a client that is never used starts no timer and dials nothing", async () => {
  const real = globalThis.setTimeout;
  let timers = 0;
  let dials = 0;
  const transport = { connect: () => Promise.reject(new Error(`dial ${++dials}`)) };
  globalThis.setTimeout = ((...args: Parameters<typeof real>) => (timers++, real(...args))) as typeof real;
  try {
    const client = new Socks5Client(["socks5h://u:p@127.0.0.1:1", "socks5://[::1]"], { transport });
    client.stats();
    await client.close();
    await client[Symbol.asyncDispose]();
  } finally {
    globalThis.setTimeout = real;
  }
  assertEquals([dials, timers], [0, 0]);
});

test("importing the library opens nothing and says nothing, and neither does an unused client", async () => {
  const { code, written } = await program(`
    import { readdirSync, readlinkSync } from "node:fs";
    const sockets = () => {
      try {
        const links = readdirSync("/proc/self/fd").map((fd) => {
          try { return readlinkSync("/proc/self/fd/" + fd); } catch { return ""; }
        });
        return links.filter((link) => link.startsWith("socket:")).length;
      } catch { return 0; }
    };
    const before = sockets();
    const { Socks5Client } = await import(${MOD});
    new Socks5Client("socks5h://user:password@127.0.0.1:1").stats();
    if (sockets() !== before) throw new Error("a socket was opened");
  `);
  assertEquals([code, written], [0, ""]);
});

test("nothing is written to stdout or stderr, whatever happens", () =>
  withProxy(
    { faults: { fault: "http" } },
    (http) =>
      withProxy({ faults: { fault: "silence", at: "negotiate" } }, (silent) =>
        withEcho({ credentials: ALICE }, async (proxy, echo) => {
          const { code, written } = await program(`
          import { Socks5Client } from ${MOD};
          const settled = (promises) => Promise.allSettled(promises);
          const target = ${JSON.stringify(echo.address)};
          const onEvent = () => { throw new Error("in the listener"); };
          const retry = { retries: 1, minDelay: 1 };
          const client = new Socks5Client(${JSON.stringify(proxy.url)}, { onEvent, retry });
          const good = await client.connect(target, { reuse: true });
          await good.write(new Uint8Array(10));
          good.release();
          const { signal } = new AbortController(); // one for many: some runtimes warn of its listeners
          await settled(Array.from({ length: 50 }, async () => (await client.connect(target, { signal })).close()));
          const wrong = { username: "mallory", password: "guess" };
          await settled([client.connect(target, { credentials: wrong })]);
          await settled([client.connect("127.0.0.1:1"), client.connect("?")]);
          const aborted = new AbortController();
          const connecting = settled([client.connect(target, { signal: aborted.signal })]);
          aborted.abort();
          await connecting;
          const bad = new Socks5Client([${JSON.stringify(http.url)}, "socks5://127.0.0.1:1"], { onEvent, retry });
          await settled([bad.connect(target), bad.check(target), client.check(target), client.check("127.0.0.1:1")]);
          const late = new Socks5Client(${JSON.stringify(silent.url)}, { onEvent, attemptTimeout: 50, retry });
          await settled([late.connect(target), late.connect(target, { timeout: 20 })]);
          const held = await client.connect(target);
          const reading = held.read(new Uint8Array(1)).catch(() => {});
          const closed = late.connect(target).catch(() => {});
          await settled([client.close(), bad.close(), late.close()]);
          await settled([reading, closed, held.write(new Uint8Array(1)), client.connect(target)]);
        `);
          assertEquals([code, written], [0, ""]);
        })),
  ));

/** Runs a module with the running runtime, to its end; gives what it wrote to stdout and stderr. */
async function program(code: string): Promise<{ code: number | null; written: string }> {
  const child = spawn(process.execPath, evaluate(code), { stdio: ["ignore", "pipe", "pipe"] });
  let written = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => written += chunk);
  const [exit] = await once(child, "close");
  return { code: exit, written };
}
