import { assert, assertEquals, assertNotStrictEquals, assertThrows } from "@std/assert";
import { inspect } from "node:util";
import { type RequestEvent, Socks5Client, Socks5Error } from "../../mod.ts";
import { encodeCredentials, parseProxy, type Proxy, type ProxySpec } from "../../src/config/proxy_url.ts";
import type { Conn } from "../../src/transport.ts";
import { test } from "../support/test.ts";
import { ofRequests } from "../support/request_events.ts";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** A proxy as one line: `"user:password at host:port"`, with the endpoint that is dialled checked against the name. */
function outcome(spec: ProxySpec): string {
  const { endpoint, name, credentials } = parseProxy(spec);
  if ("path" in endpoint) assertEquals(endpoint.path, name);
  else assertEquals(endpoint.hostname.includes(":"), name.startsWith("["));
  return credentials === null ? name : `${text(credentials.uname)}:${text(credentials.passwd)} at ${name}`;
}

test("a proxy URL has one of three schemes in any case, which mean the same", () => {
  for (const scheme of ["socks5h", "socks5", "socks", "SOCKS5H", "Socks5", "SOCKS"]) {
    assertEquals(outcome(`${scheme}://u:p@127.0.0.1:1081`), "u:p at 127.0.0.1:1081");
  }
});

test("a proxy URL without a scheme, or with another one, is refused", () => {
  for (const url of ["127.0.0.1:1080", "proxy.test", "socks5:proxy.test:1080", "//proxy.test", "://proxy.test", ""]) {
    assertThrows(() => parseProxy(url), TypeError, "the scheme is missing (socks5h://host:port)");
  }
  for (const scheme of ["http", "https", "socks4", "socks4a", "socks5s", "socks5hh", "socks55", "ss", "xsocks5"]) {
    assertThrows(() => parseProxy(`${scheme}://proxy.test:1080`), TypeError, "the scheme must be socks5h, socks5 or");
  }
});

test("a proxy URL is read in each of its forms", () => {
  const cases: [string, string][] = [
    ["socks5h://proxy.test", "proxy.test:1080"], // the port of RFC 1928 section 3
    ["socks5h://proxy.test/", "proxy.test:1080"],
    ["socks5h://proxy.test:1/", "proxy.test:1"],
    ["socks5h://proxy.test:65535", "proxy.test:65535"],
    ["socks5h://PROXY.Test:1080", "proxy.test:1080"],
    ["socks5h://proxy.test.:1080", "proxy.test.:1080"],
    ["socks5h://[::1]", "[::1]:1080"],
    ["socks5h://[2001:DB8:0::1]:9", "[2001:db8::1]:9"],
    ["socks5h://[::ffff:192.0.2.1]:9", "192.0.2.1:9"],
    ["socks5h://u:p@[::1]:9", "u:p at [::1]:9"],
    ["socks5h://münchen.test", "xn--mnchen-3ya.test:1080"],
    ["socks5h://u@MÜNCHEN.test:9", "u: at xn--mnchen-3ya.test:9"],
    ["socks5h://m%C3%BCnchen.test", "xn--mnchen-3ya.test:1080"], // as `URL` writes it
    ["socks5h://@proxy.test", "proxy.test:1080"],
  ];
  for (const [url, expected] of cases) assertEquals(outcome(url), expected, url);
});

test("user name and password of a proxy URL are percent-decoded once, and what is no escape stays", () => {
  const cases: [string, string][] = [
    ["u", "u:"],
    ["u:", "u:"], // an empty password and none are the same
    ["u:p", "u:p"],
    ["u:p:q", "u:p:q"], // the first colon divides
    ["u%3Ax:p%3Ay", "u:x:p:y"],
    ["u@x:p@y", "u@x:p@y"], // the last at sign divides
    ["u:@", "u:@"],
    ["u%40x:p%40", "u@x:p@"],
    ["a%20b:%2F%3F%23%5C", "a b:/?#\\"],
    ["%75%73%65%72:%70", "user:p"],
    ["%C3%BC:p%e2%82%ac", "ü:p€"],
    ["ü:€", "ü:€"],
    ["u:100%", "u:100%"],
    ["u:%zz%4", "u:%zz%4"],
    ["u:%ff", "u:%ff"], // no UTF-8
    ["u:a%c3b", "u:a%c3b"],
    ["u:%2541", "u:%41"],
    ["u:a+b", "u:a+b"],
    ["u:a b\tc", "u:a b\tc"],
    ["u:%00", "u:\0"],
    ["u:[::1]:9", "u:[::1]:9"],
  ];
  for (const [userInfo, expected] of cases) {
    assertEquals(outcome(`socks5h://${userInfo}@proxy.test`), `${expected} at proxy.test:1080`, userInfo);
  }
});

