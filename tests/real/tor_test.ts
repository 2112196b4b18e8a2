import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { type CommandOptions, Socks5Client, type Socks5Options, TargetError } from "../../mod.ts";
import { bytes } from "../support/contract.ts";
import type * as testing from "../../testing/mod.ts";
import { tor } from "../support/real_proxies.ts";
import { withClient, withRealProxy } from "../support/real_stage.ts";
import { failure, withProxy, withTarget } from "../support/stage.ts";
import { startEcho } from "../support/targets.ts";
import { HOSTILE_NAMES } from "../support/hostile_names.ts";
import { test } from "../support/test.ts";

const hex = (text: string) => Uint8Array.from(text.replaceAll(" ", "").match(/../g) ?? [], (it) => parseInt(it, 16));
const anybody = { credentials: () => 0, methods: [2, 0] } as const;

function withTor(
  options: testing.TestProxyOptions,
  use: (client: Socks5Client, proxy: testing.TestProxy) => Promise<void>,
  more: Socks5Options = {},
): Promise<void> {
  return withProxy(options, async (proxy) => {
    const client = new Socks5Client(proxy.url, { retry: 0, ...more });
    await use(client, proxy);
    assertEquals([client.stats().opening, client.stats().inUse], [0, 0]);
    await client.close();
  });
}

// Derived field by field from sections 2 and 3 of tor's socks-extensions; the port is 0, as tor-resolve sends it.
const ANSWERS: [how: "resolve" | "resolvePtr", asked: string, sends: string, answer: string, gives: string][] = [
  ["resolve", "a.example", "05 F0 00 03 09 612E6578616D706C65 0000", "05 00 00 01 C0000207 0000", "192.0.2.7"],
  [
    "resolve",
    "A.example",
    "05 F0 00 03 09 612E6578616D706C65 0000",
    "05 00 00 04 20010DB8000000000000000000000001 0000",
    "2001:db8::1",
  ],
  ["resolve", "192.0.2.1", "05 F0 00 01 C0000201 0000", "05 00 00 01 C0000201 0000", "192.0.2.1"],
  ["resolvePtr", "192.0.2.1", "05 F1 00 01 C0000201 0000", "05 00 00 03 09 612E6578616D706C65 0000", "a.example"],
  [
    "resolvePtr",
    "[2001:db8::1]",
    "05 F1 00 04 20010DB8000000000000000000000001 0000",
    "05 00 00 03 09 612E6578616D706C65 0000",
    "a.example",
  ],
];

for (const [how, asked, sends, answer, gives] of ANSWERS) {
  test(`${how}() of ${asked} sends ${sends} and makes ${gives} of ${answer}`, async () => {
    const wrong = { fault: "answer", at: "request", bytes: hex(answer) } as const;
    for (const faults of [[wrong], [wrong, { fault: "slow" } as const]]) {
      await withTor({ faults }, async (client, proxy) => {
        assertEquals(await client[how](asked), gives);
        assertEquals(proxy.connections[0]!.received.at(-1), hex(sends));
      });
    }
  });
}

const BAD: [how: "resolve" | "resolvePtr", answer: string, why: string][] = [
  ["resolve", "05 00 00 03 09 612E6578616D706C65 0000", "should have an address, and has a.example"],
  ["resolvePtr", "05 00 00 01 C0000207 0000", "should have a name, and has 192.0.2.7"],
  ...HOSTILE_NAMES.map((name): (typeof BAD)[number] => {
    const addr = Array.from(name, (char) => char.charCodeAt(0).toString(16).padStart(2, "0"));
    const length = addr.length.toString(16).padStart(2, "0");
    return [
      "resolvePtr",
      `05 00 00 03 ${length} ${addr.join("")} 0000`,
      "should have a name, and has what is no host name",
    ];
  }),
];

