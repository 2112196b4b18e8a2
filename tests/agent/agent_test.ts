import { assertEquals, assertInstanceOf, assertMatch, assertNotEquals, assertStrictEquals } from "@std/assert";
import { execFile } from "node:child_process";
import { once } from "node:events";
import http, { Agent, get, request } from "node:http";
import type { ClientRequest, get as getPlain } from "node:http";
import https, { Agent as SecureAgent, get as getSecure, request as requestSecure } from "node:https";
import process from "node:process";
import { checkServerIdentity, type PeerCertificate, type TLSSocket } from "node:tls";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Socks5Agent, type Socks5AgentOptions } from "../../agent/mod.ts";
import { Socks5Client, Socks5Error } from "../../mod.ts";
import { certificates } from "../support/certificates.ts";
import type { TestFault, TestProxyOptions, TestStep } from "../../testing/mod.ts";
import { digestOf, payload, startSilent } from "../support/targets.ts";
import { quick, test } from "../support/test.ts";
import { answer, errorOf, response, type WebStage, withWeb } from "../support/web.ts";
import { until } from "../support/wait.ts";

const { authority, otherAuthority, ips, stranger, client: clientCertificate } = certificates();
const kinds = { "http:": get, "https:": getSecure };

test("http: and https: requests go through the proxy with one agent, by name and with the usual ports", async () => {
  await withWeb({}, async ({ agent, proxy, plain, secure }) => {
    const names = "GET example.com";
    assertEquals(await answer(get("http://example.com/a", { agent })), `${names}/a`);
    assertEquals(await answer(getSecure("https://example.com/b", { agent })), `${names}/b`);
    assertEquals(await answer(getSecure({ host: "example.com", path: "/c", agent })), `${names}/c`);
    assertEquals(await answer(get({ host: "example.com", port: 80, path: "/d", agent })), `${names}/d`);
    assertEquals(await answer(getSecure({ host: "example.com", port: "443", path: "/e", agent })), `${names}/e`);
    const own = { host: "example.com", port: 80, path: "/f", agent, headers: { host: "example.com:80" } };
    assertEquals(await answer(get(own)), `${names}:80/f`);
    assertEquals(await answer(get(`http://127.0.0.1:${plain.port}/g`, { agent })), `GET 127.0.0.1:${plain.port}/g`);
    const asked = proxy.connections.map(({ request }) => `${request?.hostname}:${request?.port}`);
    assertEquals(asked, ["example.com:80", "example.com:443", `127.0.0.1:${plain.port}`]);
    assertEquals([plain.accepted, secure.accepted], [2, 1]);
  });
});