test("a proxy URL with a path, a query or a fragment is refused", () => {
  const rests = [
    "/x",
    "//",
    "/?x",
    "?x",
    "?",
    "#x",
    "#",
    "/#",
    "\\x",
    "/\\",
    ":1080/x",
    ":1080//",
    ":1080?x",
    ":1080/#",
  ];
  for (const rest of rests) {
    for (const host of ["proxy.test", "u:p@proxy.test", "[::1]", "127.0.0.1", "cafe"]) {
      assertThrows(() => parseProxy(`socks5h://${host}${rest}`), TypeError, "Cannot use proxy as SOCKS5 proxy");
    }
  }
});

test("a unix socket is the path of a URL whose host is localhost, as curl writes it", () => {
  const cases: [string, string][] = [
    ["socks5h://localhost/run/tor/socks", "/run/tor/socks"],
    ["socks5://LocalHost/run/tor/socks", "/run/tor/socks"],
    ["socks://u:p@localhost/run/tor/socks", "u:p at /run/tor/socks"],
    ["socks5h://u%40:@localhost/a", "u@: at /a"],
    ["socks5h://@localhost/a", "/a"],
    ["socks5h://localhost/run/with%20space%3F%23%5C%40%2525", "/run/with space?#\\@%25"],
    ["socks5h://localhost/m%C3%BCnchen/%E2%82%AC", "/münchen/€"],
    ["socks5h://localhost/münchen", "/münchen"],
    ["socks5h://localhost/100%/%zz", "/100%/%zz"],
    ["socks5h://localhost//run//x", "//run//x"],
    ["socks5h://localhost/.x/..y/z...", "/.x/..y/z..."],
    ["socks5h://localhost/a:1080", "/a:1080"],
    [`socks5h://localhost/${"x".repeat(106)}`, `/${"x".repeat(106)}`],
    [`socks5h://localhost/${"%C3%BC".repeat(53)}`, `/${"ü".repeat(53)}`],
    ["socks5h://localhost/", "localhost:1080"],
    ["socks5h://localhost:9/", "localhost:9"],
  ];
  for (const [url, expected] of cases) {
    assertEquals(outcome(url), expected, url);
    assertEquals(parseProxy(new URL(url)), parseProxy(url), url);
  }
});

test("a URL of a unix socket that is anything else is refused, and shows nothing", () => {
  const cases: [string, string][] = [
    ["localhost:1080/run/x", "nothing may follow the port"],
    ["host/run/x", "nothing may follow the port (a unix socket is written localhost/path)"],
    ["localhost./run/x", "nothing may follow the port"],
    ["127.0.0.1/run/x", "nothing may follow the port"],
    ["[::1]/run/x", "nothing may follow the port"],
    ["%6cocalhost/run/x", "nothing may follow the port"],
    ["/run/x", "nothing may follow the port"],
    ["localhost/../x", "the path has . or .. in it"],
    ["localhost/a/./x", "the path has . or .. in it"],
    ["localhost/a/..", "the path has . or .. in it"],
    ["localhost/a/%2e%2E/x", "the path has . or .. in it"],
    ["localhost/a%2F..%2Fx", "the path has . or .. in it"],
    ["localhost/a%00b", "the path is malformed"],
    ["localhost/%00", "the path is malformed"],
    ["localhost/a%0Ab", "the path is malformed"],
    ["localhost/a%1b[2Jb", "the path is malformed"],
    ["localhost/a?b", "must be percent-encoded"],
    ["localhost/a#b", "must be percent-encoded"],
    ["localhost/a?", "must be percent-encoded"],
    ["localhost/a\\b", "must be percent-encoded"],
    ["localhost/a b", "must be percent-encoded"],
    ["localhost/a\n", "must be percent-encoded"],
    ["localhost\\run", "an invalid character"],
    ["localhost?/run", "nothing may follow the port"],
    ["localhost#/run", "nothing may follow the port"],
    ["localhost/a@b", "must be percent-encoded"],
  ];
  for (const [rest, wrong] of cases) {
    for (const url of [`socks5h://${rest}`, `socks5h://canary:s3cr3t@${rest}`]) {
      const error = assertThrows(() => parseProxy(url), TypeError, wrong);
      assert(error.message.endsWith(": current value is (redacted)"), error.message);
      for (const part of ["canary", "s3cr3t", "run/x"]) assert(!inspect(error).includes(part), `${part} is shown`);
    }
  }
  for (const path of [`${"x".repeat(107)}`, "%C3%BC".repeat(54), "€".repeat(36)]) {
    for (const spec of [`socks5h://u:p@localhost/${path}`, new URL(`socks5h://localhost/${path}`)]) {
      assertThrows(() => parseProxy(spec), RangeError, "the path has more than 107 bytes");
    }
  }
});

