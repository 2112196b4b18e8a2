import { assert, assertEquals, assertGreaterOrEqual, assertLessOrEqual } from "@std/assert";
import {
  ClosedError,
  type ConnectOptions,
  Socks5Client,
  type Socks5Conn,
  Socks5Error,
  type Socks5Options,
} from "../../mod.ts";
import { type Clock, withClock } from "../support/clock.ts";
import { bytes, text } from "../support/contract.ts";
import { type FakeConn, FakeTransport, type Script } from "../support/fake.ts";
import { stream } from "../support/fake_stream.ts";
import { test } from "../support/test.ts";

const REASON = new Error("the caller's own reason");
const TARGET = "example.test:80";
const DATA = bytes("early");
const TIMEOUT = 5_000;
const NO_POINT = 0;

/** What happens to a connect at one of its suspension points. */
const ACTIONS = ["abort", "expire", "close", "fail"] as const;
type Action = typeof ACTIONS[number];

/** When: before the point is settled, or so many turns of the microtask queue after it. */
const WHEN = ["before", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10] as const;
type When = typeof WHEN[number];

interface Scene {
  script?: () => Script;
  options?: Socks5Options;
  connect?: ConnectOptions;
  /** Whether a session is there before the connect. */
  warm?: boolean;
  /** Whether a released tunnel is. */
  released?: boolean;
  /** How many points an undisturbed one has at least. */
  points: number;
}

const WARM: Pick<Scene, "warm" | "options"> = { warm: true, options: { pool: { warm: 1 } } };
const PIPELINED: Socks5Options = { handshake: "pipelined" };

/** Does something else at a message that comes with others, or on the first session. */
const oneWrite = (act: (conn: FakeConn) => void): Script =>
  stream({ answer: (_, conn) => conn.writes === 1 && conn.written.length > 3 && (act(conn), true) });

const dyingSession = (): Script => {
  const conns = new Set<FakeConn>();
  let deaths = 0;
  return stream({
    answer(message, conn) {
      conns.add(conn);
      return message === "request" && conns.size > 1 && deaths++ === 0 && (conn.end(), true);
    },
  });
};

const SCENES: Record<string, Scene> = {
  "a connect that spends a session": { ...WARM, points: 2 },
  "a connect with data that spends a session": { ...WARM, connect: { data: DATA }, points: 2 },
  "a connect whose session dies under the request": { ...WARM, script: dyingSession, points: 6 },
  "a pipelined connect": { options: PIPELINED, points: 3 },
  "a pipelined connect with data": { options: PIPELINED, connect: { data: DATA }, points: 4 },
  "a pipelined connect that falls back": { options: PIPELINED, script: () => oneWrite((it) => it.end()), points: 7 },
  "a pipelined connect that falls back after silence": {
    options: PIPELINED,
    script: () => oneWrite(() => {}),
    points: 7,
  },
  "a pipelined connect with data that falls back": {
    options: PIPELINED,
    connect: { data: DATA },
    script: () => oneWrite((it) => it.reset()),
    points: 7,
  },
  "a connect to a name that is looked up here, with a session": {
    warm: true,
    options: { pool: { warm: 1 }, dns: "local" },
    points: 3,
  },
  "a connect with data": { connect: { data: DATA }, points: 5 },
  "a connect with data on a released tunnel": { released: true, connect: { data: DATA, reuse: true }, points: 1 },
};

/** Gives what a promise gives, and lets time pass only if nothing else helps. */
async function settle<T>(clock: Clock, promise: Promise<T>): Promise<T> {
  let settled = false;
  const note = () => settled = true;
  promise.then(note, note);
  for (let turn = 0; turn < 300 && !settled; turn++) await undefined;
  for (let turn = 0; turn < 4 && !settled; turn++) await clock.tick(0);
  return settled ? await promise : await clock.settle(promise);
}

async function prepare(clock: Clock, { warm, released }: Scene, client: Socks5Client<FakeConn>): Promise<void> {
  if (!warm && !released) return;
  const conn = await settle(clock, client.connect(TARGET, { reuse: released }));
  if (released) conn.release();
  else conn.close();
  if (!warm) return;
  await turns(100);
  assertEquals(client.stats().warm, 1);
}

