import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { createTestProxy, type TestProxyOptions } from "../../../testing/mod.ts";
import { type Certificates, certificates } from "../certificates.ts";
import { blackHole, listen } from "../peer.ts";
import { type Answer, startWeb } from "../http_server.ts";
import { pattern } from "../pattern.ts";
import { startEcho } from "../targets.ts";
import { startPlain, startTls } from "../tls_targets.ts";

/** What tests within workerd may ask for, by name. */
const FIXTURES: Record<string, (...args: never[]) => Promise<unknown>> = {
  listen,
  proxy: (options: TestProxyOptions) => createTestProxy(options),
  echo: () => startEcho(),
  web: (certificate?: "both") => startWeb(answer, certificate && certificates()[certificate]),
  blackHole: () => blackHole(),
  plain: (answer: string) => startPlain(answer),
  tlsEcho: (certificate: Exclude<keyof Certificates, "authority" | "otherAuthority">) =>
    startTls({ certificate: certificates()[certificate] }),
};

/** What the web server answers, by the path. */
const answer: Answer = async (request, response) => {
  const { pathname, searchParams } = new URL(request.url!, "http://web.test");
  const encode = CODINGS[pathname.slice(1)];
  if (encode !== undefined) {
    return response.setHeader("content-encoding", searchParams.get("as")!).end(encode("hello ".repeat(1_000)));
  }
  switch (pathname) {
    case "/echo": {
      const body = String(await buffer(request));
      return response.end(JSON.stringify({ method: request.method, url: request.url, headers: request.headers, body }));
    }
    case "/redirect":
      return response.writeHead(Number(searchParams.get("status") ?? 302), { location: searchParams.get("to")! }).end(
        "x",
      );
    case "/chunks":
      for (let i = 0; i < 100; i++) response.write(`${i} `);
      return response.end("end");
    case "/early":
      response.writeEarlyHints({ link: "</a.css>; rel=preload" });
      return response.end("late");
    case "/status":
      return response.writeHead(Number(searchParams.get("status"))).end();
    case "/cookies":
      return response.setHeader("set-cookie", ["a=1", "b=2"]).end("cookies");
    case "/large":
      return response.end(pattern(4 << 20));
    default:
      return response.end("hello");
  }
};

const CODINGS: Record<string, (text: string) => Uint8Array> = {
  gzip: gzipSync,
  deflate: deflateSync,
  raw: deflateRawSync,
  br: brotliCompressSync,
  twice: (text) => gzipSync(deflateSync(text)),
  cut: (text) => gzipSync(text).subarray(0, -12),
  empty: () => new Uint8Array(),
};

/** Serves the functions above, and the methods of the objects that they gave, for `remote.ts`. */
export async function serveFixtures(): Promise<{ url: string; close(): Promise<void> }> {
  const objects: unknown[] = [FIXTURES];
  const server = createServer((request, response) => {
    void (async () => {
      const send = (kind: string, body: string | Uint8Array) => void response.setHeader("x-kind", kind).end(body);
      try {
        const value = await call(objects, request);
        if (value instanceof Uint8Array) return send("bytes", value);
        if (!hasMethods(value)) return send("json", JSON.stringify(value ?? null));
        send("object", String(objects.push(value) - 1));
      } catch (error) {
        send("error", JSON.stringify(String(error)));
      }
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Calls a method, or gives a member that is none. */
async function call(objects: unknown[], request: IncomingMessage): Promise<unknown> {
  const [, id = "", name = "", isBytes] = /^\/(\d+)\/(\w+)(\?bytes)?$/.exec(request.url!)!;
  const body = await buffer(request);
  const args = isBytes ? [new Uint8Array(body)] : JSON.parse(String(body));
  const object = objects[Number(id)] as Record<string, unknown>;
  const member = object[name];
  return typeof member === "function" ? await member.apply(object, args) : member;
}

function hasMethods(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.getPrototypeOf(value) !== Object.prototype ||
    Object.values(value).some((it) => typeof it === "function");
}
