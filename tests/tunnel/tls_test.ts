import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "@std/assert";
import {
  ClosedError,
  ProxyError,
  Socks5Client,
  type Socks5Conn,
  type Socks5ErrorCode,
  type Socks5Options,
  TimeoutError,
  type TlsError,
  type TlsOptions,
} from "../../mod.ts";
import { withClock } from "../support/clock.ts";
import { bytes, readFull, text } from "../support/contract.ts";
import { type FakeConn, FakeTransport, type Script, socks5 } from "../support/fake.ts";
import { failure } from "../support/stage.ts";
import { test } from "../support/test.ts";

const TARGET = "example.test:443";
const PEM = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----";
const KEY = "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----";
const echo: Script = (conn, written) => conn.push(...written);

/** A client of a fake proxy whose connections have TLS. */
function setUp({ proxy = "socks5://proxy", ...rest }: Socks5Options<FakeConn> & { proxy?: string } = {}) {
  const transport = new FakeTransport(socks5({ target: echo }));
  const started: TlsOptions[] = [];
  transport.onTls = (options) => void started.push(options);
  const client = new Socks5Client(proxy, { transport, ...rest });
  return { client, transport, started };
}

async function echoes(conn: Socks5Conn): Promise<boolean> {
  await conn.write(bytes("ping"));
  return text(await readFull(conn, 4)) === "ping";
}

test("connect() with TLS gives a tunnel that has it, for the name of the target", async () => {
  const { client, transport, started } = setUp();
  const conn = await client.connect("EXAMPLE.test.:443", { tls: true });
  assertEquals(started, [{ serverName: "example.test" }]);
  assertEquals([await echoes(conn), conn.alpnProtocol, conn.target], [true, null, "example.test.:443"]);
  assertEquals([client.stats().inUse, transport.conns.length], [1, 2]);
  conn.close();
  assertEquals([client.stats().inUse, transport.open], [0, 0]);
});

const serverNames: [target: string, tls: TlsOptions | true, serverName: string][] = [
  ["bücher.example:443", true, "xn--bcher-kva.example"],
  ["192.0.2.7:443", true, "192.0.2.7"],
  ["[2001:db8::1]:443", true, "2001:db8::1"],
  [TARGET, { serverName: "Other.example" }, "other.example"],
  ["192.0.2.7:443", { serverName: "name.example." }, "name.example"],
];

for (const [target, tls, serverName] of serverNames) {
  test(`the certificate of ${target} with ${JSON.stringify(tls)} has to be for ${serverName}`, async () => {
    const { client, started } = setUp();
    (await client.connect(target, { tls })).close();
    const plain = await client.connect(target);
    (await plain.startTls(tls === true ? {} : tls)).close();
    assertEquals(started.map((options) => options.serverName), [serverName, serverName]);
  });
}

test("all options of TLS reach the connection as they were at the call", async () => {
  const { client, started } = setUp();
  const tls = { caCerts: [PEM], cert: PEM, key: KEY, alpnProtocols: ["h2", "http/1.1"] };
  const connecting = client.connect(TARGET, { tls });
  tls.caCerts.length = tls.alpnProtocols.length = 0;
  const conn = await connecting;
  assertEquals(started, [{
    serverName: "example.test",
    caCerts: [PEM],
    cert: PEM,
    key: KEY,
    alpnProtocols: ["h2", "http/1.1"],
  }]);
  assertEquals(conn.alpnProtocol, "h2");
  conn.close();
});

const wrong: [tls: unknown, message: string][] = [
  ["yes", "Cannot use tls as a boolean or an object: current value is a string"],
  [null, "Cannot use tls as a boolean or an object: current value is null"],
  [{ serverName: "a b" }, "Cannot use tls.serverName as a host name or an IP address: current value is a string"],
  [{ caCerts: PEM }, "Cannot use tls.caCerts as an array: current value is a string"],
  [{ caCerts: [KEY] }, "Cannot use tls.caCerts as certificates in PEM: current value is a string"],
  [{ cert: PEM }, "Cannot use tls.cert without tls.key"],
  [{ key: KEY }, "Cannot use tls.key without tls.cert"],
  [{ cert: PEM, key: PEM }, "Cannot use tls.key as a private key in PEM, not encrypted: current value is a string"],
  [{ cert: PEM, key: 7 }, "Cannot use tls.key as a private key in PEM, not encrypted: current value is 7"],
  [{ alpnProtocols: "h2" }, "Cannot use tls.alpnProtocols as an array: current value is a string"],
  [
    { alpnProtocols: [""] },
    "Cannot use tls.alpnProtocols as names of 1 to 255 bytes: current value is an empty string",
  ],
];

