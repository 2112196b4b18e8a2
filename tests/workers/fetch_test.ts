import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import {
  createFetch,
  type FetchOptions,
  ProxyError,
  Socks5Client,
  type Socks5Fetch,
  TlsError,
} from "../../workers/mod.ts";
import type { TestConnection } from "../../testing/mod.ts";
import { bytes, text } from "../support/contract.ts";
import { listen, pattern, type Peer } from "../support/peer.ts";
import { test } from "../support/test.ts";
import { type Remote, remote } from "../support/workerd/remote.ts";
import { inAnotherRequest } from "../support/workerd/test.ts";

interface Stage {
  fetch: Socks5Fetch;
  /** Where the web server is. */
  web: string;
  server: Remote;
  connections(): Promise<TestConnection[]>;
  proxy: string;
}

/** Runs `use` with a fetch through a proxy with a password; nothing may be open at it in the end. */
async function withFetch(
  use: (stage: Stage) => Promise<void>,
  certificate?: "both",
  options?: FetchOptions,
): Promise<void> {
  const [proxy, server] = await Promise.all([
    remote("proxy", { credentials: { username: "user", password: "pass" } }) as Promise<Remote>,
    remote("web", ...certificate === undefined ? [] : [certificate]) as Promise<Remote>,
  ]);
  const url = await proxy.call("url") as string;
  const fetch = createFetch(url, { client: { retry: 0 }, ...options });
  const web = `${certificate === undefined ? "http" : "https"}://127.0.0.1:${await server.call("port")}`;
  const connections = async () => await proxy.call("connections") as TestConnection[];
  try {
    await use({ fetch, web, server, connections, proxy: url });
    await fetch.close();
    while (await proxy.call("open") as number > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  } finally {
    await fetch.close();
    await proxy.call("close");
    await server.call("close");
  }
}

/** Runs `use` with a fetch, and a target whose bytes the test sends by itself. */
async function withTarget(
  use: (fetch: Socks5Fetch, url: string, accepted: () => Promise<Peer>) => Promise<void>,
): Promise<void> {
  const listener = await listen();
  await withFetch(async ({ fetch }) => {
    const { port } = listener.endpoint as { port: number };
    try {
      await use(fetch, `http://127.0.0.1:${port}/`, () => listener.accepted());
    } finally {
      await listener.close();
    }
  });
}

/** Resolves when the other side has closed, or reset. */
async function ended(peer: Peer): Promise<void> {
  await peer.fin().catch(() => {});
}

/** The head of a request, once it is there. */
async function headOf(peer: Peer): Promise<string> {
  for (let n = 1;; n++) {
    const got = text(await peer.received(n));
    if (got.includes("\r\n\r\n")) return got;
    n = got.length;
  }
}

/** What the standard wants of a body that is a stream, in words that all types know. */
const half: object = { duplex: "half" };

interface Echo {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: string;
}

const echoed = async (response: Promise<Response>) => await (await response).json() as Echo;

test("fetch() goes through the proxy, and gives what the target sent", async () => {
  await withFetch(async ({ fetch, web, connections }) => {
    const response = await fetch(`${web}/hello?x`);
    assertEquals([response.status, response.ok, response.url, response.redirected, response.type], [
      200,
      true,
      `${web}/hello?x`,
      false,
      "basic",
    ]);
    assertEquals(await response.text(), "hello");
    assertEquals(typeof fetch.proxyOf(response), "string");
    const [{ credentials, request }] = await connections() as [TestConnection];
    assertEquals([credentials?.username, request?.hostname], ["user", "127.0.0.1"]);
  });
});

test("fetch() of an https: URL checks the certificate", async () => {
  await withFetch(async ({ fetch, web }) => {
    assertEquals(await (await fetch(web)).text(), "hello");
    assertEquals(await (await fetch(web.replace("127.0.0.1", "localhost"))).text(), "hello");
  }, "both");
  const tls = await remote("tlsEcho", "stranger") as Remote;
  await withFetch(async ({ fetch }) => {
    const error = await fetch(`https://127.0.0.1:${await tls.call("port")}`).catch((error: unknown) => error);
    assertInstanceOf(error, TypeError);
    assertInstanceOf(error.cause, TlsError);
  });
  await tls.call("close");
});

test("calls one after another share a connection, sessions do not, and calls at the same time have one each", async () => {
  await withFetch(async ({ fetch, web, connections }) => {
    for (let i = 0; i < 3; i++) await (await fetch(web)).text();
    assertEquals((await connections()).length, 1);
    await (await fetch(web, { method: "HEAD" })).text();
    await fetch(`${web}/status?status=204`);
    assertEquals((await connections()).length, 1);
    await (await fetch(web, { session: "a" })).text();
    assertEquals((await connections()).length, 2);
    await Promise.all([1, 2, 3].map(async () => await (await fetch(`${web}/chunks`)).text()));
    assertEquals((await connections()).length, 4);
  });
});

test("the fields of a request are those of the caller, without what is of the connection", async () => {
  await withFetch(async ({ fetch, web }) => {
    const headers = {
      "x-own": "käse",
      "te": "trailers",
      "connection": "keep-alive, x-own",
      "authorization": "Basic eA==",
    };
    const { method, url, headers: seen } = await echoed(fetch(`${web}/echo?a=b#hash`, { headers }));
    assertEquals([method, url, seen["host"], seen["x-own"], seen["te"], seen["authorization"]], [
      "GET",
      "/echo?a=b",
      web.slice("http://".length),
      "käse",
      undefined,
      "Basic eA==",
    ]);
    assertEquals([seen["accept"], seen["accept-encoding"], seen["user-agent"]], [
      "*/*",
      "gzip, deflate",
      "Cloudflare-Workers",
    ]);
  });
});

test("bodies of every kind are sent, with a length if they have one, and in chunks if not", async () => {
  await withFetch(async ({ fetch, web }) => {
    const stream = () =>
      new ReadableStream({
        start(controller) {
          for (const part of ["one ", "", "two"]) controller.enqueue(bytes(part));
          controller.close();
        },
      });
    const form = new FormData();
    form.append("name", "value");
    for (
      const [body, length, sent] of [
        ["text", "4", "text"],
        [bytes("bytes"), "5", "bytes"],
        [new Blob(["blob"]), "4", "blob"],
        [new URLSearchParams({ a: "b c" }), "5", "a=b+c"],
        [stream(), undefined, "one two"],
      ] as [BodyInit, string | undefined, string][]
    ) {
      const echo = await echoed(fetch(`${web}/echo`, { method: "POST", body, ...half }));
      assertEquals([echo.method, echo.headers["content-length"], echo.body], ["POST", length, sent]);
      assertEquals(echo.headers["transfer-encoding"], length === undefined ? "chunked" : undefined);
    }
    const sized = await echoed(
      fetch(`${web}/echo`, { method: "PUT", body: stream(), headers: { "content-length": "7" }, ...half }),
    );
    assertEquals([sized.headers["content-length"], sized.body], ["7", "one two"]);
    const multipart = await echoed(fetch(`${web}/echo`, { method: "POST", body: form }));
    assert(multipart.body.includes('name="name"\r\n\r\nvalue\r\n'), multipart.body);
    const request = await echoed(fetch(new Request(`${web}/echo`, { method: "POST", body: "of a Request" })));
    assertEquals([request.body, request.headers["content-length"]], ["of a Request", "12"]);
  });
});

test("an upload that fails, or is not as long as it says, is the error of the call", async () => {
  await withFetch(async ({ fetch, web }) => {
    const reason = new TypeError("no more");
    const broken = new ReadableStream({ pull: () => Promise.reject(reason) });
    assertStrictEquals(
      await fetch(`${web}/echo`, { method: "POST", body: broken, ...half }).catch((error) => error),
      reason,
    );
    for (const length of ["3", "10"]) {
      const body = new Response("12345").body!;
      const headers = { "content-length": length };
      await assertRejects(
        () => fetch(`${web}/echo`, { method: "POST", body, headers, ...half }),
        TypeError,
        "Content-Length",
      );
    }
  });
});

test("an answer before the upload has ended is given, and ends that", async () => {
  await withTarget(async (fetch, url, accepted) => {
    let canceled = false;
    const body = new ReadableStream({
      pull: (controller) => controller.enqueue(pattern(10_000)),
      cancel: () => void (canceled = true),
    });
    const calling = fetch(url, { method: "POST", body, ...half });
    const peer = await accepted();
    await peer.pause();
    await peer.write(bytes("HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\n\r\ntoo large"));
    const response = await calling;
    assertEquals([response.status, await response.text()], [413, "too large"]);
    peer.resume();
    await ended(peer);
    while (!canceled) await new Promise((resolve) => setTimeout(resolve, 5));
  });
});

test("content codings are taken off, but for those that Workers do not know", async () => {
  await withFetch(async ({ fetch, web }) => {
    for (
      const [path, as] of [["gzip", "gzip"], ["gzip", "x-gzip"], ["deflate", "deflate"], ["raw", "deflate"], [
        "twice",
        "deflate, gzip",
      ]]
    ) {
      assertEquals(await (await fetch(`${web}/${path}?as=${as}`)).text(), "hello ".repeat(1_000), path);
    }
    assertEquals(await (await fetch(`${web}/empty?as=gzip`)).text(), "");
    const br = new Uint8Array(await (await fetch(`${web}/br?as=br`)).arrayBuffer());
    assert(br.length < 100);
    await assertRejects(async () => await (await fetch(`${web}/cut?as=gzip`)).text(), TypeError);
    await assertRejects(async () => await (await fetch(`${web}/br?as=gzip`)).text(), TypeError);
    await assertRejects(() => fetch(`${web}/gzip?as=gzip,gzip,gzip,gzip,gzip,gzip`), TypeError, "content codings");
  });
});

test("chunks, interim responses, cookies, answers without a body and large ones", async () => {
  await withFetch(async ({ fetch, web }) => {
    assertEquals((await (await fetch(`${web}/chunks`)).text()).slice(-6), "99 end");
    assertEquals(await (await fetch(`${web}/early`)).text(), "late");
    assertEquals((await fetch(`${web}/cookies`)).headers.getSetCookie(), ["a=1", "b=2"]);
    for (const status of [204, 205, 304]) assertEquals((await fetch(`${web}/status?status=${status}`)).body, null);
    assertEquals((await fetch(web, { method: "HEAD" })).body, null);
    const large = new Uint8Array(await (await fetch(`${web}/large`)).arrayBuffer());
    assertEquals(large.length, 4 << 20);
    assert(large.every((byte, i) => byte === ((i * 31 + (i >>> 8) * 17 + (i >>> 16)) & 0xff)));
  });
});

test("redirects are followed, without secrets for other origins", async () => {
  await withFetch(async ({ fetch, web }) => {
    const to = encodeURIComponent("/echo");
    const init = { method: "POST", body: "x", headers: { authorization: "secret" } };
    const response = await fetch(`${web}/redirect?to=${to}#hash`, init);
    assertEquals([response.redirected, response.url], [true, `${web}/echo`]);
    const same = await response.json() as Echo;
    assertEquals([same.method, same.body, same.headers["authorization"]], ["GET", "", "secret"]);
    const kept = await echoed(fetch(`${web}/redirect?status=307&to=${to}`, init));
    assertEquals([kept.method, kept.body], ["POST", "x"]);
    const elsewhere = encodeURIComponent(`${web.replace("127.0.0.1", "localhost")}/echo`);
    assertEquals((await echoed(fetch(`${web}/redirect?to=${elsewhere}`, init))).headers["authorization"], undefined);
    const manual = await fetch(`${web}/redirect?to=/`, { redirect: "manual" });
    assertEquals([manual.status, manual.headers.get("location")], [302, "/"]);
    await assertRejects(() => fetch(`${web}/redirect?to=/`, { redirect: "error" }), TypeError, "redirect");
    const loop = encodeURIComponent("/redirect?to=");
    await assertRejects(() => fetch(`${web}/redirect?to=${loop}`), TypeError);
    await assertRejects(
      () => fetch(`${web}/redirect?to=${encodeURIComponent("file:///etc/passwd")}`),
      TypeError,
      "scheme",
    );
  });
});

test("an abort rejects with its reason: while connecting, before the answer and in its body", async () => {
  await withTarget(async (fetch, url, accepted) => {
    const reason = new Error("enough");
    assertStrictEquals(await fetch(url, { signal: AbortSignal.abort(reason) }).catch((error) => error), reason);
    const before = new AbortController();
    const calling = fetch(url, { signal: before.signal }).catch((error) => error);
    const first = await accepted();
    before.abort(reason);
    assertStrictEquals(await calling, reason);
    await ended(first);
    const within = new AbortController();
    const answering = fetch(url, { signal: within.signal });
    const second = await accepted();
    await second.write(bytes("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome"));
    const reader = (await answering).body!.getReader();
    assertEquals(text((await reader.read()).value!), "some");
    const reading = reader.read().catch((error) => error);
    within.abort(reason);
    assertStrictEquals(await reading, reason);
    await ended(second);
  });
});

test("a body that is canceled closes its connection", async () => {
  await withTarget(async (fetch, url, accepted) => {
    const answering = fetch(url);
    const peer = await accepted();
    await peer.write(bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n"));
    await (await answering).body!.cancel();
    await ended(peer);
  });
});

const hostile: [what: string, answer: string][] = [
  ["no HTTP", "220 mail.example ESMTP\r\n\r\n"],
  ["a length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
  ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"],
  ["a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"],
  ["an upgrade", "HTTP/1.1 101 Switching Protocols\r\n\r\n"],
  ["interim responses for ever", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(30)],
  ["a head without an end", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(300_000)}`],
  ["too many fields", `HTTP/1.1 200 OK\r\n${"X: y\r\n".repeat(1_000)}\r\n`],
  ["NUL in a field", "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n"],
];

for (const [what, answer] of hostile) {
  test(`an answer with ${what} is a TypeError, and closes the connection`, async () => {
    await withTarget(async (fetch, url, accepted) => {
      const calling = fetch(url).then(() => "it is fulfilled", (error: unknown) => error);
      const peer = await accepted();
      await headOf(peer);
      await peer.write(bytes(answer)).catch(() => {});
      assertInstanceOf(await calling, TypeError);
      await ended(peer);
    });
  });
}

test("a body that is cut, or whose chunks are malformed, is a TypeError", async () => {
  for (
    const body of [
      "Content-Length: 10\r\n\r\nshort",
      "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
      "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
      "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
      "Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
    ]
  ) {
    await withTarget(async (fetch, url, accepted) => {
      const calling = fetch(url);
      const peer = await accepted();
      await peer.write(bytes(`HTTP/1.1 200 OK\r\n${body}`));
      peer.end();
      await assertRejects(async () => await (await calling).text(), TypeError, "terminated");
    });
  }
});

test("bytes behind an answer are not taken for the next one", async () => {
  await withTarget(async (fetch, url, accepted) => {
    const calling = fetch(url);
    const first = await accepted();
    await first.write(
      bytes("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
    );
    assertEquals(await (await calling).text(), "ok");
    const next = fetch(url);
    const second = await accepted();
    await second.write(bytes("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"));
    assertEquals(await (await next).text(), "good");
  });
});

test("a request on a kept connection that the target closes just then is sent again, but for a POST", async () => {
  for (const method of ["GET", "POST"]) {
    await withTarget(async (fetch, url, accepted) => {
      const calling = fetch(url);
      const first = await accepted();
      await first.write(bytes("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
      assertEquals(await (await calling).text(), "ok");
      const again = fetch(url, { method });
      while (text(await first.received(1)).split("HTTP/1.1").length < 3) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      first.reset();
      if (method === "POST") return void await assertRejects(() => again, TypeError, "fetch failed");
      const second = await accepted();
      await second.write(bytes("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain"));
      assertEquals(await (await again).text(), "again");
    });
  }
});

test("a proxy that cannot be reached is the cause of a TypeError", async () => {
  const fetch = createFetch("socks5h://127.0.0.1:1", { client: { retry: 0 } });
  const error = await fetch("http://example.com/").catch((error: unknown) => error);
  assertInstanceOf(error, TypeError);
  assertInstanceOf(error.cause, ProxyError);
  await fetch.close();
  await assertRejects(() => fetch("http://example.com/"), TypeError);
});

test("integrity is checked", async () => {
  await withFetch(async ({ fetch, web }) => {
    const right = "sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="; // of "hello"
    assertEquals(await (await fetch(web, { integrity: right })).text(), "hello");
    await assertRejects(() => fetch(`${web}/chunks`, { integrity: right }), TypeError, "integrity");
  });
});

test("a fetch of another request is a TypeError, also with a connection that was kept", async () => {
  await withFetch(async ({ fetch, web, connections }) => {
    await (await fetch(web)).text();
    assert((await inAnotherRequest(() => fetch(web))).includes("another request"));
    assertEquals((await connections()).length, 1);
  });
});

test("what is malformed is a TypeError at once, and other schemes are none of it", async () => {
  assertThrows(() => createFetch("socks5h://127.0.0.1:1", { tls: {} } as never), TypeError, "tls");
  assertThrows(() => createFetch(new Socks5Client("socks5h://127.0.0.1:1"), { client: {} }), TypeError);
  const fetch = createFetch("socks5h://127.0.0.1:1");
  for (const url of ["data:,x", "ftp://example.com/", "http://example.com:25/", "no URL"]) {
    await assertRejects(() => fetch(url), TypeError);
  }
});

test("a Worker can answer with the response as it is", async () => {
  await withFetch(async ({ fetch, web }) => {
    const said = await inAnotherRequest(async () => {
      const ours = createFetch((await remoteProxy()).url);
      const response = new Response((await ours(`${web}/gzip?as=gzip`)).body);
      throw (await response.text()).length;
    });
    assertEquals(said, "6000");
    void fetch;
  });

  async function remoteProxy(): Promise<{ url: string }> {
    return { url: await (await remote("proxy", {}) as Remote).call("url") as string };
  }
});
