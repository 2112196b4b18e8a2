import { assertEquals, assertLess } from "@std/assert";
import { bytes } from "../support/contract.ts";
import type * as testing from "../../testing/mod.ts";
import { listen } from "../support/peer.ts";
import { withProxy, withTarget } from "../support/stage.ts";
import { startEcho } from "../support/targets.ts";
import { quick, test } from "../support/test.ts";
import { startModule } from "../support/child.ts";

const ALICE = { username: "alice", password: "secret" };
const TARGET = "example.test:80";
const MOD = JSON.stringify(new URL("../../mod.ts", import.meta.url).href);

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
  test(
    `a program with ${what} ends by itself, without close(), and writes nothing`,
    () =>
      withTarget(startEcho(), (echo) =>
        withProxy({ credentials: ALICE, ...options }, async (proxy) => {
          asked = 0;
          const url = proxy.url.replace("//127", "//canary:canary@127");
          const begun = performance.now();
          const { code, written } = await startModule(`
          import { Socks5Client } from ${MOD};
          const client = new Socks5Client(${JSON.stringify(url)}, { pool: { warm: 2 } });
          let most = 0;
          const closed = (n) => (most = Math.max(most, client.stats().warm)) >= n && client.stats().warm === 0;
          (await client.connect(${JSON.stringify(echo.address)})).close();
          for (let i = 0; !(${condition}); i++) {
            if (i > 500) throw new Error("not so: " + JSON.stringify(client.stats()));
            await new Promise((resolve) => setTimeout(resolve, 10));
          }
        `).ended;
          assertEquals([code, written], [0, ""]);
          assertLess(performance.now() - begun, 15_000);
          await proxy.until(() => proxy.open === 0);
        })),
    { skip: quick },
  );
}

test("a program whose refill waits for an answer ends by itself, without close()", async () => {
  const server = await listen();
  const child = startModule(`
    import { Socks5Client } from ${MOD};
    const client = new Socks5Client(${JSON.stringify(server.endpoint)}, { pool: { warm: 1 } });
    (await client.connect("${TARGET}")).close();
    while (client.stats().opening !== 1) await new Promise((resolve) => setTimeout(resolve, 10));
  `);
  await child.meanwhile((async () => {
    const peer = await server.accepted();
    await peer.received(3);
    await peer.write(Uint8Array.of(5, 0));
    await peer.received(3 + 7 + bytes("example.test").length);
    await peer.write(Uint8Array.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
  })());
  const begun = performance.now();
  assertEquals(await child.ended, { code: 0, written: "" });
  assertLess(performance.now() - begun, 8_000, "it waited for attemptTimeout");
  await server.settled();
  assertEquals(server.count(), 2);
  await server.close();
}, { skip: quick });
