import { assertEquals, assertRejects } from "@std/assert";
import { parseTarget } from "../../src/protocol/address.ts";
import { converse, withoutWrites } from "../../src/attempt/converse.ts";
import { ProtocolError } from "../../src/errors.ts";
import { CMD, command, METHOD, reply, select, userPass } from "../../src/protocol/messages.ts";
import type { Steps } from "../../src/protocol/steps.ts";
import { HOSTILE_NAMES } from "../support/hostile_names.ts";
import { test } from "../support/test.ts";
import { alice, bound, REQUEST, SELECT, USER_PASS, type Vector } from "./vectors.ts";
import { boundOf, bytes, faultOf, Line, outcome, takenOf } from "./line.ts";

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
    return yield* command(CMD.CONNECT, parseTarget(target));
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
  assertEquals(boundOf(await converse(line, handshake([0x00, 0x02], "a:80")())), bound("a.b", 80));
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
    await converse(line, reply());
    assertEquals(line.log, ["read 7", ...(length > 7 ? [`read ${length - 7}`] : [])]);
    assertEquals(line.taken, length);
  }
});

test("a refusal is told although nothing follows it: no more is awaited than decides", async () => {
  for (const [answer, decides] of [["05 05", 2], ["04 00", 2], ["05 00 00 02 00", 5]] as const) {
    const line = new Line(Array.from(bytes(answer), (byte) => Uint8Array.of(byte)));
    await assertRejects(() => converse(line, reply()), ProtocolError);
    assertEquals([line.taken, line.log.length], [decides, decides]);
  }
});

test("what has been sent already is not sent again, and the answers are taken from the connection itself", async () => {
  const line = new Line([bytes("05 02  01 00  05 00 00 01 7F000001 0050 FF")]);
  const wire = {
    read: line.read.bind(line),
    write: line.write.bind(line),
  };
  assertEquals(boundOf(await converse(withoutWrites(wire), handshake([0x00, 0x02], "a:80")())), bound("127.0.0.1", 80));
  assertEquals(line.log, ["read 2", "read 2", "read 7", "read 3"]);
});

test("every length of a bound name from 0 to 255 gives that name and the port behind it", async () => {
  for (let length = 0; length < 256; length++) {
    const answer = Uint8Array.of(5, 0, 0, 3, length, ...new Uint8Array(length).fill(0x61), 0x12, 0x34);
    const { atyp, bndAddr, bndPort } = await converse(new Line([answer]), reply());
    assertEquals([atyp, bndAddr, bndPort], [3, new Uint8Array(length).fill(0x61), 0x1234]);
  }
});

test("what a proxy writes into a bound name is a host name, or none", async () => {
  for (const name of HOSTILE_NAMES) {
    const text = Array.from(name, (char) => char.charCodeAt(0));
    const answer = Uint8Array.of(5, 0, 0, 3, text.length, ...text, 0, 1);
    assertEquals(boundOf(await converse(new Line([answer]), reply())), bound("", 1));
    const fault = await faultOf(() => command(CMD.BIND, parseTarget("a:1")), answer);
    assertEquals(fault.code, "SOCKS5_PROXY_BAD_REPLY");
  }
});

test("what the connection throws comes through as it is, and nothing more is sent", async () => {
  const broken = new Error("ECONNRESET");
  const reading = new Line([bytes("05 02  01")]);
  const read = reading.read.bind(reading);
  reading.read = (p) => reading.taken === 3 ? Promise.reject(broken) : read(p);
  const steps = handshake([0x00, 0x02], "a:80")();
  assertEquals(await assertRejects(() => converse(reading, steps), Error), broken);
  assertEquals(reading.log.filter((entry) => entry.startsWith("write")).length, 2);
  const writing = new Line([]);
  writing.write = () => Promise.reject(broken);
  assertEquals(await assertRejects(() => converse(writing, select([0x00])), Error), broken);
  assertEquals(writing.log, []);
});