test("a URL says with +tls that TLS is spoken with the proxy, which is the name that its certificate is for", () => {
  const cases: [string, string, string][] = [
    ["socks5+tls://Proxy.test", "proxy.test:1080", "proxy.test"],
    ["socks5h+tls://u:p@proxy.test.:443", "u:p at proxy.test.:443", "proxy.test"],
    ["SOCKS5H+TLS://münchen.test", "xn--mnchen-3ya.test:1080", "xn--mnchen-3ya.test"],
    ["socks5+tls://192.0.2.7", "192.0.2.7:1080", "192.0.2.7"],
    ["socks5+tls://[2001:DB8::7]:9", "[2001:db8::7]:9", "2001:db8::7"],
    ["socks5h+tls://localhost/", "localhost:1080", "localhost"],
  ];
  for (const [url, expected, serverName] of cases) {
    assertEquals([outcome(url), parseProxy(url).tls], [expected, { serverName }], url);
    assertEquals(parseProxy(new URL(url)), parseProxy(url), url);
  }
  for (const url of ["socks5h://h", "socks5://h", "socks://h", "socks5h://localhost/a"]) {
    assertEquals(parseProxy(url).tls, null);
  }
  for (const scheme of ["socks+tls", "socks5+ssl", "socks5+tls+tls", "socks5tls", "tls+socks5", "+tls", "socks4+tls"]) {
    assertThrows(() => parseProxy(`${scheme}://h`), TypeError, scheme === "+tls" ? "is missing" : "the scheme must be");
  }
});

test("the parts of a proxy may have options of TLS, for a host and port only", () => {
  const tls = { serverName: "other.test" };
  assertEquals(parseProxy({ hostname: "h", port: 9, tls: true }).tls, { serverName: "h" });
  assertEquals(parseProxy({ hostname: "h", port: 9, tls }).tls, tls);
  for (const none of [false, undefined]) assertEquals(parseProxy({ hostname: "h", port: 9, tls: none }).tls, null);
  assertEquals(parseProxy({ path: "/a", tls: false }).tls, null);
  const wrong = "Cannot use proxy as SOCKS5 proxy, TLS needs a host and a port: current value is (redacted)";
  assertThrows(() => parseProxy({ path: "/a", tls: true }), TypeError, wrong);
  assertThrows(() => parseProxy({ path: "/a", tls }), TypeError, wrong);
  assertThrows(() => parseProxy("socks5h+tls://localhost/a"), TypeError, wrong);
  assertThrows(() => parseProxy({ hostname: "h", port: 9, tls: { key: "k" } }), TypeError, "Cannot use proxy.tls.key");
});

test("what only seems to be user name and password is refused", () => {
  for (const url of ["proxy.test/x@evil.test", "u:p/x@proxy.test", "proxy.test?@evil.test", "a#@b", "a\\@b", "/@b"]) {
    assertThrows(() => parseProxy(`socks5h://${url}`), TypeError, "must be percent-encoded where they have");
  }
});

