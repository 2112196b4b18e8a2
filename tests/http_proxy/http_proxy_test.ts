import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { type Conn, httpProxy, type HttpProxyOptions } from "../../http_proxy/mod.ts";
import { runtimeTransport } from "../../adapters/runtime.ts";
import { denoTransport } from "../../adapters/deno/mod.ts";
import { nodeTransport } from "../../adapters/node/mod.ts";
import {
  AuthError,
  ProxyError,
  Socks5Client,
  type Socks5Error,
  type Socks5ErrorCode,
  TargetError,
  TlsError,
  type Transport,
} from "../../mod.ts";
import { certificates } from "../support/certificates.ts";
import { bytes, contract, readAll, readFull, text } from "../support/contract.ts";
import { type HttpProxyStandIn, type StartedHttpProxy, startHttpProxy } from "../support/http_proxies.ts";
import { listen, type Pair, type Peer } from "../support/peer.ts";
import { assertEchoes, assertNothingOpen, failure, TRANSPORTS, withEcho, withTarget } from "../support/stage.ts";
import { noIpv6, startEcho, type Target } from "../support/targets.ts";
import { test } from "../support/test.ts";

const OK = "HTTP/1.1 200 OK\r\n\r\n";

async function withHttpProxy(
  options: HttpProxyStandIn,
  use: (proxy: StartedHttpProxy, echo: Target) => Promise<void>,
): Promise<void> {
  await withTarget(startEcho(), (echo) => withTarget(startHttpProxy(options), (proxy) => use(proxy, echo)));
}

/** A tunnel whose other end is the proxy itself; the last bytes of its answer are read with `early`. */
async function pairThrough(options: HttpProxyOptions, early = ""): Promise<Pair<unknown>> {
  const listener = await listen();
  const { port } = listener.endpoint as { port: number };
  const connecting = httpProxy(`http://127.0.0.1:${port}`, options).connect({ hostname: "x.test", port: 1 });
  const peer = await listener.accepted();
  listener.stop();
  const { length } = "CONNECT x.test:1 HTTP/1.1\r\nHost: x.test:1\r\n\r\n";
  await peer.received(length);
  await peer.write(bytes(OK + early));
  const conn = await connecting;
  assertEquals(text(await readFull(conn, early.length)), early);
  const received = async (n: number) => (await peer.received(n + length)).subarray(length);
  return { conn, peer: { ...bound(peer), received } };
}

/** The methods of a peer, for an object that has others besides. */
function bound(peer: Peer): Peer {
  const names = ["write", "end", "reset", "pause", "resume", "fin", "gone", "inKernel", "close"] as const;
  return Object.fromEntries(names.map((name) => [name, peer[name]!.bind(peer)])) as unknown as Peer;
}

/** A transport whose connections take nothing back. */
const forgetful: Transport = {
  async connect(to, options) {
    const conn = await runtimeTransport.connect(to, options);
    const names = ["read", "write", "closeWrite", "close"] as const;
    return Object.fromEntries(names.map((name) => [name, conn[name].bind(conn)])) as unknown as Conn;
  },
};

contract("a tunnel whose first bytes came with the head", () => pairThrough({ transport: forgetful }, "early"));

const endpointOf = ({ hostname, port }: { hostname: string; port: number }) => ({ hostname, port });

