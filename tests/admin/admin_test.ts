import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { createServer, request } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { text } from "node:stream/consumers";
import {
  adminHandler,
  type AdminHandlerOptions,
  type AdminOptions,
  type AdminSource,
  type AdminStatus,
  Recorder,
  serveAdmin,
} from "../../admin/mod.ts";
import { type ProxySpec, Socks5Client } from "../../mod.ts";
import { withEcho, withProxy } from "../support/stage.ts";
import { test } from "../support/test.ts";

const ALICE = { username: "alice", password: "sesame" };
const JSON_BODY = { "content-type": "application/json" };

interface Asked {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
}

interface Answered {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** Asks a port, with any `Host`. */
function ask(port: number, path: string, { method = "GET", headers = {}, body = "" }: Asked = {}): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const fields = { ...headers, connection: "close", ...(body !== "" && { "content-length": String(body.length) }) };
    const asking = request({ host: "127.0.0.1", port, path, method, headers: fields }, async (response) => {
      const body = await text(response);
      resolve({ status: response.statusCode!, headers: response.headers as Record<string, string>, body });
    });
    asking.on("error", reject).end(body);
  });
}

/** What is asked of an admin port. */
interface Stage {
  client: Socks5Client;
  port: number;
  /** The token of the page; `""` if it has none. */
  token: string;
  ask(path: string, asked?: Asked): Promise<Answered>;
  status(query?: string): Promise<AdminStatus>;
  /** What the page sends when a button is pressed, with other fields in place of some. */
  post(action: string, body: unknown, headers?: Record<string, string>): Promise<Answered>;
}

const LABELS = ["de-1", "de-2", "fr-1"];
const PROXIES: ProxySpec[] = LABELS.map((label, i) => ({ url: `socks5h://user:secret@127.0.0.1:${i + 1}`, label }));

async function withAdmin(
  use: (stage: Stage) => Promise<void>,
  { proxies = PROXIES, ...options }: AdminOptions & { proxies?: ProxySpec[] } = {},
): Promise<void> {
  const recorder = new Recorder();
  const client = new Socks5Client(proxies, { retry: 0, onEvent: recorder.onEvent });
  const admin = await serveAdmin({ client, recorder }, options);
  const { port } = admin;
  const authorization = options.credentials ? { authorization: `Basic ${btoa("alice:sesame")}` } : undefined;
  const page = await ask(port, "/", { headers: { ...authorization } });
  const token = /<meta name="token" content="([^"]*)">/.exec(page.body)?.[1] ?? "none";
  try {
    await use({
      client,
      port,
      token,
      ask: (path, asked) => ask(port, path, asked),
      status: async (query = "") => JSON.parse((await ask(port, `/status.json${query}`)).body),
      post(action, body, headers = {}) {
        const fields = { ...JSON_BODY, origin: `http://127.0.0.1:${port}`, "x-admin-token": token, ...headers };
        return ask(port, `/${action}`, { method: "POST", headers: fields, body: JSON.stringify(body) });
      },
    });
  } finally {
    await admin.close();
    await client.close();
  }
}

test("an admin port has the page, the status, metrics and health, and nothing else", () =>
  withAdmin(async ({ ask, status }) => {
    const types = {
      "/": "text/html; charset=utf-8",
      "/status.json": "application/json; charset=utf-8",
      "/metrics": "text/plain; version=0.0.4; charset=utf-8",
      "/healthz": "text/plain; charset=utf-8",
      "/readyz": "text/plain; charset=utf-8",
    };
    for (const [path, type] of Object.entries(types)) {
      const { status, headers, body } = await ask(path);
      assertEquals(
        [status, headers["content-type"], Buffer.byteLength(body)],
        [200, type, Number(headers["content-length"])],
        path,
      );
      const head = await ask(path, { method: "HEAD" });
      assertEquals([head.status, head.headers["content-type"], head.body], [200, type, ""], path);
      for (const method of ["POST", "PUT", "DELETE"]) {
        const refused = await ask(path, { method });
        assertEquals([refused.status, refused.headers.allow], [405, "GET, HEAD"], `${method} ${path}`);
      }
    }
    for (const path of ["/suspend", "/resume", "/check"]) assertEquals((await ask(path)).headers.allow, "POST");
    for (
      const path of ["/nothing", "/status.json/", "//", "/constructor", "/../etc/passwd", "/%00", "http://a.test/"]
    ) {
      assertEquals((await ask(path)).status, 404, path);
    }
    assertEquals((await status()).proxies.map(({ proxy }) => proxy), LABELS);
  }));

