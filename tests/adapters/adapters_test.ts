import { assert, assertEquals, assertInstanceOf, assertLess, assertRejects, assertStrictEquals } from "@std/assert";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { Socket } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { bunTransport } from "../../adapters/bun/mod.ts";
import { denoTransport } from "../../adapters/deno/mod.ts";
import { nodeTransport } from "../../adapters/node/mod.ts";
import { runtimeTransport } from "../../adapters/runtime.ts";
import type { Endpoint, OwnedTransport, Transport } from "../../src/transport.ts";
import { bytes, contract, readFull, text } from "../support/contract.ts";
import { blackHole, listen, type Listener, pairOf } from "../support/peer.ts";
import { quick, test } from "../support/test.ts";
import { startModule } from "../support/child.ts";

const adapters: [name: string, transport: OwnedTransport][] = [["nodeTransport", nodeTransport as OwnedTransport]];
if ("Deno" in globalThis) adapters.push(["denoTransport", denoTransport as OwnedTransport]);
if ("Bun" in globalThis) adapters.push(["bunTransport", bunTransport as OwnedTransport]);

const noIPv6 = !Object.values(networkInterfaces()).flat().some((it) => it?.address === "::1") && "no IPv6 on loopback";
const noProc = !existsSync("/proc/net/tcp") && "there is no /proc here";

