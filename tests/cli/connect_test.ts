import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import process from "node:process";
import { setImmediate as turn } from "node:timers/promises";
import { main } from "../../cli/mod.ts";
import { cli, fakeIo, startCli } from "../support/cli.ts";
import { bytes } from "../support/contract.ts";
import * as testing from "../../testing/mod.ts";
import { withProxy, withTarget } from "../support/stage.ts";
import * as targets from "../support/targets.ts";
import { quick, test } from "../support/test.ts";
import { atRest } from "../support/wait.ts";

const ALICE = { username: "alice", password: "sesame" };

/** An input that gives some chunks, and ends when it may. */
async function* input(chunks: Iterable<Uint8Array | string>, end?: Promise<unknown>): AsyncIterable<Uint8Array> {
  for (const chunk of chunks) yield typeof chunk === "string" ? bytes(chunk) : chunk;
  await end;
}

/** Runs `use` with a proxy for Alice and a target behind it. */
function withBoth(
  starting: Promise<targets.Target>,
  use: (url: string, target: targets.Target, proxy: testing.TestProxy) => Promise<void>,
): Promise<void> {
  return withTarget(starting, (target) => withProxy({ credentials: ALICE }, (proxy) => use(proxy.url, target, proxy)));
}

test("socks5 connect joins input and output to the target, and nothing else is written", () =>
  withBoth(targets.startEcho(), async (url, echo) => {
    const io = fakeIo({ stdin: input(["one ", "two ", "three"]) });
    assertEquals(await main(["connect", url, echo.address], io), 0);
    assertEquals([io.out, io.err, io.ended, io.listeners], ["one two three", "", true, 0]);
    const parts = await cli(["connect", url, echo.hostname, `${echo.port}`], { stdin: input(["x"]) });
    assertEquals(parts, { code: 0, out: "x", err: "" });
  }));

test("the end of the input is passed on, and the answer still comes", () =>
  withBoth(targets.startDigest(), async (url, digest) => {
    const payload = targets.payload(300_000);
    const { code, out } = await cli(["connect", url, digest.address], { stdin: input([payload]) });
    assertEquals([code, out], [0, targets.digestOf(payload)]);
  }));

test("the end of the target is passed on, and the input still goes", async () => {
  const received: string[] = [];
  const starting = targets.startTarget((socket) => {
    socket.end("bye");
    socket.on("data", (chunk) => received.push(String(chunk)));
  });
  await withBoth(starting, async (url, target) => {
    const more = Promise.withResolvers<void>();
    const io = fakeIo({
      stdin: async function* () {
        yield bytes("early ");
        await more.promise;
        yield bytes("late");
      }(),
    });
    let isOver = false;
    const running = main(["connect", url, target.address], io).finally(() => isOver = true);
    await io.until(() => io.ended);
    for (let i = 0; i < 100; i++) await turn();
    assertEquals(isOver, false);
    more.resolve();
    await target.until(() => received.join("") === "early late");
    assertEquals([await running, io.out], [0, "bye"]);
  });
});

test("where the output cannot be closed, the end of the target is the end", () =>
  withBoth(targets.startSource(5), async (url, source) => {
    const never = Promise.withResolvers<void>();
    const { code } = await cli(["connect", url, source.address], { stdin: input([], never.promise), canEnd: false });
    assertEquals(code, 0);
  }));

test("who does not read the output holds the target up", () =>
  withBoth(targets.startSource(32 << 20), async (url, source, proxy) => {
    const gate = testing.createGate();
    const end = Promise.withResolvers<void>();
    let length = 0;
    const running = cli(["connect", url, source.address], {
      stdin: input([], end.promise),
      async onWrite(chunk) {
        await gate.pass();
        length += chunk.length;
        if (length === 32 << 20) end.resolve();
      },
    });
    await gate.reached;
    await atRest(() => proxy.connections[0]!.delivered);
    assertLess(proxy.connections[0]!.delivered, 24 << 20);
    gate.open();
    assertEquals([(await running).code, length], [0, 32 << 20]);
  }));

