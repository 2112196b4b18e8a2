import { assertEquals, assertLessOrEqual } from "@std/assert";
import { Socks5Client, type Socks5Conn } from "../../mod.ts";
import { redisStore } from "../../redis/mod.ts";
import { createTestProxy } from "../../testing/mod.ts";
import { redis as server } from "../support/real_servers.ts";
import { redisLibraries } from "../support/redis_clients.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const CANARY = { username: "canary-user", password: "canary-password" };
const [ioredis] = redisLibraries;
const skip = ioredis!.missing || server.missing;

test("nothing of the credentials is sent to Redis, whatever fails and whatever the application says", async () => {
  await using running = await server.start();
  await using proxy = await createTestProxy({ credentials: CANARY, rules: { "echo.test:7": "echo" } });
  const { redis, send, close } = await ioredis!.connect(running);
  const sent: string[] = [];
  const store = redisStore((command) => (sent.push(...command), send(...command)));
  const list = [
    { hostname: "127.0.0.1", port: 1, credentials: CANARY, maxOpen: 5 },
    { hostname: "127.0.0.1", port: 1, credentials: { ...CANARY, username: "canary-two" }, maxOpen: 5 },
    { url: proxy.url, maxOpen: 5 },
  ];
  const client = new Socks5Client(list, { shared: store, retry: 0 });
  try {
    const conn = await client.connect("echo.test:7", { session: "canary-session" });
    client.suspend(conn.proxy, { for: 60_000, hostname: "shop.example" });
    await until(async () => (await redisStore(redis).exchange([], 0)).suspensions.length >= 1);
    assertEquals(sent.some((it) => it.includes("open:")), true);
    assertEquals(sent.filter((it) => /canary/i.test(it)), []);
    conn.close();
  } finally {
    await client.close();
    close();
  }
}, { skip });

test("the places of a proxy are counted over all clients, as the proxy sees them", async () => {
  await using running = await server.start();
  await using proxy = await createTestProxy({ credentials: CANARY, rules: { "echo.test:7": "echo" } });
  const connections = await Promise.all([1, 2, 3].map(() => ioredis!.connect(running)));
  const clients = connections.map(({ redis }) =>
    new Socks5Client([{ url: proxy.url, maxOpen: 5 }], { shared: redisStore(redis) })
  );
  let most = 0;
  const use = async (client: Socks5Client) => {
    const conn: Socks5Conn = await client.connect("echo.test:7");
    most = Math.max(most, proxy.open);
    await conn.write(Uint8Array.of(1));
    await conn.read(new Uint8Array(1));
    conn.close();
  };
  try {
    await Promise.all(Array.from({ length: 60 }, (_, i) => use(clients[i % clients.length]!)));
    assertEquals(proxy.connections.length, 60);
    assertLessOrEqual(most, 5);
  } finally {
    await Promise.all(clients.map((it) => it.close()));
    for (const it of connections) it.close();
  }
}, { skip });