test("a proxy with a malformed host is refused", () => {
  const hosts = [
    ...["", ":1080", "u:p@", "u:p@:1080", "a b", "a\tb", "a\nb", " a", "<a>", "a..b", "a／b", "x".repeat(256)],
    ...["a%20b", "%61.test", "a%2fb", "a%00b", "a%C2%A0b", "a%C2%ADb", "a%ff", "*%"],
    ...["127.1", "0x7f.1", "1.2.3.256", "[::1", "::1]:1080", "[fe80::1%25eth0]", "[127.0.0.1]"],
  ];
  for (const host of hosts) {
    assertThrows(() => parseProxy(`socks5h://${host}`), TypeError, "Cannot use proxy as SOCKS5 proxy");
  }
  for (
    const url of [" socks5h://a", "\tsocks5h://a", "socks5h ://a", "socks5h:// a", "socks5h://a\r\n", "socks5h://a "]
  ) {
    assertThrows(() => parseProxy(url), TypeError, "Cannot use proxy as SOCKS5 proxy");
  }
});

test("what follows the host of a proxy is a port, and an IPv6 address has brackets", () => {
  const hosts = ["::1", "::1:1080", "2001:db8::1", "u:p@::1", "a::", "a:b", "a: 1080", "a:1080 ", "a:-1"];
  for (const host of [...hosts, "a:１", "a:1e3"]) {
    const wrong = "the port is malformed, or an IPv6 address has no brackets";
    assertThrows(() => parseProxy(`socks5h://${host}`), TypeError, wrong);
  }
});

test("the port of a proxy is a number from 1 to 65535", () => {
  for (const port of [0, 65536, 99999999999]) {
    assertThrows(() => parseProxy(`socks5h://proxy.test:${port}`), RangeError, "the port must be 1 to 65535");
  }
  for (const port of [0, -1, 65536, 1.5, NaN, Infinity]) {
    assertThrows(() => parseProxy({ hostname: "proxy.test", port }), RangeError, "the port must be 1 to 65535");
  }
  for (const port of ["1080", true, 1080n, {}]) {
    const spec = { hostname: "proxy.test", port } as unknown as ProxySpec;
    assertThrows(() => parseProxy(spec), TypeError, "the port must be a number");
  }
});

test("a proxy may be a URL object, and gives what its text gives", () => {
  const urls = [
    "socks5h://proxy.test",
    "socks5://u:p@PROXY.test:9",
    "SOCKS5://u@[2001:DB8::1]:9",
    "socks5://u:@127.0.0.1/",
    "socks5://MÜNCHEN.test:1080",
    "socks5://ü:€@h",
    "socks5://u:p@q@h",
    "socks5://u:a b%zz%ff@h",
    "socks://h:00080",
  ];
  for (const url of urls) assertEquals(parseProxy(new URL(url)), parseProxy(url), url);
  for (
    const url of [
      "http://proxy.test",
      "socks5://h/x",
      "socks5://h?x",
      "socks5://a%20b",
      "socks5:h",
      "socks5://a\u00adb",
    ]
  ) {
    assertThrows(() => parseProxy(new URL(url)), TypeError, "Cannot use proxy as SOCKS5 proxy");
  }
});

test("a proxy may be given as its parts", () => {
  const cases: [ProxySpec, string][] = [
    [{ hostname: "Proxy.Test", port: 9 }, "proxy.test:9"],
    [{ hostname: "::1", port: 9 }, "[::1]:9"],
    [{ hostname: "[::1]", port: 9 }, "[::1]:9"],
    [{ hostname: "proxy.test" } as ProxySpec, "proxy.test:1080"],
    [{ hostname: "h", port: 9, credentials: { username: "u" } }, "u: at h:9"],
    [{ hostname: "h", port: 9, credentials: { username: "u%41", password: "p%ff" } }, "u%41:p%ff at h:9"], // as it is
    [{ path: "/run/tor/socks" }, "/run/tor/socks"],
    [{ path: "\0abstract".slice(1), credentials: { username: "u", password: "p" } }, "u:p at abstract"],
  ];
  for (const [spec, expected] of cases) assertEquals(outcome(spec), expected);
});

