import { assertEquals } from "@std/assert";
import { createSecureServer, type Http2SecureServer } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { Socks5Agent, toDuplex } from "../../agent/mod.ts";
import { Socks5Client } from "../../mod.ts";
import type { TestProxy } from "../../testing/mod.ts";
import { certificates } from "../support/certificates.ts";
import { type Imported, library } from "../support/library.ts";
import { runRecipe } from "../support/recipes.ts";
import { withProxy } from "../support/stage.ts";
import { test } from "../support/test.ts";

const PROXY = "socks5h://user:pass@proxy.example:1080";
const isBun = "Bun" in globalThis;

const [axios, got, got15, wrapper] = await Promise.all(["axios", "got", "got15", "http2-wrapper"].map(library));
const caCerts = [certificates().authority.cert];

test("http2.connect() goes through the proxy with the connection of docs/libraries.md", async () => {
  await withSite(async ({ proxy, seen }) => {
    const texts = { [PROXY]: proxy.url, "{ alpnProtocols": `{ caCerts: ${JSON.stringify(caCerts)}, alpnProtocols` };
    assertEquals(await runRecipe("http2", texts), ["200"]);
    assertEquals([seen, proxy.connections.length], [["2.0 /"], 1]);
  });
});

test("axios with httpVersion: 2 goes through the proxy with such a connection", async () => {
  await withSite(async ({ proxy, seen, client }) => {
    const tls = { alpnProtocols: ["h2"], caCerts };
    const createConnection = ({ hostname, port }: URL) =>
      toDuplex((signal) => client.connect({ hostname, port: Number(port) || 443 }, { signal, tls })).connect();
    const http2Options = { createConnection, sessionTimeout: 1 };
    const { data } = await axios!.it.default.get("https://example.com/a", {
      adapter: "http",
      proxy: false,
      httpVersion: 2,
      http2Options,
    });
    assertEquals([data, seen, proxy.connections.length], ["2.0 /a", ["2.0 /a"], 1]);
  });
}, { skip: axios!.missing });

test("the recipe for got 11 to 15 speaks HTTP/2 through the proxy, also when it asks for the protocol", async () => {
  await withSite(async ({ proxy, seen, accepted }) => {
    const ca = JSON.stringify({ ca: caCerts });
    const texts = { 'from "got"': 'from "got15"', '1080")': `1080", ${ca})`, [PROXY]: proxy.url };
    assertEquals(await runRecipe("http2-wrapper", texts), ["200"]);
    assertEquals(seen, ["2.0 /"]);
    assertEquals(proxy.connections.map(({ request }) => request?.hostname), ["example.com", "example.com"]);
    assertEquals(accepted(), 2);
  });
}, { skip: got15!.missing || wrapper!.missing || isBun && "http2-wrapper refuses targets on port 443 on Bun" });

test("got 16 with http2: true goes through the agent", async () => {
  await withSite(async ({ proxy, seen, client }) => {
    const agent = new Socks5Agent(client, { ca: caCerts });
    const options = { http2: true, agent: { http: agent, https: agent }, retry: { limit: 0 } };
    const { body } = await got!.it.default("https://example.com/b", options) as Imported;
    assertEquals([body, seen, proxy.connections.length], ["1.1 /b", ["1.1 /b"], 1]);
    agent.destroy();
  });
}, { skip: got!.missing });

/** Runs `use` with a site for HTTP/1.1 and HTTP/2 that is `example.com:443` behind a proxy, after which nothing is open. */
async function withSite(
  use: (it: { proxy: TestProxy; client: Socks5Client; seen: string[]; accepted: () => number }) => Promise<void>,
): Promise<void> {
  const seen: string[] = [];
  let accepted = 0;
  const server = createSecureServer({ ...certificates().names, allowHTTP1: true }, (request, response) => {
    const said = `${request.httpVersion} ${request.url}`;
    seen.push(said);
    response.end(said);
  });
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    accepted++;
    sockets.add(socket.on("error", () => socket.destroy()).on("close", () => sockets.delete(socket)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  try {
    await withProxy({ rules: { "example.com:443": { port } } }, async (proxy) => {
      const client = new Socks5Client(proxy.url, { retry: 0 });
      await use({ proxy, client, seen, accepted: () => accepted });
      await proxy.until(() => proxy.open === 0);
      await client.close();
    });
  } finally {
    await closed(server, sockets);
  }
}

function closed(server: Http2SecureServer, sockets: Set<Socket>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    for (const socket of sockets) socket.destroy();
  });
}
