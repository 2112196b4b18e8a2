import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { HOSTILE_NAMES } from "../support/hostile_names.ts";
import { Socks5Client } from "../../mod.ts";
import {
  ATYP,
  decodeHost,
  formatHostPort,
  isPort,
  parseHost,
  parseTarget,
  splitHostPort,
  type Target,
  Targets,
} from "../../src/protocol/address.ts";
import { test } from "../support/test.ts";

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const fromHex = (text: string): Uint8Array => Uint8Array.from(text.match(/\w\w/g) ?? [], (byte) => parseInt(byte, 16));

/** What comes out of a host: `"atyp hostname"`, or the reason why none does. */
function outcome(host: string): string {
  const parsed = parseHost(host);
  return typeof parsed === "string" ? parsed : `${parsed.atyp} ${parsed.hostname}`;
}

const REFUSED = {
  character: "the host name has an invalid character",
  malformed: "the host name is malformed",
  ipv4: "an IPv4 address has four decimal numbers from 0 to 255",
  ipv6: "an IPv6 address is malformed or has a zone id",
} as const;

test("a target is host and port in one string, or the parts", () => {
  const cases: [Target, string, number][] = [
    ["example.com:80", "example.com", 80],
    ["localhost:1", "localhost", 1],
    ["a:65535", "a", 65535],
    ["127.0.0.1:8080", "127.0.0.1", 8080],
    ["[::1]:443", "::1", 443],
    [{ hostname: "example.com", port: 443 }, "example.com", 443],
    [{ hostname: "::1", port: 443 }, "::1", 443],
    [{ hostname: "[::1]", port: 443 }, "::1", 443],
    ["example.com:00443", "example.com", 443],
  ];
  for (const [target, hostname, port] of cases) {
    const parsed = parseTarget(target);
    assertEquals([parsed.hostname, parsed.port], [hostname, port]);
  }
});

test("a name goes out as ATYP 3 in lower case, as its bytes", () => {
  const cases: [string, string][] = [
    ["example.com", "example.com"],
    ["EXAMPLE.Com", "example.com"],
    ["localhost", "localhost"],
    ["_dmarc.example.com", "_dmarc.example.com"],
    ["a-b--c.example", "a-b--c.example"],
    ["example.com.", "example.com."], // the root label is the proxy's to understand
    ["1e3.com", "1e3.com"],
    ["1.2.3.4.com", "1.2.3.4.com"],
    ["0xzz", "0xzz"],
    ["a.0b", "a.0b"],
    ["cafe", "cafe"],
    ["xn--mnchen-3ya.test", "xn--mnchen-3ya.test"],
    ["xn--a", "xn--a"], // no A-label, but nobody asked for IDNA
    ["a.b!c*d", "a.b!c*d"],
  ];
  for (const [text, hostname] of cases) {
    assertEquals(parseHost(text), { hostname, atyp: ATYP.DOMAIN, addr: ascii(hostname) });
  }
});

test("a name outside ASCII goes out as its A-labels (IDNA)", () => {
  const cases: [string, string][] = [
    ["münchen.test", "xn--mnchen-3ya.test"],
    ["MÜNCHEN.Test", "xn--mnchen-3ya.test"],
    ["mu\u0308nchen.test", "xn--mnchen-3ya.test"], // composed first
    ["faß.de", "xn--fa-hia.de"], // not transitional
    ["☃.net", "xn--n3h.net"],
    ["I♥NY.de", "xn--iny-zx5a.de"],
    ["例え。テスト", "xn--r8jz45g.xn--zckzah"], // the ideographic full stop is a dot
    ["a．example", "a.example"], // so is the full-width one
    ["ｅｘａｍｐｌｅ.com", "example.com"],
    ["نامه\u200cای.com", "xn--mgba3gch31f060k.com"], // a joiner where the script needs it
    ["ü.example.", "xn--tda.example."],
    ["xn--mnchen-3ya.ü", "xn--mnchen-3ya.xn--tda"],
  ];
  for (const [text, hostname] of cases) {
    assertEquals(parseHost(text), { hostname, atyp: ATYP.DOMAIN, addr: ascii(hostname) });
  }
});

test("a name that IDNA refuses is refused", () => {
  const names = ["\ud800.test", "a\u200db", "a\u200cb", "\u0301a", "1א", "\u0378.test", "xn--a.ü"];
  for (const name of names) assertEquals(outcome(name), REFUSED.malformed, JSON.stringify(name));
});

