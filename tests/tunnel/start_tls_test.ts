import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { connect, type Socket } from "node:net";
import { nodeTransport } from "../../adapters/node/mod.ts";
import { Socks5Client, type Socks5ErrorCode, type Socks5Options, type TlsOptions, type Transport } from "../../mod.ts";
import { type Certificates, certificates } from "../support/certificates.ts";
import { bytes, readFull, text } from "../support/contract.ts";
import { createTestProxy, type TestProxy } from "../../testing/mod.ts";
import { assertEchoes, failure } from "../support/stage.ts";
import { startEcho, startTarget, type Target } from "../support/targets.ts";
import { test } from "../support/test.ts";
import { startAlert, startPlain, startTls, type TlsTarget } from "../support/tls_targets.ts";

const isDeno = "Deno" in globalThis;
const NAME = "target.example:443";
const transports: [string, Transport | undefined][] = [["own transport", undefined], ["node:net", nodeTransport]];

/** Trusts the authority of the tests. */
function trusting(more: TlsOptions = {}): TlsOptions {
  return { caCerts: [certificates().authority.cert], ...more };
}

/** Runs `use` with a client of a proxy behind which the targets are; nothing may be open in the end. */
async function through<T extends Target>(
  starting: Promise<T>,
  options: Socks5Options,
  use: (client: Socks5Client, target: T, proxy: TestProxy) => Promise<void>,
): Promise<void> {
  const target = await starting;
  const rules = Object.fromEntries([NAME, "other.example:443", "192.0.2.7:443"].map((name) => [name, target]));
  const proxy = await createTestProxy({ rules });
  const client = new Socks5Client(proxy.url, { retry: 0, ...options });
  try {
    await use(client, target, proxy);
    assertEquals(client.stats().inUse, 0);
    await client.close();
    await proxy.until(() => proxy.open === 0);
    await target.until(() => target.open === 0);
  } finally {
    await client.close();
    await proxy.close();
    await target.close();
  }
}

type Fault = [
  what: string,
  start: (certificates: Certificates) => Promise<Target>,
  code: Socks5ErrorCode,
  tls?: () => TlsOptions,
];

const faults: Fault[] = [
  [
    "an unknown authority",
    (c) => startTls({ certificate: c.names }),
    "SOCKS5_TLS_UNTRUSTED",
    () => ({ caCerts: [] }),
  ],
  ["another authority", (c) => startTls({ certificate: c.stranger }), "SOCKS5_TLS_UNTRUSTED", () => ({
    serverName: "localhost",
  })],
  ["a certificate for another name", (c) => startTls({ certificate: c.both }), "SOCKS5_TLS_WRONG_NAME"],
  [
    "an expired certificate",
    (c) => startTls({ certificate: c.expired }),
    "SOCKS5_TLS_EXPIRED",
    () => ({ serverName: "localhost" }),
  ],
  ["a certificate of the future", (c) => startTls({ certificate: c.notYetValid }), "SOCKS5_TLS_EXPIRED", () => ({
    serverName: "localhost",
  })],
  ["an answer of HTTP", () => startPlain("HTTP/1.1 400 Bad Request\r\n\r\n"), "SOCKS5_TLS_NOT_TLS"],
  ["an alert", () => startAlert(2, 40), "SOCKS5_TLS_REFUSED"],
  ["nothing in common by ALPN", (c) => startTls({ certificate: c.names, alpn: ["x"] }), "SOCKS5_TLS_REFUSED", () => ({
    alpnProtocols: ["y"],
  })],
  [
    "an end in the handshake",
    () => startTarget((socket) => socket.once("data", () => socket.end())),
    "SOCKS5_TLS_HUNG_UP",
  ],
  [
    "a reset in the handshake",
    () => startTarget((socket) => socket.once("data", () => socket.resetAndDestroy())),
    "SOCKS5_TLS_HUNG_UP",
  ],
  [
    "half of a handshake",
    () => startTarget((socket) => socket.once("data", () => socket.end(Uint8Array.of(22, 3, 3, 0, 90, 2, 0, 0)))),
    "SOCKS5_TLS_HUNG_UP",
  ],
];