for (const [name, { transport }] of Object.entries(TRANSPORTS)) {
  const options: HttpProxyOptions = transport === undefined ? {} : { transport };

  contract(`a tunnel of httpProxy() over ${name}`, () => pairThrough(options));

  test(`over ${name}: a client reaches its target through the HTTP proxy and the SOCKS5 proxy`, () =>
    withHttpProxy(
      { credentials: "corp:p@ss" },
      (http) =>
        withEcho({ credentials: { username: "user", password: "pass" } }, async (proxy, echo) => {
          const transport = httpProxy(`http://corp:p%40ss@${http.address}`, options);
          const client = new Socks5Client(proxy.url, { transport });
          const conn = await client.connect(echo.address);
          await assertEchoes(conn);
          conn.close();
          await client.close();
          const { host } = new URL(proxy.url);
          assertEquals(http.heads, [
            `CONNECT ${host} HTTP/1.1\r\nHost: ${host}\r\nProxy-Authorization: Basic ${btoa("corp:p@ss")}`,
          ]);
        }),
    ));

  test(`over ${name}: TLS to the HTTP proxy, with its options`, () =>
    withHttpProxy({ tls: { wantsClient: true } }, (http) =>
      withEcho({}, async (proxy, echo) => {
        const { authority, client: { cert, key } } = certificates();
        const url = `https://localhost:${http.port}`;
        const transport = httpProxy(url, { ...options, tls: { caCerts: [authority.cert], cert, key } });
        const client = new Socks5Client(proxy.url, { transport });
        const conn = await client.connect(echo.address);
        await assertEchoes(conn);
        conn.close();
        await client.close();
        assertEquals(http.accepted, 1);
        const untrusted = new Socks5Client(proxy.url, { transport: httpProxy(url, options), retry: 0 });
        const error = await failure(untrusted.connect(echo.address));
        assertInstanceOf(error, TlsError);
        assertEquals([error.code, error.phase, error.proxy], [
          "SOCKS5_TLS_UNTRUSTED",
          "dial",
          `localhost:${http.port}`,
        ]);
      })));

  test(`over ${name}: behind SOCKS5, the HTTP proxy is reached through the client`, () =>
    withHttpProxy({}, (http, target) =>
      withEcho({}, async (proxy) => {
        const client = new Socks5Client(proxy.url, options as { transport?: Transport });
        const conn = await httpProxy(`http://${http.address}`, { transport: client }).connect(endpointOf(target));
        await conn.write(bytes("ping"));
        assertEquals(text(await readFull(conn, 4)), "ping");
        conn.close();
        assertEquals(proxy.connections[0]!.request, { ...proxy.connections[0]!.request!, port: http.port });
        await client.close();
        assertNothingOpen(client);
      })));

  test(`over ${name}: bytes behind the head belong to the tunnel`, async () => {
    for (const cut of [0, 1, OK.length - 1, OK.length, OK.length + 2]) {
      const whole = `HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${OK}early`;
      const at = whole.length - OK.length - 5 + cut;
      const answer: HttpProxyStandIn["answer"] = (_, socket) => {
        socket.write(whole.slice(0, at), () => setImmediate(() => socket.end(whole.slice(at))));
        socket.resume();
        return "";
      };
      await withHttpProxy({ answer }, async (http) => {
        const conn = await httpProxy(`http://${http.address}`, options).connect({ hostname: "x.test", port: 1 });
        assertEquals(text(await readFull(conn, 2)), "ea");
        assertEquals(text(await readAll(conn, 100)), "rly");
        conn.close();
      });
    }
  });
}

test("detach() hands over the socket and what came behind the head", () =>
  withHttpProxy({ answer: () => `${OK}early` }, async (http) => {
    const transport = "Deno" in globalThis ? denoTransport : nodeTransport;
    const conn = await httpProxy<unknown>(`http://${http.address}`, { transport }).connect({
      hostname: "x.test",
      port: 1,
    });
    const { socket, head } = conn.detach!();
    await assertRejects(() => conn.read(new Uint8Array(1)), Error);
    if (head.length > 0) assertEquals(text(head), "early");
    else {
      const node = socket as import("node:net").Socket;
      let got = "";
      for await (const chunk of node) if ((got += chunk).length >= 5) break;
      assertEquals(got, "early");
    }
    (socket as { destroy?(): void; close?(): void }).destroy?.();
    (socket as { close?(): void }).close?.();
  }));

