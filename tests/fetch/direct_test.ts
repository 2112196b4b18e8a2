import { assertEquals, assertMatch } from "@std/assert";
import { execFile } from "node:child_process";
import { Agent } from "node:http";
import { connect, Server } from "node:net";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { createFetch } from "../../fetch/mod.ts";
import { Socks5Client } from "../../mod.ts";
import { causeOf } from "../support/fetch_stage.ts";
import { createTestProxy, type TestProxy } from "../../testing/mod.ts";
import { startSilent, type Target } from "../support/targets.ts";
import { quick, test } from "../support/test.ts";
import { startWeb, type Web } from "../support/http_server.ts";

const runtime = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";
const here = { NO_PROXY: "127.0.0.1,localhost,::1,.test" };

type Environment = { env?: Record<string, string>; late?: Record<string, string> };

const environments: Record<string, (trap: string) => Environment> = {
  "nothing": () => ({}),
  "NO_PROXY with *": () => ({ env: { NO_PROXY: "*" } }),
  "NO_PROXY with the hosts": () => ({ env: here }),
  "no_proxy with the hosts": () => ({ env: { no_proxy: here.NO_PROXY } }),
  "NO_PROXY set later": () => ({ late: here }),
  "NO_PROXY set later to *": () => ({ late: { NO_PROXY: "*", no_proxy: "*" } }),
  "another HTTP_PROXY": (trap) => ({ env: proxies(trap) }),
  "another HTTP_PROXY, set later": (trap) => ({ late: proxies(trap) }),
  "another HTTP_PROXY, which Node heeds": (trap) => ({ env: { ...proxies(trap), NODE_USE_ENV_PROXY: "1" } }),
  "NO_PROXY, which Node heeds": (trap) => ({ env: { ...proxies(trap), ...here, NODE_USE_ENV_PROXY: "1" } }),
};

for (const [name, environment] of Object.entries(environments)) {
  test(`with ${name} in the environment all goes through the proxy, and without that nothing goes`, async () => {
    await withPlaces(async ({ web, proxy, trap }) => {
      const { env, late } = environment(`http://127.0.0.1:${trap.port}`);
      const urls = urlsOf(web);
      const targets = [`127.0.0.1:${web.port}`, `localhost:${web.port}`, `::1:${web.port}`, "a.test:80", "b.test:80"];

      const through = await fetched(proxy, urls, env, late);
      assertEquals(through, urls.map(() => "hello"));
      const asked = new Set(proxy.connections.map(({ request }) => `${request?.hostname}:${request?.port}`));
      assertEquals(
        [...asked].sort(),
        [...targets, `localhost:${web.port}`].sort().filter((it, i, all) => it !== all[i - 1]),
      );
      assertEquals(web.accepted, proxy.connections.length);

      const { accepted } = web;
      await proxy.stop();
      const down = await fetched(proxy, urls, env, late);
      assertEquals(down, urls.map(() => "TypeError SOCKS5_PROXY_UNREACHABLE"));
      assertEquals([web.accepted, trap.accepted], [accepted, 0]);
    });
  }, { skip: quick });
}

// What Next.js, tracing and polyfills do to the global fetch, which this one has nothing to do with.
const wrappers: [what: string, wrap: (native: typeof globalThis.fetch) => typeof globalThis.fetch][] = [
  ["that answers by itself", () => () => Promise.resolve(new Response("direct"))],
  ["that makes a Request anew", (native) => (input, init) => native(new Request(input, init))],
  ["that throws", () => () => Promise.reject(new Error("must not be called"))],
];

for (const [what, wrap] of wrappers) {
  test(`a global fetch ${what} changes nothing, before or after`, async () => {
    await withPlaces(async ({ web, proxy }) => {
      const { fetch } = globalThis;
      const client = () => new Socks5Client(proxy.url, { retry: 0 });
      const url = `http://127.0.0.1:${web.port}/`;
      const before = createFetch(client());
      globalThis.fetch = wrap(fetch) as typeof fetch;
      try {
        const after = createFetch(client());
        for (const each of [before, after]) assertEquals(await (await each(url)).text(), "hello");
        assertEquals([proxy.connections.length, web.accepted], [2, 2]);
        await proxy.stop();
        for (const each of [createFetch(client()), createFetch(client())]) {
          assertEquals((await causeOf(each(url))).code, "SOCKS5_PROXY_UNREACHABLE");
        }
        await before.close();
        await after.close();
        assertEquals(web.accepted, 2);
      } finally {
        globalThis.fetch = fetch;
        await proxy.start();
      }
    });
  });
}

test("it takes the place of the global fetch, and another one can be made then", async () => {
  await withPlaces(async ({ web, proxy }) => {
    const { fetch } = globalThis;
    const one = createFetch(new Socks5Client(proxy.url));
    globalThis.fetch = one;
    try {
      const two = createFetch(new Socks5Client(proxy.url));
      for (const each of [one, two]) {
        assertEquals(await (await each(`http://127.0.0.1:${web.port}/`)).text(), "hello");
        assertEquals(await (await each("data:,local")).text(), "local");
      }
      await two.close();
    } finally {
      globalThis.fetch = fetch;
    }
    await one.close();
    assertEquals(proxy.connections.length, 2);
  });
});

