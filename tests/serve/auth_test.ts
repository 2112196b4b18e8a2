import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { serve, type ServeOptions } from "../../serve/mod.ts";
import { Socks5Client } from "../../mod.ts";
import { text } from "../support/contract.ts";
import { basicOf, readHead, socksRequest, userPass, withLocalProxy } from "../support/serve_stage.ts";
import { withTarget } from "../support/stage.ts";
import { startEcho, startTarget } from "../support/targets.ts";
import { test } from "../support/test.ts";

const ALICE = { username: "alice", password: "sésame: open" };
const LAST = "\r\nConnection: close\r\n\r\n";

const connect = (authorization?: string, to = "web.test:80") =>
  `CONNECT ${to} HTTP/1.1\r\n${authorization === undefined ? "" : `Proxy-Authorization: ${authorization}\r\n`}\r\n`;

const startWeb = () =>
  startTarget((socket) => {
    socket.on("data", () => socket.end("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"));
    socket.on("end", () => socket.end());
  });

const refused: Record<string, string | undefined> = {
  "nothing": undefined,
  "an empty value": "",
  "another password": basicOf("alice", "sesame"),
  "another user": basicOf("bob", ALICE.password),
  "a user with a part of the password": basicOf("alice:s", "ésame: open"),
  "a longer password": basicOf("alice", `${ALICE.password}\0`),
  "the password in Latin-1": `Basic ${btoa(`alice:${ALICE.password}`)}`,
  "no colon": `Basic ${btoa("alice")}`,
  "another scheme": basicOf("alice", ALICE.password).replace("Basic", "Bearer"),
  "no Base64": "Basic alice:sesame",
  "a line break in it": `${basicOf("alice", ALICE.password)}\r\nProxy-Authorization: x`,
};

for (const [name, authorization] of Object.entries(refused)) {
  test(`the local proxy with a password of its own refuses ${name} with 407`, () =>
    withLocalProxy({ serve: { credentials: ALICE } }, async ({ dial, proxy }) => {
      const raw = await dial(connect(authorization));
      const head = await readHead(raw);
      assertMatch(head, /^HTTP\/1.1 407 Proxy Authentication Required\r\n/);
      assertMatch(head, /\r\nProxy-Authenticate: Basic realm="socks5", charset="UTF-8"\r\n/);
      raw.end();
      await raw.finish();
      assertEquals(proxy.connections.length, 0);
    }));
}

test("the local proxy with a password of its own lets in who knows it, and keeps it to itself", () =>
  withTarget(startWeb(), (web) =>
    withLocalProxy({
      proxy: { credentials: { username: "upstream", password: "p" }, rules: () => web },
      serve: { credentials: ALICE },
    }, async ({ dial, ask, proxy }) => {
      const tunnel = await dial(connect(basicOf(ALICE.username, ALICE.password).replace("Basic ", "BASIC  ")));
      assertMatch(await readHead(tunnel), /^HTTP\/1.1 200 /);
      tunnel.close();
      const authorization = `Proxy-Authorization: ${basicOf(ALICE.username, ALICE.password)}`;
      assertMatch(await ask(`GET http://web.test/ HTTP/1.0\r\n${authorization}\r\n\r\n`), /^HTTP\/1.1 204 /);
      const socks = await dial(Uint8Array.of(5, 2, 0, 2));
      assertEquals([...await socks.read(2)], [5, 2]);
      await socks.write(userPass(ALICE.username, ALICE.password));
      assertEquals([...await socks.read(2)], [1, 0]);
      await socks.write(socksRequest("web.test", 80));
      assertEquals((await socks.read(10))[1], 0);
      socks.close();
      await Promise.all([tunnel.finish(), socks.finish()]);
      assertEquals(new Set(proxy.connections.map((it) => it.credentials?.username)), new Set(["upstream"]));
    })));

