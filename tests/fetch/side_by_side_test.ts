import { assertEquals } from "@std/assert";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createServer, type Socket } from "node:net";
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { createFetch } from "../../fetch/mod.ts";
import { Socks5Client } from "../../mod.ts";
import { createTestProxy } from "../../testing/mod.ts";
import { startWeb } from "../support/http_server.ts";
import { test } from "../support/test.ts";

// Each row is done by the runtime's own fetch, without a proxy, and by ours: ours gives what the Fetch standard wants on
// every runtime; where a runtime's own gives something else, the row says which runtime.

type Fetch = typeof fetch;
type Runtime = "deno" | "bun" | "node";

interface Row {
  readonly name: string;
  /** Does it, and says what came of it. */
  readonly run: (fetch: Fetch, at: string, web: Sites) => unknown;
  readonly gives: unknown;
  /** The runtimes whose own fetch gives something else. */
  readonly notOf?: readonly Runtime[];
}

interface Sites {
  /** Of another origin. */
  readonly other: string;
  /** Writes bytes of its own. */
  raw(answer: string | Uint8Array): string;
}

const runtime: Runtime = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";
const text = "a line that repeats\n".repeat(200);
const post = (body: BodyInit, more: RequestInit = {}) => ({ method: "POST", body, ...more });
const stream = (...chunks: string[]) =>
  new ReadableStream({
    pull(controller) {
      const chunk = chunks.shift();
      if (chunk === undefined) controller.close();
      else controller.enqueue(new TextEncoder().encode(chunk));
    },
  });
const half = { duplex: "half" } as RequestInit;

/** What the site got: `/echo`. */
async function echo(fetch: Fetch, at: string, init?: RequestInit): Promise<Record<string, string>> {
  return await (await fetch(`${at}/echo`, init)).json();
}

/** The name of what it rejects with. */
async function failure(doing: Promise<unknown>): Promise<string> {
  try {
    const done = await doing;
    if (done instanceof Response) await done.body?.cancel();
    return "nothing";
  } catch (error) {
    return (error as Error).name;
  }
}

async function read(response: Response): Promise<unknown[]> {
  return [response.status, await response.text()];
}

function redirected(status: number, method: string, body: string | null): Row {
  const get = status === 303 || (status < 303 && method === "POST");
  return {
    name: `a redirect by ${status} of ${method}`,
    run: async (fetch, at) => {
      const { method: then, body: left } = await (await fetch(`${at}/to/${status}/echo`, { method, body })).json();
      return [then, left];
    },
    gives: [get && method !== "HEAD" ? "GET" : method, get ? "" : body ?? ""],
  };
}

function coded(name: string, bytes: Uint8Array, notOf: Runtime[] = []): Row {
  return {
    name: `content coding ${name}`,
    run: async (fetch, _, { raw }) => {
      const head = `HTTP/1.1 200 OK\r\nContent-Encoding: ${name}\r\nContent-Length: ${bytes.length}\r\n\r\n`;
      return await (await fetch(raw(new Uint8Array([...new TextEncoder().encode(head), ...bytes])))).text() === text;
    },
    gives: true,
    notOf,
  };
}

function bodied(name: string, body: () => BodyInit, gives: [body: string, type?: string], notOf: Runtime[] = []): Row {
  return {
    name: `a body: ${name}`,
    run: async (fetch, at) => {
      const got = await echo(fetch, at, post(body()));
      return [got.body, got["content-type"], got["content-length"], got["transfer-encoding"]];
    },
    gives: [gives[0], gives[1], String(new TextEncoder().encode(gives[0]).length), undefined],
    notOf,
  };
}