test("an IPv4 address goes out as ATYP 1", () => {
  for (const text of ["0.0.0.0", "1.2.3.4", "127.0.0.1", "192.0.2.255", "255.255.255.255", "10.20.30.99"]) {
    assertEquals(parseHost(text), {
      hostname: text,
      atyp: ATYP.IPV4,
      addr: Uint8Array.from(text.split("."), Number),
    });
  }
});

test("an IPv4 address is four decimal numbers and nothing else", () => {
  const bad = [
    "127.1",
    "0x7f.1",
    "0x7f.0.0.1",
    "0X7F000001",
    "01.2.3.4",
    "1.2.3.04",
    "0177.0.0.1",
    "1.2.3",
    "1.2.3.256",
    "1.2.3.4.5",
    "1.2.3.4.",
    "1..2.3",
    "2130706433",
    "1",
    "0",
    "0x",
    "a.1",
    "a.0x1f",
    "example.0x",
    "999.999.999.999",
    "1.2.3.4e0.5",
  ];
  for (const text of bad) {
    assertEquals(outcome(text), text.includes("..") ? REFUSED.malformed : REFUSED.ipv4, text);
  }
  for (const text of ["１２７.0.0.1", "①27.0.0.1", "127。0。0。１", "ü.1", "ü.0x", "１"]) {
    assertEquals(outcome(text), REFUSED.malformed, text);
  }
  for (const text of ["127\u00ad.0.0.1", "-1.2.3.4 ", "+1.2.3.4/8", "[1.2.3.4]"]) {
    assert(outcome(text).startsWith("the host name has") || outcome(text).startsWith("brackets"), text);
  }
});

// RFC 4291 section 2.2 (the text forms) and RFC 5952 section 4 (the one that is shown)
const IPV6: [text: string, hostname: string, addr: string][] = [
  ["ABCD:EF01:2345:6789:ABCD:EF01:2345:6789", "abcd:ef01:2345:6789:abcd:ef01:2345:6789", "abcdef0123456789".repeat(2)],
  ["2001:DB8:0:0:8:800:200C:417A", "2001:db8::8:800:200c:417a", "20010db8000000000008 0800200c417a"],
  ["2001:DB8::8:800:200C:417A", "2001:db8::8:800:200c:417a", "20010db8000000000008 0800200c417a"],
  ["FF01:0:0:0:0:0:0:101", "ff01::101", "ff01 0000000000000000000000000101"],
  ["FF01::101", "ff01::101", "ff01 0000000000000000000000000101"],
  ["0:0:0:0:0:0:0:1", "::1", "00000000000000000000000000000001"],
  ["::1", "::1", "00000000000000000000000000000001"],
  ["0:0:0:0:0:0:0:0", "::", "00000000000000000000000000000000"],
  ["::", "::", "00000000000000000000000000000000"],
  ["0:0:0:0:0:0:13.1.68.3", "::d01:4403", "000000000000000000000000 0d014403"],
  ["::13.1.68.3", "::d01:4403", "000000000000000000000000 0d014403"],
  ["64:ff9b::192.0.2.33", "64:ff9b::c000:221", "0064ff9b0000000000000000 c0000221"],
  ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304", "00010002000300040005000601020304"],
  ["1::", "1::", "00010000000000000000000000000000"],
  ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0", "00010002000300040005000600070000"],
  ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8", "00000002000300040005000600070008"],
  ["1::8", "1::8", "00010000000000000000000000000008"],
  ["fe80::0001", "fe80::1", "fe800000000000000000000000000001"],
  ["2001:0db8::0001", "2001:db8::1", "20010db8000000000000000000000001"], // 4.1 leading zeros
  ["2001:db8:0:0:0:0:2:1", "2001:db8::2:1", "20010db8000000000000000000020001"], // 4.2.1 as short as can be
  ["2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1", "20010db8000000010001000100010001"], // 4.2.2 not for one group
  ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1", "20010000000000010000000000000001"], // 4.2.3 the longest run
  ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1", "20010db8000000000001000000000001"], // 4.2.3 the first among equals
  ["2001:DB8::AAAA", "2001:db8::aaaa", "20010db800000000000000000000aaaa"], // 4.3 lower case
];

