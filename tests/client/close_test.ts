import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "@std/assert";
import * as api from "../../mod.ts";
import { Socks5Client } from "../../mod.ts";
import { bytes, readAll, text } from "../support/contract.ts";
import type { TestProxy } from "../../testing/mod.ts";
import { assertEchoes, assertNothingOpen, failure, withEcho, withProxy } from "../support/stage.ts";
import * as targets from "../support/targets.ts";
import { test } from "../support/test.ts";

const ALICE = { username: "alice", password: "secret" };
const REASON = new Error("the caller's own reason");
const conn = ({ hostname, port }: TestProxy) => `${hostname}:${port}`;

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
      assertEquals(events, ["attempt stopped", "suspended stopped", "failed stopped", ...rest, ...rest]);
      assertEquals(client.stats().proxies.map(({ failures, cooldown }) => [failures, cooldown > 0]), [
        [1, true],
        [0, false],
      ]);
    })));

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
