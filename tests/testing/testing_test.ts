import { assert, assertEquals, assertRejects } from "@std/assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectRaw, type RawClient } from "../support/raw_client.ts";
import * as testing from "../../testing/mod.ts";
import {
  createTestProxy,
  type TestFault,
  type TestFaults,
  type TestProxy,
  type TestProxyOptions,
  type TestStep,
} from "../../testing/mod.ts";
import * as targets from "../support/targets.ts";
import { test } from "../support/test.ts";

const ascii = (said: string): Uint8Array => new TextEncoder().encode(said);
const GREETING = Uint8Array.of(5, 1, 0);
const GREETING_WITH_PASSWORD = Uint8Array.of(5, 2, 0, 2);
const ALICE = Uint8Array.of(1, 5, ...ascii("alice"), 6, ...ascii("secret"));
const MALLORY = Uint8Array.of(1, 7, ...ascii("mallory"), 5, ...ascii("guess"));
const bytes = (...values: number[]): Uint8Array => Uint8Array.of(...values);
const SUCCESS = testing.encodeReply();
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

test("16 MiB go both ways at once, whole", async () => {
  const length = 16 << 20;
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
    const written = client.write(new Uint8Array(32 << 20));
    await proxy.until(() => proxy.connections[0]!.sent > 0);
    const outcome = await Promise.race([written.then(() => "written"), settled(() => proxy.connections[0]!.sent)]);
    assertEquals(outcome, "stopped");
    assert(proxy.connections[0]!.sent < 32 << 20);
    client.reset();
  });
});