test("a target that does not read holds the input up", () =>
  withBoth(targets.startStalled(), async (url, stalled) => {
    let taken = 0;
    const io = fakeIo({
      stdin: async function* () {
        for (const chunk = new Uint8Array(65_536); taken < 64 << 20; taken += chunk.length) yield chunk;
      }(),
    });
    const running = main(["connect", url, stalled.address], io);
    await atRest(() => taken);
    assertLess(taken, 32 << 20);
    io.signal("SIGTERM");
    assertEquals(await running, 143);
    await stalled.close(); // it does not notice
  }));

const failures: [what: string, proxy: testing.TestProxyOptions, target: string, code: number, message: RegExp][] = [
  ["refused", {}, "127.0.0.1:1", 6, /connection refused by the target \(REP 05\)$/],
  ["no reply", { faults: { fault: "close", at: "request" } }, "127.0.0.1:1", 6, /before it replied/],
  ["password", { credentials: { username: "bob" } }, "a.test:1", 5, /\(STATUS 01\); check user name and password$/],
  ["no method", { methods: [9] }, "a.test:1", 5, /; give it socks5h:\/\/user:password@host:port$/],
  ["HTTP", { faults: { fault: "http" } }, "a.test:1", 4, /; is this the port of the SOCKS5 proxy\?$/],
];

test("a tunnel that cannot be opened is one line, and the number of its kind", async () => {
  for (const [what, options, target, code, message] of failures) {
    await withProxy(options, async (proxy) => {
      const url = `socks5h://alice:sesame@127.0.0.1:${proxy.port}`;
      const { err, ...ended } = await cli(["connect", url, target]);
      assertEquals(ended, { code, out: "" }, what);
      assert(err.startsWith(`socks5: Cannot connect to ${target} through 127.0.0.1:${proxy.port}: `), err);
      assertMatch(err.trimEnd(), message);
      assertEquals([err.split("\n").length, /alice|sesame/.test(err)], [2, false], err);
    });
  }
  const down = await cli(["connect", "socks5h://alice:sesame@127.0.0.1:1", "a.test:1", "--timeout", "20"]);
  assertEquals([down.code, down.out], [3, ""]);
});

test("of several proxies the first that works is taken", () =>
  withBoth(targets.startEcho(), async (url, echo) => {
    const { code, out } = await cli(["connect", "socks5h://127.0.0.1:1", url, echo.address], { stdin: input(["x"]) });
    assertEquals([code, out], [0, "x"]);
  }));

test("a reset of the target is 1, and what came before it is written", () =>
  withBoth(targets.startReset(4), async (url, reset) => {
    const never = Promise.withResolvers<void>();
    const { code, out, err } = await cli(["connect", url, reset.address], { stdin: input(["ping"], never.promise) });
    assertEquals([code, out], [1, ""]);
    assertMatch(err, /^socks5: Cannot read from .* through .*: the connection broke\n$/);
  }));

test("an input that fails is 1, and closes the tunnel", () =>
  withBoth(targets.startSilent(), async (url, silent) => {
    const stdin = async function* (): AsyncIterable<Uint8Array> {
      yield bytes("x");
      throw new Error("EIO: read error");
    }();
    const { code, err } = await cli(["connect", url, silent.address], { stdin });
    assertEquals([code, err], [1, "socks5: EIO: read error\n"]);
  }));

test("an output that nobody reads any more ends it quietly, and the tunnel with it", () =>
  withBoth(targets.startBanner("hello"), async (url, banner) => {
    const never = Promise.withResolvers<void>();
    const onWrite = () => {
      throw Object.assign(new Error("write EPIPE"), { code: "EPIPE" });
    };
    const { code, err } = await cli(["connect", url, banner.address], { stdin: input([], never.promise), onWrite });
    assertEquals([code, err], [141, ""]);
  }));

