import { assert, assertEquals } from "@std/assert";
import * as api from "../../mod.ts";
import { Socks5Client, type Socks5ErrorCode } from "../../mod.ts";
import type { TestFault } from "../../testing/mod.ts";
import { assertNothingOpen, failure, TRANSPORTS, withProxy } from "../support/stage.ts";
import { test } from "../support/test.ts";

const ALICE = { username: "alice", password: "secret" };
const TARGET = "example.test:80";
const RULES = { [TARGET]: { port: 1 } }; // for a success that is only claimed
const HINT = "; it may not accept the credentials";
const NO_REPLY = "the proxy closed the connection before it replied";
const HUNG_UP = "the proxy closed the connection in the handshake";

const CLASSES: Record<string, keyof typeof api> = { PROXY: "ProxyError", AUTH: "AuthError", TARGET: "TargetError" };

/** What a proxy does, and what the client says: code, phase and the message after "Cannot connect to … through …: ". */
type Row = [what: string, fault: TestFault, code: Socks5ErrorCode, phase: api.Phase, why: string];

const withoutPassword: Row[] = [
  ["EOF at once", { fault: "close", at: "accept" }, "SOCKS5_PROXY_HUNG_UP", "negotiate", HUNG_UP],
  ["EOF on the greeting", { fault: "close", at: "negotiate" }, "SOCKS5_PROXY_HUNG_UP", "negotiate", HUNG_UP],
  ["EOF within the method", { fault: "cut", at: "negotiate", length: 1 }, "SOCKS5_PROXY_HUNG_UP", "negotiate", HUNG_UP],
  [
    "a reset on the greeting",
    { fault: "reset", at: "negotiate" },
    "SOCKS5_PROXY_HUNG_UP",
    "negotiate",
    "the proxy broke the connection in the handshake",
  ],
  [
    "an HTTP server",
    { fault: "http" },
    "SOCKS5_PROXY_NOT_SOCKS5",
    "negotiate",
    'an HTTP server answered ("HTTP/1.1 400 Bad Request", 48 54)',
  ],
  [
    "an SSH server",
    { fault: "ssh" },
    "SOCKS5_PROXY_NOT_SOCKS5",
    "negotiate",
    'an SSH server answered ("SSH-2.0-OpenSSH_9.2p1 Debian-2", 53 53)',
  ],
  [
    "a TLS server",
    { fault: "tls" },
    "SOCKS5_PROXY_NOT_SOCKS5",
    "negotiate",
    "a TLS server answered (15 03)",
  ],
  [
    "a SOCKS4 server",
    { fault: "socks4" },
    "SOCKS5_PROXY_NOT_SOCKS5",
    "negotiate",
    "a SOCKS4 server answered (00 5B)",
  ],
  [
    "bytes of nobody known",
    { fault: "answer", at: "negotiate", bytes: Uint8Array.of(0x1b, 0x5b), then: "close" },
    "SOCKS5_PROXY_NOT_SOCKS5",
    "negotiate",
    "what answered is not a SOCKS5 proxy (1B 5B)",
  ],
  [
    "a method that was not offered",
    { fault: "method", method: 2 },
    "SOCKS5_PROXY_BAD_METHOD",
    "negotiate",
    "the proxy chose a method that was not offered (05 02)",
  ],
  [
    "no acceptable method",
    { fault: "method", method: 0xff },
    "SOCKS5_AUTH_NO_METHOD",
    "negotiate",
    "the proxy accepts no authentication method that was offered (05 FF): it wants credentials, and none were given",
  ],
  ["EOF for a refusal (ssh -D)", { fault: "close", at: "request" }, "SOCKS5_TARGET_NO_REPLY", "request", NO_REPLY],
  [
    "a reset for a refusal",
    { fault: "reset", at: "request" },
    "SOCKS5_TARGET_NO_REPLY",
    "request",
    "the proxy broke the connection before it replied",
  ],
  ...[1, 2, 4, 5, 8, 9].map((n): Row => {
    return [
      `a success cut after ${n}`,
      { fault: "cut", at: "request", length: n },
      "SOCKS5_TARGET_NO_REPLY",
      "request",
      NO_REPLY,
    ];
  }),
  [
    "a reply of SOCKS4",
    { fault: "answer", at: "request", bytes: Uint8Array.of(0, 0x5a, 0, 0, 0, 0, 0, 0), then: "close" },
    "SOCKS5_PROXY_BAD_REPLY",
    "request",
    "the reply of the proxy is malformed (00 5A)",
  ],
  [
    "a success with an unknown ATYP",
    { fault: "reply", reply: { atyp: 9 }, then: "silence" },
    "SOCKS5_PROXY_BAD_REPLY",
    "request",
    "the reply of the proxy has an unknown ATYP (09)",
  ],
  ...([
    [0x01, "SOCKS5_TARGET_FAILED", "general failure of the proxy (REP 01)"],
    [0x02, "SOCKS5_TARGET_NOT_ALLOWED", "not allowed by the rules of the proxy (REP 02)"],
    [0x03, "SOCKS5_TARGET_NET_UNREACHABLE", "network unreachable (REP 03)"],
    [0x04, "SOCKS5_TARGET_HOST_UNREACHABLE", "host unreachable (REP 04)"],
    [0x05, "SOCKS5_TARGET_REFUSED", "connection refused by the target (REP 05)"],
    [0x06, "SOCKS5_TARGET_TTL_EXPIRED", "TTL expired (REP 06)"],
    [0x07, "SOCKS5_TARGET_BAD_COMMAND", "the proxy does not support the command (REP 07)"],
    [0x08, "SOCKS5_TARGET_BAD_ADDRESS_TYPE", "the proxy does not support the address type (REP 08)"],
    [0x09, "SOCKS5_TARGET_UNKNOWN_REPLY", "the proxy refused with a code of its own (REP 09)"],
    [0xff, "SOCKS5_TARGET_UNKNOWN_REPLY", "the proxy refused with a code of its own (REP FF)"],
  ] as const).flatMap(([rep, code, why]): Row[] => [
    [`REP ${rep}, then EOF`, { fault: "refuse", rep }, code, "request", why],
    [`REP ${rep}, then a reset (dante)`, { fault: "refuse", rep, then: "reset" }, code, "request", why],
    [`REP ${rep} in 2 bytes (socksv5)`, { fault: "short-refusal", rep }, code, "request", why],
    [`REP ${rep}, then silence`, { fault: "refuse", rep, then: "silence" }, code, "request", why],
  ]),
  [
    "a refusal with a nonsense ATYP",
    { fault: "reply", reply: { rep: 5, atyp: 77 }, then: "close" },
    "SOCKS5_TARGET_REFUSED",
    "request",
    "connection refused by the target (REP 05)",
  ],
  [
    "a refusal with an empty domain (dante)",
    { fault: "reply", reply: { rep: 4, atyp: 3, bndAddr: Uint8Array.of(0) }, then: "close" },
    "SOCKS5_TARGET_HOST_UNREACHABLE",
    "request",
    "host unreachable (REP 04)",
  ],
];

