// A chain of two proxies: deno run --allow-net=127.0.0.1 examples/chain.ts
import { Socks5Client } from "../mod.ts";
import { createTestProxy } from "../testing/mod.ts";
import { startBanner } from "../tests/support/targets.ts";

// a server that greets and two proxies on loopback, so that it runs anywhere
const server = await startBanner("Hello through two proxies!");
const near = await createTestProxy({ credentials: { username: "alice", password: "secret" } });
const far = await createTestProxy({ rules: { "example.test:7": { port: server.port } } });

// a client is a transport: what it opens are connections to the far proxy, through the near one
const client = new Socks5Client(far.url, { transport: new Socks5Client(near.url) });
const conn = await client.connect("example.test:7");
try {
  const bytes = new Uint8Array(100);
  const n = await conn.read(bytes) ?? 0;
  console.log(new TextDecoder().decode(bytes.subarray(0, n)));
  for (const [name, { connections }] of Object.entries({ near, far })) {
    const { hostname, port } = connections[0]!.request!;
    console.log(`the ${name} proxy was asked for ${hostname}:${port}`);
  }
} finally {
  conn.close();
  await Promise.all([near.close(), far.close(), server.close()]);
}
