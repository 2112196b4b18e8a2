import { assert, assertEquals, assertLess } from "@std/assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { withClock } from "../support/clock.ts";
import { bytes } from "../support/contract.ts";
import { FakeTransport } from "../support/fake.ts";
import type * as testing from "../../testing/mod.ts";
import { evaluate, listen } from "../support/peer.ts";
import { withProxy, withTarget } from "../support/stage.ts";
import { startEcho } from "../support/targets.ts";
import { test } from "../support/test.ts";
import { filled } from "./warm.ts";

const ALICE = { username: "alice", password: "secret" };
const TARGET = "example.test:80";
const MOD = JSON.stringify(new URL("../../mod.ts", import.meta.url).href);

/** Runs a module with the running runtime, to its end; gives what it wrote to stdout and stderr. */
async function program(code: string): Promise<{ code: number | null; written: string }> {
  const child = spawn(process.execPath, evaluate(code), { stdio: ["ignore", "pipe", "pipe"] });
  let written = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => written += chunk);
  const [exit] = await once(child, "close");
  return { code: exit, written };
}

const KEPT = [
  ["sessions", {}, "client.stats().warm === 2"],
  ["sessions that the proxy closes and refills that wait", { handshakeTimeout: 150 }, "closed(2)"],
  [
    "a refused password and a refill that waits",
    { credentials: () => Number(++asked > 1) },
    "client.stats().proxies[0].failures > 0",
  ],
] as [what: string, options: testing.TestProxyOptions, until: string][];
let asked = 0;

for (const [what, options, condition] of KEPT) {
  test(`a program with ${what} ends by itself, without close(), and writes nothing`, () =>
    withTarget(startEcho(), (echo) =>
      withProxy({ credentials: ALICE, ...options }, async (proxy) => {
        asked = 0;
        const url = proxy.url.replace("//127", "//canary:canary@127");
        const begun = performance.now();
        const { code, written } = await program(`
          import { Socks5Client } from ${MOD};
          const client = new Socks5Client(${JSON.stringify(url)}, { pool: { warm: 2 } });
          let most = 0;
          const closed = (n) => (most = Math.max(most, client.stats().warm)) >= n && client.stats().warm === 0;
          (await client.connect(${JSON.stringify(echo.address)})).close();
          for (let i = 0; !(${condition}); i++) {
            if (i > 500) throw new Error("not so: " + JSON.stringify(client.stats()));
            await new Promise((resolve) => setTimeout(resolve, 10));
          }
        `);
        assertEquals([code, written], [0, ""]);
        assertLess(performance.now() - begun, 15_000);
        await proxy.until(() => proxy.open === 0);
      })));
}

test("a program whose refill waits for an answer ends by itself, without close()", async () => {
  const server = await listen();
  const exited = program(`
    import { Socks5Client } from ${MOD};
    const client = new Socks5Client(${JSON.stringify(server.endpoint)}, { pool: { warm: 1 } });
    (await client.connect("${TARGET}")).close();
    while (client.stats().opening !== 1) await new Promise((resolve) => setTimeout(resolve, 10));
  `);
  const peer = await server.accepted();
  await peer.received(3);
  await peer.write(Uint8Array.of(5, 0));
  await peer.received(3 + 7 + bytes("example.test").length);
  await peer.write(Uint8Array.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
  const filling = await server.accepted();
  await filling.received(3);
  const begun = performance.now();
  assertEquals(await exited, { code: 0, written: "" });
  assertLess(performance.now() - begun, 8_000, "it waited for attemptTimeout");
  await server.close();
});

test("a client with sessions keeps no listener and no timer behind after close()", () =>
  withClock(async (clock) => {
    for (const moment of [0, 100, 5_000, 19_000, 61_000]) {
      const { client, transport } = await filled(clock, { warm: 2 });
      await clock.pass(moment);
      await clock.settle(client.close());
      await client.close();
      assertEquals(transport.open, 0);
      assert(!clock.next(), "a timer is left");
    }
    assert(new FakeTransport(() => {}).open === 0);
  }));
