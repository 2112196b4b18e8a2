// Compiled against the packed types and never run.
import { Socks5Client, type Socks5Conn, TargetError } from "@x/socks5";
import { Socks5Agent, toDuplex } from "@x/socks5/agent";
import { createFetch } from "@x/socks5/fetch";
import { nodeTransport } from "@x/socks5/node";
import http from "node:http";
import https from "node:https";
import type net from "node:net";

export async function rawSocket(proxy: string): Promise<net.Socket> {
  const client = new Socks5Client(proxy, { transport: nodeTransport, retry: 0 });
  const conn = await client.connect("example.com:443", { signal: AbortSignal.timeout(1_000) });
  return conn.detach().socket;
}

export async function readable(conn: Socks5Conn): Promise<Response> {
  for await (const chunk of conn.readable) await conn.write(chunk.subarray(1));
  const [copy]: ReadableStream<Uint8Array>[] = conn.readable.tee();
  return new Response(copy === undefined ? conn.readable : null);
}

export async function disposed(client: Socks5Client): Promise<void> {
  const conn = await client.connect("example.com:443");
  conn[Symbol.dispose]();
  await client[Symbol.asyncDispose]();
}

export function agents(client: Socks5Client): [http.Agent, https.Agent] {
  const agent = new Socks5Agent(client, { maxSockets: 10 });
  http.get("http://example.com/", { agent });
  https.get("https://example.com/", { agent });
  return [agent, agent];
}

export function stream(client: Socks5Client): net.Socket {
  return toDuplex((signal) => client.connect("example.com:443", { signal }));
}

export async function sessions(client: Socks5Client): Promise<string | undefined> {
  const agent: http.Agent = new Socks5Agent(client, { session: "alice", keepAlive: false });
  const fetch = createFetch(client, { session: "alice", ban: { 403: 600_000, 429: "retry-after" }, attempts: 3 });
  const plain: typeof globalThis.fetch = fetch;
  const response = await plain("http://example.com/", { method: "HEAD" });
  return fetch.proxyOf(response) ?? fetch.proxyOf(await fetch("http://example.com/", { session: "bob" })) ??
    agent.getName({ host: "example.com" });
}

export function refusal(error: unknown): number | null {
  return error instanceof TargetError ? error.rep : null;
}

// @ts-expect-error a target is not a number
export const wrong: Promise<Socks5Conn> = new Socks5Client("socks5h://127.0.0.1").connect(443);
