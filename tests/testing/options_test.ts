import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { Socks5Client } from "../../mod.ts";
import { createTestProxy, type TestProxyOptions } from "../../testing/mod.ts";
import { bytes } from "../support/contract.ts";
import { connectRaw } from "../support/raw_client.ts";
import { assertEchoes, failure, withProxy } from "../support/stage.ts";
import { evaluate } from "../support/child.ts";
import { blackHole } from "../support/peer.ts";
import { startUdpEcho } from "../support/udp_targets.ts";
import { quick, test } from "../support/test.ts";

const ECHO = "echo.test:7";
const rules = { [ECHO]: "echo" } as const;

const wrong: [options: unknown, error: typeof TypeError | typeof RangeError, message: string][] = [
  [null, TypeError, "Cannot use options as an object: current value is null"],
  [{ hostname: 5 }, TypeError, "Cannot use hostname as a host name: current value is 5"],
  [{ hostname: "0.0.0.0" }, TypeError, "Cannot use hostname as a loopback name"],
  [{ hostname: "127.0.0.1.evil.test" }, TypeError, "Cannot use hostname as a loopback name"],
  [{ port: "1" }, TypeError, "Cannot use port as a whole number from 0 to 65535"],
  [{ port: 65536 }, RangeError, "Cannot use port as a whole number from 0 to 65535: current value is 65536"],
  [{ path: "" }, TypeError, "Cannot use path as the path of a unix socket"],
  [{ path: "/a", port: 1 }, TypeError, "Cannot use path as undefined"],
  [{ credentials: "user:secret" }, TypeError, "Cannot use credentials as { username, password }"],
  [{ credentials: { username: "" } }, TypeError, "Cannot use credentials as { username, password }"],
  [{ credentials: { username: "a", password: "ä".repeat(128) } }, TypeError, "Cannot use credentials as"],
  [{ methods: 2 }, TypeError, "Cannot use methods as a list of numbers: current value is 2"],
  [{ methods: [256] }, RangeError, "Cannot use methods as a whole number from 0 to 255: current value is 256"],
  [{ rules: [] }, TypeError, "Cannot use rules as an object or a function"],
  [{ rules: { "a.test": { port: 1 } } }, TypeError, "Cannot use rules as host:port = rule: current value is a string"],
  [{ rules: { "a.test:1": "silent" } }, TypeError, "Cannot use the rule for a.test:1 as { port }, { rep }"],
  [{ rules: { "a.test:1": {} } }, TypeError, "Cannot use the rule for a.test:1 as a whole number"],
  [{ rules: { "a.test:1": { rep: 256 } } }, RangeError, "Cannot use the rule for a.test:1 as a whole number"],
  [{ faults: "close" }, TypeError, "Cannot use fault as a fault such as"],
  [{ faults: { fault: "closed", at: "request" } }, TypeError, 'Cannot use fault as "silence", "close", "reset"'],
  [{ faults: { fault: "constructor" } }, TypeError, 'Cannot use fault as "silence"'],
  [{ faults: [[{ fault: "close" }]] }, TypeError, 'Cannot use at as "accept", "negotiate"'],
  [{ faults: { fault: "wait", at: "request" } }, TypeError, "Cannot use for as milliseconds or a function"],
  [{ faults: { fault: "wait", at: "request", for: -1 } }, RangeError, "Cannot use for as milliseconds"],
  [{ faults: { fault: "refuse" } }, TypeError, "Cannot use rep as a whole number from 0 to 255"],
  [{ faults: { fault: "refuse", rep: 5, then: "end" } }, TypeError, 'Cannot use then as "silence", "close" or "reset"'],
  [
    { faults: { fault: "answer", at: "request", bytes: [5] } },
    TypeError,
    "Cannot use bytes as a Uint8Array or a string",
  ],
  [{ faults: { fault: "reply", reply: 5 } }, TypeError, "Cannot use reply as the fields of a reply"],
  [{ framing: "lines" }, TypeError, 'Cannot use framing as "stream", "datagram" or "overwrite"'],
  [{ halfClose: true }, TypeError, 'Cannot use halfClose as "carry" or "cut": current value is true'],
  [{ handshakeTimeout: NaN }, RangeError, "Cannot use handshakeTimeout as milliseconds"],
];

test("options that are not what they must be are refused before anything listens", async () => {
  for (const [options, kind, message] of wrong) {
    const error = await createTestProxy(options as TestProxyOptions).then((it) => it.close(), (error) => error);
    assertInstanceOf(error, kind, message);
    assertEquals([error.message.slice(0, message.length), /secret|ää/.test(error.message)], [message, false]);
  }
});

const throwing: [what: string, options: TestProxyOptions][] = [
  ["faults", { rules, faults: () => fail() }],
  ["rules", { rules: () => fail() }],
  ["credentials", { methods: [2], credentials: () => fail() }],
  ["a wait", { rules, faults: { fault: "wait", at: "request", for: () => Promise.reject(new Error("mine")) } }],
  ["an answer", { rules, faults: { fault: "answer", at: "request", bytes: () => fail() } }],
];