test("it opens no port, whatever it fetches", async () => {
  const { listen } = Server.prototype;
  await withPlaces(async ({ web, proxy }) => {
    let listened = 0;
    Server.prototype.listen = function () {
      listened++;
      return this;
    };
    try {
      const fetch = createFetch(new Socks5Client(proxy.url));
      assertEquals(await (await fetch(`http://127.0.0.1:${web.port}/redirect`)).text(), "hello");
      await fetch.close();
    } finally {
      Server.prototype.listen = listen;
    }
    assertEquals(listened, 0);
  });
});

for (const hook of ["dispatcher", "client", "proxy", "unix", "session", "tls", "protocol"]) {
  test(`init.${hook} is refused, and on a Request it counts nothing`, async () => {
    await withPlaces(async ({ web, proxy }) => {
      const fetch = createFetch(new Socks5Client(proxy.url, { retry: 0 }));
      const url = `http://127.0.0.1:${web.port}/`;
      const error = await fetch(url, { [hook]: {} } as RequestInit).catch((error) => error);
      assertMatch(String(error), new RegExp(`^TypeError: Cannot use init.${hook}`));
      const request = Object.assign(new Request(url), { [hook]: hook === "proxy" ? false : "/nowhere" });
      assertEquals(await (await fetch(request)).text(), "hello");
      assertEquals([proxy.connections.length, web.accepted], [1, 1]);
      await fetch.close();
    });
  });
}

test("init.agent, which SDKs give that were made for node-fetch, counts nothing", async () => {
  await withPlaces(async ({ web, proxy, trap }) => {
    const fetch = createFetch(new Socks5Client(proxy.url));
    const agent = new Agent();
    agent.createConnection = () => connect(trap.port, "127.0.0.1");
    const init = { agent } as RequestInit;
    assertEquals(await (await fetch(`http://127.0.0.1:${web.port}/`, init)).text(), "hello");
    assertEquals([proxy.connections.length, trap.accepted], [1, 0]);
    await fetch.close();
  });
});

const denoOnly = { skip: runtime !== "deno" && "it is about Deno" } as const;

test("Deno looks no name up", async () => {
  await withPlaces(async ({ web, proxy }) => {
    // a name that leads to what is denied is refused as soon as it is looked up
    const flags = ["--allow-env", "--allow-net", `--deny-net=127.0.0.1:${web.port}`];
    assertEquals(await fetched(proxy, [`http://localhost:${web.port}/`], {}, {}, flags), ["hello"]);
  });
}, denoOnly);

test("Deno needs the permission for the proxy, and no other", async () => {
  await withPlaces(async ({ web, proxy }) => {
    const flags = [`--allow-net=127.0.0.1:${proxy.port}`];
    assertEquals(await fetched(proxy, urlsOf(web), { NO_PROXY: "*" }, {}, flags), urlsOf(web).map(() => "hello"));
  });
}, denoOnly);

interface Places {
  web: Web;
  proxy: TestProxy;
  /** What must not be connected to. */
  trap: Target;
}

async function withPlaces(use: (places: Places) => Promise<void>): Promise<void> {
  const web = await startWeb((request, response) => {
    const location = `http://localhost:${web.port}/`;
    if (request.url === "/redirect") response.writeHead(302, { location }).end();
    else response.end("hello");
  });
  const proxy = await createTestProxy({ rules: () => ({ port: web.port }) });
  const trap = await startSilent();
  try {
    await use({ web, proxy, trap });
  } finally {
    await proxy.close();
    await trap.close();
    await web.close();
  }
}

function urlsOf({ port }: Web): string[] {
  return [
    `http://127.0.0.1:${port}/`,
    `http://localhost:${port}/`,
    `http://[::1]:${port}/`,
    "http://a.test/",
    "http://b.test/redirect",
  ];
}

function proxies(url: string): Record<string, string> {
  const names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
  return Object.fromEntries(names.map((name) => [name, url]));
}

/** What a process of the same runtime gets. */
function fetched(
  proxy: TestProxy,
  urls: string[],
  env: Record<string, string> = {},
  late: Record<string, string> = {},
  flags = ["--allow-env", "--allow-net"],
): Promise<string[]> {
  const program = fileURLToPath(new URL("../support/fetch_program.ts", import.meta.url));
  const deno = ["run", "--quiet", "--no-prompt", "--no-check", "--no-lock", ...flags];
  const args = [...(runtime === "deno" ? deno : []), program, proxy.url, JSON.stringify(late), ...urls];
  const options = { env: { ...process.env, ...env }, timeout: 20_000 };
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, options, (error, stdout, stderr) => {
      if (error) reject(new Error(`${error.message}\n${stderr}`));
      else resolve(JSON.parse(stdout));
    });
  });
}