for (const [protocol, get] of Object.entries(kinds)) {
  const url = `${protocol}//example.com`;

  test(`${protocol} one connection serves one request after another, unless keepAlive is false`, async () => {
    for (const keepAlive of [undefined, false]) {
      await withWeb({ agent: { keepAlive } }, async ({ agent, plain, secure, proxy }) => {
        const reused: boolean[] = [];
        for (let i = 0; i < 3; i++) {
          const asked = get(`${url}/${i}`, { agent });
          assertEquals(await answer(asked), `GET example.com/${i}`);
          reused.push(asked.reusedSocket);
        }
        assertEquals(reused, keepAlive === false ? [false, false, false] : [false, true, true]);
        assertEquals(plain.accepted + secure.accepted, keepAlive === false ? 3 : 1);
        assertEquals(proxy.connections.length, keepAlive === false ? 3 : 1);
      });
    }
  });

  test(`${protocol} maxSockets limits how many connections there are`, async () => {
    await withWeb({ agent: { maxSockets: 2 } }, async ({ agent, plain, secure }) => {
      const answers = await Promise.all([1, 2, 3, 4, 5].map((i) => answer(get(`${url}/${i}`, { agent }))));
      assertEquals(answers, [1, 2, 3, 4, 5].map((i) => `GET example.com/${i}`));
      assertEquals(plain.accepted + secure.accepted, 2);
    });
  });

  test(`${protocol}: a POST is sent once, although its connection ends that was kept`, async () => {
    await withWeb({}, async ({ agent, plain, secure }) => {
      const site = protocol === "http:" ? plain : secure;
      await answer(get(`${url}/1`, { agent }));
      const posted = get(`${url}/2`, { agent, method: "POST" });
      site.server.prependOnceListener("request", () => site.hangUp());
      const error = await errorOf(posted);
      assertEquals([error.code, site.accepted], ["ECONNRESET", 1]);
    });
  });

  test(`${protocol} a connection that the server ended meanwhile is replaced`, async () => {
    await withWeb({}, async ({ agent, plain, secure }) => {
      const site = protocol === "http:" ? plain : secure;
      await answer(get(`${url}/1`, { agent }));
      const [idle] = Object.values(agent.freeSockets).flat();
      const gone = new Promise((resolve) => idle!.once("close", resolve));
      site.hangUp();
      await gone;
      assertEquals(await answer(get(`${url}/2`, { agent })), "GET example.com/2");
      assertEquals(site.accepted, 2);
    });
  });

  test(`${protocol} idle connections make room for requests to other hosts, the longest idle first`, async () => {
    await withHosts(2, async ({ agent, client, proxy, ask }) => {
      for (const host of ["a", "b", "a", "c"]) assertEquals(await ask(get, `${protocol}//${host}.test/`), 200);
      assertEquals(client.stats().idle, 2);
      const names = Object.keys(agent.freeSockets).map((name) => name.split(":")[1]);
      assertEquals([names.toSorted(), proxy.connections.length], [["a.test", "c.test"], 3]);
      const all = await Promise.all("defgha".split("").map((host) => ask(get, `${protocol}//${host}.test/`)));
      assertEquals(all, new Array(6).fill(200));
      const { inUse, opening, idle, waiting, failures } = client.stats();
      assertEquals([inUse, opening, idle <= 2, waiting, failures], [0, 0, true, 0, 0]);
    });
  });

  test(`${protocol} a connection tells the same as a socket of node:net, in the same order`, async () => {
    await withWeb({}, async ({ agent, plain, secure }) => {
      const { port } = protocol === "http:" ? plain : secure;
      const options = { keepAlive: false, ca: authority.cert };
      const direct = protocol === "http:" ? new Agent(options) : new SecureAgent(options);
      const own = await told(get({ host: "127.0.0.1", port, servername: "example.com", agent: direct } as object));
      assertEquals(await told(get({ host: "example.com", agent, headers: { Connection: "close" } })), own);
      direct.destroy();
    });
  });

  test(`${protocol} the name counts as looked up before it connects; an address is not looked up`, async () => {
    await withHosts(2, async ({ agent }) => {
      for (const [host, expected] of [["a.test", ["lookup a.test", "connect"]], ["127.0.0.1", ["connect"]]] as const) {
        const events: string[] = [];
        const asked = get({ host, agent });
        asked.on("socket", (socket) => {
          socket.on("lookup", (error, address, family, name) => {
            assertEquals([error, address, family, socket.connecting], [null, host, 0, true]);
            events.push(`lookup ${name}`);
          });
          socket.on("connect", () => events.push("connect"));
        });
        (await response(asked)).resume();
        const { remoteAddress, remotePort } = asked.socket!;
        assertEquals([events, remoteAddress, remotePort], [expected, host, protocol === "http:" ? 80 : 443]);
      }
    });
  });

  for (const first of ["the one that has it", "another"]) {
    test(`${protocol} an idle connection is used again or makes room, never both: ${first} asks first`, async () => {
      await withHosts(1, async ({ proxy, ask }) => {
        for (let i = 0; i < 5; i++) {
          assertEquals(await ask(get, `${protocol}//a.test/`), 200);
          const hosts = first === "another" ? ["b", "a", "a"] : ["a", "b", "a"];
          const answers = await Promise.all(hosts.map((host) => ask(get, `${protocol}//${host}.test/`)));
          assertEquals(answers, [200, 200, 200]);
        }
        assertEquals(proxy.connections.length > 5, true);
      });
    });
  }

  test(`${protocol} client.close() closes idle connections and waits for those in use`, async () => {
    await withHosts(3, async ({ agent, client, ask }) => {
      await ask(get, `${protocol}//a.test/`);
      const asked = get(`${protocol}//b.test/`, { agent });
      const answered = response(asked);
      await once(asked, "socket");
      const { socket } = asked;
      await once(socket!, protocol === "http:" ? "connect" : "secureConnect");
      const closed = client.close({ drain: 10_000 });
      assertEquals(client.stats().idle, 0);
      (await answered).resume();
      await closed;
      assertEquals(agent.freeSockets, {});
    });
  });

  for (const step of ["accept", "negotiate", "authenticate", "request"] satisfies TestStep[]) {
    const proxy = {
      credentials: { username: "user", password: "pass" },
      faults: { fault: "silence" as const, at: step },
    };

    test(`${protocol} a request that is aborted while the proxy is silent (${step}) leaves nothing open`, async () => {
      await withWeb({ proxy }, async ({ agent, client, proxy, plain, secure }) => {
        const controller = new AbortController();
        const failed = errorOf(get(url, { agent, signal: controller.signal }));
        await proxy.until(() =>
          proxy.connections[0]?.step === step && proxy.connections[0].received.length >= said[step]
        );
        controller.abort();
        assertEquals((await failed).name, "AbortError");
        await proxy.until(() => proxy.open === 0);
        const { opening, inUse } = client.stats();
        assertEquals([opening, inUse, plain.accepted + secure.accepted], [0, 0, 0]);
      });
    });

    test(`${protocol} the timeout of a request ends the handshake while the proxy is silent (${step})`, async () => {
      await withWeb({ proxy }, async ({ agent, proxy, plain, secure }) => {
        const error = await errorOf(get(url, { agent, timeout: 50 }));
        assertEquals([error.code, (error.cause as Socks5Error).code], ["ETIMEDOUT", "SOCKS5_TIMEOUT"]);
        await proxy.until(() => proxy.open === 0);
        assertEquals(plain.accepted + secure.accepted, 0);
      });
    });
  }

  test(`${protocol} a request that is destroyed before anything is open connects nowhere in the end`, async () => {
    await withWeb({}, async ({ agent, proxy, client }) => {
      assertMatch((await errorOf(get(url, { agent }).destroy())).message, /hang up/);
      await proxy.until(() => proxy.open === 0);
      assertEquals(client.stats().inUse, 0);
      await until(() => Object.keys(agent.sockets).length === 0);
    });
  });

  test(`${protocol} an idle connection lets the process end`, async () => {
    await withWeb({}, async ({ proxy, plain, secure }) => {
      for (const { server } of [plain, secure]) server.keepAliveTimeout = 60_000;
      const script = fileURLToPath(new URL("../support/idle_agent.ts", import.meta.url));
      const flags = "Deno" in globalThis ? ["run", "--allow-all", "--no-check", "--no-lock"] : [];
      const run = promisify(execFile)(process.execPath, [...flags, script, proxy.url, url], { timeout: 20_000 });
      assertEquals((await run).stdout, "200");
      assertEquals(proxy.connections.length, 1);
    });
  }, { skip: quick });

  const refusals: [what: string, fault: TestFault, node: string, code: string][] = [
    ["the proxy refuses the password", { fault: "refuse-password", status: 1 }, "EACCES", "SOCKS5_AUTH_REFUSED"],
    ["the target refuses", { fault: "refuse", rep: 5 }, "ECONNREFUSED", "SOCKS5_TARGET_REFUSED"],
    ["the proxy hangs up", { fault: "reset", at: "request" }, "ECONNRESET", "SOCKS5_TARGET_NO_REPLY"],
  ];
  for (const [what, fault, node, code] of refusals) {
    test(`${protocol} ${what}: the request fails with that`, async () => {
      const proxy = { credentials: { username: "user", password: "pass" }, faults: fault };
      await withWeb({ proxy }, async ({ agent }) => {
        const error = await errorOf(get(url, { agent }));
        const { cause } = error;
        assertInstanceOf(cause, Socks5Error);
        assertEquals([error.name, error.code, error.message], ["Error", node, cause.message]);
        assertEquals([cause.code, cause.target?.split(":")[0]], [code, "example.com"]);
      });
    });
  }

  test(`${protocol} without its proxy a request fails and does not go around it`, async () => {
    await withWeb({}, async ({ agent, proxy, plain, secure }) => {
      await proxy.stop();
      for (const port of [plain.port, secure.port]) {
        const error = await errorOf(get(`${protocol}//localhost:${port}/`, { agent }));
        assertEquals([error.code, (error.cause as Error).name], ["ECONNREFUSED", "ProxyError"]);
      }
      assertEquals((await errorOf(get({ socketPath: "/run/some.sock", agent }))).name, "TypeError");
      assertEquals([plain.accepted, secure.accepted], [0, 0]);
    });
  });

  test(`${protocol} 8 MiB each way`, async () => {
    await withWeb({}, async ({ agent }) => {
      const all = payload(8 << 20);
      const up = (protocol === "http:" ? request : requestSecure)(`${url}/digest`, { method: "POST", agent });
      up.write(all);
      assertEquals(await answer(up), digestOf(all));
      const down = await response(get(`${url}/source/${all.length}`, { agent }));
      await once(down, "readable");
      assertEquals(down.readableLength < 1 << 20, true);
      const chunks: Uint8Array<ArrayBuffer>[] = [];
      for await (const chunk of down) chunks.push(chunk);
      assertEquals(digestOf(new Uint8Array(await new Blob(chunks).arrayBuffer())), digestOf(all));
    });
  });

  test(`${protocol} 100-continue is waited for`, async () => {
    await withWeb({}, async ({ agent }) => {
      const headers = { Expect: "100-continue" };
      const asked = (protocol === "http:" ? request : requestSecure)(`${url}/digest`, {
        method: "PUT",
        agent,
        headers,
      });
      asked.flushHeaders();
      await once(asked, "continue");
      asked.write("body");
      assertEquals(await answer(asked), digestOf(new TextEncoder().encode("body")));
    });
  });

  test(`${protocol} an upgraded connection is the caller's`, async () => {
    await withWeb({}, async ({ agent, plain, secure }) => {
      const site = protocol === "http:" ? plain : secure;
      site.server.on("upgrade", (_, socket) => {
        socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello ");
        socket.on("error", () => {});
        socket.pipe(socket);
      });
      const asked = get(url, { agent, headers: { Connection: "Upgrade", Upgrade: "echo" } });
      const [, socket, head] = await once(asked, "upgrade");
      let said = String(head);
      socket.on("data", (chunk: Uint8Array) => said += chunk);
      socket.write("world");
      while (said.length < 11) await once(socket, "data");
      assertEquals(said, "hello world");
      socket.destroy();
    });
  });

  test(`${protocol} destroy() closes what is in use and what is idle`, async () => {
    await withWeb({}, async ({ agent, plain, secure, client, proxy }) => {
      const silent = [get(`${url}/silence`, { agent }), get(`${url}/silence`, { agent })].map(errorOf);
      await answer(get(`${url}/1`, { agent }));
      await proxy.until(() => proxy.connections.every((it) => it.sent > 0));
      assertEquals([proxy.connections.length, Object.values(agent.freeSockets).flat().length], [3, 1]);
      agent.destroy();
      for (const error of await Promise.all(silent)) assertEquals(error.code, "ECONNRESET");
      await Promise.all([plain, secure].map((site) => site.until(() => site.open === 0)));
      assertEquals(client.stats().inUse, 0);
    });
  });
}

