import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { TargetError } from "../../mod.ts";
import { type Address, decodeHost, parseHost, parseTarget } from "../../src/protocol/address.ts";
import { identify } from "../../src/attempt/dial.ts";
import { drive, sent } from "../../src/attempt/driver.ts";
import { Fault, socks5Error, type Socks5ErrorCode } from "../../src/errors.ts";
import { CMD, METHOD, REP, Reply, reply, request, select, userPass } from "../../src/protocol/messages.ts";
import { encodeCredentials, parseProxy } from "../../src/config/proxy_url.ts";
import type { Conn, Step, Steps } from "../../src/transport.ts";
import { HOSTILE_NAMES } from "../support/hostile_names.ts";
import { test } from "../support/test.ts";

/** Steps, what they send (one string for each write) and what they are answered: hex, the fields in their order. */
interface Vector {
  name: string;
  /** `"derived"` field by field from the RFC, `"recorded: server"` on loopback, or `"row: server"` of SERVERS.md. */
  from: "derived" | `recorded: ${string}` | `row: ${string}`;
  steps: () => Steps<unknown>;
  sends: string[];
  answer: string;
  /** What comes out: a value, or the code of a `Fault`. */
  gives: unknown;
  /** How many bytes of the answer decide; all of them if it is absent. */
  decides?: number;
  /** Where a reply begins that grants nothing: as many bytes of it may be taken as the shortest success has. */
  refusedAt?: number;
}

/** VER REP RSV ATYP, the length 0 of an empty name, and BND.PORT. */
const SHORTEST_SUCCESS = 7;

const alice = encodeCredentials({ username: "alice", password: "secret" });
const connect = (target: string) => () => request(CMD.CONNECT, parseTarget(target));
const bound = (bndAddr: string, bndPort: number) => ({ bndAddr, bndPort });

// RFC 1928 section 3: VER NMETHODS METHODS -> VER METHOD
const SELECT: Vector[] = [
  {
    name: "no authentication offered and taken",
    from: "recorded: dante 1.4.2, microsocks 1.0.3, tor 0.4.9.11",
    steps: () => select([0x00]),
    sends: ["05 01 00"],
    answer: "05 00",
    gives: 0x00,
  },
  {
    name: "both offered, the password taken",
    from: "recorded: microsocks 1.0.3, tor 0.4.9.11",
    steps: () => select([0x00, 0x02]),
    sends: ["05 02 0002"],
    answer: "05 02",
    gives: 0x02,
  },
  {
    name: "both offered, no authentication taken",
    from: "derived",
    steps: () => select([0x00, 0x02]),
    sends: ["05 02 0002"],
    answer: "05 00",
    gives: 0x00,
  },
  {
    name: "the password offered alone and taken",
    from: "recorded: microsocks 1.0.3",
    steps: () => select([0x02]),
    sends: ["05 01 02"],
    answer: "05 02",
    gives: 0x02,
  },
  {
    name: "255 methods offered",
    from: "derived",
    steps: () => select(Array.from({ length: 255 }, (_, i) => i)),
    sends: [`05 FF ${Array.from({ length: 255 }, (_, i) => i.toString(16).padStart(2, "0")).join("")}`],
    answer: "05 FE",
    gives: 0xfe,
  },
  {
    name: "the password offered to a server that has none",
    from: "recorded: dante 1.4.2, microsocks 1.0.3",
    steps: () => select([0x02]),
    sends: ["05 01 02"],
    answer: "05 FF",
    gives: "SOCKS5_AUTH_NO_METHOD",
  },
  {
    name: "no authentication offered to a server that wants a password",
    from: "recorded: microsocks 1.0.3",
    steps: () => select([0x00]),
    sends: ["05 01 00"],
    answer: "05 FF",
    gives: "SOCKS5_AUTH_NO_METHOD",
  },
  {
    name: "an unknown method offered",
    from: "recorded: dante 1.4.2, microsocks 1.0.3, tor 0.4.9.11",
    steps: () => select([0x09]),
    sends: ["05 01 09"],
    answer: "05 FF",
    gives: "SOCKS5_AUTH_NO_METHOD",
  },
  {
    name: "GSSAPI chosen, which was not offered",
    from: "derived",
    steps: () => select([0x00, 0x02]),
    sends: ["05 02 0002"],
    answer: "05 01",
    gives: "SOCKS5_PROXY_BAD_METHOD",
  },
  {
    name: "the first answer lost under the second",
    from: "recorded: tor 0.4.9.11, greeting and password in one segment",
    steps: () => select([0x02]),
    sends: ["05 01 02"],
    answer: "01 00",
    gives: "SOCKS5_PROXY_NOT_SOCKS5",
  },
  {
    name: "the answer of an HTTP server",
    from: "recorded: tor 0.4.9.11, asked in HTTP",
    steps: () => select([0x00]),
    sends: ["05 01 00"],
    answer: "485454502F312E30 20 353031 20 546F72206973206E6F7420616E20485454502050726F7879 0D0A",
    gives: "SOCKS5_PROXY_NOT_SOCKS5",
    decides: 2,
  },
  {
    name: "the answer of a SOCKS4 server",
    from: "recorded: tor 0.4.9.11, asked in SOCKS4",
    steps: () => select([0x00]),
    sends: ["05 01 00"],
    answer: "00 5B 0000 00000000",
    gives: "SOCKS5_PROXY_NOT_SOCKS5",
    decides: 2,
  },
];

