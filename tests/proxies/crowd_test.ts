import { assert, assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import process from "node:process";
import { createFetch } from "../../fetch/mod.ts";
import { Socks5Client, type Socks5Event, type Socks5Options } from "../../mod.ts";
import { quick, test } from "../support/test.ts";
import { type Crowd, startCrowd } from "./crowd.ts";

/** `SOCKS5_TEST_CROWD=full`: 200 proxies, 20,000 connects and 2,000 fetches, and their figures. */
const isFull = process.env.SOCKS5_TEST_CROWD === "full";
const [COUNT, BAD, CONNECTS, FETCHES] = isFull ? [200, 40, 20_000, 2_000] : [40, 10, 1_000, 200];
const skip = quick || (process.platform !== "linux" && "127.0.1.1 is an address of this machine on Linux alone");
const BALANCES = ["first", "round-robin", "random", "least-open", "fastest"] as const;

for (const balance of BALANCES) {
  test(
    `of ${COUNT} proxies of which ${BAD} are bad none is tried once it is known, with balance ${balance}`,
    () =>
      withCrowd(async (crowd) => {
        const seen = new Set<string>();
        const faults: string[] = [];
        const tried = new Map<number, string[]>();
        const { client, attempts } = clientOf(crowd, { balance }, (event) => {
          if (event.type === "suspended") seen.add(event.proxy);
          if (event.type === "resumed") seen.delete(event.proxy); // a slow one that was overtaken has worked after all
          if (event.type !== "attempt") return;
          const of = tried.get(event.id) ?? [];
          if (of.includes(event.proxy)) faults.push(`${event.proxy} was tried twice by one connect`);
          tried.set(event.id, [...of, event.proxy]);
          if (seen.has(event.proxy)) faults.push(`${event.proxy} was tried although it is suspended`);
        });
        const exits = new Map<string, number>();
        const begun = performance.now();
        await atATime(32, CONNECTS / BALANCES.length, async (i) => {
          const session = i % 4 === 0 ? `session ${i % 100}` : undefined;
          const conn = await client.connect(crowd.echo, { session });
          const exit = await new Response(conn.readable).text();
          assertEquals(`${conn.proxy}`.split(":")[0], exit);
          exits.set(exit, (exits.get(exit) ?? 0) + 1);
          conn.close();
        });
        const ms = performance.now() - begun;
        assertEquals(faults, []);
        const { connects, failures, retries, proxies } = client.stats();
        assertEquals([connects, failures], [CONNECTS / BALANCES.length, 0]);
        tell(`connects, ${balance}`, { ms, connects, retries, exits: exits.size, attempts: attempts() });
        if (balance !== "first") assertGreater(exits.size, (COUNT - BAD) * 0.6);
        assertLessOrEqual(proxies.filter(({ failures }) => failures > 0).length, BAD);
        await client.close();
      }),
    { skip },
  );
}

test(`of ${FETCHES} fetches through ${COUNT} proxies all succeed, whatever sites think of exits`, () => {
  const asked = new Map<string, { at: number; count: number; blocked: number }>();
  const answer = (address: string) => {
    const now = performance.now();
    const of = asked.get(address) ?? { at: now, count: 0, blocked: 0 };
    asked.set(address, of);
    if (now > of.at + 1_000) Object.assign(of, { at: now, count: 0 });
    if (address.endsWith("3")) {
      of.blocked++;
      return { status: 403 };
    }
    // every second one has little patience
    const most = Number(address.at(-1)) % 2 === 0 ? 2 : Infinity;
    return ++of.count > most ? { status: 429, after: 1 } : { status: 200 };
  };
  return withCrowd(async (crowd) => {
    const { client } = clientOf(crowd, { balance: "round-robin" });
    const fetch = createFetch(client, { ban: { 403: 600_000, 429: "retry-after" }, attempts: 4 });
    const statuses = new Map<number, number>();
    const begun = performance.now();
    await atATime(16, FETCHES, async (i) => {
      const response = await fetch(new URL(`/${i}`, crowd.site));
      statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
      assertEquals(fetch.proxyOf(response)?.split(":")[0], await response.text());
    });
    const blocked = [...asked.values()].map(({ blocked }) => blocked);
    tell("fetches", { ms: performance.now() - begun, statuses: Object.fromEntries(statuses), blocked });
    assertEquals([...statuses], [[200, FETCHES]]);
    // those that were under way at the time
    for (const count of blocked) assertLessOrEqual(count, 3);
    await fetch.close();
    await client.close();
  }, answer);
}, { skip });

function clientOf(
  crowd: Crowd,
  options: Socks5Options,
  onEvent: (event: Socks5Event) => void = () => {},
): { client: Socks5Client; attempts: () => number } {
  let attempts = 0;
  const client = new Socks5Client(crowd.proxies.map(({ url }) => url), {
    cooldown: 600_000,
    attemptTimeout: 2_000,
    attemptDelay: 1_000,
    pool: { maxOpen: 100 },
    ...options,
    onEvent(event) {
      if (event.type === "attempt") attempts++;
      onEvent(event);
    },
  });
  return { client, attempts: () => attempts };
}

async function withCrowd(
  use: (crowd: Crowd) => Promise<void>,
  answer: Parameters<typeof startCrowd>[0]["answer"] = () => ({ status: 200 }),
): Promise<void> {
  const crowd = await startCrowd({ count: COUNT, bad: BAD, answer });
  try {
    assert(crowd.proxies.filter(({ manner }) => manner !== "good").length === BAD);
    await use(crowd);
  } finally {
    await crowd.close();
  }
}

async function atATime(most: number, count: number, run: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const line = async () => {
    while (next < count) await run(next++);
  };
  await Promise.all(Array.from({ length: most }, line));
}

function tell(what: string, figures: Record<string, unknown>): void {
  if (isFull) console.log(what, JSON.stringify(figures));
}
