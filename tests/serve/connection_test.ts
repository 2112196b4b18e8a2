import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  type ConnectionDecision,
  type ConnectionLog,
  serve,
  type ServedConnection,
  type ServeOptions,
} from "../../serve/mod.ts";
import { createTestProxy } from "../../testing/mod.ts";
import { bytes, text } from "../support/contract.ts";
import { connectRaw, type RawClient } from "../support/raw_client.ts";
import {
  basicOf,
  readHead,
  scripted,
  type ServeStage,
  socksRequest,
  userPass,
  withLocalProxy,
} from "../support/serve_stage.ts";
import { freePort } from "../support/real_process.ts";
import { startTarget } from "../support/targets.ts";
import { withTarget } from "../support/stage.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const CONNECT = "CONNECT echo.test:7 HTTP/1.1\r\n\r\n";
const SECRET = "Authorization: Bearer hush\r\n";
const GET = "GET http://web.test/path?token=hush HTTP/1.1\r\nHost: web.test\r\n" + SECRET + "\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const SOCKS = Uint8Array.of(5, 1, 0, ...socksRequest("echo.test", 7));

const startWeb = () =>
  startTarget((socket) => {
    socket.on("data", () => socket.write(OK)).on("end", () => socket.end());
  });

async function closeAll(...clients: RawClient[]): Promise<void> {
  for (const raw of clients) raw.close();
  await Promise.all(clients.map((raw) => raw.finish()));
}

/** Without what differs from run to run. */
function fixed({ time, client, proxy, ms, duration, ...rest }: ConnectionLog): Record<string, unknown> {
  assert(Math.abs(Date.parse(time) - Date.now()) < 60_000 && new Date(time).toISOString() === time, time);
  assertMatch(client, /^127\.0\.0\.1:\d+$/);
  assert(duration >= (ms ?? 0), `${ms} ${duration}`);
  return { ...rest, isServed: ms !== undefined && proxy !== undefined };
}

/** A local proxy of an echo and a web server, and what it logged. */
function withLog(
  options: ServeOptions,
  use: (stage: ServeStage, log: ConnectionLog[]) => Promise<void>,
): Promise<void> {
  const log: ConnectionLog[] = [];
  return withTarget(startWeb(), (web) => {
    const rules = { "web.test:80": web, "echo.test:7": "echo", "other.test:7": "echo" } as const;
    const write = (entry: ConnectionLog) => {
      log.push(entry);
      throw new Error("which is ignored");
    };
    return withLocalProxy({ proxy: { rules }, serve: { log: write, ...options } }, (stage) => use(stage, log));
  });
}

test("log tells of each connection when it has ended: tunnels and plain requests, without path and fields", () =>
  withLog({}, async ({ dial, proxy }, log) => {
    const tunnel = await dial(`${CONNECT}ping`);
    await readHead(tunnel);
    assertEquals(text(await tunnel.read(4)), "ping");
    const plain = await dial(GET);
    assertEquals(text(await plain.read(OK.length)), OK);
    await until(() => log.length === 1);
    await plain.write(bytes(GET));
    assertEquals(text(await plain.read(OK.length)), OK);
    const socks = await dial(Uint8Array.of(...SOCKS, ...bytes("hello")));
    assertEquals(text((await socks.read(17)).subarray(12)), "hello");
    await until(() => log.length === 2);
    await closeAll(socks, plain);
    await until(() => log.length === 3);
    await closeAll(tunnel);
    await until(() => log.length === 4);
    const sent = GET.replace("http://web.test", "").length;
    const common = { session: undefined, verdict: "ok", status: undefined, isServed: true };
    const request = { ...common, protocol: "http", target: "web.test:80", status: 200, sent, received: OK.length };
    assertEquals(log.map(fixed), [
      { ...request, id: 2 },
      { ...request, id: 3 },
      { ...common, id: 4, protocol: "socks5", target: "echo.test:7", sent: 5, received: 5 },
      { ...common, id: 1, protocol: "connect", target: "echo.test:7", sent: 4, received: 4 },
    ]);
    assertEquals(new Set(log.map((it) => it.proxy)), new Set([`127.0.0.1:${proxy.port}`]));
    assert(!JSON.stringify(log).includes("hush") && !JSON.stringify(log).includes("path"));
  }));