for (const [tls, message] of wrong) {
  test(`TLS with ${JSON.stringify(tls)} is a TypeError before anything is opened`, async () => {
    const { client, transport } = setUp();
    const connecting = () => client.connect(TARGET, { tls: tls as TlsOptions });
    assertEquals((await assertRejects(connecting, TypeError)).message, message);
    assertEquals(transport.endpoints, []);
    const conn = await client.connect(TARGET);
    assertEquals(
      (await assertRejects(() => conn.startTls(tls as TlsOptions), TypeError)).message,
      message.replace("tls as a boolean or an object", "the options of startTls() as an object"),
    );
    assert(await echoes(conn), "the tunnel was given up for a wrong argument");
    conn.close();
  });
}

test("first bytes in the clear and TLS exclude each other", async () => {
  const { client } = setUp();
  const error = await assertRejects(() => client.connect(TARGET, { data: bytes("x"), tls: true }), TypeError);
  assertEquals(error.message, "Cannot combine data with tls");
});

test("startTls() uses the tunnel up, and closes nothing when that one is closed later", async () => {
  const { client, transport } = setUp();
  const conn = await client.connect(TARGET, { reuse: true });
  const secured = await conn.startTls();
  conn.close();
  conn.release();
  assert(await echoes(secured));
  for (const use of [() => conn.read(new Uint8Array(1)), () => conn.write(bytes("x")), () => conn.startTls()]) {
    const error = await assertRejects(use, ClosedError);
    assertEquals([error.code, error.message.endsWith("startTls() gave the tunnel to use instead")], [
      "SOCKS5_CONN_CLOSED",
      true,
    ]);
  }
  assertEquals(client.stats().inUse, 1);
  secured.release();
  assertEquals([client.stats().inUse, client.stats().idle, transport.open], [0, 0, 0]);
});

test("a tunnel with TLS is reused by connects with the same options of TLS alone", async () => {
  const { client, transport } = setUp();
  const kinds = [{ tls: true }, { tls: { alpnProtocols: ["h2"] } }, {}, { tls: { serverName: "b.example" } }];
  for (const kind of kinds) (await client.connect(TARGET, { reuse: true, ...kind })).release();
  assertEquals(client.stats().idle, 4);
  for (const kind of kinds) {
    const conn = await client.connect(TARGET, { reuse: true, ...structuredClone(kind) });
    assertEquals([conn.reused, await echoes(conn)], [true, true]);
    conn.close();
  }
  assertEquals(transport.endpoints.length, 4);
});

test("TLS on a reused tunnel goes through the byte that watched it", async () => {
  const transport = new FakeTransport(socks5({ target: echo })); // it has no TLS: all of it is read and written
  const client = new Socks5Client("socks5://proxy", { transport });
  (await client.connect(TARGET, { reuse: true })).release();
  const conn = await client.connect(TARGET, { reuse: true });
  const securing = failure(conn.startTls({ timeout: 5_000 }));
  transport.conns[0]!.push(...bytes("HTTP/1.1 400 Bad Request\r\n\r\n"));
  const error = await securing;
  assertEquals([error.code, error.phase], ["SOCKS5_TLS_NOT_TLS", "tls"]);
  assertEquals([client.stats().inUse, transport.open], [0, 0]);
});

const obstacles: [what: string, make: (conn: Socks5Conn, fake: FakeConn) => unknown, why: string][] = [
  ["a read is pending", (conn) => conn.read(new Uint8Array(1)).catch(() => {}), "a read or a write is pending"],
  ["a write is pending", (conn) => conn.write(bytes("x")), "a read or a write is pending"],
  ["readable was touched", (conn) => conn.readable, "its streams were used"],
  ["writable was touched", (conn) => conn.writable, "its streams were used"],
  ["its end was read", async (conn, fake) => (fake.end(), await conn.read(new Uint8Array(1))), "it has ended"],
  ["its writing side is closed", (conn) => conn.closeWrite(), "it has ended"],
];

for (const [what, make, why] of obstacles) {
  test(`startTls() is a TypeError if ${what}, and the tunnel stays as it is`, async () => {
    const { client, transport, started } = setUp();
    const conn = await client.connect(TARGET);
    const made = make(conn, transport.conns[0]!);
    if (why !== "a read or a write is pending") await made;
    const error = await assertRejects(() => conn.startTls(), TypeError);
    assertEquals(error.message, `Cannot start TLS with ${TARGET}: ${why}`);
    assertEquals([started.length, client.stats().inUse], [0, 1]);
    conn.close();
    await made;
  });
}

