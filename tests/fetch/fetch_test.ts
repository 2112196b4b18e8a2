import { assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { createFetch } from "../../fetch/mod.ts";
import { ClosedError, ProxyError, Socks5Client, TargetError } from "../../mod.ts";
import { causeOf, withFetch } from "../support/fetch_stage.ts";
import { createGate, createTestProxy } from "../../testing/mod.ts";
import { noIpv6, payload, startTarget } from "../support/targets.ts";
import { test } from "../support/test.ts";
import { type Answer, startWeb } from "../support/http_server.ts";

const MIB = 2 ** 20;

const hello: Answer = (_, response) => response.end("hello");

interface Servers {
  Deno?: {
    serve(
      options: { port: number; onListen(): void },
      answer: () => Promise<Response>,
    ): { addr: { port: number }; shutdown(): Promise<void> };
  };
  Bun?: { serve(options: { port: number; fetch: () => Promise<Response> }): { port: number; stop(): Promise<void> } };
}

/** Starts the runtime's own server; `undefined` on Node, whose server takes no responses. */
function startServer(answer: () => Promise<Response>): { port: number; stop(): Promise<void> } | undefined {
  const { Deno, Bun } = globalThis as Servers;
  if (Bun !== undefined) return Bun.serve({ port: 0, fetch: answer });
  const server = Deno?.serve({ port: 0, onListen() {} }, answer);
  return server && { port: server.addr.port, stop: () => server.shutdown() };
}

test("a server of the runtime sends a response on, whether or not somebody has looked at its body", async () => {
  await withFetch(hello, {}, async ({ fetch: ours }) => {
    let looks = false;
    const server = startServer(async () => {
      const response = await ours("http://www.example.test/");
      if (looks) assertEquals(response.body!.locked, false);
      return response;
    })!;
    for (looks of [false, true]) {
      const response = await fetch(`http://127.0.0.1:${server.port}/`);
      assertEquals([response.status, await response.text()], [200, "hello"]);
    }
    await server.stop();
  });
}, { skip: !("Deno" in globalThis || "Bun" in globalThis) && "the server of Node takes no responses" });

test("fetch() goes through the proxy, which resolves the name", async () => {
  await withFetch(hello, {}, async ({ fetch, proxy, web }) => {
    const response = await fetch("http://www.example.test/path?query", { headers: { "x-own": "value" } });
    assertEquals([response.status, await response.text()], [200, "hello"]);
    assertEquals(response.url, "http://www.example.test/path?query");
    assertEquals(proxy.connections.map(({ request }) => [request?.hostname, request?.port]), [[
      "www.example.test",
      80,
    ]]);
    const [{ method, url, headers }] = web.seen as [typeof web.seen[0]];
    assertEquals([method, url, headers.host, headers["x-own"]], ["GET", "/path?query", "www.example.test", "value"]);
    assertEquals(headers["proxy-authorization"], undefined);
  });
});

test("fetch() takes a URL and a Request as well as a string, and a port", async () => {
  await withFetch(hello, {}, async ({ fetch, proxy, web }) => {
    await (await fetch(new URL("http://a.test:81/url"))).text();
    await (await fetch(new Request("http://a.test:82/request", { method: "POST", body: "x" }))).text();
    assertEquals(web.seen.map(({ method, url }) => `${method} ${url}`), ["GET /url", "POST /request"]);
    assertEquals(proxy.connections.map(({ request }) => request?.port), [81, 82]);
  });
});

for (const secure of [false, true]) {
  test(`fetch() follows redirects through the proxy, to another host, ${secure ? "to" : "without"} HTTPS`, async () => {
    const { both, authority } = (await import("../support/certificates.ts")).certificates();
    const end = await startWeb(hello, secure ? { cert: both.cert, key: both.key } : undefined);
    const location = secure ? "https://localhost/end" : "http://other.test/end";
    const rules = (target: string) => ({ port: /^a.test/.test(target) ? start : end.port });
    let start = 0;
    const redirect: Answer = (_, response) => response.writeHead(302, { location }).end();
    await withFetch(redirect, {
      proxy: { rules },
      fetch: { tls: { caCerts: [authority.cert] } },
    }, async ({ fetch, proxy, web }) => {
      start = web.port;
      const response = await fetch("http://a.test/");
      assertEquals([await response.text(), response.url, response.redirected], ["hello", location, true]);
      const targets = proxy.connections.map(({ request }) => `${request?.hostname}:${request?.port}`);
      assertEquals(targets, ["a.test:80", secure ? "localhost:443" : "other.test:80"]);
      const manual = await fetch("http://a.test/", { redirect: "manual" });
      assertEquals(manual.headers.get("location"), location);
      await manual.body?.cancel();
      await assertRejects(() => fetch("http://a.test/", { redirect: "error" }), TypeError);
      assertEquals(end.seen.length, 1);
    }).finally(() => end.close());
  });
}

test("a redirect by 307 sends the body again", async () => {
  const answer: Answer = async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    if (request.url === "/") response.writeHead(307, { location: "http://b.test/end" }).end();
    else response.end(`${request.method} ${body}`);
  };
  await withFetch(answer, {}, async ({ fetch }) => {
    const response = await fetch("http://a.test/", { method: "POST", body: "again" });
    assertEquals(await response.text(), "POST again");
  });
});

