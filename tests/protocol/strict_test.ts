import { assertEquals, assertInstanceOf, assertMatch, assertStringIncludes } from "@std/assert";
import { TargetError } from "../../mod.ts";
import { parseTarget } from "../../src/protocol/address.ts";
import { identify } from "../../src/attempt/handshake.ts";
import { converse } from "../../src/attempt/converse.ts";
import { ProtocolError, socks5Error, type Socks5ErrorCode } from "../../src/errors.ts";
import { CMD, command, REP, reply, select, userPass } from "../../src/protocol/messages.ts";
import { parseProxy } from "../../src/config/proxy_url.ts";
import type { Steps } from "../../src/protocol/steps.ts";
import { test } from "../support/test.ts";
import { alice, bound, connect } from "./vectors.ts";
import { boundOf, bytes, faultOf, firstStep, Line } from "./line.ts";

// RFC 1928 section 6
const REPLIES: [rep: number, code: Socks5ErrorCode, message: string][] = [
  [0x01, "SOCKS5_TARGET_FAILED", "general failure of the proxy (REP 01)"],
  [0x02, "SOCKS5_TARGET_NOT_ALLOWED", "not allowed by the rules of the proxy (REP 02)"],
  [0x03, "SOCKS5_TARGET_NET_UNREACHABLE", "network unreachable (REP 03)"],
  [0x04, "SOCKS5_TARGET_HOST_UNREACHABLE", "host unreachable (REP 04)"],
  [0x05, "SOCKS5_TARGET_REFUSED", "connection refused by the target (REP 05)"],
  [0x06, "SOCKS5_TARGET_TTL_EXPIRED", "TTL expired (REP 06)"],
  [0x07, "SOCKS5_TARGET_BAD_COMMAND", "the proxy does not support the command (REP 07)"],
  [0x08, "SOCKS5_TARGET_BAD_ADDRESS_TYPE", "the proxy does not support the address type (REP 08)"],
  [0xf0, "SOCKS5_TARGET_ONION_NOT_FOUND", "the descriptor of the onion service was not found (REP F0)"],
  [0xf1, "SOCKS5_TARGET_ONION_IS_INVALID", "the descriptor of the onion service is invalid (REP F1)"],
  [0xf2, "SOCKS5_TARGET_ONION_INTRO_FAILED", "the introduction to the onion service failed (REP F2)"],
  [0xf3, "SOCKS5_TARGET_ONION_REND_FAILED", "the rendezvous with the onion service failed (REP F3)"],
  [0xf4, "SOCKS5_TARGET_ONION_MISSING_CLIENT_AUTH", "the onion service wants a key, and the proxy has none (REP F4)"],
  [
    0xf5,
    "SOCKS5_TARGET_ONION_BAD_CLIENT_AUTH",
    "the onion service wants another key than that of the proxy (REP F5)",
  ],
  [0xf6, "SOCKS5_TARGET_ONION_BAD_ADDRESS", "the onion address is invalid (REP F6)"],
  [0xf7, "SOCKS5_TARGET_ONION_INTRO_TIMEDOUT", "the introduction to the onion service timed out (REP F7)"],
];

test("each REP has its code, its message and the class TargetError", async () => {
  for (const [rep, code, message] of REPLIES) {
    const fault = await faultOf(() => reply(), Uint8Array.of(5, rep));
    assertEquals([fault.code, fault.message, fault.rep], [code, message, rep]);
    const error = socks5Error(fault.code, fault.message, { phase: "request", rep: fault.rep });
    assertInstanceOf(error, TargetError);
    assertEquals(error.rep, rep);
  }
  assertEquals(Object.keys(REP).map(Number), REPLIES.map(([rep]) => rep));
});

test("a REP that neither the RFC nor tor names is a refusal with a code of its own", async () => {
  for (let rep = 0x09; rep <= 0xff; rep++) {
    if (rep in REP) continue;
    const fault = await faultOf(() => reply(), Uint8Array.of(5, rep));
    assertEquals([fault.code, fault.rep], ["SOCKS5_TARGET_UNKNOWN_REPLY", rep]);
    assertEquals(
      fault.message,
      `the proxy refused with a code of its own (REP ${rep.toString(16).toUpperCase().padStart(2, "0")})`,
    );
  }
});

test("a request has any command in CMD", () => {
  for (const cmd of [CMD.CONNECT, CMD.BIND, CMD.UDP_ASSOCIATE, 0x09]) {
    assertEquals(
      firstStep(command(cmd, parseTarget("1.2.3.4:5"))).write,
      Uint8Array.of(5, cmd, 0, 1, 1, 2, 3, 4, 0, 5),
    );
  }
  assertEquals(CMD, { CONNECT: 0x01, BIND: 0x02, UDP_ASSOCIATE: 0x03, RESOLVE: 0xf0, RESOLVE_PTR: 0xf1 });
});