// RFC 1929 section 2: VER ULEN UNAME PLEN PASSWD -> VER STATUS
const USER_PASS: Vector[] = [
  {
    name: "a right password",
    from: "recorded: microsocks 1.0.3, tor 0.4.9.11",
    steps: () => userPass(alice),
    sends: ["01 05 616C696365 06 736563726574"],
    answer: "01 00",
    gives: undefined,
  },
  {
    name: "a wrong password",
    from: "recorded: microsocks 1.0.3",
    steps: () => userPass(encodeCredentials({ username: "alice", password: "guess" })),
    sends: ["01 05 616C696365 05 6775657373"],
    answer: "01 02",
    gives: "SOCKS5_AUTH_REFUSED",
  },
  {
    name: "a wrong password, STATUS 01",
    from: "row: dante, go-socks5, pondwader, socksv5",
    steps: () => userPass(alice),
    sends: ["01 05 616C696365 06 736563726574"],
    answer: "01 01",
    gives: "SOCKS5_AUTH_REFUSED",
  },
  {
    name: "a wrong password, STATUS FF",
    from: "row: v2ray, simple-socks",
    steps: () => userPass(alice),
    sends: ["01 05 616C696365 06 736563726574"],
    answer: "01 FF",
    gives: "SOCKS5_AUTH_REFUSED",
  },
  {
    name: "an empty password",
    from: "derived",
    steps: () => userPass(encodeCredentials({ username: "u" })),
    sends: ["01 01 75 00"],
    answer: "01 00",
    gives: undefined,
  },
  {
    name: "user name and password in UTF-8",
    from: "derived",
    steps: () => userPass(encodeCredentials({ username: "ü", password: "€😀" })),
    sends: ["01 02 C3BC 07 E282ACF09F9880"],
    answer: "01 00",
    gives: undefined,
  },
  {
    name: "the longest user name and password",
    from: "derived",
    steps: () => userPass(encodeCredentials({ username: "u".repeat(255), password: "p".repeat(255) })),
    sends: [`01 FF ${"75".repeat(255)} FF ${"70".repeat(255)}`],
    answer: "01 00",
    gives: undefined,
  },
];