test("a text means the same as the URL that is made of it", () => {
  const rests = [
    ":@h",
    ":@h:9",
    "@h",
    "h:",
    "h:/",
    "h/",
    ":@h:/",
    "u:@h:",
    "u@h:/",
    "[::1]:",
    "[::1]:/",
    "u:p@[::1]:/",
  ];
  const more = [
    "h:01080",
    "H.test:",
    "münchen.test:",
    "localhost:",
    "localhost:/",
    "localhost:/run/x",
    ":@localhost/run/x",
  ];
  const wrong = [":p@h", "h:?a", "h:#a", "h:/a", "h:/?", "h:0", "localhost:9/run/x", "h?", "h#"];
  for (const scheme of ["socks5h", "SOCKS5+TLS"]) {
    for (const rest of [...rests, ...more, ...wrong]) {
      const url = `${scheme}://${rest}`;
      assertEquals(meaning(url), meaning(new URL(url)), url);
      assertEquals(typeof meaning(url), wrong.includes(rest) || /\+.*run/i.test(url) ? "string" : "object", url);
    }
  }
  assertEquals([outcome("socks5h://:@h:/"), outcome("socks5h://u:@h:")], ["h:1080", "u: at h:1080"]);
  assertEquals(parseProxy("socks5h://localhost:/run/x").endpoint, { path: "/run/x" });

  function meaning(spec: string | URL): Proxy | string {
    try {
      return parseProxy(spec);
    } catch (error) {
      return String(error);
    }
  }
});

test("a proxy as lists have it is told how it is written", () => {
  for (const spec of ["h.test:1080:canary:s3cr3t", "canary:s3cr3t@h.test:1080", "192.0.2.1:1080:canary:s3cr3t"]) {
    const { message } = assertThrows(() => parseProxy(spec), TypeError);
    assertEquals(message.includes("socks5h://user:password@host:1080"), true, message);
    assertEquals(/canary|s3cr3t/.test(message), false, message);
  }
  assertThrows(() => parseProxy("socks5h://h:1080:canary:s3cr3t"), TypeError, "come before the host");
});

test("a proxy of a wrong type is refused", () => {
  for (const spec of [undefined, null, 1080, true, 1n, Symbol("a"), () => {}]) {
    assertThrows(() => parseProxy(spec as unknown as ProxySpec), TypeError, "it must be a URL or { hostname, port }");
  }
  for (const spec of [[], ["socks5h://a"]]) {
    assertThrows(() => parseProxy(spec as unknown as ProxySpec), TypeError, "it must be a URL or { hostname, port }");
  }
  for (const spec of [{}, { path: undefined }, { hostname: 5, port: 9 }, { hostname: null }]) {
    assertThrows(() => parseProxy(spec as unknown as ProxySpec), TypeError, "the host name is missing");
  }
  for (const path of ["", "a\0b", "\0a", "a\nb", 5, null, ["/a"]]) {
    assertThrows(() => parseProxy({ path } as unknown as ProxySpec), TypeError, "the path is malformed");
  }
});

test("a proxy without credentials, with null and with undefined has none", () => {
  for (const credentials of [undefined, null]) {
    assertEquals(parseProxy({ hostname: "h", port: 9, credentials } as unknown as ProxySpec).credentials, null);
  }
  assertEquals(parseProxy("socks5h://h").credentials, null);
});

test("a user name has 1 to 255 bytes of UTF-8, a password at most 255", () => {
  const fits: [string, string | undefined][] = [
    ["u", undefined],
    ["u", ""],
    ["u".repeat(255), "p".repeat(255)],
    ["ü".repeat(127), "€".repeat(85)], // 254 and 255 bytes
    ["😀".repeat(63), "😀".repeat(63)],
    ["a\0b", "\0"],
    [" ", " "],
  ];
  for (const [username, password] of fits) {
    const credentials = password === undefined ? { username } : { username, password };
    assertEquals(encodeCredentials(credentials), { uname: utf8(username), passwd: utf8(password ?? "") });
  }
  for (const username of ["", "u".repeat(256), "ü".repeat(128), "€".repeat(86), "😀".repeat(64)]) {
    assertThrows(() => encodeCredentials({ username }), RangeError, "the user name must have 1 to 255 bytes of UTF-8");
  }
  for (const password of ["p".repeat(256), "ü".repeat(128), "€".repeat(86), "😀".repeat(64)]) {
    const credentials = { username: "u", password };
    assertThrows(() => encodeCredentials(credentials), RangeError, "the password must have at most 255 bytes of UTF-8");
  }
});

test("the lengths of credentials are counted after percent-decoding", () => {
  const url = (u: number, p: number) => `socks5h://${"%C3%BC".repeat(u)}:${"%70".repeat(p)}@h`;
  assertEquals(parseProxy(url(127, 255)).credentials, { uname: utf8("ü".repeat(127)), passwd: utf8("p".repeat(255)) });
  for (const [u, p] of [[128, 1], [1, 256], [0, 1]] as const) {
    assertThrows(() => parseProxy(url(u, p)), RangeError, "bytes of UTF-8");
  }
});

