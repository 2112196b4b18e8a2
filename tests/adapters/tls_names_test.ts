import { assertEquals, assertMatch } from "@std/assert";
import { get } from "node:https";
import { nodeTransport } from "../../adapters/node/mod.ts";
import { Socks5Agent } from "../../agent/mod.ts";
import type { Socks5Client } from "../../mod.ts";
import { altNames } from "../../adapters/server_identity.ts";
import { type Authority, certificates } from "../support/certificates.ts";
import { seeded } from "../support/seeded.ts";
import { withTarget } from "../support/stage.ts";
import type { Target } from "../support/targets.ts";
import { test } from "../support/test.ts";
import { paths } from "../support/tls_paths.ts";
import { startTls } from "../support/tls_targets.ts";

type Names = NonNullable<Parameters<Authority["issue"]>[1]>;

const { authority } = certificates();
const [EMAIL, DNS, URI, OTHER, DIRECTORY] = [0x81, 0x82, 0x86, 0xa0, 0xa4];
const OTHER_NAME = "\x06\x03\x2a\x03\x04\xa0\x14\x0c\x12, DNS:good.example"; // of the type 1.2.3.4
const WRONG = /ALTNAME_INVALID|not valid for name|NotValidForName/;

/** Starts TLS with a target, for a name; rejects with what the runtime says. */
type Way = (target: Target, serverName: string) => Promise<void>;

const ways: Record<string, Way> = {
  "agent": (target, serverName) => throughAgent(target, serverName, {}),
  "agent with a check that asks that of node:tls": async (target, serverName) => {
    const { checkServerIdentity } = await import("node:tls");
    const check: typeof checkServerIdentity = (...args) => checkServerIdentity(...args);
    await throughAgent(target, serverName, { checkServerIdentity: check });
  },
};
for (const { name, transport, start } of paths) {
  ways[name] = async ({ hostname, port }, serverName) => {
    const conn = await transport.connect({ hostname, port });
    (await start(conn, { serverName, caCerts: [authority.cert] })).close();
  };
}

function throughAgent(target: Target, host: string, options: object): Promise<void> {
  const { hostname, port } = target;
  const client = { connect: () => nodeTransport.connect({ hostname, port }) } as unknown as Pick<
    Socks5Client,
    "connect"
  >;
  const agent = new Socks5Agent(client, { ca: authority.cert, keepAlive: false, ...options });
  return new Promise<void>((resolve, reject) => {
    get({ host, agent }, (response) => {
      response.resume().on("close", resolve);
    }).on("error", reject);
  }).finally(() => agent.destroy());
}

/** What is said of a certificate for that name; `null` if it is taken. */
async function verdict(way: Way, names: Names, serverName: string, subject = "somebody"): Promise<string | null> {
  const certificate = authority.issue(subject, names);
  const answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
  const target = startTls({ certificate }, (socket) => socket.resume().end(answer));
  let said: string | null = null;
  await withTarget(target, async (target) => {
    await way(target, serverName).catch(({ name, code, message }) => said = `${name} ${code} ${message}`);
  });
  return said;
}

