import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { once } from "node:events";
import { Agent, get, type IncomingMessage, request } from "node:http";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { PassThrough, Readable } from "node:stream";
import { text as textOf } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { setImmediate as turn, setTimeout as delay } from "node:timers/promises";
import { type BunSocket, bunTransport } from "../../adapters/bun/mod.ts";
import { type DenoConn, denoTransport } from "../../adapters/deno/mod.ts";
import { nodeTransport } from "../../adapters/node/mod.ts";
import { Socks5Client, TlsError } from "../../mod.ts";
import type { Detached, Transport } from "../../src/transport.ts";
import { bytes, readFull, text } from "../support/contract.ts";
import { listen, type Pair, pairOf } from "../support/peer.ts";
import { quick, test } from "../support/test.ts";
import { startModule } from "../support/child.ts";

/** Reads a socket that was handed over up to its end. */
type Way<S> = (detached: Detached<S>, got: (chunk: Uint8Array) => void) => Promise<unknown>;

const nodeWays: Record<string, Way<Socket>> = {
  data: ({ socket }, got) => once(socket.on("data", got), "end"),
  readable: ({ socket }, got) => {
    socket.on("readable", () => {
      for (let chunk; (chunk = socket.read()) !== null;) got(chunk);
    });
    return once(socket, "end");
  },
  "once(data)": async ({ socket }, got) => {
    const ended = once(socket, "end");
    got((await once(socket, "data"))[0]);
    socket.on("data", got);
    await ended;
  },
  pipe: ({ socket }, got) => once(socket.pipe(new PassThrough()).on("data", got), "end"),
  "stream/promises": ({ socket }, got) => pipeline(socket, new PassThrough().on("data", got)),
  "an async iterator": async ({ socket }, got) => {
    for await (const chunk of socket) got(chunk);
  },
  "Readable.toWeb": ({ socket }, got) => readWeb(Readable.toWeb(socket) as ReadableStream<Uint8Array>, got),
};

type DenoSocket = DenoConn & { readable: ReadableStream<Uint8Array> };

const denoWays: Record<string, Way<DenoSocket>> = {
  read: async ({ socket }, got) => {
    const p = new Uint8Array(3);
    for (let n = await socket.read(p); n !== null; n = await socket.read(p)) got(p.slice(0, n));
  },
  readable: ({ socket }, got) => readWeb(socket.readable, got),
};

const bunWays: Record<string, Way<BunSocket>> = {
  "head, reload() and resume()": ({ socket, head }, got) =>
    new Promise<void>((resolve) => {
      got(head);
      socket.reload({ socket: { data: (_: BunSocket, chunk: Uint8Array) => got(chunk), end: () => resolve() } });
      socket.resume();
    }),
};

/** When the caller comes to read. */
const moments: Record<string, () => unknown> = {
  "in the same tick": () => {},
  "a microtask later": () => Promise.resolve(),
  "a tick later": () => new Promise<void>((resolve) => process.nextTick(resolve)),
  "a turn later": () => turn(),
  "20 ms later": () => delay(20),
};

const close = {
  node: ({ socket }: Detached<Socket>) => void socket.destroy(),
  other: ({ socket }: Detached<{ close(): void }>) => {
    try {
      socket.close();
    } catch {
      // reading `readable` to its end has closed it
    }
  },
};

handsOver("nodeTransport", nodeTransport, nodeWays, close.node);
if ("Deno" in globalThis) {
  handsOver(
    "denoTransport",
    denoTransport as unknown as Transport<DenoSocket>,
    denoWays,
    close.other,
  );
}
if ("Bun" in globalThis) handsOver("bunTransport", bunTransport, bunWays, close.other);