test("what is compressed with gzip or br is decoded", async () => {
  const text = "a line that repeats\n".repeat(1000);
  const answer: Answer = (request, response) => {
    const encoding = request.url!.slice(1);
    response.writeHead(200, { "content-encoding": encoding }).end(
      encoding === "br" ? brotliCompressSync(text) : gzipSync(text),
    );
  };
  await withFetch(answer, {}, async ({ fetch }) => {
    for (const encoding of ["gzip", "br"]) assertEquals(await (await fetch(`http://a.test/${encoding}`)).text(), text);
  });
});

test("8 MiB go up as a stream and come down as they are", async () => {
  const bytes = payload(8 * MIB);
  const answer: Answer = async (request, response) => {
    const hash = createHash("sha256");
    for await (const chunk of request) hash.update(chunk);
    response.setHeader("x-received", hash.digest("hex"));
    response.end(bytes);
  };
  await withFetch(answer, {}, async ({ fetch }) => {
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (sent === bytes.length) return controller.close();
        controller.enqueue(bytes.slice(sent, sent += MIB));
      },
    });
    const init = { method: "POST", body, duplex: "half" } as RequestInit;
    const response = await fetch("http://a.test/", init);
    const digest = createHash("sha256").update(bytes).digest("hex");
    assertEquals(response.headers.get("x-received"), digest);
    const hash = createHash("sha256");
    for await (const chunk of response.body!) hash.update(chunk);
    assertEquals(hash.digest("hex"), digest);
  });
});

test("a stream of Node, or any async iterable, is sent as it comes", async () => {
  const answer: Answer = async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    response.end(`${request.headers["transfer-encoding"]} ${body}`);
  };
  await withFetch(answer, {}, async ({ fetch }) => {
    const chunks = async function* () {
      for (const text of ["one, ", "two"]) yield new TextEncoder().encode(text);
    };
    for (const body of [Readable.from(["one, ", "two"], { objectMode: false }), chunks()]) {
      const response = await fetch("http://a.test/", { method: "POST", body: body as unknown as BodyInit });
      assertEquals(await response.text(), "chunked one, two");
    }
  });
});

test("an answer is there before its end, and a request is sent before its end", async () => {
  const gate = createGate();
  const answer: Answer = (request, response) => {
    request.once("data", async (chunk) => {
      response.write(`got ${chunk}`);
      await gate.pass();
      response.end(", the end");
    });
  };
  await withFetch(answer, {}, async ({ fetch, web }) => {
    const up = new TransformStream<Uint8Array, Uint8Array>();
    const writer = up.writable.getWriter();
    const init = { method: "POST", body: up.readable, duplex: "half" } as RequestInit;
    const fetching = fetch("http://a.test/", init);
    await writer.write(new TextEncoder().encode("first"));
    await web.until(() => web.seen.length === 1);
    const ended = writer.close();
    const reader = (await fetching).body!.getReader();
    assertEquals(new TextDecoder().decode((await reader.read()).value), "got first");
    gate.open();
    await ended;
    assertEquals(new TextDecoder().decode((await reader.read()).value), ", the end");
    assertEquals((await reader.read()).done, true);
  });
});

