import { assert, assertEquals, assertRejects } from "@std/assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectRaw, type RawClient } from "./support/mock_client.ts";
import * as mock from "./support/mock_proxy.ts";
import { createMockProxy, type MockFault, type MockProxy, type MockProxyOptions } from "./support/mock_proxy.ts";
import * as targets from "./support/targets.ts";
import { test } from "./support/test.ts";

const GREETING = Uint8Array.of(5, 1, 0);
const GREETING_WITH_PASSWORD = Uint8Array.of(5, 2, 0, 2);
const ALICE = Uint8Array.of(1, 5, ...mock.ascii("alice"), 6, ...mock.ascii("secret"));
const MALLORY = Uint8Array.of(1, 7, ...mock.ascii("mallory"), 5, ...mock.ascii("guess"));
const bytes = (...values: number[]): Uint8Array => Uint8Array.of(...values);
const SUCCESS = mock.encodeReply();
const credentials = { username: "alice", password: "secret" };

test("the mock proxies CONNECT to an IPv4 target and logs it", async () => {
  await withTargetAndProxy(targets.startEcho, {}, async (target, proxy) => {
    const client = await connectRaw(proxy.endpoint);
    await client.write(GREETING);
    assertEquals(await client.read(2), bytes(5, 0));
    await client.write(requestTo("127.0.0.1", target.port));
    const reply = await client.read(10);
    assertEquals(reply.slice(0, 8), bytes(5, 0, 0, 1, 127, 0, 0, 1));
    assert(reply[8]! << 8 | reply[9]!, "BND.PORT is the real one");
    await client.write(mock.ascii("hello"));
    assertEquals(await client.read(5), mock.ascii("hello"));
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

test("the mock proxies to IPv6 and tells the address", async () => {
  await withTargetAndProxy(() => targets.startEcho({ hostname: "::1" }), {}, async (target, proxy) => {
    const client = await openTunnel(proxy, "::1", target.port, 22);
    assertEquals(proxy.connections[0]!.request, { cmd: 1, atyp: 4, hostname: "::1", port: target.port });
    client.close();
  });
}, { skip: targets.noIpv6 });

test("the mock proxies to localhost and to names that its rules know", async () => {
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

test("the mock refuses by rule, by its loopback policy and as the target does", async () => {
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
      assertEquals([hostname, bytes, ending], [hostname, mock.encodeReply({ rep }), "end"]);
      assertEquals([proxy.connections.at(-1)!.rep, proxy.connections.at(-1)!.endedBy], [rep, "proxy"]);
    }
  });
});

test("the mock refuses commands other than CONNECT with 07", async () => {
  await withProxy({}, async (proxy) => {
    const client = await connectRaw(proxy.endpoint);
    await client.write(GREETING);
    await client.read(2);
    await client.write(requestTo("127.0.0.1", 1).with(1, 3));
    assertEquals((await client.finish()).bytes, mock.encodeReply({ rep: 7 }));
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
  const options: MockProxyOptions = { methods: [2, 0], credentials: ({ username }) => username === "alice" ? 0 : 2 };
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
    assertEquals(await client.finish(), { bytes: mock.ascii("bye"), ending: "end" });
    assertEquals(proxy.connections[0]!.endedBy, "target");
  });
});

test("a reset of the target reaches the client, and a reset of the client reaches the log", async () => {
  await withTargetAndProxy(() => targets.startReset(3), {}, async (target, proxy) => {
    const client = await openTunnel(proxy, "127.0.0.1", target.port);
    await client.write(mock.ascii("abc"));
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
    const gate = mock.createGate();
    let peer: { resetAndDestroy(): unknown } | undefined;
    const start = () => targets.startTarget((socket) => peer = socket);
    await withTargetAndProxy(start, { faults: [mock.waitsAt("request", gate.pass)] }, async (target, proxy) => {
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
    });
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
const faults: [name: string, fault: MockFault, seen: Uint8Array, ending: "end" | "reset" | "silence"][] = [
  ["silence after the accept", mock.silentAt("accept"), bytes(), "silence"],
  ["silence after the greeting", mock.silentAt("negotiate"), bytes(), "silence"],
  ["silence after the request", mock.silentAt("request"), bytes(5, 0), "silence"],
  ["a close after the accept", mock.closesAt("accept"), bytes(), "end"],
  ["a close after the greeting", mock.closesAt("negotiate"), bytes(), "end"],
  ["a close after the request", mock.closesAt("request"), bytes(5, 0), "end"],
  ["a reset after the accept", mock.resetsAt("accept"), bytes(), "reset"],
  ["a reset after the greeting", mock.resetsAt("negotiate"), bytes(), "reset"],
  ["a reset after the request", mock.resetsAt("request"), bytes(5, 0), "reset"],
  ["HTTP", mock.answersHttp(), mock.ascii("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), "end"],
  ["SOCKS4", mock.answersSocks4(), bytes(0, 0x5b, 0, 0, 0, 0, 0, 0), "end"],
  ["TLS", mock.answersTlsAlert(), bytes(21, 3, 1, 0, 2, 2, 10), "end"],
  ["SSH", mock.speaksSsh(), mock.ascii("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), "silence"],
  ["a method that was not offered", mock.choosesMethod(1), bytes(5, 1), "silence"],
  ["no acceptable method", mock.choosesMethod(0xff), bytes(5, 255), "end"],
  ["a method reply cut", mock.cutsAt("negotiate", 1), bytes(5), "end"],
  ["a reply cut within BND.ADDR", mock.cutsAt("request", 6), bytes(5, 0, 5, 0, 0, 1, 0, 0), "end"],
  ["a reply cut and reset", mock.cutsAt("request", 3, "reset"), bytes(5, 0, 5, 0, 0), "reset"],
  ["a refusal of two bytes", mock.repliesOnlyWith(5), bytes(5, 0, 5, 5), "end"],
  ["an unknown REP", mock.repliesWith(0x77), bytes(5, 0, ...mock.encodeReply({ rep: 0x77 })), "end"],
  ["a refusal and a reset", mock.repliesWith(5, "reset"), bytes(5, 0, ...mock.encodeReply({ rep: 5 })), "reset"],
  ["a success and a close", mock.claimsSuccess("close"), bytes(5, 0, ...SUCCESS), "end"],
  ["a success and silence", mock.claimsSuccess("silence"), bytes(5, 0, ...SUCCESS), "silence"],
  ["a success and a reset", mock.claimsSuccess("reset"), bytes(5, 0, ...SUCCESS), "reset"],
  [
    "an unknown ATYP in a failure",
    mock.answersAt("request", mock.encodeReply({ rep: 1, atyp: 9 }), "close"),
    bytes(5, 0, ...mock.encodeReply({ rep: 1, atyp: 9 })),
    "end",
  ],
];

for (const [name, fault, seen, ending] of faults) {
  test(`the mock errs on demand: ${name}`, async () => {
    await withProxy({ faults: [fault] }, async (proxy) => {
      const at = [fault.at].flat()[0]!;
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
  const cases: [fault: MockFault, seen: Uint8Array, ending: string][] = [
    [mock.closesAt("authenticate"), bytes(5, 2), "end"],
    [mock.resetsAt("authenticate"), bytes(5, 2), "reset"],
    [mock.refusesPassword(0xff), bytes(5, 2, 1, 255), "end"],
    [mock.cutsAt("authenticate", 1), bytes(5, 2, 1), "end"],
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
  const others = [mock.silentAt("authenticate"), mock.authenticatesWithVersion5()];
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
  const domain = (length: number) => Uint8Array.of(length, ...mock.ascii("d".repeat(length)));
  const odd: [MockFault, reply: Uint8Array][] = [
    [mock.boundToDomain(0), mock.encodeReply({ atyp: 3, bndAddr: domain(0) })],
    [mock.boundToDomain(255), mock.encodeReply({ atyp: 3, bndAddr: domain(255) })],
    [
      mock.answersAt("request", mock.encodeReply({ atyp: 4, bndAddr: new Uint8Array(16) })),
      mock.encodeReply({ atyp: 4, bndAddr: new Uint8Array(16) }),
    ],
    [mock.answersAt("request", mock.encodeReply({ rsv: 7 })), mock.encodeReply({ rsv: 7 })],
    [mock.answersAt("request", mock.encodeReply({ atyp: 9 })), mock.encodeReply({ atyp: 9 })],
    [
      { ...mock.answersAt("request", SUCCESS), bytewise: true },
      SUCCESS,
    ],
    [
      mock.answersAt("request", Uint8Array.of(...SUCCESS, ...mock.ascii("glued"))),
      Uint8Array.of(...SUCCESS, ...mock.ascii("glued")),
    ],
  ];
  await withTargetAndProxy(targets.startEcho, { faults: odd.map(([fault]) => fault) }, async (target, proxy) => {
    for (const [_, reply] of odd) {
      const client = await connectRaw(proxy.endpoint);
      await client.write(GREETING);
      await client.read(2);
      await client.write(requestTo("127.0.0.1", target.port));
      assertEquals(await client.read(reply.length), reply);
      await client.write(mock.ascii("after"));
      assertEquals(await client.read(5), mock.ascii("after"));
      client.close();
    }
  });
});

test("RSV and glued bytes are put into the right reply", async () => {
  const list = [mock.repliesWithRsv(9), mock.gluesToReply(mock.ascii("banner"))];
  await withTargetAndProxy(targets.startEcho, { faults: list }, async (target, proxy) => {
    const reserved = await connectRaw(proxy.endpoint);
    await reserved.write(GREETING);
    await reserved.read(2);
    await reserved.write(requestTo("127.0.0.1", target.port));
    assertEquals((await reserved.read(10)).slice(0, 8), bytes(5, 0, 9, 1, 127, 0, 0, 1));
    reserved.close();
    const glued = await openTunnel(proxy, "127.0.0.1", target.port);
    assertEquals(await glued.read(6), mock.ascii("banner"));
    glued.close();
  });
});

test("byte by byte, every answer still works", async () => {
  await withTargetAndProxy(targets.startEcho, { credentials, faults: () => mock.bytewise() }, async (target, proxy) => {
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
  const choices: NonNullable<MockProxyOptions["faults"]>[] = [
    [mock.closesAt("negotiate")],
    ({ index }) => index === 0 ? mock.closesAt("negotiate") : undefined,
    ({ index }) => index === 0 ? [mock.waitsAt("negotiate", 1), mock.closesAt("negotiate")] : [],
  ];
  for (const list of choices) {
    await withTargetAndProxy(targets.startEcho, { faults: list }, async (target, proxy) => {
      const first = await connectRaw(proxy.endpoint);
      await first.write(GREETING);
      assertEquals((await first.finish()).bytes, bytes());
      (await openTunnel(proxy, "127.0.0.1", target.port)).close();
    });
  }
  const byName: MockProxyOptions["faults"] = ({ credentials }) =>
    credentials?.username === "mallory" ? mock.repliesWith(2) : undefined;
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
  const gate = mock.createGate();
  await withProxy({ faults: () => mock.waitsAt("negotiate", gate.pass) }, async (proxy) => {
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
  const gate = mock.createGate();
  await withProxy({ faults: () => mock.waitsAt("request", gate.pass) }, async (proxy) => {
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
    const gate = mock.createGate();
    const fault: MockFault = { at: "transfer", wait: gate.pass, answer: mock.ascii("!"), ...then && { then } };
    await withTargetAndProxy(targets.startEcho, { faults: [fault] }, async (target, proxy) => {
      const client = await openTunnel(proxy, "127.0.0.1", target.port);
      await client.write(mock.ascii("works"));
      assertEquals(await client.read(5), mock.ascii("works"));
      gate.open();
      assertEquals(await client.read(1), mock.ascii("!"));
      if (then) assertEquals((await client.finish()).ending, then === "close" ? "end" : "reset");
      else {
        await client.write(mock.ascii("still"));
        assertEquals(await client.read(5), mock.ascii("still"));
      }
      client.close();
    });
  }
});

test("a tunnel that falls silent swallows what comes, both ways", async () => {
  const gate = mock.createGate();
  const fault: MockFault = { at: "transfer", wait: gate.pass, then: "silence" };
  let peer: { write(text: string): unknown } | undefined;
  const start = () => targets.startTarget((socket) => (peer = socket, socket.pipe(socket)));
  await withTargetAndProxy(start, { faults: [fault] }, async (target, proxy) => {
    const client = await openTunnel(proxy, "127.0.0.1", target.port);
    await client.write(mock.ascii("works"));
    await client.read(5);
    gate.open();
    await client.write(mock.ascii("lost"));
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
    { faults: [mock.silentAt("transfer"), mock.closesAt("transfer")] },
    async (target, proxy) => {
      const silent = await openTunnel(proxy, "127.0.0.1", target.port);
      await silent.write(mock.ascii("lost"));
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
    await client.write(Uint8Array.of(...GREETING, ...request, ...mock.ascii("early")));
    const seen = await client.read(2 + 10 + 5);
    assertEquals(seen.slice(12), mock.ascii("early"));
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
    await optimistic.write(Uint8Array.of(...requestTo("127.0.0.1", target.port), ...mock.ascii("lost")));
    await optimistic.read(10);
    await optimistic.write(mock.ascii("kept"));
    assertEquals(await optimistic.read(4), mock.ascii("kept"));
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

test("the mock listens on IPv6 loopback", async () => {
  await withTargetAndProxy(targets.startEcho, { hostname: "::1" }, async (target, proxy) => {
    assertEquals(proxy.url, `socks5h://[::1]:${proxy.port}`);
    (await openTunnel(proxy, "127.0.0.1", target.port)).close();
  });
}, { skip: targets.noIpv6 });

test("the mock listens on a unix socket, resets and restarts there too", async () => {
  const directory = mkdtempSync(join(tmpdir(), "mock-"));
  try {
    const options = { path: join(directory, "proxy.sock"), faults: [undefined, mock.resetsAt("accept")] };
    await withTargetAndProxy(targets.startEcho, options, async (target, proxy) => {
      assertEquals([proxy.url, proxy.endpoint], [`socks5h://localhost${options.path}`, { path: options.path }]);
      const client = await openTunnel(proxy, "127.0.0.1", target.port);
      await client.write(mock.ascii("hello"));
      assertEquals(await client.read(5), mock.ascii("hello"));
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

async function withProxy(options: MockProxyOptions, use: (proxy: MockProxy) => Promise<void>): Promise<void> {
  const proxy = await createMockProxy(options);
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
  options: MockProxyOptions,
  use: (target: targets.Target, proxy: MockProxy) => Promise<void>,
): Promise<void> {
  return withTarget(start, (target) => withProxy(options, (proxy) => use(target, proxy)));
}

function requestTo(hostname: string, port: number): Uint8Array {
  const dstPort = [port >> 8, port & 0xff];
  if (/^[\d.]+$/.test(hostname)) return Uint8Array.of(5, 1, 0, 1, ...hostname.split(".").map(Number), ...dstPort);
  if (!hostname.includes(":")) {
    return Uint8Array.of(5, 1, 0, 3, hostname.length, ...mock.ascii(hostname), ...dstPort);
  }
  const address = {
    "::1": [...new Array(15).fill(0), 1],
    "2001:db8::1": [0x20, 1, 0xd, 0xb8, ...new Array(11).fill(0), 1],
  };
  return Uint8Array.of(5, 1, 0, 4, ...address[hostname as keyof typeof address], ...dstPort);
}

async function openTunnel(proxy: MockProxy, hostname: string, port: number, replyLength = 10): Promise<RawClient> {
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