const rows: Row[] = [
  // redirects
  ...[301, 302, 303, 307, 308].flatMap((status) =>
    [["GET", null], ["POST", "x"], ["PUT", "x"], ["DELETE", null]].map(([method, body]) =>
      redirected(status, method as string, body as string | null)
    )
  ),
  {
    name: "redirect: error",
    run: (fetch, at) => failure(fetch(`${at}/to/302/echo`, { redirect: "error" })),
    gives: "TypeError",
  },
  {
    name: "redirect: manual gives the answer",
    run: async (fetch, at) => {
      const response = await fetch(`${at}/to/302/echo`, { redirect: "manual" });
      await response.body?.cancel();
      return [response.status, response.headers.get("location"), response.redirected];
    },
    gives: [302, "/echo", false],
  },
  {
    name: "the fragment of a redirected URL is in no URL of a response",
    run: async (fetch, at) => {
      const response = await fetch(`${at}/to/302/echo#part`);
      await response.text();
      return [response.url === `${at}/echo`, response.redirected];
    },
    gives: [true, true],
  },
  {
    name: "the fragment is in no URL of a response",
    run: async (fetch, at) => {
      const response = await fetch(`${at}/echo#part`);
      await response.text();
      return response.url === `${at}/echo`;
    },
    gives: true,
    notOf: ["bun"],
  },
  {
    name: "Authorization is left out for another origin",
    run: async (fetch, at, { other }) => {
      const headers = { authorization: "Bearer secret", "x-own": "value" };
      const got = await (await fetch(`${at}/to/302/${encodeURIComponent(`${other}/echo`)}`, { headers })).json();
      return [got.authorization, got["x-own"]];
    },
    gives: [undefined, "value"],
  },
  {
    name: "a redirect to another origin with credentials in it",
    run: (fetch, at, { other }) => {
      const to = `${other.replace("//", "//user:pass@")}/echo`;
      return failure(fetch(`${at}/to/302/${encodeURIComponent(to)}`));
    },
    gives: "TypeError",
    notOf: ["bun", "deno"],
  },
  {
    name: "more than 20 redirects",
    run: (fetch, at) => failure(fetch(`${at}/for/ever`)),
    gives: "TypeError",
  },
  {
    name: "a redirect of a body that is a stream",
    run: (fetch, at) => failure(fetch(`${at}/to/307/echo`, post(stream("x"), half))),
    gives: "TypeError",
  },
  // bodies of requests
  bodied("a text", () => "häh", ["häh", "text/plain;charset=UTF-8"], ["bun"]),
  bodied("URLSearchParams", () => new URLSearchParams({ a: "ü" }), [
    "a=%C3%BC",
    "application/x-www-form-urlencoded;charset=UTF-8",
  ]),
  bodied("bytes", () => new Uint8Array([97, 98]), ["ab"]),
  bodied("an ArrayBuffer", () => new Uint8Array([97, 98]).buffer, ["ab"]),
  bodied("a part of bytes", () => new Uint8Array([96, 97, 98, 99]).subarray(1, 3), ["ab"]),
  bodied("a Blob", () => new Blob(["ab"], { type: "text/x" }), ["ab", "text/x"]),
  bodied("none of a POST", () => "", ["", "text/plain;charset=UTF-8"], ["bun"]),
  {
    name: "a body: a form, of a known length",
    run: async (fetch, at) => {
      const form = new FormData();
      form.set("name", "value");
      form.set("file", new File(["content"], 'a "name".txt', { type: "text/x" }));
      const got = await echo(fetch, at, post(form));
      const [, boundary] = /boundary="?([^"]+)"?$/.exec(got["content-type"]!)!;
      const parts = got.body!.split(`--${boundary}`).slice(1, -1).map((it) => it.toLowerCase().trim().split("\r\n"));
      return [parts, Number(got["content-length"]) === got.body!.length];
    },
    gives: [[
      ['content-disposition: form-data; name="name"', "", "value"],
      [
        'content-disposition: form-data; name="file"; filename="a %22name%22.txt"',
        "content-type: text/x",
        "",
        "content",
      ],
    ], true],
  },
  {
    name: "a body: a stream goes out chunked",
    run: async (fetch, at) => {
      const got = await echo(fetch, at, post(stream("one, ", "two"), half));
      return [got.body, got["content-length"], got["transfer-encoding"]];
    },
    gives: ["one, two", undefined, "chunked"],
  },
  {
    name: "a body: a stream without duplex",
    run: (fetch, at) => failure(fetch(`${at}/echo`, post(stream("x")))),
    gives: "TypeError",
    notOf: ["bun", "deno"],
  },
  {
    name: "a body of a Request has its length",
    run: async (fetch, at) => {
      const request = new Request(`${at}/echo`, post("text"));
      const { body, "content-length": length } = await (await fetch(request)).json();
      return [body, length, request.bodyUsed];
    },
    gives: ["text", "4", true],
  },
  {
    name: "a body with GET",
    run: (fetch, at) => failure(fetch(`${at}/echo`, { body: "x" })),
    gives: "TypeError",
  },
  {
    name: "a wrong Content-Length of the caller does not count",
    run: async (fetch, at) => {
      const { body, "content-length": length } = await echo(
        fetch,
        at,
        post("abc", { headers: { "content-length": "5" } }),
      );
      return [body, length];
    },
    gives: ["abc", "3"],
    notOf: ["node"],
  },
  {
    name: "a stream that fails is the cause",
    run: async (fetch, at) => {
      const reason = new RangeError("of the stream");
      const body = new ReadableStream({ pull: (controller) => controller.error(reason) });
      const error = await fetch(`${at}/echo`, post(body, half)).catch((error) => error);
      return [error.name, error.cause?.message];
    },
    gives: ["TypeError", "of the stream"],
    notOf: ["bun"],
  },
  // answers
  ...["text", "json", "arrayBuffer", "blob"].map((method): Row => ({
    name: `an answer: ${method}()`,
    run: async (fetch, _, { raw }) => {
      const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n";
      const got =
        await ((await fetch(raw(`${head}{"a": 1}`))) as unknown as Record<string, () => Promise<unknown>>)[method]!();
      if (got instanceof Blob) return [got.size, got.type];
      return got instanceof ArrayBuffer ? got.byteLength : got;
    },
    gives: {
      text: '{"a": 1}',
      json: { a: 1 },
      arrayBuffer: 8,
      blob: [8, new Blob([], { type: "application/json" }).type], // which Bun makes longer
    }[method],
  })),
  {
    name: "an answer: its members",
    run: async (fetch, _, { raw }) => {
      const response = await fetch(raw("HTTP/1.1 404 Not Here\r\nContent-Length: 2\r\n\r\nhi"));
      const { status, statusText, ok, redirected, type } = response;
      return [status, statusText, ok, redirected, type, response instanceof Response, await response.text()];
    },
    gives: [404, "Not Here", false, false, "basic", true, "hi"],
    notOf: ["bun", "deno"],
  },
  {
    name: "an answer: clone() has all of it",
    run: async (fetch, at) => {
      const response = await fetch(`${at}/to/302/echo`);
      const copy = response.clone();
      const [one, two] = await Promise.all([response.text(), copy.text()]);
      return [one === two, copy.url === response.url, copy.redirected, copy.status];
    },
    gives: [true, true, true, 200],
  },
  {
    name: "an answer: its fields cannot be changed",
    run: async (fetch, at) => {
      const response = await fetch(`${at}/echo`);
      await response.text();
      const names = ["set", "append", "delete"] as const;
      return names.map((name) => {
        try {
          response.headers[name]("x-own", "value");
          return "changed";
        } catch (error) {
          return (error as Error).name;
        }
      });
    },
    gives: ["TypeError", "TypeError", "TypeError"],
    notOf: ["bun"],
  },
  {
    name: "an answer: Set-Cookie stays apart, others are joined",
    run: async (fetch, _, { raw }) => {
      const { headers } = await fetch(
        raw("HTTP/1.1 204 No\r\nSet-Cookie: a=1, x\r\nX-A: 1\r\nSet-Cookie: b=2\r\nX-A: 2\r\n\r\n"),
      );
      return [headers.getSetCookie(), headers.get("x-a")];
    },
    gives: [["a=1, x", "b=2"], "1, 2"],
  },
  ...[204, 205, 304].map((status): Row => ({
    name: `an answer: ${status} has no body`,
    run: async (fetch, _, { raw }) => {
      const length = status === 205 ? "Content-Length: 0\r\n" : "";
      const response = await fetch(raw(`HTTP/1.1 ${status} X\r\n${length}\r\n`));
      return [response.status, response.body];
    },
    gives: [status, null],
  })),
  {
    name: "an answer: to HEAD it has the fields and no body",
    run: async (fetch, _, { raw }) => {
      const head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n";
      const response = await fetch(raw(head), { method: "HEAD" });
      return [response.headers.get("content-length"), await response.text()];
    },
    gives: ["1000", ""],
  },
  ...[299, 418, 599, 999].map((status): Row => ({
    name: `an answer: status ${status}`,
    run: async (fetch, _, { raw }) => {
      const response = await fetch(raw(`HTTP/1.1 ${status} Odd\r\nContent-Length: 2\r\n\r\nhi`));
      return [response.status, response.ok, await response.text()];
    },
    gives: [status, status < 300, "hi"],
  })),
  {
    name: "an answer: 1xx before it are passed over",
    run: async (fetch, _, { raw }) =>
      await read(
        await fetch(
          raw(
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
          ),
        ),
      ),
    gives: [200, "hi"],
  },
  {
    name: "an answer: until the end of the connection",
    run: async (fetch, _, { raw }) => await read(await fetch(raw("HTTP/1.0 200 OK\r\n\r\nhi"))),
    gives: [200, "hi"],
  },
  {
    name: "an answer: one that ends too early is an error of its body",
    run: async (fetch, _, { raw }) => {
      const cut = ["Content-Length: 5\r\n\r\nhi", "Transfer-Encoding: chunked\r\n\r\n5\r\nhi"];
      return await Promise.all(cut.map(async (rest) => {
        const response = await fetch(raw(`HTTP/1.1 200 OK\r\n${rest}`));
        return [response.status, await failure(response.text())];
      }));
    },
    gives: [[200, "TypeError"], [200, "TypeError"]],
  },
  {
    name: "an answer: its bytes with a reader of one's own buffer",
    run: async (fetch, _, { raw }) => {
      const response = await fetch(raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"));
      const reader = response.body!.getReader({ mode: "byob" });
      const first = await reader.read(new Uint8Array(10));
      return [first.value?.length, (await reader.read(new Uint8Array(10))).done];
    },
    gives: [2, true],
    notOf: ["bun"],
  },
  // content codings
  coded("gzip", gzipSync(text)),
  coded("x-gzip", gzipSync(text), ["deno"]),
  coded("br", brotliCompressSync(text)),
  coded("deflate", deflateSync(text), ["deno"]),
  { ...coded("deflate", deflateRawSync(text), ["deno"]), name: "content coding deflate, without its frame" },
  coded("gzip, br", brotliCompressSync(gzipSync(text)), ["deno", "bun"]),
  coded("GZIP", gzipSync(text), []),
  {
    name: "content coding gzip, cut",
    run: async (fetch, _, { raw }) => {
      const bytes = gzipSync(text).subarray(0, 40);
      const head = new TextEncoder().encode(`HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 40\r\n\r\n`);
      return await failure((await fetch(raw(new Uint8Array([...head, ...bytes])))).text());
    },
    gives: "TypeError",
    notOf: ["node"],
  },
  {
    name: "content coding unknown: as it is",
    run: async (fetch, _, { raw }) =>
      await read(await fetch(raw("HTTP/1.1 200 OK\r\nContent-Encoding: own\r\nContent-Length: 2\r\n\r\nhi"))),
    gives: [200, "hi"],
  },
  // requests
  ...["patch", "PATCH", "FOO", "get", "QUERY"].map((method): Row => ({
    name: `the method ${method}`,
    run: async (fetch, _, { raw }) => {
      const url = raw("echo of the request line");
      return (await (await fetch(url, { method })).text()).split(" ")[0];
    },
    gives: method === "get" ? "GET" : method,
    ...(["FOO", "patch"].includes(method) && { notOf: ["bun"] as const }),
  })),
  ...["CONNECT", "TRACE", "track", "a b", ""].map((method): Row => ({
    name: `the method ${JSON.stringify(method)} is refused`,
    run: (fetch, at) => failure(fetch(`${at}/echo`, { method })),
    gives: "TypeError",
    ...(method !== "CONNECT" && { notOf: ["bun"] as const }),
  })),
  {
    name: "the URL as it is written",
    run: async (fetch, _, { raw }) => {
      const url = raw("echo of the request line");
      const paths = ["?", "?a=b|c", "/a//b/../c?d#e", "/%7e%41?ü"];
      return await Promise.all(paths.map(async (path) => (await (await fetch(`${url}${path}`)).text()).split(" ")[1]));
    },
    gives: ["/?", "/?a=b|c", "/a//c?d", "/%7e%41?%C3%BC"],
  },
  {
    name: "credentials in a URL",
    run: (fetch, at) => failure(fetch(`${at.replace("//", "//user:pass@")}/echo`)),
    gives: "TypeError",
    notOf: ["bun", "deno"],
  },
  {
    name: "a blocked port",
    run: (fetch) => failure(fetch("http://127.0.0.1:6000/")),
    gives: "TypeError",
  },
  {
    name: "what is sent besides",
    run: async (fetch, at) => {
      const got = await echo(fetch, at);
      return [
        got.accept,
        got["accept-language"],
        /gzip/.test(got["accept-encoding"]!),
        got["user-agent"] !== undefined,
      ];
    },
    gives: ["*/*", "*", true, true],
    notOf: ["bun"],
  },
  {
    name: "with Range nothing is to be encoded",
    run: async (fetch, at) => (await echo(fetch, at, { headers: { range: "bytes=0-1" } }))["accept-encoding"],
    gives: "identity",
    notOf: ["bun"],
  },
  {
    name: "what the caller says of the connection is left out",
    run: async (fetch, at) => {
      const headers = {
        te: "trailers",
        "keep-alive": "timeout=5",
        "proxy-authorization": "Basic secret",
        "x-own": "1",
      };
      const got = await echo(fetch, at, { headers });
      return [got.te, got["keep-alive"], got["proxy-authorization"], got["x-own"]];
    },
    gives: [undefined, undefined, undefined, "1"],
    notOf: ["bun", "deno", "node"],
  },
  // integrity
  {
    name: "integrity that matches, and that does not",
    run: async (fetch, _, { raw }) => {
      const url = raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
      const right = "sha256-j0NDRmSPa5bfid2pAcUXaxCm2Dlh3TwayItZstwyeqQ=";
      const response = await fetch(url, { integrity: `sha256-wrong ${right}` });
      return [await response.text(), await failure(fetch(url, { integrity: right.replace("j", "k") }))];
    },
    gives: ["hi", "TypeError"],
    notOf: ["bun", "deno"],
  },
  // without a network
  {
    name: "data: URLs",
    run: async (fetch) =>
      await Promise.all(
        ["data:,a%20b", "data:text/html;charset=x,é", "data:;base64,aGk=", "data:none"].map((url) =>
          fetch(url).then(
            async (it) => [it.headers.get("content-type"), await it.text()],
            (error) => error.name,
          )
        ),
      ),
    gives: [
      ["text/plain;charset=US-ASCII", "a b"],
      ["text/html;charset=x", "é"],
      ["text/plain;charset=US-ASCII", "hi"],
      "TypeError",
    ],
    notOf: ["bun"],
  },
  {
    name: "blob: URLs",
    run: async (fetch) => {
      const url = URL.createObjectURL(new Blob(["a blob"], { type: "text/x" }));
      const { headers } = await fetch(url);
      const got = [headers.get("content-type"), headers.get("content-length"), await failure(fetch(url, post("x")))];
      URL.revokeObjectURL(url);
      return [...got, await failure(fetch(url))];
    },
    gives: ["text/x", "6", "TypeError", "TypeError"],
    notOf: ["bun"],
  },
];