for (const [what, options] of throwing) {
  test(`what a function of the caller's throws (${what}) ends the connection and is told once`, async () => {
    const proxy = await createTestProxy(options);
    const address = { hostname: proxy.hostname, port: proxy.port, credentials: { username: "a", password: "b" } };
    await failure(new Socks5Client(address, { retry: 0 }).connect(ECHO));
    await assertRejects(() => proxy.until(() => false), Error, "mine");
    await proxy.until(() => proxy.open === 0);
    await proxy.close();
  });
}

test("close() tells what nobody was told, and closes all the same", async () => {
  const proxy = await createTestProxy({ credentials: () => 256, methods: [2] });
  const address = { hostname: proxy.hostname, port: proxy.port, credentials: { username: "a", password: "b" } };
  await failure(new Socks5Client(address, { retry: 0 }).connect(ECHO));
  await assertRejects(() => proxy.close(), RangeError, "Cannot use the result of credentials()");
  assertEquals(proxy.open, 0);
});

test("the echo sends back what it gets, ends with the client, and takes faults", () =>
  withProxy({ rules, faults: [undefined, { fault: "glued", bytes: "220 " }] }, async (proxy) => {
    const client = new Socks5Client(proxy.url);
    const conn = await client.connect(ECHO);
    await assertEchoes(conn);
    await conn.closeWrite();
    assertEquals(await conn.read(new Uint8Array(1)), null);
    conn.close();
    const glued = await client.connect(ECHO);
    const banner = new Uint8Array(4);
    assertEquals([await glued.read(banner), banner], [4, bytes("220 ")]);
    await assertEchoes(glued);
    glued.close();
    await client.close();
  }));

test("one fault counts on every connection, and several add up in their order", () =>
  withProxy({ rules, faults: { fault: "refuse", rep: 4 } }, async (all) => {
    const client = new Socks5Client(all.url, { retry: 0 });
    for (let i = 0; i < 2; i++) {
      assertEquals((await failure(client.connect(ECHO))).code, "SOCKS5_TARGET_HOST_UNREACHABLE");
    }
    const both = [[{ fault: "wrong-version", at: "negotiate" }, { fault: "cut", at: "negotiate", length: 1 }]] as const;
    await withProxy({ faults: both }, async (proxy) => {
      const raw = await connectRaw(proxy.endpoint);
      await raw.write(Uint8Array.of(5, 1, 0));
      assertEquals(await raw.finish(), { bytes: Uint8Array.of(4), ending: "end" });
    });
  }));

test("start() of a proxy that listens changes nothing, and close() may be called again", async () => {
  const proxy = await createTestProxy({ rules });
  const { port } = proxy;
  await Promise.all([proxy.start(), proxy.start()]);
  assertEquals(proxy.port, port);
  await Promise.all([proxy.close(), proxy.stop()]);
  await proxy[Symbol.asyncDispose]();
});

test("close() ends what waits: a step, a target that is not reached, silence", async () => {
  const hole = await blackHole();
  const { port } = hole.endpoint as { port: number };
  const never = () => new Promise<void>(() => {});
  const proxy = await createTestProxy({
    rules: { "far.test:1": { port }, "silent.test:1": "silence" },
    faults: [{ fault: "wait", at: "negotiate", for: Infinity }, { fault: "wait", at: "request", for: never }],
  });
  const client = new Socks5Client(proxy.url, { retry: 0 });
  const failures: Promise<unknown>[] = [];
  for (const [i, target] of [ECHO, ECHO, "far.test:1", "silent.test:1"].entries()) {
    failures.push(failure(client.connect(target)));
    const step = i === 0
      ? () => proxy.connections[0]?.step === "negotiate"
      : () => proxy.connections[i]?.request != null;
    await proxy.until(step);
  }
  assertEquals(proxy.connections[0]?.step, "negotiate");
  await proxy.close();
  assertEquals(proxy.open, 0);
  await Promise.all(failures);
  await client.close();
  await hole.close();
});

test("an open proxy keeps the process alive, and with unref() it does not", () => {
  const module = JSON.stringify(new URL("../../testing/mod.ts", import.meta.url).href);
  const program = (last: string) => `
    import { connect } from "node:net";
    const { createTestProxy } = await import(${module});
    const proxy = await createTestProxy({ rules: { "echo.test:7": "echo" } });
    const socket = connect(proxy.port, proxy.hostname);
    await proxy.until(() => proxy.open === 1);
    socket.unref();
    ${last}`;
  const { status } = spawnSync(process.execPath, evaluate(program("proxy.unref();")), { timeout: 20_000 });
  assertEquals(status, 0);
  const kept = spawnSync(process.execPath, evaluate(program("")), { timeout: 1_500, killSignal: "SIGKILL" });
  assertEquals(kept.signal, "SIGKILL");
}, { skip: quick });

function fail(): never {
  throw new Error("mine");
}

test("what udp.answer throws ends the association, and until() says it", async () => {
  const proxy = await createTestProxy({ udp: { answer: fail } });
  const echo = await startUdpEcho();
  const client = new Socks5Client(proxy.url);
  const association = await client.associate();
  await association.send(new Uint8Array(1), `127.0.0.1:${echo.port}`);
  assertEquals(await association.receive(), null);
  await assertRejects(() => proxy.until(() => false), Error, "mine");
  await client.close();
  await proxy.close();
  await echo.close();
});