/** One disturbed connect; gives the number of its suspension points. */
async function run(clock: Clock, scene: Scene, action: Action, point: number, when: When, cancels: boolean) {
  const transport = new FakeTransport((scene.script ?? stream)());
  transport.cancels = cancels;
  const controller = new AbortController();
  const client = new Socks5Client(
    "socks5://a",
    { timeout: TIMEOUT, ...scene.options, transport } as Socks5Options<FakeConn>,
  );
  await prepare(clock, scene, client);
  const start = transport.points;
  const before = sent(transport);
  const act = (n: number) => {
    if (n - start !== point) return;
    if (action === "abort") controller.abort(REASON);
    if (action === "expire") clock.jump(TIMEOUT);
    if (action === "close") void client.close();
    if (action === "fail") throw new Error("injected");
  };
  if (when === "before") transport.onPoint = act;
  else transport.onPassed = async (n) => (await turns(when), act(n));
  let settlements = 0;
  let points = 0;
  const connecting = client.connect(TARGET, { ...scene.connect, signal: controller.signal });
  const count = () => (settlements++, points = transport.points - start);
  connecting.then(count, count);
  const outcome: Socks5Conn | Error = await settle(clock, connecting.then((conn) => conn, (error) => error));
  assertEquals(settlements, 1);
  const times = sent(transport) - before;
  assertLessOrEqual(times, 1, "the data was sent twice");
  if (!(outcome instanceof Error)) {
    if (action !== "close") assertEquals(times, scene.connect?.data ? 1 : 0, "the data was not sent");
    outcome.close();
  } else if (point !== NO_POINT) checkError(outcome, action);
  else throw outcome;
  assertEquals([client.stats().inUse, client.stats().waiting], [0, 0]);
  await settle(clock, client.close());
  await turns(100);
  // the turn of the loop that nobody waits for any more
  for (let turn = 0; turn < (scene.connect === undefined ? 0 : 3); turn++) await clock.tick(0);
  const { opening, inUse, idle, warm } = client.stats();
  assertEquals({ opening, inUse, idle, warm }, { opening: 0, inUse: 0, idle: 0, warm: 0 });
  assertEquals(transport.open, 0, "a connection is left");
  assert(!clock.next(), "a timer is left");
  return points;
}

/** How often the data was written. */
function sent({ conns }: FakeTransport): number {
  const all = conns.map(({ written }) => text(Uint8Array.from(written)).split(text(DATA)).length - 1);
  return all.reduce((a, b) => a + b, 0);
}

function checkError(error: Error, action: Action): void {
  if (action === "abort") assertEquals(error, REASON);
  else assert(error instanceof Socks5Error, String(error));
  if (action === "expire") assertEquals((error as Socks5Error).code, "SOCKS5_TIMEOUT");
  if (action === "close") assert(error instanceof ClosedError && error.code === "SOCKS5_CLIENT_CLOSED", String(error));
}

for (const [name, scene] of Object.entries(SCENES)) {
  for (const action of ACTIONS) {
    test(`${name}, with ${action} at each of its suspension points, settles once and leaves nothing`, () =>
      withClock(async (clock) => {
        for (const cancels of [true, false]) {
          for (const when of action === "fail" ? ["before" as const] : cancels ? WHEN : WHEN.slice(0, 2)) {
            const points = await run(clock, scene, action, NO_POINT, when, cancels);
            assertGreaterOrEqual(points, scene.points, "there is nothing to sweep");
            // the turns after the last point are those in which the tunnel changes hands
            for (let point = when === "before" || when === 0 ? 1 : points; point <= points; point++) {
              try {
                await run(clock, scene, action, point, when, cancels);
              } catch (error) {
                const where = `at point ${point}, ${when} turns after it settles, cancels: ${cancels}`;
                throw new Error(`${where}: ${error instanceof Error ? error.message : error}`, { cause: error });
              }
            }
          }
        }
      }));
  }
}

/** The points of a refill, each of which is disturbed in turn. */
for (const action of ["close", "fail", "need"] as const) {
  const how = { close: "the client closed", fail: "a failure", need: "a connect that needs the place" }[action];
  test(`a refill with ${how} at each of its suspension points leaves nothing`, () =>
    withClock(async (clock) => {
      for (const cancels of [true, false]) {
        for (let point = 1; point <= 3; point++) {
          const transport = new FakeTransport(stream());
          transport.cancels = cancels;
          const client = new Socks5Client("socks5://a", { transport, pool: { warm: 1, maxOpen: 2 } });
          let filling = -1;
          const needing: Promise<Socks5Conn<FakeConn>>[] = [];
          transport.onPoint = (n) => {
            if (filling < 0 || n - filling !== point) return;
            if (action === "close") void client.close();
            if (action === "fail") throw new Error("injected");
            if (action === "need") needing.push(client.connect(TARGET, { credentials: null }));
          };
          const conn = await clock.settle(client.connect(TARGET).then((conn) => (filling = transport.points, conn)));
          await clock.pass(0);
          assertGreaterOrEqual(transport.points - filling, point, "there is nothing to disturb");
          const [needed] = await Promise.all(needing);
          const { opening, inUse, warm } = client.stats();
          const sum = opening + inUse + warm;
          assertLessOrEqual(sum, 2);
          if (action === "need") assertEquals([inUse, needed!.target], [2, TARGET]);
          needed?.close();
          conn.close();
          if (action === "fail") {
            await clock.pass(40_000); // the cooldown, and a pause
            assertEquals(client.stats().warm, 1, "it is made good");
          }
          await clock.settle(client.close());
          await clock.pass(0);
          assertEquals([transport.open, client.stats().opening, client.stats().warm], [0, 0, 0]);
          assert(!clock.next(), "a timer is left");
        }
      }
    }));
}

async function turns(n: number): Promise<void> {
  for (let i = 0; i < n; i++) await undefined;
}
