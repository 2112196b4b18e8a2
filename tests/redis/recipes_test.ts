import { assertEquals, assertRejects } from "@std/assert";
import { readFileSync } from "node:fs";
import { redisStore } from "../../redis/mod.ts";
import { createTestProxy } from "../../testing/mod.ts";
import type { RealProgram } from "../support/real_program.ts";
import { redis, redisCluster } from "../support/real_servers.ts";
import { redisLibraries } from "../support/redis_clients.ts";
import { runRecipe } from "../support/recipes.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const [ioredis, nodeRedis, bun] = redisLibraries.map(({ missing }) => missing);

test("the recipe for ioredis shares places and suspensions", async () => {
  const proxy = await createTestProxy({ credentials: () => 0, rules: { "example.com:80": "echo" } });
  try {
    const texts = {
      "@proxy.example:1080": `@127.0.0.1:${proxy.port}`,
      "@proxy-two.example:1080": `@localhost:${proxy.port}`,
    };
    const [label] = await withServer(redis, (at) => runRecipe("redis-ioredis", { ...at, ...texts }));
    assertEquals(["de-1", "us-1"].includes(label!), true, label);
  } finally {
    await proxy.close();
  }
}, { skip: ioredis || redis.missing });

test("the recipe for node-redis reads what is suspended", async () => {
  assertEquals(await withServer(redis, (at) => runRecipe("redis-node", at)), [""]);
}, { skip: nodeRedis || redis.missing });

test("the recipe for Bun's client reads what is suspended", async () => {
  assertEquals(await withServer(redis, (at) => runRecipe("redis-bun", at)), [""]);
}, { skip: bun === undefined ? "it is for Bun alone" : redis.missing });

test("the recipe for a cluster of node-redis reads what is suspended", async () => {
  assertEquals(await withServer(redisCluster, (at) => runRecipe("redis-cluster", at)), [""]);
}, { skip: nodeRedis || redisCluster.missing });

test("a user of Redis with no more rights than docs/redis.md names can do all that the store does", async () => {
  const [rights] = readFileSync(new URL("../../docs/redis.md", import.meta.url), "utf8").match(/\+eval [^`]+/)!;
  await using running = await redis.start();
  const { send, redis: client, close } = await redisLibraries[0]!.connect(running);
  try {
    await send("ACL", "SETUSER", "crawler", "on", "nopass", "~{crawler}:*", ...rights.split(" "));
    await send("AUTH", "crawler", "any");
    const store = redisStore(client, { prefix: "crawler" });
    const lease = { proxy: "de-1", id: "one" };
    for (const ms of [60_000, 1, 0]) await store.exchange([{ proxy: "de-1", reason: "failure", ms }], 0);
    assertEquals(await store.acquire(lease, 1, 60_000), true);
    await store.renew([lease], 1);
    await until(() => store.acquire({ ...lease, id: "two" }, 1, 60_000));
    await store.release([lease]);
    await assertRejects(() => send("GET", "other"), Error, "NOPERM");
  } finally {
    close();
  }
}, { skip: ioredis || redis.missing });

/** Runs `use` with where a running server is, for the text of a recipe. */
async function withServer<T>(server: RealProgram, use: (at: Record<string, string>) => Promise<T>): Promise<T> {
  await using running = await server.start();
  const { credentials, hostname, port } = running;
  const password = credentials === undefined ? "" : `:${encodeURIComponent(credentials.password)}@`;
  return await use({ "redis.example:6379": `${password}${hostname}:${port}` });
}