test("credentials of a wrong type are refused", () => {
  const bad = [undefined, null, {}, "u:p", 5, ["u", "p"], { username: 5 }, { password: "p" }, { username: null }];
  for (const credentials of [...bad, { username: "u", password: null }, { username: "u", password: 5 }]) {
    assertThrows(() => encodeCredentials(credentials as { username: string }), TypeError, "both must be strings");
  }
});

test("a parsed proxy keeps nothing of what it was given", () => {
  const credentials = { username: "u", password: "p" };
  const spec = { hostname: "h", port: 9, credentials };
  const proxy: Proxy = parseProxy(spec);
  assertNotStrictEquals<unknown>(proxy.endpoint, spec);
  Object.assign(credentials, { password: "changed" });
  Object.assign(spec, { hostname: "changed", port: 1 });
  assertEquals(proxy, {
    endpoint: { hostname: "h", port: 9 },
    name: "h:9",
    label: undefined,
    address: "h:9",
    key: "h:9@u",
    credentials: { uname: utf8("u"), passwd: utf8("p") },
    credentialsFor: undefined,
    tls: null,
    weight: 1,
    maxOpen: Infinity,
  });
});

const CANARY = { username: "kanarie/vogel", password: "s3cr3t@<ü>/pw" };
const HOST = "canary-host.test";

/** Everything that `value` shows when it is thrown, logged or sent somewhere, with its causes. */
function everything(value: unknown): string {
  const seen = new Set<unknown>();
  const parts: unknown[] = [];
  for (let error = value; error !== undefined && !seen.has(error); error = (error as Error).cause) {
    seen.add(error);
    const { name, message, stack } = error as Error;
    const all = inspect(error, { depth: Infinity, showHidden: true, maxArrayLength: null, breakLength: Infinity });
    const own = Object.fromEntries(
      Object.getOwnPropertyNames(error).map((key) => [key, Reflect.get(Object(error), key)]),
    );
    parts.push(name, message, stack, String(error), all, JSON.stringify(error), JSON.stringify(own));
    if ("Deno" in globalThis) parts.push(Deno.inspect(error, { depth: 20, showHidden: true, iterableLimit: 1_000 }));
  }
  return parts.join("\n");
}

/** Each way in which `secret` could be written. */
function disguises(secret: string): string[] {
  const bytes = utf8(secret);
  const base64 = btoa(String.fromCharCode(...bytes));
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"));
  const lists = [", ", ",", ",\n  ", " "].map((separator) => [...bytes].join(separator));
  return [secret, encodeURIComponent(secret), encodeURI(secret), JSON.stringify(secret).slice(1, -1), base64]
    .concat(hex.join(""), hex.join(" "), hex.join("").toUpperCase(), lists);
}

function assertSilent(value: unknown, secrets: readonly string[]): void {
  const shown = everything(value);
  for (const secret of secrets.flatMap(disguises)) assert(!shown.includes(secret), `${secret} is in ${shown}`);
}