function handsOver<S>(
  adapter: string,
  transport: Transport<S>,
  ways: Record<string, Way<S>>,
  closeSocket: (detached: Detached<S>) => void,
): void {
  const detaches = (what: string, check: (pair: Pair<S>) => Promise<Detached<S> | void>) =>
    test(`${adapter}: ${what}`, async () => {
      const pair = await pairOf((to) => transport.connect(to));
      try {
        const detached = await check(pair);
        if (detached) closeSocket(detached);
      } finally {
        pair.conn.close();
        await pair.peer.close();
      }
    });

  for (const [name, way] of Object.entries(ways)) {
    for (const [when, moment] of Object.entries(moments)) {
      detaches(`after detach() ${name}, ${when}, gives what was glued to the bytes before`, async ({ conn, peer }) => {
        await peer.write(bytes("HELLObanner,"));
        assertEquals(text(await readFull(conn, 5)), "HELLO");
        const detached = conn.detach!();
        await moment();
        const { until, ended } = reader(way, detached);
        await until("banner,");
        await peer.write(bytes("more,"));
        await until("banner,more,");
        await peer.write(bytes("last"));
        peer.end();
        assertEquals(await ended, "banner,more,last");
        return detached;
      });

      detaches(`after detach() ${name}, ${when}, gives what comes later`, async ({ conn, peer }) => {
        await peer.write(bytes("HELLO"));
        assertEquals(text(await readFull(conn, 5)), "HELLO");
        const detached = conn.detach!();
        await peer.write(bytes("banner,"));
        await moment();
        const { until, ended } = reader(way, detached);
        await until("banner,");
        await peer.write(bytes("last"));
        peer.end();
        assertEquals(await ended, "banner,last");
        return detached;
      });

      if (adapter === "bunTransport") continue; // Bun has told the end already, which cannot be told again
      detaches(`after detach() ${name}, ${when}, gives the end that came with the bytes`, async ({ conn, peer }) => {
        await peer.write(bytes("HELLObanner"));
        peer.end();
        assertEquals(text(await readFull(conn, 5)), "HELLO");
        await delay(5); // the time for the end to come
        const detached = conn.detach!();
        await moment();
        assertEquals(await reader(way, detached).ended, "banner");
        return detached;
      });
    }
  }

  detaches("detach() is refused while a read is pending, and does no harm", async ({ conn, peer }) => {
    const p = new Uint8Array(4);
    const reading = conn.read(p);
    refused(conn, /read is pending/);
    await peer.write(bytes("fine"));
    assertEquals(await reading, 4);
    return conn.detach!();
  });

  detaches("detach() is refused while a write is pending", async ({ conn, peer }) => {
    peer.pause();
    const writing = assertRejects(() => conn.write(new Uint8Array(16 << 20)), Error);
    refused(conn, /write is pending/);
    conn.close();
    await writing;
    refused(conn, /closed/);
  });

  detaches("detach() is refused after the end", async ({ conn, peer }) => {
    peer.end();
    assertEquals(await conn.read(new Uint8Array(1)), null);
    refused(conn, /ended/);
  });

  detaches("detach() is refused after a reset", async ({ conn, peer }) => {
    peer.reset();
    await assertRejects(() => conn.read(new Uint8Array(1)), Error);
    refused(conn, /ended/);
  });

  detaches(
    "after detach() the connection is of no use, and close() leaves the socket alone",
    async ({ conn, peer }) => {
      const detached = conn.detach!();
      refused(conn, /detached/);
      await assertRejects(() => conn.read(new Uint8Array(1)), Error, "detached");
      await assertRejects(() => conn.write(bytes("x")), Error, "detached");
      await assertRejects(() => conn.closeWrite(), Error, "detached");
      conn.ref!();
      conn.unref!();
      conn.close();
      const { ended } = reader(Object.values(ways)[0]!, detached);
      await peer.write(bytes("alive"));
      peer.end();
      assertEquals(await ended, "alive");
      return detached;
    },
  );

  test(`${adapter}: a reset of a detached socket that nobody listens to is no crash`, async () => {
    const server = await listen();
    const child = startModule(`${program(adapter, server.endpoint)}
            console.log("detached");
      await new Promise((resolve) => process.stdin.once("data", resolve));
      for (let turn = 0; turn < 64; turn++) await new Promise((resolve) => setImmediate(resolve));
      console.log("alive");
      process.exit(0);`);
    const peer = await child.meanwhile(server.accepted());
    await child.says();
    peer.reset();
    await peer.gone();
    child.write("and now?");
    assertEquals(await child.ended, { code: 0, written: "detached\nalive\n" });
    await server.close();
  }, { skip: quick });

  test(`${adapter}: a detached socket keeps the process alive, although the connection did not`, async () => {
    const server = await listen();
    const child = startModule(`${program(adapter, server.endpoint)}
      import { setTimeout } from "node:timers";
      setTimeout(() => console.log("alive"), 50).unref();
      ${waits[adapter]}`);
    const peer = await child.meanwhile(server.accepted());
    await child.says();
    peer.end();
    assertEquals(await child.ended, { code: 0, written: "alive\nend\n" });
    await server.close();
  }, { skip: quick });
}

test("a detached net.Socket serves http, on a connection where bytes were read before", async () => {
  const { conn, peer } = await pairOf((to) => nodeTransport.connect(to));
  await peer.write(bytes("HELLO"));
  await readFull(conn, 5);
  const { socket } = conn.detach!();
  const response = respond(get({ host: "example.com", createConnection: () => socket }));
  assertMatch(text(await peer.received(20)), /^GET \/ HTTP/);
  await peer.write(bytes("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nbody"));
  peer.end();
  assertEquals(await response, "body");
  await peer.close();
});

