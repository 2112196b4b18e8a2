import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "@std/assert";
import { connect, type Socket } from "node:net";
import { ClosedError, type RequestEvent, Socks5Client, type Socks5Options, TargetError } from "../../mod.ts";
import { bytes, readFull, text } from "../support/contract.ts";
import { FakeTransport, socks5 } from "../support/fake.ts";
import * as testing from "../../testing/mod.ts";
import { dante } from "../support/real_proxies.ts";
import { withClient, withRealProxy } from "../support/real_stage.ts";
import { failure, withProxy } from "../support/stage.ts";
import { HOSTILE_NAMES } from "../support/hostile_names.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";
import { ofRequests } from "../support/request_events.ts";

type Bound = { address: { hostname: string; port: number } };

const PEER = "127.0.0.1:0";

/** Runs `use` with a client of a mock proxy; in the end nothing is open. */
function withBinder(
  options: testing.TestProxyOptions,
  use: (client: Socks5Client, proxy: testing.TestProxy) => Promise<void>,
  more: Socks5Options = {},
): Promise<void> {
  return withProxy(options, async (proxy) => {
    const client = new Socks5Client(proxy.url, { retry: 0, ...more });
    await use(client, proxy);
    const { opening, inUse, idle, waiting } = client.stats();
    assertEquals([opening, inUse, idle, waiting], [0, 0, 0, 0]);
    await proxy.until(() => proxy.open === 0);
    await client.close();
  });
}

/** A peer that connects to where it was told. */
async function comes({ address }: Bound): Promise<Socket> {
  const peer = connect(address.port, address.hostname);
  peer.on("error", () => {});
  await new Promise((resolve) => peer.once("connect", resolve));
  return peer;
}

const gone = (peer: Socket) => new Promise((resolve) => peer.once("close", resolve).resume());

test("bind() gives the address for the peer, and accept() a tunnel to who came there", () =>
  withBinder({}, async (client, proxy) => {
    const binding = await client.bind("ftp.example:21");
    assertEquals([binding.target, binding.proxy], ["ftp.example:21", `127.0.0.1:${proxy.port}`]);
    assertEquals(proxy.connections[0]!.request, { cmd: 2, atyp: 3, hostname: "ftp.example", port: 21 });
    assertEquals(client.stats().inUse, 1);
    const accepting = binding.accept();
    const peer = await comes(binding);
    const conn = await accepting;
    assertEquals(conn.peer, { hostname: "127.0.0.1", port: peer.localPort });
    assertEquals(conn.boundAddress, binding.address);
    assertEquals([conn.target, conn.reused], ["ftp.example:21", false]);
    await conn.write(bytes("ping"));
    const [said] = await new Promise<Uint8Array[]>((resolve) => peer.once("data", (it: Uint8Array) => resolve([it])));
    assertEquals(text(said!), "ping");
    peer.end("pong");
    assertEquals(await new Response(conn.readable).text(), "pong");
    const over = gone(peer);
    conn.release(); // nobody else can use it
    assertEquals(client.stats().idle, 0);
    await over;
  }));

test("a peer that comes and speaks before accept() loses no byte, however the replies are cut", async () => {
  const add = (right: Uint8Array) => Uint8Array.of(...right, ...bytes("hel"));
  const glued = { fault: "answer", at: "arrival", bytes: add } as const;
  for (const fault of [glued, { fault: "slow", at: ["request", "arrival"] } as const]) {
    await withBinder({ faults: [fault] }, async (client) => {
      const binding = await client.bind(PEER);
      const peer = await comes(binding);
      peer.write(fault === glued ? "lo" : "hello");
      const conn = await binding.accept();
      assertEquals(text(await readFull(conn, 5)), "hello");
      const over = gone(peer);
      conn.close();
      await over;
    });
  }
});

