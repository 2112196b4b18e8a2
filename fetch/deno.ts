import { cannot } from "../src/errors.ts";
import { Aliases } from "./aliases.ts";
import { OwnFront } from "./own_front.ts";
import { follow, type Hop } from "./redirects.ts";
import { type Connects, connectTo, type FetchTls, type Way } from "./way.ts";

/** Deno's fetch with a pool of its own, through a front, and shown aliases of hosts alone. */
export function denoWay(client: Connects, tls: FetchTls): Way {
  const { createHttpClient: create, env } = (globalThis as unknown as { Deno: DenoParts }).Deno;
  const native = globalThis.fetch as DenoFetch;
  if (create === undefined) throw new TypeError(cannot("Deno", "one with createHttpClient()", "one without"));
  if (!heedsUs(native)) {
    throw new TypeError(cannot("fetch", "Deno's own (create this one before it is replaced)", "other"));
  }
  withoutNoProxy(env, () => create({})).close(); // a lack of permissions is told now
  const aliases = new Aliases();
  const connects: Connects = {
    connect: (alias, options = {}) => connectTo(client, tls, aliases.originOf(String(alias)), options),
  };
  const front = new OwnFront(connects, ({ hostname, port }, basicAuth) => {
    const proxy = { transport: "socks5", url: `socks5h://${hostname}:${port}`, basicAuth };
    return withoutNoProxy(env, () => create({ proxy, allowHost: true }));
  });

  async function send({ url, headers, ...rest }: Hop): Promise<Response> {
    const { port } = (await front.start()).front;
    const aliased = Object.assign(new URL(url), { protocol: "http:", host: aliases.aliasOf(url, port) });
    const request = new Request(aliased, { ...rest, headers, redirect: "manual" });
    request.headers.set("host", url.host);
    try {
      return await front.carry(request, (client) => native(request, { client }));
    } catch (error) {
      const { cause } = error as { cause?: unknown };
      if (cause instanceof Error) cause.message = cause.message.replaceAll(aliased.origin, url.origin);
      throw error;
    }
  }
  return {
    send: (request, source) => /^https?:/.test(request.url) ? follow(request, source, send) : native(request, {}),
    close: (reason) => front.close(reason),
  };
}

interface DenoParts {
  createHttpClient?(options: object): { close(): void };
  env: Environment;
}
interface Environment {
  get(name: string): string | undefined;
  set(name: string, value: string): void;
  delete(name: string): void;
}
type DenoFetch = (input: string | Request, init: RequestInit & { client?: unknown }) => Promise<Response>;

/** Whether the fetch asks for a client before it returns, which any other than Deno's would go past. */
function heedsUs(native: DenoFetch): boolean {
  let asked = false;
  const init = {
    signal: AbortSignal.abort(),
    get client() {
      asked = true;
      return undefined;
    },
  };
  try {
    native("http://test.invalid", init).catch(() => {});
  } catch {
    // another one
  }
  return asked;
}

/** Deno goes past a proxy to what NO_PROXY lists, as it is when the HTTP client is made: none is made with it. */
function withoutNoProxy<T>(env: Environment, make: () => T): T {
  const saved: [name: string, value: string][] = [];
  try {
    for (const name of ["NO_PROXY", "no_proxy"]) {
      const value = env.get(name);
      if (value === undefined) continue;
      saved.push([name, value]);
      env.delete(name);
    }
    return make();
  } catch (error) {
    if ((error as Error).name !== "NotCapable") throw error;
    const want = "some that let NO_PROXY be left out (--allow-env=NO_PROXY,no_proxy)";
    throw new TypeError(cannot("Deno's permissions", want, "not granted"), { cause: error });
  } finally {
    for (const [name, value] of saved) env.set(name, value);
  }
}