for (const [how, answer, why] of BAD) {
  test(`${how}() does not believe ${answer}`, () =>
    withTor({ faults: [{ fault: "answer", at: "request", bytes: hex(answer) }] }, async (client, proxy) => {
      const error = await failure(client[how]("192.0.2.1"));
      assertEquals(error.code, "SOCKS5_PROXY_BAD_REPLY");
      assertEquals(
        error.message,
        `Cannot resolve 192.0.2.1 through 127.0.0.1:${proxy.port}: the reply of the proxy ${why}`,
      );
    }));
}

test("a proxy that is not tor refuses the command, a name that tor does not find is unreachable", () =>
  withTor({ rules: { "other.example:0": { rep: 7 } } }, async (client) => {
    const other = await failure(client.resolve("other.example"));
    assertEquals([other.code, other.target], ["SOCKS5_TARGET_BAD_COMMAND", "other.example"]);
    const missing = await failure(client.resolve("missing.example"));
    assertEquals(missing.code, "SOCKS5_TARGET_HOST_UNREACHABLE");
  }));

test("a resolve asks the proxy, even where names are looked up here, and never in one write", async () => {
  const rules = { "a.example:0": { hostname: "192.0.2.7", port: 0 } };
  for (const more of [{ dns: "local" }, { handshake: "pipelined" }, { pool: { warm: 1 } }] as const) {
    await withTor({ rules }, async (client, proxy) => {
      assertEquals(await client.resolve("a.example"), "192.0.2.7");
      assertEquals(proxy.connections[0]!.received.length, 2);
      await client.close();
    }, more);
  }
});

test("what cannot be resolved is a TypeError, and nothing is opened", () =>
  withTor({}, async (client, proxy) => {
    await assertRejects(
      () => client.resolve(""),
      TypeError,
      "Cannot resolve name as a host name, the host name is missing",
    );
    await assertRejects(() => client.resolve("a.example:80"), TypeError, "Cannot resolve name");
    await assertRejects(
      () => client.resolvePtr("a.example"),
      TypeError,
      "it is a host name: current value is a string",
    );
    await assertRejects(() => client.resolve("user:pass@host"), TypeError, "current value is a string");
    await assertRejects(() => client.resolve("a.example", { timeout: -1 }), RangeError, "timeout");
    assertEquals(proxy.connections.length, 0);
  }));

const ONIONS = [
  "NOT_FOUND",
  "IS_INVALID",
  "INTRO_FAILED",
  "REND_FAILED",
  "MISSING_CLIENT_AUTH",
  "BAD_CLIENT_AUTH",
  "BAD_ADDRESS",
  "INTRO_TIMEDOUT",
] as const;

test("what tor says of an onion service has codes of its own", async () => {
  for (const [i, name] of ONIONS.entries()) {
    await withTor({ faults: [{ fault: "refuse", rep: 0xf0 + i }] }, async (client) => {
      const error = await failure(client.connect("a.onion:80"));
      assert(error instanceof TargetError);
      assertEquals([error.code, error.rep], [`SOCKS5_TARGET_ONION_${name}`, 0xf0 + i]);
    });
  }
});

/** The user names and passwords of all connections. */
const identities = (proxy: testing.TestProxy) =>
  proxy.connections.map(({ credentials }) => credentials && `${credentials.username} ${credentials.password}`);

