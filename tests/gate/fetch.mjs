// What someone who installed the package fetches, on whatever Node there is.
import { Socks5Client } from "@x/socks5";
import { createFetch } from "@x/socks5/fetch";
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import process from "node:process";

const web = http.createServer((request, response) => {
  if (request.url === "/redirect") response.writeHead(302, { location: "http://other.test/end" }).end();
  else request.pipe(response);
});
await once(web.listen(0, "127.0.0.1"), "listening");

// A SOCKS5 proxy for names without a password, behind which all is the server above.
const asked = [];
const sockets = new Set();
const proxy = net.createServer((socket) => {
  sockets.add(socket);
  socket.on("error", () => {});
  socket.once("data", () => {
    socket.write(Buffer.of(5, 0));
    socket.once("data", (request) => {
      assert.deepEqual([...request.subarray(0, 4)], [5, 1, 0, 3]);
      asked.push(String(request.subarray(5, 5 + request[4])));
      const target = net.connect(web.address().port, "127.0.0.1", () => {
        socket.write(Buffer.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
        socket.pipe(target).pipe(socket);
      });
      target.on("error", () => socket.destroy());
      socket.on("close", () => target.destroy());
    });
  });
});
await once(proxy.listen(0, "127.0.0.1"), "listening");

const fetch = createFetch(new Socks5Client(`socks5h://127.0.0.1:${proxy.address().port}`, { retry: 0 }));
const body = "x".repeat(2 ** 20);
const response = await fetch("http://a.test/", { method: "POST", body });
assert.equal(await response.text(), body);
const redirected = await fetch("http://b.test/redirect");
assert.deepEqual([redirected.status, redirected.url], [200, "http://other.test/end"]);
await redirected.text();
assert.deepEqual(asked, ["a.test", "b.test", "other.test"]);
await assert.rejects(fetch("http://a.test/", { signal: AbortSignal.abort(new RangeError("mine")) }), RangeError);

for (const socket of sockets) socket.destroy();
await new Promise((resolve) => proxy.close(resolve));
const down = (error) => error instanceof TypeError && error.cause.code === "SOCKS5_PROXY_UNREACHABLE";
await assert.rejects(fetch(`http://127.0.0.1:${web.address().port}/`), down);
await fetch.close();
await assert.rejects(fetch("http://a.test/"), (error) => error.cause.code === "SOCKS5_CLIENT_CLOSED");
web.close();
web.closeAllConnections();

const { bun, node } = process.versions;
console.log(`fetched on ${bun ? `Bun ${bun}` : `Node ${node}`}`);
