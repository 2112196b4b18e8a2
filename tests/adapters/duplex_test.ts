import { assertEquals, assertLess } from "@std/assert";
import { once } from "node:events";
import { Socket } from "node:net";
import { setImmediate as turn, setTimeout as delay } from "node:timers/promises";
import { ConnDuplex, type ConnDuplexOptions } from "../../adapters/duplex.ts";
import { nodeTransport } from "../../adapters/node/mod.ts";
import { Socks5Client } from "../../mod.ts";
import type { Conn } from "../../src/transport.ts";
import { bytes } from "../support/contract.ts";
import { pairOf } from "../support/peer.ts";
import { withProxy, withTarget } from "../support/stage.ts";
import { digestOf, payload, startDigest, startEcho, startSource } from "../support/targets.ts";
import { test } from "../support/test.ts";
import { atRest } from "../support/wait.ts";

const opens: Record<string, (stream: ConnDuplex) => unknown> = {
  "connect()": (stream) => stream.connect(),
  "a read": (stream) => stream.resume(),
  "a write": (stream) => stream.write("x"),
  "end()": (stream) => stream.end(),
};

for (const [what, use] of Object.entries(opens)) {
  test(`a stream is opened by ${what}, and once`, async () => {
    const { conn, stream, opened } = staged();
    await turn();
    assertEquals([opened(), stream.connecting], [0, false]);
    use(stream);
    assertEquals(what === "a read" || stream.connecting, true);
    await once(stream, "ready");
    assertEquals(stream.connecting, false);
    for (const [name, again] of Object.entries(opens)) if (name !== "end()" && what !== "end()") again(stream);
    stream.end();
    await turn();
    assertEquals(opened(), 1);
    await destroyed(stream);
    assertEquals(conn.closed, 1);
  });
}

test("connect() takes what net.Socket takes, and its listener is called before the first byte", async () => {
  for (const isLazy of [false, true]) {
    const { conn, stream } = staged();
    const order: string[] = [];
    const connected = () => order.push("connect");
    conn.push(bytes("hello"));
    stream.on("data", () => order.push("data"));
    if (isLazy) stream.on("connect", connected);
    else assertEquals(stream.connect(5432, "db.example", connected), stream);
    await once(stream, "data");
    assertEquals(order, ["connect", "data"]);
    await destroyed(stream);
  }
});

test("it says of itself what a socket of node:net says, at each step", async () => {
  await withTarget(startEcho(), (target) =>
    withProxy({}, async (proxy) => {
      const client = new Socks5Client(proxy.url);
      const [hostname, port] = target.address.split(":");
      const stream = new ConnDuplex((signal) => client.connect(target.address, { signal }));
      const sockets = [stream, new Socket()];
      const said = () =>
        sockets.map((it) => {
          const { connecting, pending, readyState, remoteAddress, remotePort, remoteFamily, bytesRead, bytesWritten } =
            it;
          return { connecting, pending, readyState, remoteAddress, remotePort, remoteFamily, bytesRead, bytesWritten };
        });
      const same = (): Record<string, unknown> => {
        const [ours, theirs] = said();
        assertEquals(ours, theirs);
        return ours!;
      };
      assertEquals([same().pending, same().readyState], [true, "open"]);
      for (const socket of sockets) socket.connect(Number(port), hostname!);
      assertEquals([same().connecting, same().readyState], [true, "opening"]);
      for (const socket of sockets) socket.write("hello");
      assertEquals(same().bytesWritten, 5);
      await Promise.all(sockets.map((socket) => once(socket, "ready")));
      await Promise.all(sockets.map((socket) => once(socket, "data")));
      assertEquals([same().bytesRead, same().remoteAddress], [5, hostname]);
      for (const socket of sockets) socket.end();
      await Promise.all(sockets.map((socket) => once(socket, "close")));
      const [ours, theirs] = said();
      assertEquals([ours!.readyState, ours!.pending], [theirs!.readyState, theirs!.pending]);
      await client.close();
    }));
});