test("isolate: true is an identity for each request, a token one for itself, in the client that has it", () =>
  withTarget(
    startEcho(),
    (echo) =>
      withProxy(
        { ...anybody, rules: { "a.example:1": echo, "a.example:0": { hostname: "192.0.2.7", port: 0 } } },
        async (proxy) => {
          const client = new Socks5Client(proxy.url, { retry: 0 });
          const ask = async (options: CommandOptions) => (await client.connect("a.example:1", options)).close();
          await ask({ isolate: true });
          await ask({ isolate: true });
          await ask({ isolate: "alice" });
          await ask({ isolate: "alice" });
          await ask({ isolate: "bob" });
          await ask({ isolate: false });
          await client.resolve("a.example", { isolate: "alice" });
          (await client.bind("a.example:1", { isolate: "alice" })).close();
          const other = new Socks5Client(proxy.url, { retry: 0, isolate: "alice" });
          (await other.connect("a.example:1")).close();
          await other.check("a.example:1", { probe: bytes("x") });
          (await other.connect("a.example:1", { credentials: { username: "me" } })).close();
          const [one, two, alice, again, bob, none, resolved, bound, others, checked, own] = identities(proxy);
          assertEquals(new Set([one, two, alice, bob, others]).size, 5);
          assertEquals([again, resolved, bound], [alice, alice, alice]);
          assertEquals([checked, own], [others, "me "]);
          assertEquals(none, null);
          assert(alice!.endsWith(" alice") && !alice!.startsWith("<torS0X>"));
          assertEquals(proxy.connections[0]!.methods, [2]); // never dropped silently
          await client.close();
          await other.close();
        },
      ),
  ));

test("a tunnel is reused by the same isolation alone, and one of isolate: true by nobody", () =>
  withTarget(startEcho(), (echo) =>
    withProxy({ ...anybody, rules: { "a.example:1": echo } }, async (proxy) => {
      const client = new Socks5Client(proxy.url, { retry: 0 });
      const reused = async (isolate?: boolean | string) => {
        const conn = await client.connect("a.example:1", { reuse: true, isolate });
        conn.release();
        return conn.reused;
      };
      assertEquals([await reused("alice"), await reused("alice"), await reused("bob")], [false, true, false]);
      assertEquals([await reused(), await reused(false), await reused("bob")], [false, true, true]);
      const idle = client.stats().idle;
      assertEquals([await reused(true), await reused(true), client.stats().idle], [false, false, idle]);
      await client.close();
    })));

test("isolate is a boolean or a token, and nothing besides credentials", async () => {
  const client = new Socks5Client("socks5h://127.0.0.1:1");
  const ask = (isolate: unknown, more = {}) => client.connect("a.example:1", { isolate: isolate as boolean, ...more });
  await assertRejects(() => ask(1), TypeError, "Cannot use isolate as a boolean or a token of 1 to 255 bytes");
  await assertRejects(() => ask(""), RangeError, "current value is an empty string");
  await assertRejects(() => ask("é".repeat(128)), RangeError, "current value is a string");
  await assertRejects(
    () => ask("a", { credentials: { username: "me" } }),
    TypeError,
    "Cannot combine isolate with credentials",
  );
  await assertRejects(() => ask(true, { credentials: null }), TypeError, "Cannot combine isolate with credentials");
  const mine = "socks5h://me:secret@127.0.0.1:1";
  assertThrows(() => new Socks5Client(mine, { isolate: true }), TypeError, "a proxy that has credentials");
  await assertRejects(() => new Socks5Client(mine).connect("a:1", { isolate: "a" }), TypeError, "has credentials");
  assertNotEquals(await failure(new Socks5Client(mine, { retry: 0 }).connect("a:1", { isolate: false })), null);
});

test(
  "a real tor takes isolation and RESOLVE, on TCP and on its unix socket",
  () =>
    withRealProxy(tor, async (proxy) => {
      for (const url of [proxy.url, `socks5h://localhost${proxy.path}`]) {
        await withClient(url, { retry: 0, isolate: true }, async (client) => {
          assertEquals(await client.resolve("192.0.2.1"), "192.0.2.1");
          const unknown = await failure(client.resolvePtr("127.0.0.1", { timeout: 2_000 }));
          assertEquals(unknown.code, "SOCKS5_TARGET_HOST_UNREACHABLE"); // no name for loopback
          const isolated = await failure(client.connect("a.example:80", { isolate: "alice", timeout: 300 }));
          assertEquals(isolated.phase, "request"); // it was let in, and offline there is no way from there
          const onion = await failure(client.bind("a.example:80"));
          assertEquals(onion.code, "SOCKS5_TARGET_BAD_COMMAND");
        });
      }
    }),
  { skip: tor.missing },
);
