import { assert, assertEquals, assertThrows } from "@std/assert";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { proxyFromEnv } from "../../env/mod.ts";
import { Socks5Client } from "../../mod.ts";
import { quick, test } from "../support/test.ts";

type Env = Record<string, string>;

const [A, B, HTTP] = ["socks5h://a.test:1", "socks5://b.test:2", "http://c.test:3"];

const chosen: [what: string, env: Env, variable: string | null][] = [
  ["nothing is set", {}, null],
  ["ALL_PROXY", { ALL_PROXY: A }, "ALL_PROXY"],
  ["HTTPS_PROXY", { HTTPS_PROXY: A }, "HTTPS_PROXY"],
  ["HTTP_PROXY", { HTTP_PROXY: A }, "HTTP_PROXY"],
  ["all_proxy", { all_proxy: A }, "all_proxy"],
  ["https_proxy", { https_proxy: A }, "https_proxy"],
  ["http_proxy", { http_proxy: A }, "http_proxy"],
  ["ALL_PROXY before HTTPS_PROXY", { HTTPS_PROXY: B, ALL_PROXY: A }, "ALL_PROXY"],
  ["HTTPS_PROXY before HTTP_PROXY", { HTTP_PROXY: B, HTTPS_PROXY: A }, "HTTPS_PROXY"],
  ["lower case first (curl, Python, undici)", { ALL_PROXY: B, all_proxy: A }, "all_proxy"],
  ["an empty lower case is not set (curl, Go)", { ALL_PROXY: A, all_proxy: "" }, "ALL_PROXY"],
  ["ALL_PROXY before https_proxy", { https_proxy: B, ALL_PROXY: A }, "ALL_PROXY"],
  ["HTTPS_PROXY of another scheme, ALL_PROXY socks", { HTTPS_PROXY: HTTP, ALL_PROXY: A }, "ALL_PROXY"],
  ["ALL_PROXY of another scheme, HTTPS_PROXY socks", { ALL_PROXY: HTTP, HTTPS_PROXY: A }, "HTTPS_PROXY"],
  ["lower case of another scheme hides the upper case", { all_proxy: HTTP, ALL_PROXY: A }, null],
  ["another scheme only", { ALL_PROXY: HTTP, HTTPS_PROXY: "https://c.test" }, null],
  ["no scheme is HTTP's (curl)", { ALL_PROXY: "c.test:3" }, null],
  ["quotes around another scheme", { ALL_PROXY: `"${HTTP}"` }, null],
  ["another scheme, and a host that is called socks", { ALL_PROXY: "http://socks.test:3" }, null],
  ["a host that is nearly called socks", { ALL_PROXY: "stocks.test:3" }, null],
  ["a scheme that is far from socks", { ALL_PROXY: "ssh://c.test:3" }, null],
  ["the httpoxy rule", { HTTP_PROXY: A, REQUEST_METHOD: "GET" }, null],
  ["the httpoxy rule, and no method", { HTTP_PROXY: A, REQUEST_METHOD: "" }, "HTTP_PROXY"],
  ["the httpoxy rule spares lower case", { http_proxy: A, HTTP_PROXY: B, REQUEST_METHOD: "GET" }, "http_proxy"],
  ["the httpoxy rule spares the others", { ALL_PROXY: A, REQUEST_METHOD: "GET" }, "ALL_PROXY"],
  ["the scheme in upper case", { ALL_PROXY: "SOCKS5H://a.test:1" }, "ALL_PROXY"],
  ["socks://", { ALL_PROXY: "socks://a.test:1" }, "ALL_PROXY"],
  ["TLS to the proxy", { ALL_PROXY: "socks5h+tls://a.test:1" }, "ALL_PROXY"],
  ["a unix socket", { ALL_PROXY: "socks5h://localhost/run/tor/socks" }, "ALL_PROXY"],
  ["without a port", { ALL_PROXY: "socks5h://a.test" }, "ALL_PROXY"],
  ["white space around it", { ALL_PROXY: " socks5h://a.test:1\n" }, "ALL_PROXY"],
];

test("proxyFromEnv() takes the first variable with a SOCKS proxy", () => {
  for (const [what, env, variable] of chosen) {
    const found = proxyFromEnv(env);
    assertEquals(found?.variable ?? null, variable, what);
    assertEquals(found?.proxy, variable === null ? undefined : env[variable]!.trim(), what);
    if (found !== null) new Socks5Client(found.proxy);
  }
});

