import { assert, assertEquals, assertMatch } from "@std/assert";
import { TargetError } from "../../mod.ts";
import { mapError } from "../../serve/error_mapping.ts";
import { serve } from "../../serve/mod.ts";
import { socks5Error, type Socks5ErrorCode } from "../../src/errors.ts";
import { POLICY } from "../../src/proxies/policy.ts";
import { bytes, text } from "../support/contract.ts";
import { readHead, socksRequest, withLocalProxy } from "../support/serve_stage.ts";
import { connectRaw } from "../support/raw_client.ts";
import { withTarget } from "../support/stage.ts";
import { noIpv6, startEcho } from "../support/targets.ts";
import { test } from "../support/test.ts";

const request = (...rest: number[]) => Uint8Array.of(5, 1, 0, 5, ...rest);
const reply = (rep: number) => [5, 0, 5, rep, 0, 1, 0, 0, 0, 0, 0, 0];

// RFC 1928 sections 3 to 6; the local proxy ends the connection behind its answer, or at once if the client ends before
const hostile: Record<string, [said: Uint8Array, answer: number[]]> = {
  "no method": [Uint8Array.of(5, 0), [5, 0xff]],
  "no method that it takes": [Uint8Array.of(5, 2, 1, 2), [5, 0xff]],
  "BIND": [request(2, 0, 1, 127, 0, 0, 1, 0, 80), reply(7)],
  "UDP ASSOCIATE": [request(3, 0, 1, 127, 0, 0, 1, 0, 80), reply(7)],
  "command 0": [request(0, 0, 1, 127, 0, 0, 1, 0, 80), reply(7)],
  "address type 2": [request(1, 0, 2, 127, 0, 0, 1, 0, 80), reply(8)],
  "port 0": [request(1, 0, 1, 127, 0, 0, 1, 0, 0), reply(1)],
  "an empty name": [request(1, 0, 3, 0, 0, 80), reply(1)],
  "a name with a slash": [request(1, 0, 3, 3, ...bytes("a/b"), 0, 80), reply(1)],
  "a name with NUL": [request(1, 0, 3, 3, ...bytes("a\0b"), 0, 80), reply(1)],
  "a name that is no UTF-8": [request(1, 0, 3, 2, 0xc3, 0x28, 0, 80), reply(1)],
  "another version in the request": [Uint8Array.of(5, 1, 0, 4, 1, 0, 1, 127, 0, 0, 1, 0, 80), reply(1)],
};

for (const [name, [said, answer]] of Object.entries(hostile)) {
  test(`SOCKS5: ${name} is refused`, () =>
    withLocalProxy({}, async ({ dial, proxy }) => {
      const raw = await dial(said);
      assertEquals([...await raw.read(answer.length)], answer);
      raw.end();
      assertEquals(await raw.finish(), { bytes: new Uint8Array(), ending: "end" });
      assertEquals(proxy.connections.length, 0);
    }));
}

test("SOCKS5: a handshake that is cut off anywhere is hung up on", () =>
  withLocalProxy({}, async ({ dial, proxy }) => {
    const whole = request(1, 0, 3, 3, ...bytes("a.b"), 0, 80);
    for (let length = 1; length < whole.length; length++) {
      const raw = await dial(whole.subarray(0, length));
      raw.end();
      assertEquals((await raw.finish()).ending, "end");
    }
    assertEquals(proxy.connections.length, 0);
  }));

test(
  "SOCKS5: names, IPv4 and IPv6 go as what they are",
  () =>
    withLocalProxy({ proxy: { rules: () => ({ rep: 5 }) } }, async ({ dial, proxy }) => {
      const v6 = [0x20, 1, 0xd, 0xb8, ...new Array<number>(11).fill(0), 1];
      const addresses = [
        [3, 8, ...bytes("WEB.test")],
        [1, 192, 0, 2, 7],
        [4, ...v6],
        [3, 9, ...bytes("192.0.2.7")],
        [3, 12, ...bytes("bücher.test")],
      ];
      for (const address of addresses) {
        const raw = await dial(request(1, 0, ...address, 1, 187));
        assertEquals([...await raw.read(12)], reply(5));
        raw.close();
        await raw.finish();
      }
      assertEquals(proxy.connections.map((it) => it.request).map((it) => [it!.atyp, it!.hostname, it!.port]), [
        [3, "web.test", 443],
        [1, "192.0.2.7", 443],
        [4, "2001:db8::1", 443],
        [1, "192.0.2.7", 443],
        [3, "xn--bcher-kva.test", 443],
      ]);
    }),
  { skip: noIpv6 },
);

