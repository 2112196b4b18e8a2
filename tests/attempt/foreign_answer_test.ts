import { assert, assertEquals } from "@std/assert";
import { Socks5Client, type Socks5Options } from "../../mod.ts";
import type { TestFault } from "../../testing/mod.ts";
import { bytes } from "../support/contract.ts";
import { FakeTransport } from "../support/fake.ts";
import { failure, withProxy } from "../support/stage.ts";
import { test } from "../support/test.ts";

const TARGET = "example.test:80";
const credentials = { username: "alice", password: "open sesame" };

type Step = "negotiate" | "authenticate" | "request";

/** The reason that is told where a proxy answers a step with that text, and goes silent. */
async function told(at: Step, answer: string | Uint8Array, options: Socks5Options = {}): Promise<string> {
  const faults: TestFault = { fault: "answer", at, bytes: answer, then: "silence" };
  let said = "";
  await withProxy({ methods: [2], credentials: () => 0, faults }, async ({ hostname, port }) => {
    const client = new Socks5Client({ hostname, port, credentials }, { retry: 0, ...options });
    const { message, code, phase } = await failure(client.connect(TARGET));
    assertEquals([code, phase], [at === "negotiate" ? "SOCKS5_PROXY_NOT_SOCKS5" : "SOCKS5_PROXY_BAD_REPLY", at]);
    said = message.slice(`Cannot connect to ${TARGET} through 127.0.0.1:${port}: `.length);
    const [report] = await client.check(TARGET);
    assertEquals(report!.verdict, "not-socks5");
    assert(report!.steps.some(({ message }) => message.endsWith(said)), JSON.stringify(report));
    await client.close();
  });
  return said;
}

const BEGINS: Record<Step, string> = {
  negotiate: "what answered is not a SOCKS5 proxy",
  authenticate: "the answer of the proxy to user name and password is malformed",
  request: "the reply of the proxy is malformed",
};

for (const at of ["negotiate", "authenticate", "request"] as const) {
  test(`text in the place of the answer is shown in the phase ${at}`, async () => {
    const http = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n";
    const who = at === "negotiate" ? "an HTTP server answered" : BEGINS[at];
    assertEquals(await told(at, http), `${who} ("HTTP/1.1 407 Proxy Authentication Required", 48 54)`);
    assertEquals(await told(at, "account expired"), `${BEGINS[at]} ("account expired", 61 63)`);
    assertEquals(await told(at, "OK"), `${BEGINS[at]} ("OK", 4F 4B)`);
  });

  test(`it is escaped and cut in the phase ${at}`, async () => {
    assertEquals(await told(at, "x".repeat(600)), `${BEGINS[at]} ("${"x".repeat(60)}...", 78 78)`);
    assertEquals(await told(at, "say \x1b[2J"), `${BEGINS[at]} ("say ", 73 61)`);
    assertEquals(await told(at, "say \u202e"), `${BEGINS[at]} ("say ", 73 61)`);
    assertEquals(await told(at, '"\\"'), String.raw`${BEGINS[at]} ("\"\\\"", 22 5C)`);
    assertEquals(await told(at, Uint8Array.of(0x9b, 0xff, 0x61)), `${BEGINS[at]} (9B FF)`);
  });

  test(`what repeats user name or password, or begins to, is not shown in the phase ${at}`, async () => {
    for (const said of ["no such user: alice", "ALICE is unknown", "wrong password: open sesame!", "wrong: open se"]) {
      assertEquals(await told(at, said), `${BEGINS[at]} (${hex(said[0]!)} ${hex(said[1]!)})`);
    }
  });
}

const hex = (char: string) => char.charCodeAt(0).toString(16).toUpperCase();

test("a handshake in one write shows it, too, and a session that was ready", async () => {
  const pipelined = { handshake: "pipelined" as const };
  assertEquals(await told("request", "go away", pipelined), `${BEGINS.request} ("go away", 67 6F)`);
  assertEquals(await told("request", "go away", { pool: { warm: 1 } }), `${BEGINS.request} ("go away", 67 6F)`);
});

test("UDP ASSOCIATE and tor's commands show it", () =>
  withProxy({ faults: { fault: "answer", at: "request", bytes: "no UDP", then: "silence" } }, async (proxy) => {
    const client = new Socks5Client(proxy.url, { retry: 0 });
    const asked = [
      client.associate(),
      client.resolve("example.test"),
      client.resolvePtr("192.0.2.1"),
      client.bind(TARGET),
    ];
    for (const { message } of await Promise.all(asked.map(failure))) {
      assert(message.endsWith(`${BEGINS.request} ("no UDP", 6E 6F)`), message);
    }
    await client.close();
  }));

test("what comes later is not waited for", async () => {
  const transport = new FakeTransport((conn, written) => written[0] === 5 && conn.push(...bytes("no")));
  const { message } = await failure(new Socks5Client("socks5h://a.test", { transport, retry: 0 }).connect(TARGET));
  assert(message.endsWith(`${BEGINS.negotiate} ("no", 6E 6F)`), message);
  assertEquals(transport.open, 0);
});