const malformed: [value: string, kind: typeof TypeError | typeof RangeError, message: string][] = [
  ["socks5h://user:sesame@a.test:sesame", TypeError, "Cannot use V as SOCKS5 proxy, the port is malformed"],
  ["socks5h://user:sesame@a.test:0", RangeError, "Cannot use V as SOCKS5 proxy, the port must be 1 to 65535"],
  ["socks5h://user:sesame@", TypeError, "Cannot use V as SOCKS5 proxy, the host name is missing"],
  ["socks5h:sesame", TypeError, "Cannot use V as SOCKS5 proxy, the scheme is missing"],
  ['"socks5h://user:sesame@a.test:1"', TypeError, "Cannot use V as SOCKS5 proxy, it has quotes around it"],
  ["'socks5h://sesame'", TypeError, "Cannot use V as SOCKS5 proxy, it has quotes around it"],
  ['"socks5h://sesame', TypeError, "Cannot use V as SOCKS5 proxy, it has quotes around it"],
  ["<socks5h://sesame>", TypeError, "Cannot use V as SOCKS5 proxy, the scheme is missing"],
  ["socks5h//sesame", TypeError, "Cannot use V as SOCKS5 proxy, the scheme is missing"],
  ["socks5h:/sesame", TypeError, "Cannot use V as SOCKS5 proxy, the scheme is missing"],
  ["socks5h;//sesame", TypeError, "Cannot use V as SOCKS5 proxy, the scheme is missing"],
  ["socks5h", TypeError, "Cannot use V as SOCKS5 proxy, the scheme is missing"],
  ["SOCKS5 sesame 1080", TypeError, "Cannot use V as SOCKS5 proxy, the scheme is missing"],
  ["socks.sesame.test:1080", TypeError, "Cannot use V as SOCKS5 proxy, the scheme is missing"],
  ["sock5://sesame", TypeError, "Cannot use V as SOCKS5 proxy, the scheme must be"],
  ["sokcs5h://sesame", TypeError, "Cannot use V as SOCKS5 proxy, the scheme must be"],
  ["sosks5//sesame", TypeError, "Cannot use V as SOCKS5 proxy, the scheme is missing"],
  ["socks5h://a.test:1:user:sesame", TypeError, "Cannot use V as SOCKS5 proxy, user name and password come before"],
  ["socks4://sesame", TypeError, "Cannot use V as SOCKS5 proxy, the scheme must be"],
  ["socks6h://sesame", TypeError, "Cannot use V as SOCKS5 proxy, the scheme must be"],
  [`socks5h://${"sesame".repeat(50)}@a.test`, RangeError, "Cannot use V as user name and password, the user name"],
];

test("a SOCKS proxy that is malformed is an error that names the variable and shows nothing of it", () => {
  for (const variable of ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "http_proxy"]) {
    for (const [value, kind, message] of malformed) {
      const error = assertThrows(() => proxyFromEnv({ [variable]: value }), kind, message.replace("V", variable));
      assertEquals((error as Error).name, kind.name);
      assert(!/sesame/.test(`${(error as Error).stack} ${(error as Error).cause}`), `${error}`);
    }
  }
});

