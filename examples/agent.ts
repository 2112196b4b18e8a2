// Requests of node:http through an agent: deno run --allow-net=127.0.0.1 examples/agent.ts (or bun, or node)
// In your project, import from "@x/socks5/agent"; on Deno without an install, from "jsr:@x/socks5/agent".
import { once } from "node:events";
import { createServer, get } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { Socks5Agent } from "../agent/mod.ts";
import { createTestProxy } from "../testing/mod.ts";

// a web server and a proxy on loopback, so that it runs anywhere
const server = createServer(({ url }, response) => response.end(`You asked for ${url}`));
await once(server.listen(0, "127.0.0.1"), "listening");
const { port } = server.address() as AddressInfo;
const proxy = await createTestProxy({
  credentials: { username: "alice", password: "secret" },
  rules: { "example.test:80": { port } },
});

const agent = new Socks5Agent(proxy.url); // socks5h://alice:secret@127.0.0.1:…
try {
  for (const path of ["/one", "/two"]) {
    const [response] = await once(get(`http://example.test${path}`, { agent }), "response");
    console.log(response.statusCode, await text(response));
  }
  console.log(
    `connections to the proxy: ${proxy.connections.length}, since the second request used the first one again`,
  );
} finally {
  agent.destroy();
  await proxy.close();
  server.close();
}