const hostile: [what: string, names: Names, serverName: string, subject?: string][] = [
  ["a URI that reads like a name", { others: [[URI, "http://evil/, DNS:good.example"]] }, "good.example"],
  ["an address of mail that does", { others: [[EMAIL, "a@b, DNS:good.example"]] }, "good.example"],
  ["another name that does", { others: [[OTHER, OTHER_NAME]], names: ["evil.example"] }, "good.example"],
  [
    "a name of a directory that does",
    { others: [[DIRECTORY, "0\x1d1\x1b0\x19\x06\x03\x55\x04\x03\x0c\x12, DNS:good.example"]] },
    "good.example",
  ],
  ["a name that does", { others: [[DNS, "evil.example, DNS:good.example"]] }, "good.example"],
  ["a name with a zero in it", { others: [[DNS, "good.example\0.evil.example"]] }, "good.example"],
  ["a name with a line break in it", { others: [[DNS, "evil.example\nDNS:good.example"]] }, "good.example"],
  ["a name in quotes", { others: [[DNS, '"good.example"']] }, "good.example"],
  ["a URI that reads like an address", { others: [[URI, "http://evil/, IP Address:127.0.0.1"]] }, "127.0.0.1"],
  ["an address that is a name", { others: [[DNS, "127.0.0.1"]] }, "127.0.0.1"],
  [
    "a URI, and a common name",
    {
      others: [[URI, "http://evil/, DNS:good.example"]],
      names: ["evil.example"],
    },
    "good.example",
    "good.example",
  ],
  ["a wildcard for all of a top-level domain", { names: ["*.example"] }, "good.example"],
  ["a wildcard for all", { names: ["*"] }, "localhost"],
  ["a wildcard that is not the first label", { names: ["good.*.example"] }, "good.a.example"],
];

for (const [name, way] of Object.entries(ways)) {
  for (const [what, names, serverName, subject] of hostile) {
    test(`${name}: a certificate with ${what} is for another name`, async () => {
      assertMatch(await verdict(way, names, serverName, subject) ?? "it was taken", WRONG);
    });
  }

  seeded(`${name}: whatever names a certificate has, it is taken for those and no other`, async ({ below, pick }) => {
    for (let i = 0; i < 25; i++) {
      const names = Array.from({ length: below(3) }, () => pick(HOSTS));
      const others = Array.from({ length: below(3) }, (): [number, string] => {
        return [
          pick([EMAIL, URI]),
          `${pick(["a", "http://evil/"])}${pick([", ", ",", "\n", "\0", ""])}DNS:${pick(HOSTS)}`,
        ];
      });
      const [serverName, subject] = [pick(HOSTS), pick(HOSTS)];
      const isFor = names.includes(serverName);
      // the agent is as node:https is: without any name, the common name counts
      if (name.startsWith("agent") && !isFor && names.length === 0 && subject === serverName) continue;
      const said = await verdict(way, { names, others }, serverName, subject);
      const scene = `${JSON.stringify({ names, others, serverName, subject })}: ${said}`;
      assertEquals(said === null, isFor, scene);
      if (said !== null) assertMatch(said, WRONG, scene);
    }
  });
}

const HOSTS = ["good.example", "evil.example", "a.good.example", "localhost"];

test("the names of a certificate are written as Node writes them", async () => {
  const { X509Certificate } = await import("node:crypto");
  const { cert } = authority.issue("x", {
    others: [[URI, "http://evil/, DNS:good.example"], [DNS, 'a"\\\0b'], [EMAIL, "a@b"], [0x87, "abc"]],
    names: ["good.example", "*.wild.example"],
    ips: ["127.0.0.1", "2001:db8:0:0:0:0:0:1"],
  });
  assertEquals(
    altNames(new X509Certificate(cert).raw),
    'URI:"http://evil/\\u002c DNS:good.example", DNS:"a\\"\\\\\\u0000b", email:a@b, othername:<unsupported>, ' +
      "DNS:good.example, DNS:*.wild.example, IP Address:127.0.0.1, IP Address:2001:DB8:0:0:0:0:0:1",
  );
  assertEquals(altNames(new X509Certificate(authority.cert).raw), "");
});

test("a certificate that is cut or changed has fewer names, or others, and is no crash", async () => {
  const { X509Certificate } = await import("node:crypto");
  const { raw } = new X509Certificate(authority.issue("x", { names: ["good.example"], ips: ["127.0.0.1"] }).cert);
  for (let length = 0; length < raw.length; length++) assertEquals(altNames(raw.subarray(0, length)), "", `${length}`);
  for (let at = 0; at < raw.length; at++) {
    for (const byte of [0x00, 0x30, 0x7f, 0x80, 0x84, 0xff]) {
      const changed = Uint8Array.from(raw);
      changed[at] = byte;
      assertEquals(typeof altNames(changed), "string");
    }
  }
});
