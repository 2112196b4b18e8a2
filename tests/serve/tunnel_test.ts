import { versions } from "node:process";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { serve } from "../../serve/mod.ts";
import type { Conn, Socks5Conn } from "../../mod.ts";
import { nodeTransport } from "../../adapters/node/mod.ts";
import { bytes, readAll, readFull, text } from "../support/contract.ts";
import { connectRaw } from "../support/raw_client.ts";
import { socksRequest, withLocalProxy } from "../support/serve_stage.ts";
import { withTarget } from "../support/stage.ts";
import {
  digestOf,
  payload,
  startDigest,
  startExchange,
  startReset,
  startSilent,
  startSource,
  startStalled,
  startTarget,
} from "../support/targets.ts";
import { test } from "../support/test.ts";
import { atRest, until } from "../support/wait.ts";

const MiB = 2 ** 20;

// the three ways in
const ways: Record<string, (address: string) => { serve?: { target: string }; said: Uint8Array; answer: number }> = {
  CONNECT: (address) => ({ said: bytes(`CONNECT ${address} HTTP/1.1\r\n\r\n`), answer: 39 }),
  SOCKS5: (address) => {
    const [hostname, port] = address.split(":");
    return { said: Uint8Array.of(5, 1, 0, ...socksRequest(hostname!, Number(port))), answer: 12 };
  },
  "a fixed port": (target) => ({ serve: { target }, said: new Uint8Array(), answer: 0 }),
};

for (const [way, to] of Object.entries(ways)) {
  test(`${way}: the client's end reaches the target, whose answer comes back`, () =>
    withTarget(startDigest(), (target) => {
      const { said, answer, ...options } = to(target.address);
      return withLocalProxy(options, async ({ dial }) => {
        const raw = await dial(said);
        await raw.read(answer);
        await raw.write(payload(MiB));
        raw.end();
        const all = await raw.finish();
        assertEquals([text(all.bytes), all.ending], [digestOf(payload(MiB)), "end"]);
      });
    }));

  test(`${way}: the target's end reaches the client, which goes on sending`, () => {
    const received = Promise.withResolvers<string>();
    const startsWithEnd = startTarget((socket) => {
      let all = "";
      socket.end("bye");
      socket.on("data", (chunk) => all += chunk).on("end", () => received.resolve(all));
    });
    return withTarget(startsWithEnd, (target) => {
      const { said, answer, ...options } = to(target.address);
      return withLocalProxy(options, async ({ localProxy }) => {
        const conn = await nodeTransport.connect({ hostname: localProxy.hostname, port: localProxy.port });
        if (said.length > 0) await conn.write(said);
        await readFull(conn, answer);
        assertEquals(text(await readAll(conn, 100)), "bye");
        await conn.write(bytes("still here"));
        await conn.closeWrite();
        assertEquals(await received.promise, "still here");
        conn.close();
      });
    });
  });

  test(`${way}: a reset of the target resets the client`, () =>
    withTarget(startReset(4), (target) => {
      const { said, answer, ...options } = to(target.address);
      return withLocalProxy(options, async ({ dial }) => {
        const raw = await dial(said);
        await raw.read(answer);
        await raw.write(bytes("ping"));
        assertEquals((await raw.finish()).ending, "reset");
      });
    }));

  test(`${way}: a reset of the client ends the target's connection`, () =>
    withTarget(startSilent(), (target) => {
      const { said, answer, ...options } = to(target.address);
      return withLocalProxy(options, async ({ dial, proxy }) => {
        const raw = await dial(said);
        await raw.read(answer);
        await target.until(() => target.open === 1);
        raw.reset();
        await proxy.until(() => proxy.open === 0);
        await target.until(() => target.open === 0);
      });
    }));

  test(`${way}: much goes both ways at once, whole`, () =>
    withTarget(startExchange(4 * MiB), (target) => {
      const { said, answer, ...options } = to(target.address);
      return withLocalProxy(options, async ({ localProxy }) => {
        const conn = await nodeTransport.connect({ hostname: localProxy.hostname, port: localProxy.port });
        if (said.length > 0) await conn.write(said);
        await readFull(conn, answer);
        const writing = conn.write(payload(4 * MiB));
        assertEquals(digestOf(await readFull(conn, 4 * MiB)), digestOf(payload(4 * MiB)));
        await writing;
        assertEquals(text(await readAll(conn, 1_000)), digestOf(payload(4 * MiB)));
        conn.close();
      });
    }));

  test(`${way}: a client that goes while the connect waits takes it with it`, () => {
    const { said, answer: _, ...options } = to("127.0.0.1:9");
    return withLocalProxy({ proxy: { rules: () => "silence" }, ...options }, async ({ dial, proxy, client }) => {
      const raw = await dial(said);
      await proxy.until(() => proxy.connections[0]?.request != null);
      raw.reset();
      await proxy.until(() => proxy.open === 0);
      assertEquals(client.stats().opening + client.stats().inUse, 0);
    });
  });
}

