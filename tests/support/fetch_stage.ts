import { assertInstanceOf } from "@std/assert";
import { createFetch, type FetchOptions, type Socks5Fetch } from "../../fetch/mod.ts";
import { Socks5Client, Socks5Error } from "../../mod.ts";
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
  const proxy = await createTestProxy({ rules: () => ({ port: web.port }), ...options.proxy });
  const client = new Socks5Client(proxy.url, { retry: 0, timeout: Infinity, attemptTimeout: Infinity });
  const fetch = createFetch(client, options.fetch);
  try {
    await use({ fetch, proxy, web, client });
    await fetch.close();
    await proxy.until(() => proxy.open === 0);
  } finally {
    await fetch.close();
    await client.close();
    await proxy.close();
    await web.close();
  }
}

/** The `Socks5Error` that is the cause of what a fetch is rejected with. */
export async function causeOf(promise: Promise<unknown>): Promise<Socks5Error> {
  const error = await promise.then(() => "it succeeded", (error: unknown) => error);
  assertInstanceOf(error, TypeError, String(error));
  assertInstanceOf(error.cause, Socks5Error, `${error.message}: ${error.cause}`);
  return error.cause;
}