const refused: [what: string, tls: Socks5AgentOptions, error: RegExp][] = [
  [
    "an authority that is not known",
    { ca: otherAuthority.cert },
    /issuer|self.signed|unable to (get|verify)|UnknownIssuer/i,
  ],
  ["a certificate of another name", { servername: "other.example" }, /altnames|NotValidForName/i],
];

for (const [what, agent, expected] of refused) {
  test(`https: ${what}: the request fails, and nothing stays open`, async () => {
    await withWeb({ agent }, async ({ agent, secure }) => {
      const error = await errorOf(getSecure("https://example.com/", { agent }));
      assertMatch(`${error.code} ${error.message}`, expected);
      await secure.until(() => secure.open === 0);
    });
  });
}

test("https: the certificate is checked against the target's name, which is the name that is asked for", async () => {
  await withWeb({}, async ({ agent, secure }) => {
    assertEquals(await answer(getSecure("https://example.com/", { agent })), "GET example.com/");
    const error = await errorOf(getSecure(`https://127.0.0.1:${secure.port}/`, { agent }));
    assertMatch(`${error.code} ${error.message}`, /altnames|NotValidForName/i);
    assertEquals(secure.names[0], "example.com");
  });
});

test("https: the dot at the end of a host is no part of its name in TLS; the rest stays as it was given", async () => {
  await withHosts(2, async ({ agent, proxy, secure }) => {
    const checked: string[] = [];
    const options = { agent, checkServerIdentity: (host: string) => void checked.push(host) };
    for (const url of ["https://example.com./", "https://example.com/"]) {
      assertEquals(await answer(getSecure(url, options)), `GET ${new URL(url).host}/`);
    }
    const explicit = { ...options, servername: "mail.example." };
    assertEquals(await answer(getSecure("https://example.com./", explicit)), "GET example.com./");
    assertEquals(secure.names, ["example.com", "example.com", "mail.example"]);
    assertEquals(checked, ["example.com", "example.com", "mail.example"]);
    const asked = proxy.connections.map(({ request }) => request?.hostname);
    assertEquals(asked, ["example.com.", "example.com", "example.com."]);
  }, {});
});

