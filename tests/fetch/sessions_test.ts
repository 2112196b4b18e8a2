import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { ConnDuplex } from "../../adapters/duplex.ts";
import { createConnector, createFetch, type FetchInit } from "../../fetch/mod.ts";
import type { ConnectOptions } from "../../mod.ts";
import { certificates } from "../support/certificates.ts";
import { sessionOn, withFetch, withFleet } from "../support/fetch_stage.ts";
import type { Answer } from "../support/http_server.ts";
import { test } from "../support/test.ts";

const { authority, names } = certificates();
const hello: Answer = (_, response) => response.end("hello");
const caCerts = [authority.cert];

for (const tls of [undefined, names]) {
  const url = tls ? "https://example.com/" : "http://example.com/";

  test(`${url}: a connection serves one session alone, and who has none`, async () => {
    await withFleet(hello, { proxies: ["a"], tls }, async ({ client, webs }) => {
      await using fetch = createFetch(client, { tls: { caCerts } });
      const order = [undefined, "one", "two", "one", undefined, "two"];
      for (const session of order) assertEquals(await (await fetch(url, { session })).text(), "hello");
      assertEquals(webs.a!.seen.map(({ connection }) => connection), [0, 1, 2, 1, 0, 2]);
    });
  });

  test(`${url}: a session keeps its proxy, and proxyOf() says which one served a response`, async () => {
    await withFleet(hello, { proxies: ["a", "b", "c"], client: { balance: "round-robin" }, tls }, async (stage) => {
      const { client, proxies } = stage;
      const session = await sessionOn(client, "b");
      await using fetch = createFetch(client, { session, tls: { caCerts } });
      const before = stage.counts();
      for (let i = 0; i < 4; i++) {
        const response = await fetch(url, { headers: { connection: "close" }, session });
        assertEquals([fetch.proxyOf(response), await response.text()], ["b", "hello"]);
      }
      const { a, b, c } = stage.counts();
      assertEquals([a! - before.a!, b! - before.b! >= 1, c! - before.c!], [0, true, 0]);
      assertEquals(proxies.b!.connections.at(-1)!.request!.hostname, "example.com");
    });
  });
}

test("the session of a call goes before that of the fetch, and goes with its redirects", async () => {
  const answer: Answer = ({ url }, response) => {
    if (url === "/end") response.end("end");
    else response.writeHead(302, { location: url === "/far" ? "http://other.test/end" : "/end" }).end("moved");
  };
  await withFleet(answer, {}, async ({ client }) => {
    const [onA, onB] = [await sessionOn(client, "a"), await sessionOn(client, "b")];
    await using fetch = createFetch(client, { session: onA });
    const proxyOf = async (path: string, init?: FetchInit) => {
      const response = await fetch(`http://one.test${path}`, init);
      assertEquals(await response.text(), "end");
      return fetch.proxyOf(response);
    };
    assertEquals([await proxyOf("/far"), await proxyOf("/near")], ["a", "a"]);
    assertEquals([await proxyOf("/far", { session: onB }), await proxyOf("/near", { session: onB })], ["b", "b"]);
    assertEquals(await proxyOf("/end"), "a");
  });
});

test("proxyOf() knows clones, and nothing of other responses", async () => {
  const big: Answer = ({ url }, response) => {
    if (url === "/big") response.write("x".repeat(100_000));
    response.end("y");
  };
  await withFleet(big, { proxies: ["a"] }, async ({ client }) => {
    await using fetch = createFetch(client);
    for (const path of ["/big", "/small"]) {
      const response = await fetch(`http://a.test${path}`);
      const clones = [response.clone(), response.clone().clone()];
      assertEquals([response, ...clones].map(fetch.proxyOf), ["a", "a", "a"]);
      await Promise.all([response, ...clones].map((it) => it.text()));
      assertEquals(fetch.proxyOf(response), "a");
      assertEquals(createFetch(client).proxyOf(response), undefined, "of a fetch that was not used");
    }
    const others: unknown[] = [new Response("x"), await fetch("data:,x"), {}, null, undefined, "a"];
    assertEquals(others.map((it) => fetch.proxyOf(it as Response)), others.map(() => undefined));
  });
});

test("connections of sessions that rest count, and make room for those of others", async () => {
  await withFleet(hello, { client: { pool: { maxOpen: 3 } } }, async ({ client, proxies }) => {
    await using fetch = createFetch(client);
    for (let i = 0; i < 20; i++) await (await fetch("http://a.test/", { session: `s${i}` })).text();
    const { inUse, idle } = client.stats();
    assertEquals([inUse, idle], [0, 3]);
    const open = () => Object.values(proxies).reduce((sum, proxy) => sum + proxy.open, 0);
    await proxies.a!.until(() => open() <= 3);
  });
});

test("a connect() of somebody else's is given the session", async () => {
  await withFleet(hello, { proxies: ["a"] }, async ({ client }) => {
    const given: ConnectOptions[] = [];
    const own = {
      connect: (target: Parameters<typeof client.connect>[0], options?: ConnectOptions) => {
        given.push(options!);
        return client.connect(target, options);
      },
    };
    await using fetch = createFetch(own, { session: "mine" });
    for (const session of [undefined, "yours"]) await (await fetch("http://a.test/", { session })).text();
    assertEquals(given.map(({ session }) => session), ["mine", "yours"]);
  });
});

for (const session of ["", "é".repeat(128)]) {
  test(`a session of ${session.length} letters is a RangeError`, async () => {
    await withFetch(hello, {}, async ({ client, fetch }) => {
      assertThrows(
        () => createFetch(client, { session }),
        RangeError,
        "Cannot use session as a text of 1 to 255 bytes",
      );
      await assertRejects(() => fetch("http://a.test/", { session }), RangeError, "Cannot use init.session");
    });
  });
}

for (const session of [5, null, {}, new Uint8Array(1)] as unknown as string[]) {
  test(`a session that is ${String(session)} is a TypeError`, async () => {
    await withFetch(hello, {}, async ({ client, fetch }) => {
      assertThrows(() => createFetch(client, { session }), TypeError, "Cannot use session as a text of 1 to 255 bytes");
      await assertRejects(() => fetch("http://a.test/", { session }), TypeError, "Cannot use init.session");
    });
  });
}

test("createConnector() connects with its session, and the socket tells the proxy", async () => {
  for (const tls of [undefined, names]) {
    await withFleet(hello, { client: { balance: "round-robin" }, tls }, async ({ client }) => {
      for (const label of ["a", "b", "b", "a"]) {
        const session = await sessionOn(client, label);
        const connect = createConnector(client, { session, tls: { caCerts } });
        const to = { hostname: "example.com", protocol: tls ? "https:" : "http:", port: "" };
        const socket = await new Promise((resolve, reject) => {
          connect(to, (error, socket) => error ? reject(error) : resolve(socket));
        });
        assertEquals((socket as ConnDuplex).proxy, label);
        (socket as ConnDuplex).destroy();
      }
      assertThrows(() => createConnector(client, { session: "" }), RangeError, "session");
    });
  }
}, { skip: "Bun" in globalThis && "createConnector() refuses Bun" });