// RFC 1928 section 4: VER CMD RSV ATYP DST.ADDR DST.PORT; section 6: VER REP RSV ATYP BND.ADDR BND.PORT
const REQUEST: Vector[] = [
  {
    name: "CONNECT to IPv4, the real address bound",
    from: "recorded: dante 1.4.2",
    steps: connect("127.0.0.1:41481"),
    sends: ["05 01 00 01 7F000001 A209"],
    answer: "05 00 00 01 7F000001 D403",
    gives: bound("127.0.0.1", 54275),
  },
  {
    name: "CONNECT to IPv6, IPv6 bound",
    from: "recorded: dante 1.4.2",
    steps: connect("[::1]:50465"),
    sends: ["05 01 00 04 00000000000000000000000000000001 C521"],
    answer: "05 00 00 04 00000000000000000000000000000001 8998",
    gives: bound("::1", 35224),
  },
  {
    name: "CONNECT to IPv6, nothing bound",
    from: "recorded: microsocks 1.0.3",
    steps: connect("[::1]:50465"),
    sends: ["05 01 00 04 00000000000000000000000000000001 C521"],
    answer: "05 00 00 01 00000000 0000",
    gives: bound("0.0.0.0", 0),
  },
  {
    name: "CONNECT to a name, IPv4 bound",
    from: "recorded: dante 1.4.2",
    steps: connect("localhost:41481"),
    sends: ["05 01 00 03 09 6C6F63616C686F7374 A209"],
    answer: "05 00 00 01 7F000001 D339",
    gives: bound("127.0.0.1", 54073),
  },
  {
    name: "CONNECT to a name, the name echoed",
    from: "row: simple-socks",
    steps: connect("example.com:80"),
    sends: ["05 01 00 03 0B 6578616D706C652E636F6D 0050"],
    answer: "05 00 00 03 0B 6578616D706C652E636F6D 0050",
    gives: bound("example.com", 80),
  },
  {
    name: "CONNECT to IPv4, IPv6 bound",
    from: "row: tor on its unix socket",
    steps: connect("192.0.2.1:443"),
    sends: ["05 01 00 01 C0000201 01BB"],
    answer: "05 00 00 04 20010DB8000000000000000000000001 FFFF",
    gives: bound("2001:db8::1", 65535),
  },
  {
    name: "CONNECT, an empty name bound",
    from: "row: dante",
    steps: connect("192.0.2.1:443"),
    sends: ["05 01 00 01 C0000201 01BB"],
    answer: "05 00 00 03 00 0000",
    gives: bound("", 0),
  },
  {
    name: "CONNECT to the shortest name and the highest port",
    from: "derived",
    steps: connect("a:65535"),
    sends: ["05 01 00 03 01 61 FFFF"],
    answer: "05 00 00 03 01 62 0001",
    gives: bound("b", 1),
  },
  {
    name: "CONNECT to the longest name",
    from: "derived",
    steps: connect(`${"a.".repeat(127)}b:1`),
    sends: [`05 01 00 03 FF ${"612E".repeat(127)}62 0001`],
    answer: `05 00 00 03 FF ${"632E".repeat(127)}64 0102`,
    gives: bound(`${"c.".repeat(127)}d`, 258),
  },
  {
    name: "CONNECT to a name outside ASCII",
    from: "derived",
    steps: connect("münchen.test:80"),
    sends: ["05 01 00 03 13 786E2D2D6D6E6368656E2D3379612E74657374 0050"],
    answer: "05 00 00 01 00000000 0000",
    gives: bound("0.0.0.0", 0),
  },
  {
    name: "CONNECT to an IPv4-mapped address",
    from: "derived",
    steps: connect("[::ffff:192.0.2.1]:80"),
    sends: ["05 01 00 01 C0000201 0050"],
    answer: "05 00 00 01 00000000 0000",
    gives: bound("0.0.0.0", 0),
  },
  {
    name: "CONNECT with the first bytes for the target behind it",
    from: "derived",
    steps: () => request(CMD.CONNECT, parseTarget("a:1"), bytes("474554")),
    sends: ["05 01 00 03 01 61 0001 474554"],
    answer: "05 00 00 01 00000000 0000",
    gives: bound("0.0.0.0", 0),
  },
  {
    name: "CONNECT to IPv6 with the first bytes for the target behind it",
    from: "derived",
    steps: () => request(CMD.CONNECT, parseTarget("[::1]:258"), bytes("00")),
    sends: ["05 01 00 04 00000000000000000000000000000001 0102 00"],
    answer: "05 00 00 01 00000000 0000",
    gives: bound("0.0.0.0", 0),
  },
  {
    name: "BIND, the first reply",
    from: "recorded: dante 1.4.2",
    steps: () => request(CMD.BIND, parseTarget("127.0.0.1:41481")),
    sends: ["05 02 00 01 7F000001 A209"],
    answer: "05 00 00 01 7F000001 BCB7",
    gives: bound("127.0.0.1", 48311),
  },
  {
    name: "BIND, the second reply",
    from: "derived",
    steps: () => reply(),
    sends: [],
    answer: "05 00 00 01 C0000201 A209",
    gives: bound("192.0.2.1", 41481),
  },
  {
    name: "UDP ASSOCIATE from anywhere",
    from: "recorded: dante 1.4.2",
    steps: () => request(CMD.UDP_ASSOCIATE, { ...parseHost("0.0.0.0") as Address, port: 0 }),
    sends: ["05 03 00 01 00000000 0000"],
    answer: "05 00 00 01 7F000001 BC88",
    gives: bound("127.0.0.1", 48264),
  },
  {
    name: "CONNECT refused, a full reply",
    from: "recorded: dante 1.4.2",
    steps: connect("127.0.0.1:1"),
    sends: ["05 01 00 01 7F000001 0001"],
    answer: "05 05 00 01 7F000001 D205",
    gives: "SOCKS5_TARGET_REFUSED",
    decides: 2,
    refusedAt: 0,
  },
  {
    name: "CONNECT refused, a reply of two bytes",
    from: "row: socksv5",
    steps: connect("127.0.0.1:1"),
    sends: ["05 01 00 01 7F000001 0001"],
    answer: "05 05",
    gives: "SOCKS5_TARGET_REFUSED",
    refusedAt: 0,
  },
  {
    name: "CONNECT to a name that does not exist, which is echoed",
    from: "recorded: dante 1.4.2",
    steps: connect("nx.invalid:80"),
    sends: ["05 01 00 03 0A 6E782E696E76616C6964 0050"],
    answer: "05 04 00 03 0A 6E782E696E76616C6964 0050",
    gives: "SOCKS5_TARGET_HOST_UNREACHABLE",
    decides: 2,
    refusedAt: 0,
  },
  {
    name: "CONNECT to a name that does not exist",
    from: "recorded: microsocks 1.0.3",
    steps: connect("nx.invalid:80"),
    sends: ["05 01 00 03 0A 6E782E696E76616C6964 0050"],
    answer: "05 01 00 01 00000000 0000",
    gives: "SOCKS5_TARGET_FAILED",
    decides: 2,
    refusedAt: 0,
  },
  {
    name: "BIND refused",
    from: "recorded: microsocks 1.0.3, tor 0.4.9.11",
    steps: () => request(CMD.BIND, parseTarget("127.0.0.1:41481")),
    sends: ["05 02 00 01 7F000001 A209"],
    answer: "05 07 00 01 00000000 0000",
    gives: "SOCKS5_TARGET_BAD_COMMAND",
    decides: 2,
    refusedAt: 0,
  },
  {
    name: "UDP ASSOCIATE refused in two bytes",
    from: "row: pondwader, socksv5",
    steps: () => request(CMD.UDP_ASSOCIATE, { ...parseHost("0.0.0.0") as Address, port: 0 }),
    sends: ["05 03 00 01 00000000 0000"],
    answer: "05 07",
    gives: "SOCKS5_TARGET_BAD_COMMAND",
    refusedAt: 0,
  },
  {
    name: "a reply of another version",
    from: "derived",
    steps: connect("a:1"),
    sends: ["05 01 00 03 01 61 0001"],
    answer: "04 00 00 01 00000000 0000",
    gives: "SOCKS5_PROXY_BAD_REPLY",
    decides: 2,
    refusedAt: 0,
  },
  {
    name: "a success with an unknown ATYP",
    from: "derived",
    steps: connect("a:1"),
    sends: ["05 01 00 03 01 61 0001"],
    answer: "05 00 00 02 00000000 0000",
    gives: "SOCKS5_PROXY_BAD_REPLY",
    decides: 5,
    refusedAt: 0,
  },
];

