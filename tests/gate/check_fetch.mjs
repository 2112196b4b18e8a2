// What someone who installed the package asks the web for, told with the entries that were imported, required or bundled.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";

export async function checkFetch({ Socks5Client }, { Socks5Agent }, { createFetch }, { createTestProxy }) {
  const web = http.createServer((request, response) => {
    if (request.url === "/redirect") response.writeHead(302, { location: "http://other.test/end" }).end();
    else request.pipe(response);
  });
  await once(web.listen(0, "127.0.0.1"), "listening");

  // behind the proxy all is the server above
  const proxy = await createTestProxy({ rules: () => ({ port: web.address().port }) });
  const client = new Socks5Client(proxy.url, { retry: 0 });

  const fetch = createFetch(client);
  const body = "x".repeat(2 ** 20);
  const response = await fetch("http://a.test/", { method: "POST", body });
  assert.equal(await response.text(), body);
  const redirected = await fetch("http://b.test/redirect");
  assert.deepEqual([redirected.status, redirected.url], [200, "http://other.test/end"]);
  await redirected.text();
  await assert.rejects(fetch("http://a.test/", { signal: AbortSignal.abort(new RangeError("mine")) }), RangeError);

  const agent = new Socks5Agent(client);
  assert(agent instanceof http.Agent);
  const [{ statusCode }] = await once(http.get("http://c.test/", { agent }), "response");
  assert.equal(statusCode, 200);
  agent.destroy();
  const asked = proxy.connections.map(({ request }) => request.hostname);
  assert.deepEqual(asked, ["a.test", "b.test", "other.test", "c.test"]);

  await proxy.close();
  const down = (error) => error instanceof TypeError && error.cause.code === "SOCKS5_PROXY_UNREACHABLE";
  await assert.rejects(fetch(`http://127.0.0.1:${web.address().port}/`), down);
  await fetch.close();
  await assert.rejects(fetch("http://a.test/"), (error) => error.cause.code === "SOCKS5_CLIENT_CLOSED");
  await client.close();
  web.close();
  web.closeAllConnections();
}