test("where a name leads, and where it comes from as the proxy says", async () => {
  const conn = Object.assign(new FakeConn(), {
    target: "example.com:443",
    boundAddress: { hostname: "2001:db8::1", port: 7 },
  });
  const stream = new ConnDuplex(() => Promise.resolve(conn));
  assertEquals([stream.address(), stream.remoteAddress, stream.localPort], [{}, undefined, undefined]);
  await once(stream.connect(), "connect");
  const { remoteAddress, remotePort, remoteFamily, localAddress, localPort, localFamily } = stream;
  assertEquals([remoteAddress, remotePort, remoteFamily], ["example.com", 443, undefined]);
  assertEquals([localAddress, localPort, localFamily], ["2001:db8::1", 7, "IPv6"]);
  assertEquals(stream.address(), { address: "2001:db8::1", family: "IPv6", port: 7 });
  await destroyed(stream);
  const other = new ConnDuplex(() => Promise.resolve(Object.assign(new FakeConn(), { target: "[::1]:80" })));
  await once(other.connect(), "connect");
  assertEquals([other.remoteAddress, other.remotePort, other.remoteFamily], ["::1", 80, "IPv6"]);
  await destroyed(other);
});

test("nothing is read before it is asked for, and never more than highWaterMark ahead", async () => {
  const { conn, stream } = staged({ highWaterMark: 10_000 });
  conn.push(payload(100_000));
  stream.connect();
  await once(stream, "connect");
  await turn();
  assertEquals(conn.given, 0);
  assertEquals(stream.read(), null);
  await once(stream, "readable");
  for (let i = 0; i < 10; i++) await turn();
  assertEquals(stream.readableLength, conn.given);
  assertLess(conn.given, 20_001);
  await destroyed(stream);
});

test("one byte at a time, if that is the highWaterMark", async () => {
  const { conn, stream } = staged({ highWaterMark: 1 });
  conn.push(bytes("abc"));
  conn.push(null);
  const chunks: string[] = [];
  for await (const chunk of stream) chunks.push(String(chunk));
  assertEquals(chunks, ["a", "b", "c"]);
});

test("a write is done when the connection took it, and what waits meanwhile leaves together", async () => {
  const { conn, stream } = staged();
  conn.hold();
  const done: string[] = [];
  for (const text of ["one", "two", "three"]) stream.write(text, () => done.push(text));
  await conn.until(() => conn.written.length === 1);
  await turn();
  assertEquals([done, stream.writableLength], [[], 11]);
  conn.release();
  await conn.until(() => conn.written.length === 2);
  await turn();
  assertEquals(conn.written.map(String), ["one", "twothree"]);
  assertEquals([done, stream.writableLength], [["one", "two", "three"], 0]);
  await destroyed(stream);
});

test("end() ends the writing side after what was written; then the peer's end closes", async () => {
  const { conn, stream } = staged({ allowHalfOpen: true });
  stream.end("bye");
  await once(stream, "finish");
  assertEquals(conn.log, ["write 3", "closeWrite"]);
  conn.push(bytes("answer"));
  conn.push(null);
  let answer = "";
  for await (const chunk of stream) answer += chunk;
  assertEquals([answer, conn.closed], ["answer", 1]);
});

test("the peer's end ends the stream, also if nobody reads", async () => {
  const { conn, stream } = staged();
  stream.write("x");
  stream.read();
  conn.push(null);
  await once(stream, "close");
  assertEquals(conn.log, ["write 1", "closeWrite"]);
  assertEquals(conn.closed, 1);
});

test("with allowHalfOpen the peer's end leaves the writing side open", async () => {
  const { conn, stream } = staged({ allowHalfOpen: true });
  conn.push(null);
  stream.resume();
  await once(stream, "end");
  await turn();
  assertEquals([conn.log, stream.writable], [[], true]);
  stream.end("still");
  await once(stream, "close");
  assertEquals(conn.log, ["write 5", "closeWrite"]);
});

test("destroy() while it opens aborts, and what opens nevertheless is closed", async () => {
  const opening = Promise.withResolvers<Conn>();
  let signal: AbortSignal | undefined;
  const stream = new ConnDuplex((given) => (signal = given, opening.promise));
  const seen = events(stream);
  stream.connect();
  stream.read();
  let written: unknown;
  stream.write("x", (error) => written = error);
  assertEquals([signal?.aborted, stream.connecting], [false, true]);
  await destroyed(stream);
  assertEquals([signal?.aborted, stream.connecting], [true, false]);
  const conn = new FakeConn();
  opening.resolve(conn);
  await turn();
  assertEquals([conn.closed, conn.log, written instanceof Error], [1, [], true]);
  stream.connect();
  await turn();
  assertEquals(seen, ["close"]);
});