// last column: what curl, Go's httpproxy, Python's urllib and undici's EnvHttpProxyAgent make of it where they differ
const exempt: [list: string, inside: string[], outside: string[], others?: string][] = [
  ["", [], ["localhost:1", "127.0.0.1:1", "[::1]:1", "a.test:1"], "Go: loopback is always exempt"],
  [" , ,, ", [], ["a.test:1", "localhost:1"]],
  ["*", ["a.test:1", "10.0.0.1:1", "[::1]:443"], []],
  ["a.test,*", ["b.test:1"], [], "Python and undici: only if the list is nothing else"],
  ["*:443", ["a.test:443", "[::1]:443"], ["a.test:80"], "none of them"],
  ["a.test", ["a.test:1", "www.a.test:1", "x.y.a.test:2"], ["aa.test:1", "a.test.org:1", "test:1"]],
  [".a.test", ["a.test:1", "www.a.test:1"], ["aa.test:1"], "Go: not a.test itself"],
  ["*.a.test", ["a.test:1", "www.a.test:1"], ["aa.test:1"], "Go: not a.test itself; curl and Python: nothing"],
  ["a.*.test,a*.test", [], ["a.b.test:1", "ab.test:1"]],
  ["A.Test", ["a.test:1", "WWW.A.TEST:1"], []],
  ["a.test.", ["a.test:1", "a.test.:1", "www.a.test:1"], []],
  [".a.test.", ["a.test:1", "www.a.test.:1"], []],
  ["a.test", ["a.test.:1", "www.a.test.:1"], []],
  ["localhost .a.test\tb.test\nc.test", ["a.test:1", "b.test:1", "c.test:1", "localhost:1"], [], "curl, Go: commas"],
  ["a.test,b.test , c.test,", ["a.test:1", "b.test:1", "c.test:1"], ["d.test:1"]],
  ["a.test:443", ["a.test:443", "www.a.test:443"], ["a.test:80"], "curl: nothing"],
  [".a.test:443", ["a.test:443"], ["a.test:80"]],
  ["a.test:0,a.test:65536,a.test:,a.test:x,:80", [], ["a.test:80", "a.test:1"]],
  ["bücher.test", ["xn--bcher-kva.test:1", "BÜCHER.test:1", "www.bücher.test:1"], ["bucher.test:1"]],
  ["xn--bcher-kva.test", ["bücher.test:1"], []],
  [".示例.test", ["www.xn--fsq092h.test:1"], []],
  ["my_host", ["my_host:1"], []],
  ["test", ["test:1", "a.test:1"], ["atest:1"]],
  ["192.168.*", ["192.168.0.0:1", "192.168.255.255:1"], ["192.169.0.1:1", "192.168.a.test:1"], "none of them"],
  ["10.*,172.16.*.*,192.0.2.*", ["10.9.8.7:1", "172.16.1.2:1", "192.0.2.3:1"], ["172.17.0.1:1", "192.0.3.1:1"]],
  ["10.*:443", ["10.0.0.1:443"], ["10.0.0.1:80"]],
  ["*.168.0.1,300.*,1.2.3.4.*,10.*.0.1,1*", [], ["192.168.0.1:1", "1.2.3.4:1", "10.0.0.1:1"]],
  ["192.168.1.1-192.168.1.100", ["192.168.1.1:1", "192.168.1.9:1", "[::ffff:192.168.1.100]:1"], [
    "192.168.1.0:1",
    "192.168.1.101:1",
    "[::c0a8:102]:1",
    "a.test:1",
  ], "Node alone"],
  ["10.0.0.250-10.0.1.5", ["10.0.0.255:1", "10.0.1.0:1"], ["10.0.0.249:1", "10.0.1.6:1"]],
  ["10.0.0.1-10.0.0.9:443", ["10.0.0.5:443"], ["10.0.0.5:80"]],
  ["fd00::1-fd00::ff", ["[fd00::a0]:1"], ["[fd00::100]:1", "10.0.0.1:1"]],
  ["10.0.0.9-10.0.0.1,10.0.0.1-fd00::1,10.0.0.1-,-10.0.0.9,10.0.0.1-10.0.0.5-10.0.0.9", [], ["10.0.0.5:1"]],
  ["my-host.test", ["my-host.test:1"], ["host.test:1", "my:1"]],
  ["127.0.0.1", ["127.0.0.1:1", "[::ffff:127.0.0.1]:1"], ["127.0.0.2:1", "localhost:1"]],
  ["127.0.0.1:80", ["127.0.0.1:80"], ["127.0.0.1:81"]],
  ["0.1,.0.0.1,1", [], ["127.0.0.1:1"], "Python: what ends in it"],
  ["127.1,0x7f000001,2130706433", [], ["127.0.0.1:1"]],
  ["::1", ["[::1]:1", "[0:0::0001]:1"], ["[::2]:1"]],
  ["[::1]", ["[::1]:1"], ["[::2]:1"]],
  ["[::1]:80", ["[::1]:80"], ["[::1]:81"]],
  ["2001:DB8::52:0:1", ["[2001:db8:0:0:0:52:0:1]:1"], []],
  ["::ffff:10.0.0.1", ["10.0.0.1:1"], ["10.0.0.2:1"]],
  ["fe80::1%eth0", [], ["[fe80::1]:1"]],
  ["10.0.0.0/8", ["10.0.0.0:1", "10.255.255.255:1", "[::ffff:10.1.2.3]:1"], ["11.0.0.0:1", "[::a00:1]:1", "a.test:1"]],
  ["192.168.0.1/16", ["192.168.255.1:1"], ["192.169.0.1:1"]],
  ["10.0.0.0/30", ["10.0.0.3:1"], ["10.0.0.4:1"]],
  ["10.0.0.128/25", ["10.0.0.128:1", "10.0.0.255:1"], ["10.0.0.127:1"]],
  ["10.0.0.1/32", ["10.0.0.1:1"], ["10.0.0.0:1"]],
  ["0.0.0.0/0", ["10.0.0.1:1", "255.255.255.255:1"], ["[::1]:1", "a.test:1"]],
  ["10.0.0.0/33,10.0.0.0/8a,10.0.0.0/a8,10.0.0.0/-8,10.0.0.0/,/8,10.0.0/8", [], ["10.0.0.1:1"]],
  ["10.0.0.0/ 8", [], ["10.0.0.1:1"]],
  ["a.test/8,0.a/8", [], ["a.test:1", "0.a:1"]],
  ["::/0", ["[::1]:1", "[ffff::]:1"], ["10.0.0.1:1"]],
  ["fd00::/8", ["[fd12::1]:1", "[fdff::]:1"], ["[fe00::]:1", "253.0.0.1:1"]],
  ["[fd00::]/8", ["[fd12::1]:1"], ["[fe00::]:1"]],
  ["2001:db8::/65", ["[2001:db8::1]:1"], ["[2001:db8:0:0:8000::1]:1"]],
  ["::1/128", ["[::1]:1"], ["[::]:1"]],
  ["::1/129", [], ["[::1]:1"]],
  ["::ffff:10.0.0.0/104", ["10.1.2.3:1"], ["11.0.0.1:1"]],
  ["::ffff:10.0.0.0/24", [], ["10.0.0.1:1", "[::1]:1"]],
  ["http://a.test,a.test/,user@a.test", [], ["a.test:1"]],
];

