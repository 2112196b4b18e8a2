import { assertEquals } from "@std/assert";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { createConnector } from "../../fetch/mod.ts";
import { serve } from "../../serve/mod.ts";
import { Socks5Client } from "../../mod.ts";
import { createTestProxy, type TestProxy } from "../../testing/mod.ts";
import { runRecipe } from "../support/recipes.ts";
import { test } from "../support/test.ts";

// The examples of docs/libraries.md for the standard WebSocket of each runtime.

const runtime = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";
const require = createRequire(import.meta.url);
const credentials = { username: "me", password: "a password of the local proxy" };

type Opener = { open(url: string): WebSocket; close(): Promise<void> };
type Options = { dispatcher?: unknown; client?: unknown; proxy?: unknown };
const Standard = globalThis.WebSocket as unknown as new (url: string, options: Options) => WebSocket;

/** What opens WebSockets through a client. */
async function openerFor(client: Socks5Client, whose: string): Promise<Opener> {
  if (runtime === "node") {
    // of the same major version as that of Node
    const { Agent, WebSocket } = require(`undici${process.versions.undici?.split(".")[0]}`);
    const dispatcher = new Agent({ connect: createConnector(client) });
    const Socket = whose === "undici" ? WebSocket : Standard;
    return { open: (url) => new Socket(url, { dispatcher }), close: () => dispatcher.destroy() };
  }
  for (const name of ["NO_PROXY", "no_proxy"]) delete process.env[name]; // both would go past the local proxy
  const localProxy = await serve(client, { credentials });
  const { username, password } = credentials;
  if (runtime === "bun") {
    const proxy = Object.assign(new URL(localProxy.url), { username, password }).href;
    return { open: (url) => new Standard(url, { proxy }), close: () => localProxy.close() };
  }
  const { Deno } = globalThis as unknown as { Deno: { createHttpClient(options: object): { close(): void } } };
  const http = Deno.createHttpClient({
    proxy: { transport: "socks5", url: `socks5h://${localProxy.hostname}:${localProxy.port}`, basicAuth: credentials },
  });
  return {
    open: (url) => new Standard(url, { client: http }),
    async close() {
      http.close();
      await localProxy.close();
    },
  };
}

for (const whose of runtime === "node" ? ["the runtime", "undici"] : ["the runtime"]) {
  test(`the WebSocket of ${whose} goes through the proxy`, async () => {
    await withSockets(whose, async ({ opener, proxy, port }) => {
      for (const url of ["ws://echo.test/path", `ws://127.0.0.1:${port}/`]) {
        const socket = opener.open(url);
        const said = new Promise((resolve, reject) => {
          socket.onopen = () => socket.send("ping");
          socket.onmessage = ({ data }) => resolve(data);
          socket.onerror = () => reject(new Error("it failed"));
        });
        assertEquals(await said, `ping at ${new URL(url).host}`);
        const closed = new Promise((resolve) => socket.onclose = resolve);
        socket.close();
        await closed;
      }
      const targets = proxy.connections.map(({ request }) => `${request?.hostname}:${request?.port}`);
      assertEquals(targets, ["echo.test:80", `127.0.0.1:${port}`]);
    });
  });

  test(`without the proxy the WebSocket of ${whose} fails, and nothing goes past it`, async () => {
    await withSockets(whose, async ({ opener, proxy, port, count }) => {
      await proxy.stop();
      for (const host of ["127.0.0.1", "localhost"]) {
        const socket = opener.open(`ws://${host}:${port}/`);
        await new Promise((resolve, reject) => {
          socket.onopen = () => reject(new Error("it is open"));
          socket.onerror = resolve; // Node 22 says no more
        });
      }
      assertEquals(count(), 0);
      await proxy.start();
    });
  });
}

const PROXY = "socks5h://user:pass@proxy.example:1080";

const examples: Record<string, (proxy: string) => Promise<string[]>> = {
  node: (proxy) => {
    const undici = `"undici${process.versions.undici?.split(".")[0]}"`;
    return runRecipe("websocket-node", { [PROXY]: proxy, '"undici"': undici });
  },
  bun: (proxy) => runRecipe("websocket-bun", { [PROXY]: proxy }),
  deno: (proxy) => runRecipe("websocket-deno", { [PROXY]: proxy }),
};

test("the example for this runtime's WebSocket works", async () => {
  await withSockets("the runtime", async ({ proxy }) => {
    assertEquals(await examples[runtime]!(proxy.url), ["open"]);
    assertEquals(proxy.connections.map(({ request }) => request?.hostname), ["echo.example"]);
  });
});

interface Sockets {
  opener: Opener;
  proxy: TestProxy;
  port: number;
  /** How many connections the server has had. */
  count(): number;
}

/** Runs `use` with a WebSocket server behind a proxy. */
async function withSockets(whose: string, use: (sockets: Sockets) => Promise<void>): Promise<void> {
  const { WebSocketServer } = require("ws");
  const server = createServer();
  let count = 0;
  server.on("connection", () => count++);
  const sockets = new WebSocketServer({ server });
  // deno-lint-ignore no-explicit-any -- the package has no types
  sockets.on("connection", (socket: any, request: any) => {
    socket.on("message", (said: unknown) => socket.send(`${said} at ${request.headers.host}`));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const proxy = await createTestProxy({ rules: () => ({ port }) });
  const client = new Socks5Client(proxy.url, { retry: 0 });
  const opener = await openerFor(client, whose);
  try {
    await use({ opener, proxy, port, count: () => count });
  } finally {
    await opener.close();
    await client.close();
    await proxy.close();
    for (const socket of sockets.clients) socket.terminate();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}
