import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import process from "node:process";
import tls, { connect as connectTls } from "node:tls";
import { fileURLToPath } from "node:url";
import { install, type InstallOptions, uninstall, unproxied } from "../../global/mod.ts";
import { Socks5Client } from "../../mod.ts";
import type { ClientLike } from "../../src/client_of.ts";
import { direct } from "../../src/direct.ts";
import { createTestProxy } from "../../testing/mod.ts";
import { certificates } from "../support/certificates.ts";
import { startWeb, type Web } from "../support/http_server.ts";
import { withProxy } from "../support/stage.ts";
import { recipeCode, withExample } from "../support/recipes.ts";
import { quick, test } from "../support/test.ts";
import { answer } from "../support/web.ts";

const runtime = "Deno" in globalThis ? "Deno" : "Bun" in globalThis ? "Bun" : "Node";

const pathOf = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Runs a program of its own, with ./global preloaded or without, and gives what it printed. */
async function run(
  env: Record<string, string>,
  isPreloaded: boolean,
  ...args: string[]
): Promise<{ code: number | null; out: string }> {
  const flags = {
    Node: ["--no-warnings"],
    Bun: [],
    Deno: ["run", "--quiet", "--no-check", "--no-lock", "--allow-all", "--config", pathOf("../../deno.json")],
  }[runtime];
  const module = pathOf("../../global/mod.ts");
  const preload = isPreloaded ? [runtime === "Node" ? "--import" : "--preload", module] : [];
  const child = spawn(process.execPath, [...flags, ...preload, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), 40_000);
  let out = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (chunk) => out += chunk);
  const [code] = await once(child, "close") as [number | null];
  clearTimeout(timer);
  return { code, out };
}

const preloaded = (env: Record<string, string>, ...args: string[]) => run(env, true, ...args);

const refused = (what: string) => new RegExp(`^Cannot use ${what}.*goes through a SOCKS5 proxy alone`);

/** What comes of each way out: what the target says, or what the program is told. */
const expected: Record<string, string | RegExp> = {
  "fetch": "plain",
  "http.get": "plain",
  "http.get by name": "plain",
  "http.get with agent: false": "plain",
  "http.get with an agent": "plain",
  "https.get": "secure",
  "https.get by name": "secure",
  "https.get with an agent": "secure",
  "https.get of whom nobody trusts": /certificate|signed/,
  "net.connect": "plain",
  "net.connect by name": "plain",
  "net.createConnection": "plain",
  "new net.Socket": refused("new net.Socket"),
  "tls.connect": "secure",
  "tls.connect by name": runtime === "Node" ? "secure" : refused("tls.connect"),
  "WebSocket": /not allowed by the rules of the proxy/,
  "http2.connect": "ended EACCES",
  "dns.lookup": refused("lookup"),
  // it cannot be caught, which the docs say
  "dns/promises lookup by name": runtime === "Node" ? refused("lookup") : /ENOTFOUND|EAI_AGAIN/,
  "dns.resolve4": refused("resolve4"),
  "dgram": refused("node:dgram"),
  "server": "listens",
  ...(runtime === "Node" && { "undici": "plain", "undici with TLS": "secure" }),
  ...(runtime === "Deno" && {
    "Deno.connect": "plain",
    "Deno.connectTls": "secure",
    "Deno.resolveDns": refused("Deno.resolveDns"),
    "EventSource": refused("EventSource"),
  }),
  ...(runtime === "Bun" && {
    "Bun.connect": refused("Bun.connect"),
    "Bun.fetch": /ECONNREFUSED/,
    "Bun.udpSocket": refused("Bun.udpSocket"),
    "connect of bun": refused("Bun.connect"),
    "fetch of bun": /ECONNREFUSED/,
    "redis of bun": refused("Bun.redis"),
    "Bun.redis": refused("Bun.redis"),
    "Bun.SQL": refused("Bun.SQL"),
  }),
};

test(
  "preloaded with SOCKS5_PROXY, nothing of a process reaches a target directly, and what is refused says so",
  async () => {
    const { names, authority } = certificates();
    const plain = await startWeb((_, response) => response.end("plain"));
    const secure = await startWeb((_, response) => response.end("secure"), names);
    const canary = await startWeb((_, response) => response.end("direct"));
    // no name is known but to the proxy
    const rules = { "target.example:80": plain, "example.com:443": secure, [canary.address]: { rep: 2 } };
    const proxy = await createTestProxy({ credentials: { username: "user", password: "pass" }, rules });
    try {
      const { code, out } = await preloaded(
        { SOCKS5_PROXY: proxy.url, TEST_CA: authority.cert },
        pathOf("../support/global_program.ts"),
        ...["target.example:80", "example.com:443", canary.address],
      );
      assertEquals(code, 0, out);
      const lines = out.trim().split("\n").map((line) => JSON.parse(line) as [string, unknown]);
      const told = Object.fromEntries(lines.map(([way, result]) => {
        const error = (result as { error?: string } | null)?.error;
        return [way, error ?? result];
      }));
      assertEquals(Object.keys(told).sort(), Object.keys(expected).sort());
      for (const [way, want] of Object.entries(expected)) {
        if (typeof want === "string") assertEquals([way, told[way]], [way, want]);
        else assertMatch(String(told[way]), want, way);
      }
      assertEquals(canary.accepted, 0, "nothing went directly");
      const granted = proxy.connections.filter(({ request }) => request?.hostname !== "127.0.0.1").length;
      assert(granted >= plain.accepted + secure.accepted, "each connection that a target saw is one of the proxy");
    } finally {
      for (const it of [proxy, plain, secure, canary]) await it.close();
    }
  },
  { skip: quick },
);