for (const rep of [1, 2, 3, 4, 5, 6, 7, 8, 9, 0xf4, 0xff]) {
  test(`SOCKS5: REP ${rep} of the proxy is that of the local proxy; over HTTP it is a 502`, () =>
    withLocalProxy({ proxy: { rules: () => ({ rep }) } }, async ({ dial, ask }) => {
      const raw = await dial(Uint8Array.of(5, 1, 0, ...socksRequest("web.test", 80)));
      assertEquals([...await raw.read(12)], reply(rep));
      raw.end();
      await raw.finish();
      const answer = await ask("CONNECT web.test:80 HTTP/1.1\r\n\r\n");
      assertMatch(
        answer,
        /^HTTP\/1.1 502 Bad Gateway\r\nProxy-Status: socks5; error=[a-z_]+; next-hop="web.test:80"\r\n[^]*\(SOCKS5_TARGET_/,
      );
    }));
}

test("a connect that takes too long is a 504, and REP 06", () =>
  withLocalProxy({ proxy: { rules: () => "silence" }, client: { timeout: 100 } }, async ({ dial, ask }) => {
    const socks = await dial(Uint8Array.of(5, 1, 0, ...socksRequest("web.test", 80)));
    assertMatch(
      await ask("CONNECT web.test:80 HTTP/1.1\r\n\r\n"),
      /^HTTP\/1.1 504 Gateway Timeout\r\nProxy-Status: socks5; error=connection_timeout; next-hop="[^"]+"\r\n[^]*\(SOCKS5_TIMEOUT\)\n$/,
    );
    assertEquals([...await socks.read(12)], reply(6));
    socks.close();
    await socks.finish();
  }));

test("a proxy that is down is a 502, and REP 01; nothing that is said names it", () =>
  withLocalProxy({}, async ({ dial, ask, proxy }) => {
    await proxy.stop();
    const answer = await ask("GET http://web.test/ HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n");
    assertMatch(answer, /^HTTP\/1.1 502 [^]*\(SOCKS5_PROXY_UNREACHABLE\)\n$/);
    assertEquals(answer.includes(String(proxy.port)), false);
    const socks = await dial(Uint8Array.of(5, 1, 0, ...socksRequest("web.test", 80)));
    assertEquals([...await socks.read(12)], reply(1));
    socks.close();
    await socks.finish();
  }));

