import { assert, assertEquals, assertRejects } from "@std/assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectRaw } from "../support/raw_client.ts";
import * as testing from "../../testing/mod.ts";
import type { TestProxyOptions } from "../../testing/mod.ts";
import * as targets from "../support/targets.ts";
import { test } from "../support/test.ts";
import { openTunnel, requestTo, text, withProxy, withTarget, withTargetAndProxy } from "./stage.ts";
import { atRest } from "../support/wait.ts";

const ascii = (said: string): Uint8Array => new TextEncoder().encode(said);
const GREETING = Uint8Array.of(5, 1, 0);
const GREETING_WITH_PASSWORD = Uint8Array.of(5, 2, 0, 2);
const ALICE = Uint8Array.of(1, 5, ...ascii("alice"), 6, ...ascii("secret"));
const MALLORY = Uint8Array.of(1, 7, ...ascii("mallory"), 5, ...ascii("guess"));
const bytes = (...values: number[]): Uint8Array => Uint8Array.of(...values);
const credentials = { username: "alice", password: "secret" };

test("the proxy proxies CONNECT to an IPv4 target and logs it", async () => {
  await withTargetAndProxy(targets.startEcho, {}, async (target, proxy) => {
    const client = await connectRaw(proxy.endpoint);
    await client.write(GREETING);
    assertEquals(await client.read(2), bytes(5, 0));
    await client.write(requestTo("127.0.0.1", target.port));
    const reply = await client.read(10);
    assertEquals(reply.slice(0, 8), bytes(5, 0, 0, 1, 127, 0, 0, 1));
    assert(reply[8]! << 8 | reply[9]!, "BND.PORT is the real one");
    await client.write(ascii("hello"));
    assertEquals(await client.read(5), ascii("hello"));
    assertEquals(proxy.open, 1);
    client.close();
    await proxy.until(() => proxy.open === 0);
    const { received, ...log } = proxy.connections[0]!;
    assertEquals(received.flatMap((it) => [...it]), [...GREETING, ...requestTo("127.0.0.1", target.port)]);
    assertEquals(log, {
      index: 0,
      step: "transfer",
      methods: [0],
      credentials: null,
      request: { cmd: 1, atyp: 1, hostname: "127.0.0.1", port: target.port },
      rep: 0,
      sent: 5,
      delivered: 5,
      endedBy: "client",
      open: false,
    });
  });
});

test("the proxy proxies to IPv6 and tells the address", async () => {
  await withTargetAndProxy(() => targets.startEcho({ hostname: "::1" }), {}, async (target, proxy) => {
    const client = await openTunnel(proxy, "::1", target.port, 22);
    assertEquals(proxy.connections[0]!.request, { cmd: 1, atyp: 4, hostname: "::1", port: target.port });
    client.close();
  });
}, { skip: targets.noIpv6 });

test("the proxy proxies to localhost and to names that its rules know", async () => {
  await withTargetAndProxy(targets.startEcho, {}, async (target, proxy) => {
    const client = await openTunnel(proxy, "localhost", target.port);
    assertEquals(proxy.connections[0]!.request?.atyp, 3);
    client.close();
  });
  const rules = (port: number) => ({ "example.test:80": { port }, "[2001:db8::1]:443": { port } });
  await withTarget(targets.startEcho, async (target) => {
    for (const given of [rules(target.port), (name: string) => rules(target.port)[name as "example.test:80"]]) {
      await withProxy({ rules: given }, async (proxy) => {
        (await openTunnel(proxy, "example.test", 80)).close();
        (await openTunnel(proxy, "2001:db8::1", 443)).close();
      });
    }
  });
});

test("the proxy refuses by rule, by its loopback policy and as the target does", async () => {
  const rules = { "refused.test:1": { rep: 5 }, "strange.test:1": { rep: 0x42 } };
  await withProxy({ rules }, async (proxy) => {
    const cases: [string, number, number][] = [
      ["refused.test", 1, 5],
      ["strange.test", 1, 0x42],
      ["unknown.test", 80, 4],
      ["192.0.2.1", 80, 2],
      ["2001:db8::1", 80, 2],
      ["127.0.0.1", 1, 5],
    ];
    for (const [hostname, port, rep] of cases) {
      const client = await connectRaw(proxy.endpoint);
      await client.write(GREETING);
      await client.read(2);
      await client.write(requestTo(hostname, port));
      const { bytes, ending } = await client.finish();
      assertEquals([hostname, bytes, ending], [hostname, testing.encodeReply({ rep }), "end"]);
      assertEquals([proxy.connections.at(-1)!.rep, proxy.connections.at(-1)!.endedBy], [rep, "proxy"]);
    }
  });
});

