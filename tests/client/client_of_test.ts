import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { once } from "node:events";
import { get } from "node:http";
import type { Socket } from "node:net";
import { Socks5Agent } from "../../agent/mod.ts";
import { createConnector, createFetch } from "../../fetch/mod.ts";
import { type ProxySpec, Socks5Client, type Socks5Options } from "../../mod.ts";
import { type ClientOrProxy, serve } from "../../serve/mod.ts";
import { createTestProxy, type TestProxy } from "../../testing/mod.ts";
import { readHead } from "../support/serve_stage.ts";
import { connectRaw } from "../support/raw_client.ts";
import { assertEchoes } from "../support/stage.ts";
import { test } from "../support/test.ts";
import { answer } from "../support/web.ts";
import { startWeb } from "../support/http_server.ts";

const onBun = "Bun" in globalThis && !("Deno" in globalThis);

/** Something that takes a proxy, or a client. */
interface Taker {
  /** Asks a web server for "hello", and keeps what it has opened. */
  use(): Promise<string>;
  close(): unknown;
}
type Take = (given: ClientOrProxy, client?: Socks5Options) => Taker | Promise<Taker>;

const takers: Record<string, Take> = {
  "createFetch()": (given, client) => {
    const fetch = createFetch(given, { client });
    return { use: async () => await (await fetch("http://web.test/")).text(), close: () => fetch.close() };
  },
  "Socks5Agent": (given, client) => {
    const agent = new Socks5Agent(given, { client });
    return { use: async () => await answer(get("http://web.test/", { agent })), close: () => agent.destroy() };
  },
  "serve()": async (given, client) => {
    const localProxy = await serve(given, { client });
    const ends: (() => Promise<unknown>)[] = [];
    const use = async () => {
      const raw = await connectRaw({ hostname: localProxy.hostname, port: localProxy.port });
      ends.push(() => raw.finish());
      await raw.write(new TextEncoder().encode("CONNECT web.test:80 HTTP/1.1\r\n\r\n"));
      await readHead(raw);
      await raw.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n"));
      await readHead(raw);
      return new TextDecoder().decode(await raw.read(5));
    };
    const close = async () => {
      await localProxy.close();
      for (const end of ends) await end();
    };
    return { use, close };
  },
  ...(!onBun && {
    "createConnector()": (given, client) => {
      const connect = createConnector(given, { client });
      const use = async () => {
        const socket = await new Promise<Socket>((resolve, reject) => {
          connect(
            { protocol: "http:", hostname: "web.test", port: "" },
            (error, it) => it ? resolve(it) : reject(error),
          );
        });
        socket.on("error", () => {}); // the connector ends it
        socket.write("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n");
        const [chunk] = await once(socket, "data");
        return String(chunk).slice(-5);
      };
      return { use, close: () => connect.close() };
    },
  }),
};

const forms: Record<string, (proxy: TestProxy) => ClientOrProxy> = {
  "the URL of a proxy": ({ url }) => url,
  "a URL object": ({ url }) => new URL(url),
  "the parts of a proxy": ({ port }) => ({ hostname: "127.0.0.1", port }),
  "a list, of which the first proxy is down,": ({ url }) => ["socks5h://127.0.0.1:1", url],
};

async function withWeb(use: (proxy: TestProxy) => Promise<void>): Promise<void> {
  const web = await startWeb((_, response) => response.end("hello"));
  const proxy = await createTestProxy({ rules: { "web.test:80": web, "echo.test:7": "echo" } });
  try {
    await use(proxy);
    await proxy.until(() => proxy.open === 0);
  } finally {
    await proxy.close();
    await web.close();
  }
}