test("log tells why there was no connection", async () => {
  const port = await freePort();
  const onConnection = ({ target }: ServedConnection) => ({ refuse: target === "no.test:1" });
  const credentials = { username: "alice", password: "sesame" };
  const authorization = `Proxy-Authorization: ${basicOf("alice", "sesame")}\r\n\r\n`;
  await withLog({ port, onConnection, credentials }, async ({ dial, ask }, log) => {
    const connect = (target: string) => `CONNECT ${target} HTTP/1.1\r\n${authorization}`;
    assertMatch(await ask(connect("none.test:1")), /^HTTP\/1.1 502 /);
    assertMatch(await ask(connect("no.test:1")), /^HTTP\/1.1 403 /);
    assertMatch(await ask(connect(`localhost:${port}`)), /^HTTP\/1.1 502 /);
    assertMatch(
      await ask(connect("echo.test:7").replace(basicOf("alice", "sesame"), basicOf("alice", "hush"))),
      /^HTTP\/1.1 407 /,
    );
    const socks = await dial(Uint8Array.of(5, 1, 2, ...userPass("alice", "hush")));
    assertEquals([...await socks.read(4)], [5, 2, 1, 1]);
    await closeAll(socks);
    assertEquals(log.map(({ protocol, target, verdict, ms }) => ({ protocol, target, verdict, ms })), [
      { protocol: "connect", target: "none.test:1", verdict: "SOCKS5_TARGET_HOST_UNREACHABLE", ms: undefined },
      { protocol: "connect", target: "no.test:1", verdict: "refused", ms: undefined },
      { protocol: "connect", target: `localhost:${port}`, verdict: "loop", ms: undefined },
      { protocol: "connect", target: "echo.test:7", verdict: "wrong-password", ms: undefined },
      { protocol: "socks5", target: "", verdict: "wrong-password", ms: undefined },
    ]);
    assert(!/alice|sesame|hush/.test(JSON.stringify(log)));
  });
});

test("log tells of a client that left before it was connected", () => {
  const log: ConnectionLog[] = [];
  const proxy = { faults: { fault: "silence", at: "request" } } as const;
  return withLocalProxy({ proxy, serve: { log: (it) => log.push(it) } }, async ({ dial, proxy }) => {
    const raw = await dial(CONNECT);
    await proxy.until(() => proxy.connections.length === 1);
    await closeAll(raw);
    await until(() => log.length === 1);
    assertEquals([log[0]!.verdict, log[0]!.ms, log[0]!.proxy], ["gone", undefined, undefined]);
  });
});

test("onConnection sees who asks for what, and how much it was until its end", () => {
  const seen: ServedConnection[] = [];
  const onConnection = (it: ServedConnection) => void seen.push(it);
  return withLog({ onConnection, log: undefined }, async ({ dial, ask, proxy }) => {
    const tunnel = await dial(CONNECT);
    await readHead(tunnel);
    await ask(GET.replace("\r\n\r\n", "\r\nConnection: close\r\nProxy-Authorization: Basic eDp5\r\n\r\n"));
    const socks = await dial(SOCKS);
    await socks.read(12);
    await tunnel.write(bytes("ping"));
    await tunnel.read(4);
    const [connect, plain, five] = seen as [ServedConnection, ServedConnection, ServedConnection];
    assertEquals(seen.map(({ id, protocol, target }) => [id, protocol, target]), [
      [1, "connect", "echo.test:7"],
      [2, "http", "web.test:80"],
      [3, "socks5", "echo.test:7"],
    ]);
    for (const it of seen) assertMatch(it.client, /^127\.0\.0\.1:\d+$/);
    assertEquals([plain.method, plain.url], ["GET", "http://web.test/path?token=hush"]);
    assertEquals(plain.headers!.get("authorization"), "Bearer hush");
    assertEquals(plain.headers!.has("proxy-authorization"), false);
    assertEquals([connect.url, connect.method, connect.headers], [undefined, undefined, undefined]);
    assertEquals([connect.proxy, connect.sent, connect.received], [`127.0.0.1:${proxy.port}`, 4, 4]);
    assertEquals((await plain.ended).status, 200);
    five.close();
    assertEquals((await five.ended).verdict, "ok");
    await socks.finish();
    await closeAll(tunnel);
    assertEquals([(await connect.ended).sent, await connect.ended === await connect.ended], [4, true]);
  });
});

const withSocks = async ({ dial }: ServeStage) => {
  const raw = await dial(SOCKS);
  const answer = [...await raw.read(4)];
  await closeAll(raw);
  return answer;
};

test("onConnection refuses with a status, a body and a REP of its own, at once or later", async () => {
  const refusals: [ConnectionDecision["refuse"], RegExp, number][] = [
    [
      true,
      /^HTTP\/1.1 403 Forbidden\r\n[^]*\r\nContent-Type: text\/plain\r\n[^]*\r\n\r\nThis connection is refused\n$/,
      2,
    ],
    [{ status: 429, headers: { "Retry-After": "7" } }, /^HTTP\/1.1 429 Too Many Requests\r\nretry-after: 7\r\n/, 2],
    [
      { status: 451, body: "n\u00f6", rep: 5 },
      /^HTTP\/1.1 451 \r\n[^]*Content-Length: 4\r\n[^]*\r\n\r\nn\u00c3\u00b6\n$/,
      5,
    ],
    [{ headers: { "content-type": "text/html", "Content-Length": "9" } }, /\r\ncontent-type: text\/html\r\n/, 2],
  ];
  for (const [refuse, answer, rep] of refusals) {
    await withLog({ onConnection: () => Promise.resolve({ refuse }) }, async (stage) => {
      for (const asked of [CONNECT, GET]) {
        const said = await stage.ask(asked);
        assertMatch(said, answer);
        assertEquals(said.match(/^content-(length|type):/gim)!.length, 2, said);
      }
      assertEquals(await withSocks(stage), [5, 0, 5, rep]);
      assertEquals(stage.proxy.connections.length, 0);
    });
  }
});

