import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { createSecureServer, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { setImmediate } from "node:timers";
import type { Server as TlsServer } from "node:tls";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { createFetch, type FetchOptions, type Socks5Fetch } from "../../fetch/mod.ts";
import { streamOf } from "../../fetch/response_body.ts";
import { Socks5Client, Socks5Error, type Socks5Options } from "../../mod.ts";
import { createTestProxy, type TestProxy, type TestProxyOptions } from "../../testing/mod.ts";
import { certificates } from "../support/certificates.ts";
import { startModule } from "../support/child.ts";
import { withFetch, withFetchTo } from "../support/fetch_stage.ts";
import { type RawAnswer, rawHttp2Server } from "../support/raw_http2.ts";
import { payload } from "../support/targets.ts";
import { quick, test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const tls = { caCerts: [certificates().authority.cert] };

interface Stage {
  fetch: Socks5Fetch;
  client: Socks5Client;
  proxy: TestProxy;
  /** The streams that the site got, and its sessions. */
  streams: ServerHttp2Stream[];
  sessions: ServerHttp2Session[];
}

type Site = (stream: ServerHttp2Stream, headers: Record<string, string>) => void;

/** Runs `use` with a fetch with HTTP/2, and a site that is any host of HTTPS; nothing may be open in the end. */
async function withHttp2(
  site: Site,
  use: (stage: Stage) => Promise<void>,
  { fetch, proxy, client }: {
    fetch?: FetchOptions;
    proxy?: TestProxyOptions;
    client?: Socks5Options;
  } = {},
): Promise<void> {
  const streams: ServerHttp2Stream[] = [];
  const sessions: ServerHttp2Session[] = [];
  const server = createSecureServer({ ...certificates().names });
  server.on("session", (session) => sessions.push(session.on("error", () => {})));
  server.on("stream", (stream, headers) => {
    streams.push(stream.on("error", () => {}));
    site(stream, headers as Record<string, string>);
  });
  await withServer(server, (port) => {
    const options = { proxy, client, fetch: { tls, http2: true, ...fetch } };
    return withFetchTo(port, options, (stage) => use({ ...stage, streams, sessions }));
  });
}

/** Runs `use` with a server on a free port of loopback. */
async function withServer(
  server: TlsServer,
  use: (port: number) => Promise<void>,
): Promise<void> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket.on("error", () => socket.destroy()).on("close", () => sockets.delete(socket)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await use((server.address() as AddressInfo).port);
  } finally {
    for (const socket of sockets) socket.destroy();
    await until(() => sockets.size === 0);
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

/** As {@linkcode withHttp2}, with a site that sends the frames that it is told to. */
async function withRaw(
  answer: (to: RawAnswer, request: number) => void,
  use: (stage: Pick<Stage, "fetch" | "proxy">) => Promise<void>,
): Promise<void> {
  await withServer(rawHttp2Server(answer), async (port) => {
    const proxy = await createTestProxy({ rules: () => ({ port }) });
    const fetch = createFetch(proxy.url, { tls, http2: true, client: { retry: 0 } });
    try {
      await use({ fetch, proxy });
      await fetch.close();
      await proxy.until(() => proxy.open === 0);
    } finally {
      await fetch.close();
      await proxy.close();
    }
  });
}

const mirror: Site = (stream, headers) => {
  let length = 0;
  stream.on("data", (chunk) => length += chunk.length).on("end", () => {
    stream.respond({
      ":status": 200,
      "content-type": "text/plain",
      "set-cookie": ["a=1", "b=2"],
      "x-path": headers[":path"],
    });
    stream.end(
      `${headers[":method"]} ${headers[":authority"]}${headers[":path"]} ${length}`,
    );
  });
};

test("with http2, requests to one origin go side by side on one connection by HTTP/2", async () => {
  await withHttp2(mirror, async ({ fetch, proxy, sessions }) => {
    const answers = await Promise.all(
      ["/a?b", "/c", "/d"].map(async (path) => (await fetch(`https://example.com${path}`)).text()),
    );
    assertEquals(answers, ["/a?b", "/c", "/d"].map((path) => `GET example.com${path} 0`));
    const response = await fetch("https://example.com/", { method: "POST", body: "hello" });
    assertEquals([response.status, response.statusText, response.url], [200, "", "https://example.com/"]);
    assertEquals([response.headers.get("x-path"), response.headers.getSetCookie()], ["/", ["a=1", "b=2"]]);
    assertEquals(fetch.proxyOf(response), `127.0.0.1:${proxy.port}`);
    assertEquals(await response.text(), "POST example.com/ 5");
    assertEquals([sessions.length, proxy.connections.length], [1, 1]);
  });
});

test("with http2, more requests than the target takes at a time wait for their turn", async () => {
  let [open, peak] = [0, 0];
  const server = createSecureServer({ ...certificates().names, settings: { maxConcurrentStreams: 10 } });
  server.on("stream", (stream) => {
    peak = Math.max(peak, ++open);
    stream.once("close", () => open--).respond({ ":status": 200 });
    setImmediate(() => stream.end("hello"));
  });
  await withServer(server, async (port) => {
    const proxy = await createTestProxy({ rules: () => ({ port }) });
    const fetch = createFetch(proxy.url, { tls, http2: true });
    const ask = async () => await (await fetch("https://example.com/")).text();
    assertEquals(await ask(), "hello"); // now the limit is known
    assertEquals(new Set(await Promise.all(Array.from({ length: 100 }, ask))), new Set(["hello"]));
    assertEquals([peak, proxy.connections.length], [10, 1]);
    await fetch.close();
    await proxy.until(() => proxy.open === 0);
    await proxy.close();
  });
});

test("with http2, bodies of a megabyte and streams go both ways", async () => {
  const length = 1_000_000;
  await withHttp2((stream) => {
    stream.respond({ ":status": 200 });
    stream.pipe(stream);
  }, async ({ fetch, streams }) => {
    const bytes = payload(length);
    const stream = new Blob([bytes]).stream();
    for (const body of [bytes, stream]) {
      const init = { method: "POST", body, duplex: "half" } as RequestInit;
      const back = new Uint8Array(await (await fetch("https://example.com/", init)).arrayBuffer());
      assertEquals(back.length, length);
      assert(back.every((byte, i) => byte === bytes[i]));
    }
    assertEquals(streams.length, 2);
  });
});

test("with http2, a target that chooses HTTP/1.1 gets that on the same connection", async () => {
  const seen: string[] = [];
  const server = createHttpsServer({ ...certificates().names }, (request, response) => {
    seen.push(`${request.httpVersion} ${request.url}`);
    response.end("hello");
  });
  await withServer(server, async (port) => {
    const proxy = await createTestProxy({ rules: () => ({ port }) });
    const fetch = createFetch(proxy.url, { tls, http2: true });
    for (const path of ["/1", "/2"]) {
      assertEquals(await (await fetch(`https://example.com${path}`)).text(), "hello");
    }
    assertEquals([seen, proxy.connections.length], [["1.1 /1", "1.1 /2"], 1]);
    await fetch.close();
    await proxy.until(() => proxy.open === 0);
    await proxy.close();
  });
});

test("with http2, http: is HTTP/1.1", async () => {
  await withFetch((_, response) => void response.end("hello"), { fetch: { http2: true } }, async ({ fetch }) => {
    assertEquals(await (await fetch("http://example.com/")).text(), "hello");
  });
});

test("with http2, a connection serves one session and one origin alone", async () => {
  await withHttp2(mirror, async ({ fetch, sessions, proxy }) => {
    for (const session of ["alice", "bob", undefined, "alice"]) {
      await (await fetch("https://example.com/", { session })).text();
    }
    assertEquals(sessions.length, 3);
    await (await fetch("https://localhost/")).text(); // the certificate is for both
    assertEquals([sessions.length, proxy.connections.length], [4, 4]);
  });
});

test("with http2, an abort ends one request, and its connection goes on", async () => {
  const answers: (() => void)[] = [];
  await withHttp2((stream) => {
    stream.respond({ ":status": 200 });
    stream.write("begun");
    answers.push(() => stream.end());
  }, async ({ fetch, streams, sessions }) => {
    const controller = new AbortController();
    const [ended, other] = await Promise.all([
      fetch("https://example.com/1", { signal: controller.signal }),
      fetch("https://example.com/2"),
    ]);
    const reason = new Error("enough");
    controller.abort(reason);
    assertEquals(await ended.text().catch((error) => error), reason);
    await until(() => streams.filter((it) => it.destroyed).length === 1);
    for (const answer of answers) answer();
    assertEquals([await other.text(), sessions.length], ["begun", 1]);
  });
});

test("with http2, an abort before the response rejects with its reason", async () => {
  await withHttp2(() => {}, async ({ fetch, streams }) => {
    const controller = new AbortController();
    const asked = fetch("https://example.com/", { signal: controller.signal });
    await until(() => streams.length === 1);
    const reason = new Error("enough");
    controller.abort(reason);
    assertEquals(await asked.catch((error) => error), reason);
    await until(() => streams[0]!.destroyed);
  });
});

test("with http2, an abort while the connection is opened ends that only if no other request waits for it", async () => {
  const gate = Promise.withResolvers<void>();
  const faults: TestProxyOptions["faults"] = [
    { fault: "silence", at: "request" },
    { fault: "wait", at: "request", for: () => gate.promise },
  ];
  await withHttp2(mirror, async ({ fetch, proxy }) => {
    const ask = (signal: AbortSignal) => fetch("https://example.com/", { signal }).catch((error) => error);
    const alone = new AbortController();
    const asked = ask(alone.signal);
    await proxy.until(() => proxy.connections[0]?.step === "request");
    alone.abort("enough");
    assertEquals(await asked, "enough");
    await proxy.until(() => proxy.open === 0);

    const first = new AbortController();
    const [one, other] = [ask(first.signal), ask(new AbortController().signal)];
    await proxy.until(() => proxy.connections[1]?.step === "request");
    first.abort("enough");
    assertEquals(await one, "enough");
    gate.resolve();
    assertEquals([await (await other).text(), proxy.connections.length], ["GET example.com/ 0", 2]);
  }, { proxy: { faults } });
});

test("with http2, what fails is a TypeError with the error of the client as its cause", async () => {
  await withHttp2(mirror, async ({ fetch, proxy }) => {
    await proxy.stop();
    const error = await fetch("https://example.com/").then(() => "it succeeded", (error) => error);
    assertInstanceOf(error, TypeError);
    assertInstanceOf(error.cause, Socks5Error);
    assertEquals(error.cause.code, "SOCKS5_PROXY_UNREACHABLE");
  });
});

for (
  const [what, breakOff] of Object.entries<(to: RawAnswer) => void>({
    "is reset": (to) => to.reset(0x02),
    "is canceled": (to) => to.reset(0x08),
    "loses its connection": (to) => to.hangUp(),
  })
) {
  test(`with http2, a response that ${what} in the middle is an error, and the next one is whole`, async () => {
    let begun: RawAnswer | undefined;
    await withRaw((to, request) => {
      to.head();
      to.data("hello", request > 2);
      begun = to;
    }, async ({ fetch }) => {
      const response = await fetch("https://example.com/1");
      breakOff(begun!);
      await assertRejects(() => response.text(), TypeError, "terminated");
      const reader = (await fetch("https://example.com/1")).body!.getReader();
      assertEquals(new TextDecoder().decode((await reader.read()).value), "hello");
      const rest = reader.read();
      breakOff(begun!);
      await assertRejects(() => rest, TypeError, "terminated");
      assertEquals(await (await fetch("https://example.com/2")).text(), "hello");
    });
  });
}

for (const code of [0x02, 0x08]) {
  for (const isEncoded of [false, true]) {
    test(`with http2, ${isEncoded ? "an encoded" : "a"} response that is reset at once is an error, code ${code}`, async () => {
      await withRaw((to) => {
        to.head(isEncoded);
        to.data(gzipSync(payload(10_000)).subarray(0, 5_000));
        to.reset(code);
      }, async ({ fetch }) => {
        const asked = fetch("https://example.com/").then((response) => response.arrayBuffer());
        await assertRejects(() => asked, TypeError);
      });
    });
  }
}

test("the body of an answer that was closed before anybody could read it is an error", async () => {
  const source = new Readable({ read() {} });
  source.on("error", () => {}).destroy(new Error("reset"));
  await new Promise((resolve) => source.once("close", resolve));
  const { stream } = streamOf(source, (error) => error);
  await assertRejects(() => stream.getReader().read(), Error, "reset");
});

test("with http2, after GOAWAY a request under way ends, and later ones have another connection", async () => {
  let first: RawAnswer | undefined;
  await withRaw((to, request) => {
    to.head();
    if (request > 1) to.data("on another", true);
    else {
      to.data("all ");
      to.goaway(1);
      first = to;
    }
  }, async ({ fetch, proxy }) => {
    const response = await fetch("https://example.com/1");
    const reader = response.body!.getReader();
    assertEquals(new TextDecoder().decode((await reader.read()).value), "all ");
    assertEquals(await (await fetch("https://example.com/2")).text(), "on another");
    assertEquals(proxy.open, 2);
    first!.data("of it", true);
    assertEquals(new TextDecoder().decode((await reader.read()).value), "of it");
    assertEquals((await reader.read()).done, true);
    await proxy.until(() => proxy.open === 1);
  });
});

for (
  const [what, refuse] of Object.entries<(to: RawAnswer, before: number) => void>({
    "is refused": (to) => to.reset(0x07),
    "comes after GOAWAY": (to, before) => to.goaway(before),
    "comes when the target closes": (to) => to.hangUp(),
  })
) {
  for (const method of ["GET", "POST"]) {
    const isSentAgain = method === "GET";
    const how = isSentAgain ? "is sent again" : "is not sent again";

    test(`with http2, a ${method} that ${what} on a connection that served others ${how}`, async () => {
      let requests = 0;
      await withRaw((to, request) => {
        requests = request;
        if (request === 2) return refuse(to, 1);
        to.head();
        to.data("ok", true);
      }, async ({ fetch, proxy }) => {
        assertEquals(await (await fetch("https://example.com/1")).text(), "ok");
        const answer = await fetch("https://example.com/2", { method }).then((it) => it.text(), (error) => error.name);
        assertEquals([answer, requests], isSentAgain ? ["ok", 3] : ["TypeError", 2]);
        assertEquals(proxy.connections.length, isSentAgain ? 2 : 1);
      });
    });
  }

  test(`with http2, the first request of a connection that ${what} is not sent again`, async () => {
    let requests = 0;
    await withRaw((to, request) => {
      requests = request;
      refuse(to, 0);
    }, async ({ fetch }) => {
      await assertRejects(() => fetch("https://example.com/"), TypeError, "fetch failed");
      assertEquals(requests, 1);
    });
  });
}

test("with http2, trailers are dropped, and no field of a connection is sent", async () => {
  const seen: string[][] = [];
  await withHttp2((stream, headers) => {
    seen.push(Object.keys(headers).filter((name) => !name.startsWith(":")).sort());
    stream.respond({ ":status": 200 }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-trailer": "1" }));
    stream.end("hello");
  }, async ({ fetch }) => {
    const headers = { Connection: "close", "Keep-Alive": "1", TE: "trailers", Upgrade: "h2c", "X-Own": "1" };
    const response = await fetch("https://example.com/", { headers });
    assertEquals([await response.text(), response.headers.get("x-trailer")], ["hello", null]);
    const usual = ["accept", "accept-encoding", "accept-language", "user-agent", "x-own"];
    assertEquals(seen, [usual]);
  });
});

test("with http2, a body that is encoded is decoded, and one of HEAD is none", async () => {
  await withHttp2((stream, headers) => {
    stream.respond({ ":status": 200, "content-encoding": "gzip" }, { endStream: headers[":method"] === "HEAD" });
    if (headers[":method"] !== "HEAD") stream.end(gzipSync("hello"));
  }, async ({ fetch }) => {
    assertEquals(await (await fetch("https://example.com/")).text(), "hello");
    assertEquals((await fetch("https://example.com/", { method: "HEAD" })).body, null);
  });
});

test("with http2, a redirect is followed on the same connection", async () => {
  await withHttp2((stream, headers) => {
    if (headers[":path"] === "/") stream.respond({ ":status": 302, location: "/there" }, { endStream: true });
    else mirror(stream, headers);
  }, async ({ fetch, sessions }) => {
    const response = await fetch("https://example.com/");
    assertEquals([await response.text(), response.redirected, sessions.length], ["GET example.com/there 0", true, 1]);
  });
});

test("with http2, an idle connection gives way to a request that waits for a place", async () => {
  await withHttp2(mirror, async ({ fetch, proxy }) => {
    for (const host of ["example.com", "localhost", "example.com"]) await (await fetch(`https://${host}/`)).text();
    assertEquals([proxy.connections.length, proxy.open], [3, 1]);
  }, { client: { pool: { maxOpen: 1 } } });
});

test("with http2 and ban, the request goes out through another proxy, and nothing more through the banned one", async () => {
  const exits: number[] = [];
  const servers = [0, 1].map((exit) => {
    const server = createSecureServer({ ...certificates().names });
    server.on("stream", (stream) => {
      exits.push(exit);
      stream.respond({ ":status": exit === 0 ? 403 : 200 }, { endStream: true });
    });
    return server;
  });
  await withServer(servers[0]!, (first) =>
    withServer(servers[1]!, async (second) => {
      const proxies = await Promise.all([first, second].map((port) => createTestProxy({ rules: () => ({ port }) })));
      const client = new Socks5Client(proxies.map(({ url }) => url));
      const fetch = createFetch(client, { tls, http2: true, ban: { 403: 60_000 }, attempts: 2 });
      const statuses: number[] = [];
      for (let i = 0; i < 3; i++) statuses.push((await fetch("https://example.com/")).status);
      assertEquals([statuses, exits], [[200, 200, 200], [0, 1, 1, 1]]);
      await fetch.close();
      await client.close();
      for (const proxy of proxies) {
        await proxy.until(() => proxy.open === 0);
        await proxy.close();
      }
    }));
});

test("with http2, close() ends what is under way", async () => {
  await withHttp2((stream) => {
    stream.respond({ ":status": 200 });
    stream.write("begun");
  }, async ({ fetch, proxy }) => {
    const response = await fetch("https://example.com/");
    await fetch.close();
    await assertRejects(() => response.text(), TypeError);
    await proxy.until(() => proxy.open === 0);
  });
});

test("with http2, a target that needs no proxy has none", async () => {
  const server = rawHttp2Server((to) => {
    to.head();
    to.data("hello", true);
  }, certificates().both);
  await withServer(server, async (port) => {
    const fetch = createFetch("socks5h://127.0.0.1:1", { tls, http2: true, bypass: () => true });
    const response = await fetch(`https://127.0.0.1:${port}/`);
    assertEquals([await response.text(), response.statusText, fetch.proxyOf(response)], ["hello", "", undefined]);
    await fetch.close();
  });
});

test("with http2, a kept connection serves no request that goes another way", async () => {
  let isBypassed = false;
  await withHttp2(mirror, async ({ fetch, sessions }) => {
    const through = async () => (await fetch("https://localhost/")).text();
    await through();
    isBypassed = true;
    await assertRejects(through, TypeError); // nothing listens at port 443 of this machine
    isBypassed = false;
    await through();
    assertEquals(sessions.length, 1);
  }, { fetch: { bypass: () => isBypassed } });
});

test("with http2, fields are sent and given byte by byte, and there may be many", async () => {
  await withHttp2((stream, headers) => {
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`x-${i}`, "1"]));
    stream.respond({ ":status": 200, ...many, "x-back": headers["x-own"]! }, { endStream: true });
  }, async ({ fetch }) => {
    const { headers } = await fetch("https://example.com/", { headers: { "x-own": "caf\xe9" } });
    assertEquals([headers.get("x-back"), headers.get("x-299")], ["caf\xe9", "1"]);
  });
});

test("with http2, an idle connection lets the process end", async () => {
  await withHttp2(mirror, async ({ proxy }) => {
    const options = JSON.stringify({ http2: true, tls });
    const child = startModule(`
      import { createFetch } from ${JSON.stringify(new URL("../../fetch/mod.ts", import.meta.url).href)};
      const fetch = createFetch(${JSON.stringify(proxy.url)}, ${options});
      console.log(await (await fetch("https://example.com/")).text());
    `);
    assertEquals(await child.ended, { code: 0, written: "GET example.com/ 0\n" });
    await proxy.until(() => proxy.open === 0);
  });
}, { skip: quick });

test("http2 that is neither true nor false is a TypeError", () => {
  assertThrows(
    () => createFetch("socks5h://proxy.example", { http2: "yes" as never }),
    TypeError,
    "Cannot use http2 as a boolean: current value is a string",
  );
});
