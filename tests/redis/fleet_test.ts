import { assert, assertEquals } from "@std/assert";
import type { FleetSuspension } from "../../mod.ts";
import { redisStore } from "../../redis/mod.ts";
import { type FleetEvent, SharedFleet } from "../../src/proxies/shared_fleet.ts";
import type { RealProxy } from "../support/real_program.ts";
import { redis as server } from "../support/real_servers.ts";
import { type RedisClient, redisLibraries } from "../support/redis_clients.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const BANNED: FleetSuspension = { proxy: "de-1", reason: "application", hostname: "shop.example", ms: 60_000 };

for (const library of redisLibraries) {
  const skip = library.missing || server.missing;

  /** Runs `use` with what two processes do with a running server. */
  const withProcesses = async (use: Use) => {
    await using running = await server.start();
    const clients = [await library.connect(running), await library.connect(running)];
    const [a, b] = clients.map(({ redis }) => startProcess(redisStore(redis)));
    try {
      await use(running, a!, b!, clients[0]!.send);
    } finally {
      await Promise.all([a!.fleet.close(), b!.fleet.close()]);
      for (const it of clients) it.close();
    }
  };

  test(
    `by ${library.name}, processes tell each other of suspensions and share the places of a proxy`,
    () =>
      withProcesses(async (_running, a, b) => {
        await Promise.all([a.fleet.start(), b.fleet.start()]);
        a.fleet.suspended(BANNED);
        await until(() => b.applied.length === 1);
        a.fleet.suspended({ ...BANNED, ms: 0 });
        await until(() => b.applied.length === 2);
        assertEquals(b.applied[1], { ...BANNED, ms: 0 });
        const asked = Array.from({ length: 20 }, (_, i) => (i % 2 ? a : b).fleet.acquire("de-1", 5));
        const places = (await Promise.all(asked)).filter((it) => it !== undefined);
        assertEquals(places.length, 5);
        places[0]!.release();
        await until(async () => await b.fleet.acquire("de-1", 5) !== undefined);
        assertEquals([a.applied, a.states, b.states], [[], [], []]);
      }),
    { skip },
  );

  test(
    `by ${library.name}, a Redis that is too slow is lost, and back when it answers again`,
    () =>
      withProcesses(async (_running, a, b, send) => {
        await Promise.all([a.fleet.start(), b.fleet.start()]);
        await send("CLIENT", "PAUSE", "1500");
        const place = await a.fleet.acquire("de-1", 1);
        assertEquals(a.states, ["lost"]);
        await until(() => a.states.length === 2);
        assertEquals(a.states, ["lost", "back"]);
        assertEquals(await b.fleet.acquire("de-1", 1), undefined);
        place!.release();
        await until(async () => await b.fleet.acquire("de-1", 1) !== undefined);
      }),
    { skip },
  );

  test(
    `by ${library.name}, a Redis that is killed and starts again empty is lost, and back with all places`,
    () =>
      withProcesses(async (running, a, b) => {
        for (let i = 0; i < 3; i++) assert(await a.fleet.acquire("de-1", 3) !== undefined);
        assertEquals(await b.fleet.acquire("de-1", 3), undefined);
        await running.stop();
        await until(() => a.states.length === 1 && b.states.length === 1);
        assert(await b.fleet.acquire("de-2", 1) !== undefined); // counts in this process alone
        b.fleet.suspended(BANNED);
        await running.restart();
        await until(() => a.states.length === 2 && b.states.length === 2);
        assertEquals([a.states, b.states], [["lost", "back"], ["lost", "back"]]);
        assertEquals(await b.fleet.acquire("de-1", 3), undefined);
        assertEquals(await a.fleet.acquire("de-2", 1), undefined);
        await until(() => a.applied.length === 1);
      }),
    { skip },
  );
}

type Use = (running: RealProxy, a: Process, b: Process, send: RedisClient["send"]) => Promise<void>;

interface Process {
  fleet: SharedFleet;
  applied: FleetSuspension[];
  states: FleetEvent["state"][];
}

function startProcess(store: ReturnType<typeof redisStore>): Process {
  const [applied, states]: [FleetSuspension[], FleetEvent["state"][]] = [[], []];
  const fleet = new SharedFleet(store, { apply: (it) => applied.push(it), tell: ({ state }) => states.push(state) });
  return { fleet, applied, states };
}