test("onConnection leads to another target, and gives another session", async () => {
  const asked: [string, string | undefined][] = [];
  const credentials = ({ session, target }: { session: string | undefined; target: string }) => {
    asked.push([target, session]);
    return { username: session ?? "none" };
  };
  const web = await scripted("\r\n\r\n", OK);
  await using proxy = await createTestProxy({ credentials: () => 0, rules: { "b.test:80": web } });
  await using local = await serve({ hostname: "127.0.0.1", port: proxy.port, credentials }, {
    onConnection: ({ target }) => target === "a.test:80" ? { target: "b.test:80", session: "s-1" } : undefined,
  });
  const raw = await connectRaw({ hostname: "127.0.0.1", port: local.port });
  await raw.write(bytes("GET http://a.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n"));
  assertEquals(text(await raw.read(OK.length)), OK);
  await closeAll(raw);
  assertEquals([asked, web.received], [[["b.test:80", "s-1"]], "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n"]);
  assertEquals(proxy.connections.map((it) => it.credentials?.username), ["s-1"]);
  await web.close();
});

const faults: [name: string, decide: () => unknown, why: RegExp][] = [
  ["throws", () => {
    throw new Error("oops");
  }, /^oops$/],
  ["rejects", () => Promise.reject(new Error("oops")), /^oops$/],
  [
    "decides on what there is not",
    () => ({ refused: true }),
    /^Cannot use refused in the decision .* did you mean refuse\?$/,
  ],
  [
    "refuses with 200",
    () => ({ refuse: { status: 200 } }),
    /^Cannot use refuse.status as 300 to 599: current value is 200$/,
  ],
  ["refuses with REP 0", () => ({ refuse: { rep: 0 } }), /refuse.rep/],
  ["refuses with a field that is none", () => ({ refuse: { headers: { "a b": "c" } } }), /./],
  ["leads to what is no target", () => ({ target: "nowhere" }), /target/],
  ["gives an empty session", () => ({ session: "" }), /session/],
];

for (const [name, decide, why] of faults) {
  test(`an onConnection that ${name} refuses the client, and onError is told`, () => {
    const told: Error[] = [];
    const serve = { onConnection: decide as () => ConnectionDecision, onError: (it: Error) => void told.push(it) };
    return withLog(serve, async (stage, log) => {
      assertMatch(await stage.ask(CONNECT), /^HTTP\/1.1 502 [^]*\r\n\r\nThe connection failed\n$/);
      assertMatch(await stage.ask(GET), /^HTTP\/1.1 502 /);
      assertEquals(await withSocks(stage), [5, 0, 5, 1]);
      assertEquals(told.map(({ message }) => message), Array(3).fill("onConnection failed"));
      assertMatch((told[0]!.cause as Error).message, why);
      assertEquals(log.map(({ verdict }) => verdict), Array(3).fill("failed"));
      assertEquals(stage.proxy.connections.length, 0);
    });
  });
}

test("a client that leaves while onConnection decides is let go, and so is close()", () => {
  let asked = 0;
  const onConnection = () => {
    asked++;
    return new Promise<void>(() => {});
  };
  return withLog({ onConnection }, async ({ dial, localProxy }, log) => {
    const [leaves, stays] = [await dial(CONNECT), await dial(GET)];
    await until(() => asked === 2);
    await closeAll(leaves);
    await until(() => log.length === 1);
    await localProxy.close();
    await stays.finish();
    assertEquals(log.map(({ verdict }) => verdict), ["gone", "gone"]);
  });
});

test("with a fixed target onConnection decides, too", () => {
  const seen: string[] = [];
  const onConnection = ({ protocol, target }: ServedConnection) => {
    seen.push(`${protocol} ${target}`);
    return seen.length === 1 ? { refuse: true } : { target: "other.test:7" };
  };
  return withLog({ target: "echo.test:7", onConnection }, async ({ dial, proxy }, log) => {
    assertEquals((await (await dial("x").catch(() => null))?.finish())?.ending ?? "reset", "reset");
    const raw = await dial("ping");
    assertEquals(text(await raw.read(4)), "ping");
    await closeAll(raw);
    await until(() => log.length === 2);
    assertEquals(seen, ["target echo.test:7", "target echo.test:7"]);
    assertEquals(log.map(({ verdict, target }) => [verdict, target]), [["refused", "echo.test:7"], [
      "ok",
      "other.test:7",
    ]]);
    assertEquals(proxy.connections.map((it) => it.request?.hostname), ["other.test"]);
  });
});
