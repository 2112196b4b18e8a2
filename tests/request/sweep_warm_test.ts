import { assert, assertEquals, assertGreaterOrEqual, assertLessOrEqual } from "@std/assert";
import { type ConnectOptions, Socks5Client, type Socks5Conn } from "../../mod.ts";
import { withClock } from "../support/clock.ts";
import { bytes, text } from "../support/contract.ts";
import { type FakeConn, FakeTransport, type Script } from "../support/fake.ts";
import { stream } from "../support/fake_stream.ts";
import { type Scene, sweep, TARGET } from "../support/sweep.ts";
import { test } from "../support/test.ts";

const DATA = bytes("early");

const connects = (options: ConnectOptions): Pick<Scene, "connect" | "check"> => ({
  connect: (client, signal) => client.connect(TARGET, { ...options, signal }),
  check(conns, error, action) {
    const all = conns.map(({ written }) => text(Uint8Array.from(written)).split(text(DATA)).length - 1);
    const times = all.reduce((a, b) => a + b, 0);
    assertLessOrEqual(times, 1, "the data was sent twice");
    if (error === undefined && action !== "close") assertEquals(times, options.data ? 1 : 0, "the data was not sent");
  },
});

/** A session is there before the connect. */
const WARM: Pick<Scene, "options" | "before"> = {
  options: { pool: { warm: 1 } },
  async before(client, clock) {
    (await clock.settle(client.connect(TARGET))).close();
    await clock.tick(0);
    assertEquals(client.stats().warm, 1);
  },
};

const PIPELINED: Pick<Scene, "options"> = { options: { handshake: "pipelined" } };

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

sweep({
  "a connect that spends a session": { ...WARM, points: 2 },
  "a connect with data that spends a session": { ...WARM, ...connects({ data: DATA }), points: 2 },
  "a connect whose session dies under the request": { ...WARM, script: dyingSession, points: 6 },
  "a pipelined connect": { ...PIPELINED, points: 3 },
  "a pipelined connect with data": { ...PIPELINED, ...connects({ data: DATA }), points: 4 },
  "a pipelined connect that falls back": { ...PIPELINED, script: () => oneWrite((it) => it.end()), points: 7 },
  "a pipelined connect that falls back after silence": {
    ...PIPELINED,
    script: () => oneWrite(() => {}),
    points: 7,
  },
  "a pipelined connect with data that falls back": {
    ...PIPELINED,
    ...connects({ data: DATA }),
    script: () => oneWrite((it) => it.reset()),
    points: 7,
  },
  "a connect to a name that is looked up here, with a session": {
    ...WARM,
    options: { pool: { warm: 1 }, dns: "local" },
    points: 3,
  },
  "a connect with data": { ...connects({ data: DATA }), points: 5 },
  "a connect with data on a released tunnel": {
    before: async (client, clock) => (await clock.settle(client.connect(TARGET, { reuse: true }))).release(),
    ...connects({ data: DATA, reuse: true }),
    points: 1,
  },
});

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