test("a connection is kept and used again, by nobody but the same fetch", async () => {
  await withFetch(hello, {}, async ({ fetch, proxy, web, client }) => {
    const other = createFetch(client);
    for (const each of [fetch, fetch, fetch, other, other]) {
      await (await each("http://a.test/")).text();
    }
    await other.close();
    assertEquals([web.seen.map(({ connection }) => connection), web.accepted], [[0, 0, 0, 1, 1], 2]);
    assertEquals(proxy.connections.length, 2);
  });
});

test("two identities never share a connection", async () => {
  await withFetch(hello, { proxy: { credentials: () => 0, methods: [2] } }, async ({ proxy }) => {
    const users = ["one", "two"];
    const fetches = users.map((user) => createFetch(new Socks5Client(`socks5h://${user}:x@127.0.0.1:${proxy.port}`)));
    for (let round = 0; round < 3; round++) {
      for (const fetch of fetches) await (await fetch("http://a.test/")).text();
    }
    assertEquals(proxy.connections.map(({ credentials }) => credentials?.username), users);
    for (const fetch of fetches) await fetch.close();
  });
});

test("many requests at a time each get their answer", async () => {
  await withFetch((request, response) => response.end(request.url), {}, async ({ fetch }) => {
    const paths = Array.from({ length: 20 }, (_, i) => `/${i}`);
    const texts = await Promise.all(paths.map(async (path) => await (await fetch(`http://a.test${path}`)).text()));
    assertEquals(texts, paths);
  });
});

test("an IPv6 target goes as its address", async () => {
  await withFetch(hello, {}, async ({ fetch, proxy, web }) => {
    assertEquals(await (await fetch("http://[2001:db8::1]:8080/")).text(), "hello");
    assertEquals(proxy.connections[0]?.request, { cmd: 1, atyp: 4, hostname: "2001:db8::1", port: 8080 });
    assertEquals(web.seen[0]?.headers.host, "[2001:db8::1]:8080");
  });
}, { skip: noIpv6 });

test("data: and blob: need no network, and what is no web is refused", async () => {
  await withFetch(hello, {}, async ({ fetch, proxy }) => {
    assertEquals(await (await fetch("data:,some%20text")).text(), "some text");
    const url = URL.createObjectURL(new Blob(["a blob"]));
    assertEquals(await (await fetch(url)).text(), "a blob");
    URL.revokeObjectURL(url);
    for (const url of ["file:///etc/hostname", "ftp://a.test/", "about:blank"]) {
      await assertRejects(() => fetch(url), TypeError);
    }
    assertEquals(proxy.connections.length, 0);
  });
});

for (const scheme of ["http", "https"]) {
  test(`without the proxy ${scheme} fails, with the error of the connect as cause`, async () => {
    await withFetch(hello, {}, async ({ fetch, proxy, web }) => {
      await proxy.stop();
      const cause = await causeOf(fetch(`${scheme}://127.0.0.1:${web.port}/`));
      assertInstanceOf(cause, ProxyError);
      assertEquals([cause.code, cause.target], ["SOCKS5_PROXY_UNREACHABLE", `127.0.0.1:${web.port}`]);
      await proxy.start();
      assertEquals(web.accepted, 0);
    });
  });

  test(`a target that is refused fails ${scheme}, with the error of the connect as cause`, async () => {
    const rules = { "refused.test:81": { rep: 5 } };
    await withFetch(hello, { proxy: { rules } }, async ({ fetch }) => {
      const cause = await causeOf(fetch(`${scheme}://refused.test:81/`));
      assertInstanceOf(cause, TargetError);
      assertEquals(cause.rep, 5);
    });
  });

  test(`a redirect to what is refused fails, with the error of the connect as cause, for ${scheme}`, async () => {
    let port = 0;
    const rules = (target: string) => target === "a.test:80" ? { port } : { rep: 2 };
    const answer: Answer = (_, response) => response.writeHead(302, { location: `${scheme}://b.test:81/` }).end();
    await withFetch(answer, { proxy: { rules } }, async ({ fetch, web }) => {
      port = web.port;
      assertEquals((await causeOf(fetch("http://a.test/"))).target, "b.test:81");
    });
  });
}