test("a signal ends it at once, while it connects and while it is open", async () => {
  for (const at of ["negotiate", "transfer"] as const) {
    await withTarget(
      targets.startSilent(),
      (silent) =>
        withProxy({ faults: () => at === "negotiate" ? { fault: "silence", at } : undefined }, async (proxy) => {
          const never = Promise.withResolvers<void>();
          const io = fakeIo({ stdin: input(["x"], never.promise) });
          const running = main(["connect", `socks5h://127.0.0.1:${proxy.port}`, silent.address], io);
          await proxy.until(() =>
            proxy.connections[0] !== undefined && (at === "negotiate" || proxy.connections[0].sent === 1)
          );
          io.signal("SIGINT");
          assertEquals([await running, io.out, io.err, io.listeners], [130, "", "", 0]);
        }),
    );
  }
});

test(
  "in a process of its own: megabytes both ways at once, byte for byte",
  () =>
    withBoth(targets.startExchange(8 << 20), async (url, exchange) => {
      const started = startCli(["connect", exchange.address], { SOCKS5_PROXY: url });
      const chunks: Uint8Array[] = [];
      started.child.stdout.on("data", (chunk) => chunks.push(chunk));
      started.child.stdin.end(targets.payload(8 << 20));
      const { code, err } = await started.ended;
      assertEquals([code, err], [0, ""]);
      const out = new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer());
      assertEquals(targets.digestOf(out.subarray(0, 8 << 20)), targets.digestOf(targets.payload(8 << 20)));
      assertEquals(new TextDecoder().decode(out.subarray(8 << 20)), targets.digestOf(targets.payload(8 << 20)));
    }),
  { skip: quick },
);

test("in a process of its own: the reader sees the end of the target, and the input still goes", async () => {
  let received = "";
  const starting = targets.startTarget((socket) => {
    socket.end("bye");
    socket.on("data", (chunk) => received += chunk);
  });
  await withBoth(starting, async (url, target) => {
    const started = startCli(["connect", target.address], { SOCKS5_PROXY: url });
    await once(started.child.stdout, "end");
    started.child.stdin.end("late");
    const { code, out, err } = await started.ended;
    // Deno cannot close its output, and ends
    assertEquals([code, out, err, "Deno" in globalThis || received === "late"], [0, "bye", "", true]);
  });
}, { skip: quick });

test(
  "in a process of its own: an output that is closed ends it, and so does a signal",
  () =>
    withBoth(targets.startSource(16 << 20), async (url, source, proxy) => {
      const head = startCli(["connect", source.address], { SOCKS5_PROXY: url });
      await head.until(() => head.out().length > 0);
      head.child.stdout.destroy();
      assertEquals((({ code, err }) => [code, err])(await head.ended), [141, ""]);

      const told = startCli(["connect", source.address], { SOCKS5_PROXY: url });
      await once(told.child.stdout, "readable").catch(() => {});
      await proxy.until(() => (proxy.connections[1]?.delivered ?? 0) > 0, 20_000);
      told.kill("SIGTERM");
      assertEquals((await told.ended).code, 143);
    }),
  { skip: quick },
);

test(
  "a password in an argument is taken out of the list of processes, or its user is told",
  () =>
    withBoth(targets.startBanner("hello"), async (url, banner, proxy) => {
      const started = startCli(["connect", url, banner.address]);
      await started.until(() => started.out() === "hello");
      const listed = readFileSync(`/proc/${started.child.pid}/cmdline`, "utf8");
      if ("Bun" in globalThis) assertMatch(started.err(), /^socks5: on Bun .* SOCKS5_PROXY or --proxies hides it\n$/);
      else {
        const name = `socks5 connect socks5h://(redacted)@127.0.0.1:${proxy.port} ${banner.address}`;
        assertEquals([listed.replace(/\0+$/, ""), started.err()], [name, ""]);
      }
      started.child.stdin.end();
      assertEquals((await started.ended).code, 0);
    }),
  { skip: quick || (process.platform !== "linux" && "it reads /proc") },
);
