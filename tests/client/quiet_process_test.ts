import { assertEquals } from "@std/assert";
import { Socks5Client } from "../../mod.ts";
import { withEcho, withProxy } from "../support/stage.ts";
import { quick, test } from "../support/test.ts";
import { startModule } from "../support/child.ts";

const ALICE = { username: "alice", password: "secret" };
const MOD = JSON.stringify(new URL("../../mod.ts", import.meta.url).href);

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
  const { code, written } = await startModule(`
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
  `).ended;
  assertEquals([code, written], [0, ""]);
}, { skip: quick });

test("nothing is written to stdout or stderr, whatever happens", () =>
  withProxy(
    { faults: { fault: "http" } },
    (http) =>
      withProxy({ faults: { fault: "silence", at: "negotiate" } }, (silent) =>
        withEcho({ credentials: ALICE }, async (proxy, echo) => {
          const { code, written } = await startModule(`
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
        `).ended;
          assertEquals([code, written], [0, ""]);
        })),
  ), { skip: quick });
