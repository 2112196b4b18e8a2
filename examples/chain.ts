// A chain of two proxies: deno run --allow-net=127.0.0.1 examples/chain.ts (or bun, or node)
// In your project, import from "@x/socks5"; on Deno without an install, from "jsr:@x/socks5".
import { Socks5Client } from "../mod.ts";
import { createTestProxy } from "../testing/mod.ts";

// two proxies on loopback, so that it runs anywhere; behind the far one, example.test:7 echoes
const near = await createTestProxy({ credentials: { username: "alice", password: "secret" } });
const far = await createTestProxy({ rules: { "example.test:7": "echo" } });

// a client is a transport: it opens the connections to the far proxy, through the near one
const client = new Socks5Client(far.url, { transport: new Socks5Client(near.url) });
const conn = await client.connect("example.test:7");
try {
  await conn.write(new TextEncoder().encode("Hello through two proxies!"));
  const bytes = new Uint8Array(100);
  const n = await conn.read(bytes) ?? 0;
  console.log(new TextDecoder().decode(bytes.subarray(0, n)));
  for (const [name, { connections }] of Object.entries({ near, far })) {
    const { hostname, port } = connections[0]!.request!;
    console.log(`the ${name} proxy was asked for ${hostname}:${port}`);
  }
} finally {
  conn.close();
  await Promise.all([near.close(), far.close()]);
}
