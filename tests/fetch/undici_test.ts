import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { createRequire } from "node:module";
import { createConnector, createFetch, type UndiciConnector } from "../../fetch/mod.ts";
import { ProxyError, Socks5Client, TlsError } from "../../mod.ts";
import { certificates } from "../support/certificates.ts";
import { withFetch } from "../support/fetch_stage.ts";
import { runRecipe } from "../support/recipes.ts";
import { test } from "../support/test.ts";
import type { Answer } from "../support/http_server.ts";
import { setImmediate as turn } from "node:timers/promises";

/** What of undici is used. */
interface Undici {
  Agent: new (options: { connect: UndiciConnector }) => Dispatcher;
  RetryAgent: new (dispatcher: Dispatcher, options: { minTimeout: number; maxRetries?: number }) => Dispatcher;
  MockAgent: new () => Dispatcher;
  fetch(url: string, init: { dispatcher: Dispatcher; signal?: AbortSignal }): Promise<Response>;
  request(url: string, options: { dispatcher: Dispatcher }): Promise<{ body: { text(): Promise<string> } }>;
  setGlobalDispatcher(dispatcher: Dispatcher): void;
}
type Dispatcher = { close(): Promise<void>; destroy(): Promise<void> };

const runtime = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";
const onNode = { skip: runtime !== "node" && "undici is for Node" } as const;
const { authority, names } = certificates();
const hello: Answer = (_, response) => response.end("hello");
const require = createRequire(import.meta.url);