test("over a client, detach() hands over what came behind the head, and TLS starts over it", () =>
  withHttpProxy({ answer: () => `${OK}early` }, (http) =>
    withEcho({}, async (proxy) => {
      const client = new Socks5Client(proxy.url);
      const conn = await httpProxy(`http://${http.address}`, { transport: client }).connect({
        hostname: "x.test",
        port: 1,
      });
      assertEquals(text(await readFull(conn, 1)), "e");
      const { socket, head } = conn.detach!() as { socket: unknown; head: Uint8Array };
      assertEquals(text(head), "arly");
      await assertRejects(() => conn.read(new Uint8Array(1)), Error);
      (socket as { destroy?(): void }).destroy?.();
      (socket as { close?(): void }).close?.();
      (socket as { terminate?(): void }).terminate?.();
      await client.close();
    })));

test(
  "an IPv6 target is asked for in brackets",
  () =>
    withTarget(startEcho({ hostname: "::1" }), (echo) =>
      withHttpProxy({}, async (http) => {
        const conn = await httpProxy(`http://${http.address}`).connect(endpointOf(echo));
        await conn.write(bytes("ping"));
        assertEquals(text(await readFull(conn, 4)), "ping");
        conn.close();
        assertEquals(http.heads, [`CONNECT ${echo.address} HTTP/1.1\r\nHost: ${echo.address}`]);
      })),
  { skip: noIpv6 },
);

const answers: [answer: string, code: Socks5ErrorCode, phase: string, kind: typeof Socks5Error, says: RegExp][] = [
  ["407 No\r\nProxy-Authenticate: Basic", "SOCKS5_AUTH_REFUSED", "authenticate", AuthError, /user name and password/],
  ["401 Unauthorized", "SOCKS5_AUTH_REFUSED", "authenticate", AuthError, /user name and password \(401 Unauthorized\)/],
  [
    "407 No\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Negotiate",
    "SOCKS5_AUTH_NO_METHOD",
    "authenticate",
    AuthError,
    /another scheme than Basic/,
  ],
  ["403 Filtered", "SOCKS5_TARGET_NOT_ALLOWED", "request", TargetError, /refused it \(403 Filtered\)/],
  ["405 ", "SOCKS5_TARGET_BAD_COMMAND", "request", TargetError, /\(405\)/],
  ["501", "SOCKS5_TARGET_BAD_COMMAND", "request", TargetError, /\(501\)/],
  ["502 x", "SOCKS5_TARGET_HOST_UNREACHABLE", "request", TargetError, /502/],
  ["504 x", "SOCKS5_TARGET_HOST_UNREACHABLE", "request", TargetError, /504/],
  ["503 x", "SOCKS5_TARGET_FAILED", "request", TargetError, /503/],
  ["301 x\r\nLocation: http://elsewhere.test/", "SOCKS5_TARGET_FAILED", "request", TargetError, /301/],
  ["101 x", "SOCKS5_TARGET_FAILED", "request", TargetError, /101/],
  [`500 you said ${btoa("corp:secret")} and secret`, "SOCKS5_TARGET_FAILED", "request", TargetError, /\(500\)$/],
  ["500 \x1b[31mred", "SOCKS5_TARGET_FAILED", "request", TargetError, /\\u\{1b\}/],
];

for (const [answer, code, phase, kind, says] of answers) {
  const what = answer.split("\r\n").join(" ").replace("\x1b", "ESC");
  test(`an answer of ${what} is ${code}, and no client takes the proxy for down`, () =>
    withHttpProxy({ answer: (_, socket) => (socket.end(`HTTP/1.1 ${answer}\r\n\r\n`), "") }, async (http) => {
      const transport = httpProxy(`http://corp:secret@${http.address}`);
      const client = new Socks5Client("socks5h://second.test:1080", { transport });
      const error = await failure(client.connect("target.test:1"));
      assertInstanceOf(error, kind);
      assertEquals([error.code, error.phase, error.proxy, error.target], [
        code,
        phase,
        http.address,
        "second.test:1080",
      ]);
      assertMatch(error.message, says);
      assertEquals(http.accepted, 1, "it is asked once");
      assert(!JSON.stringify([error.message, String(error.cause), error.stack]).includes("secret"), error.message);
    }));
}

