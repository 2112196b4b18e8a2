import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { parseProxyList, type ProxySpec, Socks5Client } from "../../mod.ts";
import { listedProxies } from "../../src/config/proxy_list.ts";
import { parseProxy } from "../../src/config/proxy_url.ts";
import { test } from "../support/test.ts";

const utf8 = new TextDecoder();

/** A line as what is dialed and sent: `"user:password at host:port"`. */
function outcome(line: string): string {
  const [url, ...more] = parseProxyList(line);
  assertEquals(more, []);
  const { name, credentials, tls } = parseProxy(url!);
  const at = `${tls === null ? "" : "TLS "}${name}`;
  return credentials === null ? at : `${utf8.decode(credentials.uname)}:${utf8.decode(credentials.passwd)} at ${at}`;
}

const lines: [line: string, expected: string][] = [
  ["socks5h://u:p@a.test:1081", "u:p at a.test:1081"],
  ["socks5://u:p@a.test", "u:p at a.test:1080"],
  ["SOCKS://a.test", "a.test:1080"],
  ["socks5h+tls://u:p@a.test", "u:p at TLS a.test:1080"],
  ["socks5h://u:p@[::1]:9", "u:p at [::1]:9"],
  ["socks5h://localhost/run/tor/socks", "/run/tor/socks"],
  ["socks5h://u:a%20b%3A@a.test", "u:a b: at a.test:1080"],
  ["192.0.2.1:1080", "192.0.2.1:1080"],
  ["A.Test:9", "a.test:9"],
  ["münchen.test:9", "xn--mnchen-3ya.test:9"],
  ["localhost:9", "localhost:9"],
  ["[2001:DB8::1]:9", "[2001:db8::1]:9"],
  ["192.0.2.1:1080:u:p", "u:p at 192.0.2.1:1080"],
  ["a.test:1080:u:p", "u:p at a.test:1080"],
  ["cafe:1080:u:p", "u:p at cafe:1080"],
  ["[::1]:1080:u:p", "u:p at [::1]:1080"],
  ["a.test:1080:u:", "u: at a.test:1080"],
  ["a.test:1080:u:p:q:", "u:p:q: at a.test:1080"],
  ["a.test:1080:u:p@ss", "u:p@ss at a.test:1080"],
  ["a.test:1080:u@b.test:p", "u@b.test:p at a.test:1080"],
  ["a.test:1080:u:p@ss:", "u:p@ss: at a.test:1080"],
  ["a.test:1080:u:http://p", "u:http://p at a.test:1080"],
  ["a.test:1080:u%41:100%", "u%41:100% at a.test:1080"],
  ["a.test:1080:u/?\\:#p#", "u/?\\:#p# at a.test:1080"],
  ["a.test:1080:ü:€", "ü:€ at a.test:1080"],
  ["a.test:1080:u:\ud800", "u:\ufffd at a.test:1080"],
  ["u:p@a.test:1080", "u:p at a.test:1080"],
  ["u:p@192.0.2.1:1080", "u:p at 192.0.2.1:1080"],
  ["u:p@[::1]:1080", "u:p at [::1]:1080"],
  ["u:1080@a.test:1080", "u:1080 at a.test:1080"],
  ["u@a.test:1080", "u: at a.test:1080"],
  ["u:p:q@a.test:1080", "u:p:q at a.test:1080"],
  ["u:p@q@a.test:1080", "u:p@q at a.test:1080"],
  ["u@b.test:p@a.test:1080", "u@b.test:p at a.test:1080"],
  ["u%3A:%70@a.test:1080", "u::p at a.test:1080"],
  // a password that is a port number: the third part can be no host, or the first one cannot
  ["a.test:1080:u:65535", "u:65535 at a.test:1080"],
  ["192.0.2.1:1080:user:1", "user:1 at 192.0.2.1:1080"],
  ["[::1]:1080:user:1", "user:1 at [::1]:1080"],
  ["proxy:1080:user:65536", "user:65536 at proxy:1080"],
  ["proxy:1080:user:123456", "user:123456 at proxy:1080"],
];

