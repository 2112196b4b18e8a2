import { assert, assertEquals, assertNotStrictEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { inspect } from "node:util";
import { parseTls } from "../../src/config/tls_options.ts";
import type { TlsOptions } from "../../src/transport.ts";
import { test } from "../support/test.ts";

const SECRET = "MC4CAQAwBQYDK2VwBCIEIcanary";
const pem = (label: string): string => `-----BEGIN ${label}-----\n${SECRET}\n-----END ${label}-----\n`;
const CERT = pem("CERTIFICATE");
const KEY = pem("PRIVATE KEY");

test("TLS is off, on, or has options, in which the name of the server is never left out", () => {
  const cases: [value: boolean | TlsOptions | undefined, checked: TlsOptions | null][] = [
    [undefined, null],
    [false, null],
    [true, { serverName: "host.test" }],
    [{}, { serverName: "host.test" }],
    [{ serverName: "Other.TEST." }, { serverName: "other.test" }],
    [{ serverName: "münchen.test" }, { serverName: "xn--mnchen-3ya.test" }],
    [{ serverName: "192.0.2.1" }, { serverName: "192.0.2.1" }],
    [{ serverName: "[2001:DB8::1]" }, { serverName: "2001:db8::1" }],
    [{ caCerts: [CERT, `# a comment\n${CERT}${CERT}`] }, {
      serverName: "host.test",
      caCerts: [CERT, `# a comment\n${CERT}${CERT}`],
    }],
    [{ cert: CERT, key: KEY }, { serverName: "host.test", cert: CERT, key: KEY }],
    [{ cert: CERT, key: pem("RSA PRIVATE KEY") }, {
      serverName: "host.test",
      cert: CERT,
      key: pem("RSA PRIVATE KEY"),
    }],
    [{ cert: CERT, key: pem("EC PRIVATE KEY") }, { serverName: "host.test", cert: CERT, key: pem("EC PRIVATE KEY") }],
    [{ alpnProtocols: ["h2", "http/1.1", "ü".repeat(127)] }, {
      serverName: "host.test",
      alpnProtocols: ["h2", "http/1.1", "ü".repeat(127)],
    }],
    [{ caCerts: [], alpnProtocols: [], cert: undefined, key: undefined, serverName: undefined }, {
      serverName: "host.test",
    }],
  ];
  for (const [value, checked] of cases) assertEquals(parseTls("tls", value, "host.test"), checked);
});

test("options of TLS that are not what they must be are a TypeError that names them and shows no key", () => {
  const cases: [value: unknown, message: string][] = [
    [null, "Cannot use tls as a boolean or an object: current value is null"],
    ["yes", "Cannot use tls as a boolean or an object: current value is a string"],
    [1, "Cannot use tls as a boolean or an object: current value is 1"],
    [{ serverName: "" }, "Cannot use tls.serverName as a host name or an IP address: current value is an empty string"],
    [{ serverName: "a b" }, "Cannot use tls.serverName as a host name or an IP address: current value is a string"],
    [{ serverName: "host:443" }, "tls.serverName as a host name or an IP address: current value is a string"],
    [{ serverName: null }, "Cannot use tls.serverName as a host name or an IP address: current value is null"],
    [{ serverName: "x".repeat(1e6) }, "tls.serverName as a host name or an IP address: current value is a string"],
    [{ caCerts: CERT }, "Cannot use tls.caCerts as an array: current value is a string"],
    [{ caCerts: [CERT, "x"] }, "Cannot use tls.caCerts as certificates in PEM: current value is a string"],
    [{ caCerts: [KEY] }, "Cannot use tls.caCerts as certificates in PEM: current value is a string"],
    [{ caCerts: [new Uint8Array(3)] }, "Cannot use tls.caCerts as certificates in PEM: current value is a Uint8Array"],
    [{ caCerts: [undefined] }, "Cannot use tls.caCerts as certificates in PEM: current value is undefined"],
    [{ cert: CERT }, "Cannot use tls.cert without tls.key"],
    [{ key: KEY }, "Cannot use tls.key without tls.cert"],
    [{ cert: KEY, key: KEY }, "Cannot use tls.cert as a certificate in PEM: current value is a string"],
    [
      { cert: CERT, key: CERT },
      "Cannot use tls.key as a private key in PEM, not encrypted: current value is a string",
    ],
    [{ cert: CERT, key: pem("ENCRYPTED PRIVATE KEY") }, "Cannot use tls.key as a private key in PEM, not encrypted"],
    [{ cert: CERT, key: SECRET }, "Cannot use tls.key as a private key in PEM, not encrypted"],
    [{ cert: CERT, key: null }, "Cannot use tls.key as a private key in PEM, not encrypted: current value is null"],
    [{ alpnProtocols: "h2" }, "Cannot use tls.alpnProtocols as an array: current value is a string"],
    [
      { alpnProtocols: [""] },
      "Cannot use tls.alpnProtocols as names of 1 to 255 bytes: current value is an empty string",
    ],
    [{ alpnProtocols: ["h2", "ü".repeat(128)] }, "Cannot use tls.alpnProtocols as names of 1 to 255 bytes"],
    [{ alpnProtocols: [2] }, "Cannot use tls.alpnProtocols as names of 1 to 255 bytes: current value is 2"],
  ];
  for (const [value, message] of cases) {
    const error = assertThrows(() => parseTls("tls", value as TlsOptions, "host.test"), TypeError);
    assertStringIncludes(error.message, message);
    assert(error.message.length < 500 && !inspect(error).includes(SECRET), error.message);
  }
  assertThrows(() => parseTls("proxy.tls", { cert: CERT }, "h"), TypeError, "proxy.tls.cert without proxy.tls.key");
});

test("what was checked does not change with what was given", () => {
  const given = { caCerts: [CERT], alpnProtocols: ["h2"] };
  const checked = parseTls("tls", given, "host.test")!;
  assertNotStrictEquals<unknown>(checked, given);
  given.caCerts.push("x");
  given.alpnProtocols.push("");
  assertEquals(checked, { serverName: "host.test", caCerts: [CERT], alpnProtocols: ["h2"] });
});
