import { assertEquals, assertInstanceOf, assertLess, assertRejects, assertThrows } from "@std/assert";
import { execFile } from "node:child_process";
import { get, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompressSync, constants } from "node:zlib";
import type { ConnDuplex } from "../../adapters/duplex.ts";
import { FetchAgent } from "../../fetch/agent.ts";
import { createConnector, createFetch } from "../../fetch/mod.ts";
import { drain } from "../../fetch/redirect.ts";
import { ClosedError, Socks5Client, TlsError } from "../../mod.ts";
import { createTestProxy } from "../../testing/mod.ts";
import { certificates } from "../support/certificates.ts";
import { causeOf, withFetch } from "../support/fetch_stage.ts";
import { type Answer, startWeb } from "../support/http_server.ts";
import { evaluate } from "../support/child.ts";
import { startTarget } from "../support/targets.ts";
import { quick, test } from "../support/test.ts";
import { atRest } from "../support/wait.ts";

const MIB = 2 ** 20;
const run = promisify(execFile);
const hello: Answer = (_, response) => response.end("hello");
const half = { duplex: "half" } as RequestInit;

type Request = { head: string; socket: Socket };

/** A target that answers each request on a connection by `serve`, with its number. */
async function withTarget(
  serve: (request: Request, number: number) => void,
  use: (fetch: ReturnType<typeof createFetch>, seen: string[]) => Promise<void>,
): Promise<void> {
  const seen: string[] = [];
  const target = await startTarget((socket) => {
    let text = "";
    socket.on("end", () => socket.end());
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
      const end = text.indexOf("\r\n\r\n") + 4;
      if (end < 4 || text.length < end + length) return;
      const head = text.slice(0, end);
      text = text.slice(end + length);
      seen.push(head.split(" ")[0]!);
      serve({ head, socket }, seen.length);
    });
  });
  await withFetch(hello, { proxy: { rules: () => target } }, ({ fetch }) => use(fetch, seen))
    .finally(() => target.close());
}

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

const cut: [what: string, init: RequestInit, times: number][] = [
  ["a GET", {}, 2],
  ["a HEAD", { method: "HEAD" }, 2],
  ["a PUT of a text", { method: "PUT", body: "x" }, 2],
  ["a DELETE", { method: "DELETE" }, 2],
  ["a POST", { method: "POST", body: "x" }, 1],
  ["a PATCH", { method: "PATCH", body: "x" }, 1],
  ["a POST with Idempotency-Key", { method: "POST", body: "x", headers: { "idempotency-key": "1" } }, 2],
];

for (const [what, init, times] of cut) {
  test(`${what} on a kept connection that the target closes just then is sent ${times === 1 ? "once" : "again"}`, async () => {
    await withTarget(
      ({ socket }, number) =>
        number === 2
          ? socket.destroy()
          : void socket.write(init.method === "HEAD" && number > 1 ? OK.slice(0, -2) : OK),
      async (fetch, seen) => {
        await (await fetch("http://a.test/")).text();
        const again = fetch("http://a.test/", init);
        if (times === 1) await assertRejects(() => again, TypeError);
        else assertEquals((await again).status, 200);
        assertEquals(seen.length, 1 + times);
      },
    );
  });
}

test("a stream on a kept connection that the target closes is sent once", async () => {
  const target = await startTarget((socket) => {
    socket.on("end", () => socket.end()).once("data", () => {
      socket.write(OK);
      socket.once("data", () => socket.destroy());
    });
  });
  await withFetch(hello, { proxy: { rules: () => target } }, async ({ fetch }) => {
    await (await fetch("http://a.test/")).text();
    const body = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(10)) });
    await assertRejects(() => fetch("http://a.test/", { method: "PUT", body, ...half }), TypeError);
    assertEquals(target.accepted, 1);
  }).finally(() => target.close());
});