test("an IPv6 address goes out as ATYP 4 whatever its text form, and is shown as RFC 5952 says", () => {
  for (const [text, hostname, addr] of IPV6) {
    const expected = { hostname, atyp: ATYP.IPV6, addr: fromHex(addr) };
    assertEquals(parseHost(text), expected, text);
    assertEquals(parseHost(`[${text}]`), expected, text);
    assertEquals(parseTarget(`[${text}]:443`), { ...expected, port: 443, name: `[${hostname}]:443` });
    assertEquals(decodeHost(ATYP.IPV6, fromHex(addr)), hostname);
    assertEquals(parseHost(hostname), expected, "the canonical form is its own canonical form");
  }
});

test("an IPv4-mapped IPv6 address goes out as the IPv4 address that a connection to it uses", () => {
  for (const text of ["::ffff:192.0.2.1", "::FFFF:c000:201", "0:0:0:0:0:ffff:192.0.2.1", "0::0:ffff:c000:0201"]) {
    assertEquals(parseHost(text), { hostname: "192.0.2.1", atyp: ATYP.IPV4, addr: Uint8Array.of(192, 0, 2, 1) });
  }
  for (const text of ["::fffe:192.0.2.1", "::1:ffff:192.0.2.1", "::ffff:0:192.0.2.1", "::192.0.2.1"]) {
    assertEquals(outcome(text).slice(0, 1), "4", text);
  }
});

test("a malformed IPv6 address and one with a zone id are refused", () => {
  const bad = [
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1::2::3",
    ":::",
    ":",
    "1:",
    ":1",
    "::00001",
    "::12345",
    "::g",
    "1:2:3:4:5:6:7:1.2.3.4",
    "::1.2.3",
    "::1.2.3.4.5",
    "::1.2.3.256",
    "::1.2.3.04",
    "::1.2.3.4:5",
    "1.2.3.4::",
    "::1.2.3.4.",
    "fe80::1%eth0",
    "fe80::1%25eth0",
    "fe80::1%",
    "::0x1",
    "::1]",
    "::-1",
  ];
  for (const text of bad) assertEquals(outcome(text), REFUSED.ipv6, text);
  for (const text of ["[fe80::1%eth0]", "[::g]", "[:]"]) assertEquals(outcome(text), REFUSED.ipv6, text);
});

test("brackets are for IPv6 addresses alone", () => {
  for (const text of ["[example.com]", "[1.2.3.4]", "[]", "[[::1]]", "[a b]"]) {
    assertEquals(outcome(text), "brackets are for IPv6 addresses", text);
  }
  for (const text of ["[::1", "[example.com", "example.com]", "[", "]", "a[::1]"]) {
    assertEquals(outcome(text), REFUSED.character, text);
  }
});

test("a host with a character that could lead elsewhere is refused", () => {
  const controls = [...Array.from({ length: 0x20 }, (_, i) => i), ...Array.from({ length: 0x21 }, (_, i) => 0x7f + i)];
  const spaces = [0x20, 0xa0, 0x1680, 0x2000, 0x2003, 0x2009, 0x200a, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000, 0xfeff];
  const invisible = [0xad, 0x61c, 0x180e, 0x200b, 0x200e, 0x202e, 0x2060, 0x2064, 0x2066, 0xe0001, 0xe0041];
  const characters = [
    ..."/?#@\\%:<>^|[]",
    ...[...controls, ...spaces, ...invisible].map((c) => String.fromCodePoint(c)),
  ];
  for (const c of characters) {
    for (const host of [`evil.test${c}example.com`, `evil.test${c}`, `${c}evil.test`, `ü${c}.test`, `1.2.3.4${c}`]) {
      assert(typeof parseHost(host) === "string", JSON.stringify(host));
      assertThrows(() => parseTarget({ hostname: host, port: 443 }), TypeError);
      assertThrows(() => parseTarget(`${host}:443`), TypeError);
    }
  }
});

test("a character that IDNA would make a forbidden one of is refused", () => {
  // full-width forms of / ? # @ \ % : [ ] < > ^ |, and signs that stand for several characters
  for (const c of "／？＃＠＼％：［］＜＞＾｜℀℁℅℆⁈‥…") {
    for (const host of [`evil.test${c}example.com`, `evil.test${c}`, `${c}evil.test`, `ü${c}.test`]) {
      assertEquals(outcome(host), REFUSED.malformed, JSON.stringify(host));
    }
  }
});