test("https: an address is checked against the certificate and never sent as a name", async () => {
  await withWeb({ tls: ips }, async ({ agent, secure }) => {
    const host = `127.0.0.1:${secure.port}`;
    assertEquals(await answer(getSecure(`https://${host}/`, { agent })), `GET ${host}/`);
    assertEquals(secure.names, [false]);
    const error = await errorOf(getSecure("https://example.com/", { agent }));
    assertMatch(`${error.code} ${error.message}`, /altnames|NotValidForName/i);
  });
});

const cert = { subject: {}, subjectaltname: "IP Address:0:0:0:0:0:0:0:1" } as PeerCertificate;

test("https: an IPv6 address likewise", async () => {
  let port = 0;
  await withWeb({ tls: ips, proxy: { rules: () => ({ port }) } }, async ({ agent, secure }) => {
    port = secure.port;
    assertEquals(await answer(getSecure("https://[::1]/", { agent })), "GET [::1]/");
    assertEquals(secure.names, [false]);
    const error = await errorOf(getSecure("https://[::2]/", { agent }));
    assertMatch(`${error.code} ${error.message}`, /altnames|NotValidForName/i);
  });
}, { skip: checkServerIdentity("::1", cert) !== undefined && "node:tls takes an IPv6 address for a name here" });

