import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { serve } from "../../serve/mod.ts";
import { bytes, text } from "../support/contract.ts";
import { readHead, socksRequest, withLocalProxy } from "../support/serve_stage.ts";
import { withTarget } from "../support/stage.ts";
import { noIpv6, startBanner, startDigest, startEcho, startSilent } from "../support/targets.ts";
import { test } from "../support/test.ts";

const ESTABLISHED = "HTTP/1.1 200 Connection established\r\n\r\n";

test("CONNECT leads to the target through the proxy, and bytes behind its head are not lost", () =>
  withTarget(
    startEcho(),
    (echo) =>
      withLocalProxy({ proxy: { rules: { "echo.test:7": echo } } }, async ({ dial, proxy }) => {
        const raw = await dial("CONNECT echo.test:7 HTTP/1.1\r\nHost: echo.test:7\r\n\r\nearly");
        assertEquals(await readHead(raw), ESTABLISHED);
        assertEquals(text(await raw.read(5)), "early");
        await raw.write(bytes("late"));
        assertEquals(text(await raw.read(4)), "late");
        raw.end();
        assertEquals(await raw.finish(), { bytes: new Uint8Array(), ending: "end" });
        assertEquals(proxy.connections[0]!.request, { cmd: 1, atyp: 3, hostname: "echo.test", port: 7 });
      }),
  ));

test("SOCKS5 leads to the target, the handshake cut at each byte", () =>
  withTarget(startEcho(), (echo) =>
    withLocalProxy({ proxy: { rules: { "echo.test:7": echo } } }, async ({ dial }) => {
      const raw = await dial();
      for (const byte of [5, 2, 0, 2]) await raw.write(Uint8Array.of(byte));
      assertEquals([...await raw.read(2)], [5, 0]);
      for (const byte of socksRequest("echo.test", 7)) await raw.write(Uint8Array.of(byte));
      assertEquals([...await raw.read(10)], [5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
      await raw.write(bytes("hello"));
      assertEquals(text(await raw.read(5)), "hello");
      raw.end();
      assertEquals((await raw.finish()).ending, "end");
    })));

test("a fixed port leads to its target, which may speak first", () =>
  withTarget(
    startBanner("220 hello\r\n"),
    (target) =>
      withLocalProxy({ serve: { target: target.address } }, async ({ dial }) => {
        const raw = await dial();
        assertEquals(text(await raw.read(11)), "220 hello\r\n");
        await raw.write(bytes("\x05CONNECT"));
        assertEquals(text(await raw.read(8)), "\x05CONNECT");
        raw.end();
        assertEquals((await raw.finish()).ending, "end");
      }),
  ));

test("a fixed port carries the end of a client that says all at once", () =>
  withTarget(startDigest(), (target) =>
    withLocalProxy({ serve: { target: target.address } }, async ({ dial }) => {
      const raw = await dial("all of it");
      raw.end();
      assertMatch(text((await raw.finish()).bytes), /^9 [\da-f]{64}\n$/);
    })));

test("a fixed port whose target is refused resets its clients", () =>
  withLocalProxy(
    { proxy: { rules: { "no.test:1": { rep: 5 } } }, serve: { target: "no.test:1" } },
    async ({ dial }) => {
      assertEquals((await (await dial()).finish()).ending, "reset");
    },
  ));

test(
  "the local proxy listens on IPv6, and its url has brackets",
  () =>
    withTarget(
      startEcho(),
      (target) =>
        withLocalProxy({ serve: { hostname: "::1", target: target.address } }, async ({ localProxy, dial }) => {
          assertEquals(localProxy.url, `http://[::1]:${localProxy.port}`);
          const raw = await dial("x");
          assertEquals(text(await raw.read(1)), "x");
          raw.close();
          await raw.finish();
        }),
    ),
  { skip: noIpv6 },
);

test("the local proxy listens on localhost, and says so", () =>
  withLocalProxy({ serve: { hostname: "LOCALHOST" } }, async ({ localProxy, ask }) => {
    assertEquals(localProxy.url, `http://localhost:${localProxy.port}`);
    assertMatch(await ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), /^HTTP\/1.1 400 /);
  }));

test("close() ends what is idle and what goes on, and the port is free again", () =>
  withTarget(startSilent(), (target) =>
    withLocalProxy({}, async ({ localProxy, dial, client, proxy }) => {
      const idle = await dial();
      const busy = await dial(`CONNECT ${target.address} HTTP/1.1\r\n\r\n`);
      await readHead(busy);
      await localProxy.close();
      assertEquals(proxy.open <= 1, true);
      await proxy.until(() => proxy.open === 0);
      await Promise.all([idle.finish(), busy.finish()]);
      const again = await serve(client, { port: localProxy.port });
      assertEquals(again.port, localProxy.port);
      await again[Symbol.asyncDispose]();
    })));

test("close({ drain }) lets finish what goes on, closes what is idle, and takes nobody new", () =>
  withTarget(
    startEcho(),
    (target) =>
      withLocalProxy({ serve: { headTimeout: Infinity } }, async ({ localProxy, dial }) => {
        const idle = await dial();
        const busy = await dial(`CONNECT ${target.address} HTTP/1.1\r\n\r\n`);
        await readHead(busy);
        const closing = localProxy.close({ drain: Infinity });
        await idle.finish();
        await assertRejects(() => dial());
        await busy.write(bytes("still here"));
        assertEquals(text(await busy.read(10)), "still here");
        busy.end();
        await busy.finish();
        await closing;
      }),
  ));

test("close({ drain }) ends what does not finish in time", () =>
  withTarget(startSilent(), (target) =>
    withLocalProxy({}, async ({ localProxy, dial }) => {
      const busy = await dial(`CONNECT ${target.address} HTTP/1.1\r\n\r\n`);
      await readHead(busy);
      const before = performance.now();
      await localProxy.close({ drain: 50 });
      assert(performance.now() - before >= 45);
      await busy.finish();
    })));

test("close() cuts a drain short", () =>
  withTarget(startSilent(), (target) =>
    withLocalProxy({}, async ({ localProxy, dial }) => {
      const busy = await dial(`CONNECT ${target.address} HTTP/1.1\r\n\r\n`);
      await readHead(busy);
      const draining = localProxy.close({ drain: 60_000 });
      await localProxy.close();
      await draining;
      await busy.finish();
    })));

test("a port that is taken is the runtime's own error", () =>
  withLocalProxy({}, async ({ localProxy, client }) => {
    const error = await assertRejects(() => serve(client, { port: localProxy.port }), Error);
    assertEquals((error as { code?: string }).code, "EADDRINUSE");
  }));
