import { assertInstanceOf } from "@std/assert";
import { createFetch, type FetchOptions, type Socks5Fetch } from "../../fetch/mod.ts";
import { Socks5Client, Socks5Error, type Socks5Options } from "../../mod.ts";
import { createTestProxy, type TestProxy, type TestProxyOptions } from "../../testing/mod.ts";
import { type Answer, startWeb, type Web } from "./http_server.ts";

/** What a fetch is tried with: `web` is any host behind the proxy that no rule says otherwise of. */
export interface FetchStage {
  fetch: Socks5Fetch;
  proxy: TestProxy;
  web: Web;
  client: Socks5Client;
}

/** How it is set up. */
export interface FetchStageOptions {
  proxy?: TestProxyOptions | undefined;
  fetch?: FetchOptions | undefined;
  tls?: { cert: string; key: string } | undefined;
}

/** Runs `use` with a fetch through a mock proxy; nothing may be open at the proxy once the fetch is closed. */
export async function withFetch(
  answer: Answer,
  options: FetchStageOptions,
  use: (stage: FetchStage) => Promise<void>,
): Promise<void> {
  const web = await startWeb(answer, options.tls);
  const client = { timeout: Infinity, attemptTimeout: Infinity };
  try {
    await withFetchTo(web.port, { ...options, client }, (stage) => use({ ...stage, web }));
  } finally {
    await web.close();
  }
}

/** The same with a server that runs already, which is any host behind the proxy that no rule says otherwise of. */
export async function withFetchTo(
  port: number,
  options: Pick<FetchStageOptions, "proxy" | "fetch"> & { client?: Socks5Options | undefined },
  use: (stage: Omit<FetchStage, "web">) => Promise<void>,
): Promise<void> {
  const proxy = await createTestProxy({ rules: () => ({ port }), ...options.proxy });
  const client = new Socks5Client(proxy.url, { retry: 0, ...options.client });
  const fetch = createFetch(client, options.fetch);
  try {
    await use({ fetch, proxy, client });
    await fetch.close();
    await proxy.until(() => proxy.open === 0);
  } finally {
    await fetch.close();
    await client.close();
    await proxy.close();
  }
}

/** The `Socks5Error` that is the cause of what a fetch is rejected with. */
export async function causeOf(promise: Promise<unknown>): Promise<Socks5Error> {
  const error = await promise.then(() => "it succeeded", (error: unknown) => error);
  assertInstanceOf(error, TypeError, String(error));
  assertInstanceOf(error.cause, Socks5Error, `${error.message}: ${error.cause}`);
  return error.cause;
}

/** What a fetch through several proxies is tried with. */
export interface FleetStage {
  /** The proxies by their labels: "a", "b" and so on. */
  proxies: Record<string, TestProxy>;
  client: Socks5Client;
  /** Any host, as it is seen through each proxy. */
  webs: Record<string, Web>;
  /** How many connections each proxy has accepted. */
  counts(): Record<string, number>;
}

/** Runs `use` with a client for some proxies, at which nothing may be open in the end; `answer` is told the proxy, too. */
export async function withFleet(
  answer: (...args: [...Parameters<Answer>, proxy: string]) => unknown,
  { proxies: labels = ["a", "b"], client: options, tls }: {
    proxies?: string[];
    client?: Socks5Options;
    tls?: { cert: string; key: string } | undefined;
  },
  use: (stage: FleetStage) => Promise<void>,
): Promise<void> {
  const started = await Promise.all(labels.map(async (label) => {
    const web = await startWeb((request, response) => answer(request, response, label), tls);
    return { label, web, proxy: await createTestProxy({ rules: () => ({ port: web.port }) }) };
  }));
  const proxies = Object.fromEntries(started.map(({ label, proxy }) => [label, proxy]));
  const webs = Object.fromEntries(started.map(({ label, web }) => [label, web]));
  const list = labels.map((label) => ({ url: proxies[label]!.url, label }));
  const client = new Socks5Client(list, { retry: 0, ...options });
  const counts = () => Object.fromEntries(labels.map((label) => [label, proxies[label]!.connections.length]));
  try {
    await use({ proxies, client, webs, counts });
    await client.close();
    await Promise.all(started.map(({ proxy }) => proxy.until(() => proxy.open === 0)));
  } finally {
    await client.close();
    await Promise.all(started.flatMap(({ proxy, web }) => [proxy.close(), web.close()]));
  }
}

/** A session whose proxy is the one with that label. */
export async function sessionOn(client: Socks5Client, label: string): Promise<string> {
  for (let i = 0;; i++) {
    const conn = await client.connect("session.test:80", { session: `s${i}` });
    conn.close();
    if (conn.proxy === label) return `s${i}`;
  }
}