test("every answer says that it is not to be kept, framed, guessed at or read by other pages", () =>
  withAdmin(async ({ ask }) => {
    for (const path of ["/", "/status.json", "/metrics", "/healthz", "/nothing", "/suspend"]) {
      const { headers } = await ask(path);
      const said = ["cache-control", "x-content-type-options", "x-frame-options", "cross-origin-resource-policy"];
      assertEquals(said.map((name) => headers[name]), ["no-store", "nosniff", "DENY", "same-origin"], path);
      const policy = headers["content-security-policy"]!;
      for (const part of ["default-src 'none'", "frame-ancestors 'none'"]) assert(policy.includes(part), path);
      assert(!/unsafe|\*|https?:/.test(policy), policy);
    }
    assertEquals((await ask("/")).headers["access-control-allow-origin"], undefined);
  }));

test("the page has no text but its own in it, and asks nobody else", () =>
  withAdmin(async ({ ask }) => {
    const { body } = await ask("/");
    assertEquals(
      body.match(/\b(src|href|action)="(?!#|data:|status\.json)[^"]*"|url\(|@import|https?:\/\/(?!www\.w3\.org)/g),
      null,
    );
    for (const word of ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", ...LABELS]) {
      assert(!body.includes(word), word);
    }
  }));

test("a proxy that is suspended and resumed by the page is so for the client", () =>
  withAdmin(async ({ client, post, status }) => {
    const { status: code, body } = await post("suspend", { proxy: "de-2", for: 60_000 });
    assertEquals([code, JSON.parse(body)], [200, { message: "de-2 is suspended" }]);
    const [, { suspended }] = client.stats().proxies as [unknown, { suspended: { reason: string; ms: number }[] }];
    assertEquals([suspended.length, suspended[0]!.reason, suspended[0]!.ms > 50_000], [1, "application", true]);
    const { proxies, count } = await status();
    assertEquals([proxies.map(({ inService }) => inService), count], [
      [true, false, true],
      { all: 3, inService: 2, matching: 3 },
    ]);
    await post("suspend", { proxy: "de-2", for: null });
    assertEquals((await status("?state=out")).proxies[0]!.suspended, [{ reason: "application", ms: null as never }]);
    assertEquals(JSON.parse((await post("resume", { proxy: "de-2" })).body), { message: "de-2 is back in service" });
    assertEquals(client.stats().proxies[1]!.suspended, []);
  }));

test("a check by the page dials that proxy alone, and says what came of it", () =>
  withProxy({ credentials: ALICE }, (proxy) =>
    withProxy({}, async (other) => {
      const proxies = [{ url: proxy.url, label: "one" }, { url: other.url, label: "other" }, PROXIES[0]!];
      await withAdmin(async ({ post }) => {
        const good = JSON.parse((await post("check", { proxy: "one" })).body);
        assertMatch(good.message, /^one: the handshake took [\d.]+ ms$/);
        assertEquals([good.works, proxy.connections.length, other.connections.length], [true, 1, 0]);
        const bad = JSON.parse((await post("check", { proxy: "de-1" })).body);
        assertMatch(bad.message, /^de-1: proxy-down: /);
        assertEquals([bad.works, /secret/.test(bad.message)], [false, false]);
      }, { proxies });
    })));

