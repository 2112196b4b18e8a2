// TLS through a tunnel: deno run --allow-net=127.0.0.1 examples/tls.ts (or bun, or node)
// In your project, import from "@x/socks5"; on Deno without an install, from "jsr:@x/socks5".
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:tls";
import { Socks5Client, TlsError } from "../mod.ts";
import { createTestProxy } from "../testing/mod.ts";
import { CERTIFICATE, KEY } from "./support/certificate.ts";

// a TLS server and a proxy on loopback, so that it runs anywhere
const server = createServer({ key: KEY, cert: CERTIFICATE, ALPNProtocols: ["hello"] }, (socket) => {
  socket.on("error", () => {}).end("Hello, in secret!");
});
server.on("tlsClientError", (_, socket) => socket.destroy());
await once(server.listen(0, "127.0.0.1"), "listening");
const { port } = server.address() as AddressInfo;
const proxy = await createTestProxy({ rules: { "example.test:443": { port }, "other.test:443": { port } } });

const client = new Socks5Client(proxy.url);
try {
  // the server's certificate is its own authority; for a public server, it is tls: true
  const tls = { caCerts: [CERTIFICATE], alpnProtocols: ["hello"] };
  const conn = await client.connect("example.test:443", { tls });
  const chunks = await Array.fromAsync(conn.readable);
  console.log(`${conn.alpnProtocol}: ${chunks.map((chunk) => new TextDecoder().decode(chunk)).join("")}`);
  conn.close();

  await client.connect("other.test:443", { tls }).catch((error) => {
    if (!(error instanceof TlsError)) throw error;
    console.log(`${error.code}: ${error.message}`);
  });
} finally {
  await client.close();
  await proxy.close();
  server.close();
}