test("a line of a list is read in each of the forms in which proxies are sold", () => {
  for (const [line, expected] of lines) {
    assertEquals(outcome(line), expected, line);
    assertEquals(outcome(`\t ${line} \t# a comment`), expected, line);
  }
});

test("a list has comments, blank lines, any kind of line end, and gives URLs in its order", () => {
  const text = "\uFEFF# sold on Monday\r\n\r\n a.test:1:u:p#q \r\n\t\n#b.test:2\nu:p@c.test:3\t#\rd.test:4 # # x\r \r";
  const urls = ["socks5h://u:p%23q@a.test:1", "socks5h://u:p@c.test:3", "socks5h://d.test:4"];
  const list: ProxySpec[] = parseProxyList(text);
  assertEquals(list, urls);
  assertEquals(listedProxies(text).map(({ line }) => line), [3, 6, 7]);
  assertEquals(new Socks5Client(list).stats().proxies.map(({ proxy }) => proxy), ["a.test:1", "c.test:3", "d.test:4"]);
  for (const empty of ["", "\uFEFF", "\n", " \r\n#\n\t# x"]) assertEquals(parseProxyList(empty), []);
  assertEquals(listedProxies("a.test:1  # mine \r\n")[0]!.text, "a.test:1  # mine ");
});

const FORMS = "a line is host:port, host:port:user:password, user:password@host:port or a URL";
const TWO_WAYS = "it can be read in two ways and must be a URL (socks5h://user:password@host:1080)";
const BRACKETS = "an IPv6 address needs brackets: [::1]:1080";
const HOST_FIRST = "host and port come first: host:port:user:password";

const wrong: [line: string, why: string][] = [
  ["http://alice:sesame@secret.test:1", "the scheme must be socks5h, socks5 or socks, or socks5h+tls or socks5+tls"],
  ["socks4://secret.test:1080", "the scheme must be socks5h"],
  ["socks5h://secret.test:1080:alice:sesame", "user name and password come before the host"],
  ["socks5h://secret.test:99999", "the port must be 1 to 65535"],
  ["socks5h://secret.test:1080/#sesame", "nothing may follow the port"],
  ["secret.test:0", "the port must be 1 to 65535"],
  ["secret.test:65536:alice:sesame", "the port must be 1 to 65535"],
  ["secret.test:9999999999999999999999", "the port must be 1 to 65535"],
  ["secret.test", FORMS],
  ["secret.test:", FORMS],
  ["secret.test:http", FORMS],
  ["secret.test:1080:", FORMS],
  ["secret.test:1080:alice", FORMS],
  ["alice:sesame@secret.test", FORMS],
  ["alice:sesame@", FORMS],
  ["@", FORMS],
  [":", FORMS],
  [":1080", FORMS],
  ["secret.test/x:1080", FORMS],
  ["localhost/run/secret:1080", FORMS],
  ["//secret.test:1080", FORMS],
  ["socks5h:secret.test:1080", FORMS],
  ["alice:sesame:secret.test:1080", HOST_FIRST],
  ["alice:sesame:[::1]:1080", HOST_FIRST],
  ["secret.test:1080::sesame", "the user name must have 1 to 255 bytes of UTF-8"],
  [`secret.test:1080:${"x".repeat(256)}:sesame`, "the user name must have 1 to 255 bytes of UTF-8"],
  [`secret.test:1080:alice:${"ü".repeat(128)}`, "the password must have at most 255 bytes of UTF-8"],
  ["secret_.test:1080 192.0.2.1:1080", "there is white space in it"],
  ["192.0.2.1\t1080", "there is white space in it"],
  ["secret.test:1080:alice:open sesame", "there is white space in it, which only a URL may have (socks5h://user:"],
  ["192.0.2.256:1080", "an IPv4 address has four decimal numbers"],
  ["192.0.2:1080:alice:sesame", "an IPv4 address has four decimal numbers"],
  ["-\u0000:1080", "the host name has an invalid character"],
  ["\u001b[2J:1080", FORMS],
  ["[secret]:1080", "brackets are for IPv6 addresses"],
  ["[fe80::1%eth0]:1080", "an IPv6 address is malformed or has a zone id"],
  ["::1:1080", BRACKETS],
  ["2001:db8::1", BRACKETS],
  ["2001:db8::1:1080", BRACKETS],
  ["dead:1080:a:b:c:d:e:f", BRACKETS],
  ["dead:1080:a:b:c:d:e:f:1080", BRACKETS],
  ["alice:sesame/?@secret.test:1080", "user name and password must be percent-encoded where they have / ? # or \\"],
  // host:port:user:password, or user:password@host:port
  ["192.0.2.1:1080:alice:sesame@secret.test:1080", TWO_WAYS],
  ["secret.test:1080:alice:p@ss:1", TWO_WAYS],
  ["alice:1234:sesame@secret.test:1080", TWO_WAYS],
  // host:port:user:password, or user:password:host:port
  ["alice:1234:192.0.2.1:1080", TWO_WAYS],
  ["alice:1234:secret.test:1080", TWO_WAYS],
  ["alice:1234:[::1]:1080", TWO_WAYS],
  ["alice:1234:secret:1080", TWO_WAYS],
  ["alice.x:1234:secret.test:1080", TWO_WAYS],
];