// RFC 1928 sections 3, 4 and 6 and RFC 1929 section 2, one after another on one connection
const WHOLE: Vector[] = [
  {
    name: "a handshake without authentication",
    from: "recorded: dante 1.4.2",
    steps: handshake([0x00], "127.0.0.1:41481"),
    sends: ["05 01 00", "05 01 00 01 7F000001 A209"],
    answer: "05 00  05 00 00 01 7F000001 D403",
    gives: bound("127.0.0.1", 54275),
  },
  {
    name: "a handshake with a password",
    from: "recorded: microsocks 1.0.3",
    steps: handshake([0x00, 0x02], "127.0.0.1:41481"),
    sends: ["05 02 0002", "01 05 616C696365 06 736563726574", "05 01 00 01 7F000001 A209"],
    answer: "05 02  01 00  05 00 00 01 00000000 0000",
    gives: bound("0.0.0.0", 0),
  },
  {
    name: "a handshake that fails at the target",
    from: "recorded: tor 0.4.9.11, offline",
    steps: handshake([0x00, 0x02], "127.0.0.1:41481"),
    sends: ["05 02 0002", "01 05 616C696365 06 736563726574", "05 01 00 01 7F000001 A209"],
    answer: "05 02  01 00  05 01 00 01 00000000 0000",
    gives: "SOCKS5_TARGET_FAILED",
    decides: 6,
    refusedAt: 4,
  },
  {
    name: "a handshake that fails at the password",
    from: "recorded: microsocks 1.0.3",
    steps: handshake([0x02], "127.0.0.1:41481"),
    sends: ["05 01 02", "01 05 616C696365 06 736563726574"],
    answer: "05 02  01 02",
    gives: "SOCKS5_AUTH_REFUSED",
  },
];