test("the detached socket of an accepted tunnel is the caller's", () =>
  withBinder({}, async (client) => {
    const binding = await client.bind(PEER);
    const peer = await comes(binding);
    const conn = await binding.accept();
    const { socket } = conn.detach() as { socket: { close?(): void; destroy?(): void; end?(): void } };
    assertEquals(client.stats().inUse, 0);
    const over = gone(peer);
    if (socket.destroy) socket.destroy();
    else if (socket.close) socket.close();
    else socket.end?.();
    await over;
  }));

for (const [said, addr] of [["0.0.0.0", [0, 0, 0, 0]], ["::", new Array(16).fill(0)]] as const) {
  test(`a proxy that says ${said} means its own host`, () => {
    const bndAddr = Uint8Array.from(addr);
    const answer = (right: Uint8Array) =>
      testing.encodeReply({ atyp: addr.length === 4 ? 1 : 4, bndAddr, bndPort: right[8]! << 8 | right[9]! });
    return withBinder({ faults: [{ fault: "answer", at: "request", bytes: answer }] }, async (client) => {
      const binding = await client.bind(PEER);
      assertEquals(binding.address.hostname, "127.0.0.1");
      const peer = await comes(binding);
      const conn = await binding.accept();
      const over = gone(peer);
      conn.close();
      await over;
    });
  });
}

test("the errors of bind() name it", () =>
  withBinder({ rules: { "a.example:1": { rep: 2 } } }, async (client, proxy) => {
    const error = await failure(client.bind("a.example:1"));
    assertEquals(
      error.message,
      `Cannot bind for a.example:1 through 127.0.0.1:${proxy.port}: not allowed by the rules of the proxy (REP 02)`,
    );
    assertInstanceOf(error, TargetError);
    assertEquals([error.code, error.phase], ["SOCKS5_TARGET_NOT_ALLOWED", "request"]);
    assertEquals(client.stats().failures, 1);
  }));

test("bind() fails over as connect() does, and spends a session that is ready", async () => {
  const refusing = await testing.createTestProxy({ faults: { fault: "refuse", rep: 7 } });
  await withBinder({}, async (_, proxy) => {
    const events: RequestEvent[] = [];
    const client = new Socks5Client([refusing.url, proxy.url], {
      retry: 0,
      onEvent: ofRequests((event) => events.push(event)),
    });
    const binding = await client.bind(PEER);
    binding.close();
    assertEquals(events.map(({ type }) => type), ["attempt", "failed", "attempt", "connected", "closed"]);
    await client.close();
  });
  await refusing.close();
  await withBinder({}, async (client, proxy) => {
    (await client.connect(`127.0.0.1:${proxy.port}`)).close();
    await proxy.until(() => proxy.connections.some((it) => it.step === "negotiate" && it.open));
    await until(() => client.stats().warm === 1);
    const before = proxy.connections.length;
    const binding = await client.bind(PEER);
    assertEquals(proxy.connections.slice(0, before).filter((it) => it.request?.cmd === 2).length, 1);
    binding.close();
    await client.close();
  }, { pool: { warm: 1 } });
});

test("a pipelining client binds in sequence", () =>
  withBinder({}, async (client, proxy) => {
    (await client.bind(PEER)).close();
    assertEquals(proxy.connections.map(({ received }) => received.length), [2]);
  }, { handshake: "pipelined" }));

test("a bind waits for a place, and its tunnel holds it", () =>
  withBinder({}, async (client) => {
    const first = await client.bind(PEER);
    const second = client.bind(PEER);
    assertEquals(client.stats().waiting, 1);
    first.close();
    (await second)[Symbol.dispose]();
  }, { pool: { maxOpen: 1 } }));