test("a proxy that wants credentials is told apart from one that refuses them", () =>
  withHttpProxy({ credentials: "corp:secret" }, async (http, echo) => {
    const codeOf = async (who: string) =>
      (await failure(httpProxy(`http://${who}${http.address}`).connect(endpointOf(echo)))).code;
    assertEquals(await codeOf(""), "SOCKS5_AUTH_NO_METHOD");
    assertEquals(await codeOf("corp:wrong@"), "SOCKS5_AUTH_REFUSED");
  }));

const hostile: [what: string, answer: string | Uint8Array, code: Socks5ErrorCode][] = [
  ["SOCKS5", Uint8Array.of(5, 0xff), "SOCKS5_PROXY_BAD_REPLY"],
  ["a banner without an end", "SSH-2.0-x", "SOCKS5_PROXY_BAD_REPLY"],
  ["HTTP/2", "HTTP/2 200\r\n\r\n", "SOCKS5_PROXY_BAD_REPLY"],
  ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n", "SOCKS5_PROXY_BAD_REPLY"],
  ["a field without a name", "HTTP/1.1 200 OK\r\n: x\r\n\r\n", "SOCKS5_PROXY_BAD_REPLY"],
  ["a folded field", "HTTP/1.1 200 OK\r\nA: x\r\n y\r\n\r\n", "SOCKS5_PROXY_BAD_REPLY"],
  ["fields without an end", `HTTP/1.1 200 OK\r\nA: ${"x".repeat(70_000)}`, "SOCKS5_PROXY_BAD_REPLY"],
  ["answers of 1xx without an end", "HTTP/1.1 100 Continue\r\n\r\n".repeat(3_000), "SOCKS5_PROXY_BAD_REPLY"],
];

for (const [what, answer, code] of hostile) {
  test(`a proxy that answers with ${what} is ${code} at once`, () =>
    withHttpProxy({ answer: (_, socket) => (socket.write(answer), "") }, async (http, echo) => {
      const error = await failure(httpProxy(`http://${http.address}`).connect(endpointOf(echo)));
      assertInstanceOf(error, ProxyError);
      assertEquals([error.code, error.proxy], [code, http.address]);
    }));
}

for (const [what, end] of [["closes", "end"], ["resets", "resetAndDestroy"]] as const) {
  test(`a proxy that ${what} the connection in place of an answer is tried again`, async () => {
    let times = 0;
    const answer: HttpProxyStandIn["answer"] = (_, socket) => times++ === 0 ? (socket[end](), "") : undefined;
    await withHttpProxy({ answer }, (http) =>
      withEcho({}, async (proxy, echo) => {
        const transport = httpProxy(`http://${http.address}`);
        const error = await failure(transport.connect(endpointOf(echo)));
        assertEquals([error.code, error.phase, error.retryable], ["SOCKS5_PROXY_HUNG_UP", "negotiate", true]);
        times = 0;
        const client = new Socks5Client(proxy.url, { transport, retry: { retries: 1, minDelay: 1 } });
        const conn = await client.connect(echo.address);
        await assertEchoes(conn);
        conn.close();
        await client.close();
      }));
  });
}

test("an HTTP proxy that is down is named, and tried again", async () => {
  const attempts: (string | null)[] = [];
  const client = new Socks5Client("socks5h://second.test:1080", {
    transport: httpProxy("http://user:pass@127.0.0.1:1"),
    retry: { retries: 2, minDelay: 1 },
    onEvent: (event) => event.type === "failed" && attempts.push(event.next),
  });
  const error = await failure(client.connect("target.test:1"));
  assertInstanceOf(error, ProxyError);
  assertEquals([error.code, error.phase, error.proxy, error.target], [
    "SOCKS5_PROXY_UNREACHABLE",
    "dial",
    "127.0.0.1:1",
    "second.test:1080",
  ]);
  assertEquals(attempts, ["retry", "retry", null]);
});