function handshake(methods: readonly number[], target: string): () => Steps<unknown> {
  return function* () {
    if ((yield* select(methods)) === METHOD.USERNAME_PASSWORD) yield* userPass(alice);
    return yield* request(CMD.CONNECT, parseTarget(target));
  };
}

for (const vector of [...SELECT, ...USER_PASS, ...REQUEST, ...WHOLE]) {
  const { name, from, steps, gives } = vector;
  const answer = bytes(vector.answer);
  const decides = vector.decides ?? answer.length;
  const sends = vector.sends.map((message) => message.replaceAll(" ", "").toLowerCase());
  const given = (...chunks: Uint8Array[]) => ({ gives, taken: takenOf(vector, chunks), sends });

  test(`${name} (${from}): whole, each message in exactly one write`, async () => {
    assertEquals(await outcome(steps(), [answer]), given(answer));
  });

  test(`${name} (${from}): in two parts, cut at each byte, and byte by byte`, async () => {
    for (let at = 1; at < answer.length; at++) {
      const parts = [answer.subarray(0, at), answer.subarray(at)];
      assertEquals(await outcome(steps(), parts), given(...parts), `cut at ${at}`);
    }
    const single = Array.from(answer, (byte) => Uint8Array.of(byte));
    assertEquals(await outcome(steps(), single), { gives, taken: decides, sends });
  });

  const more = vector.refusedAt === undefined ? "are not read" : "are read as far as a success would need them";
  test(`${name} (${from}): bytes that follow ${more}`, async () => {
    for (const trailing of ["00", "05 00", "05 05 00 01 00000000 0000", "FF".repeat(1000)]) {
      const all = Uint8Array.of(...answer, ...bytes(trailing));
      assertEquals(await outcome(steps(), [all]), given(all));
      if (vector.refusedAt === undefined) assertEquals(given(all).taken, decides);
    }
  });

  test(`${name} (${from}): an end after each byte is told, unless what came has decided`, async () => {
    for (let length = 0; length <= answer.length; length++) {
      const part = answer.subarray(0, length);
      const { gives, taken } = await outcome(steps(), [part]);
      if (length >= decides) assertEquals({ gives, taken }, { gives: vector.gives, taken: takenOf(vector, [part]) });
      else assertEquals({ gives, taken }, { gives: "SOCKS5_PROXY_HUNG_UP", taken: length });
    }
  });
}

test("a message waits for the answer to the last, and of the reply as much is read as each success has, then the rest", async () => {
  const line = new Line([bytes("05 02  01 00  05 00 00 03 03 612E62 0050")]);
  assertEquals(boundOf(await drive(line, handshake([0x00, 0x02], "a:80")())), bound("a.b", 80));
  assertEquals(line.log, [
    "write 05020002",
    "read 2",
    "write 0105616c69636506736563726574",
    "read 2",
    "write 0501000301610050",
    "read 7",
    "read 3",
  ]);
});