for (const [name, transport] of adapters) {
  contract(name, () => pairOf((to) => transport.connect(to)));

  test(`${name}: connect() takes an IPv6 address`, async () => {
    await greets(transport, { hostname: "::1" });
  }, { skip: noIPv6 });

  test(`${name}: connect() takes the path of a unix socket`, async () => {
    const folder = await mkdtemp(join(tmpdir(), "socks5-"));
    await greets(transport, { path: join(folder, "peer.sock") });
    await rm(folder, { recursive: true });
  });

  test(`${name}: connect() rejects what is refused, unknown or impossible, and leaves no listener on the signal`, async () => {
    const { signal, listeners } = watchedSignal();
    const refused = { hostname: "127.0.0.1", port: 1 };
    const unknown = { hostname: "nonexistent.invalid", port: 80 };
    for (const to of [refused, unknown, { ...refused, port: 70_000 }, { path: "/nonexistent/socket" }]) {
      await assertRejects(() => transport.connect(to, { signal }), Error);
      assertEquals(listeners(), 0);
    }
  });

  test(`${name}: a signal that is aborted beforehand rejects with its reason and opens nothing`, async () => {
    const server = await listen();
    const reason = { any: "thing" };
    const aborted = transport.connect(server.endpoint, { signal: AbortSignal.abort(reason) });
    assertStrictEquals(await rejection(aborted), reason);
    (await transport.connect(server.endpoint)).close();
    await (await server.accepted()).close();
    assertEquals(server.count(), 1);
    server.close();
  });

  test(`${name}: an abort while connecting rejects at once with its reason`, async () => {
    const hole = await blackHole();
    const reason = new Error("enough");
    const abort = new AbortController();
    const dialling = rejection(transport.connect(hole.endpoint, { signal: abort.signal }));
    await turn();
    const start = performance.now();
    abort.abort(reason);
    assertStrictEquals(await dialling, reason);
    assertLess(performance.now() - start, 200);
    await hole.close();
  });

  test(`${name}: whenever an abort comes, it is a rejection and no socket, or a connection`, async () => {
    const server = await listen();
    for (let i = 0; i < 150; i++) {
      const abort = new AbortController();
      const dialling = transport.connect(server.endpoint, { signal: abort.signal });
      const outcome = dialling.then((conn) => conn, (reason) => reason);
      await moments[i % moments.length]!(i);
      abort.abort(i);
      const conn = await outcome;
      if (conn === i) continue;
      await turn();
      assertEquals(await conn.write(bytes("x")), 1);
      conn.close();
    }
    await server.close();
  });

  for (const how of ["signal", "owner"] as const) {
    test(`${name}: an attempt that is given up by its ${how} in the same tick is a rejection, to a unix socket, too`, async () => {
      const folder = await mkdtemp(join(tmpdir(), "socks5-"));
      for (const at of [{ hostname: "127.0.0.1" }, { path: join(folder, "peer.sock") }]) {
        const server = await listen(at);
        for (let i = 0; i < 5; i++) {
          const [abort, owner] = [new AbortController(), new Owner()];
          const options = how === "signal" ? { signal: abort.signal } : { owner };
          const dialling = rejection(transport.connect(server.endpoint, options));
          abort.abort(i);
          owner.close();
          const reason = await dialling;
          if (how === "signal") assertEquals(reason, i);
          else assert(reason instanceof Error && reason.message !== DID_NOT, String(reason));
          (await transport.connect(server.endpoint, { owner: new Owner() })).close(); // the next one is not disturbed
        }
        await gone(server);
        await server.close();
      }
      await rm(folder, { recursive: true });
    });
  }

  test(`${name}: an abort after the connection is open has no effect`, async () => {
    const { signal, abort, listeners } = watchedSignal();
    const { conn, peer } = await pairOf((to) => transport.connect(to, { signal }));
    assertEquals(listeners(), 0);
    abort();
    await turn();
    await peer.write(bytes("still"));
    assertEquals(text(await readFull(conn, 5)), "still");
    await conn.write(bytes("here"));
    assertEquals(text(await peer.received(4)), "here");
    conn.close();
    await peer.close();
  });

  test(`${name}: an owner is given, once, what ends an attempt that waits: at once, and with an error`, async () => {
    const hole = await blackHole();
    const owner = new Owner();
    const dialling = rejection(transport.connect(hole.endpoint, { owner }));
    await turn();
    await turn();
    assertEquals(owner.owned.length, 1);
    const start = performance.now();
    owner.close();
    assertInstanceOf(await dialling, Error);
    assertLess(performance.now() - start, 200);
    owner.close(); // it may come twice
    await hole.close();
  });

  test(`${name}: what an owner closes in the moment in which it is given is never open`, async () => {
    const server = await listen();
    for (const to of [server.endpoint, { hostname: "127.0.0.1", port: 1 }]) {
      const owner = { own: (dialling: { close(): void }) => dialling.close() };
      const error = await rejection(transport.connect(to, { owner }));
      assert(error instanceof Error && !(error instanceof TypeError), String(error));
    }
    await gone(server);
    await server.close();
  });

  test(`${name}: an owner that refuses what it is given has the last word`, async () => {
    const server = await listen();
    const reason = { any: "thing" };
    const owner = {
      own(): never {
        throw reason;
      },
    };
    assertStrictEquals(await rejection(transport.connect(server.endpoint, { owner })), reason);
    await gone(server);
    await server.close();
  });

  test(`${name}: whenever an owner closes, nothing is left open, and what opened before is open or closed`, async () => {
    const server = await listen();
    let [opened, rejected] = [0, 0];
    for (let i = 0; i < 150; i++) {
      const owner = new Owner();
      let settled = false;
      const outcome = transport.connect(server.endpoint, { owner }).finally(() => settled = true);
      outcome.catch(() => {});
      await moments[i % moments.length]!(i);
      const wasOpen = settled;
      if (!wasOpen) owner.close();
      const conn = await outcome.catch((error) => {
        assertInstanceOf(error, Error);
        rejected++;
      });
      if (conn === undefined) continue;
      opened++;
      if (wasOpen) assertEquals(await conn.write(bytes("x")), 1);
      conn.close();
    }
    assert(opened > 0 && rejected > 0, `opened ${opened} times, rejected ${rejected} times`);
    await gone(server);
    await server.close();
  });

  test(`${name}: with an owner what is refused, unknown or impossible is rejected as without one`, async () => {
    const refused = { hostname: "127.0.0.1", port: 1 };
    const unknown = { hostname: "nonexistent.invalid", port: 80 };
    for (const to of [refused, unknown, { path: "/nonexistent/socket" }]) {
      const [plain, error] = [
        await rejection(transport.connect(to)),
        await rejection(transport.connect(to, {
          owner: new Owner(),
        })),
      ] as [Error & { code?: string }, Error & { code?: string }];
      assertEquals([error.name, error.code, error.message], [plain.name, plain.code, plain.message]);
    }
  });

  test(`${name}: with an owner the connection is as without one, and one after another is`, async () => {
    for (let i = 0; i < 3; i++) {
      const owner = new Owner();
      const { conn, peer } = await pairOf((to) => transport.connect(to, { owner, noDelay: true, keepAlive: 1000 }));
      await conn.write(bytes("hello"));
      assertEquals(text(await peer.received(5)), "hello");
      await peer.write(bytes("there"));
      assertEquals(text(await readFull(conn, 5)), "there");
      conn.close();
      owner.close();
      await peer.close();
    }
  });

  test(`${name}: it uses an owner, and says so: no signal has to be made`, () => {
    assertEquals(transport.usesOwner, true);
  });

  test(`${name}: keepAlive is an option, and on by default`, async () => {
    // Deno's own API has no delay
    const short = name === "denoTransport" ? 7200 : 30;
    for (const [keepAlive, seconds] of [[undefined, 7200], [true, 7200], [false, 0], [30_000, short]] as const) {
      const server = await listen();
      const conn = await transport.connect(
        server.endpoint,
        keepAlive === undefined ? {} : { keepAlive, noDelay: keepAlive === true },
      );
      await server.accepted();
      const timer = keepAliveTimer((server.endpoint as { port: number }).port);
      assert(Math.abs(timer - seconds) < 5, `keepAlive: ${keepAlive} gives a timer of ${timer} s`);
      conn.close();
      await server.close();
    }
  }, { skip: noProc });

  for (const again of [false, true]) {
    test(
      `${name}: ${again ? "ref() undoes unref()" : "unref() lets a program end although a read waits"}`,
      async () => {
        const server = await listen();
        const child = startModule(program(name, server.endpoint, again));
        const peer = await child.meanwhile(server.accepted());
        if (again) {
          assertEquals(await child.says(), "alive\n");
          peer.end();
        }
        assertEquals(await child.ended, { code: 0, written: again ? "alive\nread null\n" : "" });
        assertEquals(text(await peer.received(5)), "hello");
        await server.close();
      },
      { skip: quick },
    );
  }
}