test("an http.Agent does not use a detached net.Socket again that the server has ended", async () => {
  const server = await listen();
  let opened = 0;
  const agent = new Agent({ keepAlive: true });
  Object.assign(agent, {
    createConnection(_: unknown, done: (error: unknown, socket?: Socket) => void) {
      opened++;
      nodeTransport.connect(server.endpoint).then((conn) => done(null, conn.detach!().socket), done);
    },
  });
  for (const round of [1, 2]) {
    const response = respond(request({ host: "example.com", agent }).end());
    const peer = await server.accepted();
    await peer.received(20);
    await peer.write(bytes(`HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nbody${round}`));
    assertEquals(await response, `body${round}`);
    peer.end();
    await peer.fin(); // the agent gave it up
  }
  assertEquals(opened, 2);
  agent.destroy();
  await server.close();
});

async function respond(request: ReturnType<typeof get>): Promise<string> {
  const [response] = await once(request, "response") as [IncomingMessage];
  return await textOf(response);
}

async function readWeb(stream: ReadableStream<Uint8Array>, got: (chunk: Uint8Array) => void): Promise<void> {
  for await (const chunk of stream) got(chunk);
}

/** Reads, and can wait for a part of what is read. */
function reader<S>(way: Way<S>, detached: Detached<S>): { until(part: string): Promise<void>; ended: Promise<string> } {
  let all = "";
  let look = () => {};
  const got = (chunk: Uint8Array) => {
    all += text(chunk);
    look();
  };
  return {
    ended: way(detached, got).then(() => all),
    until: (part) => new Promise((resolve) => (look = () => all === part && resolve())()),
  };
}

function refused(conn: { detach?(): unknown }, why: RegExp): void {
  assertMatch(assertThrows(() => conn.detach!(), TypeError).message, why);
}

/** How a program waits for the end of a socket that it took over. */
const waits: Record<string, string> = {
  nodeTransport: `socket.resume().on("end", () => console.log("end"));`,
  denoTransport: `socket.read(new Uint8Array(1)).then((n) => { console.log(n ?? "end"); socket.close(); });`,
  bunTransport:
    `socket.reload({ socket: { data() {}, end() { console.log("end"); socket.close(); } } }); socket.resume();`,
};

/** A program that takes a socket over. */
function program(name: string, to: unknown): string {
  const adapter = import.meta.resolve(`../../adapters/${name.replace("Transport", "/mod.ts")}`);
  return `
    import { ${name} } from ${JSON.stringify(adapter)};
    const conn = await ${name}.connect(${JSON.stringify(to)});
    await conn.write(new TextEncoder().encode("hello"));
    conn.unref();
    const { socket } = conn.detach();`;
}

/** A proxy whose target has spoken before the client knows that it is connected, in the segment of the reply. */
async function withEarlyBytes(early: string, use: (client: Socks5Client) => Promise<void>): Promise<void> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.once("data", () => {
        socket.end(Uint8Array.of(5, 0, 0, 1, 127, 0, 0, 1, 0, 80, ...bytes(early)));
      });
      socket.write(Uint8Array.of(5, 0));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const own = "Deno" in globalThis ? denoTransport : "Bun" in globalThis ? bunTransport : nodeTransport;
  const client = new Socks5Client(`socks5h://127.0.0.1:${(server.address() as AddressInfo).port}`, {
    transport: own as Transport,
  });
  try {
    await use(client);
  } finally {
    await client.close();
    server.close();
  }
}

test("what the target says right behind the reply of the proxy is given by detach(), whatever the runtime", async () => {
  const early = "early bytes, more than the longest reply of a proxy has";
  await withEarlyBytes(early, async (client) => {
    const detached = (await client.connect("example.test:80")).detach();
    const [way] = Object.values("Deno" in globalThis ? denoWays : "Bun" in globalThis ? bunWays : nodeWays);
    let got = "Bun" in globalThis ? "" : text(detached.head); // its way reads that itself
    await (way as Way<unknown>)(detached, (chunk) => got += text(chunk));
    assertEquals(got, early);
    (detached.socket as { close?(): void }).close?.();
  });
});

test("TLS is not started behind what the target says right behind the reply of the proxy", () =>
  withEarlyBytes("injected", async (client) => {
    const tunnel = await client.connect("example.test:443");
    const error = await assertRejects(() => tunnel.startTls(), TlsError);
    assertEquals(error.code, "SOCKS5_TLS_PLAINTEXT");
    await assertRejects(() => client.connect("example.test:443", { tls: true }), TlsError, "before the TLS handshake");
  }));