// RFC 1928 section 6; a TargetError that has the REP of a reply passes it on
const told: Record<Socks5ErrorCode, [status: number, rep: number, type: string, text: RegExp]> = {
  SOCKS5_PROXY_UNREACHABLE: [502, 1, "proxy_internal_error", /^The SOCKS5 proxy was not reached$/],
  SOCKS5_PROXY_HUNG_UP: [502, 1, "proxy_internal_error", /^The SOCKS5 proxy hung up$/],
  SOCKS5_PROXY_NOT_SOCKS5: [502, 1, "proxy_configuration_error", /^The SOCKS5 proxy does not speak SOCKS5$/],
  SOCKS5_PROXY_BAD_METHOD: [502, 1, "proxy_internal_error", /^The SOCKS5 proxy answered wrongly$/],
  SOCKS5_PROXY_BAD_REPLY: [502, 1, "proxy_internal_error", /^The SOCKS5 proxy answered wrongly$/],
  SOCKS5_LOCAL_NOT_PERMITTED: [502, 1, "proxy_configuration_error", /^The local proxy may not open connections$/],
  SOCKS5_LOCAL_FAILED: [502, 1, "proxy_internal_error", /^The local proxy cannot open a connection$/],
  SOCKS5_AUTH_NO_METHOD: [502, 2, "proxy_configuration_error", /^The SOCKS5 proxy wants another authentication$/],
  SOCKS5_AUTH_REFUSED: [502, 2, "proxy_configuration_error", /^The SOCKS5 proxy refused the credentials$/],
  SOCKS5_AUTH_FAILED: [502, 2, "proxy_configuration_error", /^The authentication with the SOCKS5 proxy failed$/],
  SOCKS5_TARGET_FAILED: [502, 1, "destination_unavailable", /^The target was not reached$/],
  SOCKS5_TARGET_NOT_ALLOWED: [502, 2, "destination_ip_prohibited", /does not allow this target$/],
  SOCKS5_TARGET_NET_UNREACHABLE: [502, 3, "destination_ip_unroutable", /^The network of the target is unreachable$/],
  SOCKS5_TARGET_HOST_UNREACHABLE: [502, 4, "destination_unavailable", /^The target is unreachable, or its name/],
  SOCKS5_TARGET_REFUSED: [502, 5, "connection_refused", /^The target refused the connection$/],
  SOCKS5_TARGET_TTL_EXPIRED: [502, 6, "connection_timeout", /^The target did not answer in time$/],
  SOCKS5_TARGET_BAD_COMMAND: [502, 7, "proxy_configuration_error", /does not know CONNECT$/],
  SOCKS5_TARGET_BAD_ADDRESS_TYPE: [502, 8, "destination_unavailable", /does not know this type of address$/],
  SOCKS5_TARGET_UNKNOWN_REPLY: [502, 1, "destination_unavailable", /^The target was not reached$/],
  SOCKS5_TARGET_NO_REPLY: [502, 1, "destination_unavailable", /hung up instead of a reply$/],
  SOCKS5_TARGET_NOT_FOUND: [502, 4, "dns_error", /^The name of the target is unknown$/],
  SOCKS5_TARGET_ONION_NOT_FOUND: [502, 4, "destination_unavailable", /^The onion service was not reached$/],
  SOCKS5_TARGET_ONION_IS_INVALID: [502, 4, "destination_unavailable", /^The onion service/],
  SOCKS5_TARGET_ONION_BAD_ADDRESS: [502, 4, "destination_unavailable", /^The onion service/],
  SOCKS5_TARGET_ONION_INTRO_FAILED: [502, 4, "destination_unavailable", /^The onion service/],
  SOCKS5_TARGET_ONION_INTRO_TIMEDOUT: [502, 4, "destination_unavailable", /^The onion service/],
  SOCKS5_TARGET_ONION_REND_FAILED: [502, 4, "destination_unavailable", /^The onion service/],
  SOCKS5_TARGET_ONION_MISSING_CLIENT_AUTH: [502, 4, "destination_unavailable", /^The onion service/],
  SOCKS5_TARGET_ONION_BAD_CLIENT_AUTH: [502, 4, "destination_unavailable", /^The onion service/],
  SOCKS5_TLS_UNTRUSTED: [502, 1, "tls_certificate_error", /^The certificate of the SOCKS5 proxy is not trusted$/],
  SOCKS5_TLS_WRONG_NAME: [502, 1, "tls_certificate_error", /^The certificate of the SOCKS5 proxy is for another name$/],
  SOCKS5_TLS_EXPIRED: [502, 1, "tls_certificate_error", /^The certificate of the SOCKS5 proxy has expired/],
  SOCKS5_TLS_NOT_TLS: [502, 1, "tls_protocol_error", /^The SOCKS5 proxy does not speak TLS$/],
  SOCKS5_TLS_PLAINTEXT: [502, 1, "tls_protocol_error", /^The SOCKS5 proxy sent something before TLS$/],
  SOCKS5_TLS_REFUSED: [502, 1, "tls_alert_received", /^The SOCKS5 proxy refused TLS$/],
  SOCKS5_TLS_HUNG_UP: [502, 1, "tls_protocol_error", /^The SOCKS5 proxy hung up while TLS was started$/],
  SOCKS5_TLS_FAILED: [502, 1, "tls_protocol_error", /^TLS with the SOCKS5 proxy failed$/],
  SOCKS5_TIMEOUT: [504, 6, "connection_timeout", /^There was no connection in time$/],
  SOCKS5_ATTEMPT_TIMEOUT: [504, 6, "connection_timeout", /^There was no connection in time$/],
  SOCKS5_CLIENT_CLOSED: [503, 1, "proxy_internal_error", /^The local proxy is closing$/],
  SOCKS5_CONN_CLOSED: [502, 1, "connection_terminated", /^The connection was closed$/],
  SOCKS5_CONN_RESET: [502, 1, "connection_terminated", /^The connection was reset$/],
};

