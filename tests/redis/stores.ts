import { assert, assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import type { FleetStore, FleetSuspension } from "../../mod.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

/** Gives `use` as many stores as it wants that share what they know, as those of several processes do. */
export type WithStores = (count: number, use: (...stores: FleetStore[]) => Promise<void>) => Promise<void>;

const HOUR = 3_600_000;

/** What every store does, as the interface says: the contract for the fake one and for Redis. */
export function testStore(name: string, withStores: WithStores, skip: string | false = false): void {
  const tests: Record<string, (a: FleetStore, b: FleetStore) => Promise<void>> = {
    async "another process is told of a suspension once, with what is left of it, and its own not at all"(a, b) {
      const seen = await b.exchange([], 0);
      assertEquals(seen.suspensions, []);
      const own = await a.exchange([failure("de-1", HOUR)], 0);
      assertEquals(own.suspensions, []);
      const { cursor, suspensions } = await b.exchange([], seen.cursor);
      assertEquals(suspensions.map(withoutTime), [{ proxy: "de-1", reason: "failure" }]);
      assertLessOrEqual(suspensions[0]!.ms, HOUR);
      assertGreater(suspensions[0]!.ms, HOUR - 60_000);
      assertEquals((await b.exchange([], cursor)).suspensions, []);
      assertEquals((await a.exchange([], own.cursor)).suspensions, []);
    },
    async "who comes later is told all that holds, and nothing that is over"(a, b) {
      const changes = [failure("de-1", HOUR), failure("de-2", HOUR), { ...banned("de-3", "shop.example"), ms: HOUR }];
      await a.exchange(changes, 0);
      await a.exchange([failure("de-2", 0)], 0);
      const { suspensions } = await b.exchange([], 0);
      assertEquals(suspensions.map(withoutTime).sort(byProxy), [
        { proxy: "de-1", reason: "failure" },
        banned("de-3", "shop.example"),
      ]);
    },
    async "who knew of a suspension is told of its end"(a, b) {
      await a.exchange([failure("de-1", HOUR)], 0);
      const { cursor } = await b.exchange([], 0);
      await a.exchange([failure("de-1", 0)], 0);
      assertEquals((await b.exchange([], cursor)).suspensions, [failure("de-1", 0)]);
    },
    async "of two times the later holds, until its end: then a shorter one may begin"(a, b) {
      await a.exchange([failure("de-1", HOUR)], 0);
      const { cursor } = await a.exchange([], 0);
      await b.exchange([failure("de-1", 1_000)], 0);
      assertEquals((await a.exchange([], cursor)).suspensions, []);
      assertGreater((await a.exchange([], 0)).suspensions[0]!.ms, HOUR / 2);
      await b.exchange([failure("de-1", 2 * HOUR)], cursor);
      assertGreater((await a.exchange([], cursor)).suspensions[0]!.ms, HOUR);
      await b.exchange([failure("de-1", 0)], 0);
      await b.exchange([failure("de-1", HOUR / 2)], 0);
      const [last] = (await a.exchange([], cursor)).suspensions;
      assertLessOrEqual(last!.ms, HOUR / 2);
      assertGreater(last!.ms, HOUR / 4);
    },
    async "what the writer does not know yet is told to it with its own word"(a, b) {
      const { cursor } = await a.exchange([], 0);
      await b.exchange([failure("de-1", HOUR), failure("de-2", HOUR)], 0);
      const { suspensions } = await a.exchange([failure("de-1", 1_000)], cursor);
      assertEquals(suspensions.map(({ proxy }) => proxy).sort(), ["de-1", "de-2"]);
    },
    async "a failure, the word of the application and each host name are things of their own"(a, b) {
      const all = [
        failure("de-1", HOUR),
        { ...banned("de-1", undefined), ms: HOUR },
        { ...banned("de-1", "a.example"), ms: HOUR },
        { ...banned("de-1", "b.example"), ms: HOUR },
      ];
      await a.exchange(all, 0);
      await a.exchange([failure("de-1", 0), { ...banned("de-1", "a.example"), ms: 0 }], 0);
      const left = (await b.exchange([], 0)).suspensions.map(withoutTime);
      assertEquals(left.sort(byHost), [banned("de-1", undefined), banned("de-1", "b.example")]);
    },
    async "a suspension ends by itself"(a, b) {
      await a.exchange([failure("de-1", 20)], 0);
      await until(async () => (await b.exchange([], 0)).suspensions.length === 0);
      const { cursor } = await b.exchange([], 0);
      await a.exchange([failure("de-1", HOUR)], 0);
      assertEquals((await b.exchange([], cursor)).suspensions.length, 1);
    },
    async "labels and host names may be any text"(a, b) {
      const odd = 'a "label" {of} [some]\n:ünïcode\\ 😀';
      await a.exchange([{ ...banned(odd, odd), ms: HOUR }], 0);
      assertEquals((await b.exchange([], 0)).suspensions.map(withoutTime), [banned(odd, odd)]);
      assertEquals(await a.acquire({ proxy: odd, id: "1" }, 1, HOUR), true);
      assertEquals(await b.acquire({ proxy: odd, id: "2" }, 1, HOUR), false);
    },
    async "the longest suspension is one"(a, b) {
      await a.exchange([failure("de-1", Infinity), failure("de-2", Number.MAX_SAFE_INTEGER), failure("de-3", 0.4)], 0);
      const left = (await b.exchange([], 0)).suspensions.map(({ proxy }) => proxy);
      assertEquals(left.filter((it) => it !== "de-3").sort(), ["de-1", "de-2"]);
    },
    async "a place that is not renewed becomes free, and one that is renewed does not"(a, b) {
      assert(await a.acquire({ proxy: "de-1", id: "kept" }, 2, HOUR));
      assert(await a.acquire({ proxy: "de-1", id: "left" }, 2, 20));
      await until(() => b.acquire({ proxy: "de-1", id: "next" }, 2, 20));
      await b.renew([{ proxy: "de-1", id: "next" }], HOUR);
      await b.renew([{ proxy: "de-1", id: "kept" }], HOUR);
      assert(await a.acquire({ proxy: "clock", id: "a" }, 1, 30));
      await until(() => a.acquire({ proxy: "clock", id: "b" }, 1, 1)); // longer than the lease was first taken for
      assertEquals(await a.acquire({ proxy: "de-1", id: "more" }, 2, HOUR), false);
    },
    async "a lease that is renewed is taken beyond the limit if the store does not know it"(a, b) {
      assert(await a.acquire({ proxy: "de-1", id: "one" }, 1, HOUR));
      await b.renew([{ proxy: "de-1", id: "two" }, { proxy: "de-2", id: "two" }], HOUR);
      await a.release([{ proxy: "de-1", id: "one" }]);
      assertEquals(await a.acquire({ proxy: "de-1", id: "one" }, 1, HOUR), false);
      assertEquals(await a.acquire({ proxy: "de-2", id: "one" }, 1, HOUR), false);
    },
    async "a lease that is asked for or given back twice counts once, and an unknown one not at all"(a, b) {
      assert(await a.acquire({ proxy: "de-1", id: "one" }, 2, HOUR));
      assert(await a.acquire({ proxy: "de-1", id: "one" }, 2, HOUR));
      assert(await b.acquire({ proxy: "de-1", id: "two" }, 2, HOUR));
      await b.release([{ proxy: "de-1", id: "two" }, { proxy: "de-1", id: "two" }, { proxy: "de-3", id: "none" }]);
      await b.release([]);
      await b.renew([], HOUR);
      assert(await b.acquire({ proxy: "de-1", id: "two" }, 2, HOUR));
      assertEquals(await b.acquire({ proxy: "de-1", id: "three" }, 2, HOUR), false);
    },
    async "thousands of leases are renewed and given back at once"(a, b) {
      const leases = Array.from({ length: 2_500 }, (_, i) => ({ proxy: `de-${i % 3}`, id: `${i}` }));
      await a.renew(leases, HOUR);
      assertEquals(await b.acquire({ proxy: "de-2", id: "one" }, 833, HOUR), false);
      await a.release(leases);
      assertEquals(await b.acquire({ proxy: "de-2", id: "one" }, 1, HOUR), true);
    },
  };
  for (const [what, run] of Object.entries(tests)) {
    test(`${name}: ${what}`, () => withStores(2, run), { skip });
  }

  test(
    `${name}: never more than the limit are taken, however many ask at a time`,
    () =>
      withStores(4, async (...stores) => {
        let [held, most, taken] = [0, 0, 0];
        const work = async (store: FleetStore, worker: number) => {
          for (let i = 0; i < 25; i++) {
            const lease = { proxy: "de-1", id: `${worker}-${i}` };
            if (!await store.acquire(lease, 5, HOUR)) continue;
            taken++;
            most = Math.max(most, ++held);
            await Promise.resolve();
            held--;
            await store.release([lease]);
          }
        };
        await Promise.all(Array.from({ length: 40 }, (_, i) => work(stores[i % stores.length]!, i)));
        assertLessOrEqual(most, 5);
        assertGreater(taken, 25);
        const asked = Array.from(stores, (store, i) => store.acquire({ proxy: "de-1", id: `last ${i}` }, 3, HOUR));
        assertEquals((await Promise.all(asked)).filter(Boolean).length, 3);
      }),
    { skip },
  );
}

function failure(proxy: string, ms: number): FleetSuspension {
  return { proxy, reason: "failure", ms };
}

function banned(proxy: string, hostname: string | undefined): Omit<FleetSuspension, "ms"> {
  return { proxy, reason: "application", ...(hostname === undefined ? {} : { hostname }) };
}

function withoutTime({ ms: _, ...suspension }: FleetSuspension): Omit<FleetSuspension, "ms"> {
  return suspension;
}

type Named = { proxy: string; hostname?: string };
const byProxy = (a: Named, b: Named) => a.proxy < b.proxy ? -1 : 1;
const byHost = (a: Named, b: Named) => (a.hostname ?? "") < (b.hostname ?? "") ? -1 : 1;
