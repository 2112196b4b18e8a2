import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { createRequire } from "node:module";
import process from "node:process";
import { createContext, runInContext } from "node:vm";
import { createTestProxy } from "../../testing/mod.ts";
import { bundled, missing } from "../support/bundlers.ts";
import { startWeb } from "../support/http_server.ts";
import { test } from "../support/test.ts";
import { startUdpEcho } from "../support/udp_targets.ts";

// What browsers and workers have, too; the rest of a context is its own, such as Error and Uint8Array.
const WEB = [
  ...["AbortController", "AbortSignal", "Blob", "FormData", "Headers", "ReadableStream", "Request", "Response", "URL"],
  ...["TextDecoder", "TextEncoder", "WritableStream", "clearTimeout", "performance", "queueMicrotask", "setTimeout"],
];

const IMPORTS = `
  import { Socks5Client } from "./mod.ts";
  import { Socks5Agent, toDuplex } from "./agent/mod.ts";
  import { createFetch } from "./fetch/mod.ts";
`;

test("a bundle for browsers can be imported, and what would connect names Deno, Bun and Node", async () => {
  // what bundlers put in the place of modules of Node: nothing
  const { ways } = await evaluated(
    `${IMPORTS}
    const client = new Socks5Client("socks5h://proxy.test", { retry: 0 });
    const local = new Socks5Client("socks5h://proxy.test", { retry: 0, dns: "local" });
    export const ways = {
      connect: () => client.connect("a.test:80"),
      connectByAddress: () => local.connect("a.test:80"),
      bind: () => client.bind("127.0.0.1:0"),
      associate: () => client.associate(),
      resolve: () => client.resolve("a.test"),
      check: () => client.check("a.test:80", { tls: true }),
      agent: () => new Socks5Agent(client),
      stream: () => toDuplex(() => client.connect("a.test:80")),
      fetch: () => createFetch(client)("http://a.test/"),
    };`,
    { require: () => ({}) },
  );
  for (const [name, connect] of Object.entries(ways as Record<string, () => unknown>)) {
    const error = await (async () => await connect())().then(() => "no error", (error) => error);
    assertStringIncludes(
      String(error),
      "SOCKS5 needs the sockets of Deno, Bun, Node or Workers, and this is none of them",
      name,
    );
  }
}, { skip: missing });

test("in a context of node:vm all goes through the proxy, and bytes and URLs may be of another one", async () => {
  const web = await startWeb((request, response) => request.pipe(response));
  const echo = await startUdpEcho();
  const proxy = await createTestProxy({
    rules: { "web.test:80": { port: web.port }, "echo.test:7": "echo" },
    udp: { rules: { "echo.test:7": echo } },
  });
  const require = createRequire(import.meta.url);
  const { ways, close } = await evaluated(
    `${IMPORTS}
    import { Buffer } from "node:buffer";
    import { request } from "node:http";
    import { URL } from "node:url";

    const client = new Socks5Client(new URL(${JSON.stringify(proxy.url)}), { retry: 0 });
    const fetch = createFetch(client);
    const agent = new Socks5Agent(client);
    const echoed = async (data) => {
      const conn = await client.connect("echo.test:7");
      await conn.write(data);
      await conn.closeWrite();
      return await new Response(conn.readable).text();
    };
    const fetched = async (body) => await (await fetch("http://web.test/", { method: "POST", body })).text();
    export const ways = {
      ownBytes: () => echoed(new TextEncoder().encode("hello")),
      otherBytes: () => echoed(Buffer.from("hello")),
      stream: async () => {
        const stream = toDuplex((signal) => client.connect("echo.test:7", { signal }), { allowHalfOpen: true });
        stream.end("hello");
        return Buffer.concat(await stream.toArray()).toString();
      },
      agent: () => new Promise((resolve, reject) => {
        const asked = request("http://web.test/", { agent, method: "POST" }, (response) => {
          response.setEncoding("utf8").on("data", resolve);
        });
        asked.on("error", reject).end("hello");
      }),
      fetchText: () => fetched("hello"),
      fetchOwnBytes: () => fetched(Uint8Array.of(104, 101, 108, 108, 111)),
      fetchOtherBytes: () => fetched(Buffer.from("hello")),
      datagram: async () => {
        const association = await client.associate();
        try {
          await association.send(Buffer.from("hello"), "echo.test:7");
          return Buffer.from((await association.receive()).data).toString();
        } finally {
          association.close();
        }
      },
    };
    export async function close() {
      agent.destroy();
      await fetch.close();
      await client.close();
    }`,
    { require, process },
  ) as { ways: Record<string, () => Promise<string>>; close: () => Promise<void> };
  try {
    for (const [name, hello] of Object.entries(ways)) {
      assertEquals([name, await hello().catch(String)], [name, "hello"]);
    }
    const { accepted } = web;
    await proxy.stop();
    for (const [name, hello] of Object.entries(ways)) assertMatch(await hello().catch(String), /Error: /, name);
    assertEquals(web.accepted, accepted);
  } finally {
    await close();
    await proxy.close();
    await web.close();
    await echo.close();
  }
}, { skip: missing });

/** What a program exports that runs in a context of `node:vm`. */
async function evaluated(program: string, globals: Record<string, unknown>): Promise<Record<string, unknown>> {
  const web = Object.fromEntries(WEB.map((name) => [name, (globalThis as Record<string, unknown>)[name]]));
  const module = { exports: {} };
  runInContext(await bundled(program), createContext({ ...web, ...globals, module }));
  return module.exports;
}