test("bytes that nobody has read before TLS are an error, and nothing is left open", async () => {
  const { client, transport } = setUp();
  const conn = await client.connect(TARGET);
  transport.conns[0]!.push(...bytes("250 injected\r\n"));
  const error = await failure(conn.startTls());
  assertEquals([error.name, error.code, error.phase], ["TlsError", "SOCKS5_TLS_PLAINTEXT", "tls"]);
  assertEquals(
    error.message,
    `Cannot start TLS with ${TARGET} through proxy:1080: the target sent data before the TLS handshake (ERR_UNREAD_PLAINTEXT)`,
  );
  assertEquals([client.stats().inUse, transport.open], [0, 0]);
});

/** What the runtimes say, on their ways to TLS, and what it means. */
const said: [code: Socks5ErrorCode, name: string, theirs: string, message: string][] = [
  ["SOCKS5_TLS_UNTRUSTED", "Error", "UNABLE_TO_VERIFY_LEAF_SIGNATURE", "unable to verify the first certificate"],
  ["SOCKS5_TLS_UNTRUSTED", "Error", "DEPTH_ZERO_SELF_SIGNED_CERT", "self-signed certificate"],
  ["SOCKS5_TLS_UNTRUSTED", "Error", "INVALID_PURPOSE", "unsuitable certificate purpose"],
  ["SOCKS5_TLS_UNTRUSTED", "InvalidData", "", "invalid peer certificate: UnknownIssuer"],
  [
    "SOCKS5_TLS_WRONG_NAME",
    "Error",
    "ERR_TLS_CERT_ALTNAME_INVALID",
    "Hostname/IP does not match certificate's altnames",
  ],
  [
    "SOCKS5_TLS_WRONG_NAME",
    "InvalidData",
    "",
    'invalid peer certificate: certificate not valid for name "a"; certificate is only valid for DnsName("ALERT")',
  ],
  ["SOCKS5_TLS_EXPIRED", "Error", "CERT_HAS_EXPIRED", "certificate has expired"],
  ["SOCKS5_TLS_EXPIRED", "Error", "CERT_NOT_YET_VALID", "certificate is not yet valid"],
  ["SOCKS5_TLS_EXPIRED", "InvalidData", "", "invalid peer certificate: certificate expired: verification time …"],
  ["SOCKS5_TLS_EXPIRED", "InvalidData", "", "invalid peer certificate: certificate not valid yet: verification time …"],
  ["SOCKS5_TLS_NOT_TLS", "Error", "ERR_SSL_WRONG_VERSION_NUMBER", "wrong version number"],
  ["SOCKS5_TLS_NOT_TLS", "Error", "EPROTO", "error:100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER"],
  ["SOCKS5_TLS_NOT_TLS", "InvalidData", "", "received corrupt message of type InvalidContentType"],
  ["SOCKS5_TLS_REFUSED", "Error", "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION", "tlsv1 alert protocol version"],
  ["SOCKS5_TLS_REFUSED", "Error", "ERR_SSL_TLSV1_UNRECOGNIZED_NAME", "tlsv1 unrecognized name"],
  ["SOCKS5_TLS_REFUSED", "Error", "EPROTO", "error:1000042e:SSL routines:…:TLSV1_ALERT_NO_APPLICATION_PROTOCOL"],
  ["SOCKS5_TLS_REFUSED", "InvalidData", "", "received fatal alert: CertificateRequired"],
  ["SOCKS5_TLS_HUNG_UP", "Error", "ECONNRESET", "Client network socket disconnected before secure TLS connection"],
  ["SOCKS5_TLS_HUNG_UP", "UnexpectedEof", "", "unexpected end of file"],
  ["SOCKS5_TLS_FAILED", "Error", "ERR_OSSL_X509_KEY_VALUES_MISMATCH", "key values mismatch"],
];