test("percent escapes, user names, paths and ports do not lead to another host", () => {
  const bad = ["%65xample.com", "user@evil.com", "evil.com/foo", "a?b", "a#b", "a\\b", "ex\tample.com", "a\nb", "a:b"];
  for (const hostname of bad) assertThrows(() => parseTarget({ hostname, port: 80 }), TypeError);
  for (
    const target of ["http://example.com:80", "//example.com:80", "example.com:80/", "example.com:80:80", "a@b:80"]
  ) {
    assertThrows(() => parseTarget(target), TypeError);
  }
});

test("a name has at most 255 bytes after IDNA", () => {
  const name = (length: number) => "a.".repeat(200).slice(0, length - 1) + "b";
  assertEquals(parseTarget({ hostname: name(255), port: 1 }).addr.length, 255);
  assertThrows(() => parseTarget({ hostname: name(256), port: 1 }), TypeError, "longer than 255 bytes");
  const wide = (length: number) => "ａ．".repeat(200).slice(0, length - 1) + "ｂ"; // three bytes each as UTF-8
  assertEquals(parseTarget({ hostname: wide(255), port: 1 }).addr.length, 255);
  assertThrows(() => parseTarget({ hostname: wide(256), port: 1 }), TypeError, "longer than 255 bytes");
  const shrinking = `a${"\ufe0f".repeat(2_000)}b`; // IDNA would make "ab" of it, and takes its time for such names
  assertThrows(() => parseTarget({ hostname: shrinking, port: 1 }), TypeError, "longer than 255 bytes");
  const umlauts = (labels: number) => "ü.".repeat(labels) + "test"; // "xn--tda." is 8 bytes
  assertEquals(parseTarget({ hostname: umlauts(31), port: 1 }).addr.length, 252);
  assertThrows(() => parseTarget({ hostname: umlauts(32), port: 1 }), TypeError, "longer than 255 bytes");
});

test("a name has no empty label but the last", () => {
  for (const text of [".", "..", ".a", "a..b", "a..", "。", "a。。b", ".ü", "ü..", "ü.．a"]) {
    assertEquals(outcome(text), REFUSED.malformed, text);
  }
});

test("a port is a number from 1 to 65535", () => {
  for (const port of [1, 80, 65535]) {
    assert(isPort(port));
    assertEquals(parseTarget({ hostname: "a", port }).port, port);
    assertEquals(parseTarget(`a:${port}`).port, port);
  }
  for (const port of [0, -1, 65536, 1.5, NaN, Infinity, -Infinity, 2 ** 32 + 80]) {
    assert(!isPort(port));
    assertThrows(() => parseTarget({ hostname: "a", port }), RangeError, "the port must be 1 to 65535");
  }
  for (const target of ["a:0", "a:65536", "a:99999999999999999999999", `a:${"9".repeat(400)}`, "[::1]:0"]) {
    assertThrows(() => parseTarget(target), RangeError, "the port must be 1 to 65535");
  }
  for (const port of ["80", null, true, 80n, {}]) {
    assertThrows(() => parseTarget({ hostname: "a", port: port as number }), TypeError, "the port must be a number");
  }
});

test("a port that is missing is said to be", () => {
  for (const target of ["example.com", "127.0.0.1", "::1", "[::1]", "::1:443", "", "example.com:", "a:http", "a:8０"]) {
    assertThrows(
      () => parseTarget(target),
      TypeError,
      "the port is missing or malformed (IPv6 needs brackets: [::1]:443)",
    );
  }
  assertThrows(() => parseTarget({ hostname: "a" } as Target), TypeError, "the port is missing");
  assertThrows(() => parseTarget(":80"), TypeError, "the host name is missing");
});

test("a target of a wrong type is refused", () => {
  for (const target of [undefined, null, 80, 80n, true, Symbol("a"), () => {}]) {
    assertThrows(() => parseTarget(target as unknown as Target), TypeError, "a string or { hostname, port }");
  }
  for (const hostname of [undefined, null, 5, ["a"], { toString: () => "a" }, ""]) {
    const target = { hostname, port: 80 } as unknown as Target;
    assertThrows(() => parseTarget(target), TypeError, "the host name is missing");
  }
  assertThrows(() => parseTarget({ path: "/run/x.sock" }), TypeError, "SOCKS5 cannot address a unix socket");
  assertThrows(() => parseTarget(new URL("http://example.com:81") as unknown as Target), TypeError, "must be a number");
  assertThrows(() => parseTarget(["example.com", 80] as unknown as Target), TypeError, "the port is missing");
});