test("bypasses() reads NO_PROXY", () => {
  for (const [list, inside, outside] of exempt) {
    for (const variable of ["NO_PROXY", "no_proxy"]) {
      const found = proxyFromEnv({ ALL_PROXY: A, [variable]: list })!;
      for (const target of inside) assertEquals(found.bypasses(target), true, `${list}: ${target}`);
      for (const target of outside) assertEquals(found.bypasses(target), false, `${list}: ${target}`);
    }
  }
});

test("no_proxy counts before NO_PROXY, unless it is empty", () => {
  const both = proxyFromEnv({ ALL_PROXY: A, NO_PROXY: "upper.test", no_proxy: "lower.test" })!;
  assertEquals([both.bypasses("lower.test:1"), both.bypasses("upper.test:1")], [true, false]);
  const one = proxyFromEnv({ ALL_PROXY: A, NO_PROXY: "upper.test", no_proxy: "" })!;
  assertEquals(one.bypasses("upper.test:1"), true);
});

test("bypasses() takes a target in its parts, and refuses what is none", () => {
  const found = proxyFromEnv({ ALL_PROXY: A, NO_PROXY: "*" })!;
  assertEquals(found.bypasses({ hostname: "::1", port: 443 }), true);
  assertThrows(() => found.bypasses("a.test:"), TypeError, "the port is missing");
  assertThrows(() => found.bypasses(""), TypeError, "the port is missing");
  assertThrows(() => found.bypasses(new URL("file:///a")), TypeError, "the host name is missing");
  assertThrows(() => found.bypasses("a.test:1080:user:sesame"), TypeError, "current value is a string");
  assertThrows(() => found.bypasses("a.test:0"), RangeError, "1 to 65535");
  assertThrows(() => found.bypasses("http://a.test:80/"), TypeError, "which is no URL");
});

test("bypasses() takes a URL, and a host without a port, to which no port applies", () => {
  const env = { ALL_PROXY: A, NO_PROXY: "a.test:443,b.test:80,c.test,[::1]:443,192.0.2.0/24" };
  const { bypasses } = proxyFromEnv(env)!;
  const cases: [target: string | URL, exempt: boolean][] = [
    [new URL("https://a.test/path?query"), true],
    [new URL("http://a.test"), false],
    [new URL("http://a.test:443"), true],
    [new URL("wss://user:pass@www.a.test/"), true],
    [new URL("ws://b.test"), true],
    [new URL("https://b.test"), false],
    [new URL("ftp://c.test"), true],
    [new URL("postgres://c.test/db"), true],
    [new URL("postgres://b.test/db"), false],
    [new URL("https://[::1]/"), true],
    [new URL("http://192.0.2.9:8080/"), true],
    ["a.test", false],
    ["c.test", true],
    ["C.test.", true],
    ["192.0.2.9", true],
    ["::1", false],
    ["[::1]", false],
    ["[::1]:443", true],
  ];
  for (const [target, exempt] of cases) assertEquals(bypasses(target), exempt, String(target));
  // that of another realm, as of jsdom
  const { protocol, hostname, port } = new URL("https://a.test/");
  const foreign = { protocol, hostname, port, [Symbol.toStringTag]: "URL" };
  assertEquals(bypasses(foreign as unknown as URL), true);
});

