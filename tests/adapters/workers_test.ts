import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { gzipSync } from "node:zlib";
import { createTestProxy, type TestProxy } from "../../testing/mod.ts";
import { recipeCode } from "../support/recipes.ts";
import { listening, type Target } from "../support/targets.ts";
import { quick, test } from "../support/test.ts";
import { type Answer, startWeb } from "../support/http_server.ts";
import type { WorkerOptions } from "../support/workerd/workerd.ts";

const isNode = !("Deno" in globalThis || "Bun" in globalThis);
const isInstalled = existsSync(new URL("../../node_modules/workerd", import.meta.url));
const missing = quick || (isNode ? !isInstalled && "workerd is not installed" : "a test of Node alone starts workerd");
const NODE = ["nodejs_compat", "nodejs_compat_v2"];

/** What a Worker answers whose code that is; `env.PROXY` leads to `proxy`. */
async function answerOf(code: string, proxy: TestProxy, options: Partial<WorkerOptions> = {}): Promise<string> {
  const { bundleProgram } = await import("../support/workerd/bundle.ts");
  const { startWorkerd } = await import("../support/workerd/workerd.ts");
  const main = await bundleProgram(code, options.flags === NODE ? ["node:*"] : []);
  const workerd = await startWorkerd({ main, bindings: { PROXY: proxy.url }, ...options });
  try {
    return await (await fetch(workerd.url)).text();
  } finally {
    await workerd.stop();
  }
}

async function withProxy(to: Promise<Target>, use: (proxy: TestProxy, target: Target) => Promise<void>): Promise<void> {
  const target = await to;
  const proxy = await createTestProxy({
    credentials: { username: "user", password: "pass" },
    rules: () => ({ port: target.port }),
  });
  try {
    await use(proxy, target);
  } finally {
    await proxy.close();
    await target.close();
  }
}

test("the recipe for Workers answers through a proxy with a password", async () => {
  const coded = gzipSync("hello");
  const answer: Answer = (_, response) => {
    response.setHeader("content-encoding", "gzip").setHeader("content-length", coded.length).end(coded);
  };
  await withProxy(startWeb(answer), async (proxy) => {
    const code = recipeCode("worker", { "https://": "http://" });
    assertEquals(await answerOf(code, proxy), "hello");
    assertEquals(proxy.connections.map(({ request }) => request?.hostname), ["example.com"]);
    await proxy.stop();
    assertEquals(await answerOf(code, proxy), "No proxy works");
  });
}, { skip: missing });

test("the recipe for a tunnel in Workers answers with what the target says", async () => {
  const server = createServer((socket) =>
    socket.on("error", () => {}).on("data", (asked) => socket.end(`of ${asked}`))
  );
  await withProxy(listening(server), async (proxy) => {
    assertEquals(await answerOf(recipeCode("worker-tunnel", {}), proxy), "of example.com\r\n");
  });
}, { skip: missing });

test("a bundle of ./workers has nothing of Node, and not the adapters of other runtimes", async () => {
  const { bundleProgram } = await import("../support/workerd/bundle.ts");
  const code = await bundleProgram('export * from "@x/socks5/workers";', []);
  for (const other of ['"node:', "Deno.connect", "Bun.connect"]) assert(!code.includes(other), other);
}, { skip: missing });

test("the main module picks the sockets of Workers by itself", async () => {
  await withProxy(startWeb((_, response) => response.end("hello")), async (proxy) => {
    const code = `
import { Socks5Client } from "@x/socks5";
export default {
  async fetch(_request, env) {
    const client = new Socks5Client(env.PROXY);
    const conn = await client.connect("example.com:80");
    await conn.write(new TextEncoder().encode("GET / HTTP/1.0\\r\\n\\r\\n"));
    const local = await new Promise((resolve) => resolve(new Socks5Client(env.PROXY, { dns: "local" }))).catch(String);
    return new Response(local + await new Response(conn.readable).text());
  },
};`;
    const answer = await answerOf(code, proxy, { flags: NODE });
    assertStringIncludes(answer, 'TypeError: Cannot use dns as "local": the transport has no lookup()HTTP/1.1 200 OK');
    assertEquals(answer.slice(-5), "hello");
    assertEquals(proxy.connections.length, 1);
  });
}, { skip: missing });

test(
  "what would go past the proxy in Workers, or cannot work there, is a TypeError, and nothing is connected to",
  async () => {
    await withProxy(startWeb((_, response) => response.end("direct")), async (proxy, target) => {
      const code = `
import { Socks5Agent } from "@x/socks5/agent";
import { createConnector, createFetch } from "@x/socks5/fetch";
import { serve } from "@x/socks5/serve";
import { get } from "node:http";
const url = "http://127.0.0.1:${target.port}/";
const ways = {
  agent: (proxy) => new Promise((resolve, reject) => get(url, { agent: new Socks5Agent(proxy) }, resolve).on("error", reject)),
  fetch: (proxy) => createFetch(proxy)(url),
  undici: async (proxy) => createConnector(proxy),
  serve: (proxy) => serve(proxy),
};
export default {
  async fetch(_request, env) {
    const said = Object.values(ways).map(async (way) => {
      try {
        await way(env.PROXY);
        return "it works";
      } catch (error) {
        return String(error);
      }
    });
    return new Response((await Promise.all(said)).join("\\n"));
  },
};`;
      const said = (await answerOf(code, proxy, { flags: NODE })).split("\n");
      assertEquals(said.map((it) => it.split(":").slice(0, 2).join(":")), [
        "TypeError: Cannot use Socks5Agent on Cloudflare Workers",
        "TypeError: Cannot use createFetch() of ./fetch on Cloudflare Workers",
        "TypeError: Cannot use undici on Cloudflare Workers",
        "TypeError: Cannot use serve() on Cloudflare Workers",
      ]);
      assertEquals([target.accepted, proxy.connections.length], [0, 0]);
    });
  },
  { skip: missing },
);