test("the proxy refuses commands other than CONNECT with 07", async () => {
  await withProxy({}, async (proxy) => {
    const client = await connectRaw(proxy.endpoint);
    await client.write(GREETING);
    await client.read(2);
    await client.write(requestTo("127.0.0.1", 1).with(1, 3));
    assertEquals((await client.finish()).bytes, testing.encodeReply({ rep: 7 }));
  });
});

test("a rule can be silence, and a client that gives up is noticed", async () => {
  await withProxy({ rules: { "silent.test:80": "silence" } }, async (proxy) => {
    const client = await connectRaw(proxy.endpoint);
    await client.write(GREETING);
    await client.read(2);
    await client.write(requestTo("silent.test", 80));
    await proxy.until(() => proxy.connections[0]!.request !== null);
    client.close();
    await proxy.until(() => proxy.open === 0);
    assertEquals(proxy.connections[0]!.endedBy, "client");
  });
});

test("credentials are asked for, checked and logged", async () => {
  await withProxy({ credentials }, async (proxy) => {
    assertEquals(proxy.url, `socks5h://alice:secret@127.0.0.1:${proxy.port}`);
    const right = await connectRaw(proxy.endpoint);
    await right.write(GREETING_WITH_PASSWORD);
    assertEquals(await right.read(2), bytes(5, 2));
    await right.write(ALICE);
    assertEquals(await right.read(2), bytes(1, 0));
    right.close();

    const wrong = await connectRaw(proxy.endpoint);
    await wrong.write(GREETING_WITH_PASSWORD);
    await wrong.read(2);
    await wrong.write(MALLORY);
    assertEquals(await wrong.finish(), { bytes: bytes(1, 1), ending: "end" });

    const without = await connectRaw(proxy.endpoint);
    await without.write(GREETING);
    assertEquals(await without.finish(), { bytes: bytes(5, 255), ending: "end" });
    assertEquals(proxy.connections.map((it) => it.credentials), [
      { username: "alice", password: "secret" },
      { username: "mallory", password: "guess" },
      null,
    ]);
    assertEquals(proxy.connections.map((it) => it.methods), [[0, 2], [0, 2], [0]]);
  });
});

test("credentials can be a function that gives the status, and methods an order of preference", async () => {
  const options: TestProxyOptions = { methods: [2, 0], credentials: ({ username }) => username === "alice" ? 0 : 2 };
  await withProxy(options, async (proxy) => {
    const wrong = await connectRaw(proxy.endpoint);
    await wrong.write(GREETING_WITH_PASSWORD);
    await wrong.read(2);
    await wrong.write(MALLORY);
    assertEquals(await wrong.finish(), { bytes: bytes(1, 2), ending: "end" });
    const without = await connectRaw(proxy.endpoint);
    await without.write(GREETING);
    assertEquals(await without.read(2), bytes(5, 0));
    without.close();
  });
});

test("the client's FIN reaches the target while the answer still flows, unless it cuts", async () => {
  const sent = targets.payload(100_000);
  for (const halfClose of ["carry", "cut"] as const) {
    await withTargetAndProxy(() => targets.startDigest(), { halfClose }, async (target, proxy) => {
      const client = await openTunnel(proxy, "127.0.0.1", target.port);
      await client.write(sent);
      client.end();
      assertEquals(text((await client.finish()).bytes), halfClose === "carry" ? targets.digestOf(sent) : "");
    });
  }
});

test("the target's FIN reaches the client, who can go on sending", async () => {
  const received = Promise.withResolvers<number>();
  const speaksAndListens = () =>
    targets.startTarget((socket) => {
      let length = 0;
      socket.end("bye");
      socket.on("data", (chunk) => length += chunk.length);
      socket.on("end", () => received.resolve(length));
    });
  await withTargetAndProxy(speaksAndListens, {}, async (target, proxy) => {
    const client = await openTunnel(proxy, "127.0.0.1", target.port);
    await client.until(Infinity);
    await client.write(new Uint8Array(1000));
    client.end();
    assertEquals(await received.promise, 1000);
    assertEquals(await client.finish(), { bytes: ascii("bye"), ending: "end" });
    assertEquals(proxy.connections[0]!.endedBy, "target");
  });
});

test("a reset of the target reaches the client, and a reset of the client reaches the log", async () => {
  await withTargetAndProxy(() => targets.startReset(3), {}, async (target, proxy) => {
    const client = await openTunnel(proxy, "127.0.0.1", target.port);
    await client.write(ascii("abc"));
    assertEquals((await client.finish()).ending, "reset");
    assertEquals(proxy.connections[0]!.endedBy, "target");
  });
  await withTargetAndProxy(targets.startSilent, {}, async (target, proxy) => {
    const client = await openTunnel(proxy, "127.0.0.1", target.port);
    await target.until(() => target.open === 1);
    client.reset();
    await proxy.until(() => proxy.open === 0);
    await target.until(() => target.open === 0);
    assertEquals(proxy.connections[0]!.endedBy, "client-reset");
  });
});

