import { assertEquals, assertInstanceOf, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { existsSync, readFileSync } from "node:fs";
import {
  ClosedError,
  type RequestEvent,
  Socks5Client,
  type Socks5Conn,
  type Socks5Options,
  type Transport,
} from "../../mod.ts";
import { bytes, contract, readAll, text } from "../support/contract.ts";
import { type FakeConn, FakeTransport, type Script, socks5 } from "../support/fake.ts";
import { startModule } from "../support/child.ts";
import { listen, type Pair, type Peer } from "../support/peer.ts";
import { ofRequests } from "../support/request_events.ts";
import { quick, test } from "../support/test.ts";

const TARGET = "example.test:80";
const GREETING = 3;
const REQUEST = 4 + 1 + "example.test".length + 2;

contract("a tunnel", openTunnel);

/** A tunnel over real sockets whose other end is both the proxy and the target. */
async function openTunnel(): Promise<Pair<unknown>> {
  const { endpoint, accepted, stop } = await listen();
  if (!("hostname" in endpoint)) throw new TypeError("not a host");
  const client = new Socks5Client(endpoint);
  const connecting = client.connect(TARGET);
  const peer = await accepted();
  stop();
  await peer.received(GREETING);
  await peer.write(Uint8Array.of(5, 0));
  await peer.received(GREETING + REQUEST);
  await peer.write(Uint8Array.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
  return { conn: await connecting, peer: after(peer, GREETING + REQUEST) };
}

/** The peer without the first `skipped` bytes that it received. */
function after(peer: Peer, skipped: number): Peer {
  return new Proxy(peer, {
    get(target, key) {
      if (key === "received") return async (n: number) => (await target.received(n + skipped)).subarray(skipped);
      const value = Reflect.get(target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** A client of a fake proxy; `target` is what the target does with what it is sent. */
function setUp(options: Socks5Options<FakeConn> & { target?: Script } = {}) {
  const { target, ...rest } = options;
  const transport = new FakeTransport(socks5(target === undefined ? {} : { target }));
  const events: RequestEvent[] = [];
  const client = new Socks5Client("socks5://proxy", {
    transport,
    onEvent: ofRequests((event) => events.push(event)),
    ...rest,
  });
  const closed = () => events.flatMap((event) => event.type === "closed" ? [event.reason] : []);
  return { client, transport, events, closed };
}

test("a tunnel says where it leads, through what, and which address the proxy used", async () => {
  const transport = new FakeTransport((conn, written) => {
    if (written.length === 3) conn.push(5, 0);
    else conn.push(5, 0, 0, 3, 4, ...bytes("a\x1bbc"), 1, 2);
  });
  const client = new Socks5Client("socks5://PROXY.test:99", { transport });
  const conn = await client.connect({ hostname: "::1", port: 5 });
  assertEquals([conn.proxy, conn.target, conn.reused], ["proxy.test:99", "[::1]:5", false]);
  assertEquals(conn.boundAddress, { hostname: "", port: 258 }); // what it said is no host name
  conn.close();
});

test("I/O on a broken tunnel is a ClosedError of the phase transfer with the runtime's error as its cause", async () => {
  const { client, transport, closed } = setUp();
  const conn = await client.connect(TARGET);
  const cause = new Error("ECONNRESET");
  transport.conns[0]!.push(7);
  transport.conns[0]!.reset(cause);
  assertEquals(await conn.read(new Uint8Array(9)), 1);
  const error = await assertRejects(() => conn.read(new Uint8Array(9)), ClosedError);
  assertStrictEquals(error.cause, cause);
  assertEquals([error.code, error.phase, error.proxy, error.target], [
    "SOCKS5_CONN_RESET",
    "transfer",
    "proxy:1080",
    TARGET,
  ]);
  await assertRejects(() => conn.read(new Uint8Array(9)), ClosedError);
  await assertRejects(() => conn.write(new Uint8Array(9)), ClosedError);
  assertEquals([closed(), client.stats().inUse, transport.open], [["peer"], 0, 0]);
});

test("what came before a reset is read although a write failed first", async () => {
  const { client, transport } = setUp();
  const conn = await client.connect(TARGET);
  transport.conns[0]!.push(...bytes("413 too large"));
  transport.conns[0]!.reset();
  await assertRejects(() => conn.write(bytes("x")), ClosedError);
  const p = new Uint8Array(100);
  assertEquals(text(p.subarray(0, (await conn.read(p))!)), "413 too large");
  await assertRejects(() => conn.read(p), ClosedError);
  conn.close();
});

test("close() during a read and during a write ends both with ClosedError", async () => {
  const { client, transport, closed } = setUp();
  const conn = await client.connect(TARGET);
  const reading = assertRejects(() => conn.read(new Uint8Array(1)), ClosedError, "it was closed");
  const writing = assertRejects(() => conn.write(new Uint8Array(1)), ClosedError, "it was closed");
  conn.close();
  conn.close();
  await Promise.all([reading, writing]);
  assertEquals([closed(), transport.conns[0]!.closes], [["holder"], 1]);
});

test("a tunnel that has ended both ways gives its place back by itself", async () => {
  const { client, transport, closed } = setUp();
  const conn = await client.connect(TARGET);
  await conn.closeWrite();
  assertEquals(client.stats().inUse, 1);
  transport.conns[0]!.end();
  assertEquals(await conn.read(new Uint8Array(1)), null);
  assertEquals([closed(), client.stats().inUse, transport.open], [["holder"], 0, 0]);
  assertEquals(await conn.read(new Uint8Array(1)), null, "null for ever");
  const other = await client.connect(TARGET);
  transport.conns[1]!.end();
  assertEquals(await other.read(new Uint8Array(1)), null);
  assertEquals(client.stats().inUse, 1);
  await other.closeWrite();
  assertEquals([client.stats().inUse, transport.open], [0, 0]);
});

test("write() refuses what is no Uint8Array and goes on", async () => {
  const { client, transport } = setUp();
  const conn = await client.connect(TARGET);
  await assertRejects(
    () => conn.write("text" as unknown as Uint8Array),
    TypeError,
    "must be a Uint8Array and is a string",
  );
  assertEquals(await conn.write(bytes("ok")), 2);
  assertEquals(transport.conns[0]!.written.slice(-2), [...bytes("ok")]);
  conn.close();
});

test("release() keeps a tunnel that was opened with reuse, and the next holder gets it", async () => {
  const { client, transport, events } = setUp({ target: (conn, written) => conn.push(...written) });
  const first = await client.connect(TARGET, { reuse: true });
  await first.write(bytes("one"));
  assertEquals(await first.read(new Uint8Array(3)), 3);
  first.release();
  assertEquals(transport.conns[0]!.refs, [false], "an idle tunnel does not keep the process alive");
  const second = await client.connect(TARGET, { reuse: true });
  assertEquals([second.reused, transport.conns.length, transport.conns[0]!.refs], [true, 1, [false, true]]);
  await second.write(bytes("two"));
  const got: number[] = [];
  const p = new Uint8Array(3);
  while (got.length < 3) got.push(...p.subarray(0, (await second.read(p))!));
  assertEquals(text(Uint8Array.from(got)), "two");
  await assertRejects(() => first.read(p), ClosedError, "it was released");
  await assertRejects(() => first.write(p), ClosedError, "it was released");
  first.close();
  first.release();
  assertThrows(() => first.detach(), ClosedError);
  second.release();
  second.release();
  assertEquals([client.stats().idle, client.stats().connects, client.stats().reused], [1, 2, 1]);
  await client.close();
  assertEquals(events.map((event) => [event.id, event.type]), [
    [1, "attempt"],
    [1, "connected"],
    [2, "connected"],
    [2, "closed"],
  ]);
});

const NOT_RELEASED: Record<string, (conn: Socks5Conn<FakeConn>, fake: FakeConn) => unknown> = {
  "has a read pending": (conn) => void conn.read(new Uint8Array(1)).catch(() => {}),
  "has a write pending": (conn) => void conn.write(new Uint8Array(1)).catch(() => {}),
  "has ended": async (conn, fake) => (fake.end(), await conn.read(new Uint8Array(1))),
  "has broken": async (conn, fake) => (fake.reset(), await conn.read(new Uint8Array(1)).catch(() => {})),
  "was closed for writing": (conn) => conn.closeWrite(),
  "failed to write": async (conn, fake) => (fake.reset(), await conn.write(new Uint8Array(1)).catch(() => {})),
  "was read as a stream": (conn) => conn.readable,
  "was written as a stream": (conn) => conn.writable,
};

for (const [what, act] of Object.entries(NOT_RELEASED)) {
  test(`release() closes a tunnel that ${what}`, async () => {
    const { client, transport } = setUp();
    const conn = await client.connect(TARGET, { reuse: true });
    await act(conn, transport.conns[0]!);
    conn.release();
    assertEquals([client.stats().idle, client.stats().inUse, transport.open], [0, 0, 0]);
  });
}

test("release() closes a tunnel that was not opened with reuse", async () => {
  const { client, transport, closed } = setUp();
  (await client.connect(TARGET)).release();
  assertEquals([client.stats().idle, transport.open, closed()], [0, 0, ["holder"]]);
});

test("a tunnel with bytes left in it is not handed out again", async () => {
  const { client, transport, closed } = setUp();
  const first = await client.connect(TARGET, { reuse: true });
  transport.conns[0]!.push(1, 2, 3);
  first.release();
  const second = await client.connect(TARGET, { reuse: true });
  assertEquals([second.reused, transport.conns.length, closed()], [false, 2, ["peer"]]);
  second.close();
});

test("a tunnel whose peer ends, speaks or resets while it is idle is closed at once", async () => {
  for (const act of ["end", "push", "reset"] as const) {
    const { client, transport, closed } = setUp();
    const conn = await client.connect(TARGET, { reuse: true });
    const fake = transport.conns[0]!;
    const points = transport.points;
    conn.release();
    assertEquals([transport.points, client.stats().idle], [points + 1, 1], "the watch began");
    await Promise.resolve();
    const gone = new Promise<void>((resolve) => fake.onChange = () => fake.closed && resolve());
    act === "push" ? fake.push(1) : fake[act]();
    await gone;
    assertEquals([client.stats().idle, closed(), transport.open], [0, ["peer"], 0]);
  }
});

test("per-call credentials share no tunnel with others: neither the proxy's own, nor none, nor another name", async () => {
  const { client, transport } = setUp();
  const kinds = [undefined, null, { username: "a" }, { username: "a", password: "b" }, { username: "ab" }];
  const connect = (credentials: typeof kinds[number]) =>
    client.connect(TARGET, { reuse: true, ...(credentials !== undefined && { credentials }) });
  for (const credentials of kinds) (await connect(credentials)).release();
  assertEquals([transport.conns.length, client.stats().idle], [5, 5]);
  for (const credentials of kinds) {
    const conn = await connect(credentials);
    assertEquals(conn.reused, true);
    conn.close();
  }
  assertEquals(transport.conns.length, 5);
});

test("detach() hands over the runtime's socket, which the client counts no longer", async () => {
  const { client, transport, closed } = setUp();
  const conn = await client.connect(TARGET, { reuse: true });
  transport.conns[0]!.push(1, 2);
  const { socket, head } = conn.detach();
  assertStrictEquals(socket, transport.conns[0]);
  assertEquals([...head], [1, 2]);
  assertEquals([closed(), client.stats().inUse, socket.closes], [["detached"], 0, 0]);
  await assertRejects(() => conn.read(new Uint8Array(1)), ClosedError, "it was detached");
  conn.close();
  conn.release();
  await client.close();
  assertEquals(socket.closes, 0);
});

test("detach() refuses a tunnel that is reused, busy, ended or without a socket, and leaves it as it is", async () => {
  const { client, transport } = setUp();
  const released = await client.connect(TARGET, { reuse: true });
  released.release();
  const reused = await client.connect(TARGET, { reuse: true });
  assertThrows(() => reused.detach(), TypeError, "it was used before");
  reused.close();
  const reading = await client.connect(TARGET);
  const read = reading.read(new Uint8Array(1));
  assertThrows(() => reading.detach(), TypeError, "a read or a write is pending");
  transport.conns.at(-1)!.end();
  assertEquals(await read, null);
  assertThrows(() => reading.detach(), TypeError, "it has ended");
  reading.close();
  const without: Transport = {
    connect: async (to, options) => Object.assign(await transport.connect(to, options), { detach: undefined }),
  };
  const bare = await new Socks5Client("socks5h://a", { transport: without }).connect(TARGET);
  assertThrows(() => bare.detach(), TypeError, "no socket");
  assertEquals(await bare.write(bytes("x")), 1);
  bare.close();
});

test("readable reads nothing before it is asked, gives every byte, and its end closes nothing", async () => {
  const { client, transport } = setUp();
  const conn = await client.connect(TARGET);
  const points = transport.points;
  const { readable } = conn;
  assertStrictEquals(conn.readable, readable);
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(transport.points, points);
  transport.conns[0]!.push(...bytes("banner"));
  transport.conns[0]!.end();
  const chunks: number[] = [];
  for await (const chunk of readable) chunks.push(...chunk);
  assertEquals(text(Uint8Array.from(chunks)), "banner");
  assertEquals([client.stats().inUse, await conn.write(bytes("still"))], [1, 5]);
  conn.close();
});

test("readable gives a BYOB reader its own buffer", async () => {
  const { client, transport } = setUp();
  const conn = await client.connect(TARGET);
  transport.conns[0]!.push(1, 2, 3);
  const reader = conn.readable.getReader({ mode: "byob" });
  const { value } = await reader.read(new Uint8Array(2));
  assertEquals([...value!], [1, 2]);
  await reader.cancel();
  assertEquals(transport.open, 0);
});

test("readable ends with ClosedError when the tunnel breaks", async () => {
  const { client, transport } = setUp();
  const conn = await client.connect(TARGET);
  transport.conns[0]!.push(1);
  transport.conns[0]!.reset();
  const reader = conn.readable.getReader();
  assertEquals([...(await reader.read()).value!], [1]);
  await assertRejects(() => reader.read(), ClosedError);
});

test("cancelling readable closes, closing writable ends the writing side, aborting it closes", async () => {
  const { client, transport } = setUp();
  const first = await client.connect(TARGET);
  await first.readable.cancel();
  assertEquals(transport.conns[0]!.closed, true);
  const second = await client.connect(TARGET);
  const writer = second.writable.getWriter();
  await writer.write(bytes("hi"));
  await writer.close();
  assertEquals([transport.conns[1]!.shut, transport.conns[1]!.closed], [true, false]);
  second.close();
  const third = await client.connect(TARGET);
  await third.writable.abort();
  assertEquals([transport.conns[2]!.closed, client.stats().inUse], [true, 0]);
});

test("Symbol.dispose closes and never releases", async () => {
  const { client, transport } = setUp();
  const conn = await client.connect(TARGET, { reuse: true });
  conn[Symbol.dispose]();
  assertEquals([client.stats().idle, transport.open], [0, 0]);
});

test("close() of the client ends a tunnel in use: its I/O says so", async () => {
  const { client, transport, closed } = setUp();
  const conn = await client.connect(TARGET);
  const reading = conn.read(new Uint8Array(1)).catch((error: unknown) => error);
  await client.close();
  const error = await reading;
  assertInstanceOf(error, ClosedError);
  assertEquals(error.code, "SOCKS5_CLIENT_CLOSED");
  const late = await assertRejects(() => conn.write(bytes("x")), ClosedError);
  assertEquals(late.code, "SOCKS5_CLIENT_CLOSED");
  assertEquals([closed(), transport.open], [["client"], 0]);
});

for (const what of ["fin", "byte", "rst"] as const) {
  test(`a released tunnel with a ${what} in the kernel, not yet told by the runtime, is not handed out`, async () => {
    const child = startModule(PROXY);
    const port = Number(await child.says());
    const client = new Socks5Client({ hostname: "127.0.0.1", port });
    try {
      const first = await client.connect(TARGET, { reuse: true });
      await first.write(bytes(what));
      first.release();
      // No turn of the loop: the runtime cannot tell. A table that changes while it is read may leave out a row, and a
      // byte that the watch has taken already is in no table.
      const end = performance.now() + 1_000;
      for (let seen = 0; seen < 10 && performance.now() < end;) seen = hasCome(what, port) ? seen + 1 : 0;
      const second = await client.connect(TARGET, { reuse: true });
      assertEquals(second.reused, false);
      second.close();
    } finally {
      await client.close();
      await child.kill();
    }
  }, { skip: quick || !existsSync("/proc/net/tcp") && "there is no /proc to look into" });
}

// a proxy and target: the third message says what is to come
const PROXY = `
import { createServer } from "node:net";
const answers = [[5, 0], [5, 0, 0, 1, 0, 0, 0, 0, 0, 0]];
const server = createServer((socket) => {
  let n = 0;
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    const what = chunk.toString();
    if (n < 2) socket.write(Uint8Array.from(answers[n++]));
    else if (what === "fin") socket.end();
    else if (what === "byte") socket.write("x");
    else socket.resetAndDestroy();
  });
}).listen(0, "127.0.0.1", () => console.log(server.address().port));`;

/** Whether it shows in the kernel's table of our connection to `port`. */
function hasCome(what: "fin" | "byte" | "rst", port: number): boolean {
  const CLOSE_WAIT = "08";
  const remote = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const rows = readFileSync("/proc/net/tcp", "utf8").split("\n").map((row) => row.trim().split(/\s+/));
  const ours = rows.find((row) => row[2] === remote);
  if (what === "fin") return ours?.[3] === CLOSE_WAIT;
  return what === "byte" ? ours !== undefined && !ours[4]!.endsWith(":00000000") : ours === undefined;
}

test("the peer's end does not cut off what is still being written, nor our own end", async () => {
  const { conn, peer } = await openTunnel();
  const all = new Uint8Array(8 << 20).fill(7);
  const writing = conn.write(all);
  const closing = conn.closeWrite();
  peer.end();
  assertEquals(await conn.read(new Uint8Array(1)), null);
  assertEquals(await writing, all.length);
  await closing;
  await peer.fin();
  assertEquals((await peer.received(all.length)).length, all.length);
  await peer.close();
});

test("after a failed write every other says why, and so does closeWrite()", async () => {
  const { client, transport } = setUp();
  const conn = await client.connect(TARGET);
  transport.conns[0]!.reset();
  for (const act of [() => conn.write(bytes("x")), () => conn.write(bytes("y")), () => conn.closeWrite()]) {
    assertEquals((await assertRejects(act, ClosedError)).code, "SOCKS5_CONN_RESET");
  }
  conn.close();
});

test("a tunnel that has ended and then fails to write gives its place back by itself", async () => {
  const { client, transport } = setUp();
  const conn = await client.connect(TARGET);
  transport.conns[0]!.end();
  assertEquals(await conn.read(new Uint8Array(1)), null);
  transport.conns[0]!.write = () => Promise.reject(new Error("EPIPE"));
  await assertRejects(() => conn.write(bytes("x")), ClosedError);
  assertEquals([client.stats().inUse, transport.open], [0, 0]);
});

test("read() refuses what is no Uint8Array and goes on", async () => {
  const { client, transport } = setUp();
  const conn = await client.connect(TARGET);
  for (const wrong of [[0, 0], new ArrayBuffer(5), null, "text"]) {
    await assertRejects(() => conn.read(wrong as unknown as Uint8Array), TypeError, "must be a Uint8Array and is");
  }
  transport.conns[0]!.push(1);
  assertEquals(await conn.read(new Uint8Array(5)), 1);
  conn.close();
});

test("a program that leaves an idle tunnel and does not close its client ends by itself", async () => {
  const server = await listen();
  const child = startModule(`
    import { Socks5Client } from ${JSON.stringify(new URL("../../mod.ts", import.meta.url).href)};
    const client = new Socks5Client(${JSON.stringify(server.endpoint)});
    (await client.connect("${TARGET}", { reuse: true })).release();
    console.log(client.stats().idle);`);
  const peer = await child.meanwhile(server.accepted());
  await child.meanwhile(peer.received(GREETING));
  await peer.write(Uint8Array.of(5, 0));
  await child.meanwhile(peer.received(GREETING + REQUEST));
  await peer.write(Uint8Array.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
  assertEquals(await child.ended, { code: 0, written: "1\n" });
  await server.close();
}, { skip: quick });

test("a banner glued to the reply is read first, by read() and by readable", async () => {
  for (const how of ["read", "readable"] as const) {
    const transport = new FakeTransport((conn, written) => {
      if (written.length === 3) conn.push(5, 0);
      else conn.push(5, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...bytes("220 hello"));
    });
    const conn = await new Socks5Client("socks5://proxy", { transport }).connect(TARGET);
    transport.conns[0]!.end();
    const chunks: number[] = [];
    if (how === "read") chunks.push(...await readAll(conn, 4));
    else for await (const chunk of conn.readable) chunks.push(...chunk);
    assertEquals(text(Uint8Array.from(chunks)), "220 hello");
    conn.close();
  }
});