const refusals: [what: string, headers: Record<string, string>, status: number][] = [
  ["without a token", { "x-admin-token": "" }, 403],
  ["with another token", { "x-admin-token": "A".repeat(43) }, 403],
  ["from another origin", { origin: "http://evil.test" }, 403],
  ["from another port of this machine", { origin: "http://127.0.0.1:1" }, 403],
  ["from a page without an origin", { origin: "null" }, 403],
  ["with no origin", { origin: "" }, 403],
  ["from another site, as the browser says", { "sec-fetch-site": "cross-site" }, 403],
  ["from the same site, as the browser says", { "sec-fetch-site": "same-site" }, 403],
  ["with another Host", { host: "evil.test" }, 403],
  ["with another Host and its origin", { host: "evil.test", origin: "http://evil.test" }, 403],
  ["as a form", { "content-type": "application/x-www-form-urlencoded" }, 415],
  ["as text", { "content-type": "text/plain" }, 415],
];

for (const [what, headers, code] of refusals) {
  test(`a POST ${what} is refused, and changes nothing`, () =>
    withAdmin(async ({ client, post }) => {
      for (const action of ["suspend", "resume", "check"]) {
        if (action === "resume") client.suspend("de-1", { for: 60_000 });
        const before = client.stats().proxies.map(({ suspended }) => suspended.length);
        assertEquals((await post(action, { proxy: "de-1", for: 1_000 }, headers)).status, code, action);
        assertEquals(client.stats().proxies.map(({ suspended }) => suspended.length), before, action);
      }
    }));
}

const badBodies: [body: string, status: number, message: RegExp][] = [
  ["", 400, /no JSON/],
  ["{", 400, /no JSON/],
  ["null", 400, /proxy must be/],
  ["[]", 400, /proxy must be/],
  ['{"proxy":7}', 400, /proxy must be/],
  ['{"proxy":"de-1","for":-1}', 400, /for must be/],
  ['{"proxy":"de-1","for":1e10}', 400, /for must be/],
  ['{"proxy":"de-1","for":"1"}', 400, /for must be/],
  ['{"proxy":"de-1","client":7}', 400, /client must be/],
  ['{"proxy":"de-1","client":"other"}', 404, /no such proxy/],
  ['{"proxy":"nobody"}', 404, /no such proxy/],
  ['{"__proto__":{"proxy":"de-1"}}', 400, /proxy must be/],
  [`{"proxy":"${"x".repeat(5_000)}"}`, 413, /too long/],
];

test("a body that is malformed is refused with what is wrong", () =>
  withAdmin(async ({ port, token, client }) => {
    const headers = { ...JSON_BODY, origin: `http://127.0.0.1:${port}`, "x-admin-token": token };
    for (const [body, status, message] of badBodies) {
      const answered = await ask(port, "/suspend", { method: "POST", headers, body });
      assertEquals(answered.status, status, body.slice(0, 60));
      assertMatch(JSON.parse(answered.body).message, message);
    }
    assertEquals(client.stats().proxies.every(({ suspended }) => suspended.length === 0), true);
  }));

test("a port that is read-only has no token and takes no action", () =>
  withAdmin(async ({ token, post, status, client }) => {
    assertEquals([token, (await status()).readonly], ["", true]);
    for (const action of ["suspend", "resume", "check"]) {
      const { status, body } = await post(action, { proxy: "de-1" });
      assertEquals([status, JSON.parse(body).message], [403, "This port is read-only"], action);
    }
    assertEquals(client.stats().proxies[0]!.suspended, []);
  }, { readonly: true }));