test("a message shows a target whose port is wrong, and of anything else what it is", () => {
  const cases: [unknown, string][] = [
    ["A.test:0", '"a.test:0"'],
    ["[::1]:65536", '"[::1]:65536"'],
    [{ hostname: "a", port: 0 }, '"a:0"'],
    [{ hostname: "münchen.test", port: NaN }, '"xn--mnchen-3ya.test:NaN"'],
    ["example.com", "a string"],
    ["", "an empty string"],
    [{ hostname: "a b", port: 80 }, "an object"],
    [{ path: "/run/x" }, "an object"],
    [["a", 80], "an array"],
    [null, "null"],
    [undefined, "undefined"],
    [80, "80"],
    [Symbol("a"), "a symbol"],
    [80n, "a bigint"],
    ["a:100000", "a string"], // it may be user and password
    ["a\u001b[31m\u009b\u202e\u2028b:80", "a string"],
    [`${"a".repeat(10_000)}:0`, "a string"],
  ];
  for (const [target, shown] of cases) {
    const { message } = assertThrows(() => parseTarget(target as Target), Error);
    assertStringIncludes(message, 'Cannot parse target as "host:port", ');
    assert(message.endsWith(`: current value is ${shown}`), message);
    // deno-lint-ignore no-control-regex
    assert(!/[\x00-\x1f\x7f-\x9f\u2028\u202e]/.test(message), "a message is safe to print");
  }
});

test("a message shows nothing of what may hold a password", () => {
  const targets = [
    "example.com:80:user:hunter2",
    "[::1]:80:user:hunter2",
    "192.0.2.1:80:hunter2:",
    "user:hunter2@example.com:80",
    "hunter2@example.com",
    "example.com@hunter2:80",
    { hostname: "user:hunter2@a", port: 80 },
    { hostname: "a b", port: 80, credentials: { username: "u", password: "hunter2" } },
    { hostname: "a b", port: 80, password: "hunter2" },
    { hostname: "a", port: { password: "hunter2" } },
    { path: "/run/x", username: "hunter2" },
    new URL("http://user:hunter2@example.com:80"),
  ];
  for (const target of targets) {
    const error = assertThrows(() => parseTarget(target as Target), TypeError);
    assert(!`${error.message} ${error.stack} ${error.cause}`.includes("hunter2"), error.message);
  }
});

test("connect() and check() refuse a bad target before any I/O", async () => {
  let dials = 0;
  const transport = { connect: () => Promise.reject(new Error(`dialled ${++dials}`)) };
  const client = new Socks5Client("socks5h://127.0.0.1:1080", { transport, retry: 0 });
  const bad: [unknown, typeof TypeError | typeof RangeError][] = [
    ["example.com", TypeError],
    ["a/b:80", TypeError],
    ["a:0", RangeError],
    [{ path: "/run/x" }, TypeError],
    [null, TypeError],
  ];
  for (const [target, expected] of bad) {
    for (const run of [() => client.connect(target as Target), () => client.check(target as Target)]) {
      const error = await run().then(() => null, (error: unknown) => error);
      assert(error instanceof expected, String(error));
    }
  }
  assertEquals(dials, 0);
});

test("a hostile host, however long, is refused at once", () => {
  const n = 50_000;
  const hosts = [":", "1:", "a.", "1.", "0x", "[", "]", "-", "ü", "ü.", "%41", "\u00ad"].map((s) =>
    s.repeat(n / s.length)
  );
  for (const host of hosts.flatMap((host) => [host, `${host} `, `[${host}]`, `[${host} ]`, `${host}/`, `${host}x`])) {
    const start = performance.now();
    assert(typeof parseHost(host) === "string");
    splitHostPort(`${host}:80`);
    assertThrows(() => parseTarget({ hostname: host, port: 80 }), TypeError);
    const ms = performance.now() - start;
    assert(ms < 1_000, `${host.slice(0, 5)}… took ${ms} ms`);
  }
});