for (const version of [6, 7, 8]) {
  test(`the examples for undici work with undici ${version}`, async () => {
    await withFetch(hello, {}, async ({ proxy }) => {
      const texts = { "socks5h://user:pass@proxy.example:1080": proxy.url, '"undici"': `"undici${version}"` };
      assertEquals(await runRecipe("undici", texts), ["200 hello"]);
      assertEquals(await runRecipe("from-undici", texts), ["200 hello"]);
      assertEquals(proxy.connections.map(({ request }) => request?.hostname), ["example.com", "example.com"]);
    });
  }, onNode);

  const undici = () => require(`undici${version}`) as Undici;

  test(`undici ${version} of one's own goes through the proxy and keeps its connections`, async () => {
    const { Agent, fetch, request } = undici();
    await withFetch(hello, {}, async ({ client, proxy, web }) => {
      const dispatcher = new Agent({ connect: createConnector(client) });
      for (let i = 0; i < 3; i++) {
        assertEquals(await (await fetch("http://a.test:81/", { dispatcher })).text(), "hello");
        await seen();
        assertEquals(await (await request("http://a.test:81/", { dispatcher })).body.text(), "hello");
        await seen();
      }
      assertEquals(web.seen.map(({ connection }) => connection), [0, 0, 0, 0, 0, 0]);
      assertEquals(proxy.connections.map(({ request }) => `${request?.hostname}:${request?.port}`), ["a.test:81"]);
      await dispatcher.close();
      await proxy.until(() => proxy.open === 0);
    });
  }, onNode);

  test(`undici ${version}: its RetryAgent asks again after a reset, on the way and in the middle`, async () => {
    const { Agent, RetryAgent, request } = undici();
    const faults = [{ fault: "reset", at: "request" } as const];
    await withFetch(hello, { proxy: { faults } }, async ({ client, proxy, web }) => {
      const options = { minTimeout: 1, maxRetries: 2 };
      const dispatcher = new RetryAgent(new Agent({ connect: createConnector(client) }), options);
      assertEquals(await (await request("http://a.test/", { dispatcher })).body.text(), "hello");
      assertEquals([proxy.connections.length, web.seen.length], [2, 1]);
      await dispatcher.close();
    });
    let asked = 0;
    const broken: Answer = (_, response) => ++asked === 1 ? response.socket!.resetAndDestroy() : response.end("hello");
    await withFetch(broken, {}, async ({ client }) => {
      const dispatcher = new RetryAgent(new Agent({ connect: createConnector(client) }), { minTimeout: 1 });
      assertEquals(await (await request("http://a.test/", { dispatcher })).body.text(), "hello");
      assertEquals(asked, 2);
      await dispatcher.close();
    });
  }, onNode);

  test(`undici ${version}: connections that have nothing to do make room for other hosts`, async () => {
    const { Agent, request } = undici();
    await withFetch(hello, {}, async ({ proxy }) => {
      const client = new Socks5Client(proxy.url, { timeout: 5_000, pool: { maxOpen: 2 } });
      const dispatcher = new Agent({ connect: createConnector(client) });
      const ask = async (host: string) => (await request(`http://${host}.test/`, { dispatcher })).body.text();
      for (const host of ["a", "b", "a", "c", "d", "a"]) assertEquals(await ask(host), "hello");
      assertEquals(await Promise.all(["a", "b", "c", "d", "a"].map(ask)), new Array(5).fill("hello"));
      assertEquals(client.stats().failures, 0);
      await dispatcher.close();
      await client.close();
    });
  }, onNode);

  test(
    `undici ${version} of one's own speaks HTTPS through the proxy, with the certificate of the host alone`,
    async () => {
      const { Agent, fetch, request } = undici();
      await withFetch(hello, { tls: names }, async ({ client, proxy, web }) => {
        const dispatcher = new Agent({ connect: createConnector(client, { tls: { caCerts: [authority.cert] } }) });
        assertEquals(await (await fetch("https://example.com/", { dispatcher })).text(), "hello");
        assertEquals(await (await request("https://target.example:444/", { dispatcher })).body.text(), "hello");
        for (
          const asked of [
            fetch("https://other.example/", { dispatcher }),
            request("https://other.example/", { dispatcher }),
          ]
        ) {
          const { code, cause } = await socketErrorOf(asked);
          assertEquals(code, "ERR_TLS_CERT_ALTNAME_INVALID");
          assertInstanceOf(cause, TlsError);
        }
        assertEquals([web.seen.length, web.seen[1]!.headers.host], [2, "target.example:444"]);
        await dispatcher.close();
        await proxy.until(() => proxy.open === 0);
      });
    },
    onNode,
  );

  test(`undici ${version} of one's own fails without the proxy, and its abort leaves nothing`, async () => {
    const { Agent, fetch, request } = undici();
    const faults = [{ fault: "silence", at: "request" } as const];
    await withFetch(hello, { proxy: { faults } }, async ({ client, proxy, web }) => {
      const dispatcher = new Agent({ connect: createConnector(client) });
      const abort = new AbortController();
      const fetching = fetch("http://a.test/", { dispatcher, signal: abort.signal }).catch((error) => error.name);
      await proxy.until(() => proxy.connections[0]?.step === "request");
      abort.abort();
      assertEquals(await fetching, "AbortError");
      await dispatcher.destroy(); // undici would go on connecting, for the next request
      await proxy.stop();
      const down = new Agent({ connect: createConnector(client) });
      const url = `http://127.0.0.1:${web.port}/`;
      for (const asked of [fetch(url, { dispatcher: down }), request(url, { dispatcher: down })]) {
        const { code, cause } = await socketErrorOf(asked);
        assertEquals(code, "ECONNREFUSED");
        assertInstanceOf(cause, ProxyError);
      }
      assertEquals(web.accepted, 0);
      await down.close();
      await proxy.start();
    });
  }, onNode);

  test(`createFetch() has nothing to do with the global dispatcher that undici ${version} sets`, async () => {
    const { MockAgent, setGlobalDispatcher } = undici();
    const symbols = [1, 2].map((n) => Symbol.for(`undici.globalDispatcher.${n}`));
    await globalThis.fetch("data:,"); // loads Node's own
    const before = symbols.map((symbol) => Object.getOwnPropertyDescriptor(globalThis, symbol));
    await withFetch(hello, {}, async ({ client, proxy }) => {
      const mock = new MockAgent();
      setGlobalDispatcher(mock);
      try {
        const own = createFetch(client);
        assertEquals(await (await own("http://a.test/")).text(), "hello");
        await own.close();
        assertEquals(proxy.connections.length, 1);
      } finally {
        symbols.forEach((symbol, i) => before[i] && Object.defineProperty(globalThis, symbol, before[i]));
        await mock.close();
      }
    });
  }, onNode);
}

test("createConnector() refuses what are no options, and Bun", () => {
  const client = new Socks5Client("socks5h://127.0.0.1");
  assertThrows(() => createConnector(client, { tls: { caCerts: ["none"] } }), TypeError, "tls.caCerts");
  if (runtime === "bun") assertThrows(() => createConnector(client), TypeError, "Bun");
  else createConnector(client);
});

/** Lets undici see that a connection is free, for which it waits a turn. */
async function seen(): Promise<void> {
  for (let i = 0; i < 2; i++) await turn();
}

/** The error of the socket, which is that of a request and the cause of what a fetch is rejected with. */
async function socketErrorOf(promise: Promise<unknown>): Promise<Error & { code?: string }> {
  const error = await promise.then(() => new Error("it succeeded"), (error: Error) => error);
  return error instanceof TypeError ? error.cause as Error : error;
}