test("a line that is none of the forms, or more than one, is told by its number, and nothing of it is shown", () => {
  for (const [line, why] of wrong) {
    const { message } = assertThrows(() => parseProxyList(`# mine\n\n${line}\na.test:1`), TypeError) as Error;
    assertMatch(message, /^Cannot use line 3 as [^:]*, .*: current value is \(redacted\)$/);
    assert(message.includes(why), `${line}: ${message}`);
    assert(!/alice|sesame|secret|192|99999|dead|2001/.test(message), message);
  }
});

test("what is no text is no list", () => {
  for (const text of [undefined, null, 1, ["a.test:1"], new Uint8Array(1)]) {
    assertThrows(
      () => parseProxyList(text as unknown as string),
      TypeError,
      "Cannot use text as a list of proxies: current value",
    );
  }
});

test("a list of 10,000 proxies is read, and long lines take no longer for each character", () => {
  const text = Array.from({ length: 10_000 }, (_, i) => `gate-${i}.test:1080:user-${i}:p${i}`).join("\n");
  const list = parseProxyList(text);
  assertEquals([list.length, list[9_999]], [10_000, "socks5h://user-9999:p9999@gate-9999.test:1080"]);
  // each of these would take minutes if a step began anew at each character
  for (
    const part of [" ", "@", ":", "[", "]", "1", "a:1", "@a:1", "]:1", " #", "#", "%41", "\t", "::", "ü", ".", "\ud800"]
  ) {
    const long = part.repeat(300_000);
    for (
      const line of [long, `${long}x`, `a.test:1:u:${long}`, `${long}@a.test:1`, `[${long}]:1`, `socks5h://${long}`]
    ) {
      try {
        assert(parseProxyList(line).length <= 1);
      } catch (error) {
        assertMatch((error as Error).message, /^Cannot use line 1 as .*\(redacted\)$/, part);
      }
    }
  }
});

test("the constructor points to parseProxyList() for what is sold", () => {
  for (const sold of ["a.test:1080:alice:sesame", "[::1]:1080:alice:sesame", "alice:sesame@a.test:1080"]) {
    const { message } = assertThrows(() => new Socks5Client(sold), TypeError) as Error;
    assert(message.includes("parseProxyList() reads host:port:user:password"), message);
    assert(!/alice|sesame|a\.test/.test(message), message);
    assertEquals(parseProxyList(sold).length, 1);
  }
});
