import { assert, assertEquals, assertGreater, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { createSocket } from "node:dgram";
import {
  type Association,
  ClosedError,
  ProxyError,
  Socks5Client,
  type Socks5Error,
  type Socks5Options,
  TargetError,
  TimeoutError,
  type Transport,
} from "../../mod.ts";
import { nodeTransport } from "../../adapters/node/mod.ts";
import { runtimeTransport } from "../../adapters/runtime.ts";
import { bytes, text } from "../support/contract.ts";
import { createGate, encodeReply } from "../../testing/mod.ts";
import type { TestProxy, TestProxyOptions } from "../../testing/mod.ts";
import { failure, withProxy } from "../support/stage.ts";
import { noIpv6 } from "../support/targets.ts";
import { test } from "../support/test.ts";
import { startUdpEcho, type UdpTarget, until } from "../support/udp_targets.ts";

type Stage = { association: Association; echo: UdpTarget; proxy: TestProxy; client: Socks5Client };

/** Runs `use` with an association through a mock proxy, and an echo behind it. */
async function withAssociation(
  options: TestProxyOptions,
  use: (stage: Stage) => Promise<void>,
  clientOptions: Socks5Options = {},
): Promise<void> {
  const echo = await startUdpEcho();
  try {
    await withProxy({ udp: {}, ...options }, async (proxy) => {
      const client = new Socks5Client(proxy.url, { retry: 0, ...clientOptions });
      try {
        await use({ association: await client.associate(), echo, proxy, client });
      } finally {
        await client.close();
      }
    });
  } finally {
    await echo.close();
  }
}

async function assertEchoes({ association, echo }: Stage, said: string): Promise<void> {
  await association.send(bytes(said), echo.address);
  const answer = await association.receive();
  assertEquals([text(answer!.data), answer!.source], [said, { hostname: "127.0.0.1", port: echo.port }]);
}

test("associate() sends and receives, with the header of RFC 1928, and asks for 0.0.0.0:0", async () => {
  const received: Uint8Array[] = [];
  const ports: number[] = [];
  await withAssociation({ udp: { received, ports } }, async (stage) => {
    const { association, echo, proxy } = stage;
    await assertEchoes(stage, "ping");
    await assertEchoes(stage, "");
    assertEquals([...received[0]!], [0, 0, 0, 1, 127, 0, 0, 1, echo.port >> 8, echo.port & 0xff, ...bytes("ping")]);
    assertEquals(proxy.connections[0]!.request, { cmd: 3, atyp: 1, hostname: "0.0.0.0", port: 0 });
    assertEquals(association.proxy, `127.0.0.1:${proxy.port}`);
    assertEquals(association.relay, { hostname: "127.0.0.1", port: ports[0]! });
    assertEquals([association.dropped, association.ignored], [0, 0]);
    association.close();
    await proxy.until(() => proxy.open === 0);
  });
});

test("the largest datagram goes there and back, and what is a byte longer is a RangeError", async () => {
  await withAssociation({}, async ({ association, echo }) => {
    const most = association.maxDatagram(echo.address);
    assertEquals(most, 65_497);
    assertEquals(association.maxDatagram("[::1]:53"), 65_485);
    assertEquals(association.maxDatagram("example.com:53"), 65_507 - 7 - 11);
    const data = new Uint8Array(most).map((_, i) => i);
    await association.send(data, echo.address);
    assertEquals((await association.receive())?.data, data);
    await assertRejects(() => association.send(new Uint8Array(most + 1), echo.address), RangeError, "up to 65497");
  });
});

test("what send() is given is checked before it is sent", async () => {
  const received: Uint8Array[] = [];
  await withAssociation({ udp: { received } }, async (stage) => {
    const { association } = stage;
    await assertRejects(() => association.send(bytes("x"), "example.com"), TypeError, "the port is missing");
    await assertRejects(() => association.send(bytes("x"), "example.com:0"), RangeError, "1 to 65535");
    await assertRejects(() => association.send(bytes("x"), { path: "/x" }), TypeError, "unix socket");
    await assertRejects(() => association.send("x" as unknown as Uint8Array, "a.test:1"), TypeError, "a Uint8Array");
    assertThrows(() => association.maxDatagram("nowhere"), TypeError);
    const data = bytes("before");
    const sending = association.send(data, stage.echo.address);
    data.fill(0);
    await sending;
    assertEquals(text((await association.receive())!.data), "before");
    assertEquals(received.length, 1);
  });
});

test("names go to the proxy, which answers with an address", async () => {
  await using echo = await startUdpEcho();
  await withAssociation({ udp: { rules: { "dns.example:53": echo } } }, async ({ association }) => {
    await association.send(bytes("?"), "DNS.example:53");
    assertEquals((await association.receive())?.source, { hostname: "127.0.0.1", port: echo.port });
  });
});

test('with dns: "local" no name goes to the proxy', async () => {
  const received: Uint8Array[] = [];
  const transport: Transport = {
    ...runtimeTransport,
    lookup: (name) => name === "known.test" ? Promise.resolve(["127.0.0.1"]) : Promise.reject(new Error("ENOTFOUND")),
  };
  await withAssociation({ udp: { received } }, async ({ association, echo }) => {
    const data = bytes("?");
    const sending = association.send(data, `known.test:${echo.port}`);
    data.fill(0);
    await sending;
    assertEquals(text((await association.receive())!.data), "?");
    const error = await failure(association.send(bytes("?"), "unknown.test:53"));
    assertInstanceOf(error, TargetError);
    assertEquals([error.code, error.phase, error.target], ["SOCKS5_TARGET_NOT_FOUND", "lookup", "unknown.test:53"]);
    assertEquals(received.length, 1);
  }, { dns: "local", transport });
});

const noise: [what: string, wrong: (right: Uint8Array) => { bytes: Uint8Array; stranger?: boolean }][] = [
  ["a fragment", (right) => ({ bytes: right.with(2, 1) })],
  ["from another port of the relay's host", (right) => ({ bytes: right, stranger: true })],
  ["cut off in the header", (right) => ({ bytes: right.subarray(0, 9) })],
  ["an unknown ATYP", (right) => ({ bytes: right.with(3, 9) })],
  ["empty", () => ({ bytes: new Uint8Array() })],
];

for (const [what, wrong] of noise) {
  test(`a datagram is ignored and counted: ${what}`, async () => {
    const answer = (right: Uint8Array) => [wrong(right), { bytes: right }];
    await withAssociation({ udp: { answer } }, async (stage) => {
      await assertEchoes(stage, "one");
      await until(() => stage.association.ignored === 1);
      await assertEchoes(stage, "two");
      await until(() => stage.association.ignored === 2);
    });
  });
}

test("a datagram from another host with the port of the relay is ignored", async () => {
  const clients: number[] = [];
  await withAssociation({ udp: { clients } }, async (stage) => {
    const { association } = stage;
    const stranger = createSocket("udp4");
    await new Promise<void>((resolve) => stranger.bind(association.relay.port, "127.0.0.2", resolve));
    try {
      await assertEchoes(stage, "one");
      stranger.send(Uint8Array.of(0, 0, 0, 1, 127, 0, 0, 1, 0, 1, 0x78), clients[0]!, "127.0.0.1");
      await until(() => association.ignored === 1);
      await assertEchoes(stage, "two");
    } finally {
      await new Promise<void>((resolve) => void stranger.close(() => resolve()));
    }
  });
});

test("a source that is a domain, as v2ray has it, is a source", async () => {
  const answer = (right: Uint8Array) => [{ bytes: Uint8Array.of(0, 0, 0, 3, 1, 0x61, 0, 53, ...right.subarray(10)) }];
  await withAssociation({ udp: { answer } }, async ({ association, echo }) => {
    await association.send(bytes("x"), echo.address);
    assertEquals((await association.receive())?.source, { hostname: "a", port: 53 });
  });
});

test("receive() waits, gives up by its signal, takes none then, and is one at a time", async () => {
  await withAssociation({}, async (stage) => {
    const { association } = stage;
    const controller = new AbortController();
    const receiving = association.receive({ signal: controller.signal });
    await assertRejects(() => association.receive(), TypeError, "another receive is pending");
    controller.abort("enough");
    assertEquals(await receiving.catch((reason) => reason), "enough");
    await assertEchoes(stage, "kept");
    await assertRejects(() => association.receive({ signal: AbortSignal.abort(new Error("before")) }), Error, "before");
  });
});

test("what nobody receives is dropped when a mebibyte waits, the newest first, and counted", async () => {
  const answer = (right: Uint8Array) => Array.from({ length: 20 }, (_, i) => ({ bytes: right.with(10, i) }));
  await withAssociation({ udp: { answer } }, async (stage) => {
    const { association, echo } = stage;
    await association.send(new Uint8Array(60_000), echo.address);
    await association.receive();
    for (let said = 1; association.dropped === 0; said++) {
      await association.send(new Uint8Array(60_000), echo.address);
      await until(() => echo.received.length > said);
    }
    const waiting: number[] = [];
    while (waiting.length < 17) waiting.push((await association.receive())!.data[0]!);
    assert(waiting.length * (60_000 + 256) <= 1 << 20);
    assertEquals(waiting[0], 1); // the first went to whom waited; those that came first stayed
  });
});

test("the loop ends with the association, and leaving it closes nothing", async () => {
  await withAssociation({}, async (stage) => {
    const { association, echo } = stage;
    await association.send(bytes("a"), echo.address);
    for await (const { data } of association) {
      assertEquals(text(data), "a");
      break;
    }
    await assertEchoes(stage, "b");
    await association.send(bytes("c"), echo.address);
    const said: string[] = [];
    for await (const { data } of association) {
      said.push(text(data));
      association.close();
    }
    assertEquals(said, ["c"]);
  });
});

test("close() ends what waits with null, sending with ClosedError, and frees the place", async () => {
  await withAssociation({}, async ({ association, client, echo, proxy }) => {
    assertEquals(client.stats().inUse, 1);
    const receiving = association.receive();
    association.close();
    association.close();
    assertEquals([await receiving, await association.receive()], [null, null]);
    const error = await failure(association.send(bytes("x"), echo.address));
    assertInstanceOf(error, ClosedError);
    assertEquals([error.code, error.phase], ["SOCKS5_CONN_CLOSED", "transfer"]);
    assertEquals(client.stats().inUse, 0);
    await proxy.until(() => proxy.open === 0);
    assertEquals(proxy.connections[0]!.endedBy, "client");
  });
});

test("disposing of an association closes it", async () => {
  await withAssociation({}, async ({ association, client }) => {
    association[Symbol.dispose]();
    assertEquals(await association.receive(), null);
    const other = await client.associate();
    await other[Symbol.asyncDispose]();
    assertEquals(client.stats().inUse, 0);
  });
});

test("the end of the proxy's connection is null, after what came before", async () => {
  const gate = createGate();
  await withAssociation({
    faults: [[{ fault: "wait", at: "transfer", for: gate.pass }, { fault: "close", at: "transfer" }]],
  }, async (stage) => {
    const { association, echo, client } = stage;
    await association.send(bytes("last"), echo.address);
    await association.send(bytes("last"), echo.address);
    await association.receive();
    await until(() => echo.received.length === 2);
    await association.send(bytes("third"), echo.address);
    assertEquals(text((await association.receive())!.data), "last");
    assertEquals(text((await association.receive())!.data), "third");
    const waiting = association.receive();
    gate.open();
    assertEquals([await waiting, await association.receive()], [null, null]);
    const error = await failure(association.send(bytes("x"), echo.address));
    assertEquals([error.code, /the proxy closed the association/.test(error.message)], ["SOCKS5_CONN_CLOSED", true]);
    assertEquals(client.stats().inUse, 0);
  });
});

test("a reset of the proxy's connection is a ClosedError, with its cause", async () => {
  const gate = createGate();
  await withAssociation({
    faults: [[{ fault: "wait", at: "transfer", for: gate.pass }, { fault: "reset", at: "transfer" }]],
  }, async ({ association }) => {
    const waiting = failure(association.receive());
    gate.open();
    const errors = [
      await waiting,
      await failure(association.receive()),
      await failure(association.send(bytes("x"), "a.test:1")),
    ];
    assertEquals(errors.map(({ code }) => code), Array(3).fill("SOCKS5_CONN_RESET"));
    assert(errors.every((error) => error instanceof ClosedError && error.cause !== undefined));
  });
});

test("bytes that the proxy says on its connection are dropped", async () => {
  const chatter = { fault: "answer", at: "transfer", bytes: new Uint8Array(10_000).fill(5) } as const;
  await withAssociation({ faults: [chatter] }, (stage) => assertEchoes(stage, "still here"));
});

test("close() of the client ends associations with ClosedError", async () => {
  await withAssociation({}, async ({ association, client }) => {
    const waiting = failure(association.receive());
    await client.close();
    assertEquals((await waiting).code, "SOCKS5_CLIENT_CLOSED");
    assertEquals((await failure(association.send(bytes("x"), "a.test:1"))).code, "SOCKS5_CLIENT_CLOSED");
    assertEquals((await failure(client.associate())).code, "SOCKS5_CLIENT_CLOSED");
  });
});

test("a session that was ready becomes an association, which ends with it", async () => {
  const gate = createGate();
  const faults = [
    { fault: "wait", at: "transfer", for: gate.pass },
    { fault: "close", at: "transfer" },
  ] as const;
  await withAssociation({ faults: (it) => it.index === 0 ? undefined : faults }, async (stage) => {
    const { client, proxy } = stage;
    await until(() => client.stats().warm === 1);
    const association = await client.associate();
    assertEquals(proxy.connections[1]!.request?.cmd, 3);
    await assertEchoes({ ...stage, association }, "warm");
    const waiting = association.receive();
    gate.open();
    assertEquals(await waiting, null);
  }, { pool: { warm: 1 } });
});

test("an association takes a place of the pool", async () => {
  await withAssociation({}, async ({ association, client }) => {
    const waiting = client.associate();
    assertEquals((await failure(client.associate({ timeout: 50 }))).code, "SOCKS5_TIMEOUT");
    association.close();
    (await waiting).close();
  }, { pool: { maxOpen: 1 } });
});

// the reply of the proxy; what comes of it
const replies: [what: string, reply: (right: Uint8Array) => Uint8Array, outcome: "echoes" | RegExp][] = [
  ["0.0.0.0", (right) => right.with(4, 0).with(7, 0), "echoes"],
  ["::", (right) => encodeReply({ atyp: 4, bndAddr: new Uint8Array(16), bndPort: portIn(right) }), "echoes"],
  ["IPv4 in IPv6", (right) => mapped(right), "echoes"],
  ["port 0", () => encodeReply({ bndAddr: Uint8Array.of(127, 0, 0, 1) }), /named the port 0/],
  ["a name", () => encodeReply({ atyp: 3, bndAddr: Uint8Array.of(1, 0x61), bndPort: 1 }), /a host name/],
  ["multicast", (right) => right.with(4, 224), /no address of a host/],
];

for (const [what, reply, outcome] of replies) {
  test(`the proxy names its relay: ${what}`, async () => {
    const faults = { fault: "answer", at: "request", bytes: reply } as const;
    if (outcome === "echoes") return await withAssociation({ faults }, (stage) => assertEchoes(stage, "hello"));
    await withProxy({ udp: {}, faults }, async (proxy) => {
      const client = new Socks5Client(proxy.url, { retry: 0 });
      const error = await failure(client.associate());
      assertInstanceOf(error, ProxyError);
      assertEquals([error.code, error.phase, error.proxy], [
        "SOCKS5_PROXY_BAD_REPLY",
        "request",
        `127.0.0.1:${proxy.port}`,
      ]);
      assert(outcome.test(error.message), error.message);
      assertEquals(client.stats().inUse, 0);
      await client.close();
    });
  });
}

test("a relay on loopback of a proxy that is not is used only if the caller allows it", async () => {
  await using echo = await startUdpEcho();
  await withProxy({ udp: {} }, async (proxy) => {
    const transport = elsewhere("203.0.113.5");
    const client = new Socks5Client(proxy.url, { retry: 0, transport });
    const { code, message } = await failure(client.associate());
    assertEquals([code, /allowPrivateRelay/.test(message)], ["SOCKS5_PROXY_BAD_REPLY", true], message);
    const association = await client.associate({ allowPrivateRelay: true });
    await association.send(bytes("x"), echo.address);
    assertEquals(text((await association.receive())!.data), "x");
    await client.close();
  });
});

test("from: the address is named in the request, with the port from which datagrams come", async () => {
  const clients: number[] = [];
  await using echo = await startUdpEcho();
  await withProxy({ udp: { clients } }, async (proxy) => {
    const client = new Socks5Client(proxy.url, { retry: 0 });
    const association = await client.associate({ from: "127.0.0.1" });
    const { atyp, hostname, port } = proxy.connections[0]!.request!;
    assertEquals([atyp, hostname], [1, "127.0.0.1"]);
    await association.send(bytes("x"), echo.address);
    assertEquals(text((await association.receive())!.data), "x");
    assertEquals(clients, [port]);
    const { code, message } = await failure(client.associate({ from: "2001:db8::1" }));
    assertEquals([code, /cannot be reached from 2001:db8::1/.test(message)], ["SOCKS5_PROXY_BAD_REPLY", true], message);
    await client.close();
  });
});

test("a proxy on IPv6 has its relay there", async () => {
  await withAssociation({ hostname: "::1" }, async (stage) => {
    assertEquals(stage.association.relay.hostname, "::1");
    await assertEchoes(stage, "six");
  });
}, { skip: noIpv6 });

test("each transport has datagrams and tells where the proxy is", async () => {
  for (const transport of [undefined, nodeTransport]) {
    const faults = {
      fault: "answer",
      at: "request",
      bytes: (right: Uint8Array) => right.with(4, 0).with(7, 0),
    } as const;
    await using echo = await startUdpEcho();
    await withProxy({ udp: {}, faults }, async (proxy) => {
      const client = new Socks5Client(`socks5h://localhost:${proxy.port}`, { retry: 0, transport });
      const association = await client.associate();
      assertEquals(association.relay.hostname, "127.0.0.1");
      await association.send(bytes("x"), echo.address);
      assertEquals(text((await association.receive())!.data), "x");
      await client.close();
    });
  }
});

const refused: [what: string, make: () => Promise<unknown>, message: RegExp][] = [
  [
    "a chain",
    () => new Socks5Client("socks5h://a.test", { transport: new Socks5Client("socks5h://b.test") }).associate(),
    /no openDatagrams/,
  ],
  ["a unix socket", () => new Socks5Client("socks5h://localhost/run/x").associate(), /\/run\/x is a unix socket/],
  ["from that is a name", () => new Socks5Client("socks5h://a.test").associate({ from: "b.test" }), /Cannot use from/],
  [
    "allowPrivateRelay that is no boolean",
    () => new Socks5Client("socks5h://a.test").associate({ allowPrivateRelay: 1 as unknown as boolean }),
    /Cannot use allowPrivateRelay/,
  ],
];

for (const [what, make, message] of refused) {
  test(`associate() with ${what} is a TypeError`, async () => {
    const error = await make().catch((error: unknown) => error);
    assertInstanceOf(error, TypeError);
    assert(message.test(error.message), error.message);
  });
}

test("a proxy that refuses is a TargetError, and the next one is asked", async () => {
  await withProxy({}, async (other) => {
    const client = new Socks5Client(other.url, { retry: 0 });
    const error = await failure(client.associate());
    assertInstanceOf(error, TargetError);
    assertEquals(error.code, "SOCKS5_TARGET_BAD_COMMAND");
    await client.close();
  });
  await withProxy({ udp: {} }, async (proxy) => {
    const client = new Socks5Client(["socks5h://127.0.0.1:1", proxy.url], { retry: 0 });
    const association = await client.associate();
    assertEquals(association.proxy, `127.0.0.1:${proxy.port}`);
    await client.close();
  });
});

test("signal and timeout are for the setup: a silent proxy, an abort before, and none after", async () => {
  await withProxy(
    { udp: {}, faults: [{ fault: "silence", at: "request" }, { fault: "silence", at: "request" }] },
    async (proxy) => {
      const client = new Socks5Client(proxy.url, { retry: 0 });
      assertInstanceOf(await failure(client.associate({ timeout: 100 })), TimeoutError);
      const controller = new AbortController();
      const associating = client.associate({ signal: controller.signal }).catch((reason) => reason);
      await proxy.until(() => proxy.connections[1]?.step === "request");
      controller.abort("no more");
      assertEquals(await associating, "no more");
      assertEquals(await client.associate({ signal: AbortSignal.abort("never") }).catch((reason) => reason), "never");
      const later = new AbortController();
      const association = await client.associate({ signal: later.signal });
      later.abort();
      const waiting = association.receive();
      association.close();
      assertEquals(await waiting, null);
      await client.close();
    },
  );
});

const withCode = (code: string) => Object.assign(new Error("not here"), { code });
const sockets: [what: string, open: NonNullable<Transport["openDatagrams"]>, code: string][] = [
  ["is not permitted", () => Promise.reject(withCode("EACCES")), "SOCKS5_LOCAL_NOT_PERMITTED"],
  ["there is no file for", () => Promise.reject(withCode("EMFILE")), "SOCKS5_LOCAL_FAILED"],
  ["never comes, until the time is up", () => new Promise(() => {}), "SOCKS5_TIMEOUT"],
];

for (const [what, openDatagrams, code] of sockets) {
  for (const from of [undefined, "127.0.0.1"]) {
    test(`a socket that ${what}${from ? ", before the request" : ""}: nothing stays open`, async () => {
      await withProxy({ udp: {} }, async (proxy) => {
        const client = new Socks5Client(proxy.url, { retry: 0, transport: { ...runtimeTransport, openDatagrams } });
        const error: Socks5Error = await failure(client.associate({ timeout: 200, from }));
        assertEquals([error.code, error.phase], [code, "dial"]);
        assertEquals([client.stats().inUse, client.stats().opening], [0, 0]);
        await client.close();
      });
    });
  }
}

test("a socket that comes after close() is closed, and one that breaks ends the association", async () => {
  let closes = 0;
  let give = (_: void) => {};
  let handlers: Parameters<NonNullable<Transport["openDatagrams"]>>[1];
  const late = new Promise<void>((resolve) => give = resolve);
  const transport: Transport = {
    ...runtimeTransport,
    async openDatagrams(_, told) {
      handlers = told;
      await late;
      return { port: 1, send: () => Promise.reject(new Error("EPERM")), close: () => void closes++ };
    },
  };
  await withProxy({ udp: {} }, async (proxy) => {
    const client = new Socks5Client(proxy.url, { retry: 0, transport });
    const associating = failure(client.associate());
    await until(() => handlers !== undefined);
    await client.close();
    assertEquals((await associating).code, "SOCKS5_CLIENT_CLOSED");
    give();
    await until(() => closes === 1);
    const other = new Socks5Client(proxy.url, { retry: 0, transport });
    const association = await other.associate();
    const { code, message } = await failure(association.send(bytes("x"), "a.test:1"));
    assertEquals([code, /did not take the datagram \(EPERM\)/.test(message)], ["SOCKS5_PROXY_UNREACHABLE", true]);
    handlers!.onError(new Error("broken"));
    assertEquals((await failure(association.receive())).code, "SOCKS5_CONN_RESET");
    assertEquals(closes, 2);
    await other.close();
  });
});

test("a socket that breaks before the relay is known: associate() rejects, and nothing stays open", async () => {
  for (const from of [undefined, "127.0.0.1"]) {
    let closes = 0;
    const cause = new Error("broken");
    const transport: Transport = {
      ...runtimeTransport,
      openDatagrams(_, { onError }) {
        onError(cause);
        return Promise.resolve({ port: 1, send: () => Promise.resolve(), close: () => void closes++ });
      },
    };
    await withProxy({ udp: {} }, async (proxy) => {
      const client = new Socks5Client(proxy.url, { retry: 0, transport });
      const error = await failure(client.associate({ from }));
      assertInstanceOf(error, ClosedError);
      assertEquals([error.code, error.cause], ["SOCKS5_CONN_RESET", cause]);
      assert(error.message.includes("the datagram socket broke"), error.message);
      assertGreater(closes, 0);
      assertEquals(client.stats().inUse, 0);
      await proxy.until(() => proxy.open === 0);
      await client.close();
    });
  }
});

/** The runtime's transport, whose connections say that the proxy is somewhere else. */
function elsewhere(remoteAddress: string): Transport {
  return {
    ...runtimeTransport,
    async connect(to, options) {
      const conn = await runtimeTransport.connect(to, options);
      return {
        remoteAddress,
        read: (p) => conn.read(p),
        write: (p) => conn.write(p),
        closeWrite: () => conn.closeWrite(),
        close: () => conn.close(),
      };
    },
  };
}

function portIn(reply: Uint8Array): number {
  return reply.at(-2)! << 8 | reply.at(-1)!;
}

function mapped(reply: Uint8Array): Uint8Array {
  const bndAddr = new Uint8Array(16).fill(0xff, 10, 12);
  bndAddr.set(reply.subarray(4, 8), 12);
  return encodeReply({ atyp: 4, bndAddr, bndPort: portIn(reply) });
}