test("a new connection that the target closes is no reason to ask again", async () => {
  await withTarget(({ socket }) => socket.destroy(), async (fetch, seen) => {
    await assertRejects(() => fetch("http://a.test/"), TypeError);
    assertEquals(seen, ["GET"]);
  });
});

test("an answer in the middle of an upload is given, the rest is not sent, and the connection is not used again", async () => {
  const target = await startTarget((socket) => {
    socket.once("data", () => socket.write("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"));
    socket.on("end", () => socket.end());
  });
  await withFetch(hello, { proxy: { rules: () => target } }, async ({ fetch, proxy }) => {
    let cancelled: (reason: unknown) => void;
    const over = new Promise((resolve) => cancelled = resolve);
    const body = new ReadableStream({
      async pull(controller) {
        await new Promise((resolve) => setTimeout(resolve));
        controller.enqueue(new Uint8Array(1000));
      },
      cancel: (reason) => cancelled(reason),
    });
    const response = await fetch("http://a.test/", { method: "POST", body, ...half });
    assertEquals([response.status, await response.text()], [413, "no"]);
    await over;
    await proxy.until(() => proxy.open === 0);
  }).finally(() => target.close());
});

test("what is uploaded waits for the target, and what is downloaded for its reader", async () => {
  const big = new Uint8Array(MIB);
  let written = 0;
  let posted: IncomingMessage | undefined;
  const answer: Answer = (request, response) => {
    if (request.method === "POST") return void (posted = request); // reads nothing
    const more = () => {
      while (written < 256 * MIB) {
        written += MIB;
        if (!response.write(big)) return void response.once("drain", more);
      }
      response.end();
    };
    more();
  };
  await withFetch(answer, {}, async ({ fetch, web }) => {
    let pulled = 0;
    const body = new ReadableStream({
      pull(controller) {
        pulled += MIB;
        controller.enqueue(big);
      },
    }, { highWaterMark: 0 });
    const abort = new AbortController();
    const up = fetch("http://a.test/", { method: "POST", body, signal: abort.signal, ...half }).catch((error) => error);
    await web.until(() => web.seen.length === 1);
    const response = await fetch("http://a.test/");
    await atRest(() => pulled + written);
    assertLess(pulled, 64 * MIB);
    assertLess(written, 64 * MIB);
    await response.body!.cancel();
    abort.abort();
    assertEquals((await up).name, "AbortError");
    posted!.destroy();
  });
});

for (const length of [3, 5]) {
  test(`a stream with ${length} bytes is no body of Content-Length 4`, async () => {
    await withFetch(() => {}, {}, async ({ fetch, proxy }) => {
      const init = { method: "POST", headers: { "content-length": "4" }, ...half };
      const body = new Blob(["x".repeat(length)]).stream();
      const error = await assertRejects(() => fetch("http://a.test/", { ...init, body }), TypeError);
      assertEquals(/(more|fewer) bytes/.exec(error.message)?.[1], length === 3 ? "fewer" : "more");
      await proxy.until(() => proxy.open === 0);
    });
  });
}

test("a request that begins just before close() is not sent", async () => {
  await withFetch(hello, {}, async ({ fetch, proxy, web }) => {
    const late = causeOf(fetch("http://a.test/", { method: "POST", body: "x" }));
    await fetch.close();
    assertInstanceOf(await late, ClosedError);
    assertEquals([proxy.connections.length, web.seen.length], [0, 0]);
  });
});

test("a body that is read when the fetch is closed fails, with that as its cause", async () => {
  await withFetch((_, response) => response.write("the beginning"), {}, async ({ fetch, proxy }) => {
    const response = await fetch("http://a.test/");
    const reading = causeOf(response.text());
    await fetch.close();
    assertInstanceOf(await reading, ClosedError);
    await proxy.until(() => proxy.open === 0);
  });
});

