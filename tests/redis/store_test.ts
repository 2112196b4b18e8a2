import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { redisStore } from "../../redis/mod.ts";
import { createTestFleet } from "../../testing/mod.ts";
import type { RealProxy } from "../support/real_program.ts";
import { redis as server, redisCluster } from "../support/real_servers.ts";
import { type RedisClient, redisLibraries } from "../support/redis_clients.ts";
import { test } from "../support/test.ts";
import { testStore } from "./stores.ts";

const HOUR = 3_600_000;
const LEASE = { proxy: "de-1", id: "one" };

testStore("the fake store", async (count, use) => {
  const fleet = createTestFleet();
  await use(...Array.from({ length: count }, () => fleet));
});

for (const library of redisLibraries) {
  const skip = library.missing || server.missing;
  const withClients = (count: number, use: (...clients: RedisClient[]) => Promise<void>, of = server) =>
    withServer(async (running) => {
      const clients: RedisClient[] = [];
      try {
        while (clients.length < count) clients.push(await library.connect(running));
        await use(...clients);
      } finally {
        for (const it of clients) it.close();
      }
    }, of);

  testStore(
    `Redis by ${library.name}`,
    (count, use) => withClients(count, (...clients) => use(...clients.map(({ redis }) => redisStore(redis)))),
    skip,
  );

  test(
    `Redis by ${library.name}: a server that forgot the scripts or everything is told again`,
    () =>
      withClients(1, async ({ redis, send }) => {
        const store = redisStore(redis);
        await store.exchange([{ proxy: "de-1", reason: "failure", ms: HOUR }], 0);
        const { cursor } = await store.exchange([], 0);
        assertEquals(await store.acquire(LEASE, 1, HOUR), true);
        await send("SCRIPT", "FLUSH");
        assertEquals(await store.acquire({ ...LEASE, id: "two" }, 1, HOUR), false);
        await send("FLUSHALL");
        await send("SCRIPT", "FLUSH");
        assertEquals(await store.acquire({ ...LEASE, id: "two" }, 1, HOUR), true);
        assertEquals((await store.exchange([], cursor)).suspensions, []);
        await redisStore(redis).exchange([{ proxy: "de-2", reason: "failure", ms: HOUR }], 0);
        assertEquals((await store.exchange([], cursor)).suspensions.map(({ proxy }) => proxy), ["de-2"]);
      }),
    { skip },
  );

  test(`Redis by ${library.name}: the clock that counts is that of Redis`, () =>
    withClients(2, async (a, b) => {
      const { now } = Date;
      const perf = performance.now;
      try {
        const store = redisStore(a.redis);
        await store.exchange([{ proxy: "de-1", reason: "failure", ms: HOUR }], 0);
        await store.acquire(LEASE, 1, HOUR);
        Date.now = () => now() + 24 * HOUR;
        performance.now = () => perf.call(performance) + 24 * HOUR;
        assertEquals((await redisStore(b.redis).exchange([], 0)).suspensions.length, 1);
        assertEquals(await redisStore(b.redis).acquire({ ...LEASE, id: "two" }, 1, HOUR), false);
      } finally {
        Object.assign(Date, { now });
        performance.now = perf;
      }
    }), { skip });

  test(
    `Redis by ${library.name}: keys have the prefix and expire by themselves, and hold nothing but what they were told`,
    () =>
      withClients(1, async ({ redis, send }) => {
        const store = redisStore(redis, { prefix: "crawler" });
        await store.exchange([{ proxy: "de-1", reason: "application", hostname: "a.test", ms: HOUR }], 0);
        await store.exchange([{ proxy: "de-2", reason: "failure", ms: 10_000 }], 0);
        await store.exchange([{ proxy: "de-1", reason: "application", hostname: "a.test", ms: 0 }], 0);
        await store.renew([LEASE], 1_000);
        await store.acquire({ ...LEASE, id: "two" }, 3, HOUR);
        await store.acquire({ ...LEASE, id: "three" }, 3, 1_000);
        const keys = (await send("KEYS", "*") as unknown[]).map(String).sort();
        assertEquals(keys, ["{crawler}:changed", "{crawler}:open:de-1", "{crawler}:suspended"]);
        for (const key of keys) {
          const left = Number(await send("PTTL", key)); // as long as the last one in it
          assertEquals([left > HOUR - 60_000, left <= HOUR], [true, true], `${key} ${left}`);
        }
        const all = await Promise.all(keys.map((key) => send("ZRANGE", key, "0", "-1")));
        assertEquals(
          new Set(all.flat().map(String)),
          new Set([
            '["failure","de-2"]',
            '["application","de-1","a.test"]',
            "one",
            "two",
            "three",
          ]),
        );
      }),
    { skip },
  );

  test(`Redis by ${library.name}: a clock that was set back hides nothing`, () =>
    withClients(1, async ({ redis }) => {
      const store = redisStore(redis);
      const { cursor } = await store.exchange([{ proxy: "de-1", reason: "failure", ms: HOUR }], 0);
      const later = cursor + HOUR * 1_000;
      assertEquals((await store.exchange([], later)).suspensions.length, 1);
    }), { skip });

  test(`Redis by ${library.name}: what is wrong with Redis rejects`, () =>
    withClients(1, async ({ redis, send }) => {
      await send("SET", "{socks5}:open:de-1", "text");
      await assertRejects(() => redisStore(redis).acquire(LEASE, 1, HOUR), Error, "WRONGTYPE");
    }), { skip });
}