const hosts: [options: AdminOptions, host: string, isServed: boolean][] = [
  [{}, "127.0.0.1", true],
  [{}, "127.0.0.1:1", true],
  [{}, "127.8.9.10:80", true],
  [{}, "localhost:80", true],
  [{}, "LOCALHOST", true],
  [{}, "[::1]:80", true],
  [{}, "[0:0:0:0:0:0:0:1]", true],
  [{}, "evil.test", false],
  [{}, "localhost.evil.test", false],
  [{}, "evil.localhost", false],
  [{}, "127.0.0.1.evil.test", false],
  [{}, "127.0.0.1@evil.test", false],
  [{}, "evil.test:127.0.0.1", false],
  [{}, "192.0.2.1", false],
  [{}, "[", false],
  [{ hosts: ["Admin.example", "192.0.2.1"] }, "admin.example:8900", true],
  [{ hosts: ["admin.example", "192.0.2.1"] }, "192.0.2.1", true],
  [{ hosts: ["admin.example"] }, "other.example", false],
  [{ hostname: "0.0.0.0", credentials: ALICE }, "192.0.2.1:80", true],
  [{ hostname: "0.0.0.0", credentials: ALICE }, "evil.test", false],
];

for (const [options, host, isServed] of hosts) {
  const name = `${JSON.stringify(host)} is ${isServed ? "served" : "refused"}`;
  test(`a Host of ${name} with ${JSON.stringify(options.hosts ?? options.hostname ?? "no options")}`, () =>
    withAdmin(async ({ port }) => {
      const authorization = `Basic ${btoa("alice:sesame")}`;
      for (const path of ["/", "/status.json", "/metrics"]) {
        assertEquals((await ask(port, path, { headers: { host, authorization } })).status, isServed ? 200 : 403, path);
      }
      for (const path of ["/healthz", "/readyz"]) {
        assertEquals((await ask(port, path, { headers: { host } })).status, 200, path);
      }
    }, options));
}

test("a request without Host is refused", () =>
  withAdmin(async ({ port }) => {
    const socket = connect(port, "127.0.0.1", () => socket.end("GET /status.json HTTP/1.0\r\n\r\n"));
    assertMatch(await text(socket), /^HTTP\/1\.[01] 403 /);
  }));

test("with credentials all but the health needs them, and a wrong password is answered after a second", () =>
  withAdmin(async ({ ask, post }) => {
    for (const path of ["/", "/status.json", "/metrics", "/nothing"]) {
      const { status, headers } = await ask(path);
      assertEquals([status, headers["www-authenticate"]], [401, 'Basic realm="socks5"'], path);
    }
    assertEquals([(await ask("/healthz")).status, (await post("suspend", { proxy: "de-1" })).status], [200, 401]);
    const authorization = (text: string) => ({ headers: { authorization: `Basic ${btoa(text)}` } });
    assertEquals((await ask("/status.json", authorization("alice:sesame"))).status, 200);
    const begun = performance.now();
    assertEquals((await ask("/status.json", authorization("alice:wrong"))).status, 401);
    assert(performance.now() - begun > 900);
  }, { credentials: ALICE }));

test("a port is ready while at least one proxy is in service", () =>
  withAdmin(async ({ client, ask }) => {
    for (const label of LABELS) {
      assertEquals((await ask("/readyz")).status, 200);
      client.suspend(label, { for: 60_000 });
    }
    const { status, body } = await ask("/readyz");
    assertEquals([status, body, (await ask("/healthz")).status], [503, "no proxy is in service\n", 200]);
  }));