test("uninstall() puts back what was imported by its own name", async () => {
  const before = connectTls;
  install("socks5h://127.0.0.1:1");
  assertEquals(connectTls === before, runtime !== "Node"); // elsewhere names of it are not replaced
  await uninstall();
  assert(connectTls === before && tls.connect === before);
});

test("preloaded without SOCKS5_PROXY, the program does not begin", async () => {
  const { code, out } = await preloaded(
    { SOCKS5_PROXY: "" },
    pathOf("../support/global_program.ts"),
    "a:1",
    "b:1",
    "c:1",
  );
  assert(code !== 0, out);
  assertMatch(out, /the variable SOCKS5_PROXY is not set/);
}, { skip: quick || (runtime === "Deno" && "Deno does not tell what it preloads") });

test("with NODE_OPTIONS on Node, threads, forks and child processes go through the proxy, too", async () => {
  const web = await startWeb((_, response) => response.end("web"));
  const proxy = await createTestProxy({ rules: { "target.example:80": web } });
  try {
    const env = {
      SOCKS5_PROXY: proxy.url,
      NODE_OPTIONS: `--import ${new URL("../../global/mod.ts", import.meta.url)}`,
    };
    const ended = await run(env, false, pathOf("../support/global_children.ts"), "http://target.example/");
    assertEquals(ended, { code: 0, out: "process web\nthread web\nfork web\nchild web\n" });
    assertEquals([proxy.connections.length, web.accepted], [4, 4]);
  } finally {
    await proxy.close();
    await web.close();
  }
}, { skip: quick || (runtime !== "Node" && "only Node has such a variable") });

test("the example of docs/global.md installs a proxy in code", async () => {
  const web = await startWeb((_, response) => response.writeHead(204).end());
  const proxy = await createTestProxy({ rules: { "example.com:80": web } });
  try {
    const code = recipeCode("global-install", { "socks5h://user:pass@proxy.example:1080": proxy.url });
    const ended = await withExample(code, (file) => run({ SOCKS5_PROXY: "" }, false, file));
    assertEquals(ended, { code: 0, out: "204\n" });
    assertEquals(proxy.connections.length, 1);
  } finally {
    await proxy.close();
    await web.close();
  }
}, { skip: quick });

/**
 * Runs `use` in this process, in which a site is behind a client that counts: a proxy of this process would go through it
 * itself.
 */
async function withInstalled(
  options: InstallOptions,
  use: (web: Web, asked: string[]) => Promise<void>,
): Promise<void> {
  const web = await startWeb((_, response) => response.end("web"));
  const asked: string[] = [];
  const client: ClientLike = {
    connect(target, options) {
      asked.push(JSON.stringify(target));
      return direct.connect({ hostname: "127.0.0.1", port: web.port }, options);
    },
  };
  try {
    install(client, options);
    try {
      await use(web, asked);
    } finally {
      await uninstall();
    }
  } finally {
    await web.close();
  }
}

test("uninstall() puts everything back as it was", async () => {
  const now = () => [globalThis.fetch, globalThis.WebSocket, net.Socket.prototype.connect, net.connect, tls.connect];
  const before = now();
  const { HTTP_PROXY, NO_PROXY } = process.env;
  await withInstalled({}, async (_, asked) => {
    assert(globalThis.fetch !== before[0]);
    assertEquals(await (await fetch("http://target.example/")).text(), "web");
    assertEquals(await answer(http.get("http://target.example/", { agent: false })), "web");
    assertEquals(asked, Array(2).fill('{"hostname":"target.example","port":80}'));
  });
  assertEquals(now(), before);
  assertEquals([process.env.HTTP_PROXY, process.env.NO_PROXY], [HTTP_PROXY, NO_PROXY]);
  const web = await startWeb((_, response) => response.end("direct"));
  assertEquals(await answer(http.get(`http://127.0.0.1:${web.port}/`, { agent: false })), "direct");
  await web.close();
});

test("bypass names what goes directly, for fetch, node:http and node:net", () =>
  withInstalled({ bypass: ({ hostname }) => hostname === "127.0.0.1" }, async (web, asked) => {
    const url = `http://127.0.0.1:${web.port}/`;
    assertEquals(await (await fetch(url)).text(), "web");
    assertEquals(await answer(http.get(url, { agent: false })), "web");
    await connects(() => net.connect(web.port, "127.0.0.1"));
    await web.until(() => web.accepted === 3);
    assertEquals(asked, []);
  }));

test("a transport of one's own opens its connections by unproxied()", () =>
  withInstalled({}, async (web, asked) => {
    await connects(() => unproxied(() => net.connect(web.port, "127.0.0.1")));
    await web.until(() => web.accepted === 1);
    assertEquals(asked, []);
  }));

async function connects(open: () => net.Socket): Promise<void> {
  const socket = open();
  await once(socket, "connect");
  socket.destroy();
  await once(socket, "close");
}

test("a client that was given stays open, and a second install() is refused", async () => {
  await withProxy({}, async (proxy) => {
    const client = new Socks5Client(proxy.url);
    install(client);
    assertThrows(() => install(client), TypeError, "there is one already, call uninstall() before");
    await uninstall();
    await uninstall();
    await assertRejects(() => client.connect("127.0.0.1:1"), Error, "refused");
    await client.close();
  });
});

test("install() refuses what is malformed, and changes nothing", () => {
  const before = globalThis.fetch;
  assertThrows(() => install("http://x"), TypeError);
  assertThrows(() => install("socks5h://x", { bypas: true } as InstallOptions), TypeError, "bypass");
  assertThrows(() => install("socks5h://x", { bypass: true } as unknown as InstallOptions), TypeError, "bypass");
  assertThrows(() => install("socks5h://x", { tls: { serverName: "x" } } as InstallOptions), TypeError, "serverName");
  assertEquals(globalThis.fetch, before);
});