test("destroy() before it opens opens nothing, ever", async () => {
  const { stream, opened } = staged();
  await destroyed(stream);
  stream.connect();
  stream.on("error", () => {}).end("x");
  await turn();
  assertEquals(opened(), 0);
});

const failures: Record<string, (conn: FakeConn) => Promise<Conn>> = {
  "open() rejects": () => Promise.reject(new Error("broken")),
  "open() throws": () => {
    throw new Error("broken");
  },
  "a read fails": (conn) => Promise.resolve(Object.assign(conn, { read: () => Promise.reject(new Error("broken")) })),
  "a write fails": (conn) => Promise.resolve(Object.assign(conn, { write: () => Promise.reject(new Error("broken")) })),
  "the end cannot be sent": (conn) =>
    Promise.resolve(Object.assign(conn, { closeWrite: () => Promise.reject(new Error("broken")) })),
};

for (const [what, open] of Object.entries(failures)) {
  test(`${what}: one error, then close, and no rejection is left`, async () => {
    const conn = new FakeConn();
    const stream = new ConnDuplex(() => open(conn));
    const seen = events(stream);
    stream.connect();
    stream.resume();
    stream.write("x");
    stream.write("y");
    stream.end();
    await closed(stream);
    assertEquals(seen, ["error broken", "close"]);
    assertEquals(conn.closed, what.startsWith("open") ? 0 : 1);
  });
}

test("ref() and unref() are passed on, also to what is opened later", async () => {
  const { conn, stream } = staged();
  assertEquals(stream.unref(), stream);
  stream.connect();
  await once(stream, "connect");
  stream.ref().unref().setKeepAlive(true, 1000).setNoDelay(true);
  assertEquals(conn.log, ["unref", "ref", "unref"]);
  await destroyed(stream);
});

test("destroySoon() closes once all is written", async () => {
  const { conn, stream } = staged();
  conn.hold();
  stream.write("last");
  stream.destroySoon();
  await conn.until(() => conn.written.length === 1);
  await turn();
  assertEquals(conn.closed, 0);
  conn.release();
  await once(stream, "close");
  assertEquals([conn.log, conn.closed], [["write 4", "closeWrite"], 1]);
});

const activities: Record<string, (conn: FakeConn, stream: ConnDuplex) => unknown> = {
  "a byte that comes": (conn) => conn.push(bytes("x")),
  "a byte that goes": (_, stream) => stream.write("x"),
};

for (const [what, act] of Object.entries(activities)) {
  test(`setTimeout() counts from the last byte: ${what}`, async () => {
    const { conn, stream } = staged();
    stream.resume();
    await once(stream, "connect");
    let fired = Infinity;
    let called = 0;
    stream.on("timeout", () => fired = performance.now());
    assertEquals(stream.setTimeout(120, () => called++).timeout, 120);
    let last = 0;
    for (let i = 0; i < 6 && fired === Infinity; i++) {
      await delay(40);
      last = performance.now();
      act(conn, stream);
    }
    await once(stream, "timeout");
    assertLess(110, fired - last);
    assertEquals([called, stream.destroyed], [1, false]);
    await destroyed(stream);
  });
}

test("setTimeout(0) stops it, and so does destroy()", async () => {
  const { stream } = staged();
  const never = () => {
    throw new Error("timeout");
  };
  // timers of one length fire in order
  const later = staged().stream;
  const isOver = () => once(later.setTimeout(1), "timeout");
  stream.setTimeout(1, never).setTimeout(0, never);
  await isOver();
  assertEquals([stream.timeout, stream.listenerCount("timeout")], [0, 0]);
  stream.setTimeout(1, never);
  await destroyed(stream);
  stream.setTimeout(1);
  await isOver();
  await destroyed(later);
  assertEquals(stream.timeout, 0);
});

