import { assertEquals } from "@std/assert";
import { connectRaw } from "../support/raw_client.ts";
import * as testing from "../../testing/mod.ts";
import type { TestFault } from "../../testing/mod.ts";
import * as targets from "../support/targets.ts";
import { test } from "../support/test.ts";
import { openTunnel, requestTo, withProxy, withTargetAndProxy } from "./stage.ts";

const ascii = (said: string): Uint8Array => new TextEncoder().encode(said);
const GREETING = Uint8Array.of(5, 1, 0);
const GREETING_WITH_PASSWORD = Uint8Array.of(5, 2, 0, 2);
const ALICE = Uint8Array.of(1, 5, ...ascii("alice"), 6, ...ascii("secret"));
const bytes = (...values: number[]): Uint8Array => Uint8Array.of(...values);

test("a gate holds a step back until the test opens it", async () => {
  const gate = testing.createGate();
  await withProxy({ faults: { fault: "wait", at: "negotiate", for: gate.pass } }, async (proxy) => {
    const client = await connectRaw(proxy.endpoint);
    await client.write(GREETING);
    await gate.reached;
    assertEquals(client.receives, 0);
    gate.open();
    assertEquals(await client.read(2), bytes(5, 0));
    client.close();
  });
});

test("a client that leaves while a gate is shut is noticed", async () => {
  const gate = testing.createGate();
  await withProxy({ faults: { fault: "wait", at: "request", for: gate.pass } }, async (proxy) => {
    const client = await connectRaw(proxy.endpoint);
    await client.write(GREETING);
    await client.read(2);
    await client.write(requestTo("127.0.0.1", 1));
    await gate.reached;
    client.close();
    await proxy.until(() => proxy.open === 0);
  });
});

test("the tunnel works until its gate opens, then is closed, reset or spoken into", async () => {
  for (const then of ["close", "reset", undefined] as const) {
    const gate = testing.createGate();
    const fault: TestFault[] = [
      { fault: "wait", at: "transfer", for: gate.pass },
      { fault: "answer", at: "transfer", bytes: "!", then },
    ];
    await withTargetAndProxy(targets.startEcho, { faults: [fault] }, async (target, proxy) => {
      const client = await openTunnel(proxy, "127.0.0.1", target.port);
      await client.write(ascii("works"));
      assertEquals(await client.read(5), ascii("works"));
      gate.open();
      assertEquals(await client.read(1), ascii("!"));
      if (then) assertEquals((await client.finish()).ending, then === "close" ? "end" : "reset");
      else {
        await client.write(ascii("still"));
        assertEquals(await client.read(5), ascii("still"));
      }
      client.close();
    });
  }
});

test("a tunnel that falls silent swallows what comes, both ways", async () => {
  const gate = testing.createGate();
  const fault: TestFault[] = [{ fault: "wait", at: "transfer", for: gate.pass }, { fault: "silence", at: "transfer" }];
  let peer: { write(text: string): unknown } | undefined;
  const start = () => targets.startTarget((socket) => (peer = socket, socket.pipe(socket)));
  await withTargetAndProxy(start, { faults: [fault] }, async (target, proxy) => {
    const client = await openTunnel(proxy, "127.0.0.1", target.port);
    await client.write(ascii("works"));
    await client.read(5);
    gate.open();
    await client.write(ascii("lost"));
    await proxy.until(() => proxy.connections[0]!.sent === 9);
    peer?.write("lost");
    await proxy.until(() => proxy.connections[0]!.delivered >= 9);
    await proxy.stop();
    assertEquals((await client.finish()).bytes, bytes());
    assertEquals(proxy.connections[0]!.delivered, 9);
  });
});

test("without a gate the tunnel forwards nothing", async () => {
  await withTargetAndProxy(
    () => targets.startBanner("banner"),
    { faults: [{ fault: "silence", at: "transfer" }, { fault: "close", at: "transfer" }] },
    async (target, proxy) => {
      const silent = await openTunnel(proxy, "127.0.0.1", target.port);
      await silent.write(ascii("lost"));
      await proxy.until(() => proxy.connections[0]!.step === "transfer");
      silent.close();
      assertEquals((await silent.finish()).bytes, bytes());
      await proxy.until(() => proxy.open === 0);
      const closing = await openTunnel(proxy, "127.0.0.1", target.port);
      assertEquals(await closing.finish(), { bytes: bytes(), ending: "end" });
    },
  );
});

test("data in the same write as the handshake reaches the target", async () => {
  await withTargetAndProxy(targets.startEcho, {}, async (target, proxy) => {
    const client = await connectRaw(proxy.endpoint);
    const request = requestTo("127.0.0.1", target.port);
    await client.write(Uint8Array.of(...GREETING, ...request, ...ascii("early")));
    const seen = await client.read(2 + 10 + 5);
    assertEquals(seen.slice(12), ascii("early"));
    client.close();
  });
});

test("as a datagram, a message loses what follows it in one receive, and a fragment ends the connection", async () => {
  await withTargetAndProxy(targets.startEcho, { framing: "datagram" }, async (target, proxy) => {
    const pipelining = await connectRaw(proxy.endpoint);
    await pipelining.write(Uint8Array.of(...GREETING, ...requestTo("127.0.0.1", target.port)));
    assertEquals(await pipelining.read(2), bytes(5, 0));
    pipelining.close();
    await proxy.until(() => proxy.open === 0);
    assertEquals(proxy.connections[0]!.request, null);

    const optimistic = await connectRaw(proxy.endpoint);
    await optimistic.write(GREETING);
    await optimistic.read(2);
    await optimistic.write(Uint8Array.of(...requestTo("127.0.0.1", target.port), ...ascii("lost")));
    await optimistic.read(10);
    await optimistic.write(ascii("kept"));
    assertEquals(await optimistic.read(4), ascii("kept"));
    optimistic.close();

    const fragments = await connectRaw(proxy.endpoint);
    await fragments.write(GREETING.subarray(0, 1));
    assertEquals(await fragments.finish(), { bytes: bytes(), ending: "end" });
  });
});

test("an overwritten answer is lost when the password came with the greeting", async () => {
  await withProxy({ framing: "overwrite", methods: [2, 0] }, async (proxy) => {
    const pipelining = await connectRaw(proxy.endpoint);
    await pipelining.write(Uint8Array.of(...GREETING_WITH_PASSWORD, ...ALICE));
    assertEquals(await pipelining.read(2), bytes(1, 0));
    pipelining.close();
    const sequential = await connectRaw(proxy.endpoint);
    await sequential.write(GREETING_WITH_PASSWORD);
    assertEquals(await sequential.read(2), bytes(5, 2));
    await sequential.write(ALICE);
    assertEquals(await sequential.read(2), bytes(1, 0));
    sequential.close();
  });
});

test("a connection without a request is closed when its time is up", async () => {
  await withProxy({ handshakeTimeout: 50 }, async (proxy) => {
    const client = await connectRaw(proxy.endpoint);
    await client.write(GREETING);
    assertEquals(await client.finish(), { bytes: bytes(5, 0), ending: "end" });
    assertEquals(proxy.connections[0]!.endedBy, "proxy");
  });
});