test("every code has a status, a REP, a type of RFC 9209 and a text", async () => {
  let code: Socks5ErrorCode;
  const connect = () => Promise.reject(socks5Error(code, "secret", { phase: "dial" }));
  await using localProxy = await serve({ connect });
  for (code of Object.keys(POLICY) as Socks5ErrorCode[]) {
    const [status, rep, type, what] = told[code] ?? [];
    assert(what, `${code} is not told`);
    const http = await connectRaw(localProxy);
    await http.write(bytes("CONNECT web.test:80 HTTP/1.1\r\n\r\n"));
    const [, ...answer] = /^HTTP\/1.1 (\d+) [^]*?error=([a-z_]+)[^]*\r\n\r\n(.*) \((\w+)\)\n$/.exec(
      text((await http.finish()).bytes),
    ) ?? [];
    assertEquals(answer, [String(status), type, answer[2], code]);
    assertMatch(answer[2]!, what);
    const socks = await connectRaw(localProxy);
    await socks.write(Uint8Array.of(5, 1, 0, ...socksRequest("web.test", 80)));
    assertEquals([...await socks.read(12)], reply(rep!));
    socks.close();
    await socks.finish();
  }
});

test("a REP that the proxy sent is passed on, and of other errors nothing", () => {
  const error = new TargetError("SOCKS5_TARGET_ONION_NOT_FOUND", "message", { phase: "request", rep: 0xf0 });
  assertEquals(mapError(error).rep, 0xf0);
  assertEquals(mapError(new Error("secret")).text, "The connection failed");
});

const own = [
  "127.0.0.1",
  "localhost",
  "LOCALHOST",
  "a.localhost",
  "127.9.9.9",
  "0.0.0.0",
  "[::1]",
  "[::]",
  "[::ffff:127.0.0.1]",
];

for (const hostname of own) {
  test(`the local proxy does not connect to itself as ${hostname}`, () =>
    withLocalProxy({}, async ({ ask, dial, localProxy, proxy }) => {
      const answer = await ask(`CONNECT ${hostname}:${localProxy.port} HTTP/1.1\r\n\r\n`);
      assertMatch(answer, /^HTTP\/1.1 502 [^]*error=proxy_loop_detected; next-hop="[^"]+"\r\n/);
      assertMatch(
        await ask(`GET http://${hostname}:${localProxy.port}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`),
        /^HTTP\/1.1 502 /,
      );
      const socks = await dial(Uint8Array.of(5, 1, 0, ...socksRequest(hostname, localProxy.port)));
      assertEquals([...await socks.read(12)], reply(2));
      socks.close();
      await socks.finish();
      assertEquals(proxy.connections.length, 0);
    }));
}

test("the local proxy connects to another port of loopback", () =>
  withTarget(startEcho(), (echo) =>
    withLocalProxy({}, async ({ dial }) => {
      const raw = await dial(`CONNECT ${echo.address} HTTP/1.1\r\n\r\nping`);
      assertMatch(await readHead(raw), /^HTTP\/1.1 200 /);
      assertEquals(text(await raw.read(4)), "ping");
      raw.end();
      await raw.finish();
    })));
