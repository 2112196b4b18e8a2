import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import type { Balance } from "../../src/config/options.ts";
import { parseProxies, type ProxySpec } from "../../src/config/proxy_url.ts";
import { settings } from "../../src/config/settings.ts";
import { Socks5Client, type Socks5Event } from "../../mod.ts";
import { socks5Error } from "../../src/errors.ts";
import { Fleet } from "../../src/proxies/fleet.ts";
import { POLICY } from "../../src/proxies/policy.ts";
import type { ProxyState } from "../../src/proxies/proxy_state.ts";
import { Rounds } from "../../src/proxies/rounds.ts";
import { FakeTransport, socks5 } from "../support/fake.ts";
import { random } from "../support/random.ts";
import { type Chance, seeded } from "../support/seeded.ts";
import { test } from "../support/test.ts";

const BALANCES = ["round-robin", "random", "least-open", "fastest"] as const;

/** What happens to proxies in whole milliseconds of a clock that is not the real one, with connects that take turns. */
class Simulation {
  clock = 1;
  readonly fleet: Fleet;
  /** Connects that no proxy granted. */
  rejected = 0;
  readonly #settings;
  readonly #at = new Map<number, (() => void)[]>();

  constructor(proxies: readonly ProxySpec[], balance: Balance) {
    this.#settings = settings({ balance, retry: 0 });
    const hooks = { suspended() {}, recovered() {}, makeRoom() {}, left() {}, tell() {} };
    this.fleet = new Fleet(parseProxies(proxies), { ...this.#settings, isProbed: false }, hooks);
  }

  /** What happens so many milliseconds later. */
  later(ms: number, act: () => void): void {
    const at = this.clock + ms;
    const acts = this.#at.get(at);
    acts === undefined ? this.#at.set(at, [act]) : acts.push(act);
  }

  pass(): void {
    this.clock++;
    for (const act of this.#at.get(this.clock) ?? []) act();
    this.#at.delete(this.clock);
  }

  /** A connect: the proxies that it tried, of which the last one granted it. `ms`: how long a proxy takes for that. */
  connect({ hold, ms = () => 20, isDead = () => false, session }: {
    hold: number;
    ms?: (state: ProxyState) => number;
    isDead?: (state: ProxyState) => boolean;
    session?: string;
  }): ProxyState[] {
    const rounds = new Rounds(this.fleet, this.#settings, "target.example", session);
    const tried: ProxyState[] = [];
    for (;;) {
      const state = rounds.pick()!;
      const place = this.fleet.enter(state);
      rounds.begin(state, { remaining: 30_000 });
      tried.push(state);
      if (!isDead(state)) {
        this.fleet.succeeded(state, ms(state));
        this.later(hold, () => place.leave());
        return tried;
      }
      place.leave();
      this.fleet.failed(state);
      const rule = POLICY.SOCKS5_PROXY_UNREACHABLE;
      const error = socks5Error("SOCKS5_PROXY_UNREACHABLE", "it is dead", { phase: "dial" });
      if (rounds.failed(state, { error, rule }, 30_000).next === "failover") continue;
      this.rejected++;
      return tried;
    }
  }
}

/** Runs with a clock and chances that are not the real ones. */
function simulated(seed: number, run: (draw: () => number, at: (simulation: Simulation) => void) => void): void {
  const { now } = performance;
  const { random: chance } = Math;
  const draw = random(seed);
  Math.random = draw;
  performance.now = () => 1;
  try {
    run(draw, (simulation) => performance.now = () => simulation.clock);
  } finally {
    performance.now = now;
    Math.random = chance;
  }
}

const WEIGHTS = [1, 2, 3, 1, 8, 2, 4, 1];
const WEIGHED: readonly ProxySpec[] = WEIGHTS.map((weight, i) => ({ url: `socks5h://p${i}`, weight }));

for (const balance of BALANCES) {
  for (const open of [0.5, 5, 100]) {
    test(`balance ${balance} shares 100,000 connects as the weights say, with about ${open} open at a time`, () =>
      simulated(1, (draw, at) => {
        const simulation = new Simulation(WEIGHED, balance);
        at(simulation);
        for (let i = 0; i < 100_000; i++) {
          simulation.pass();
          simulation.connect({ hold: 1 + Math.floor(-Math.log(1 - draw()) * open), ms: () => 10 + draw() * 10 });
        }
        const share = 100_000 / WEIGHTS.reduce((a, b) => a + b);
        const shares = simulation.fleet.states.map(({ connects, proxy }) => connects / share / proxy.weight);
        for (const one of shares) assert(Math.abs(one - 1) < 0.05, shares.map((one) => one.toFixed(3)).join(" "));
      }));
  }
}

test("balance fastest takes faster proxies more often, and no one is forgotten", () =>
  simulated(2, (draw, at) => {
    const mean = { fastest: 0, random: 0 };
    for (const balance of ["fastest", "random"] as const) {
      const simulation = new Simulation(Array.from({ length: 10 }, (_, i) => `socks5h://p${i}`), balance);
      at(simulation);
      const speed = ({ index }: ProxyState) => 20 * 1.4 ** index * (0.8 + 0.4 * draw());
      const last = new Map<ProxyState, number>();
      let longest = 0;
      for (let i = 0; i < 100_000; i++) {
        for (let j = 0; j < 10; j++) simulation.pass();
        let took = 0;
        const [state] = simulation.connect({ hold: 50, ms: (state) => took = speed(state) });
        mean[balance] += took / 100_000;
        longest = Math.max(longest, simulation.clock - (last.get(state!) ?? 0));
        last.set(state!, simulation.clock);
      }
      const counts = simulation.fleet.states.map(({ connects }) => connects);
      if (balance === "random") continue;
      assertGreater(counts[0]!, 1.5 * counts[4]!);
      assertGreater(counts[4]!, counts[9]!);
      assertLess(longest, 120_000); // also the slowest one is tried again within two minutes
    }
    assertLess(mean.fastest, 0.6 * mean.random);
  }));

test("no connect is lost when proxies die at random, and each death costs one attempt until its cooldown is over", () =>
  simulated(3, (draw, at) => {
    const simulation = new Simulation(Array.from({ length: 20 }, (_, i) => `socks5h://p${i}`), "least-open");
    at(simulation);
    const dead = new Map<ProxyState, { at: number; attempts: number }>();
    let deaths = 0;
    let failed = 0;
    for (let i = 0; i < 100_000; i++) {
      for (let j = 0; j < 10; j++) simulation.pass();
      if (draw() < 0.002) {
        const state = simulation.fleet.states[Math.floor(draw() * 20)]!;
        if (!dead.has(state)) {
          deaths++;
          dead.set(state, { at: simulation.clock, attempts: 0 });
          simulation.later(1 + Math.floor(draw() * 120_000), () => dead.delete(state));
        }
      }
      const tried = simulation.connect({ hold: Math.floor(draw() * 2_000), isDead: (state) => dead.has(state) });
      for (const state of tried.slice(0, -1)) {
        failed++;
        const death = dead.get(state)!;
        death.attempts++;
        // the cooldown doubles: 30 s, 60 s, 120 s
        const most = 1 + Math.floor(Math.log2(1 + (simulation.clock - death.at) / 30_000));
        assert(death.attempts <= most, `${death.attempts} attempts in ${simulation.clock - death.at} ms`);
      }
    }
    assertEquals(simulation.rejected, 0);
    assertGreater(deaths, 50);
    assertGreater(failed, deaths / 2);
  }));

test("when one of the proxies goes its sessions move, and no others; when it comes back they do", () =>
  simulated(4, (_, at) => {
    const names = Array.from({ length: 20 }, (_, i) => `socks5h://p${i}`);
    const simulation = new Simulation(names, "round-robin");
    at(simulation);
    const { fleet } = simulation;
    const sessions = Array.from({ length: 10_000 }, (_, i) => `session ${i}`);
    const places = () => sessions.map((session) => simulation.connect({ hold: 1, session })[0]!.proxy.name);
    const before = places();
    const gone: [name: string, go: () => void, come: () => void][] = [
      [
        "p7:1080",
        () => fleet.setProxies(parseProxies(names.filter((name) => !name.endsWith("p7")))),
        () => fleet.setProxies(parseProxies(names)),
      ],
      [
        "p3:1080",
        () => fleet.suspend(fleet.named("p3:1080")[0]!, "application", 5_000),
        () => Array.from({ length: 5_001 }, () => simulation.pass()),
      ],
    ];
    for (const [name, go, come] of gone) {
      go();
      const during = places();
      const moved = sessions.filter((_, i) => before[i] !== during[i]);
      assertEquals(moved, sessions.filter((_, i) => before[i] === name));
      assert(Math.abs(moved.length / 500 - 1) < 0.15, `${moved.length} of 10000 moved`);
      // they spread over all that are left
      const taken = new Set(during.filter((_, i) => before[i] === name));
      assertEquals(taken.size, 19);
      come();
      assertEquals(places(), before);
    }
  }));

test("sessions are shared as the weights say", () =>
  simulated(5, (_, at) => {
    const simulation = new Simulation(WEIGHED, "first");
    at(simulation);
    const counts = WEIGHTS.map(() => 0);
    for (let i = 0; i < 100_000; i++) counts[simulation.fleet.proxyOf(`session ${i}`).index]!++;
    const share = 100_000 / WEIGHTS.reduce((a, b) => a + b);
    for (const [i, count] of counts.entries()) assert(Math.abs(count / share / WEIGHTS[i]! - 1) < 0.05, counts.join());
  }));

seeded(
  "maxOpen of each proxy holds, and those who wait for the same are served in order of arrival",
  async (chance) => {
    for (const balance of ["first", ...BALANCES] as const) for (let i = 0; i < 4; i++) await play(chance, balance);
  },
);

/** Requests of some sessions and of none, which come and end at random, on a client with few places. */
async function play(chance: Chance, balance: Balance): Promise<void> {
  const transport = new FakeTransport(socks5());
  const open = new Map<string, number>();
  const connect = transport.connect.bind(transport);
  let most = 0;
  transport.connect = async (to, options) => {
    const name = "hostname" in to ? to.hostname : to.path;
    const count = (by: number) => open.set(name, (open.get(name) ?? 0) + by);
    count(1);
    most = Math.max(most, open.get(name)! - Number(name.slice(1)));
    const conn = await connect(to, options);
    const close = conn.close.bind(conn);
    conn.close = () => {
      if (!conn.closed) count(-1);
      close();
    };
    return conn;
  };
  // the limit of a proxy is in its name
  const limits = [1, 2, 3];
  const proxies = limits.map((maxOpen) => ({ url: `socks5h://p${maxOpen}`, maxOpen, weight: maxOpen }));
  const sessions: (string | undefined)[] = [];
  const lines = new Map<string, number[]>(); // who was served with a place, by what it waited for
  const onEvent = (event: Socks5Event) => {
    if (event.type !== "attempt") return;
    const line = sessions[event.id - 1] === undefined ? "any" : event.proxy;
    lines.set(line, [...lines.get(line) ?? [], event.id]);
  };
  const client = new Socks5Client(proxies, { transport, balance, attemptDelay: Infinity, timeout: Infinity, onEvent });
  const held: { close(): void; release?(): void }[] = [];
  const all: Promise<void>[] = [];
  for (let number = 0; number < 120; number++) {
    const session = chance.below(2) === 0 ? undefined : `session ${chance.below(6)}`;
    const reuse = chance.below(3) === 0;
    sessions.push(session);
    const connecting = client.connect("target.example:80", { session, reuse });
    all.push(connecting.then((conn) => void held.push(reuse ? conn : { close: () => conn.close() })));
    while (held.length > 0 && chance.below(3) === 0) {
      end(held.splice(chance.below(held.length), 1)[0]!, chance);
      if (chance.below(4) > 0) continue;
      await turn();
    }
    await turn(); // who has been given a place tells it a moment later
  }
  for (let left = all.length * 20; left > 0 && client.stats().connects < all.length; left--) {
    await turn();
    if (held.length > 0) end(held.splice(chance.below(held.length), 1)[0]!, chance);
  }
  await Promise.all(all);
  assertEquals(most, 0, `a proxy had ${most} connections more than it may`);
  for (const [line, numbers] of lines) {
    assertEquals(numbers, numbers.toSorted((a, b) => a - b), `those who waited for ${line}`);
  }
  for (const conn of held) conn.close();
  await client.close();
  assertEquals([...open.values()], [...open.values()].map(() => 0));
}

function end(conn: { close(): void; release?(): void }, chance: Chance): void {
  if (conn.release !== undefined && chance.below(2) === 0) conn.release();
  else conn.close();
}

/** A turn of the loop, in which all happens that can. */
function turn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
