// What someone who installed the package fetches, on whatever Node there is.
import { Socks5Client } from "@x/socks5";
import { createFetch } from "@x/socks5/fetch";
import { createTestProxy } from "@x/socks5/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import process from "node:process";

const web = http.createServer((request, response) => {
  if (request.url === "/redirect") response.writeHead(302, { location: "http://other.test/end" }).end();
  else request.pipe(response);
});
await once(web.listen(0, "127.0.0.1"), "listening");

// behind the proxy all is the server above
const proxy = await createTestProxy({ rules: () => ({ port: web.address().port }) });

const fetch = createFetch(new Socks5Client(proxy.url, { retry: 0 }));
const body = "x".repeat(2 ** 20);
const response = await fetch("http://a.test/", { method: "POST", body });
assert.equal(await response.text(), body);
const redirected = await fetch("http://b.test/redirect");
assert.deepEqual([redirected.status, redirected.url], [200, "http://other.test/end"]);
await redirected.text();
assert.deepEqual(proxy.connections.map((it) => it.request.hostname), ["a.test", "b.test", "other.test"]);
await assert.rejects(fetch("http://a.test/", { signal: AbortSignal.abort(new RangeError("mine")) }), RangeError);

await proxy.close();
const down = (error) => error instanceof TypeError && error.cause.code === "SOCKS5_PROXY_UNREACHABLE";
await assert.rejects(fetch(`http://127.0.0.1:${web.address().port}/`), down);
await fetch.close();
await assert.rejects(fetch("http://a.test/"), (error) => error.cause.code === "SOCKS5_CLIENT_CLOSED");
web.close();
web.closeAllConnections();

const { bun, node } = process.versions;
console.log(`fetched on ${bun ? `Bun ${bun}` : `Node ${node}`}`);