for (const [name, transport] of transports) {
  test(`${name}: connect() with TLS, and startTls() later, speak to the target`, () =>
    through(
      startTls({ certificate: certificates().names, alpn: ["b", "a"] }),
      { transport },
      async (client, target) => {
        const tls = trusting({ alpnProtocols: ["a", "b"] });
        const conn = await client.connect(NAME, { tls });
        await assertEchoes(conn);
        const plain = await client.connect(NAME);
        const later = await plain.startTls(tls);
        await assertEchoes(later);
        for (const it of [conn, later]) {
          assertEquals([it.alpnProtocol, it.target], ["b", NAME]);
          const megabyte = new Uint8Array(1 << 20).fill(7);
          const sent = it.write(megabyte);
          assertEquals((await readFull(it, megabyte.length)).every((byte) => byte === 7), true);
          await sent;
          it.close();
        }
        assertEquals(target.hellos.map(({ serverName, alpn }) => [serverName, alpn]), [
          ["target.example", "b"],
          ["target.example", "b"],
        ]);
      },
    ));

  test(`${name}: the certificate of an address has to be for the address, and no SNI is sent`, () =>
    through(
      startTls({ certificate: certificates().both }),
      { transport },
      async (client, target) => {
        const error = await failure(client.connect("192.0.2.7:443", { tls: trusting() }));
        assertEquals([error.code, error.phase], ["SOCKS5_TLS_WRONG_NAME", "tls"]);
        const conn = await client.connect("192.0.2.7:443", { tls: trusting({ serverName: "127.0.0.1" }) });
        await assertEchoes(conn);
        conn.close();
        assertEquals(target.hellos.at(-1)!.serverName, null);
      },
    ));

  test(`${name}: TLS is read as a stream, and its end is an end`, () =>
    through(
      startTls({ certificate: certificates().names }, (socket) => void socket.end("hello")),
      { transport },
      async (client) => {
        const conn = await client.connect(NAME, { tls: trusting() });
        const chunks: Uint8Array[] = [];
        for await (const chunk of conn.readable) chunks.push(chunk);
        assertEquals(chunks.map(text).join(""), "hello");
        conn.close();
      },
    ));

  test(`${name}: a client that is asked for its certificate shows it`, () =>
    through(
      startTls({ certificate: certificates().names, wantsClient: true }),
      { transport },
      async (client, target) => {
        const conn = await client.connect(NAME, { tls: trusting(certificates().client) });
        await assertEchoes(conn);
        conn.close();
        assertEquals(target.hellos.map((hello) => hello.client), ["client"]);
      },
    ));

  test(`${name}: a tunnel with TLS is released, and reused as long as the target keeps it open`, () =>
    through(startTls({ certificate: certificates().names }), { transport }, async (client, target) => {
      const ask = async () => {
        const conn = await client.connect(NAME, { tls: trusting(), reuse: true });
        await assertEchoes(conn);
        conn.release();
        return conn.reused;
      };
      assertEquals([await ask(), await ask()], [false, true]);
      assertEquals((await client.connect(NAME, { reuse: true }).then((conn) => (conn.close(), conn))).reused, false);
      assertEquals(target.hellos.length, 1);
    }));

  test(`${name}: TLS is started on a tunnel that was used before`, () =>
    through(startSwitching(), { transport }, async (client) => {
      const first = await client.connect(NAME, { reuse: true });
      await assertEchoes(first);
      first.release();
      const conn = await client.connect(NAME, { reuse: true });
      assert(conn.reused);
      await conn.write(bytes("TLS!"));
      assertEquals(text(await readFull(conn, 4)), "TLS!");
      const secured = await conn.startTls(trusting());
      await assertEchoes(secured);
      secured.close();
    }));

  test(`${name}: bytes in the clear that nobody has read end in no tunnel`, () =>
    through(
      startTarget((socket) => {
        socket.on("end", () => socket.end());
        socket.once("data", () => socket.write("220 go ahead\r\n250 injected\r\n"));
      }),
      { transport },
      async (client) => {
        const conn = await client.connect(NAME);
        await conn.write(bytes("STARTTLS\r\n"));
        assertEquals(text(await readFull(conn, 14)), "220 go ahead\r\n");
        const error = await failure(conn.startTls(trusting()));
        // Deno leaves what nobody has read in the kernel, where TLS finds it
        const isUnseen = isDeno && transport === undefined;
        assertEquals(error.code, isUnseen ? "SOCKS5_TLS_NOT_TLS" : "SOCKS5_TLS_PLAINTEXT");
      },
    ));

  for (const [what, start, code, tls] of faults) {
    test(`${name}: ${what} is ${code}, from the first byte and later, and nothing is left`, () =>
      through(start(certificates()), { transport }, async (client) => {
        const error = await failure(client.connect(NAME, { tls: { ...trusting(), ...tls?.() } }));
        assertEquals([error.code, error.phase, error.proxy], [code, "tls", error.proxy]);
        const conn = await client.connect(NAME);
        assertEquals((await failure(conn.startTls({ ...trusting(), ...tls?.() }))).code, code);
      }));
  }

  test(`${name}: TLS with the proxy, and TLS with the target in it`, () =>
    withTlsProxy(async ({ proxy, terminator, target }) => {
      const client = new Socks5Client({
        hostname: "127.0.0.1",
        port: terminator.port,
        credentials: { username: "me", password: "secret" },
        tls: trusting(),
      }, { transport, retry: 0 });
      const plain = await client.connect("echo.example:7");
      await assertEchoes(plain);
      const conn = await client.connect(NAME, { tls: trusting() });
      await assertEchoes(conn);
      assertEquals(terminator.hellos.map(({ serverName }) => serverName), [null, null]);
      assertEquals(target.hellos.map(({ serverName }) => serverName), ["target.example"]);
      assertEquals((await client.check(NAME, { tls: trusting() }))[0]!.verdict, "ok");
      for (const it of [plain, conn]) it.close();
      await client.close();
      await proxy.until(() => proxy.open === 0);
    }));

  test(`${name}: a proxy whose certificate is not for its name is told nothing, and passed over`, () =>
    withTlsProxy(async ({ proxy, terminator }) => {
      const wrong = { hostname: "127.0.0.1", port: terminator.port, tls: trusting({ serverName: "other.example" }) };
      const client = new Socks5Client([wrong, proxy.url], { transport });
      const conn = await client.connect("echo.example:7");
      assertEquals(conn.proxy, `127.0.0.1:${proxy.port}`);
      conn.close();
      const alone = new Socks5Client(wrong, { transport });
      const error = await failure(alone.connect("echo.example:7"));
      assertEquals([error.code, error.phase, error.errors], ["SOCKS5_TLS_WRONG_NAME", "dial", []]);
      const [report] = await alone.check();
      assertEquals([report!.verdict, report!.code], ["proxy-down", "SOCKS5_TLS_WRONG_NAME"]);
      await Promise.all([client.close(), alone.close()]);
      await terminator.until(() => terminator.open === 0);
    }));

  test(`${name}: TLS through a chain of two`, () =>
    through(startTls({ certificate: certificates().names }), { transport }, async (inner, _target, proxy) => {
      const client = new Socks5Client(proxy.url, { transport: inner });
      const conn = await client.connect(NAME, { tls: trusting() });
      await assertEchoes(conn);
      conn.close();
      await client.close();
    }));

  test(`${name}: a target that is silent in TLS is given up in time, and when the signal aborts`, () => {
    const { starting, heard, hangUp } = startSilent();
    return through(starting, { transport }, async (client, target) => {
      const reason = new Error("the caller's own");
      for (const later of [false, true]) {
        const start = async (options: { timeout?: number; signal?: AbortSignal }) => {
          if (!later) return await client.connect(NAME, { tls: trusting(), ...options });
          return await (await client.connect(NAME)).startTls({ ...trusting(), ...options });
        };
        const error = await failure(start({ timeout: 300 }));
        assertEquals([error.code, error.phase], ["SOCKS5_TIMEOUT", "tls"]);
        const controller = new AbortController();
        const hello = heard();
        const ending = start({ signal: controller.signal }).catch((error: unknown) => error);
        await hello;
        controller.abort(reason);
        assertStrictEquals(await ending, reason);
      }
      // Deno's own TLS keeps the first one open until the peer hangs up, and is then not used for that name
      const kept = isDeno && transport === undefined ? 1 : 0;
      await target.until(() => target.open <= kept);
      hangUp();
    });
  });

  test(`${name}: closing the client ends TLS that is being started`, () => {
    const { starting, heard } = startSilent();
    return through(starting, { transport }, async (client) => {
      const hellos = Promise.all([heard(), heard()]);
      const conn = await client.connect(NAME);
      const ending = [failure(client.connect(NAME, { tls: trusting() })), failure(conn.startTls(trusting()))];
      await hellos;
      await client.close();
      assertEquals((await Promise.all(ending)).map(({ code }) => code), [
        "SOCKS5_CLIENT_CLOSED",
        "SOCKS5_CLIENT_CLOSED",
      ]);
    });
  });
}