for (const [what, bytes] of [["small one, which is here", 2], ["large one", 4 * MIB]] as const) {
  test(`an abort before a body is read rejects its reading with the reason: a ${what}`, async () => {
    await withFetch((_, response) => response.end(new Uint8Array(bytes)), {}, async ({ fetch }) => {
      const reason = new RangeError("a reason of the caller's own");
      const abort = new AbortController();
      const response = await fetch("http://a.test/", { signal: abort.signal });
      const reader = response.body!.getReader();
      abort.abort(reason);
      assertEquals(await reader.read().catch((error) => error), reason);
    });
  });
}

test("a small body that nobody reads leaves its connection for the next request", async () => {
  await withFetch(hello, {}, async ({ fetch, web }) => {
    for (let i = 0; i < 3; i++) {
      await fetch("http://a.test/");
    }
    assertEquals(web.accepted, 1);
  });
});

const flags: Record<string, string[]> = {
  Deno: ["run", "--quiet", "--no-check", "--no-lock", "--v8-flags=--expose-gc", "--allow-net"],
  Bun: [],
};

test("a response that is dropped unread closes its connection", async () => {
  const web = await startWeb((_, response) => response.writeHead(200).write("the beginning"));
  const proxy = await createTestProxy({ rules: () => web });
  const runtime = ["Deno", "Bun"].find((name) => name in globalThis);
  const program = fileURLToPath(new URL("../support/dropped_program.ts", import.meta.url));
  const args = [...(runtime ? flags[runtime]! : ["--expose-gc"]), program, proxy.url];
  const { stdout } = await run(process.execPath, args, { timeout: 40_000 });
  assertEquals([proxy.connections.length, stdout], [10, "the held one is open\n"]);
  await proxy.close();
  await web.close();
}, { skip: quick });

const bodies: [what: string, answer: Answer, connections: number][] = [
  ["is short", (_, response) => response.end("ignored"), 1],
  ["never ends", (_, response) => void response.write("the beginning"), 2],
  ["is much more once it is decoded", (_, response) => {
    const params = { [constants.BROTLI_PARAM_QUALITY]: 1 };
    response.setHeader("content-encoding", "br");
    response.end(brotliCompressSync(new Uint8Array(64 * MIB), { params }));
  }, 1],
  ["is large", (_, response) => response.end(new Uint8Array(8 * MIB)), 2],
];

for (const [what, answer, connections] of bodies) {
  test(`a redirect whose body ${what} is followed`, async () => {
    const redirecting: Answer = (request, response) => {
      if (request.url === "/end") return void response.end("the end");
      response.statusCode = 302;
      response.setHeader("location", request.url === "/same" ? "/end" : "http://b.test/end");
      return answer(request, response);
    };
    await withFetch(redirecting, {}, async ({ fetch, web }) => {
      assertEquals(await (await fetch("http://a.test/same")).text(), "the end");
      assertEquals(web.accepted, connections);
      assertEquals(await (await fetch("http://a.test/other")).text(), "the end");
    });
  });
}

test("what is left of an answer that is closed already is no reason to wait", async () => {
  const web = await startWeb((_, response) => response.writeHead(302).write("the beginning"));
  const request = get(`http://127.0.0.1:${web.port}/`);
  const message = await new Promise<IncomingMessage>((resolve) => request.once("response", resolve));
  const closed = new Promise((resolve) => message.once("close", resolve));
  message.on("error", () => {}).destroy();
  await closed;
  await drain({ message, request });
  await web.close();
});

test("the answer of a target may have a Proxy-Status, which means nothing", async () => {
  const status = 'socks5; error=connection_refused; next-hop="a.test:80"';
  await withFetch(
    (_, response) => response.writeHead(502, { "proxy-status": status }).end("x"),
    {},
    async ({ fetch }) => {
      const response = await fetch("http://a.test/");
      assertEquals([response.status, response.headers.get("proxy-status"), await response.text()], [502, status, "x"]);
    },
  );
});