test("each address type of a reply is read to its end and not further", async () => {
  const cases: [string, number][] = [["01 00000000 0000", 10], [`04 ${"00".repeat(16)} 0000`, 22]];
  for (let length = 0; length < 256; length++) {
    const field = length.toString(16).padStart(2, "0");
    cases.push([`03 ${field} ${"61".repeat(length)} 0050`, 7 + length]);
  }
  for (const [address, length] of cases) {
    const line = new Line([bytes(`05 00 00 ${address} DEADBEEF`)]);
    await drive(line, reply());
    assertEquals(line.log, ["read 7", ...(length > 7 ? [`read ${length - 7}`] : [])]);
    assertEquals(line.taken, length);
  }
});

test("a refusal is told although nothing follows it: no more is awaited than decides", async () => {
  for (const [answer, decides] of [["05 05", 2], ["04 00", 2], ["05 00 00 02 00", 5]] as const) {
    const line = new Line(Array.from(bytes(answer), (byte) => Uint8Array.of(byte)));
    await assertRejects(() => drive(line, reply()), Fault);
    assertEquals([line.taken, line.log.length], [decides, decides]);
  }
});

test("a connection that takes conversations is given them, and told how to call an end", async () => {
  const line = new Line([]);
  const told: unknown[] = [];
  const wire = {
    read: line.read.bind(line),
    write: line.write.bind(line),
    converse: <T>(steps: Steps<T>, ended: () => unknown): Promise<T> => {
      told.push(steps, ended());
      return Promise.resolve("what it gives" as T);
    },
  };
  const steps = select([0x00]);
  assertEquals<unknown>(await drive(wire, steps), "what it gives");
  assertEquals([told[0] === steps, line.log], [true, []]);
  assertInstanceOf(told[1], Fault);
  assertEquals([told[1].code, told[1].message], ["SOCKS5_PROXY_HUNG_UP", "the proxy closed the connection"]);
});

test("what has been sent already is not sent again, and the answers are taken from the connection itself", async () => {
  const line = new Line([bytes("05 02  01 00  05 00 00 01 7F000001 0050 FF")]);
  const wire = {
    read: line.read.bind(line),
    write: line.write.bind(line),
    converse: () => Promise.reject("not asked"),
  };
  assertEquals(boundOf(await drive(sent(wire), handshake([0x00, 0x02], "a:80")())), bound("127.0.0.1", 80));
  assertEquals(line.log, ["read 2", "read 2", "read 7", "read 3"]);
});

test("every length of a bound name from 0 to 255 gives that name and the port behind it", async () => {
  for (let length = 0; length < 256; length++) {
    const answer = Uint8Array.of(5, 0, 0, 3, length, ...new Uint8Array(length).fill(0x61), 0x12, 0x34);
    const { atyp, bndAddr, bndPort } = await drive(new Line([answer]), reply());
    assertEquals([atyp, bndAddr, bndPort], [3, new Uint8Array(length).fill(0x61), 0x1234]);
  }
});

test("what a proxy writes into a bound name is a host name, or none", async () => {
  for (const name of HOSTILE_NAMES) {
    const text = Array.from(name, (char) => char.charCodeAt(0));
    const answer = Uint8Array.of(5, 0, 0, 3, text.length, ...text, 0, 1);
    assertEquals(boundOf(await drive(new Line([answer]), reply())), bound("", 1));
    const fault = await faultOf(() => request(CMD.BIND, parseTarget("a:1")), answer);
    assertEquals(fault.code, "SOCKS5_PROXY_BAD_REPLY");
  }
});

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
      firstStep(request(cmd, parseTarget("1.2.3.4:5"))).write,
      Uint8Array.of(5, cmd, 0, 1, 1, 2, 3, 4, 0, 5),
    );
  }
  assertEquals(CMD, { CONNECT: 0x01, BIND: 0x02, UDP_ASSOCIATE: 0x03, RESOLVE: 0xf0, RESOLVE_PTR: 0xf1 });
});

test("tolerant: RSV of a reply may be anything", async () => {
  for (let rsv = 0; rsv < 256; rsv++) {
    const answer = Uint8Array.of(5, 0, rsv, 1, 127, 0, 0, 1, 0, 80);
    assertEquals(boundOf(await drive(new Line([answer]), reply())), bound("127.0.0.1", 80));
  }
});