const socksRefused: Record<string, [said: Uint8Array, answer: number[]]> = {
  "no method that has one": [Uint8Array.of(5, 1, 0), [5, 0xff]],
  "another password": [Uint8Array.of(5, 1, 2, ...userPass("alice", "x")), [5, 2, 1, 1]],
  "a user with a part of the password": [Uint8Array.of(5, 1, 2, ...userPass("alice:sésame", " open")), [5, 2, 1, 1]],
  "an empty user": [Uint8Array.of(5, 1, 2, ...userPass("", "")), [5, 2, 1, 1]],
  "bytes that are no UTF-8": [Uint8Array.of(5, 1, 2, 1, 1, 0xff, 1, 0xff), [5, 2, 1, 1]],
  "another version": [Uint8Array.of(5, 1, 2, ...userPass(ALICE.username, ALICE.password, 5)), [5, 2, 1, 1]],
};

for (const [name, [said, answer]] of Object.entries(socksRefused)) {
  test(`the local proxy with a password of its own refuses over SOCKS5 ${name}`, () =>
    withLocalProxy({ serve: { credentials: ALICE } }, async ({ dial, proxy }) => {
      const raw = await dial(said);
      assertEquals([...await raw.read(answer.length)], answer);
      raw.end();
      assertEquals(await raw.finish(), { bytes: new Uint8Array(), ending: "end" });
      assertEquals(proxy.connections.length, 0);
    }));
}

test('credentials: "forward" gives each its identity at the proxy, and never shares a connection', () =>
  withTarget(startWeb(), (web) =>
    withLocalProxy(
      { proxy: { credentials: () => 0, rules: () => web }, serve: { credentials: "forward" } },
      async ({ dial, ask, proxy }) => {
        assertMatch(await ask(`GET http://web.test/ HTTP/1.1\r\nHost: web.test${LAST}`), /^HTTP\/1.1 407 /);
        assertMatch(await ask(connect(basicOf("", "x")) + ""), /^HTTP\/1.1 407 /);
        assertEquals(proxy.connections.length, 0);
        const tunnel = await dial(connect(basicOf("ann", "1:2")));
        assertMatch(await readHead(tunnel), /^HTTP\/1.1 200 /);
        const plain = `GET http://web.test/ HTTP/1.1\r\nHost: web.test\r\nProxy-Authorization: `;
        assertMatch(await ask(`${plain}${basicOf("bob", "é")}${LAST}`), /^HTTP\/1.1 204 /);
        const socks = await dial(Uint8Array.of(5, 2, 0, 2, ...userPass("eve", ""), ...socksRequest("web.test", 80)));
        assertEquals([...(await socks.read(14)).subarray(0, 6)], [5, 2, 1, 0, 5, 0]);
        for (const raw of [tunnel, socks]) raw.close();
        await Promise.all([tunnel.finish(), socks.finish()]);
        assertEquals(proxy.connections.map((it) => it.credentials), [
          { username: "ann", password: "1:2" },
          { username: "bob", password: "é" },
          { username: "eve", password: "" },
        ]);
      },
    )));

test('credentials: "forward" gives two identities on one connection of a client two of the proxy', () =>
  withTarget(
    startTarget((socket) => {
      socket.on("data", () => socket.write("HTTP/1.1 204 No Content\r\n\r\n")).on("end", () => socket.end());
    }),
    (web) =>
      withLocalProxy(
        { proxy: { credentials: () => 0, rules: () => web }, serve: { credentials: "forward" } },
        async ({ dial, proxy }) => {
          const raw = await dial();
          for (const user of ["ann", "ann", "bob", "ann"]) {
            const authorization = `Proxy-Authorization: ${basicOf(user, "x")}`;
            await raw.write(
              new TextEncoder().encode(`GET http://web.test/ HTTP/1.1\r\nHost: web.test\r\n${authorization}\r\n\r\n`),
            );
            assertMatch(await readHead(raw), /^HTTP\/1.1 204 /);
          }
          raw.close();
          await raw.finish();
          assertEquals(proxy.connections.map((it) => it.credentials?.username), ["ann", "bob", "ann"]);
        },
      ),
  ));

test('credentials: "forward" asks again when the proxy refuses them', () =>
  withLocalProxy(
    { proxy: { credentials: () => 1 }, serve: { credentials: "forward" } },
    async ({ ask, dial }) => {
      assertMatch(
        await (await dial(connect(basicOf("ann", "x")))).finish().then((it) => text(it.bytes)),
        /^HTTP\/1.1 407 /,
      );
      const socks = await ask(String.fromCharCode(5, 1, 2, ...userPass("ann", "x"), ...socksRequest("web.test", 80)));
      assertEquals([...socks].map((it) => it.charCodeAt(0)).slice(0, 6), [5, 2, 1, 0, 5, 2]);
    },
  ));

