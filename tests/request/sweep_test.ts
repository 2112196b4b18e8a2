import { assert, assertEquals } from "@std/assert";
import { inspect } from "node:util";
import { Socks5Client, type Socks5Error } from "../../mod.ts";
import { withClock } from "../support/clock.ts";
import { FakeTransport, type Script, socks5 } from "../support/fake.ts";
import { FramedConn } from "../support/methods.ts";
import { checkError, countListeners, REASON, sweep, TARGET, TIMEOUT, turns } from "../support/sweep.ts";
import { test } from "../support/test.ts";

const reuse = async (client: Socks5Client): Promise<void> => {
  (await client.connect("example.test:80", { reuse: true })).release();
};

sweep({
  "a connect": {},
  "a connect with a password": { proxies: ["socks5://me:secret@a"] },
  "a connect that fails over": {
    proxies: ["socks5://a", "socks5://b"],
    script: () => {
      const good = socks5();
      let greetings = 0;
      return (conn, written) => written.length === 3 && ++greetings === 1 ? conn.end() : good(conn, written);
    },
  },
  "a connect that overtakes a silent proxy": {
    proxies: ["socks5://a", "socks5://b"],
    options: { attemptDelay: 50 },
    script: () => {
      const good = socks5();
      let greetings = 0;
      return (conn, written) => written.length === 3 && ++greetings === 1 ? undefined : good(conn, written);
    },
  },
  "a connect that overtakes two, of which one breaks, and fails over at the target": {
    proxies: ["socks5://a", "socks5://b", "socks5://c", "socks5://d"],
    options: { attemptDelay: 50 },
    script: () => {
      const good = socks5();
      let greetings = 0;
      let requests = 0;
      return (conn, written) => {
        if (written.length === 3 && ++greetings < 3) return greetings === 1 ? undefined : conn.end();
        if (written.length > 3 && ++requests === 1) return conn.push(5, 1);
        good(conn, written);
      };
    },
  },
  "a bind that overtakes a silent proxy": {
    proxies: ["socks5://a", "socks5://b"],
    options: { attemptDelay: 50, dns: "local" },
    addresses: ["192.0.2.1"],
    script: () => {
      const good = socks5();
      let greetings = 0;
      return (conn, written) => written.length === 3 && ++greetings === 1 ? undefined : good(conn, written);
    },
    connect: (client, signal) => client.bind(TARGET, { signal }),
  },
  "a connect that is tried again": {
    options: { retry: { retries: 2, minDelay: 100 } },
    script: () => {
      const good = socks5();
      let greetings = 0;
      return (conn, written) => written.length === 3 && ++greetings < 3 ? conn.reset() : good(conn, written);
    },
  },
  "a connect that takes the place of an idle tunnel": { options: { pool: { maxOpen: 1 } }, before: reuse },
  "a connect that is given a released tunnel, with first bytes": {
    before: reuse,
    points: 1,
    connect: (client, signal) => client.connect(TARGET, { signal, reuse: true, data: Uint8Array.of(1) }),
  },
  "a connect to the second address of a name": {
    options: { dns: "local", retry: 0 },
    addresses: ["192.0.2.1", "192.0.2.2"],
    script: () => {
      const good = socks5();
      return (conn, written) => written.length === 10 && written[7] === 1 ? conn.push(5, 5) : good(conn, written);
    },
  },
  "a connect with TLS": { tls: true, connect: (client, signal) => client.connect(TARGET, { signal, tls: true }) },
  "a connect with TLS to the proxy": { tls: true, proxies: ["socks5+tls://a"] },
  "TLS on a tunnel that is open": {
    tls: true,
    async connect(client, signal, last) {
      const conn = await client.connect(TARGET, { signal });
      return await last(conn.startTls({ signal }));
    },
  },
  "a connect with a method of one's own": {
    options: {
      methods: [{
        method: 0x80,
        async *negotiate({ conn }) {
          await undefined;
          yield { write: Uint8Array.of(1), have: 2 };
          yield { have: 3 };
          return new FramedConn(conn);
        },
      }],
    },
    script: () => (conn, written) => {
      if (written[0] === 5) conn.push(5, 0x80);
      else if (written.length === 1) conn.push(1, 2, 3);
      else conn.push(1, 3, 0, 10, ...[5, 0, 0, 1, 0, 0, 0, 0, 0, 0].map((byte) => byte ^ 0x5a));
    },
  },
  "a bind": { connect: (client, signal) => client.bind(TARGET, { signal }) },
  "a bind to a name that is looked up here": {
    options: { dns: "local", retry: 0 },
    addresses: ["192.0.2.1"],
    connect: (client, signal) => client.bind(TARGET, { signal }),
  },
  "a bind and its accept": {
    script: () => {
      const good = socks5();
      return (conn, written) => {
        good(conn, written);
        if (written[1] === 2 && written.length > 9) conn.push(5, 0, 0, 1, 127, 0, 0, 1, 0, 9);
      };
    },
    async connect(client, signal, last) {
      const binding = await client.bind(TARGET, { signal });
      return await last(binding.accept({ signal, timeout: TIMEOUT }));
    },
  },
  "an association": {
    script: relay,
    watches: true,
    connect: (client, signal) => client.associate({ signal, allowPrivateRelay: true }),
  },
  "an association from an address": {
    script: relay,
    watches: true,
    connect: (client, signal) => client.associate({ signal, allowPrivateRelay: true, from: "127.0.0.1" }),
  },
  "a resolve": {
    async connect(client, signal, last) {
      await last(client.resolve("example.test", { signal }));
      return null; // there is nothing to close
    },
  },
  "a connect through a chain of two": { chain: true, script: () => socks5({ hops: 2 }) },
});