const withPassword: Row[] = [
  ...[0x01, 0x02, 0xff].map((status): Row => [
    `STATUS ${status}`,
    { fault: "refuse-password", status },
    "SOCKS5_AUTH_REFUSED",
    "authenticate",
    `the proxy refused the user name or password (STATUS ${status === 0xff ? "FF" : `0${status}`})`,
  ]),
  ...([["EOF on the password", 0], ["EOF within the status", 1]] as const).map(([what, length]): Row => [
    what,
    { fault: "cut", at: "authenticate", length },
    "SOCKS5_AUTH_REFUSED",
    "authenticate",
    "the proxy closed the connection after the user name and password",
  ]),
  [
    "a reset on the password",
    { fault: "reset", at: "authenticate" },
    "SOCKS5_PROXY_HUNG_UP",
    "authenticate",
    "the proxy broke the connection in the handshake",
  ],
  [
    "no acceptable method although a password was offered",
    { fault: "method", method: 0xff },
    "SOCKS5_AUTH_NO_METHOD",
    "negotiate",
    "the proxy accepts no authentication method that was offered (05 FF)",
  ],
  [
    "REP 02 after a password",
    { fault: "refuse", rep: 2 },
    "SOCKS5_TARGET_NOT_ALLOWED",
    "request",
    `not allowed by the rules of the proxy (REP 02)${HINT}`,
  ],
  [
    "EOF for a refusal after a password",
    { fault: "close", at: "request" },
    "SOCKS5_TARGET_NO_REPLY",
    "request",
    NO_REPLY + HINT,
  ],
];

for (const [via, options] of Object.entries(TRANSPORTS)) {
  for (const [rows, credentials] of [[withoutPassword], [withPassword, ALICE]] as const) {
    for (const [what, fault, code, phase, why] of rows) {
      test(`${via}: ${what} is ${code} of the phase ${phase}, and everything is closed`, () =>
        withProxy({ ...(credentials && { credentials }), rules: RULES, faults: () => fault }, async (proxy) => {
          const client = new Socks5Client(proxy.url, { ...options, retry: 0 });
          const error = await failure(client.connect(TARGET));
          const name = `127.0.0.1:${proxy.port}`;
          assertEquals(error.message, `Cannot connect to ${TARGET} through ${name}: ${why}`);
          assertEquals([error.code, error.phase, error.proxy, error.target], [code, phase, name, TARGET]);
          assertEquals([error.name, error.constructor], [
            CLASSES[code.split("_")[1]!],
            api[CLASSES[code.split("_")[1]!]!],
          ]);
          if (error instanceof api.TargetError) assertEquals(error.rep, /REP (..)/.exec(why) ? repOf(why) : null);
          assertNothingOpen(client);
          assertEquals([client.stats().failures, proxy.connections.length], [1, 1]);
        }));
    }
  }

  test(`${via}: a reset at the accept is a failure to reach the proxy, or a hang-up`, () =>
    withProxy({ faults: { fault: "reset", at: "accept" } }, async (proxy) => {
      const client = new Socks5Client(proxy.url, { ...options, retry: 0 });
      const { code, phase } = await failure(client.connect(TARGET));
      const seen = `${code} ${phase}`;
      assert(["SOCKS5_PROXY_UNREACHABLE dial", "SOCKS5_PROXY_HUNG_UP negotiate"].includes(seen), seen);
      assertNothingOpen(client);
    }));
}

function repOf(why: string): number {
  return Number.parseInt(/REP (..)/.exec(why)![1]!, 16);
}