test("a SOCKS5 proxy that the HTTP proxy does not reach is passed over for the next", () =>
  withHttpProxy({}, (http) =>
    withEcho({}, async (proxy, echo) => {
      const transport = httpProxy(`http://${http.address}`);
      const client = new Socks5Client(["socks5h://127.0.0.1:1", proxy.url], { transport });
      const conn = await client.connect(echo.address);
      await assertEchoes(conn);
      conn.close();
      await client.close();
    })));

test("an abort ends a connect at each step with its reason, and nothing is left open", async () => {
  const reason = new Error("enough");
  for (const tls of [undefined, {}]) {
    const controller = new AbortController();
    await withHttpProxy({
      ...(tls && { tls }),
      answer: () => {
        controller.abort(reason);
        return "";
      },
    }, async (http) => {
      const url = tls === undefined ? `http://${http.address}` : `https://${http.address}`;
      const options = tls === undefined ? {} : { tls: { caCerts: [certificates().authority.cert] } };
      const { signal } = controller;
      const error = await httpProxy(url, options).connect({ hostname: "x.test", port: 1 }, { signal }).catch((it) =>
        it
      );
      assertEquals(error, reason);
      assertEquals(
        await httpProxy(url, options).connect({ hostname: "x.test", port: 1 }, { signal }).catch((it) => it),
        reason,
      );
    });
  }
});

test("the time limit of a client counts for an HTTP proxy that says nothing", () =>
  withHttpProxy({ answer: () => "" }, async (http) => {
    const transport = httpProxy(`http://${http.address}`);
    const client = new Socks5Client("socks5h://second.test", { transport, timeout: 50 });
    assertEquals((await failure(client.connect("target.test:1"))).code, "SOCKS5_TIMEOUT");
  }));

const malformed: [proxy: unknown, options: HttpProxyOptions, says: RegExp][] = [
  ["secret.test:3128", {}, /the scheme is missing \(http:\/\/host:port\)/],
  ["socks5h://secret.test", {}, /the scheme must be http or https/],
  ["http://secret:pa/ss@host", {}, /malformed|percent-encoded/],
  ["http://secret:1#ss@host", {}, /percent-encoded/],
  ["http://secret\\x@host", {}, /malformed/],
  ["http://secret.test/path", {}, /nothing may follow the port/],
  ["http://secret.test:0", {}, /the port must be 1 to 65535/],
  ["http://secret.test:70000", {}, /malformed/],
  ["http://sec ret.test", {}, /malformed/],
  ["http://secret:x@host", { credentials: { username: "secret" } }, /both in its URL and beside it/],
  ["http://secret.test", { tls: {} }, /^Cannot use tls with a proxy whose scheme is not https$/],
  ["https://secret.test", { tls: { caCerts: ["secret"] } }, /caCerts/],
  ["http://host", { credentials: { username: "sec:ret" } }, /the user name has a colon/],
  ["http://host", { credentials: { username: "secret\r\nX" } }, /control character/],
  ["http://secret%0d%0ax:y@host", {}, /control character/],
  ["http://x:secret%0d%0ay@host", {}, /control character/],
  ["http://host", { transport: {} as Transport }, /transport/],
  ["http://host", { secret: 1 } as HttpProxyOptions, /Cannot use secret in the options of httpProxy\(\): there are/],
  [42, {}, /it must be a URL/],
];

for (const [proxy, options, says] of malformed) {
  test(`httpProxy() refuses ${JSON.stringify([proxy, options])}`, () => {
    const error = assertThrows(() => httpProxy(proxy as string, options), Error, undefined);
    assert(error instanceof TypeError || error instanceof RangeError);
    assertMatch(error.message, says);
    if (!("secret" in options)) assert(!error.message.includes("secret"), error.message);
  });
}

for (const to of [{ path: "/run/x" }, { hostname: "a\r\nb", port: 1 }, { hostname: "a", port: 0 }]) {
  test(`a transport of httpProxy() refuses the target ${JSON.stringify(to)} before it connects`, async () => {
    const error = await httpProxy("http://127.0.0.1:1").connect(to as never).catch((error) => error);
    assert(error instanceof TypeError || error instanceof RangeError, String(error));
  });
}