test("more hosts than the client has places are no matter, one after the other", async () => {
  const web = await startWeb(hello);
  const proxy = await createTestProxy({ rules: () => web });
  const client = new Socks5Client(proxy.url, { pool: { maxOpen: 3 }, timeout: 5_000 });
  const fetch = createFetch(client);
  for (let i = 0; i < 10; i++) assertEquals(await (await fetch(`http://${i}.test/`)).text(), "hello");
  assertEquals(proxy.open <= 3, true);
  await fetch.close();
  await client.close();
  await proxy.close();
  await web.close();
});

test("a connection that is kept ends after 90 seconds", async () => {
  await withFetch(hello, {}, async ({ client, proxy }) => {
    const agent = new FetchAgent(client, {});
    const done = (url: string) =>
      new Promise<void>((resolve, reject) => {
        get(url, { agent }, (it) => void it.resume()).once("error", reject).once("close", resolve);
      });
    const kept = () => Object.values(agent.freeSockets).flat() as unknown as ConnDuplex[];
    await done("http://a.test/");
    const [socket] = kept();
    assertEquals([kept().length, socket!.timeout], [1, 90_000]);
    await done("http://a.test/");
    assertEquals(kept(), [socket!]);
    socket!.emit("timeout");
    await proxy.until(() => proxy.open === 0);
    await agent.close();
  });
});

test("a thousand fetches that are only made cost neither sockets nor timers", () => {
  const client = new Socks5Client("socks5h://127.0.0.1:1");
  for (let i = 0; i < 1000; i++) createFetch(client);
  assertEquals(client.stats().connects, 0); // the rest is counted after each test
});

test("NODE_TLS_REJECT_UNAUTHORIZED=0 has no say", async () => {
  const { both } = certificates();
  const web = await startWeb(hello, { cert: both.cert, key: both.key });
  const proxy = await createTestProxy({ rules: () => web });
  const code = `
    import { createFetch } from ${JSON.stringify(import.meta.resolve("../../fetch/mod.ts"))};
    import { Socks5Client } from ${JSON.stringify(import.meta.resolve("../../mod.ts"))};
    const fetch = createFetch(new Socks5Client(${JSON.stringify(proxy.url)}));
    await fetch("https://localhost/").then(() => console.log("answered"), (error) => console.log(error.cause.code));`;
  const { stdout } = await run(process.execPath, evaluate(code), {
    env: { ...process.env, NODE_TLS_REJECT_UNAUTHORIZED: "0" },
  });
  assertEquals([stdout, web.seen.length], ["SOCKS5_TLS_UNTRUSTED\n", 0]);
  await proxy.close();
  await web.close();
}, { skip: quick });

test("HTTPS after HTTP to the same host is another connection, and so is the other way round", async () => {
  const { both, authority } = certificates();
  const tls = { caCerts: [authority.cert] };
  await withFetch(hello, { tls: { cert: both.cert, key: both.key }, fetch: { tls } }, async ({ fetch, proxy }) => {
    await (await fetch("https://localhost:8080/")).text();
    await assertRejects(() => fetch("http://localhost:8080/"), TypeError);
    await (await fetch("https://localhost:8080/")).text();
    assertInstanceOf(await causeOf(fetch("https://other.example:8080/")), TlsError);
    assertEquals(proxy.connections.length, 3);
  });
});

for (const name of ["rejectUnauthorized", "checkServerIdentity", "ca", "serverName", "alpnProtocols"]) {
  test(`tls.${name} is refused by createFetch() and createConnector()`, () => {
    const client = new Socks5Client("socks5h://127.0.0.1:1");
    const tls = { [name]: name === "serverName" ? "a.test" : ["http/1.1"] } as never;
    assertThrows(() => createFetch(client, { tls }), TypeError, name);
    assertThrows(() => createConnector(client, { tls }), TypeError, name);
  });
}

test("an option that does not exist is refused by createFetch() and createConnector()", () => {
  const client = new Socks5Client("socks5h://127.0.0.1:1");
  assertThrows(() => createFetch(client, { tsl: {} } as never), TypeError, "tls");
  assertThrows(() => createConnector(client, { tsl: {} } as never), TypeError, "tls");
});