for (const [code, name, theirs, message] of said) {
  test(`"${name} ${theirs} ${message.slice(0, 60)}" is ${code}: final with the target, of the proxy in its leg`, async () => {
    const cause = Object.assign(new Error(message), theirs === "" ? {} : { code: theirs });
    cause.name = name;
    const { client, transport } = setUp({ retry: 0 });
    transport.onTls = () => {
      throw cause;
    };
    const plain = await client.connect(TARGET);
    for (
      const [verb, securing] of [["connect to", client.connect(TARGET, { tls: true })], [
        "start TLS with",
        plain.startTls(),
      ]] as const
    ) {
      const error = await failure(securing) as TlsError;
      assertEquals([error.name, error.code, error.phase, error.retryable], ["TlsError", code, "tls", false]);
      assertEquals([error.proxy, error.target], ["proxy:1080", TARGET]);
      assertStrictEquals(error.cause, cause);
      assert(error.message.startsWith(`Cannot ${verb} ${TARGET} through proxy:1080: `), error.message);
      assert(error.message.endsWith(`(${theirs || message.split(";")[0]})`), error.message);
    }
    assertEquals([client.stats().inUse, transport.open], [0, 0]);
    const leg = setUp({ proxy: "socks5+tls://proxy", retry: 0 });
    leg.transport.onTls = transport.onTls;
    const error = await failure(leg.client.connect(TARGET));
    assertEquals([error.code, error.phase, error.retryable], [code, "dial", code === "SOCKS5_TLS_HUNG_UP"]);
    assertStrictEquals(error.cause, cause);
    assertEquals([leg.client.stats().proxies[0]!.failures, leg.transport.open], [1, 0]);
  });
}

test("a TypeError of the transport is one of the caller's, and nothing is left open", async () => {
  const { client, transport } = setUp();
  const thrown = new TypeError("no such thing");
  transport.onTls = () => {
    throw thrown;
  };
  assertStrictEquals(await client.connect(TARGET, { tls: true }).catch((error) => error), thrown);
  const conn = await client.connect(TARGET);
  assertStrictEquals(await conn.startTls().catch((error) => error), thrown);
  assertEquals([client.stats().inUse, transport.open], [0, 0]);
});

test("TLS with the target that fails is no fault of the proxy: no other is tried, none cools", async () => {
  const transport = new FakeTransport(socks5());
  transport.onTls = () => {
    throw Object.assign(new Error("expired"), { code: "CERT_HAS_EXPIRED" });
  };
  const client = new Socks5Client(["socks5://a", "socks5://b"], { transport });
  const error = await failure(client.connect(TARGET, { tls: true }));
  assertEquals([error.code, transport.endpoints.length], ["SOCKS5_TLS_EXPIRED", 1]);
  assertEquals(client.stats().proxies.map(({ failures }) => failures), [0, 0]);
});

