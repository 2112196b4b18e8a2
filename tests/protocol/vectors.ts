import { type Address, parseHost, parseTarget } from "../../src/protocol/address.ts";
import { CMD, command, type Reply, reply, select, type UserPass, userPass } from "../../src/protocol/messages.ts";
import { encodeCredentials } from "../../src/config/proxy_url.ts";
import type { Steps } from "../../src/protocol/steps.ts";
import { bytes } from "./line.ts";

/** Steps, what they send (one string for each write) and what they are answered: hex, the fields in their order. */
export interface Vector {
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
export const SHORTEST_SUCCESS = 7;

/** Encoded. */
export const alice: UserPass = encodeCredentials({ username: "alice", password: "secret" });
/** The steps of a CONNECT. */
export const connect = (target: string) => (): Steps<Reply> => command(CMD.CONNECT, parseTarget(target));
/** Where a reply says that something is bound. */
export const bound = (bndAddr: string, bndPort: number): { bndAddr: string; bndPort: number } => ({ bndAddr, bndPort });

// RFC 1928 section 3: VER NMETHODS METHODS -> VER METHOD
export const SELECT: Vector[] = [
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
export const USER_PASS: Vector[] = [
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
export const REQUEST: Vector[] = [
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
    steps: () => command(CMD.CONNECT, parseTarget("a:1"), bytes("474554")),
    sends: ["05 01 00 03 01 61 0001 474554"],
    answer: "05 00 00 01 00000000 0000",
    gives: bound("0.0.0.0", 0),
  },
  {
    name: "CONNECT to IPv6 with the first bytes for the target behind it",
    from: "derived",
    steps: () => command(CMD.CONNECT, parseTarget("[::1]:258"), bytes("00")),
    sends: ["05 01 00 04 00000000000000000000000000000001 0102 00"],
    answer: "05 00 00 01 00000000 0000",
    gives: bound("0.0.0.0", 0),
  },
  {
    name: "BIND, the first reply",
    from: "recorded: dante 1.4.2",
    steps: () => command(CMD.BIND, parseTarget("127.0.0.1:41481")),
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
    steps: () => command(CMD.UDP_ASSOCIATE, { ...parseHost("0.0.0.0") as Address, port: 0 }),
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
    steps: () => command(CMD.BIND, parseTarget("127.0.0.1:41481")),
    sends: ["05 02 00 01 7F000001 A209"],
    answer: "05 07 00 01 00000000 0000",
    gives: "SOCKS5_TARGET_BAD_COMMAND",
    decides: 2,
    refusedAt: 0,
  },
  {
    name: "UDP ASSOCIATE refused in two bytes",
    from: "row: pondwader, socksv5",
    steps: () => command(CMD.UDP_ASSOCIATE, { ...parseHost("0.0.0.0") as Address, port: 0 }),
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
