import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { ClientConn, ClientTimeout } from "../../serve/client_conn.ts";
import { bytes, text } from "../support/contract.ts";
import { basicOf, readHead, scripted, socksRequest, withLocalProxy } from "../support/serve_stage.ts";
import type { RawClient } from "../support/raw_client.ts";
import { freePort } from "../support/real_process.ts";
import { withTarget } from "../support/stage.ts";
import { startEcho, startSilent } from "../support/targets.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const GET = "GET http://web.test/ HTTP/1.1\r\nHost: web.test\r\n\r\n";
const GET_SENT = "GET / HTTP/1.1\r\nHost: web.test\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CONNECT = "CONNECT echo.test:7 HTTP/1.1\r\n\r\n";

/** How a connection ends, which may be before it is known to be open. */
async function endingOf(dialled: Promise<RawClient>): Promise<string> {
  try {
    return (await (await dialled).finish()).ending;
  } catch (error) {
    assertEquals((error as { code?: string }).code, "ECONNRESET");
    return "reset";
  }
}

test("maxClients: the next one is reset, onError is told once, and again after half of them left", () =>
  withTarget(startEcho(), (target) => {
    const told: string[] = [];
    const onError = (error: Error) => {
      told.push(error.message);
      throw new Error("which is ignored");
    };
    const options = { target: target.address, maxClients: 2, onError };
    return withLocalProxy({ serve: options }, async ({ dial, proxy }) => {
      for (let round = 1; round <= 2; round++) {
        const served: RawClient[] = [];
        // the local proxy may still be closing those of the round before
        const isServed = async () => {
          const raw = await dial("a").catch(() => null);
          const answer = await raw?.read(1).catch(() => raw.finish());
          return answer instanceof Uint8Array && served.push(raw!) === 2;
        };
        await until(isServed);
        for (let i = 0; i < 2; i++) assertEquals(await endingOf(dial("x")), "reset");
        assertEquals(told.length, round);
        assertEquals(told[0], "There are 2 clients, which is maxClients: further ones are refused");
        for (const raw of served) raw.close();
        await Promise.all(served.map((raw) => raw.finish()));
        await proxy.until(() => proxy.open === 0);
      }
    });
  }));

test("maxClients: a client that rests makes room, one that has a tunnel does not", () =>
  withTarget(scripted(GET_SENT, OK), (web) => {
    const rules = { "web.test:80": web, "echo.test:7": "echo" } as const;
    return withLocalProxy({ proxy: { rules }, serve: { maxClients: 2 } }, async ({ dial }) => {
      const first = await dial(CONNECT);
      await readHead(first);
      const rests = await dial(GET);
      await rests.read(OK.length);
      const second = await dial(CONNECT);
      assertMatch(await readHead(second), /^HTTP\/1.1 200 /);
      assertEquals((await rests.finish()).ending, "end");
      assertEquals(await endingOf(dial(CONNECT)), "reset");
      for (const raw of [first, second]) {
        await raw.write(bytes("still here"));
        assertEquals(text(await raw.read(10)), "still here");
        raw.close();
        await raw.finish();
      }
    });
  }));

test("idleTimeout: who rests between two requests is hung up on, and its connection to the target with it", () =>
  withTarget(
    scripted(GET_SENT, OK),
    (target) =>
      withLocalProxy({ proxy: { rules: () => target }, serve: { idleTimeout: 50 } }, async ({ dial, proxy }) => {
        const raw = await dial(GET);
        assertEquals([text((await raw.finish()).bytes), proxy.connections.length], [OK, 1]);
        await target.until(() => target.open === 0);
      }),
  ));