test("tolerant: VER of the answer to user name and password may be 5, STATUS decides", async () => {
  for (const ver of [1, 5]) {
    await drive(new Line([Uint8Array.of(ver, 0)]), userPass(alice));
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
      const reply = await drive(new Line([bytes(`05 00 00 ${address}`)]), connect(target)());
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
        const fault = await drive(new Line([answer]), steps()).then(() => null, (error: unknown) => error);
        if (fault === null) continue;
        assertInstanceOf(fault, Fault);
        assertMatch(fault.message, /^[ -~]{1,120}$/);
      }
    }
  }
});

test("what the connection throws comes through as it is, and nothing more is sent", async () => {
  const broken = new Error("ECONNRESET");
  const reading = new Line([bytes("05 02  01")]);
  const read = reading.read.bind(reading);
  reading.read = (p) => reading.taken === 3 ? Promise.reject(broken) : read(p);
  const steps = handshake([0x00, 0x02], "a:80")();
  assertEquals(await assertRejects(() => drive(reading, steps), Error), broken);
  assertEquals(reading.log.filter((entry) => entry.startsWith("write")).length, 2);
  const writing = new Line([]);
  writing.write = () => Promise.reject(broken);
  assertEquals(await assertRejects(() => drive(writing, select([0x00])), Error), broken);
  assertEquals(writing.log, []);
});

/** An in-memory connection that gives one chunk after another, then the end, and notes what goes on. */
class Line implements Conn {
  readonly log: string[] = [];
  taken = 0;
  readonly #chunks: Uint8Array[];
  #ended = false;

  constructor(chunks: readonly Uint8Array[]) {
    this.#chunks = chunks.filter((chunk) => chunk.length > 0);
  }

  read(p: Uint8Array): Promise<number | null> {
    this.log.push(`read ${p.length}`);
    const chunk = this.#chunks.shift();
    if (chunk === undefined) return this.#end();
    const part = chunk.subarray(0, p.length);
    p.set(part);
    this.taken += part.length;
    if (part.length < chunk.length) this.#chunks.unshift(chunk.subarray(part.length));
    return Promise.resolve(part.length);
  }

  write(p: Uint8Array): Promise<number> {
    this.log.push(`write ${Array.from(p, (byte) => byte.toString(16).padStart(2, "0")).join("")}`);
    return Promise.resolve(p.length);
  }

  #end(): Promise<null> {
    if (this.#ended) return Promise.reject(new Error("read after the end"));
    this.#ended = true;
    return Promise.resolve(null);
  }

  closeWrite(): Promise<void> {
    return Promise.reject(new Error("a handshake ends no side"));
  }

  close(): void {
    throw new Error("a handshake closes nothing");
  }
}

async function outcome(
  steps: Steps<unknown>,
  chunks: readonly Uint8Array[],
): Promise<{ gives: unknown; taken: number; sends: string[] }> {
  const line = new Line(chunks);
  const gives = await drive(line, steps).then(boundOf, (error: unknown) => {
    assertInstanceOf(error, Fault);
    return error.code;
  });
  const sends = line.log.filter((entry) => entry.startsWith("write ")).map((entry) => entry.slice("write ".length));
  return { gives, taken: line.taken, sends };
}

/** What a reply says of the address that is bound, as it is shown; anything else as it is. */
function boundOf(value: unknown): unknown {
  return value instanceof Reply ? bound(decodeHost(value.atyp, value.bndAddr), value.bndPort) : value;
}

/** How many bytes are taken of an answer that comes in these chunks: each read of a refusal takes what is there. */
function takenOf({ answer, decides = bytes(answer).length, refusedAt }: Vector, chunks: readonly Uint8Array[]): number {
  if (refusedAt === undefined) return decides;
  let taken = refusedAt;
  let end = 0;
  for (const chunk of chunks) {
    end += chunk.length;
    if (taken < decides) taken = Math.max(taken, Math.min(end, refusedAt + SHORTEST_SUCCESS));
  }
  return taken;
}

function faultOf(steps: () => Steps<unknown>, answer: Uint8Array): Promise<Fault> {
  return assertRejects(() => drive(new Line([answer]), steps()), Fault);
}

function firstStep(steps: Steps<unknown>): Step {
  const step = steps.next();
  assert(!step.done);
  return step.value;
}

function bytes(hex: string): Uint8Array {
  return Uint8Array.from(hex.replaceAll(" ", "").match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}