test("TLS with a proxy that fails lets the next one be tried, and cools it", async () => {
  const transport = new FakeTransport(socks5({ target: echo }));
  let first = true;
  transport.onTls = () => {
    if (first) throw Object.assign(new Error("wrong"), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
  };
  const events: string[] = [];
  const client = new Socks5Client(["socks5+tls://a", "socks5+tls://b"], {
    transport,
    onEvent: (event) => (first = event.proxy === "a:1080", events.push(`${event.proxy} ${event.type}`)),
  });
  const conn = await client.connect(TARGET);
  assertEquals(events, ["a:1080 attempt", "a:1080 suspended", "a:1080 failed", "b:1080 attempt", "b:1080 connected"]);
  assertEquals(client.stats().proxies.map(({ failures }) => failures), [1, 0]);
  assert(await echoes(conn));
  conn.close();
  assertEquals(transport.open, 0);
});

test("the certificate of a proxy has to be for the proxy, that of the target for the target", async () => {
  const { client, started } = setUp({ proxy: "socks5h+tls://me:secret@Proxy.test:443" });
  (await client.connect(TARGET, { tls: { alpnProtocols: ["x"] } })).close();
  assertEquals(started, [{ serverName: "proxy.test" }, { serverName: "example.test", alpnProtocols: ["x"] }]);
});

test("a TLS handshake that hangs ends with the timeout, of the connect or its own", () =>
  withClock(async (clock) => {
    const transport = new FakeTransport(socks5());
    transport.onTls = () => {};
    const client = new Socks5Client("socks5://proxy", { transport, timeout: 7_000, attemptTimeout: 100 });
    const plain = await clock.settle(client.connect(TARGET));
    transport.onPoint = (_, what) => what === "tls" && clock.jump(6_999);
    const passing = await clock.settle(plain.startTls());
    passing.close();
    for (
      const [ms, verb, start] of [
        [7_000, "connect to", () => client.connect(TARGET, { tls: true })],
        [7_000, "start TLS with", async () => await (await client.connect(TARGET)).startTls()],
        [50, "start TLS with", async () => await (await client.connect(TARGET)).startTls({ timeout: 50 })],
      ] as const
    ) {
      transport.onPoint = (_, what) => what === "tls" && clock.jump(ms);
      const error = await clock.settle(start().then(() => null, (error: unknown) => error));
      assertInstanceOf(error, TimeoutError);
      assertEquals([error.code, error.phase], ["SOCKS5_TIMEOUT", "tls"]);
      assertEquals(
        error.message,
        `Cannot ${verb} ${TARGET} through proxy:1080: timed out after ${ms} ms, waiting for the target to go through the TLS handshake`,
      );
    }
    assertEquals([client.stats().inUse, transport.open], [0, 0]);
  }));

test("closing the tunnel while TLS is started on it ends the attempt", async () => {
  const { client, transport } = setUp();
  const conn = await client.connect(TARGET);
  const securing = failure(conn.startTls());
  conn.close();
  const error = await securing;
  assertEquals([error.code, error.message.endsWith("it was closed")], ["SOCKS5_CONN_CLOSED", true]);
  assertEquals([client.stats().inUse, transport.open], [0, 0]);
});

test("a signal that is aborted already starts nothing, and leaves the tunnel", async () => {
  const { client, started } = setUp();
  const conn = await client.connect(TARGET);
  const reason = new Error("the caller's own");
  assertStrictEquals(await conn.startTls({ signal: AbortSignal.abort(reason) }).catch((error) => error), reason);
  assertEquals([started.length, await echoes(conn)], [0, true]);
  conn.close();
});

test("a tunnel with TLS has no socket to give", async () => {
  const { client } = setUp();
  const conn = await client.connect(TARGET, { tls: true });
  let error: unknown;
  try {
    conn.detach();
  } catch (thrown) {
    error = thrown;
  }
  assertEquals(String(error), `TypeError: Cannot detach from ${TARGET}: its TLS has no socket to give`);
  conn.close();
});

test("in a chain, TLS with the second proxy that fails is that one's fault", async () => {
  const { client: inner, transport } = setUp();
  transport.onTls = () => {
    throw Object.assign(new Error("expired"), { code: "CERT_HAS_EXPIRED" });
  };
  const outer = new Socks5Client("socks5+tls://second", { transport: inner, retry: 0 });
  const error = await failure(outer.connect(TARGET));
  assertEquals([error.code, error.phase, error.proxy], ["SOCKS5_TLS_EXPIRED", "dial", "second:1080"]);
  assertEquals(outer.stats().proxies[0]!.failures, 1);
  assertEquals([inner.stats().inUse, transport.open], [0, 0]);
});

test("a transport without TLS is no obstacle: it is done over what it reads and writes", async () => {
  const transport = new FakeTransport(socks5({ target: (conn) => conn.push(...bytes("220 hello\r\n")) }));
  const client = new Socks5Client("socks5://proxy", { transport });
  const error = await failure(client.connect(TARGET, { tls: true, timeout: 2_000 }));
  assertEquals([error.code, error.phase], ["SOCKS5_TLS_NOT_TLS", "tls"]);
  assertEquals([client.stats().inUse, transport.open], [0, 0]);
});

test("check() with TLS takes the handshake for proof that it is the target", async () => {
  const { client, transport } = setUp();
  const [report] = await client.check(TARGET, { tls: true });
  assertEquals([report!.verdict, report!.steps.map(({ phase, status }) => `${phase} ${status}`)], ["ok", [
    "dial ok",
    "negotiate ok",
    "authenticate skipped",
    "request ok",
    "tls ok",
    "transfer skipped",
  ]]);
  transport.onTls = () => {
    throw Object.assign(new Error("wrong"), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
  };
  const [bad] = await client.check(TARGET, { tls: true, probe: bytes("x") });
  assertEquals([bad!.verdict, bad!.code, bad!.steps.at(-2)!.status], ["unproven", "SOCKS5_TLS_WRONG_NAME", "failed"]);
  const error = await assertRejects(() => client.check(undefined, { tls: true }), TypeError);
  assertEquals(error.message, "Cannot use tls without a target");
  assertEquals(transport.open, 0);
});

test("a proxy that hangs up in TLS is tried again", async () => {
  const { client, transport } = setUp({ proxy: "socks5+tls://proxy", retry: { retries: 1, minDelay: 0, maxDelay: 0 } });
  transport.onTls = () => {
    throw Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
  };
  const error = await failure(client.connect(TARGET));
  assertEquals([error.code, error.errors.length, transport.endpoints.length], ["SOCKS5_TLS_HUNG_UP", 1, 2]);
  assert(!(error instanceof ProxyError));
});
