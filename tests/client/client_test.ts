import { assert, assertEquals } from "@std/assert";
import { once } from "node:events";
import { Socket } from "node:net";
import { nodeTransport } from "../../adapters/node/mod.ts";
import * as api from "../../mod.ts";
import { Socks5Client, type Socks5Conn, type Socks5Options } from "../../mod.ts";
import { bytes, readAll, readFull, text } from "../support/contract.ts";
import { FakeTransport, socks5 } from "../support/fake.ts";
import { assertEchoes, assertNothingOpen, failure, TRANSPORTS, withEcho, withProxy } from "../support/stage.ts";
import * as targets from "../support/targets.ts";
import { test } from "../support/test.ts";

const ALICE = { username: "alice", password: "secret" };
const BOB = { username: "bob", password: "hunter2" };
const TARGET = "example.test:80";
const hex = (text: string) => Uint8Array.from(text.split(" ").map((byte) => Number.parseInt(byte, 16)));
const domain = (name: string) => Uint8Array.of(5, 1, 0, 3, name.length, ...bytes(name), 0, 80);

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