test("runtimeTransport hands an owner on, and one who refuses what was loaded for him has nothing opened", async () => {
  const server = await listen();
  const reason = { any: "thing" };
  const owner = {
    own(dialling: { close(): void }): never {
      dialling.close();
      throw reason;
    },
  };
  for (let i = 0; i < 2; i++) {
    const error = await rejection(runtimeTransport.connect(server.endpoint, { owner }));
    assert(error === reason || (error instanceof Error && !(error instanceof TypeError)), String(error));
  }
  assertEquals(runtimeTransport.usesOwner, true);
  await gone(server);
  await server.close();
});

test("runtimeTransport opens the running runtime's own sockets, from the first connect on", async () => {
  const pairs = await Promise.all([1, 2, 3].map(() => pairOf((to) => runtimeTransport.connect(to))));
  for (const { conn, peer } of pairs) {
    const { socket } = conn.detach!();
    if ("Deno" in globalThis) assert("localAddr" in (socket as object) && !(socket instanceof Socket));
    else if ("Bun" in globalThis) assert("reload" in (socket as object));
    else assertInstanceOf(socket, Socket);
    (socket as { close?(): void; destroy?(): void })[socket instanceof Socket ? "destroy" : "close"]!();
    await peer.close();
  }
});

/** Owns what it is given, as an attempt does. */
class Owner {
  readonly owned: { close(): void }[] = [];

  own(dialling: { close(): void }): void {
    this.owned.push(dialling);
  }

  close(): void {
    for (const dialling of this.owned) dialling.close();
  }
}

/** Waits until the other side has closed all that a server has accepted, and what is still to be accepted. */
async function gone(server: Listener): Promise<void> {
  await server.settled();
  for (let i = server.count(); i > 0; i--) {
    await (await server.accepted()).fin().catch(() => {}); // a reset is an end, too
  }
}

/** Waits for a moment around the opening of a connection. */
const moments: ((i: number) => unknown)[] = [
  () => {},
  () => Promise.resolve(),
  () => turn(),
  async () => (await turn(), await turn()),
  () => new Promise((resolve) => (busy(2), setTimeout(resolve, 0))),
  () => new Promise((resolve) => (setImmediate(resolve), busy(2))),
  () => new Promise((resolve) => (setTimeout(resolve, 1), busy(3))),
  (i) => new Promise((resolve) => setTimeout(resolve, i % 3)),
];

function busy(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end;);
}

const DID_NOT = "It did not reject";

function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(() => new Error(DID_NOT), (reason) => reason);
}

/** A signal that counts who listens. */
function watchedSignal(): { signal: AbortSignal; abort(): void; listeners(): number } {
  const controller = new AbortController();
  const { signal } = controller;
  const listeners = new Set<unknown>();
  const add = signal.addEventListener;
  const remove = signal.removeEventListener;
  Object.assign(signal, {
    addEventListener(...args: Parameters<typeof add>) {
      listeners.add(args[1]);
      add.apply(signal, args);
    },
    removeEventListener(...args: Parameters<typeof remove>) {
      listeners.delete(args[1]);
      remove.apply(signal, args);
    },
  });
  return { signal, abort: () => controller.abort(), listeners: () => listeners.size };
}

/** The seconds until the system probes the connection to that port; 0 if it does not. */
function keepAliveTimer(port: number): number {
  const remote = port.toString(16).toUpperCase().padStart(4, "0");
  const rows = readFileSync("/proc/net/tcp", "utf8").split("\n").map((row) => row.trim().split(/\s+/));
  const [kind, when] = rows.find((row) => row[2]?.endsWith(`:${remote}`) && row[3] === "01")![5]!.split(":");
  return kind === "02" ? parseInt(when!, 16) / 100 : 0;
}

/** A program that has nothing to do but to read; what it says shows that it does not end, whoever waits for it. */
function program(name: string, to: Endpoint, again: boolean): string {
  const adapter = import.meta.resolve(`../../adapters/${name.replace("Transport", "/mod.ts")}`);
  return `
    import { setTimeout } from "node:timers";
    import { ${name} } from ${JSON.stringify(adapter)};
    const conn = await ${name}.connect(${JSON.stringify(to)});
    await conn.write(new TextEncoder().encode("hello"));
    conn.read(new Uint8Array(1)).then((n) => { console.log("read " + n); conn.close(); });
    conn.unref();
    ${again ? "conn.ref();" : ""}
    setTimeout(() => console.log("alive"), 50).unref();`;
}

/** Says hello both ways. */
async function greets(transport: Transport, at: { hostname: string } | { path: string }): Promise<void> {
  const server = await listen(at);
  const conn = await transport.connect(server.endpoint, { noDelay: true, keepAlive: 1000 });
  const peer = await server.accepted();
  await conn.write(bytes("hello"));
  assertEquals(text(await peer.received(5)), "hello");
  await peer.write(bytes("there"));
  assertEquals(text(await readFull(conn, 5)), "there");
  conn.close();
  await server.close();
}