for (const way of ["CONNECT", "SOCKS5"]) {
  test(`${way}: a client that ends while the connect waits is gone`, () => {
    const { said } = ways[way]!("127.0.0.1:9");
    return withLocalProxy({ proxy: { rules: () => "silence" } }, async ({ dial, proxy }) => {
      const raw = await dial(said);
      await proxy.until(() => proxy.connections[0]?.request != null);
      raw.end();
      await proxy.until(() => proxy.open === 0);
      assertEquals((await raw.finish()).ending, "end");
    });
  });
}

for (const way of ["CONNECT", "SOCKS5"]) {
  test(`${way}: a client that ends behind early bytes while the connect waits is gone`, () => {
    const { said } = ways[way]!("127.0.0.1:9");
    return withLocalProxy({ proxy: { rules: () => "silence" } }, async ({ ask, dial, proxy }) => {
      const raw = await dial(said);
      await proxy.until(() => proxy.connections[0]?.request != null);
      for (const part of ["early", "bytes"]) {
        await raw.write(bytes(part));
        assertMatch(await ask("GET / HTTP/1.1\r\n\r\n"), /^HTTP\/1.1 400 /); // by now the part has come
      }
      raw.end();
      await proxy.until(() => proxy.open === 0);
      assertEquals((await raw.finish()).ending, "end");
    });
  });
}

test("a fixed port: a client that ends while the connect waits still hears the target", () =>
  withTarget(
    startTarget((socket) => socket.on("end", () => socket.end("220 hello\r\n")).resume()),
    (target) =>
      withLocalProxy({ serve: { target: target.address } }, async ({ dial }) => {
        const raw = await dial();
        raw.end();
        assertEquals(text((await raw.finish()).bytes), "220 hello\r\n");
      }),
  ));

test("close() ends connects that wait", () =>
  withLocalProxy({ proxy: { rules: () => "silence" } }, async ({ dial, proxy, localProxy }) => {
    const raws = await Promise.all(Object.values(ways).slice(0, 2).map((to) => dial(to("127.0.0.1:9").said)));
    await proxy.until(() => proxy.connections.filter((it) => it.request).length === 2);
    await localProxy.close();
    await proxy.until(() => proxy.open === 0);
    for (const raw of raws) await raw.finish();
  }));

const LARGE = 64 * MiB;

test("close() ends transfers to a client and to a target that take nothing more", () =>
  withTarget(
    startSource(LARGE),
    (source) =>
      withTarget(startStalled(), (stalled) =>
        withLocalProxy({}, async ({ localProxy, proxy, client }) => {
          const conns = [];
          for (const { address } of [source, stalled]) {
            const conn = await nodeTransport.connect({ hostname: localProxy.hostname, port: localProxy.port });
            await conn.write(ways.CONNECT!(address).said);
            await readFull(conn, 39);
            conns.push(conn);
          }
          const writing = conns[1]!.write(payload(LARGE)).then(() => "written", () => "broken");
          await atRest(() => proxy.connections[0]!.delivered);
          await localProxy.close();
          assertEquals(await writing, "broken");
          assertEquals(client.stats().inUse, 0);
          for (const conn of conns) conn.close();
          await stalled.close();
        })),
  ));