test("tolerant: RSV of a reply may be anything", async () => {
  for (let rsv = 0; rsv < 256; rsv++) {
    const answer = Uint8Array.of(5, 0, rsv, 1, 127, 0, 0, 1, 0, 80);
    assertEquals(boundOf(await converse(new Line([answer]), reply())), bound("127.0.0.1", 80));
  }
});

test("tolerant: VER of the answer to user name and password may be 5, STATUS decides", async () => {
  for (const ver of [1, 5]) {
    await converse(new Line([Uint8Array.of(ver, 0)]), userPass(alice));
    const fault = await faultOf(() => userPass(alice), Uint8Array.of(ver, 1));
    assertEquals(fault.code, "SOCKS5_AUTH_REFUSED");
  }
});

test("strict: VER of the answer to user name and password other than 1 and 5 is malformed", async () => {
  for (let ver = 0; ver < 256; ver++) {
    if (ver === 1 || ver === 5) continue;
    for (const status of [0, 1, 0x54]) {
      const fault = await faultOf(() => userPass(alice), Uint8Array.of(ver, status));
      assertEquals(fault.code, "SOCKS5_PROXY_BAD_REPLY");
    }
  }
});

test("strict: every STATUS but 0 is a refusal", async () => {
  for (let status = 1; status < 256; status++) {
    const fault = await faultOf(() => userPass(alice), Uint8Array.of(1, status));
    assertEquals(fault.code, "SOCKS5_AUTH_REFUSED");
    const hex = status.toString(16).toUpperCase().padStart(2, "0");
    assertEquals(fault.message, `the proxy refused the user name or password (STATUS ${hex})`);
  }
});

test("tolerant: any address type may be bound, whatever was asked", async () => {
  const replies: [string, string][] = [
    ["01 7F000001 0050", "127.0.0.1"],
    ["03 01 61 0050", "a"],
    ["03 00 0050", ""],
    ["04 00000000000000000000000000000001 0050", "::1"],
  ];
  for (const target of ["1.2.3.4:80", "example.com:80", "[2001:db8::1]:80"]) {
    for (const [address, bndAddr] of replies) {
      const reply = await converse(new Line([bytes(`05 00 00 ${address}`)]), connect(target)());
      assertEquals(boundOf(reply), bound(bndAddr, 80));
    }
  }
});

test("tolerant: a refusal may be cut short anywhere after REP", async () => {
  for (const [rep, code] of REPLIES) {
    const whole = Uint8Array.of(5, rep, 0, 1, 0, 0, 0, 0, 0, 0);
    for (let length = 2; length <= whole.length; length++) {
      assertEquals((await faultOf(connect("a:1"), whole.subarray(0, length))).code, code);
    }
  }
});

test("tolerant: a refusal may have a nonsense ATYP", async () => {
  for (let atyp = 0; atyp < 256; atyp++) {
    assertEquals((await faultOf(connect("a:1"), Uint8Array.of(5, 5, 0, atyp))).code, "SOCKS5_TARGET_REFUSED");
  }
});

test("strict: a method that was not offered is refused", async () => {
  for (const methods of [[0x00], [0x02], [0x00, 0x02], [0x80]]) {
    for (let method = 0; method < 0xff; method++) {
      if (methods.includes(method)) continue;
      const fault = await faultOf(() => select(methods), Uint8Array.of(5, method));
      assertEquals(fault.code, "SOCKS5_PROXY_BAD_METHOD");
      const hex = method.toString(16).toUpperCase().padStart(2, "0");
      assertEquals(fault.message, `the proxy chose a method that was not offered (05 ${hex})`);
    }
  }
});

test("strict: no acceptable method says that credentials are wanted, if none were given", async () => {
  const none = await faultOf(() => select([0x00]), Uint8Array.of(5, 0xff));
  assertStringIncludes(none.message, "(05 FF): it wants credentials, and none were given");
  for (const methods of [[0x02], [0x00, 0x02]]) {
    const fault = await faultOf(() => select(methods), Uint8Array.of(5, 0xff));
    assertEquals([fault.code, fault.message.endsWith("(05 FF)")], ["SOCKS5_AUTH_NO_METHOD", true]);
  }
  const offered = await faultOf(() => select([0xff]), Uint8Array.of(5, 0xff));
  assertEquals(offered.code, "SOCKS5_AUTH_NO_METHOD", "FF is no method, even if it was offered");
});