for (const { name, run, gives, notOf = [] } of rows) {
  test(`side by side: ${name}`, async () => {
    await withSites(async ({ native, ours }) => {
      assertEquals(await ours(run), gives, "ours");
      const own = await native(run);
      if (notOf.includes(runtime)) assertEquals(same(own, gives), false, "the runtime's own gives the same by now");
      else assertEquals(own, gives, "the runtime's own");
    });
  });
}

function same(a: unknown, b: unknown): boolean {
  try {
    assertEquals(a, b);
    return true;
  } catch {
    return false;
  }
}

type Run = (run: Row["run"]) => Promise<unknown>;

/** Two ways to the same sites: directly with the runtime's own fetch, and through a proxy with ours. */
async function withSites(use: (ways: { native: Run; ours: Run }) => Promise<void>): Promise<void> {
  const [web, other] = [await startWeb(answer), await startWeb(answer)];
  const raw = await startRaw();
  const proxy = await createTestProxy();
  const fetch = createFetch(new Socks5Client(proxy.url));
  const at = `http://127.0.0.1:${web.port}`;
  const sites = { other: `http://127.0.0.1:${other.port}`, raw: raw.urlOf };
  const native = globalThis.fetch;
  try {
    await use({
      ours: async (run) => await run(fetch, at, sites),
      native: async (run) => await Promise.resolve(run(native, at, sites)).catch((error) => String(error)),
    });
  } finally {
    await fetch.close();
    await proxy.close();
    await Promise.all([web.close(), other.close(), raw.close()]);
  }
}