test("metrics are in the format that is asked for", () =>
  withAdmin(async ({ ask }) => {
    const accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    const { headers, body } = await ask("/metrics", { headers: { accept } });
    assertMatch(headers["content-type"]!, /^application\/openmetrics-text; version=1\.0\.0/);
    assertMatch(body, /\nsocks5_proxy_in_service\{proxy="de-1"\} 1\n[^]*# EOF\n$/);
    assert(!(await ask("/metrics")).body.includes("# EOF"));
  }));

test("the status has what happened lately, and no secret", () =>
  withEcho({ credentials: ALICE }, async (proxy, echo) => {
    const proxies = [{ url: "socks5h://bob:hunter2@127.0.0.1:1", label: "down" }, { url: proxy.url, label: "up" }];
    await withAdmin(async ({ client, status, ask }) => {
      const conn = await client.connect(echo.address);
      const { clients: [all], proxies: [down, up], failures, listeners } = await status();
      assertEquals([down!.lastFailure, down!.inService, down!.failures], ["SOCKS5_PROXY_UNREACHABLE", false, 1]);
      assertEquals([up!.lastFailure, up!.inService, up!.inUse, up!.minute?.connects.at(-1)], [null, true, 1, 1]);
      assertEquals([typeof up!.median, typeof up!.p95, up!.median === all!.median], ["number", "number", true]);
      assertEquals([all!.name, all!.connects, all!.minute.failures.at(-1)], [null, 1, 1]);
      const [{ proxy, target, code, phase, next }] = failures as [AdminStatus["failures"][0]];
      assertEquals({ proxy, target, code, phase, next }, {
        ...{ proxy: "down", target: echo.address, code: "SOCKS5_PROXY_UNREACHABLE", phase: "dial", next: "failover" },
      });
      assertEquals(listeners, [{ url: "http://127.0.0.1:8118", clients: 2 }]);
      for (const path of ["/", "/status.json", "/metrics"]) {
        assert(!/hunter2|sesame|bob|alice/.test((await ask(path)).body));
      }
      conn.close();
    }, { proxies, listeners: () => [{ url: "http://127.0.0.1:8118", clients: 2 }] });
  }));

test("the status is sorted, filtered and cut as the query says, and a query that makes no sense is none", () =>
  withAdmin(async ({ client, status }) => {
    client.suspend("fr-1", { for: 60_000 });
    client.suspend("de-2", { for: 5_000 });
    const labels = async (query: string) => (await status(query)).proxies.map(({ proxy }) => proxy).join(" ");
    assertEquals(await labels("?sort=proxy&descending=true"), "fr-1 de-2 de-1");
    assertEquals(await labels("?sort=state&descending=true"), "fr-1 de-2 de-1");
    assertEquals(await labels("?sort=connects"), "de-1 de-2 fr-1");
    assertEquals(await labels("?text=DE-"), "de-1 de-2");
    assertEquals(await labels("?state=out&limit=1"), "de-2");
    assertEquals((await status("?state=out&limit=1")).count, { all: 3, inService: 1, matching: 2 });
    for (const key of ["inUse", "idle", "failures", "minute", "median", "p95", "sent", "received"]) {
      assertEquals(await labels(`?sort=${key}`), "de-1 de-2 fr-1", key);
    }
    assertEquals(await labels("?sort=constructor&state=7&limit=-1&descending=%00&x=%"), "de-1 de-2 fr-1");
  }));

test("several clients are told apart by their names, and may come and go", async () => {
  const sources = ["crawler", "mail"].map((name): AdminSource => ({ name, client: new Socks5Client(PROXIES) }));
  await using admin = await serveAdmin(() => sources);
  const page = (await ask(admin.port, "/")).body;
  const [, token = ""] = /<meta name="token" content="([^"]*)">/.exec(page)!;
  const headers = { ...JSON_BODY, origin: admin.url, "x-admin-token": token };
  const body = JSON.stringify({ client: "mail", proxy: "de-1", for: null });
  assertEquals((await ask(admin.port, "/suspend", { method: "POST", headers, body })).status, 200);
  assertEquals(sources.map(({ client }) => client.stats().proxies[0]!.suspended.length), [0, 1]);
  assertMatch((await ask(admin.port, "/metrics")).body, /\nsocks5_proxy_in_service\{client="mail",proxy="de-1"\} 0\n/);
  sources.shift();
  const status: AdminStatus = JSON.parse((await ask(admin.port, "/status.json")).body);
  assertEquals([status.clients.map(({ name }) => name), status.count.all], [["mail"], 3]);
});

