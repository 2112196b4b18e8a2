// HTTP by hand over the streams of a tunnel: deno run --allow-net=127.0.0.1 examples/http_request.ts (or bun, or node)
// In your project, import from "@x/socks5"; on Deno without an install, from "jsr:@x/socks5".
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { Socks5Client } from "../mod.ts";
import { createTestProxy } from "../testing/mod.ts";

// a web server and a proxy on loopback, so that it runs anywhere
const server = createServer((_request, response) => response.end("Hello through the tunnel!\n"));
await once(server.listen(0, "127.0.0.1"), "listening");
const { port } = server.address() as AddressInfo;
const proxy = await createTestProxy({
  credentials: { username: "alice", password: "secret" },
  rules: { "example.test:80": { port } },
});

const client = new Socks5Client(proxy.url); // socks5h://alice:secret@127.0.0.1:…
const conn = await client.connect("example.test:80");
try {
  const writer = conn.writable.getWriter();
  await writer.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: example.test\r\nConnection: close\r\n\r\n"));
  for await (const text of conn.readable.pipeThrough(new TextDecoderStream())) process.stdout.write(text);
} finally {
  conn.close();
  await proxy.close();
  server.close();
}