/** `/echo` tells what it got; `/to/STATUS/LOCATION` redirects, `/for/ever` to itself. */
async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [, status, location = ""] = /^\/to\/(\d+)\/(.*)$/.exec(request.url!) ?? [];
  let body = "";
  try {
    for await (const chunk of request) body += chunk;
  } catch {
    return; // it was broken off
  }
  response.setHeader("connection", "close"); // the runtime's own fetch would keep it after the test
  if (status) {
    const to = decodeURIComponent(location);
    response.writeHead(Number(status), { location: to.includes(":") ? to : `/${to}` }).end("ignored");
  } else if (request.url === "/for/ever") {
    response.writeHead(302, { location: "/for/ever" }).end();
  } else {
    response.end(JSON.stringify({ ...request.headers, method: request.method, body }));
  }
}

/** A server that answers a URL of `urlOf` with those bytes, and ends. */
async function startRaw(): Promise<{ urlOf(answer: string | Uint8Array): string; close(): Promise<void> }> {
  let answer: string | Uint8Array = "";
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    socket.once("data", (head) => {
      const [line = ""] = head.toString().split("\r\n");
      const echoed = `HTTP/1.1 200 OK\r\nContent-Length: ${line.length}\r\n\r\n${line}`;
      socket.end(answer === "echo of the request line" ? echoed : answer);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    urlOf(it) {
      answer = it;
      return `http://127.0.0.1:${port}`;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