test("a target that hangs up is an error, and no answer", async () => {
  const target = await startTarget((socket) => socket.once("data", () => socket.destroy()));
  await withFetch(hello, { proxy: { rules: () => target } }, async ({ fetch }) => {
    const error = await assertRejects(() => fetch("http://a.test/", { method: "POST", body: "x" }), TypeError);
    assertEquals(`${error.message} ${error.cause}`.includes("127.0.0.1:2"), false); // an alias for Deno
  }).finally(() => target.close());
});

test("an earlier failure is no cause of a later one", async () => {
  let refused = true;
  const target = await startTarget((socket) => socket.once("data", () => socket.destroy()));
  const rules = () => refused ? { rep: 5 } : target;
  await withFetch(hello, { proxy: { rules } }, async ({ fetch }) => {
    assertInstanceOf(await causeOf(fetch("http://a.test/")), TargetError);
    refused = false;
    const error = await assertRejects(() => fetch("http://a.test/", { method: "POST", body: "x" }), TypeError);
    assertEquals(error.cause instanceof TargetError, false);
  }).finally(() => target.close());
});

test("an answer of the target is no error, whatever it says", async () => {
  const answer: Answer = (_, response) =>
    response.writeHead(502, { "proxy-status": "other; error=dns_error" }).end("x");
  await withFetch(answer, {}, async ({ fetch }) => {
    const response = await fetch("http://a.test/");
    assertEquals([response.status, await response.text()], [502, "x"]);
  });
});

test("close() ends what is in flight, later calls are rejected, and nothing is left", async () => {
  await withFetch(() => {}, {}, async ({ fetch, proxy, web }) => {
    const inFlight = causeOf(fetch("http://a.test/"));
    await web.until(() => web.seen.length === 1);
    await fetch.close();
    assertInstanceOf(await inFlight, ClosedError);
    assertEquals((await causeOf(fetch("http://a.test/"))).code, "SOCKS5_CLIENT_CLOSED");
    await fetch[Symbol.asyncDispose]();
    await proxy.until(() => proxy.open === 0);
  });
});

test("close() ends what is connecting", async () => {
  await withFetch(
    hello,
    { proxy: { faults: [{ fault: "silence", at: "request" }] } },
    async ({ fetch, proxy }) => {
      const connecting = causeOf(fetch("http://a.test/"));
      await proxy.until(() => proxy.connections[0]?.step === "request");
      await fetch.close();
      assertInstanceOf(await connecting, ClosedError);
      await proxy.until(() => proxy.open === 0);
    },
  );
});

test("createFetch() refuses what are no options", () => {
  const client = new Socks5Client("socks5h://127.0.0.1");
  assertThrows(() => createFetch(client, { tls: { caCerts: ["none"] } }), TypeError, "tls.caCerts");
  assertThrows(() => createFetch(client, { tls: { key: "secret" } }), TypeError, "tls.cert");
  assertThrows(() => createFetch(client, { tls: { serverName: "a.test" } as never }), TypeError, "serverName in tls");
});

test("a client may be whatever connects", async () => {
  const web = await startWeb(hello);
  const proxy = await createTestProxy();
  const client = new Socks5Client(proxy.url);
  const fetch = createFetch({ connect: (_, options) => client.connect(`127.0.0.1:${web.port}`, options) });
  assertEquals(await (await fetch("http://a.test/")).text(), "hello");
  await fetch.close();
  await proxy.close();
  await web.close();
});