/** What a client without a password gets to see when it says greeting and request, waiting for each answer. */
const faults: [name: string, fault: TestFault, seen: Uint8Array, ending: "end" | "reset" | "silence"][] = [
  ["silence after the accept", { fault: "silence", at: "accept" }, bytes(), "silence"],
  ["silence after the greeting", { fault: "silence", at: "negotiate" }, bytes(), "silence"],
  ["silence after the request", { fault: "silence", at: "request" }, bytes(5, 0), "silence"],
  ["a close after the accept", { fault: "close", at: "accept" }, bytes(), "end"],
  ["a close after the greeting", { fault: "close", at: "negotiate" }, bytes(), "end"],
  ["a close after the request", { fault: "close", at: "request" }, bytes(5, 0), "end"],
  ["a reset after the accept", { fault: "reset", at: "accept" }, bytes(), "reset"],
  ["a reset after the greeting", { fault: "reset", at: "negotiate" }, bytes(), "reset"],
  ["a reset after the request", { fault: "reset", at: "request" }, bytes(5, 0), "reset"],
  ["HTTP", { fault: "http" }, ascii("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), "end"],
  ["SOCKS4", { fault: "socks4" }, bytes(0, 0x5b, 0, 0, 0, 0, 0, 0), "end"],
  ["TLS", { fault: "tls" }, bytes(21, 3, 1, 0, 2, 2, 10), "end"],
  ["SSH", { fault: "ssh" }, ascii("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), "silence"],
  ["a method that was not offered", { fault: "method", method: 1 }, bytes(5, 1), "silence"],
  ["no acceptable method", { fault: "method", method: 0xff }, bytes(5, 255), "end"],
  ["a method reply cut", { fault: "cut", at: "negotiate", length: 1 }, bytes(5), "end"],
  ["a reply cut within BND.ADDR", { fault: "cut", at: "request", length: 6 }, bytes(5, 0, 5, 0, 0, 1, 0, 0), "end"],
  ["a reply cut and reset", { fault: "cut", at: "request", length: 3, then: "reset" }, bytes(5, 0, 5, 0, 0), "reset"],
  ["a refusal of two bytes", { fault: "short-refusal", rep: 5 }, bytes(5, 0, 5, 5), "end"],
  ["an unknown REP", { fault: "refuse", rep: 0x77 }, bytes(5, 0, ...testing.encodeReply({ rep: 0x77 })), "end"],
  [
    "a refusal and a reset",
    { fault: "refuse", rep: 5, then: "reset" },
    bytes(5, 0, ...testing.encodeReply({ rep: 5 })),
    "reset",
  ],
  ["a success and a close", { fault: "false-success", then: "close" }, bytes(5, 0, ...SUCCESS), "end"],
  ["a success and silence", { fault: "false-success", then: "silence" }, bytes(5, 0, ...SUCCESS), "silence"],
  ["a success and a reset", { fault: "false-success", then: "reset" }, bytes(5, 0, ...SUCCESS), "reset"],
  [
    "an unknown ATYP in a failure",
    { fault: "reply", reply: { rep: 1, atyp: 9 }, then: "close" },
    bytes(5, 0, ...testing.encodeReply({ rep: 1, atyp: 9 })),
    "end",
  ],
  [
    "garbage",
    { fault: "garbage", at: "negotiate" },
    bytes(...new Array(9).fill([0x9e, 0xff, 0xfe]).flat(), 0x9e).slice(-10),
    "end",
  ],
  ["another version", { fault: "wrong-version", at: "negotiate" }, bytes(4, 0), "silence"],
  [
    "words of one's own",
    { fault: "answer", at: "negotiate", bytes: "220 hello", then: "reset" },
    ascii("220 hello"),
    "reset",
  ],
  [
    "an answer that is made of the right one",
    { fault: "answer", at: "negotiate", bytes: (right) => right.toReversed(), then: "close" },
    bytes(0, 5),
    "end",
  ],
];

/** The step of a fault that has only one. */
const stepOf = (fault: TestFault): TestStep => {
  if ("at" in fault) return [fault.at ?? "negotiate"].flat()[0]!;
  if (fault.fault === "ssh") return "accept";
  return ["http", "socks4", "tls", "method"].includes(fault.fault) ? "negotiate" : "request";
};

for (const [name, fault, seen, ending] of faults) {
  test(`the proxy errs on demand: ${name}`, async () => {
    await withProxy({ faults: [fault] }, async (proxy) => {
      const at = stepOf(fault);
      const client = await connectRaw(proxy.endpoint).catch(() => undefined);
      // a reset that comes with the accept may show as a failure to connect
      if (!client) return assertEquals([at, ending], ["accept", "reset"]);
      const finished = client.finish();
      await client.write(GREETING);
      if (at === "request") {
        await client.until(2);
        await client.write(requestTo("127.0.0.1", 1));
      }
      if (ending === "silence") {
        await client.until(seen.length);
        await proxy.until(() => proxy.connections[0]?.step === at);
        client.close();
        assertEquals((await finished).bytes, seen);
      } else {
        assertEquals(await finished, { bytes: seen, ending });
        assertEquals(proxy.connections[0]!.endedBy, "proxy");
      }
    });
  });
}

test("faults of the authentication: silence, close, reset, any status, VER 5", async () => {
  const cases: [fault: TestFault, seen: Uint8Array, ending: string][] = [
    [{ fault: "close", at: "authenticate" }, bytes(5, 2), "end"],
    [{ fault: "reset", at: "authenticate" }, bytes(5, 2), "reset"],
    [{ fault: "refuse-password", status: 0xff }, bytes(5, 2, 1, 255), "end"],
    [{ fault: "cut", at: "authenticate", length: 1 }, bytes(5, 2, 1), "end"],
  ];
  await withProxy({ credentials, faults: cases.map(([fault]) => fault) }, async (proxy) => {
    for (const [_, bytes, ending] of cases) {
      const client = await connectRaw(proxy.endpoint);
      const finished = client.finish();
      await client.write(GREETING_WITH_PASSWORD);
      await client.until(2);
      await client.write(ALICE);
      assertEquals(await finished, { bytes, ending });
    }
  });
  const others: TestFault[] = [{ fault: "silence", at: "authenticate" }, {
    fault: "wrong-version",
    at: "authenticate",
    version: 5,
  }];
  await withProxy({ credentials, faults: others }, async (proxy) => {
    for (const status of [bytes(), bytes(5, 0)]) {
      const client = await connectRaw(proxy.endpoint);
      await client.write(GREETING_WITH_PASSWORD);
      await client.read(2);
      await client.write(ALICE);
      await proxy.until(() => proxy.connections.at(-1)!.step === "authenticate");
      assertEquals(await client.read(status.length), status);
      client.close();
    }
  });
});

test("tunnels work behind every odd but valid reply", async () => {
  const domain = (length: number) => Uint8Array.of(length, ...ascii("d".repeat(length)));
  const odd: [TestFaults, reply: Uint8Array][] = [
    [{ fault: "bound-domain", length: 0 }, testing.encodeReply({ atyp: 3, bndAddr: domain(0) })],
    [{ fault: "bound-domain", length: 255 }, testing.encodeReply({ atyp: 3, bndAddr: domain(255) })],
    [
      { fault: "reply", reply: { atyp: 4, bndAddr: new Uint8Array(16) } },
      testing.encodeReply({ atyp: 4, bndAddr: new Uint8Array(16) }),
    ],
    [{ fault: "reply", reply: { rsv: 7 } }, testing.encodeReply({ rsv: 7 })],
    [{ fault: "reply", reply: { atyp: 9 } }, testing.encodeReply({ atyp: 9 })],
    [[{ fault: "answer", at: "request", bytes: SUCCESS }, { fault: "slow" }], SUCCESS],
    [
      { fault: "answer", at: "request", bytes: Uint8Array.of(...SUCCESS, ...ascii("glued")) },
      Uint8Array.of(...SUCCESS, ...ascii("glued")),
    ],
  ];
  await withTargetAndProxy(targets.startEcho, { faults: odd.map(([fault]) => fault) }, async (target, proxy) => {
    for (const [_, reply] of odd) {
      const client = await connectRaw(proxy.endpoint);
      await client.write(GREETING);
      await client.read(2);
      await client.write(requestTo("127.0.0.1", target.port));
      assertEquals(await client.read(reply.length), reply);
      await client.write(ascii("after"));
      assertEquals(await client.read(5), ascii("after"));
      client.close();
    }
  });
});

test("RSV and glued bytes are put into the right reply", async () => {
  const list: TestFault[] = [{ fault: "rsv", rsv: 9 }, { fault: "glued", bytes: ascii("banner") }];
  await withTargetAndProxy(targets.startEcho, { faults: list }, async (target, proxy) => {
    const reserved = await connectRaw(proxy.endpoint);
    await reserved.write(GREETING);
    await reserved.read(2);
    await reserved.write(requestTo("127.0.0.1", target.port));
    assertEquals((await reserved.read(10)).slice(0, 8), bytes(5, 0, 9, 1, 127, 0, 0, 1));
    reserved.close();
    const glued = await openTunnel(proxy, "127.0.0.1", target.port);
    assertEquals(await glued.read(6), ascii("banner"));
    glued.close();
  });
});

test("byte by byte, every answer still works", async () => {
  await withTargetAndProxy(targets.startEcho, { credentials, faults: { fault: "slow" } }, async (target, proxy) => {
    const client = await connectRaw(proxy.endpoint);
    await client.write(GREETING_WITH_PASSWORD);
    assertEquals(await client.read(2), bytes(5, 2));
    await client.write(ALICE);
    assertEquals(await client.read(2), bytes(1, 0));
    await client.write(requestTo("127.0.0.1", target.port));
    assertEquals((await client.read(10)).length, 10);
    assert(client.receives >= 8, `${client.receives} receives are fewer than the bytes would need`);
    client.close();
  });
});

test("the first connection fails and the second works: by a list, by index, by credentials", async () => {
  const choices: NonNullable<TestProxyOptions["faults"]>[] = [
    [{ fault: "close", at: "negotiate" }],
    ({ index }) => index === 0 ? { fault: "close", at: "negotiate" } : undefined,
    ({ index }) => index === 0 ? [{ fault: "wait", at: "negotiate", for: 1 }, { fault: "close", at: "negotiate" }] : [],
  ];
  for (const list of choices) {
    await withTargetAndProxy(targets.startEcho, { faults: list }, async (target, proxy) => {
      const first = await connectRaw(proxy.endpoint);
      await first.write(GREETING);
      assertEquals((await first.finish()).bytes, bytes());
      (await openTunnel(proxy, "127.0.0.1", target.port)).close();
    });
  }
  const byName: TestProxyOptions["faults"] = ({ credentials }) =>
    credentials?.username === "mallory" ? { fault: "refuse", rep: 2 } : undefined;
  await withProxy({ methods: [2], faults: byName, rules: { "a.test:1": { rep: 5 } } }, async (proxy) => {
    for (const [message, rep] of [[MALLORY, 2], [ALICE, 5]] as const) {
      const client = await connectRaw(proxy.endpoint);
      await client.write(GREETING_WITH_PASSWORD);
      await client.read(2);
      await client.write(message);
      await client.read(2);
      await client.write(requestTo("a.test", 1));
      assertEquals((await client.finish()).bytes[1], rep);
    }
  });
});

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

async function withProxy(options: TestProxyOptions, use: (proxy: TestProxy) => Promise<void>): Promise<void> {
  const proxy = await createTestProxy(options);
  try {
    await use(proxy);
  } finally {
    await proxy.close();
  }
}

async function withTarget(
  start: () => Promise<targets.Target>,
  use: (target: targets.Target) => Promise<void>,
): Promise<void> {
  const target = await start();
  try {
    await use(target);
  } finally {
    await target.close();
  }
}

function withTargetAndProxy(
  start: () => Promise<targets.Target>,
  options: TestProxyOptions,
  use: (target: targets.Target, proxy: TestProxy) => Promise<void>,
): Promise<void> {
  return withTarget(start, (target) => withProxy(options, (proxy) => use(target, proxy)));
}

function requestTo(hostname: string, port: number): Uint8Array {
  const dstPort = [port >> 8, port & 0xff];
  if (/^[\d.]+$/.test(hostname)) return Uint8Array.of(5, 1, 0, 1, ...hostname.split(".").map(Number), ...dstPort);
  if (!hostname.includes(":")) {
    return Uint8Array.of(5, 1, 0, 3, hostname.length, ...ascii(hostname), ...dstPort);
  }
  const address = {
    "::1": [...new Array(15).fill(0), 1],
    "2001:db8::1": [0x20, 1, 0xd, 0xb8, ...new Array(11).fill(0), 1],
  };
  return Uint8Array.of(5, 1, 0, 4, ...address[hostname as keyof typeof address], ...dstPort);
}

async function openTunnel(proxy: TestProxy, hostname: string, port: number, replyLength = 10): Promise<RawClient> {
  const client = await connectRaw(proxy.endpoint);
  await client.write(GREETING);
  await client.read(2);
  await client.write(requestTo(hostname, port));
  assertEquals((await client.read(replyLength)).slice(0, 2), bytes(5, 0));
  return client;
}

function text(received: Uint8Array): string {
  return new TextDecoder().decode(received);
}

/** "stopped" as soon as a number has not changed for a while. */
async function settled(count: () => number): Promise<string> {
  for (let seen = -1; seen !== count();) {
    seen = count();
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return "stopped";
}