/** What goes wrong with the second reply: the code, and what the message says. */
const FAULTS: [what: string, fault: testing.TestFault, code: string, message: string][] = [
  [
    "refuses",
    { fault: "answer", at: "arrival", bytes: testing.encodeReply({ rep: 6 }) },
    "SOCKS5_TARGET_TTL_EXPIRED",
    "TTL expired (REP 06)",
  ],
  [
    "is cut after REP",
    { fault: "cut", at: "arrival", length: 2 },
    "SOCKS5_TARGET_NO_REPLY",
    "the proxy closed the connection before it replied",
  ],
  [
    "is cut in the address",
    { fault: "cut", at: "arrival", length: 9 },
    "SOCKS5_TARGET_NO_REPLY",
    "the proxy closed the connection before it replied",
  ],
  [
    "is none",
    { fault: "close", at: "arrival" },
    "SOCKS5_TARGET_NO_REPLY",
    "the proxy closed the connection before it replied",
  ],
  [
    "is a reset",
    { fault: "reset", at: "arrival" },
    "SOCKS5_TARGET_NO_REPLY",
    "the proxy broke the connection before it replied",
  ],
  [
    "is of another protocol",
    { fault: "answer", at: "arrival", bytes: bytes("HTTP/1.1"), then: "silence" },
    "SOCKS5_PROXY_BAD_REPLY",
    'the reply of the proxy is malformed ("HTTP/1.1", 48 54)',
  ],
];

test("an address or a peer that is no host name is a bad reply, and nothing stays open", async () => {
  for (const name of HOSTILE_NAMES) {
    const addr = Array.from(name, (char) => char.charCodeAt(0));
    const reply = Uint8Array.of(5, 0, 0, 3, addr.length, ...addr, 0, 80);
    const answer = { fault: "answer", bytes: reply, then: "silence" } as const;
    await withBinder({ faults: { ...answer, at: "request" } }, async (client) => {
      assertEquals((await failure(client.bind(PEER))).code, "SOCKS5_PROXY_BAD_REPLY", name);
    });
    await withBinder({ faults: { ...answer, at: "arrival" } }, async (client) => {
      const binding = await client.bind(PEER);
      const peer = await comes(binding);
      const over = gone(peer);
      assertEquals((await failure(binding.accept())).code, "SOCKS5_PROXY_BAD_REPLY", name);
      peer.destroy();
      await over;
    });
  }
});

for (const [what, fault, code, message] of FAULTS) {
  test(`a second reply that ${what} is ${code}, and nothing stays open`, () =>
    withBinder({ faults: [fault] }, async (client, proxy) => {
      const binding = await client.bind(PEER);
      const peer = await comes(binding);
      const over = gone(peer);
      const error = await failure(binding.accept());
      assertEquals([error.code, error.phase], [code, "request"]);
      assertEquals(error.message, `Cannot accept from ${PEER} through 127.0.0.1:${proxy.port}: ${message}`);
      peer.destroy();
      await over;
    }));
}

test("accept() has a deadline and a signal of its own, and ends with its client", () =>
  withBinder({}, async (client, proxy) => {
    const late = await failure((await client.bind(PEER)).accept({ timeout: 20 }));
    assertEquals([late.code, late.phase], ["SOCKS5_TIMEOUT", "request"]);
    assertEquals(
      late.message,
      `Cannot accept from ${PEER} through 127.0.0.1:${proxy.port}: timed out after 20 ms, waiting for the peer to connect`,
    );
    const reason = new Error("enough");
    const controller = new AbortController();
    const aborted = (await client.bind(PEER)).accept({ signal: controller.signal });
    controller.abort(reason);
    assertStrictEquals(await aborted.catch((error) => error), reason);
    const before = (await client.bind(PEER)).accept({ signal: controller.signal });
    assertStrictEquals(await before.catch((error) => error), reason);
    const own = await failure((await client.bind(PEER, { timeout: 9_000 })).accept({ timeout: 0 }));
    assertEquals(own.code, "SOCKS5_TIMEOUT");
    assertEquals(client.stats().inUse, 0);
    const awaited = (await client.bind(PEER)).accept();
    const closing = client.close();
    assertEquals((await failure(awaited)).code, "SOCKS5_CLIENT_CLOSED");
    await closing;
  }));