for (const library of redisLibraries) {
  const skip = library.cluster === undefined ? "it has none" : library.missing || redisCluster.missing;
  test(`a cluster of ${library.name} keeps all keys together`, () =>
    withServer(async (running) => {
      const { redis, close } = await library.cluster!(running);
      try {
        const store = redisStore(redis);
        await store.exchange([{ proxy: "de-1", reason: "failure", ms: HOUR }], 0);
        await store.renew([LEASE, { ...LEASE, proxy: "de-2" }], HOUR);
        assertEquals(await store.acquire({ ...LEASE, id: "two" }, 1, HOUR), false);
        await store.release([LEASE, { ...LEASE, proxy: "de-2" }]);
        assertEquals((await store.exchange([], 0)).suspensions.length, 1);
      } finally {
        close();
      }
    }, redisCluster), { skip });
}

const answers: [what: string, answer: unknown][] = [
  ["no array", "OK"],
  ["nothing", null],
  ["no cursor", []],
  ["a wrong cursor", ["soon"]],
  ["no name", ["1", "de-1", "5"]],
  ["no milliseconds", ["1", '["failure","de-1"]', "later"]],
];

for (const [what, answer] of answers) {
  test(`an answer of Redis with ${what} rejects`, async () => {
    await assertRejects(() => redisStore(() => Promise.resolve(answer)).exchange([], 0), Error);
  });
}

test("a client that gives numbers as text, bytes or BigInts is understood", async () => {
  for (const as of [String, BigInt, (it: number) => it]) {
    const store = redisStore(() => Promise.resolve(as(1)));
    assertEquals(await store.acquire(LEASE, 1, HOUR), true);
  }
  const bytes = (text: string) => Object.assign(new TextEncoder().encode(text), { toString: () => text });
  const store = redisStore(() => Promise.resolve([bytes("12"), bytes('["failure","de-1"]'), bytes("5")]));
  assertEquals(await store.exchange([], 0), {
    cursor: 12,
    suspensions: [{ proxy: "de-1", reason: "failure", ms: 5 }],
  });
});

const wrong: unknown[] = ["redis://:sesame@127.0.0.1", undefined, null, 5, {}, [], new URL("redis://:sesame@a.test")];

for (const redis of wrong) {
  test(`redisStore() takes no ${redis instanceof URL ? "URL" : JSON.stringify(redis)} for a client`, () => {
    const error = assertThrows(() => redisStore(redis as never), TypeError, "Cannot use redis as a client of ioredis");
    assertEquals(error.message.includes("sesame"), false);
  });
}

test("redisStore() says what is wrong with its options, and with a cluster of node-redis", () => {
  const send = () => Promise.resolve(1);
  assertThrows(() => redisStore(send, { prefx: "a" } as never), TypeError, "did you mean prefix?");
  for (const prefix of ["", "{a}", 5, null]) {
    assertThrows(
      () => redisStore(send, { prefix } as never),
      TypeError,
      "Cannot use prefix as a string without { and }",
    );
  }
  const cluster = { sendCommand: (_key: string, _isReadonly: boolean, _command: string[]) => Promise.resolve(1) };
  assertThrows(() => redisStore(cluster as never), TypeError, "a cluster or a sentinel of node-redis");
});

async function withServer(use: (running: RealProxy) => Promise<void>, of = server): Promise<void> {
  await using running = await of.start();
  await use(running);
}
