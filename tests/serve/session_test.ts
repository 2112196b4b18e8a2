import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Socks5Client } from "../../mod.ts";
import { type ConnectionLog, serve, type ServeOptions } from "../../serve/mod.ts";
import { createTestProxy } from "../../testing/mod.ts";
import { bytes, text } from "../support/contract.ts";
import { connectRaw, type RawClient } from "../support/raw_client.ts";
import { basicOf, readHead, socksRequest, userPass } from "../support/serve_stage.ts";
import { startTarget } from "../support/targets.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

interface Stage {
  dial(said: string | Uint8Array): Promise<RawClient>;
  /** The sessions at the proxy that served each, by its label. */
  served: Map<string, string[]>;
  log: ConnectionLog[];
}

/** A local proxy of four proxies, which note the session that each connect is of. */
async function withSessions(credentials: ServeOptions["credentials"], use: (stage: Stage) => Promise<void>) {
  await using web = await startTarget((socket) => {
    socket.on("data", () => socket.write(OK)).on("end", () => socket.end());
  });
  const served = new Map<string, string[]>();
  const log: ConnectionLog[] = [];
  const proxies = await Promise.all(
    [1, 2, 3, 4].map(() =>
      createTestProxy({ credentials: () => 0, rules: { "web.test:80": web, "echo.test:7": "echo" } })
    ),
  );
  const specs = proxies.map(({ port }, i) => ({
    hostname: "127.0.0.1",
    port,
    label: `p${i}`,
    credentials: ({ session = "none" }) => {
      served.set(session, [...served.get(session) ?? [], `p${i}`]);
      return { username: session };
    },
  }));
  const client = new Socks5Client(specs, { retry: 0 });
  const local = await serve(client, { credentials, log: (entry) => log.push(entry) });
  try {
    const dial = async (said: string | Uint8Array) => {
      const raw = await connectRaw({ hostname: "127.0.0.1", port: local.port });
      await raw.write(typeof said === "string" ? bytes(said) : said);
      return raw;
    };
    await use({ dial, served, log });
  } finally {
    await local.close();
    await client.close();
    for (const proxy of proxies) await proxy.close();
  }
}

const connect = (username: string, password = "x") =>
  `CONNECT echo.test:7 HTTP/1.1\r\nProxy-Authorization: ${basicOf(username, password)}\r\n\r\n`;
const get = (username: string) =>
  `GET http://web.test/ HTTP/1.1\r\nHost: web.test\r\nProxy-Authorization: ${basicOf(username, "x")}\r\n\r\n`;
const socks = (username: string, password = "") =>
  Uint8Array.of(5, 2, 0, 2, ...userPass(username, password), ...socksRequest("echo.test", 7));

test('credentials: "session": the user name is the session, which keeps its proxy, whatever the client speaks', () =>
  withSessions("session", async ({ dial, served, log }) => {
    const users = ["alice", "b\u00f6b", "eve", "mallory", "x".repeat(255)];
    for (const user of users) {
      const tunnel = await dial(connect(user, "any: password"));
      assertMatch(await readHead(tunnel), /^HTTP\/1.1 200 /);
      const plain = await dial(get(user));
      assertEquals(text(await plain.read(OK.length)), OK);
      const five = await dial(socks(user));
      assertEquals([...(await five.read(14)).subarray(0, 6)], [5, 2, 1, 0, 5, 0]);
      for (const raw of [tunnel, plain, five]) raw.close();
      await Promise.all([tunnel, plain, five].map((raw) => raw.finish()));
    }
    assertEquals([...served.keys()], users);
    for (const [user, [first, ...others]] of served) {
      assertEquals(others, [first!, first!], user);
    }
    await until(() => log.length === 15);
    for (const { session, proxy } of log) assertEquals(proxy, served.get(session!)![0]);
  }));

test("two sessions on one connection of a client have a connection each", () =>
  withSessions("session", async ({ dial, served }) => {
    const raw = await dial("");
    for (const user of ["alice", "alice", "eve", "alice"]) {
      await raw.write(bytes(get(user)));
      assertEquals(text(await raw.read(OK.length)), OK);
    }
    raw.close();
    await raw.finish();
    assertEquals([...served].map(([user, { length }]) => [user, length]), [["alice", 2], ["eve", 1]]);
  }));

test('credentials: "session" wants a user name of 1 to 255 bytes', () =>
  withSessions("session", async ({ dial, served, log }) => {
    const refused: [said: string | Uint8Array, answer: RegExp | number[]][] = [
      ["CONNECT echo.test:7 HTTP/1.1\r\n\r\n", /^HTTP\/1.1 407 /],
      [connect(""), /^HTTP\/1.1 407 /],
      [connect("x".repeat(256)), /^HTTP\/1.1 407 /],
      [socks(""), [5, 2, 1, 1]],
      [Uint8Array.of(5, 1, 0), [5, 0xff]],
    ];
    await Promise.all(refused.map(async ([said, answer]) => {
      const raw = await dial(said);
      if (answer instanceof RegExp) assertMatch(await readHead(raw), answer);
      else assertEquals([...await raw.read(answer.length)], answer);
      raw.close();
      await raw.finish();
    }));
    assertEquals([served.size, log.every(({ verdict }) => verdict === "wrong-password")], [0, true]);
  }));

test("{ session: true, password }: any user name, with that password", () =>
  withSessions({ session: true, password: "s\u00e9same" }, async ({ dial, served }) => {
    for (const user of ["alice", "eve"]) {
      const tunnel = await dial(connect(user, "s\u00e9same"));
      assertMatch(await readHead(tunnel), /^HTTP\/1.1 200 /);
      const wrong = await dial(connect(user, "s\u00e9sam"));
      assertMatch(await readHead(wrong), /^HTTP\/1.1 407 /);
      const five = await dial(socks(user, "other"));
      assertEquals([...await five.read(4)], [5, 2, 1, 1]);
      for (const raw of [tunnel, wrong, five]) raw.close();
      await Promise.all([tunnel, wrong, five].map((raw) => raw.finish()));
    }
    assertEquals([...served].map(([user, { length }]) => [user, length]), [["alice", 1], ["eve", 1]]);
  }));

test('{ session: true, password } may listen for other machines, "session" may not', async () => {
  const proxy = "socks5h://127.0.0.1:1";
  const local = await serve(proxy, { hostname: "0.0.0.0", credentials: { session: true, password: "x" } });
  await local.close();
  await assertRejects(() => serve(proxy, { hostname: "0.0.0.0", credentials: "session" }), TypeError, "hostname");
});

const wrong: [credentials: object, type: typeof TypeError | typeof RangeError, message: RegExp][] = [
  [{ session: true }, TypeError, /without a password/],
  [{ session: true, password: "" }, TypeError, /without a password/],
  [{ session: false, password: "hush" }, TypeError, /^Cannot use credentials.session as true: current value is false$/],
  [{ session: true, password: "hush".repeat(64) }, RangeError, /password/],
  [{ session: true, password: 1 }, TypeError, /password/],
  [{ session: true, password: "hush", username: "alice" }, TypeError, /^Cannot use username in credentials: /],
];

for (const [credentials, type, message] of wrong) {
  const shown = JSON.stringify(credentials).replace(/(hush)+/, "\u2026");
  test(`serve() refuses as credentials ${shown}`, async () => {
    const error = await assertRejects(
      () => serve("socks5h://127.0.0.1:1", { credentials: credentials as ServeOptions["credentials"] }),
      type,
    );
    assertMatch(error.message, message);
    assertEquals(error.message.includes("hush"), false);
  });
}
