import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { workersTransport } from "../../adapters/workers/mod.ts";
import type { Endpoint } from "../../src/transport.ts";
import { bytes, contract, readFull, text } from "../support/contract.ts";
import { listen, pairOf } from "../support/peer.ts";
import { test } from "../support/test.ts";
import { type Remote, remote } from "../support/workerd/remote.ts";

contract("workersTransport", () => pairOf((to) => workersTransport.connect(to)));

const rejection = (promise: Promise<unknown>) => promise.then(() => "it is fulfilled", (reason: unknown) => reason);

test("connect() rejects what is refused, unknown or impossible", async () => {
  const unknown = { hostname: "nonexistent.invalid", port: 80 };
  for (const to of [{ hostname: "127.0.0.1", port: 1 }, unknown, { hostname: "127.0.0.1", port: 70_000 }]) {
    await assertRejects(() => workersTransport.connect(to), Error);
  }
  await assertRejects(() => workersTransport.connect({ path: "/run/tor.sock" }), TypeError, "unix socket");
});

test("connect() takes an address of IPv6, and says which address it has reached", async () => {
  for (const hostname of ["127.0.0.1", "::1"]) {
    const server = await listen({ hostname });
    const conn = await workersTransport.connect(server.endpoint);
    assertEquals(conn.remoteAddress, hostname);
    const peer = await server.accepted();
    await peer.write(bytes("hello"));
    assertEquals(text(await readFull(conn, 5)), "hello");
    conn.close();
    await server.close();
  }
});

test("an abort, before and while connecting, rejects at once with its reason", async () => {
  const reason = { any: "thing" };
  const hole = await remote("blackHole") as Remote;
  const to = await hole.call("endpoint") as Endpoint;
  assertStrictEquals(await rejection(workersTransport.connect(to, { signal: AbortSignal.abort(reason) })), reason);
  const abort = new AbortController();
  const connecting = rejection(workersTransport.connect(to, { signal: abort.signal }));
  setTimeout(() => abort.abort(reason), 10);
  const start = Date.now();
  assertStrictEquals(await connecting, reason);
  assert(Date.now() - start < 5_000);
  await hole.call("close");
});

test("an abort after connecting leaves the connection alone", async () => {
  const server = await listen();
  const abort = new AbortController();
  const conn = await workersTransport.connect(server.endpoint, { signal: abort.signal });
  abort.abort();
  const peer = await server.accepted();
  await peer.write(bytes("hello"));
  assertEquals(text(await readFull(conn, 5)), "hello");
  conn.close();
  await server.close();
});

test("what was read too far goes to who detaches", async () => {
  const { conn, peer } = await pairOf((to) => workersTransport.connect(to));
  await peer.write(bytes("head and rest"));
  const p = await readFull(conn, 8);
  (conn as unknown as { unread(bytes: Uint8Array): void }).unread(p.subarray(4));
  const { socket, head } = conn.detach!();
  assertEquals(text(head), " and");
  const { value } = await (socket as { readable: ReadableStream<Uint8Array> }).readable.getReader().read();
  assertEquals(text(value!), " rest");
  await peer.close();
});