test("64 MiB to a client that reads slowly are not held in between", () =>
  withTarget(startSource(LARGE), (target) =>
    withLocalProxy({}, async ({ localProxy, proxy }) => {
      const conn = await nodeTransport.connect({ hostname: localProxy.hostname, port: localProxy.port });
      await conn.write(ways.CONNECT!(target.address).said);
      await readFull(conn, 39);
      // what the kernel holds between target, proxy, local proxy and client
      const held = await atRest(() => proxy.connections[0]!.delivered);
      assert(held < LARGE / 2, `${held} bytes went to a client that reads none`);
      const first = await readFull(conn, 8 * MiB);
      const then = await atRest(() => proxy.connections[0]!.delivered);
      assert(then < 8 * MiB + LARGE / 2, `${then} bytes went to a client that has read 8 MiB`);
      const rest = await readAll(conn, 65_536);
      assertEquals(first.length + rest.length, LARGE);
      conn.close();
    })));

test("64 MiB from a client to a target that reads slowly are not held in between", () => {
  let resume = () => {};
  let received = 0;
  const slow = startTarget((socket) => {
    socket.pause();
    resume = () => socket.resume();
    socket.on("data", (chunk) => received += chunk.length).on("end", () => socket.end());
  });
  return withTarget(slow, (target) =>
    withLocalProxy({}, async ({ localProxy }) => {
      const conn = await nodeTransport.connect({ hostname: localProxy.hostname, port: localProxy.port });
      await conn.write(ways.CONNECT!(target.address).said);
      await readFull(conn, 39);
      let taken = 0;
      const write = async () => {
        const piece = new Uint8Array(65_536);
        for (; taken < LARGE; taken += piece.length) await conn.write(piece);
        await conn.closeWrite();
      };
      const writing = write();
      const held = await atRest(() => taken);
      assert(held < LARGE / 2, `${held} bytes were taken for a target that reads none`);
      resume();
      await writing;
      assertEquals(await conn.read(new Uint8Array(1)), null);
      assertEquals(received, LARGE);
      conn.close();
    }));
});

