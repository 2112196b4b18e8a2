import { assert, assertEquals } from "@std/assert";
import type { Lease, Want } from "../../src/pool/lease.ts";
import { Pool } from "../../src/pool/pool.ts";
import { type Clock, withClock } from "../support/clock.ts";
import { random } from "../support/random.ts";
import { test } from "../support/test.ts";
import { counts, countsOf, Item, want } from "./items.ts";

test("random steps break no invariant", () =>
  withClock(async (clock) => {
    for (let seed = 1; seed <= 150; seed++) {
      try {
        await simulate(seed, clock);
      } catch (error) {
        throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : error}`, { cause: error });
      }
    }
  }));

/** Random connects, dials, refills, releases, closes, aborts and losses against the invariants of the pool. */
async function simulate(seed: number, clock: Clock): Promise<void> {
  const next = random(seed);
  const any = <T>(list: T[]): T | undefined => list.splice(Math.floor(next() * list.length), 1)[0];
  const limits = { maxOpen: 1 + Math.floor(next() * 5), maxIdle: Math.floor(next() * 4), idleTimeout: 20 };
  const pool = new Pool<Item>(limits);
  const live = new Set<Item>();
  const held: Lease<Item>[] = [];
  const resting: Lease<Item>[] = [];
  const dialing: { place: Lease<Item>; session?: Item }[] = [];
  const filling: Lease<Item>[] = [];
  const stopped: Lease<Item>[] = [];
  const aborts: AbortController[] = [];
  let [asked, settled, made, ended] = [0, 0, 0, 0];
  let closed = false;

  const make = (key: string): Item => {
    const item = new Item(key, performance.now() + 50 + next() * 100);
    const close = item.close.bind(item);
    item.close = (reason) => {
      close(reason);
      live.delete(item);
      ended++;
    };
    live.add(item);
    made++;
    return item;
  };
  const granted = (place: Lease<Item>, { key, mayBeWarm }: Want<Item>) => {
    const { conn } = place;
    if (conn === undefined) return void dialing.push({ place });
    assertEquals([conn.closedBy, conn.expires > performance.now()], [undefined, true], "handed out a dead one");
    if (conn.key === key) return void held.push(place);
    assertEquals([conn.key, mayBeWarm], ["session", true], "handed out a wrong one");
    place.conn = undefined; // as a connect does until the proxy has replied
    dialing.push({ place, session: conn });
  };
  const connect = async (wanted: Want<Item>, first: boolean): Promise<void> => {
    asked++;
    const controller = new AbortController();
    aborts.push(controller);
    const given = async () => pool.acquire(wanted) ?? await pool.wait(wanted, controller.signal, first);
    const place = await given().catch(() => undefined);
    settled++;
    if (place !== undefined) granted(place, wanted);
  };
  const refill = () => {
    if (!pool.hasRoom) return;
    const place = pool.reserve(() => stopped.push(...filling.splice(filling.indexOf(place), 1)));
    filling.push(place);
  };
  const checkCounts = (when: string) => {
    const { opening, inUse, idle, warm, filling: fills, waiting } = countsOf(pool);
    const open = opening + inUse + idle + warm + fills;
    assertEquals(pool.hasRoom, !closed && waiting === 0 && open < limits.maxOpen, `${when}: room`);
    assert(open <= limits.maxOpen, `${when}: more than maxOpen`);
    assert(
      waiting === 0 || (idle + warm + fills === 0 && open === limits.maxOpen),
      `${when}: waits although something is parked or filling, or there is room`,
    );
    assert(idle - resting.length <= limits.maxIdle, `${when}: more than maxIdle`);
    assertEquals(fills, filling.length, `${when}: dials that fill are not those that count`);
    assert(!closed || idle + warm + fills + waiting === 0, `${when}: something is left after close()`);
  };
  const check = (when: string) => {
    checkCounts(when);
    const { opening, inUse, idle, warm } = countsOf(pool);
    assertEquals([opening, inUse], [dialing.length, held.length], `${when}: holders are not those that count`);
    const spent = dialing.filter(({ session }) => session !== undefined).length;
    assertEquals(live.size, inUse + idle + warm + spent, `${when}: open connections are not those that count`);
  };

  for (let step = 0; step < 250; step++) {
    const dice = next();
    if (dice < 0.3) {
      const wanted = want("abc"[Math.floor(next() * 3)]!, { reuse: next() < 0.8, mayBeWarm: next() < 0.6 });
      void connect(wanted, next() < 0.1);
    } else if (dice < 0.45) {
      const dial = any(dialing);
      if (dial !== undefined) {
        const tunnel = dial.place.conn = dial.session ?? make(dial.place.key);
        tunnel.key = dial.place.key;
        held.push(dial.place);
      }
    } else if (dice < 0.51) {
      const dial = any(dialing);
      dial?.session?.close("holder");
      dial?.place.destroy("holder");
    } else if (dice < 0.68) {
      const place = any(held);
      if (next() < 0.1) place?.conn?.speak();
      place?.release();
      if (next() < 0.2) place?.release();
      if (next() < 0.2) place?.destroy("holder");
    } else if (dice < 0.7) any(held)?.destroy("holder");
    else if (dice < 0.72) {
      const place = any(held);
      if (place !== undefined) {
        resting.push(place);
        place.markIdle(() => resting.splice(resting.indexOf(place), 1));
      }
    } else if (dice < 0.73) {
      const place = any(resting);
      if (place !== undefined) assert(place.markInUse(), "what its holder takes for resting is gone");
      if (place !== undefined) held.push(place);
      if (next() < 0.2) any(resting)?.destroy("holder");
    } else if (dice < 0.82) refill();
    else if (dice < 0.9) {
      const place = any(filling);
      if (place !== undefined) {
        const session = make("session");
        if (next() < 0.1) session.speak();
        pool.addWarm(place, session);
      }
    } else if (dice < 0.92) {
      const place = any(filling);
      if (place !== undefined) place.stop = undefined; // as who fills does before he gives up
      place?.destroy("client");
    } else if (dice < 0.93) any(stopped)?.destroy("client");
    else if (dice < 0.94) pool.evictUnused(new Item().proxy, (item) => item.key === "session" && next() < 0.5);
    else if (dice < 0.96) any(aborts)?.abort(new Error("user"));
    else if (dice < 0.98) [...live].find((item) => item.lost !== undefined)?.speak();
    else if (step > 235 && !closed) {
      closed = true;
      pool.close(() => new Error("closed"));
    }
    checkCounts(`step ${step}`); // who was granted a place has not run on yet
    for (let i = 0; i < 8; i++) await Promise.resolve();
    check(`after step ${step}`);
    if (next() < 0.02) await clock.tick(15);
    check(`some time after step ${step}`);
  }
  pool.close(() => new Error("closed"));
  for (let i = 0; i < 8; i++) await Promise.resolve();
  assertEquals(filling, [], "a dial that fills goes on after close()");
  for (const { place, session } of dialing) {
    session?.close("holder");
    place.destroy("holder");
  }
  assertEquals(resting, [], "something rests after close()");
  for (const place of [...held, ...stopped]) place.destroy("holder");
  await pool.emptied();
  assertEquals([settled, live.size, ended], [asked, 0, made]);
  assertEquals(countsOf(pool), counts({}));
}