test("a target that breaks before the reply is a success and a reset, whenever the proxy notices", async () => {
  for (const patience of [0, 50]) {
    const gate = testing.createGate();
    let peer: { resetAndDestroy(): unknown } | undefined;
    const start = () => targets.startTarget((socket) => peer = socket);
    await withTargetAndProxy(
      start,
      { faults: [{ fault: "wait", at: "request", for: gate.pass }] },
      async (target, proxy) => {
        const client = await connectRaw(proxy.endpoint);
        await client.write(GREETING);
        await client.read(2);
        await client.write(requestTo("127.0.0.1", target.port));
        await gate.reached;
        await target.until(() => target.open === 1);
        peer?.resetAndDestroy();
        await target.until(() => target.open === 0);
        await new Promise((resolve) => setTimeout(resolve, patience));
        gate.open();
        const { bytes, ending } = await client.finish();
        assertEquals([bytes.length, bytes[1], ending, proxy.connections[0]!.endedBy], [10, 0, "reset", "target"]);
      },
    );
  }
});

test("8 MiB go both ways at once, whole", async () => {
  const length = 8 << 20;
  await withTargetAndProxy(() => targets.startExchange(length), {}, async (target, proxy) => {
    const client = await openTunnel(proxy, "127.0.0.1", target.port);
    const [answer] = await Promise.all([client.finish(), client.write(targets.payload(length))]);
    const digest = targets.digestOf(targets.payload(length));
    assertEquals(answer.ending, "end");
    assertEquals(targets.digestOf(answer.bytes.subarray(0, length)), digest);
    assertEquals(text(answer.bytes.subarray(length)), digest);
  });
});

test("a target that does not read stops the client", async () => {
  await withTargetAndProxy(targets.startStalled, {}, async (target, proxy) => {
    const client = await openTunnel(proxy, "127.0.0.1", target.port);
    const written = client.write(new Uint8Array(16 << 20));
    await proxy.until(() => proxy.connections[0]!.sent > 0);
    const outcome = await Promise.race([
      written.then(() => "written"),
      atRest(() => proxy.connections[0]!.sent).then(() => "stopped"),
    ]);
    assertEquals(outcome, "stopped");
    assert(proxy.connections[0]!.sent < 16 << 20);
    client.reset();
  });
});

test("a stopped proxy closes its tunnels, refuses new ones, and starts again on the same port", async () => {
  await withTargetAndProxy(targets.startEcho, {}, async (target, proxy) => {
    const { port } = proxy;
    const client = await openTunnel(proxy, "127.0.0.1", target.port);
    await proxy.stop();
    assertEquals((await client.finish()).bytes, bytes());
    await assertRejects(() => connectRaw(proxy.endpoint));
    await proxy.start();
    assertEquals(proxy.port, port);
    (await openTunnel(proxy, "127.0.0.1", target.port)).close();
    await target.until(() => target.open === 0);
    assertEquals([target.accepted, proxy.connections.length], [2, 2]);
  });
});

test("the proxy listens on IPv6 loopback", async () => {
  await withTargetAndProxy(targets.startEcho, { hostname: "::1" }, async (target, proxy) => {
    assertEquals(proxy.url, `socks5h://[::1]:${proxy.port}`);
    (await openTunnel(proxy, "127.0.0.1", target.port)).close();
  });
}, { skip: targets.noIpv6 });

test("the proxy listens on a unix socket, resets and restarts there too", async () => {
  const directory = mkdtempSync(join(tmpdir(), "mock-"));
  try {
    const options: TestProxyOptions = {
      path: join(directory, "proxy.sock"),
      faults: [undefined, { fault: "reset", at: "accept" }],
    };
    await withTargetAndProxy(targets.startEcho, options, async (target, proxy) => {
      assertEquals([proxy.url, proxy.endpoint], [`socks5h://localhost${options.path}`, { path: options.path! }]);
      const client = await openTunnel(proxy, "127.0.0.1", target.port);
      await client.write(ascii("hello"));
      assertEquals(await client.read(5), ascii("hello"));
      client.close();
      await proxy.until(() => proxy.open === 0);
      assertEquals((await (await connectRaw(proxy.endpoint)).finish()).bytes, bytes());
      await proxy.stop();
      await assertRejects(() => connectRaw(proxy.endpoint));
      await proxy.start();
      (await openTunnel(proxy, "127.0.0.1", target.port)).close();
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("until() rejects when its time is up", async () => {
  await withProxy({}, async (proxy) => {
    await assertRejects(
      () => proxy.until(() => proxy.open > 0, 10),
      Error,
      "Not so within 10 ms",
    );
  });
});