test("an error about a proxy shows nothing of it", () => {
  const { username, password } = CANARY;
  const user = encodeURIComponent(username);
  const pass = encodeURIComponent(password);
  const specs: unknown[] = [
    `http://${user}:${pass}@${HOST}:1080`,
    `${user}:${pass}@${HOST}:1080`,
    `socks5h://${username}:${password}@${HOST}`,
    `socks5h://${user}:${pass}@${HOST} x`,
    `socks5h://${user}:${pass}@${HOST}:0`,
    `socks5h://${user}:${pass}@${HOST}:99999`,
    `socks5h://${user}:${pass}@${HOST}/path`,
    `socks5h://${user}:${pass}@[${HOST}]`,
    `socks5h://${user}:${pass}@${HOST}\u00ad`,
    `socks5h://${user}:${pass.repeat(30)}@${HOST}`,
    `socks5h://${user.repeat(30)}:${pass}@${HOST}`,
    `socks5h://:${pass}@${HOST}`,
    new URL(`http://${user}:${pass}@${HOST}:1080`),
    new URL(`socks5://${user}:${pass}@${HOST}/x`),
    new URL(`socks5://${user}:${pass.repeat(30)}@${HOST}`),
    { hostname: `${HOST} x`, port: 1080, credentials: CANARY },
    { hostname: HOST, port: 0, credentials: CANARY },
    { hostname: HOST, port: "1080", credentials: CANARY },
    { path: "", credentials: CANARY },
    { hostname: HOST, port: 1080, credentials: { username, password: password.repeat(30) } },
    { hostname: HOST, port: 1080, credentials: { username: username.repeat(30), password } },
    { hostname: HOST, port: 1080, credentials: { username, password: [password] } },
    { hostname: HOST, port: 1080, credentials: `${username}:${password}` },
  ];
  for (const spec of specs) {
    const secrets = [username, password, HOST];
    const error = assertThrows(() => parseProxy(spec as ProxySpec), Error);
    assertSilent(error, secrets);
    assertSilent(assertThrows(() => new Socks5Client(spec as ProxySpec), Error), secrets);
    assertSilent(assertThrows(() => new Socks5Client(["socks5h://other.test", spec as ProxySpec]), Error), secrets);
    assert(error instanceof TypeError || error instanceof RangeError);
    assert(error.message.endsWith("current value is (redacted)"), error.message);
    assertEquals(error.cause, undefined);
  }
});

test("a client shows nothing of its credentials, whatever happens to it", async () => {
  const { username, password } = CANARY;
  const answers = [[], [0x48, 0x54], [5, 0xff], [5, 9], [5, 2], [5, 2, 1, 1], [5, 2, 1, 0], [5, 2, 1, 0, 5, 2], [
    5,
    0,
    4,
  ]];
  const secrets = [username, password];
  for (const answer of [null, ...answers]) {
    const transport = {
      connect: () => answer === null ? Promise.reject(new Error("refused")) : Promise.resolve(answering(answer)),
    };
    const events: RequestEvent[] = [];
    const onEvent = ofRequests((event) => void events.push(event));
    const spec = { hostname: HOST, port: 1080, credentials: CANARY };
    const client = new Socks5Client([spec, spec], { transport, retry: 0, onEvent });
    for (const options of [{}, { credentials: CANARY }]) {
      const error = await client.connect("example.com:80", options).then(() => null, (error: unknown) => error);
      assert(error instanceof Socks5Error, String(error));
      for (const shown of [error, ...error.errors]) assertSilent(shown, secrets);
      assertSilent(await client.check("example.com:80", options), secrets);
    }
    assert(events.length > 0);
    for (const shown of [events, client, client.stats()]) assertSilent(shown, secrets);
    await client.close();
  }
  const client = new Socks5Client("socks5h://proxy.test");
  for (const credentials of [{ username, password: password.repeat(30) }, { username: [username], password }]) {
    const options = { credentials: credentials as typeof CANARY };
    for (const run of [() => client.connect("a:80", options), () => client.check("a:80", options)]) {
      assertSilent(await run().then(() => null, (error: unknown) => error), secrets);
    }
  }
});

function answering(answer: readonly number[]): Conn {
  const left = [...answer];
  return {
    read: (p) => {
      const bytes = left.splice(0, p.length);
      p.set(bytes);
      return Promise.resolve(bytes.length === 0 ? null : bytes.length);
    },
    write: (p) => Promise.resolve(p.length),
    closeWrite: () => Promise.resolve(),
    close: () => {},
  };
}

test("user name and password beside the parts of a proxy are not dropped silently", () => {
  for (const extra of [{ username: "me" }, { password: "secret" }]) {
    const spec = { hostname: "proxy", port: 1080, ...extra };
    assertThrows(() => parseProxy(spec), TypeError, "belong in { credentials }");
  }
});

test("the path of a unix socket has at most 107 bytes, and nothing may follow the port of a URL", () => {
  assertEquals(parseProxy({ path: "/" + "x".repeat(106) }).endpoint, { path: "/" + "x".repeat(106) });
  assertThrows(() => parseProxy({ path: "/" + "x".repeat(107) }), RangeError, "more than 107 bytes");
  for (const url of ["socks5://h:1080/x", "socks5://h:1080?x", "socks5://h#x"]) {
    assertThrows(() => parseProxy(url), TypeError, "nothing may follow the port");
  }
});