test("adminHandler() answers in a server of one's own, by the names that it was told", async () => {
  const client = new Socks5Client(PROXIES);
  const server = createServer(adminHandler({ client }, { hosts: ["admin.example"] }));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  assertEquals((await ask(port, "/status.json", { headers: { host: "admin.example" } })).status, 200);
  assertEquals((await ask(port, "/status.json", { headers: { host: "other.example" } })).status, 403);
  await new Promise((resolve) => server.close(resolve));
});

test("a client that hangs, talks nonsense or leaves in the middle disturbs nobody, and close() ends all", async () => {
  const client = new Socks5Client(PROXIES);
  const admin = await serveAdmin({ client });
  const said = [
    "",
    "GET / HTTP/1.1\r\n",
    "\x05\x01\x00",
    "POST /suspend HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{",
  ];
  const sockets = await Promise.all(said.map((text) =>
    new Promise<ReturnType<typeof connect>>((resolve) => {
      const socket = connect(admin.port, "127.0.0.1", () => socket.write(text, () => resolve(socket)));
      socket.on("error", () => {}).resume();
    })
  ));
  sockets.at(-1)!.destroy();
  assertEquals((await ask(admin.port, "/healthz")).status, 200);
  const silent = "Bun" in globalThis ? sockets.shift() : undefined; // node:http of Bun does not know of it yet
  const closed = sockets.map((socket) =>
    new Promise((resolve) => socket.destroyed ? resolve(0) : socket.once("close", resolve))
  );
  await admin.close();
  silent?.destroy();
  await Promise.all(closed);
});

const wrong: [what: string, options: unknown, error: typeof TypeError | typeof RangeError, message: string][] = [
  [
    "an address for all without credentials",
    { hostname: "0.0.0.0" },
    TypeError,
    "Cannot use hostname as a loopback name",
  ],
  ["a name that may be anybody's", { hostname: "a.localhost" }, TypeError, "Cannot use hostname as a loopback name"],
  ["no name", { hostname: "a b" }, TypeError, "Cannot use hostname as a name or an address"],
  ["a port out of range", { port: 65_536 }, RangeError, "Cannot use port as 0 to 65535: current value is 65536"],
  ["a port that is a text", { port: "80" }, TypeError, "Cannot use port as a number"],
  ["hosts that are none", { hosts: ["a/b"] }, TypeError, "Cannot use hosts as a name or an address"],
  ["one host", { hosts: "a.test" }, TypeError, "Cannot use hosts as a list of names"],
  ["readonly as a text", { readonly: "yes" }, TypeError, "Cannot use readonly as a boolean"],
  ["a user with a colon", { credentials: { username: "a:b" } }, TypeError, "Cannot use a user name with a colon"],
  ["no user", { credentials: { username: "" } }, RangeError, "the user name must have"],
  ["an unknown option", { token: "x" }, TypeError, "Cannot use token in the options of serveAdmin()"],
];

for (const [what, options, error, message] of wrong) {
  test(`serveAdmin() refuses ${what}`, async () => {
    const source = { client: new Socks5Client(PROXIES) };
    await assertRejects(() => serveAdmin(source, options as AdminOptions), error, message);
  });
}

test("adminHandler() refuses what is no client, and an unknown option", () => {
  assertThrows(() => adminHandler({} as never), TypeError, "Cannot use sources as { client }");
  assertThrows(() => adminHandler([null] as never), TypeError, "Cannot use sources as { client }");
  const client = new Socks5Client(PROXIES);
  for (const name of ["a", undefined]) {
    assertThrows(
      () => adminHandler([{ name, client }, { name, client }]),
      TypeError,
      "two have the same name, or none",
    );
  }
  const options = { port: 1 } as AdminHandlerOptions;
  assertThrows(() => adminHandler({ client: new Socks5Client(PROXIES) }, options), TypeError, "Cannot use port in");
});