for (const [name, take] of Object.entries(takers)) {
  for (const [form, of] of Object.entries(forms)) {
    test(`${name} takes ${form} and closes the client that it makes`, () =>
      withWeb(async (proxy) => {
        // a connection that waits at the proxy is of nobody but the client
        const taker = await take(of(proxy), { pool: { warm: 1 }, retry: 0 });
        assertEquals(await taker.use(), "hello");
        await proxy.until(() => proxy.open === 2);
        await taker.close();
      }));
  }

  test(`${name} leaves a client open that it was given`, () =>
    withWeb(async (proxy) => {
      const client = new Socks5Client(proxy.url);
      const held = await client.connect("echo.test:7");
      const taker = await take(client);
      assertEquals(await taker.use(), "hello");
      await taker.close();
      await assertEchoes(held);
      assertEquals((await client.connect("echo.test:7")).target, "echo.test:7");
      await client.close();
    }));

  test(`${name} fails after it was closed, if the client was its own`, () =>
    withWeb(async (proxy) => {
      const taker = await take(proxy.url);
      await taker.close();
      await assertRejects(() => taker.use());
      assertEquals(proxy.connections.length, 0);
    }));

  test(`${name} takes what a library left in prototypes for no connect()`, () =>
    withWeb(async (proxy) => {
      const spoiled = { configurable: true, value: () => Promise.reject(new Error("went elsewhere")) };
      Object.defineProperty(Object.prototype, "connect", spoiled);
      Object.defineProperty(String.prototype, "connect", spoiled);
      let own: Taker[];
      try {
        own = [await take(proxy.url), await take({ hostname: "127.0.0.1", port: proxy.port })];
      } finally {
        Reflect.deleteProperty(Object.prototype, "connect");
        Reflect.deleteProperty(String.prototype, "connect");
      }
      for (const taker of own) {
        assertEquals(await taker.use(), "hello");
        await taker.close();
      }
    }));

  const wrong: [what: string, given: unknown, client: unknown, error: typeof TypeError | typeof RangeError][] = [
    ["nothing", undefined, undefined, TypeError],
    ["null", null, undefined, TypeError],
    ["a function", () => "secret", undefined, TypeError],
    ["a number", 1080, undefined, TypeError],
    ["an empty list", [], undefined, TypeError],
    ["a list in a list", [["socks5h://me:secret@127.0.0.1"]], undefined, TypeError],
    ["a list with a client", [new Socks5Client("socks5h://127.0.0.1")], undefined, TypeError],
    ["an object without connect()", { hostnam: "secret" }, undefined, TypeError],
    ["a URL of HTTP", "http://me:secret@127.0.0.1", undefined, TypeError],
    ["a URL with a wrong port", "socks5h://me:secret@127.0.0.1:99999", undefined, RangeError],
    ["options that are unknown", "socks5h://me:secret@127.0.0.1", { timout: 5 }, TypeError],
    ["options that are none", "socks5h://me:secret@127.0.0.1", "secret", TypeError],
    ["an option out of range", "socks5h://me:secret@127.0.0.1", { timeout: -1 }, RangeError],
    ["a client as options", "socks5h://me:secret@127.0.0.1", new Socks5Client("socks5h://127.0.0.1"), TypeError],
    ["options beside a client", new Socks5Client("socks5h://127.0.0.1"), {}, TypeError],
  ];
  for (const [what, given, client, kind] of wrong) {
    test(`${name} refuses ${what}, and shows nothing of it`, async () => {
      const error = await assertRejects(async () => void await take(given as ProxySpec, client as Socks5Options), kind);
      assert(!error.message.includes("secret"), error.message);
      assert(/proxy|client|timeout|timout|hostnam|Socks5Client/.test(error.message), error.message);
    });
  }
}

test("close({ drain }) of a local proxy lets finish what goes on before it closes its client", () =>
  withWeb(async (proxy) => {
    const localProxy = await serve(proxy.url);
    const raw = await connectRaw({ hostname: localProxy.hostname, port: localProxy.port });
    await raw.write(new TextEncoder().encode("CONNECT echo.test:7 HTTP/1.1\r\n\r\n"));
    await readHead(raw);
    const closing = localProxy.close({ drain: Infinity });
    await assertRejects(() => connectRaw({ hostname: localProxy.hostname, port: localProxy.port }));
    await raw.write(new TextEncoder().encode("still here"));
    assertEquals(new TextDecoder().decode(await raw.read(10)), "still here");
    raw.end();
    await raw.finish();
    await closing;
  }));

test("destroy() of an agent ends a connection of its client that no request has", () =>
  withWeb(async (proxy) => {
    const agent = new Socks5Agent(proxy.url);
    const stream = agent.createConnection({ host: "echo.test", port: 7 });
    stream.write("ping");
    assertEquals(String((await once(stream, "data"))[0]), "ping");
    const closed = new Promise((resolve) => stream.on("error", () => {}).once("close", resolve));
    agent.destroy();
    await closed;
  }));

test("an agent does not show the options of its client among its own", () => {
  const agent = new Socks5Agent("socks5h://127.0.0.1", { client: { timeout: 5 }, maxSockets: 3 });
  assertEquals(["client" in agent.options, agent.options.maxSockets], [false, 3]);
  assertThrows(() => new Socks5Agent("socks5h://127.0.0.1", { clent: {} } as object), TypeError);
});
