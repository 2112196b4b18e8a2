import { assertEquals } from "@std/assert";
import { once } from "node:events";
import { get } from "node:http";
import { get as getSecure } from "node:https";
import { isProxyFailure as ofAgent, Socks5Agent, toDuplex } from "../../agent/mod.ts";
import { createConnector, createFetch, isProxyFailure as ofFetch } from "../../fetch/mod.ts";
import { isProxyFailure, Socks5Client } from "../../mod.ts";
import { createTestProxy, type TestProxyOptions } from "../../testing/mod.ts";
import { test } from "../support/test.ts";
import { errorOf } from "../support/web.ts";

type Ask = (client: Socks5Client, signal: AbortSignal) => Promise<unknown>;

const requests = { "http:": get, "https:": getSecure };
const ways: Record<string, Ask> = {
  "connect()": (client, signal) => client.connect("a.test:80", { signal }),
  "createFetch()": (client, signal) => createFetch(client)("http://a.test/", { signal }),
  ...Object.fromEntries(
    Object.entries(requests).map((
      [protocol, get],
    ): [string, Ask] => [`Socks5Agent for ${protocol}`, async (client, signal) => {
      throw await errorOf(get(`${protocol}//a.test/`, { agent: new Socks5Agent(client), signal }));
    }]),
  ),
  "toDuplex()": (client) => once(toDuplex((signal) => client.connect("a.test:80", { signal })).connect(), "ready"),
  ...(!("Bun" in globalThis) && {
    "createConnector()": (client: Socks5Client) =>
      new Promise((resolve, reject) => {
        const to = { hostname: "a.test", protocol: "http:", port: "" };
        createConnector(client)(to, (error, socket) => error ? reject(error) : resolve(socket));
      }),
  }),
};

const failures: [what: string, proxy: TestProxyOptions, isProxys: boolean][] = [
  ["a reset in the handshake", { faults: { fault: "reset", at: "negotiate" } }, true],
  ["a refused password", { credentials: { username: "somebody", password: "else" } }, true],
  ["a target that refuses", { rules: () => ({ rep: 5 }) }, false],
  ["a target that the proxy cannot reach", { rules: () => ({ rep: 4 }) }, false],
];

for (const [way, ask] of Object.entries(ways)) {
  test(`${way}: isProxyFailure() tells failures of the proxy from others`, async () => {
    for (const [what, options, isProxys] of failures) {
      const proxy = await createTestProxy(options);
      const client = new Socks5Client({
        hostname: proxy.hostname,
        port: proxy.port,
        credentials: { username: "me", password: "x" },
      }, { retry: 0 });
      const error = await ask(client, new AbortController().signal).then(() => "it succeeded", (error) => error);
      assertEquals([isProxyFailure(error), ofAgent(error), ofFetch(error)], [isProxys, isProxys, isProxys], what);
      await client.close();
      await proxy.close();
    }
  });
}

test("an abort is no failure of the proxy, whatever its reason", async () => {
  const client = new Socks5Client("socks5h://127.0.0.1:1", { retry: 0 });
  for (const way of ["connect()", "createFetch()", "Socks5Agent for http:"]) {
    const reason = new Error("enough");
    const error = await ways[way]!(client, AbortSignal.abort(reason)).catch((error) => error);
    assertEquals(isProxyFailure(error), false, way);
  }
  await client.close();
});