/** Says nothing; `heard` waits until it is told something on a connection. */
function startSilent(): { starting: Promise<Target>; heard: () => Promise<void>; hangUp: () => void } {
  const waiting: (() => void)[] = [];
  const sockets: Socket[] = [];
  return {
    starting: startTarget((socket) => {
      sockets.push(socket);
      socket.on("end", () => socket.end()).once("data", () => waiting.shift()?.());
    }),
    heard: () => new Promise((resolve) => waiting.push(resolve)),
    hangUp: () => sockets.forEach((socket) => socket.end()),
  };
}

/** Echoes in the clear until it is told "TLS!", which it echoes too; then it speaks TLS. */
function startSwitching(): Promise<Target> {
  const secure = startTls({ certificate: certificates().names });
  return startTarget(async (socket) => {
    const tls = await secure;
    const echo = (chunk: Uint8Array) => {
      socket.write(chunk);
      if (text(chunk) !== "TLS!") return;
      socket.off("data", echo);
      const onward = connect(tls.port, "127.0.0.1");
      onward.on("error", () => socket.destroy()).on("close", () => socket.destroy());
      socket.on("close", () => (onward.destroy(), tls.close()));
      socket.pipe(onward).pipe(socket);
    };
    socket.on("data", echo);
  });
}

/** A proxy behind something that speaks TLS, and targets behind the proxy. */
async function withTlsProxy(
  use: (stage: { proxy: TestProxy; terminator: TlsTarget; target: TlsTarget }) => Promise<void>,
): Promise<void> {
  const target = await startTls({ certificate: certificates().names });
  const echo = await startEcho();
  const proxy = await createTestProxy({ rules: { [NAME]: target, "echo.example:7": echo } });
  const terminator = await startTls({ certificate: certificates().both }, (socket) => {
    const onward = connect(proxy.port, "127.0.0.1");
    for (const [from, to] of [[socket, onward], [onward, socket]] as const) {
      from.on("error", () => to.destroy()).on("close", () => to.destroy());
      from.pipe(to);
    }
  });
  try {
    await use({ proxy, terminator, target });
  } finally {
    for (const it of [terminator, proxy, echo, target]) await it.close();
  }
}
