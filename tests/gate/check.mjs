// What someone who installed the package does first, told with the entries that were imported or required.
import assert from "node:assert/strict";
import { runtime } from "./runtime.mjs";

export async function check({ Socks5Client, TargetError }, { nodeTransport }, { createTestProxy }) {
  const proxy = await createTestProxy({
    credentials: { username: "user", password: "pass" },
    rules: { "echo.test:7": "echo" },
  });
  for (const options of [{}, { transport: nodeTransport }]) {
    const client = new Socks5Client(proxy.url, options);
    const conn = await client.connect("echo.test:7");
    await conn.write(new TextEncoder().encode("ping"));
    const answer = new Uint8Array(4);
    for (let got = 0; got < 4;) got += await conn.read(answer.subarray(got));
    assert.equal(new TextDecoder().decode(answer), "ping");
    conn.close();
    await assert.rejects(client.connect("127.0.0.1:1"), (error) => error instanceof TargetError && error.rep === 5);
    await client.close();
  }
  await proxy.until(() => proxy.open === 0);
  assert.equal(proxy.connections[0].credentials.username, "user");
  await proxy.close();
  console.log(`connected on ${runtime()}`);
}