test("a plain answer of 64 MiB to a client that reads slowly is not held in between", () => {
  const head = bytes(`HTTP/1.1 200 OK\r\nContent-Length: ${LARGE}\r\n\r\n`);
  const web = startTarget((socket) => {
    socket.once("data", () => socket.write(head, () => socket.write(payload(LARGE)))).on("end", () => socket.end());
  });
  return withTarget(
    web,
    (target) =>
      withLocalProxy({ proxy: { rules: () => target } }, async ({ localProxy, proxy }) => {
        const conn = await nodeTransport.connect({ hostname: localProxy.hostname, port: localProxy.port });
        await conn.write(bytes("GET http://web.test/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        await readFull(conn, 10);
        const held = await atRest(() => proxy.connections[0]!.delivered);
        assert(held < LARGE / 2, `${held} bytes went to a client that reads none`);
        const all = await readAll(conn, 65_536);
        assertEquals(all.length > LARGE, true);
        conn.close();
      }),
  );
});

test("an end that comes while the target takes nothing is carried, too", async () => {
  const [started, taken, ended] = [1, 2, 3].map(() => Promise.withResolvers<void>());
  let closed = false;
  const target: Conn = {
    read: () => ended!.promise.then(() => null),
    async write(p) {
      started!.resolve();
      await taken!.promise;
      return p.length;
    },
    closeWrite: () => Promise.resolve(ended!.resolve()),
    close: () => void (closed = true),
  };
  const localProxy = await serve({ connect: () => Promise.resolve(target as Socks5Conn) });
  const at = { hostname: localProxy.hostname, port: localProxy.port };
  const raw = await connectRaw(at);
  await raw.write(bytes("CONNECT web.test:80 HTTP/1.1\r\n\r\nbody"));
  await started!.promise;
  raw.end();
  // what comes later was seen, so the end was seen
  const other = await connectRaw(at);
  await other.write(bytes("\x05\x00"));
  await other.finish();
  assertEquals(closed, false);
  taken!.resolve();
  assertEquals((await raw.finish()).ending, "end");
  await localProxy.close();
  assertEquals(closed, true);
});

test("a tunnel that waits holds 1 KiB before the first byte, more while much comes, and 1 KiB after little", async () => {
  const rest = Promise.withResolvers<null>();
  const [little, much] = [[100, 100, 100], 100_000];
  let left = much;
  const held: number[] = []; // by each read
  const target: Conn = {
    read(p) {
      held.push(p.buffer.byteLength);
      const n = Math.min(p.length, left || little.pop() || 0);
      left = Math.max(left - n, 0);
      return n === 0 ? rest.promise : Promise.resolve(n);
    },
    write: (p) => Promise.resolve(p.length),
    closeWrite: () => Promise.resolve(),
    close: () => rest.resolve(null),
  };
  const localProxy = await serve({ connect: () => Promise.resolve(target as Socks5Conn) });
  const conn = await nodeTransport.connect({ hostname: localProxy.hostname, port: localProxy.port });
  await conn.write(ways.CONNECT!("web.test:80").said);
  await readFull(conn, 39 + much + 300);
  const KiB = [1, 4, 16, 64, 64, 16, 4, 1, 1]; // the last one waits
  await until(() => held.length === KiB.length);
  assertEquals(held, KiB.map((it) => it * 1_024));
  conn.close();
  await localProxy.close();
});

/** How many promises are alive after a garbage collection. */
async function promisesAlive(): Promise<number> {
  if (versions.bun === undefined) {
    return (await import("node:v8")).queryObjects(Promise) as number;
  }
  const jsc = "bun:jsc"; // not for the type check
  (globalThis as unknown as { Bun: { gc(force: true): void } }).Bun.gc(true);
  return (await import(jsc)).heapStats().objectTypeCounts.Promise;
}

test("a tunnel that waits holds no promise but that of its read", async () => {
  const [tunnels, rest] = [100, Promise.withResolvers<null>()];
  let reads = 0;
  const target: Conn = {
    read() {
      reads++;
      return rest.promise;
    },
    write: (p) => Promise.resolve(p.length),
    closeWrite: () => Promise.resolve(),
    close: () => rest.resolve(null),
  };
  const localProxy = await serve({ connect: () => Promise.resolve(target as Socks5Conn) });
  const before = await promisesAlive();
  const open = await Promise.all(Array.from({ length: tunnels }, async () => {
    const conn = await nodeTransport.connect({ hostname: localProxy.hostname, port: localProxy.port });
    await conn.write(ways.CONNECT!("web.test:80").said);
    await readFull(conn, 39);
    return conn;
  }));
  await until(() => reads === tunnels);
  const held = await promisesAlive() - before;
  assert(held < 1.5 * tunnels, `${tunnels} tunnels hold ${held} promises`);
  for (const conn of open) conn.close();
  await localProxy.close();
}, { skip: versions.deno !== undefined && "Deno counts no live objects" });

test("a connection of somebody else's whose close() throws disturbs nobody", async () => {
  const closed = Promise.withResolvers<null>();
  let closes = 0;
  const target: Conn = {
    read: () => closed.promise,
    write: (p) => Promise.resolve(p.length),
    closeWrite: () => Promise.resolve(),
    close() {
      closes++;
      closed.resolve(null);
      throw new Error("close() must not throw");
    },
  };
  const localProxy = await serve({ connect: () => Promise.resolve(target as Socks5Conn) });
  const raw = await connectRaw({ hostname: localProxy.hostname, port: localProxy.port });
  await raw.write(ways.CONNECT!("web.test:80").said);
  await raw.read(39);
  raw.reset();
  await until(() => closes > 0);
  await localProxy.close();
});

test("a connection of somebody else's whose read() throws resets the client", async () => {
  const target: Conn = {
    read() {
      throw new Error("read() must not throw");
    },
    write: (p) => Promise.resolve(p.length),
    closeWrite: () => Promise.resolve(),
    close: () => {},
  };
  const localProxy = await serve({ connect: () => Promise.resolve(target as Socks5Conn) });
  const raw = await connectRaw({ hostname: localProxy.hostname, port: localProxy.port });
  await raw.write(ways.CONNECT!("web.test:80").said);
  assertEquals((await raw.finish()).ending, "reset");
  await localProxy.close();
});