test("a client's own credentials that the proxy refuses are a 502", () =>
  withLocalProxy({ proxy: { credentials: () => 1 } }, async ({ ask }) => {
    assertMatch(await ask(connect()), /^HTTP\/1.1 502 [^]*\(SOCKS5_AUTH_[A-Z_]+\)\n$/);
  }));

const wrong: [ServeOptions, typeof TypeError | typeof RangeError, RegExp][] = [
  [{ hostname: "0.0.0.0" }, TypeError, /^Cannot use hostname as a loopback name .*: current value is a string$/],
  [{ hostname: "::" }, TypeError, /hostname/],
  [{ hostname: "192.168.0.1" }, TypeError, /hostname/],
  [{ hostname: "web.test" }, TypeError, /hostname/],
  [{ hostname: "localhost.evil.test" }, TypeError, /hostname/],
  [{ hostname: "127.evil.test" }, TypeError, /hostname/],
  [{ hostname: "evil.localhost" }, TypeError, /hostname/],
  [{ hostname: "0.0.0.0", credentials: "forward" }, TypeError, /hostname/],
  [{ hostname: "0.0.0.0", target: "web.test:80" }, TypeError, /hostname/],
  [{ hostname: "" }, TypeError, /hostname/],
  [{ hostname: "a b" }, TypeError, /hostname/],
  [{ port: -1 }, RangeError, /port/],
  [{ port: 65536 }, RangeError, /port/],
  [{ port: 1.5 }, RangeError, /port/],
  [{ port: "80" as unknown as number }, TypeError, /port/],
  [{ headTimeout: -1 }, RangeError, /headTimeout/],
  [{ headTimeout: NaN }, RangeError, /headTimeout/],
  [{ maxHead: 1_023 }, RangeError, /maxHead/],
  [{ maxHead: Infinity }, RangeError, /maxHead/],
  [{ maxHead: "1" as unknown as number }, TypeError, /maxHead/],
  [{ idleTimeout: -1 }, RangeError, /idleTimeout/],
  [{ maxClients: 0 }, RangeError, /^Cannot use maxClients as a whole number from 1, or Infinity: current value is 0$/],
  [{ maxClients: 1.5 }, RangeError, /maxClients/],
  [{ maxClients: NaN }, RangeError, /maxClients/],
  [{ maxClients: "1" as unknown as number }, TypeError, /maxClients/],
  [{ onError: "secret" as unknown as () => void }, TypeError, /onError/],
  [{ target: "web.test" }, TypeError, /target/],
  [{ target: "web.test:0" }, RangeError, /target/],
  [{ target: "web.test:80", credentials: ALICE }, TypeError, /credentials/],
  [{ credentials: { username: "", password: "secret" } }, RangeError, /credentials/],
  [{ credentials: { username: "a:b", password: "secret" } }, TypeError, /credentials/],
  [{ credentials: { username: "a", password: "secret".repeat(50) } }, RangeError, /credentials/],
  [{ credentials: "secret" as "forward" }, TypeError, /credentials/],
  [{ credentials: null as unknown as "forward" }, TypeError, /credentials/],
];

for (const [options, type, message] of wrong) {
  const shown = JSON.stringify(options).replace(/(secret)+/, "…");
  test(`serve() refuses ${shown} before it listens`, async () => {
    const error = await assertRejects(() => serve(new Socks5Client("socks5h://127.0.0.1"), options), type);
    assertMatch(error.message, message);
    assert(!error.message.includes("secret"), error.message);
  });
}

test("a local proxy with a password of its own may listen beyond loopback", () =>
  withTarget(
    startEcho(),
    (echo) =>
      withLocalProxy(
        { serve: { hostname: "0.0.0.0", credentials: { username: "a", password: "b" } } },
        async ({ dial, localProxy }) => {
          assertEquals(localProxy.url, `http://0.0.0.0:${localProxy.port}`);
          const raw = await dial(connect(basicOf("a", "b"), echo.address));
          assertMatch(await readHead(raw), /^HTTP\/1.1 200 /);
          raw.end();
          await raw.finish();
        },
      ),
  ));