test("accept() is for once, and not after close(); wrong arguments end nothing", () =>
  withBinder({}, async (client) => {
    const binding = await client.bind(PEER);
    await assertRejects(() => binding.accept({ timeout: -1 }), RangeError, "timeout");
    await assertRejects(() => binding.accept({ signal: 1 as unknown as AbortSignal }), TypeError, "signal");
    assertEquals(client.stats().inUse, 1);
    const accepting = binding.accept();
    await assertRejects(
      () => binding.accept(),
      TypeError,
      "Cannot accept from 127.0.0.1:0: accept() was called before",
    );
    binding.close();
    const error = await failure(accepting);
    assertInstanceOf(error, ClosedError);
    assertEquals(error.code, "SOCKS5_CONN_CLOSED");
    const closed = await client.bind(PEER);
    closed.close();
    assertEquals((await failure(closed.accept())).code, "SOCKS5_CONN_CLOSED");
  }));

test("closing the binding after accept() leaves the tunnel to who has it", () =>
  withBinder({}, async (client) => {
    const binding = await client.bind(PEER);
    const peer = await comes(binding);
    const conn = await binding.accept();
    binding.close();
    binding[Symbol.dispose]();
    peer.write("ping");
    assertEquals(text(await readFull(conn, 4)), "ping");
    assertEquals(client.stats().inUse, 1);
    const over = gone(peer);
    conn.close();
    await over;
  }));

test("close() in the moment in which the peer comes ends the binding, or comes too late: never a closed tunnel", async () => {
  const outcomes = new Set<boolean>();
  for (let turns = 0; turns < 12; turns++) {
    const good = socks5();
    const transport = new FakeTransport((conn, written) => {
      good(conn, written);
      if (written[1] === 2) conn.push(5, 0, 0, 1, 127, 0, 0, 1, 0, 9);
    });
    const client = new Socks5Client("socks5://a", { transport });
    const binding = await client.bind("192.0.2.1:9");
    const last = transport.points + 2; // the second reply takes two reads
    transport.onPassed = async (point) => {
      if (point !== last) return;
      for (let i = 0; i < turns; i++) await undefined;
      binding.close();
    };
    const outcome = await binding.accept().catch((error: unknown) => error);
    for (let i = 0; i < 20; i++) await undefined;
    const failed = outcome instanceof ClosedError;
    outcomes.add(failed);
    assertEquals([failed, client.stats().inUse], [failed, failed ? 0 : 1]);
    assertEquals(transport.open, failed ? 0 : 1);
    await client.close();
    assertEquals(transport.open, 0);
  }
  assertEquals(outcomes, new Set([true, false]));
});

test("wrong arguments of bind() open nothing", () =>
  withBinder({}, async (client, proxy) => {
    await assertRejects(() => client.bind("no port"), TypeError, "the port is missing");
    await assertRejects(() => client.bind("a.example:65536"), RangeError, "the port must be 0 to 65535");
    await assertRejects(() => client.bind(PEER, { timeout: NaN }), RangeError, "timeout");
    await assertRejects(() => client.bind({ path: "/x" }), TypeError, "unix socket");
    assertEquals(proxy.connections.length, 0);
  }));

test(
  "a real dante binds: both replies, and bytes both ways",
  () =>
    withRealProxy(dante, (proxy) =>
      withClient(proxy.url, { retry: 0 }, async (client) => {
        const binding = await client.bind("127.0.0.1:9");
        assertEquals(binding.address.hostname, "127.0.0.1");
        const peer = await comes(binding);
        const conn = await binding.accept();
        assertEquals(conn.peer, { hostname: "127.0.0.1", port: peer.localPort });
        peer.end("hello");
        assertEquals(await new Response(conn.readable).text(), "hello");
        const over = gone(peer);
        conn.close();
        await over;
        const alone = await client.bind("127.0.0.1:9");
        assertEquals((await failure(alone.accept({ timeout: 50 }))).code, "SOCKS5_TIMEOUT");
        assert(client.stats().inUse === 0);
      })),
  { skip: dante.missing },
);
