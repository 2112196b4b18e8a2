// TLS through a tunnel, on the socket that it gives away: deno run --allow-net=127.0.0.1 examples/tls.ts
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { connect, createServer } from "node:tls";
import { nodeTransport } from "../adapters/node.ts";
import { Socks5Client } from "../mod.ts";
import { createMockProxy } from "../tests/support/mock_proxy.ts";
import { CERTIFICATE, KEY } from "./support/certificate.ts";

// a TLS server and a proxy on loopback, so that it runs anywhere
const server = createServer({ key: KEY, cert: CERTIFICATE }, (socket) => socket.end("Hello, in secret!"));
await once(server.listen(0, "127.0.0.1"), "listening");
const { port } = server.address() as AddressInfo;
const proxy = await createMockProxy({ rules: { "example.test:443": { port } } });

// nodeTransport runs on Deno and Bun too, and its sockets are those of node:net
const client = new Socks5Client(proxy.url, { transport: nodeTransport });
const conn = await client.connect("example.test:443");
const { socket } = conn.detach();

// `ca` stands in for the authorities that the runtime knows; leave it out for the servers of others
const secure = connect({ socket, servername: "example.test", ca: CERTIFICATE });
try {
  await once(secure, "secureConnect");
  console.log(`${secure.getProtocol()} with ${secure.getPeerCertificate().subject.CN}`);
  console.log(await text(secure));
} finally {
  secure.destroy();
  await proxy.close();
  server.close();
}