/** A proxy with a relay for datagrams. */
function relay(): Script {
  const good = socks5();
  return (conn, written) => written[1] === 3 ? conn.push(5, 0, 0, 1, 127, 0, 0, 1, 0, 9) : good(conn, written);
}

test("a connect that takes a released tunnel and ends before it is handed over gives the tunnel back, or closes it", () =>
  withClock(async (clock) => {
    for (const action of ["abort", "expire", "close"] as const) {
      const transport = new FakeTransport(socks5());
      const client = new Socks5Client("socks5://a", { transport, timeout: TIMEOUT });
      await clock.settle(reuse(client));
      const controller = new AbortController();
      const connecting = client.connect("example.test:80", { signal: controller.signal, reuse: true });
      const outcome = connecting.then(() => new Error("it connected"), (error: Error) => error);
      if (action === "abort") controller.abort(REASON);
      if (action === "expire") clock.jump(TIMEOUT);
      if (action === "close") void client.close();
      checkError(await clock.settle(outcome), action);
      assertEquals([client.stats().inUse, client.stats().idle], [0, action === "close" ? 0 : 1]);
      await clock.settle(client.close());
      for (let i = 0; i < 3; i++) await clock.tick(1); // the turn of the loop that nobody waits for any more
      assertEquals(transport.open, 0);
      assert(!clock.next(), "a timer is left");
    }
  }));

test("a connect that waits for a place leaves nothing when it is aborted, times out or the client is closed", () =>
  withClock(async (clock) => {
    for (const action of ["abort", "expire", "close"] as const) {
      const transport = new FakeTransport(socks5());
      const client = new Socks5Client("socks5://a", { transport, timeout: TIMEOUT, pool: { maxOpen: 1 } });
      const held = await clock.settle(client.connect("example.test:80"));
      const controller = new AbortController();
      const listeners = countListeners(controller.signal);
      const waiting = client.connect("example.test:80", { signal: controller.signal });
      const outcome = waiting.then(() => new Error("it connected"), (error: Error) => error);
      await clock.tick(1);
      assertEquals(client.stats().waiting, 1);
      if (action === "abort") controller.abort(REASON);
      if (action === "expire") clock.jump(TIMEOUT);
      if (action === "close") void client.close();
      const error = await clock.settle(outcome);
      checkError(error, action);
      if (action === "expire") {
        assertEquals((error as Socks5Error).phase, "pool");
        assert(error.message.includes("1 of 1 are taken, 1 in use and 0 opening"), error.message);
      }
      assertEquals([client.stats().waiting, listeners(), transport.conns.length], [0, 0, 1]);
      held.close();
      assertEquals(transport.open, 0);
      assert(!clock.next(), "a timer is left");
    }
  }));

test("a connect that got its turn in the same tick as the abort gives the place to the next", () =>
  withClock(async (clock) => {
    const transport = new FakeTransport(socks5());
    const client = new Socks5Client("socks5://a", { transport, pool: { maxOpen: 1 } });
    const held = await clock.settle(client.connect("example.test:80"));
    const controller = new AbortController();
    const second = client.connect("example.test:80", { signal: controller.signal }).catch((reason: unknown) => reason);
    const third = client.connect("example.test:80");
    held.close();
    controller.abort(REASON);
    assertEquals(await clock.settle(second), REASON);
    (await clock.settle(third)).close();
    assertEquals([transport.open, client.stats().opening], [0, 0]);
  }));

test("a tunnel that is closed while TLS is started on it has no TLS, however late", () =>
  withClock(async (clock) => {
    for (const when of Array(13).keys()) {
      const transport = new FakeTransport(socks5());
      transport.onTls = () => {};
      const client = new Socks5Client("socks5://a", { transport });
      const conn = await clock.settle(client.connect(TARGET));
      let wasPending: boolean | undefined;
      transport.onPassed = async (_, what) => {
        if (what !== "tls") return;
        await turns(when);
        wasPending = inspect(securing).includes("pending");
        conn.close();
      };
      const securing = conn.startTls();
      const outcome = await clock.settle(securing.then((secured) => secured, (error: Error) => error));
      await clock.tick(0);
      assertEquals(outcome instanceof Error, wasPending, `${when} turns later`);
      if (outcome instanceof Error) assertEquals((outcome as Socks5Error).code, "SOCKS5_CONN_CLOSED");
      assertEquals(transport.open, wasPending ? 0 : 1);
      await clock.settle(client.close());
    }
  }));

test("a transport that ignores close() cannot hold a connect beyond its time", () =>
  withClock(async (clock) => {
    const transport = { connect: () => Promise.resolve({ read: never, write: never, closeWrite: never, close() {} }) };
    const client = new Socks5Client("socks5://a", { transport, timeout: TIMEOUT, retry: 0, attemptTimeout: 1_000 });
    const error = await clock.settle(client.connect("example.test:80").then(() => null, (error) => error));
    assertEquals([error.code, clock.now], ["SOCKS5_ATTEMPT_TIMEOUT", 1_000]);
  }));

function never(): Promise<never> {
  return new Promise(() => {});
}