test("host and port are split at the last colon outside of brackets, or not at all", () => {
  const cases: [string, string, number | undefined][] = [
    ["a:80", "a", 80],
    ["a", "a", undefined],
    [":80", "", 80],
    ["", "", undefined],
    ["[::1]:80", "[::1]", 80],
    ["[::1]", "[::1]", undefined],
    ["::1", "::1", undefined],
    ["a:", "a:", undefined],
    ["a:b:80", "a:b:80", undefined],
    ["a:-1", "a:-1", undefined],
    ["a: 80", "a: 80", undefined],
    ["a:80\n", "a:80\n", undefined],
    ["a:1e3", "a:1e3", undefined],
    ["[a:80", "[a", 80],
  ];
  for (const [text, hostname, port] of cases) assertEquals(splitHostPort(text), { hostname, port }, text);
});

test("host and port are joined with brackets around IPv6", () => {
  assertEquals(formatHostPort("example.com", 80), "example.com:80");
  assertEquals(formatHostPort("127.0.0.1", 80), "127.0.0.1:80");
  assertEquals(formatHostPort("::1", 80), "[::1]:80");
});

test("a bound address is decoded whatever its type", () => {
  const cases: [number, string, string][] = [
    [ATYP.IPV4, "00000000", "0.0.0.0"],
    [ATYP.IPV4, "7f0000ff", "127.0.0.255"],
    [ATYP.IPV6, "00".repeat(16), "::"],
    [ATYP.IPV6, "20010db8000000000000000000000001", "2001:db8::1"],
    [ATYP.IPV6, "00000000000000000000ffffc0000201", "::ffff:c000:201"],
    [ATYP.DOMAIN, "", ""],
    [ATYP.DOMAIN, "6578616d706c652e636f6d", "example.com"],
    [ATYP.DOMAIN, "4558", "EX"],
  ];
  for (const [atyp, addr, text] of cases) assertEquals(decodeHost(atyp, fromHex(addr)), text);
});

test("a name from a proxy is made of letters, digits, hyphens, underscores and dots, or it is none", () => {
  const named = (text: string) => decodeHost(ATYP.DOMAIN, Uint8Array.from(text, (c) => c.charCodeAt(0)));
  for (const name of ["a", "A-b.example", "_dmarc.example.", "x_y.z", "127.0.0.1", "a".repeat(255)]) {
    assertEquals(named(name), name);
  }
  for (const text of HOSTILE_NAMES) assertEquals(named(text), "", text);
  for (let byte = 0; byte < 256; byte++) {
    const text = `a${String.fromCharCode(byte)}b`;
    assertEquals(named(text), /^a[\w.-]b$/.test(text) ? text : "");
  }
});
test("a target that was asked for before is not parsed again, and is what it was", () => {
  const targets = new Targets();
  for (const text of ["Example.COM:80", "[::1]:443", "1.2.3.4:5"]) {
    const address = targets.parse(text);
    assertEquals(address, parseTarget(text));
    assert(targets.parse(text) === address);
  }
  assertEquals(targets.parse("example.com:80"), targets.parse("Example.COM:80"));
});

test("a target in parts is parsed each time: whoever made it may change it", () => {
  const targets = new Targets();
  const target = { hostname: "a.test", port: 80 };
  assertEquals(targets.parse(target).name, "a.test:80");
  target.hostname = "b.test";
  assertEquals(targets.parse(target).name, "b.test:80");
});

test("a target that is malformed is so each time, and nothing of it is remembered", () => {
  const targets = new Targets();
  for (const target of ["a", "a:0", "a:80:80", "", 5, null, undefined, { path: "/x" }] as Target[]) {
    for (let i = 0; i < 2; i++) assertThrows(() => targets.parse(target), Error, "Cannot parse target");
  }
});

test("a hundred targets are remembered and never more, whatever comes", () => {
  const targets = new Targets();
  const text = (i: number) => `host-${i}.test:80`;
  const first = Array.from({ length: 100 }, (_, i) => targets.parse(text(i)));
  for (const [i, address] of first.entries()) assert(targets.parse(text(i)) === address, text(i));
  for (let i = 100; i < 1_000; i++) assertEquals(targets.parse(text(i)), parseTarget(text(i)));
  for (const [i, address] of first.entries()) {
    const again = targets.parse(text(i));
    assert(again !== address, `${text(i)} was remembered beyond a thousand others`);
    assertEquals(again, address);
  }
});