test("https: a client's certificate is shown", async () => {
  const tls = { ca: authority.cert, requestCert: true, rejectUnauthorized: true };
  await withWeb({ tls, agent: clientCertificate }, async ({ agent }) => {
    assertEquals(await answer(getSecure("https://example.com/", { agent })), "GET example.com/");
  });
});

test("https: a server without a certificate of a known authority is taken if the caller says so", async () => {
  await withWeb({ tls: stranger, agent: { rejectUnauthorized: false } }, async ({ agent, secure }) => {
    assertEquals(await answer(getSecure("https://example.com/", { agent })), "GET example.com/");
    const strict = getSecure("https://example.com/", { agent, rejectUnauthorized: true });
    assertEquals([secure.accepted, (await response(strict)).statusCode], [1, 200], "the agent's options win");
  });
});

test("https: what the server gave to go on with is used for the next connection", async () => {
  for (const maxCachedSessions of [undefined, 0]) {
    await withWeb({ agent: { keepAlive: false, maxCachedSessions } }, async ({ agent }) => {
      const reused: boolean[] = [];
      for (let i = 0; i < 2; i++) {
        const asked = getSecure("https://example.com/", { agent });
        asked.on("response", () => reused.push((asked.socket as TLSSocket).isSessionReused()));
        await answer(asked);
      }
      assertEquals(reused, [false, maxCachedSessions === undefined]);
    });
  }
  await withWeb({}, async ({ agent }) => {
    for (let i = 0; i < 2; i++) {
      const options = { protocol: "https:", host: "example.com", port: 443, servername: "example.com" };
      const socket = agent.createConnection({ ...options, ca: authority.cert } as object) as TLSSocket;
      socket.write("GET / HTTP/1.0\r\nHost: example.com\r\n\r\n");
      await once(socket, "secureConnect");
      const isReused = socket.isSessionReused();
      await once(socket.resume(), "close");
      assertEquals(isReused, false, "without a name for it there is nothing to go on with");
    }
  });
}, { skip: "Deno" in globalThis && "node:tls of Deno begins anew each time" });

const different: [name: string, one: object, other: object][] = [
  ["protocol", { protocol: "http:" }, { protocol: "https:" }],
  ["host", { host: "a" }, { host: "b" }],
  ["port", { port: 1 }, { port: 2 }],
  ["servername", { servername: "a" }, { servername: "b" }],
  ["rejectUnauthorized", { rejectUnauthorized: true }, { rejectUnauthorized: false }],
  ["ca", { ca: authority.cert }, { ca: otherAuthority.cert }],
  ["cert", { cert: "a" }, { cert: "b" }],
  ["key", { key: "a" }, { key: "b" }],
  ["ALPNProtocols", { ALPNProtocols: ["a"] }, { ALPNProtocols: ["b"] }],
  ["checkServerIdentity", { checkServerIdentity: () => {} }, { checkServerIdentity: () => {} }],
  ["secureContext", { secureContext: {} }, { secureContext: {} }],
];