for (
  const [name, fields, body] of [["with a length", "Content-Length: 5", "abc"], [
    "in chunks",
    "Transfer-Encoding: chunked",
    "3\r\nabc\r\n",
  ]]
) {
  test(`idleTimeout: a body ${name} that does not go on is a 408`, () =>
    withTarget(
      startSilent(),
      (target) =>
        withLocalProxy({ proxy: { rules: () => target }, serve: { idleTimeout: 50 } }, async ({ dial }) => {
          const raw = await dial(`POST http://web.test/ HTTP/1.1\r\nHost: web.test\r\n${fields}\r\n\r\n${body}`);
          assertMatch(await readHead(raw), /^HTTP\/1.1 408 /);
          await target.until(() => target.open === 0);
          raw.end();
          await raw.finish();
        }),
    ));
}

test("idleTimeout: a tunnel may be silent, and a client that waits for its answer", () =>
  withTarget(scripted(GET_SENT, ""), (slow) => {
    const rules = { "slow.test:80": slow, "web.test:80": slow, "echo.test:7": "echo" } as const;
    return withLocalProxy({ proxy: { rules }, serve: { idleTimeout: 50 } }, async ({ dial }) => {
      const tunnel = await dial(CONNECT);
      await readHead(tunnel);
      const waits = await dial(GET);
      await until(() => slow.received === GET_SENT);
      const rests = await dial();
      await rests.write(bytes("GET http://web.test/ HTTP/1.1\r\n"));
      await rests.until(1); // as long as idleTimeout after the others
      await tunnel.write(bytes("still here"));
      assertEquals(text(await tunnel.read(10)), "still here");
      assertEquals([waits.receives, slow.open], [0, 1]);
      for (const raw of [tunnel, waits, rests]) raw.close();
      await Promise.all([tunnel, waits, rests].map((raw) => raw.finish()));
    });
  }));

/** The connection of a client that takes nothing of what it is sent. */
function stalled(): ClientConn {
  const socket = new Duplex({ read() {}, write() {}, highWaterMark: 1 });
  Object.assign(socket, { setNoDelay() {} });
  return new ClientConn(socket as unknown as Socket);
}

test("a time limit counts while a write is pending", async () => {
  const client = stalled();
  await assertRejects(() => client.withTimeout(20, client.write(bytes("x"))), ClientTimeout);
  client.close();
});

const ALICE = { username: "alice", password: "open sesame" };

test("a wrong password is answered after a second, and a missing one at once", () =>
  withLocalProxy({ serve: { credentials: ALICE } }, async ({ dial }) => {
    const begun = performance.now();
    const none = await dial(CONNECT);
    assertMatch(await readHead(none), /^HTTP\/1.1 407 /);
    assert(performance.now() - begun < 900);
    const authorization = `Proxy-Authorization: ${basicOf("alice", "x")}\r\n\r\n`;
    const wrong = [
      await dial(CONNECT.replace("\r\n\r\n", `\r\n${authorization}`)),
      await dial(Uint8Array.of(5, 1, 2, 1, 5, ...bytes("alice"), 1, ...bytes("x"))),
    ];
    const asked = performance.now();
    for (const raw of wrong) {
      await raw.until(3);
      assert(performance.now() - asked > 900, `${performance.now() - asked} ms`);
    }
    assertMatch(await readHead(wrong[0]!), /^HTTP\/1.1 407 /);
    assertEquals([...await wrong[1]!.read(4)], [5, 2, 1, 1]);
    for (const raw of [none, ...wrong]) raw.close();
    await Promise.all([none, ...wrong].map((raw) => raw.finish()));
  }));

const request = (fields: number) =>
  `GET http://web.test/ HTTP/1.1\r\nHost: web.test\r\n${"X: y\r\n".repeat(fields - 1)}\r\n`;

