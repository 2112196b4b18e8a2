import { assert, assertEquals } from "@std/assert";
import { env } from "node:process";
import { Socks5Client, Socks5Error, TargetError } from "../../mod.ts";
import { parseTarget } from "../../src/protocol/address.ts";
import { converse } from "../../src/attempt/converse.ts";
import { ProtocolError } from "../../src/errors.ts";
import { CMD, command, METHOD, select, userPass } from "../../src/protocol/messages.ts";
import { encodeCredentials } from "../../src/config/proxy_url.ts";
import type { Steps } from "../../src/protocol/steps.ts";
import type { Conn } from "../../src/transport.ts";
import { quick, test } from "../support/test.ts";

const CASES = 10_000;
const CLIENT_CASES = 2_000;
const credentials = { username: "alice", password: "secret" };

/** Numbers from 0 up to but not including `below`, the same for the same seed (mulberry32). */
type Random = (below: number) => number;

function random(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Runs `cases` cases, each with a seed of its own; a failure names it, and FUZZ_SEED in the environment repeats it. */
async function fuzz(cases: number, run: (rnd: Random) => Promise<void>): Promise<void> {
  const start = Number(env["FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
  let hung: ReturnType<typeof setTimeout> | undefined;
  let seed = start;
  const deadline = new Promise<never>((_, reject) => {
    hung = setTimeout(() => reject(new Error("it hangs")), 50_000);
  });
  try {
    for (const end = start + (quick ? cases / 10 : cases); seed < end; seed++) {
      await Promise.race([run(random(seed)), deadline]);
    }
  } catch (error) {
    throw new Error(`FUZZ_SEED=${seed}: ${error instanceof Error ? error.message : error}`, { cause: error });
  } finally {
    clearTimeout(hung);
  }
}

/** What a server may answer to a whole handshake, from right to wrong. */
function answer(rnd: Random): number[] {
  const noise = (length: number) => Array.from({ length }, () => rnd(256));
  if (rnd(4) === 0) return noise(rnd(40));
  const method = [0x00, 0x02, 0x02, 0x01, 0xff][rnd(5)]!;
  const status = method === 0x02 ? [rnd(2), [0, 0, 0, 1, 0xff][rnd(5)]!] : [];
  const rep = rnd(2) === 0 ? 0 : rnd(256);
  const length = [0, 1, 11, 255][rnd(4)]!;
  const address = [[1, ...noise(4)], [4, ...noise(16)], [3, length, ...noise(length)], [
    rnd(256),
    ...noise(5),
  ]][rnd(4)]!;
  const bytes = [5, method, ...status, 5, rep, rnd(3), ...address, ...noise(2)];
  for (let mutations = rnd(3); mutations > 0; mutations--) mutate(bytes, rnd);
  return bytes;
}

function mutate(bytes: number[], rnd: Random): void {
  const at = rnd(bytes.length + 1);
  const kind = rnd(5);
  if (kind === 0) bytes[Math.min(at, bytes.length)] = rnd(256);
  else if (kind === 1) bytes.splice(at, 0, rnd(256));
  else if (kind === 2) bytes.splice(at, 1 + rnd(3));
  else if (kind === 3) bytes.splice(at);
  else bytes.push(...bytes.slice(0, at));
}

/** What the codec has to make of an answer. */
interface Expected {
  /** The code of the failure, or the bound port. */
  gives: string | number;
  /** How many bytes decide. */
  taken: number;
  /** How many may be taken: of a reply, in one read, as many as each success has. */
  most: number;
  /** Whether it is no answer of SOCKS5, of which the client then takes more to say what it was. */
  foreign: boolean;
}

const SHORTEST_SUCCESS = 7;

/** The handshake once more, as plainly as can be. */
function oracle(bytes: readonly number[], methods: readonly number[]): Expected {
  const { gives, taken, reply, foreign = false } = plainOracle(bytes, methods);
  return { gives, taken, most: reply === undefined ? taken : reply + SHORTEST_SUCCESS, foreign };
}

/** `reply`: where the reply began, if it was come to. */
function plainOracle(
  bytes: readonly number[],
  methods: readonly number[],
): { gives: string | number; taken: number; reply?: number; foreign?: boolean } {
  let taken = 0;
  const missing = (length: number): boolean => {
    const short = bytes.length < taken + length;
    taken = short ? bytes.length : taken + length;
    return short;
  };
  const at = (index: number): number => bytes[taken + index]!;
  const end = { gives: "SOCKS5_PROXY_HUNG_UP", taken: bytes.length };
  if (missing(2)) return end;
  if (at(-2) !== 5) return { gives: "SOCKS5_PROXY_NOT_SOCKS5", taken, foreign: true };
  const method = at(-1);
  if (method === 0xff) return { gives: "SOCKS5_AUTH_NO_METHOD", taken };
  if (!methods.includes(method)) return { gives: "SOCKS5_PROXY_BAD_METHOD", taken };
  if (method === 2) {
    if (missing(2)) return end;
    if (at(-2) !== 1 && at(-2) !== 5) return { gives: "SOCKS5_PROXY_BAD_REPLY", taken, foreign: true };
    if (at(-1) !== 0) return { gives: "SOCKS5_AUTH_REFUSED", taken };
  }
  const reply = taken;
  if (missing(2)) return end;
  if (at(-2) !== 5) return { gives: "SOCKS5_PROXY_BAD_REPLY", taken, reply, foreign: true };
  if (at(-1) !== 0) return { gives: `REP ${at(-1)}`, taken, reply };
  if (missing(3)) return end;
  const lengths: Record<number, number> = { 1: 4, 3: 1 + at(-1), 4: 16 };
  const length = lengths[at(-2)];
  if (length === undefined) return { gives: "SOCKS5_PROXY_BAD_REPLY", taken, reply };
  if (missing(length - 1 + 2)) return end;
  return { gives: at(-2) * 256 + at(-1), taken };
}

function* handshake(methods: readonly number[]): Steps<number> {
  if ((yield* select(methods)) === METHOD.USERNAME_PASSWORD) yield* userPass(encodeCredentials(credentials));
  return (yield* command(CMD.CONNECT, parseTarget("example.com:80"))).bndPort;
}

test("whatever the bytes and however they are cut, the codec gives what the RFC says and takes no byte too many", () =>
  fuzz(CASES, async (rnd) => {
    const bytes = answer(rnd);
    const methods = [[0x00], [0x02], [0x00, 0x02]][rnd(3)]!;
    const line = new Line(bytes, rnd, null);
    const gives = await converse(line, handshake(methods)).catch((error: unknown) => {
      assert(error instanceof ProtocolError, `not a Fault but ${error}`);
      return error.rep === null ? error.code : `REP ${error.rep}`;
    });
    const expected = oracle(bytes, methods);
    assertEquals(gives, expected.gives);
    assertTakes(line, expected);
    assertEquals(line.closed, 0, "the codec closes nothing");
  }));

/** What an end or a reset in the middle of the handshake is, by its phase. */
const HUNG_UP: Record<string, string[]> = {
  negotiate: ["SOCKS5_PROXY_HUNG_UP"],
  authenticate: ["SOCKS5_PROXY_HUNG_UP", "SOCKS5_AUTH_REFUSED"],
  request: ["SOCKS5_TARGET_NO_REPLY"],
};

test("whatever the bytes, connect() gives a tunnel or rejects with a Socks5Error and closes once", () =>
  fuzz(CLIENT_CASES, async (rnd) => {
    const bytes = answer(rnd);
    const line = new Line(bytes, rnd, [null, "ECONNRESET"][rnd(2)]!);
    const [proxy, methods] = [
      ["socks5h://proxy.test", [0x00]] as const,
      ["socks5h://alice:secret@proxy.test", [0x00, 0x02]] as const,
    ][rnd(2)]!;
    const client = new Socks5Client(proxy, { transport: { connect: () => Promise.resolve(line) }, retry: 0 });
    const expected = oracle(bytes, methods);
    const result = await client.connect("example.com:80").catch((error: unknown) => error);
    if (expected.foreign) assert(line.taken >= expected.taken && line.taken <= expected.most + 512);
    else assertTakes(line, expected);
    if (typeof expected.gives === "number") {
      assert(!(result instanceof Error), String(result));
      const conn = result as Awaited<ReturnType<typeof client.connect>>;
      assertEquals([conn.boundAddress.port, line.closed], [expected.gives, 0]);
      assertSafe(conn.boundAddress.hostname);
      conn.close();
    } else {
      assert(result instanceof Socks5Error, `not a Socks5Error but ${result}`);
      assertSafe(result.message);
      const codes = expected.gives === "SOCKS5_PROXY_HUNG_UP" ? HUNG_UP[result.phase] ?? [] : [expected.gives];
      const gives = result instanceof TargetError && result.rep !== null ? `REP ${result.rep}` : result.code;
      assert(codes.includes(gives), `${gives} and not ${codes}`);
    }
    assertEquals(line.closed, 1);
    const { opening, inUse, idle, waiting } = client.stats();
    assertEquals([opening, inUse, idle, waiting], [0, 0, 0, 0]);
    await client.close();
    assertEquals(line.closed, 1, "nothing is closed twice");
  }));

test("whatever the bytes before the silence, connect() ends in time and closes once", () =>
  fuzz(500, async (rnd) => {
    const bytes = answer(rnd);
    const line = new Line(bytes, rnd, "silence");
    let dialled = false;
    const transport = { connect: () => (dialled = true, Promise.resolve(line)) };
    const client = new Socks5Client("socks5h://alice:secret@proxy.test", { transport, retry: 0, timeout: 2 });
    const { gives, taken } = oracle(bytes, [0x00, 0x02]);
    const result = await client.connect("example.com:80").catch((error: unknown) => error);
    if (!dialled) return; // on a busy machine its time was over before
    if (gives === "SOCKS5_PROXY_HUNG_UP") {
      assertEquals(result instanceof Socks5Error && result.code, "SOCKS5_TIMEOUT");
      assertEquals(line.closed, 1);
      assert(line.taken <= taken, "more was read than asked for");
    } else {
      // the deadline and the bytes race here: either may win
      assert(result instanceof Socks5Error === (line.closed === 1), String(result));
    }
    await client.close();
    assertEquals(line.closed, 1);
  }));

test("whatever the bytes, check() gives a report and closes once", () =>
  fuzz(CLIENT_CASES, async (rnd) => {
    const line = new Line(answer(rnd), rnd, [null, "ECONNRESET"][rnd(2)]!);
    const client = new Socks5Client("socks5h://alice:secret@proxy.test", {
      transport: { connect: () => Promise.resolve(line) },
    });
    const [report] = await client.check("example.com:80", { probe: Uint8Array.of(1) });
    assert(report !== undefined);
    assertSafe(JSON.stringify(report));
    assertEquals(report.steps.length, 5);
    assertEquals(report.verdict === "ok", report.code === undefined);
    assertEquals(line.closed, 1);
    await client.close();
  }));

/** No byte too many was taken, none was asked for after what decides, and whatever decides was. */
function assertTakes(line: Line, { gives, taken, most }: Expected): void {
  assert(line.taken >= taken && line.taken <= most, `took ${line.taken}, which is not between ${taken} and ${most}`);
  if (gives === "SOCKS5_PROXY_HUNG_UP") assertEquals(line.lastRead, taken, "the last read is that of the end");
  else assert(line.lastRead < taken, `asked for more after byte ${line.lastRead}, although ${taken} decide`);
}

function assertSafe(text: string): void {
  assert(/^[ -~]*$/.test(text), JSON.stringify(text));
}

/** An in-memory connection that gives some of what was asked for at a time, then its end. */
class Line implements Conn {
  taken = 0;
  /** How many bytes had been taken when the last read began. */
  lastRead = -1;
  closed = 0;
  readonly #bytes: readonly number[];
  readonly #rnd: Random;
  readonly #end: string | null;
  #ended = false;
  #silenced: ((error: Error) => void) | undefined;

  /** `end`: `null` for the end of the stream, `"silence"`, or the code of an error. */
  constructor(bytes: readonly number[], rnd: Random, end: string | null) {
    this.#bytes = bytes;
    this.#rnd = rnd;
    this.#end = end;
  }

  read(p: Uint8Array): Promise<number | null> {
    const left = this.#bytes.length - this.taken;
    this.lastRead = this.taken;
    if (this.closed > 0) return Promise.reject(new Error("read after close"));
    if (p.length === 0) return Promise.reject(new Error("nothing was asked for"));
    if (this.#ended) return Promise.reject(new TypeError("read after the end"));
    this.#ended = left === 0;
    if (left === 0 && this.#end === null) return Promise.resolve(null);
    if (left === 0 && this.#end === "silence") return new Promise((_, reject) => this.#silenced = reject);
    if (left === 0) return Promise.reject(Object.assign(new Error("read failed"), { code: this.#end }));
    const n = 1 + this.#rnd(Math.min(left, p.length));
    p.set(this.#bytes.slice(this.taken, this.taken + n));
    this.taken += n;
    return Promise.resolve(n);
  }

  write(p: Uint8Array): Promise<number> {
    return this.closed > 0 ? Promise.reject(new Error("write after close")) : Promise.resolve(p.length);
  }

  closeWrite(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    this.closed++;
    this.#silenced?.(new Error("closed"));
  }
}
