import type { ClientRequest, IncomingMessage } from "node:http";
import type { ServerOptions } from "node:https";
import { text } from "node:stream/consumers";
import { Socks5Agent, type Socks5AgentOptions } from "../../agent/mod.ts";
import { Socks5Client, type Socks5Options } from "../../mod.ts";
import { certificates } from "./certificates.ts";
import { type Answer, startWeb, type Web } from "./http_server.ts";
import type { TestProxy, TestProxyOptions, TestRule } from "../../testing/mod.ts";
import { withProxy } from "./stage.ts";
import { digestOf, payload } from "./targets.ts";

/** What a test of requests stands on. */
export interface WebStage {
  proxy: TestProxy;
  client: Socks5Client;
  agent: Socks5Agent;
  /** Behind the proxy as `example.com:80`. */
  plain: Web;
  /** Behind the proxy as `example.com:443`. */
  secure: Web;
}

/** How a test of requests wants it. */
export interface WebOptions {
  proxy?: TestProxyOptions;
  client?: Socks5Options;
  agent?: Socks5AgentOptions;
  /** Of the secure site. */
  tls?: ServerOptions;
}

/** Runs `use` with two sites behind a proxy and an agent for it, after which no connection may be open. */
export function withWeb(options: WebOptions, use: (web: WebStage) => Promise<void>): Promise<void> {
  return withSites(options.tls, async ({ plain, secure, rules }) => {
    await withProxy({ rules, ...options.proxy }, async (proxy) => {
      const client = new Socks5Client(proxy.url, { retry: 0, ...options.client });
      const agent = new Socks5Agent(client, { ca: certificates().authority.cert, ...options.agent });
      try {
        await use({ proxy, client, agent, plain, secure });
      } finally {
        agent.destroy();
      }
      await Promise.all([plain, secure].map((site) => site.until(() => site.open === 0)));
      await client.close();
    });
  });
}

/** Runs `use` with two sites, which `rules` put behind a mock proxy as `example.com:80` and `example.com:443`. */
export async function withSites(
  tls: ServerOptions | undefined,
  use: (sites: { plain: Web; secure: Web; rules: Record<string, TestRule> }) => Promise<void>,
): Promise<void> {
  const plain = await startWeb(serve);
  const secure = await startWeb(serve, { ...certificates().names, ...tls });
  const rules = { "example.com:80": { port: plain.port }, "example.com:443": { port: secure.port } };
  try {
    await use({ plain, secure, rules });
  } finally {
    await Promise.all([plain.close(), secure.close()]);
  }
}

/** The text of the answer to a request, which is ended, once its connection may serve the next one. */
export async function answer(request: ClientRequest): Promise<string> {
  const closed = new Promise((resolve) => request.once("close", resolve));
  const said = await text(await response(request));
  await closed;
  return said;
}

/** The answer to a request, which is ended; rejects with the error of the request. */
export function response(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => request.on("response", resolve).on("error", reject).end());
}

/** The error of a request, once it is closed. */
export function errorOf(request: ClientRequest): Promise<Error & { code?: string }> {
  return new Promise((resolve, reject) => {
    const errors: Error[] = [];
    request.on("error", (error) => errors.push(error));
    request.on("response", (response) => response.resume());
    request.on("close", () => errors.length === 1 ? resolve(errors[0]!) : reject(new Error(`${errors.length} errors`)));
    request.end();
  });
}

const serve: Answer = async (request, response) => {
  const [, path, length] = request.url!.split("/");
  if (path === "source") return void response.end(payload(Number(length)));
  if (path === "digest") {
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    for await (const chunk of request) chunks.push(chunk);
    return void response.end(digestOf(new Uint8Array(await new Blob(chunks).arrayBuffer())));
  }
  if (path === "silence") return;
  if (path === "close") response.setHeader("Connection", "close");
  response.end(`${request.method} ${request.headers.host}${request.url}`);
};
