import { assertEquals } from "@std/assert";
import { parseProxies } from "../../src/config/proxy_url.ts";
import { DeadlineTimer, type Timed } from "../../src/deadline_timer.ts";
import { HostBans, hostnameOf } from "../../src/proxies/host_bans.ts";
import { firstUpTo, indexAtShare } from "../../src/proxies/number_tree.ts";
import { ProxyState } from "../../src/proxies/proxy_state.ts";
import { Roster } from "../../src/proxies/roster.ts";
import { withClock } from "../support/clock.ts";
import { type Chance, seeded } from "../support/seeded.ts";
import { test } from "../support/test.ts";

seeded(
  "a host name has the proxies that are suspended neither for it nor for a name above it",
  (chance) =>
    withClock(async (clock) => {
      for (let scene = 0; scene < 40; scene++) {
        const stop = await play(chance, (ms) => clock.tick(ms));
        stop();
      }
    }),
);

const NAMES = ["example", "a.example", "b.a.example", "c.b.a.example", "x.example", "other"];

/** Suspensions, in a plain list: state, name, until when. */
type Plain = [state: ProxyState, name: string, until: number][];

/** Suspends and puts back proxies of a list that changes, and looks at each name after each step. */
async function play(chance: Chance, pass: (ms: number) => Promise<void>): Promise<() => void> {
  const timer = new DeadlineTimer<Timed>(false);
  const resumed: string[] = [];
  const expected: string[] = [];
  const bans = new HostBans(timer, ({ proxy }, name) => void resumed.push(`${proxy.name} ${name}`));
  const all = listOf(2 + chance.below(6));
  let roster = new Roster(all, "random", false);
  let plain: Plain = [];
  for (let step = 0; step < 60; step++) {
    const [state, name] = [chance.pick(all), chance.pick(NAMES)];
    const isThis = ([one, of]: Plain[number]) => one === state && of === name;
    const what = chance.below(8);
    if (what < 4) {
      const until = performance.now() + chance.pick([1, 5, 50, Infinity]);
      bans.suspend(state, name, until, roster);
      if (state.index >= 0) plain = [...plain.filter((it) => !isThis(it)), [state, name, until]];
    } else if (what < 6) {
      bans.resume(state, name);
      if (plain.some(isThis)) expected.push(`${state.proxy.name} ${name}`);
      plain = plain.filter((it) => !isThis(it));
    } else if (what === 6) {
      await pass(chance.below(8));
      const isOver = ([, , until]: Plain[number]) => until <= performance.now();
      expected.push(...plain.filter(isOver).map(([{ proxy }, name]) => `${proxy.name} ${name}`));
      plain = plain.filter((it) => !isOver(it));
    } else if (chance.below(4) === 0) {
      const listed = all.filter(() => chance.below(4) > 0);
      if (listed.length === 0) continue;
      for (const one of all) one.index = -1;
      roster = new Roster(listed, "random", false);
      bans.move(roster);
      plain = plain.filter(([{ index }]) => index >= 0);
    }
    assertEquals(resumed.sort(), expected.sort());
    for (const one of all) {
      const of = plain.filter(([state]) => state === one).map(([, hostname, until]) => ({ hostname, until }));
      const byName = (a: { hostname: string }, b: { hostname: string }) => a.hostname < b.hostname ? -1 : 1;
      assertEquals(bans.of(one).sort(byName), of.sort(byName));
    }
    for (const hostname of [...NAMES, "d.a.example", "d.c.b.a.example.", "a.example.net"]) {
      const list = bans.listFor(hostname, roster);
      const listed = roster.states.filter(({ index }) => list.has(index));
      assertEquals(listed.map(({ proxy }) => proxy.name), left(hostname, roster, plain).map(({ proxy }) => proxy.name));
      assertEquals(list.size, listed.length);
      assertEquals(firstUpTo(0, list.ranks), listed[0]!.index);
      assertEquals(indexAtShare(0, list.chances!), listed[0]!.index);
    }
  }
  return () => timer.all.forEach((timed) => timer.delete(timed));
}

/** Those that are left for a host name: from the name at the top down, all of a name that has none left are as good. */
function left(hostname: string, { states }: Roster, plain: Plain): readonly ProxyState[] {
  const labels = hostname.replace(/\.$/, "").split(".");
  let left = states;
  for (let i = labels.length - 1; i >= 0; i--) {
    const name = labels.slice(i).join(".");
    const rest = left.filter((state) => !plain.some(([one, of]) => one === state && of === name));
    if (rest.length > 0) left = rest;
  }
  return left;
}

test("the host name of a target is without port, brackets and a dot at its end", () => {
  const targets = { "a.example:80": "a.example", "a.example.:80": "a.example", "[2001:db8::1]:443": "2001:db8::1" };
  for (const [target, hostname] of Object.entries(targets)) assertEquals(hostnameOf(target), hostname);
});

function listOf(length: number): ProxyState[] {
  return parseProxies(Array.from({ length }, (_, i) => `socks5h://p${i}`)).map((proxy) => new ProxyState(proxy));
}
