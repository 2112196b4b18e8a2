import { createServer, type ServerResponse } from "node:http";
import type { ClientRequest, IncomingMessage, RequestListener, Server } from "node:http";
import { createServer as createSecureServer, type ServerOptions } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { text } from "node:stream/consumers";
import { Socks5Agent, type Socks5AgentOptions } from "../../agent/mod.ts";
import { Socks5Client, type Socks5Options } from "../../mod.ts";
import { certificates } from "./certificates.ts";
import type { TestProxy, TestProxyOptions, TestRule } from "../../testing/mod.ts";
import { Changes } from "../../testing/changes.ts";
import { withProxy } from "./stage.ts";
import { digestOf, payload } from "./targets.ts";

/** A web server on loopback. */
export interface Site {
  readonly port: number;
  readonly server: Server;
  /** How many connections there were, and how many are open. */
  readonly accepted: number;
  readonly open: number;
  /** The names that TLS clients asked for; `false` for none. */
  readonly names: (string | false)[];
  until(condition: () => boolean, timeout?: number): Promise<void>;
  /** Ends what is open; it accepts on. */
  hangUp(): void;
  close(): Promise<void>;
}

/** What a test of requests stands on. */
export interface Web {
  proxy: TestProxy;
  client: Socks5Client;
  agent: Socks5Agent;
  /** Behind the proxy as `example.com:80`. */
  plain: Site;
  /** Behind the proxy as `example.com:443`. */
  secure: Site;
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
export function withWeb(options: WebOptions, use: (web: Web) => Promise<void>): Promise<void> {
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
  use: (sites: { plain: Site; secure: Site; rules: Record<string, TestRule> }) => Promise<void>,
): Promise<void> {
  const plain = await startSite(createServer(serve), "connection");
  const secure = await startSite(createSecureServer({ ...certificates().names, ...tls }, serve), "secureConnection");
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

const serve: RequestListener = async (request: IncomingMessage, response: ServerResponse) => {
  request.on("error", () => {});
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

async function startSite(server: Server, usable: "connection" | "secureConnection"): Promise<Site> {
  const sockets = new Set<Socket>();
  const watch = new Changes();
  const names: (string | false)[] = [];
  let accepted = 0;
  server.on("connection", (socket: Socket) => {
    accepted++;
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      sockets.delete(socket);
      watch.notify();
    });
    watch.notify();
  });
  if (usable === "secureConnection") {
    server.on(usable, (socket: Socket & { servername?: string | false }) => names.push(socket.servername || false));
    server.on("tlsClientError", (_error: Error, socket: Socket) => socket.destroy());
  }
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const hangUp = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    server,
    names,
    get accepted() {
      return accepted;
    },
    get open() {
      return sockets.size;
    },
    until: (condition, timeout) => watch.until(condition, timeout),
    hangUp,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      hangUp();
      await closed;
    },
  };
}
