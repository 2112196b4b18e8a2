import { assert, assertEquals, assertGreater, assertLessOrEqual, assertThrows } from "@std/assert";
import { type ConnectOptions, Socks5Client, type Socks5Conn } from "../../mod.ts";
import { withClock } from "../support/clock.ts";
import type { FakeConn } from "../support/fake.ts";
import { fakeProxies } from "../support/fake_stream.ts";
import * as testing from "../../testing/mod.ts";
import { random } from "../support/random.ts";
import { test } from "../support/test.ts";
import { filled } from "./warm.ts";

const TARGET = "example.test:80";
/** A connect that gets no session, to a proxy without a password. */
const APART: ConnectOptions = { credentials: null };

// Places

test("never more are open than maxOpen, whatever is asked for and whenever the dials end", () =>
  withClock(async (clock) => {
    const next = random(1);
    for (let round = 0; round < 20; round++) {
      const maxOpen = 1 + Math.floor(next() * 4);
      const warm = Math.floor(next() * (maxOpen + 1));
      const { transport } = fakeProxies();
      let dialling = 0;
      const client = new Socks5Client("socks5://a", { transport, pool: { maxOpen, warm, maxIdle: 2 } });
      let most = 0;
      const count = () => {
        const { opening, inUse, idle, warm } = client.stats();
        most = Math.max(most, opening + inUse + idle + warm, transport.open);
      };
      transport.onConnect = () => {
        dialling++;
        return new Promise((resolve) => setTimeout(() => (dialling--, resolve()), Math.floor(next() * 3) * 50));
      };
      transport.onPoint = count;
      transport.onPassed = count;
      const held: Socks5Conn<FakeConn>[] = [];
      for (let step = 0; step < 30; step++) {
        const options: ConnectOptions[] = [{}, APART, { reuse: true }];
        const connecting = client.connect(TARGET, { ...options[Math.floor(next() * 3)], timeout: 400 });
        connecting.then((conn) => held.push(conn), () => {});
        if (next() < 0.7) await clock.pass(Math.floor(next() * 200));
        count();
        while (held.length > 0 && next() < 0.6) {
          const conn = held.shift()!;
          if (next() < 0.5) conn.release();
          else conn.close();
          count();
        }
      }
      await clock.pass(500);
      for (const conn of held) conn.close();
      const { waiting, inUse, connects } = client.stats();
      assertEquals([waiting, inUse], [0, 0]);
      assertGreater(connects, 3);
      assertLessOrEqual(most, maxOpen, `seed 1, round ${round}, warm ${warm}`);
      await client.close();
      await clock.pass(500);
      assertEquals([transport.open, dialling], [0, 0]);
    }
  }));

test("a connect that needs the place ends an idle tunnel, then a session, then a dial that fills", () =>
  withClock(async (clock) => {
    const gate = testing.createGate();
    const { client, transport } = await filled(clock, { warm: 2, maxOpen: 4 });
    assertEquals(client.stats().warm, 2);
    const idle = await clock.settle(client.connect(TARGET, { ...APART, reuse: true }));
    idle.release();
    transport.onConnect = () => gate.pass();
    transport.conns[1]!.end(); // one session less, so that it is filled again
    await clock.pass(500);
    const counts = () => {
      const { opening, inUse, idle, warm } = client.stats();
      return { opening, inUse, idle, warm };
    };
    assertEquals(counts(), { opening: 1, inUse: 0, idle: 1, warm: 1 });
    transport.onConnect = () => {};
    const held = [await clock.settle(client.connect(TARGET, APART))];
    assertEquals(counts(), { opening: 1, inUse: 1, idle: 1, warm: 1 });
    for (
      const expected of [
        { opening: 1, inUse: 2, idle: 0, warm: 1 },
        { opening: 1, inUse: 3, idle: 0, warm: 0 },
        { opening: 0, inUse: 4, idle: 0, warm: 0 },
      ]
    ) {
      held.push(await clock.settle(client.connect(TARGET, APART)));
      assertEquals(counts(), expected);
    }
    gate.open();
    await clock.pass(0);
    assertEquals([transport.open, client.stats().warm], [4, 0], "the dial that was stopped leaves nothing");
    for (const conn of held) conn.close();
    await client.close();
  }));

test("a connect that waits goes before a refill", () =>
  withClock(async (clock) => {
    const { client, transport, dials } = await filled(clock, { warm: 1, maxOpen: 2 });
    const held = [await clock.settle(client.connect(TARGET)), await clock.settle(client.connect(TARGET, APART))];
    const before = dials.length;
    const waiting = client.connect(TARGET, APART);
    await clock.pass(1_000);
    assertEquals([client.stats().waiting, client.stats().opening, dials.length], [1, 0, before]);
    held[0]!.close();
    held.push(await clock.settle(waiting));
    await clock.pass(1_000);
    assertEquals([client.stats().inUse, client.stats().warm, transport.open], [2, 0, 2]);
    for (const conn of held) conn.close();
    await client.close();
  }));

test("a session for which there was no place is opened once there is one", () =>
  withClock(async (clock) => {
    const { transport } = fakeProxies();
    const client = new Socks5Client("socks5://a", { transport, pool: { warm: 1, maxOpen: 1 } });
    const conn = await clock.settle(client.connect(TARGET));
    await clock.pass(0);
    assertEquals(client.stats().warm, 0);
    conn.close();
    await clock.pass(1_000);
    assertEquals([client.stats().warm, transport.open], [1, 1]);
    await client.close();
  }));

const LIMITS: [what: string, pool: object, error: typeof TypeError | typeof RangeError | null][] = [
  ["warm above maxOpen", { warm: 3, maxOpen: 2 }, RangeError],
  ["warm above the default maxOpen", { warm: 101 }, RangeError],
  ["warm of maxOpen", { warm: 2, maxOpen: 2 }, null],
  ["warm 0 with maxOpen 0", { warm: 0, maxOpen: 0 }, null],
  ["a negative warm", { warm: -1 }, RangeError],
  ["a warm that is no whole number", { warm: 1.5 }, RangeError],
  ["warm NaN", { warm: NaN }, RangeError],
  ["warm as text", { warm: "1" }, TypeError],
  ["endless warm: it would never be full", { warm: Infinity, maxOpen: Infinity }, RangeError],
  ["warm with endless maxOpen", { warm: 5, maxOpen: Infinity }, null],
  ["warmTimeout below 1000", { warmTimeout: 999 }, RangeError],
  ["warmTimeout 1000", { warmTimeout: 1_000 }, null],
  ["an endless warmTimeout", { warmTimeout: Infinity }, null],
  ["warmTimeout NaN", { warmTimeout: NaN }, RangeError],
  ["warmTimeout as text", { warmTimeout: "20000" }, TypeError],
  ["warmTimeout of more than a timer takes", { warmTimeout: 2 ** 31 }, RangeError],
  ["warmIdle 0", { warmIdle: 0 }, null],
  ["an endless warmIdle", { warmIdle: Infinity }, null],
  ["a negative warmIdle", { warmIdle: -1 }, RangeError],
  ["warmIdle as null", { warmIdle: null }, TypeError],
];

for (const [what, pool, error] of LIMITS) {
  test(`the constructor ${error === null ? "takes" : `answers with ${error.name}`} ${what}`, () => {
    const make = () => new Socks5Client("socks5://a", { pool });
    if (error === null) return void make();
    const message = (assertThrows(make, error) as Error).message;
    const [name] = Object.keys(pool);
    assert(message.startsWith(`Cannot use pool.${name} as `), message);
  });
}
