import { assertEquals, assertInstanceOf, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { type ClientRequest, get } from "node:http";
import { lookup } from "node:dns/promises";
import { get as getSecure } from "node:https";
import { hostname } from "node:os";
import { type Bypass, type BypassTarget, Socks5Agent } from "../../agent/mod.ts";
import { proxyFromEnv } from "../../env/mod.ts";
import { createFetch } from "../../fetch/mod.ts";
import { TimeoutError, TlsError } from "../../mod.ts";
import { serve } from "../../serve/mod.ts";
import { direct } from "../../src/direct.ts";
import type { TestProxy } from "../../testing/mod.ts";
import { certificates } from "../support/certificates.ts";
import { withFetch } from "../support/fetch_stage.ts";
import { startWeb } from "../support/http_server.ts";
import { blackHole } from "../support/peer.ts";
import { failure, withProxy, withTarget } from "../support/stage.ts";
import { startSilent } from "../support/targets.ts";
import { test } from "../support/test.ts";
import { answer, withWeb } from "../support/web.ts";

const hosts = ({ connections }: TestProxy) => connections.map(({ request }) => request?.hostname);

/** What a request fails with. */
function failureOf(request: ClientRequest): Promise<Error & { code?: string }> {
  return new Promise((resolve, reject) =>
    request.on("error", resolve).on("response", () => reject(new Error("it succeeded")))
  );
}

test("an agent asks for each request, with the host, the port and the scheme, and goes directly on true alone", async () => {
  const asked: BypassTarget[] = [];
  const bypass = (target: BypassTarget) => asked.push(target) > 0 && target.hostname === "127.0.0.1";
  await withWeb({ agent: { bypass } }, async ({ agent, proxy, plain, secure }) => {
    for (let i = 0; i < 2; i++) {
      await answer(get(`http://127.0.0.1:${plain.port}/`, { agent }));
      await answer(getSecure(`https://127.0.0.1:${secure.port}/`, { agent, servername: "example.com" }));
      await answer(get("http://EXAMPLE.com/", { agent }));
    }
    assertEquals(hosts(proxy), ["example.com"]);
    assertEquals([plain.accepted, secure.accepted], [2, 1], "connections are kept, each for its way");
    assertEquals(asked.slice(3), [
      { hostname: "127.0.0.1", port: plain.port, protocol: "http:" },
      { hostname: "127.0.0.1", port: secure.port, protocol: "https:" },
      { hostname: "example.com", port: 80, protocol: "http:" },
    ]);
  });
});

test("a connection that is kept never serves a request that is to go in the other way", async () => {
  let isDirect = false;
  await withWeb({ agent: { bypass: () => isDirect } }, async ({ agent, proxy, plain }) => {
    const ask = () => answer(get(`http://127.0.0.1:${plain.port}/`, { agent }));
    for (isDirect of [false, true, false, true]) await ask();
    assertEquals([proxy.connections.length, plain.accepted], [1, 2]);
  });
});

const failing: [what: string, bypass: Bypass, says: RegExp][] = [
  ["throws", () => {
    throw new Error("no idea");
  }, /no idea/],
  ["gives a promise", (() => Promise.resolve(true)) as unknown as Bypass, /result of bypass as a boolean/],
  [
    "gives nothing",
    (() => undefined) as unknown as Bypass,
    /result of bypass as a boolean: current value is undefined/,
  ],
];

for (const [what, bypass, says] of failing) {
  test(`a bypass that ${what} fails the request, which goes neither directly nor through the proxy`, async () => {
    await withWeb({}, async ({ client, proxy, plain }) => {
      const agent = new Socks5Agent(client, { bypass });
      for (let i = 0; i < 2; i++) {
        assertMatch(String(await failureOf(get(`http://127.0.0.1:${plain.port}/`, { agent }))), says);
      }
      agent.destroy();
      const fetch = createFetch(client, { bypass });
      const error = await fetch(`http://127.0.0.1:${plain.port}/`).catch((error) => error);
      assertInstanceOf(error, TypeError);
      assertMatch(`${error.message} ${error.cause}`, says);
      await fetch.close();
      assertEquals([proxy.connections.length, plain.accepted], [0, 0]);
    });
  });
}

test("a proxy that is down is no reason to go directly", async () => {
  await withWeb({}, async ({ plain }) => {
    const agent = new Socks5Agent("socks5h://127.0.0.1:1", { client: { retry: 0 }, bypass: () => false });
    const error = await failureOf(get(`http://127.0.0.1:${plain.port}/`, { agent }));
    assertMatch(String(error), /the proxy cannot be reached/);
    agent.destroy();
    assertEquals(plain.accepted, 0);
  });
});

test("with the agent as http.globalAgent, requests without an agent and with agent: false ask as well", async () => {
  await withWeb({ agent: { bypass: () => true } }, async ({ agent, proxy, plain }) => {
    const { default: http } = await import("node:http");
    const before = http.globalAgent;
    http.globalAgent = agent;
    try {
      await answer(http.get(`http://127.0.0.1:${plain.port}/`));
      await answer(http.get({ hostname: "127.0.0.1", port: plain.port, path: "/", agent: false }));
      assertEquals([proxy.connections.length, plain.accepted], [0, 2]);
    } finally {
      http.globalAgent = before;
    }
  });
});

test("an agent that goes directly gives the errors of node:net, and checks certificates", async () => {
  await withWeb({ agent: { bypass: () => true, ca: undefined } }, async ({ agent, secure }) => {
    const refused = await failureOf(get("http://127.0.0.1:1/", { agent }));
    assertEquals(refused.code, "ECONNREFUSED");
    const untrusted = await failureOf(
      getSecure(`https://127.0.0.1:${secure.port}/`, { agent, servername: "example.com" }),
    );
    assertMatch(String(untrusted.code), /CERT|VERIFY|SELF_SIGNED/);
  });
});

test("the timeout of a connect that goes directly limits it, as through the proxy", async () => {
  const hole = await blackHole();
  const { port } = hole.endpoint as { port: number };
  try {
    const error = await failure(direct.connect(`127.0.0.1:${port}`, { timeout: 50 }));
    assertInstanceOf(error, TimeoutError);
    const says =
      `Cannot connect directly to 127.0.0.1:${port}: timed out after 50 ms, waiting for the connection to open`;
    assertEquals([error.code, error.phase, error.message], ["SOCKS5_TIMEOUT", "dial", says]);
    const agent = new Socks5Agent("socks5h://127.0.0.1:1", { bypass: () => true });
    const failed = await failureOf(get(`http://127.0.0.1:${port}/`, { agent, timeout: 50 }));
    assertEquals(failed.code, "ETIMEDOUT");
    assertInstanceOf(failed.cause, TimeoutError);
    agent.destroy();
  } finally {
    await hole.close();
  }
});

test("the timeout and the signal of startTls() on a connection that goes directly end the handshake, and close", async () => {
  await withTarget(startSilent(), async (target) => {
    const late = await direct.connect(target.address, { timeout: 10_000 });
    const error = await failure(late.startTls({ timeout: 50 }));
    assertInstanceOf(error, TimeoutError);
    const says =
      `Cannot connect directly to ${target.address}: timed out after 50 ms, waiting for the target to go through the TLS handshake`;
    assertEquals([error.code, error.phase, error.message], ["SOCKS5_TIMEOUT", "tls", says]);
    const aborted = await direct.connect(target.address);
    const controller = new AbortController();
    const starting = aborted.startTls({ signal: controller.signal }).then(() => "it succeeded", (reason) => reason);
    controller.abort("enough");
    assertEquals(await starting, "enough");
  });
});

test("a connect that goes directly has no time with a timeout of 0, and takes no wrong one", () =>
  withTarget(startSilent(), async (target) => {
    const says = "Cannot use timeout as milliseconds";
    for (const timeout of [-1, NaN]) {
      await assertRejects(() => direct.connect(target.address, { timeout }), RangeError, says);
    }
    const text = "1" as unknown as number;
    await assertRejects(() => direct.connect(target.address, { timeout: text }), TypeError, says);
    assertInstanceOf(await failure(direct.connect(target.address, { timeout: 0 })), TimeoutError);
    assertEquals(target.accepted, 0);
    const conn = await direct.connect(target.address, { timeout: Infinity });
    await assertRejects(() => conn.startTls({ timeout: -1 }), RangeError, says);
    assertInstanceOf(await failure(conn.startTls({ timeout: 0 })), TimeoutError);
    await target.until(() => target.accepted === 1 && target.open === 0);
  }));

test("a fetch asks for each hop of a redirect", async () => {
  const inside = await startWeb((_, response) => response.end("inside"));
  try {
    const asked: string[] = [];
    const bypass = ({ hostname, port }: BypassTarget) => {
      asked.push(hostname);
      return port === inside.port;
    };
    await withFetch(
      (request, response) => {
        const to = request.url === "/in" ? `http://127.0.0.1:${inside.port}/` : undefined;
        response.writeHead(to === undefined ? 200 : 302, to === undefined ? {} : { location: to }).end("outside");
      },
      { fetch: { bypass } },
      async ({ fetch, proxy }) => {
        const response = await fetch("http://example.com/in");
        assertEquals([await response.text(), fetch.proxyOf(response)], ["inside", undefined]);
        const outside = await fetch("http://example.com/out");
        assertEquals(await outside.text(), "outside");
        assertEquals(typeof fetch.proxyOf(outside), "string");
        assertEquals(asked, ["example.com", "127.0.0.1", "example.com"]);
        assertEquals([...new Set(hosts(proxy))], ["example.com"]);
      },
    );
  } finally {
    await inside.close();
  }
});

test("with http2, a fetch asks for each request to a target that chooses HTTP/1.1", async () => {
  const { both, authority } = certificates();
  let isBypassed = false;
  await withFetch((_, response) => response.end("secure"), {
    tls: both,
    fetch: { bypass: () => isBypassed, http2: true, tls: { caCerts: [authority.cert] } },
  }, async ({ fetch, web }) => {
    const url = `https://localhost:${web.port}/`;
    const through = async () => {
      const response = await fetch(url);
      await response.text();
      return typeof fetch.proxyOf(response);
    };
    assertEquals(await through(), "string");
    isBypassed = true;
    assertEquals(await through(), "undefined");
    isBypassed = false;
    assertEquals(await through(), "string");
  });
});

test("a fetch that goes directly checks the certificate, with the authorities that it was given", async () => {
  const { both, authority } = certificates();
  const web = await startWeb((_, response) => response.end("secure"), both);
  try {
    const url = `https://localhost:${web.port}/`;
    const trusting = createFetch("socks5h://127.0.0.1:1", { bypass: () => true, tls: { caCerts: [authority.cert] } });
    assertEquals(await (await trusting(url)).text(), "secure");
    await trusting.close();
    const wary = createFetch("socks5h://127.0.0.1:1", { bypass: () => true });
    const error = await wary(url).catch((error) => error);
    assertInstanceOf(error.cause, TlsError);
    assertMatch(error.cause.message, /^Cannot connect directly to localhost:\d+: no trusted authority/);
    await wary.close();
  } finally {
    await web.close();
  }
});

test("agent, fetch and local proxy take the result of proxyFromEnv()", async () => {
  await withWeb({}, async ({ client, proxy, plain }) => {
    const env = proxyFromEnv({ ALL_PROXY: proxy.url, NO_PROXY: "127.0.0.0/8" });
    const fetch = createFetch(client, { bypass: env });
    await (await fetch(`http://127.0.0.1:${plain.port}/`)).text();
    assertEquals([proxy.connections.length, plain.accepted], [0, 1]);
    await fetch.close();
    const none = createFetch(client, { bypass: proxyFromEnv({}) });
    await (await none(`http://127.0.0.1:${plain.port}/`)).text();
    assertEquals([proxy.connections.length, plain.accepted], [1, 2]);
    await none.close();
  });
});

test("the local proxy asks for each tunnel and each plain request, and logs no proxy for what goes directly", async () => {
  const web = await startWeb((_, response) => response.end("web"));
  const asked: BypassTarget[] = [];
  const log: (string | undefined)[] = [];
  let isDirect = true;
  try {
    await withProxy({}, async (proxy) => {
      const bypass = (target: BypassTarget) => asked.push(target) > 0 && isDirect;
      const local = await serve(proxy.url, { bypass, log: (entry) => log.push(entry.proxy) });
      const through = createFetch(`socks5h://127.0.0.1:${local.port}`);
      await (await through(`http://127.0.0.1:${web.port}/`)).text();
      const agent = new (await import("node:http")).Agent({ keepAlive: true });
      const plain = (path: string) =>
        answer(get({ host: "127.0.0.1", port: local.port, path: `http://127.0.0.1:${web.port}${path}`, agent }));
      await plain("/a");
      assertEquals(proxy.connections.length, 0);
      isDirect = false;
      await plain("/b");
      assertEquals(proxy.connections.length, 1, "a connection to the target that is kept goes on in its way alone");
      agent.destroy();
      await through.close();
      await local.close();
    });
    assertEquals(asked.map(({ protocol }) => protocol), [undefined, "http:", "http:"]);
    assertEquals(log.filter((it) => it === undefined).length, 2);
  } finally {
    await web.close();
  }
});

/** A name of this machine that no rule knows, and the address of loopback that it stands for. */
const named = await (async () => {
  for (const name of ["ip6-localhost", "ip6-loopback", hostname()]) {
    const address = await lookup(name).then((it) => it.address, () => "");
    if (/^(127\.|::1$)/.test(address)) return { name, address: address === "::1" ? "::1" : "127.0.0.1" };
  }
  return undefined;
})();

test("the local proxy does not connect to itself directly, by whatever name", async () => {
  await withProxy({}, async (proxy) => {
    for (
      const [hostname, name] of [["127.0.0.1", "127.0.0.1"], ["127.0.0.1", "localhost"], [named!.address, named!.name]]
    ) {
      const local = await serve(proxy.url, { hostname, bypass: () => true });
      const path = `http://${name}:${local.port}/`;
      const { statusCode } = await new Promise<{ statusCode?: number | undefined }>((resolve, reject) => {
        get({ host: hostname, port: local.port, path, agent: false }, (it) => resolve(it.resume())).on("error", reject);
      });
      assertEquals([name, statusCode], [name, 502]);
      await local.close();
    }
  });
}, { skip: named === undefined && "this machine has no other name for loopback" });

for (const bypass of [true, "localhost", { bypass: () => true }, ["localhost"]]) {
  test(`${JSON.stringify(bypass)} is no bypass`, () => {
    const options = { bypass: bypass as unknown as Bypass };
    const says = /^Cannot use bypass as a function or the result of proxyFromEnv\(\)/;
    for (const make of [() => new Socks5Agent("socks5h://x", options), () => createFetch("socks5h://x", options)]) {
      assertMatch(assertThrows(make, TypeError).message, says);
    }
  });
}