test("strict: VER other than 5 is no SOCKS5, and in a reply it is malformed", async () => {
  for (let ver = 0; ver < 256; ver++) {
    if (ver === 5) continue;
    for (const second of [0x00, 0x02, 0x54, 0xff]) {
      const answer = Uint8Array.of(ver, second);
      assertEquals((await faultOf(() => select([0x00, 0x02]), answer)).code, "SOCKS5_PROXY_NOT_SOCKS5");
      assertEquals((await faultOf(connect("a:1"), answer)).code, "SOCKS5_PROXY_BAD_REPLY");
    }
  }
});

test("strict: a success with an ATYP other than 1, 3 and 4 is malformed", async () => {
  for (let atyp = 0; atyp < 256; atyp++) {
    if (atyp === 1 || atyp === 3 || atyp === 4) continue;
    const fault = await faultOf(connect("a:1"), Uint8Array.of(5, 0, 0, atyp, 0, 0, 0, 0, 0, 0));
    assertEquals(fault.code, "SOCKS5_PROXY_BAD_REPLY");
    assertStringIncludes(fault.message, `unknown ATYP (${atyp.toString(16).toUpperCase().padStart(2, "0")})`);
  }
});

test("strict: credentials are never dropped silently", () => {
  const without = parseProxy("socks5h://h");
  const withThem = parseProxy("socks5h://u:p@h");
  const own = alice;
  const cases = [
    [identify(without, undefined, { auth: "optional", methods: [] }), [0x00], null],
    [identify(withThem, undefined, { auth: "optional", methods: [] }), [0x00, 0x02], withThem.credentials],
    [identify(withThem, undefined, { auth: "required", methods: [] }), [0x02], withThem.credentials],
    [identify(withThem, own, { auth: "optional", methods: [] }), [0x02], own],
    [identify(without, own, { auth: "optional", methods: [] }), [0x02], own],
    [identify(withThem, null, { auth: "optional", methods: [] }), [0x00], null],
  ] as const;
  for (const [{ methods, credentials }, offered, used] of cases) {
    assertEquals<unknown>([methods, credentials], [offered, used]);
  }
});

// what answers on a port that somebody took for that of a SOCKS5 proxy
const STRANGERS: [who: string, answer: string, message: string][] = [
  ["HTTP", "HTTP/1.1 400 Bad Request\r\n", "an HTTP server answered (48 54)"],
  ["SSH", "SSH-2.0-OpenSSH_9.2p1\r\n", "an SSH server answered (53 53)"],
  ["TLS, an alert", "\x15\x03\x01\x00\x02\x02\x46", "a TLS server answered (15 03)"],
  ["SOCKS4, a refusal", "\x00\x5b\x00\x00\x00\x00\x00\x00", "a SOCKS4 server answered (00 5B)"],
  ["SOCKS4, its own version", "\x04\x5b", "a SOCKS4 server answered (04 5B)"],
  ["SMTP", "220 mail.test ESMTP\r\n", "what answered is not a SOCKS5 proxy (32 32)"],
  ["a quote", '""', "what answered is not a SOCKS5 proxy (22 22)"],
  ["tor, pipelined", "\x01\x00", "what answered is not a SOCKS5 proxy (01 00)"],
  ["escape sequences", "\x1b[2J", "what answered is not a SOCKS5 proxy (1B 5B)"],
  ["high bytes", "\x9b\xff", "what answered is not a SOCKS5 proxy (9B FF)"],
];

test("a server that speaks something else is named in the message", async () => {
  for (const [who, answer, message] of STRANGERS) {
    const fault = await faultOf(() => select([0x00]), Uint8Array.from(answer, (c) => c.charCodeAt(0)));
    assertEquals([fault.code, fault.message], ["SOCKS5_PROXY_NOT_SOCKS5", message], who);
  }
});

test("whatever a proxy answers, the message is short and safe to print", async () => {
  const pieces: (() => Steps<unknown>)[] = [() => select([0x00]), () => userPass(alice), () => reply()];
  for (let first = 0; first < 256; first++) {
    for (const second of [0x00, 0x05, 0x1b, 0x22, 0x41, 0x5c, 0x7f, 0x9b, 0xff]) {
      for (const steps of pieces) {
        const answer = Uint8Array.of(first, second, 0, second, 0, 0, 0, 0, 0, 0);
        const fault = await converse(new Line([answer]), steps()).then(() => null, (error: unknown) => error);
        if (fault === null) continue;
        assertInstanceOf(fault, ProtocolError);
        assertMatch(fault.message, /^[ -~]{1,120}$/);
      }
    }
  }
});