test("where variables are one in both cases, as on Windows, http_proxy is no other than HTTP_PROXY to a CGI program", () => {
  const windows = (env: Env) =>
    new Proxy(env, {
      get: (env, name) => Object.entries(env).find(([it]) => it.toLowerCase() === String(name).toLowerCase())?.[1],
      has: (env, name) => Object.keys(env).some((it) => it.toLowerCase() === String(name).toLowerCase()),
      getOwnPropertyDescriptor: (env, name) => Object.getOwnPropertyDescriptor(env, name),
    });
  for (const name of ["HTTP_PROXY", "http_proxy", "Http_Proxy"]) {
    assertEquals(proxyFromEnv(windows({ [name]: A, REQUEST_METHOD: "GET" })), null, name);
    assertEquals(proxyFromEnv(windows({ [name]: A }))?.proxy, A, name);
  }
  assertEquals(proxyFromEnv(windows({ HTTP_PROXY: B, ALL_PROXY: A, request_method: "GET" }))?.proxy, A);
  const two = { HTTP_PROXY: A, http_proxy: A, REQUEST_METHOD: "GET" }; // elsewhere
  assertEquals(proxyFromEnv(two)?.variable, "http_proxy");
});

test("an environment is an object of texts of its own", () => {
  for (const env of ["ALL_PROXY", 5, null]) {
    assertThrows(() => proxyFromEnv(env as unknown as Env), TypeError, "Cannot use env as an object of variables");
  }
  assertThrows(
    () => proxyFromEnv({ ALL_PROXY: 5 as unknown as string }),
    TypeError,
    "Cannot use ALL_PROXY as a string",
  );
  Object.defineProperty(Object.prototype, "all_proxy", { value: A, configurable: true });
  try {
    assertEquals(proxyFromEnv({}), null);
  } finally {
    delete (Object.prototype as { all_proxy?: unknown }).all_proxy;
  }
});

test("the environment of the process is read at the call, and later changes count for later calls", () => {
  const kept = process.env.all_proxy;
  try {
    process.env.all_proxy = A;
    const found = proxyFromEnv();
    process.env.all_proxy = B;
    assertEquals([found?.proxy, proxyFromEnv()?.proxy], [A, B]);
  } finally {
    if (kept === undefined) delete process.env.all_proxy;
    else process.env.all_proxy = kept;
  }
});

test("on Deno without --allow-env it is an error, and not a way past the proxy", () => {
  const script = `import { proxyFromEnv } from ${JSON.stringify(new URL("../../env/mod.ts", import.meta.url).href)};
    try { console.log(proxyFromEnv()); } catch (error) { console.log(error.name, error.message); }`;
  const args = [
    "run",
    "--no-prompt",
    "--quiet",
    "--no-check",
    "--allow-read",
    `data:text/javascript,${encodeURIComponent(script)}`,
  ];
  const { stdout, stderr } = spawnSync(process.execPath, args, {
    env: { ...process.env, ALL_PROXY: A },
    encoding: "utf8",
  });
  assertEquals(
    `${stdout}${stderr}`,
    'NotCapable Requires env access to "all_proxy", run again with the --allow-env flag\n',
  );
}, { skip: quick || (!("Deno" in globalThis) && "it is about Deno") });

test("for a scheme, its own variable goes before ALL_PROXY, and that of the other one does not count, as with curl", () => {
  const env = { ALL_PROXY: "socks5h://all", HTTPS_PROXY: "socks5h://secure", HTTP_PROXY: "socks5h://plain" };
  const found = (scheme: "http" | "https", env: Record<string, string>) => proxyFromEnv(env, { scheme })?.proxy;
  assertEquals([found("http", env), found("https", env)], ["socks5h://plain", "socks5h://secure"]);
  const { HTTP_PROXY: _, ...rest } = env;
  assertEquals([found("http", rest), found("https", rest)], ["socks5h://all", "socks5h://secure"]);
  assertEquals(found("http", { HTTPS_PROXY: "socks5h://secure" }), undefined);
  assertThrows(() => found("ftp" as "http", env), TypeError, 'Cannot use scheme as "http" or "https"');
});