test("8 MiB each way through a proxy, with backpressure at the source", async () => {
  const all = payload(8 << 20);
  await withTarget(
    startDigest(),
    (sink) =>
      withTarget(startSource(all.length), (source) =>
        withProxy({}, async (proxy) => {
          const client = new Socks5Client(proxy.url);
          const up = new ConnDuplex((signal) => client.connect(sink.address, { signal }), { allowHalfOpen: true });
          up.end(all);
          let answer = "";
          for await (const chunk of up) answer += chunk;
          assertEquals(answer, digestOf(all));
          const down = new ConnDuplex((signal) => client.connect(source.address, { signal }));
          down.read(0);
          await once(down, "readable");
          await atRest(() => proxy.connections[1]!.delivered);
          assertLess(down.readableLength, 1 << 20);
          const chunks: Uint8Array<ArrayBuffer>[] = [];
          for await (const chunk of down) chunks.push(chunk);
          assertEquals(digestOf(new Uint8Array(await new Blob(chunks).arrayBuffer())), digestOf(all));
        })),
  );
});

test("a reset is an error and no end", async () => {
  const { conn, peer } = await pairOf((to) => nodeTransport.connect(to));
  const stream = new ConnDuplex(() => Promise.resolve(conn));
  const seen = events(stream);
  stream.resume();
  await once(stream, "connect");
  peer.reset();
  await closed(stream);
  assertEquals(seen.map((it) => it.split(" ")[0]), ["error", "close"]);
  await peer.close();
});

test("a stream that is destroyed during the handshake leaves nothing open", async () => {
  await withTarget(
    startEcho(),
    (target) =>
      withProxy({ faults: [{ fault: "silence", at: "request" }] }, async (proxy) => {
        const client = new Socks5Client(proxy.url);
        const stream = new ConnDuplex((signal) => client.connect(target.address, { signal }));
        stream.write("x");
        await proxy.until(() => proxy.connections[0]?.step === "request");
        await destroyed(stream);
        await proxy.until(() => proxy.open === 0);
        assertEquals(client.stats().inUse + client.stats().opening, 0);
      }),
  );
});

function staged(options?: ConnDuplexOptions): { conn: FakeConn; stream: ConnDuplex; opened(): number } {
  const conn = new FakeConn();
  let opened = 0;
  const stream = new ConnDuplex(() => (opened++, Promise.resolve(conn)), options);
  return { conn, stream, opened: () => opened };
}

function events(stream: ConnDuplex): string[] {
  const seen: string[] = [];
  stream.on("error", (error) => seen.push(`error ${error.message}`));
  stream.on("close", () => seen.push("close"));
  return seen;
}

async function destroyed(stream: ConnDuplex): Promise<void> {
  stream.destroy();
  await closed(stream);
}

/** `once()` would reject with an error that comes before. */
function closed(stream: ConnDuplex): Promise<void> {
  return new Promise((resolve) => stream.closed ? resolve() : stream.once("close", resolve));
}

/** A connection that gives what it is told to, and keeps account. */
class FakeConn implements Conn {
  readonly log: string[] = [];
  readonly written: Uint8Array[] = [];
  given = 0;
  closed = 0;
  #incoming: (Uint8Array | null)[] = [];
  #held: PromiseWithResolvers<void> | undefined;
  #watchers = new Set<() => void>();

  push(bytes: Uint8Array | null): void {
    this.#incoming.push(bytes);
    this.#changed();
  }

  hold(): void {
    this.#held = Promise.withResolvers();
  }

  release(): void {
    this.#held?.resolve();
    this.#held = undefined;
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      const changed = Promise.withResolvers<void>();
      this.#watchers.add(changed.resolve);
      await changed.promise;
    }
  }

  async read(p: Uint8Array): Promise<number | null> {
    await this.until(() => this.#incoming.length > 0 || this.closed > 0);
    if (this.closed) throw new Error("closed");
    const next = this.#incoming[0]!;
    if (next === null) return null;
    const n = Math.min(p.length, next.length);
    p.set(next.subarray(0, n));
    if (n === next.length) this.#incoming.shift();
    else this.#incoming[0] = next.subarray(n);
    this.given += n;
    return n;
  }

  async write(p: Uint8Array): Promise<number> {
    this.written.push(p);
    this.log.push(`write ${p.length}`);
    this.#changed();
    await this.#held?.promise;
    return p.length;
  }

  closeWrite(): Promise<void> {
    this.log.push("closeWrite");
    return Promise.resolve();
  }

  close(): void {
    this.closed++;
    this.#changed();
  }

  ref(): void {
    this.log.push("ref");
  }

  unref(): void {
    this.log.push("unref");
  }

  #changed(): void {
    for (const watcher of this.#watchers) watcher();
    this.#watchers.clear();
  }
}