for (const [name, one, other] of different) {
  test(`requests with different ${name} share no connection`, () => {
    const agent = new Socks5Agent(new Socks5Client("socks5h://proxy.example"));
    const nameOf = (options: object) => agent.getName({ protocol: "https:", host: "h", port: 1, ...options });
    assertEquals(nameOf(one), nameOf(one));
    assertNotEquals(nameOf(one), nameOf(other));
  });
}

test("https: an aborted request cancels the handshake of TLS, too", async () => {
  const silent = await startSilent();
  await withWeb({}, async ({ agent, proxy }) => {
    const controller = new AbortController();
    const failed = errorOf(getSecure(`https://${silent.address}/`, { agent, signal: controller.signal }));
    await proxy.until(() => (proxy.connections[0]?.sent ?? 0) > 0);
    controller.abort();
    assertEquals((await failed).name, "AbortError");
    await silent.until(() => silent.open === 0);
  });
  await silent.close();
});

test("the timeout of the agent counts, and that of setTimeout() is told", async () => {
  const proxy: TestProxyOptions = { faults: { fault: "silence", at: "request" } };
  await withWeb({ proxy, agent: { timeout: 50 } }, async ({ agent }) => {
    assertEquals((await errorOf(get("http://example.com/", { agent }))).code, "ETIMEDOUT");
  });
  await withWeb({ proxy }, async ({ agent }) => {
    for (const get of Object.values(kinds)) {
      const protocol = get === getSecure ? "https:" : "http:";
      const asked = get(`${protocol}//example.com/`, { agent });
      asked.setTimeout(50, () => asked.destroy(new Error("too slow")));
      assertEquals((await errorOf(asked)).message, "too slow");
    }
  });
});

test("one agent is the global one of http: and https:, and still that of requests that name it", async () => {
  await withWeb({}, async ({ agent, proxy, plain, secure }) => {
    const before = [http.globalAgent, https.globalAgent] as const;
    const both = () => Object.assign(http, { globalAgent: agent }) && Object.assign(https, { globalAgent: agent });
    const ways: [string, () => unknown][] = [
      ["both", both],
      ["http", () => Object.assign(http, { globalAgent: agent })],
      ["https", () => Object.assign(https, { globalAgent: agent })],
    ];
    for (const [which, set] of ways) {
      try {
        set();
        for (const kind of ["http", "https"] as const) {
          const { get, request } = { http, https }[kind];
          const url = `${kind}://example.com/`;
          const says = "GET example.com/";
          assertEquals(await answer(get(url, { agent })), says, `${which}, named`);
          assertEquals(await answer(get({ host: "example.com", agent })), says, `${which}, named, without a protocol`);
          if (which !== "both" && which !== kind) continue;
          const asked = get(url);
          assertEquals(await answer(asked), says);
          assertStrictEquals((asked as unknown as { agent: unknown }).agent, agent);
          assertEquals(await answer(get(new URL(url))), says);
          assertEquals(await answer(get({ host: "example.com" })), says);
          assertEquals(await answer(request({ protocol: `${kind}:`, host: "example.com" })), says);
          assertEquals(await answer(get(url, { agent: false, ca: authority.cert })), says);
        }
      } finally {
        [http.globalAgent, https.globalAgent] = before;
      }
    }
    assertEquals(proxy.connections.length, plain.accepted + secure.accepted);
  });
});