test("more than 500 fields are a 431, or in an answer a 502", () => {
  const answer = OK.replace("\r\n\r\n", `\r\n${"X: y\r\n".repeat(500)}\r\n`);
  return withTarget(
    scripted("GET / HTTP/1.1\r\n", answer),
    (target) =>
      withLocalProxy({ proxy: { rules: () => target } }, async ({ dial, proxy }) => {
        for (const [fields, status] of [[501, 431], [15_900, 431], [500, 502]] as const) {
          const raw = await dial(request(fields));
          assertMatch(await readHead(raw), new RegExp(`^HTTP/1.1 ${status} `));
          raw.end();
          assertMatch(text((await raw.finish()).bytes), /there are more than 500 fields\n$/);
        }
        assertEquals(proxy.connections.length, 1);
      }),
  );
});

test("next-hop is a string of RFC 8941", () =>
  withLocalProxy({ proxy: { rules: () => ({ rep: 5 }) } }, async ({ ask }) => {
    assertMatch(await ask('CONNECT a"b;c=d:80 HTTP/1.1\r\n\r\n'), /; next-hop="a\\"b;c=d:80"\r\n/);
  }));

test("a fixed target may be the same port of the proxy's own machine", async () => {
  const port = await freePort();
  const echo = await startEcho();
  await withLocalProxy(
    { proxy: { rules: () => echo }, serve: { port, target: `localhost:${port}` } },
    async ({ dial, proxy }) => {
      const client = await dial("hello");
      assertEquals(text(await client.read(5)), "hello");
      client.close();
      assertEquals(proxy.connections[0]!.request?.port, port);
    },
  );
  await echo.close();
});

// a proxy that says from where it connects, as RFC 1928 section 6 wants it
test("a fixed target that leads back by a name is found out, and onError told", async () => {
  const port = await freePort();
  const told: string[] = [];
  const options = { port, target: `me.test:${port}`, onError: (error: Error) => void told.push(error.message) };
  await withLocalProxy({ proxy: { rules: () => ({ port }) }, serve: options }, async ({ dial, proxy }) => {
    assertEquals((await (await dial("hello")).finish()).ending, "reset");
    await proxy.until(() => proxy.open === 0);
    assert(proxy.connections.length <= 5, `${proxy.connections.length} connections`);
    assertEquals(new Set(told), new Set(["The target leads back to this port"]));
  });
});

test("a name that leads back is a loop for CONNECT and SOCKS5", async () => {
  const port = await freePort();
  await withLocalProxy({ proxy: { rules: () => ({ port }) }, serve: { port } }, async ({ ask, dial }) => {
    assertMatch(await ask(`CONNECT me.test:${port} HTTP/1.1\r\n\r\n`), /^HTTP\/1.1 502 [^]*error=proxy_loop_detected/);
    const socks = await dial(Uint8Array.of(5, 1, 0, ...socksRequest("me.test", port)));
    assertEquals([...await socks.read(4)], [5, 0, 5, 2]);
    socks.close();
    await socks.finish();
  });
});

test("another server at the same port of another host is no loop", () =>
  withTarget(
    startEcho(),
    (target) =>
      withLocalProxy({ proxy: { rules: () => target }, serve: {} }, async ({ dial, localProxy }) => {
        const raw = await dial(`CONNECT other.test:${localProxy.port} HTTP/1.1\r\n\r\nping`);
        assertMatch(await readHead(raw), /^HTTP\/1.1 200 /);
        assertEquals(text(await raw.read(4)), "ping");
        raw.close();
        await raw.finish();
      }),
  ));

test("a loop through a proxy that does not say from where it connects ends at maxClients", async () => {
  const port = await freePort();
  const faults = { fault: "bound-domain", length: 3 } as const;
  const options = { port, target: `me.test:${port}`, maxClients: 10 };
  await withLocalProxy({ proxy: { rules: () => ({ port }), faults }, serve: options }, async ({ dial, proxy }) => {
    const raw = await dial("hello");
    await proxy.until(() => proxy.connections.length >= 10);
    raw.close();
    await raw.finish();
    await proxy.until(() => proxy.open === 0);
    assert(proxy.connections.length <= 11, `${proxy.connections.length} connections`);
  });
});
