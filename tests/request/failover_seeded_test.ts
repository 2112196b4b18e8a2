import { assert } from "@std/assert";
import { type Credentials, Socks5Client } from "../../mod.ts";
import { createTestProxy, type TestFaults } from "../../testing/mod.ts";
import { seeded } from "../support/seeded.ts";
import { until } from "../support/wait.ts";

const FAULTS: TestFaults[] = [
  undefined,
  { fault: "close", at: "accept" },
  { fault: "close", at: "negotiate" },
  { fault: "reset", at: "authenticate" },
  { fault: "close", at: "request" },
  { fault: "silence", at: "authenticate" },
  { fault: "refuse-password" },
  { fault: "method", method: 0xff },
  { fault: "http" },
  { fault: "garbage", at: "authenticate" },
  { fault: "refuse", rep: 1 },
  { fault: "refuse", rep: 2 },
  { fault: "answer", at: "request", bytes: "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", then: "close" },
];

seeded(
  "whatever fails, a proxy gets its own credentials or those of the call, and never those of another",
  async (chance) => {
    const faults: TestFaults[] = [];
    const proxies = await Promise.all(Array.from({ length: 4 }, (_, i) =>
      createTestProxy({
        methods: [2, 0],
        credentials: () => 0,
        rules: () => "echo",
        faults: () => faults[i],
      })));
    const own = proxies.map((_, i): Credentials => ({ username: `user-of-${i}`, password: `secret-of-${i}` }));
    const call = { username: "user-of-the-call", password: "secret-of-the-call" };
    const looked = [0, 0, 0, 0];
    for (let scene = 0; scene < 40; scene++) {
      faults.splice(
        0,
        4,
        ...proxies.map(() => chance.pick(FAULTS)),
      );
      const used = proxies.flatMap(({ hostname, port }, i) =>
        chance.below(4) === 0 ? [] : [{ hostname, port, credentials: own[i] }]
      );
      if (used.length === 0) continue;
      const client = new Socks5Client(used, {
        attemptTimeout: 40,
        timeout: 400,
        cooldown: chance.pick([0, 30_000]),
        handshake: chance.pick(["sequential", "pipelined"]),
        retry: { retries: 1, minDelay: 1 },
        pool: { warm: chance.pick([0, 1]) },
      });
      const tell = { credentials: chance.pick([undefined, call, null]) };
      await Promise.all(
        Array.from({ length: 2 }, async () => (await client.connect("web.test:80", tell).catch(() => {}))?.close()),
      );
      await client.close();
      await until(() => proxies.every(({ open }) => open === 0));
      for (const [i, { connections }] of proxies.entries()) {
        for (const { received } of connections.slice(looked[i])) {
          const said = new TextDecoder("latin1").decode(Uint8Array.from(received.flatMap((it) => [...it])));
          const others = own.filter((_, j) => j !== i).flatMap(({ username, password }) => [username, password!]);
          if (tell.credentials !== call) others.push(call.username, call.password);
          assert(
            !others.some((secret) => said.includes(secret)),
            `scene ${scene}: proxy ${i} got ${JSON.stringify(said)}`,
          );
        }
        looked[i] = connections.length;
      }
    }
    for (const proxy of proxies) await proxy.close();
  },
);