test("a global agent tells https: from http: whatever else becomes of stack traces", async () => {
  await withWeb({}, async ({ agent }) => {
    const globals = [http.globalAgent, https.globalAgent] as const;
    const { stackTraceLimit, prepareStackTrace } = Error;
    const traces = [
      { stackTraceLimit: 0 },
      { stackTraceLimit: 1 },
      { prepareStackTrace: (_: Error, sites: unknown) => sites }, // as depd and callsites have it
      { prepareStackTrace: () => "mapped" },
    ];
    try {
      Object.assign(http, { globalAgent: agent });
      Object.assign(https, { globalAgent: agent });
      for (const trace of traces) {
        Object.assign(Error, { stackTraceLimit, prepareStackTrace, ...trace });
        const asked = [http.get("http://example.com/"), https.get("https://example.com/")];
        const after = { stackTraceLimit: Error.stackTraceLimit, prepareStackTrace: Error.prepareStackTrace };
        Object.assign(Error, { stackTraceLimit, prepareStackTrace });
        assertEquals(after, { stackTraceLimit, prepareStackTrace, ...trace });
        assertEquals(await Promise.all(asked.map(answer)), ["GET example.com/", "GET example.com/"]);
      }
    } finally {
      Object.assign(Error, { stackTraceLimit, prepareStackTrace });
      [http.globalAgent, https.globalAgent] = globals;
    }
  });
});

test("an agent keeps connections that know nothing of room, too", async () => {
  await withWeb({}, async ({ client, proxy }) => {
    const bare = async (...args: Parameters<Socks5Client["connect"]>) => {
      const conn = await client.connect(...args);
      const pipe = { read: conn.read, write: conn.write, closeWrite: conn.closeWrite, close: conn.close };
      return Object.fromEntries(Object.entries(pipe).map(([name, f]) => [name, (f as () => void).bind(conn)]));
    };
    const agent = new Socks5Agent({ connect: bare } as never);
    for (let i = 0; i < 2; i++) assertEquals(await answer(get("http://example.com/", { agent })), "GET example.com/");
    assertEquals(proxy.connections.length, 1);
    agent.destroy();
  });
});

/** What a request's connection is and tells until it is closed. */
async function told(request: ClientRequest): Promise<string[]> {
  const told: string[] = [];
  request.on("socket", (socket) => {
    const { connecting, pending, readyState, bytesRead, bytesWritten, timeout = 0 } = socket;
    const { encrypted, authorized } = socket as TLSSocket;
    told.push(
      JSON.stringify({ connecting, pending, readyState, bytesRead, bytesWritten, timeout, encrypted, authorized }),
    );
    for (const event of ["connect", "ready", "secureConnect", "close"]) {
      socket.on(event, () => {
        const { connecting, pending, readyState, bytesWritten } = socket;
        const { encrypted, authorized } = socket as TLSSocket;
        const state = { connecting, pending, readyState, hasWritten: bytesWritten > 0, encrypted, authorized };
        told.push(`${event} ${JSON.stringify(state)}`);
      });
    }
  });
  const closed = new Promise((resolve) => request.once("socket", (socket) => socket.once("close", resolve)));
  request.on("response", ({ socket }) => {
    const { remoteAddress, remotePort, localAddress, localPort, bytesRead } = socket;
    const { alpnProtocol, getPeerCertificate } = socket as TLSSocket;
    const { address, port } = socket.address() as { address: string; port: number };
    const types = [remoteAddress, remotePort, localAddress, localPort, address, port].map((it) => typeof it);
    told.push(JSON.stringify([types, bytesRead > 50, alpnProtocol, getPeerCertificate?.call(socket).subject]));
  });
  (await response(request)).resume();
  await closed;
  return told;
}

/** Runs `use` with any host behind a client that has so many places, and waits no longer than is needed. */
async function withHosts(
  maxOpen: number,
  use: (web: WebStage & { ask(get: typeof getPlain, url: string): Promise<number | undefined> }) => Promise<void>,
  agent: Socks5AgentOptions = { checkServerIdentity: () => undefined },
): Promise<void> {
  const ports = { http: 0, https: 0 };
  const proxy: TestProxyOptions = {
    rules: (target) => ({ port: target.endsWith(":443") ? ports.https : ports.http }),
  };
  await withWeb({ proxy, agent, client: { timeout: 5_000, pool: { maxOpen } } }, async (web) => {
    [ports.http, ports.https] = [web.plain.port, web.secure.port];
    const ask = async (get: typeof getPlain, url: string) => {
      const asked = get(url, { agent: web.agent });
      const closed = new Promise((resolve) => asked.once("close", resolve));
      const answer = await response(asked);
      answer.resume();
      await closed;
      return answer.statusCode;
    };
    await use({ ...web, ask });
  });
}

// receives after which a silent proxy is known to have got what it is silent about
const said = { accept: 0, negotiate: 1, authenticate: 2, request: 3 };
