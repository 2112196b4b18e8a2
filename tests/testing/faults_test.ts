import { assert, assertEquals } from "@std/assert";
import { connectRaw } from "../support/raw_client.ts";
import * as testing from "../../testing/mod.ts";
import type { TestFault, TestFaults, TestProxyOptions, TestStep } from "../../testing/mod.ts";
import * as targets from "../support/targets.ts";
import { test } from "../support/test.ts";
import { openTunnel, requestTo, withProxy, withTargetAndProxy } from "./stage.ts";

const ascii = (said: string): Uint8Array => new TextEncoder().encode(said);
const GREETING = Uint8Array.of(5, 1, 0);
const GREETING_WITH_PASSWORD = Uint8Array.of(5, 2, 0, 2);
const ALICE = Uint8Array.of(1, 5, ...ascii("alice"), 6, ...ascii("secret"));
const MALLORY = Uint8Array.of(1, 7, ...ascii("mallory"), 5, ...ascii("guess"));
const bytes = (...values: number[]): Uint8Array => Uint8Array.of(...values);
const SUCCESS = testing.encodeReply();
const credentials = { username: "alice", password: "secret" };

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
