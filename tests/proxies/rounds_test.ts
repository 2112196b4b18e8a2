import { assert, assertEquals } from "@std/assert";
import { parseProxy, type Proxy } from "../../src/config/proxy_url.ts";
import { type Settings, settings } from "../../src/config/settings.ts";
import { socks5Error } from "../../src/errors.ts";
import { Fleet, type FleetHooks } from "../../src/proxies/fleet.ts";
import { MIN, NumberTree, Remainder } from "../../src/proxies/number_tree.ts";
import type { Verdict } from "../../src/proxies/policy.ts";
import type { ProxyState } from "../../src/proxies/proxy_state.ts";
import { Rounds } from "../../src/proxies/rounds.ts";
import { type Chance, seeded } from "../support/seeded.ts";
import { test } from "../support/test.ts";
import { HealthModel, RoundsModel } from "./model.ts";

/** A request, and the proxies at which it has attempts under way. */
interface Request {
  readonly rounds: Rounds;
  readonly model: RoundsModel;
  running: Proxy[];
}

seeded("a proxy is chosen as if all were gone through, whatever has happened before", async (chance) => {
  const { now } = performance;
  const { random } = Math;
  Math.random = () => 0; // nothing is added to a cooldown
  try {
    for (let scene = 0; scene < 150; scene++) play(chance);
  } finally {
    performance.now = now;
    Math.random = random;
  }
  await Promise.resolve();
});

function play(chance: Chance): void {
  let clock = 1; // whole steps, so that times are equal now and then
  performance.now = () => clock;
  const proxies = listOf(1 + chance.below(chance.pick([2, 6, 20])));
  const cooldown = chance.pick([0, 3, 10, Infinity]);
  const limits = limitsOf({ retries: chance.below(4), cooldown });
  const [fleet, model] = [fleetOf(proxies, cooldown), new HealthModel(proxies, cooldown)];
  const requests: Request[] = [];
  for (let step = 0; step < 150; step++) {
    if (chance.below(3) === 0) clock += chance.below(3);
    assertEquals(fleet.states.map((it) => Math.max(0, it.suspendedUntil - clock)), model.cooldowns);
    if (requests.length === 0 || (requests.length < 4 && chance.below(6) === 0)) {
      const rounds = new Rounds(fleet, limits, "target.example", undefined);
      requests.push({ rounds, model: new RoundsModel(model, limits.retries), running: [] });
    }
    const request = chance.pick(requests);
    if (!advance(request, { chance, fleet, model, proxies, limits })) requests.splice(requests.indexOf(request), 1);
    assertEquals(shown(request.rounds), shown(request.model));
  }
}

interface Scene {
  readonly chance: Chance;
  readonly fleet: Fleet;
  readonly model: HealthModel;
  readonly proxies: readonly Proxy[];
  readonly limits: Settings;
}

/** One step of a request; `false` if it is the last. */
function advance(request: Request, scene: Scene): boolean {
  const { rounds, model, running } = request;
  const { chance, fleet } = scene;
  const stateOf = (proxy: Proxy) => fleet.stateOf(proxy);
  if (running.length === 0) {
    const isWarm = chance.below(8) === 0; // or is asked for another address: it need not be among those that are left
    const proxy = isWarm ? chance.pick(scene.proxies) : rounds.pick()!.proxy;
    if (!isWarm) assertEquals(proxy, model.pick());
    begin(request, stateOf(proxy), scene.limits);
    return true;
  }
  const proxy = chance.pick(running);
  const what = chance.below(7);
  if (what < 2) {
    const beside = rounds.pickBeside();
    assertEquals(beside?.proxy, model.pickBeside());
    if (beside !== undefined) begin(request, beside, scene.limits);
    return true;
  }
  if (what === 2) { // this one is about to send the request
    for (const other of running.filter((it) => it !== proxy)) {
      const isOvertaken = chance.below(2) === 0;
      rounds.lost(stateOf(other), isOvertaken);
      model.lost(other, isOvertaken);
    }
    request.running = [proxy];
    return true;
  }
  if (what === 3) {
    if (running.length > 1) return true;
    fleet.succeeded(stateOf(proxy), 1);
    scene.model.succeeded(proxy);
    return false;
  }
  const verdict = drawn(chance);
  if (verdict.rule.cooldown) {
    fleet.failed(stateOf(proxy));
    scene.model.passOver(proxy);
  }
  request.running = running.filter((it) => it !== proxy);
  if (running.length > 1) {
    rounds.failedBeside(stateOf(proxy), verdict);
    model.failedBeside(proxy, verdict);
    return true;
  }
  const { next } = rounds.failed(stateOf(proxy), verdict, Infinity);
  assertEquals(next, model.failed(proxy, verdict));
  return next !== null;
}

function begin({ rounds, model, running }: Request, state: ProxyState, { attemptTimeout }: Settings): void {
  const { proxy } = state;
  const parts = model.begin(proxy);
  assertEquals(rounds.begin(state, { remaining: 100_000 }), parts === 1 ? attemptTimeout : 100_000 / parts);
  running.push(proxy);
}

function shown({ begun, done, isFinal, isLast, isChoice, hasInService }: Rounds | RoundsModel): unknown {
  return { begun, done, isFinal, isLast, isChoice, hasInService };
}

function drawn(chance: Chance): Verdict {
  const rule = { address: false, nextProxy: chance.below(5) > 0, retry: chance.below(2) === 0 };
  return failure({ ...rule, cooldown: chance.below(2) === 0 });
}

seeded("what is left of a tree follows each change of the tree", async (chance) => {
  for (let scene = 0; scene < 100; scene++) {
    const length = 1 + chance.below(40);
    const numbers = Array.from({ length }, () => 5);
    const out = new Set([chance.below(length)]);
    const tree = new NumberTree(numbers, MIN);
    const rest = new Remainder(tree, out);
    for (let step = 0; step < 100; step++) {
      const index = chance.below(length);
      if (chance.below(2) === 0) tree.set(index, numbers[index] = chance.pick([1, 2, 3, Infinity]));
      else if (out.delete(index)) rest.put(index);
      else out.add(index), rest.take(index);
      if (chance.below(3) === 0) continue; // several changes at a time
      assertEquals(tree.at(1), Math.min(...numbers));
      assertEquals(rest.at(1), Math.min(...numbers.filter((_, i) => !out.has(i))));
    }
  }
  await Promise.resolve();
});

const COUNT = 10_000;

/** What an attempt may do at most for one of 10,000 proxies, of what is counted: a few walks through 14 levels. */
const MOST = 400;

const crowds: [name: string, steps: (crowd: Crowd) => number][] = [
  ["the first of them works", (crowd) => {
    for (let i = 0; i < 100; i++) crowd.fleet.succeeded(crowd.attempt(crowd.rounds()), 1);
    return 100;
  }],
  ["all but the last are passed over", (crowd) => {
    for (const state of crowd.fleet.states.slice(0, -1)) crowd.fleet.failed(state);
    for (let i = 0; i < 100; i++) assertEquals(crowd.attempt(crowd.rounds()).index, COUNT - 1);
    return COUNT + 100;
  }],
  ["all are dead, for one request after another", (crowd) => {
    const all = crowd.exhaust(crowd.rounds(), DEAD);
    assertEquals(all, COUNT);
    return all + crowd.exhaust(crowd.rounds(), DEAD, 1_000);
  }],
  ["the first of them fails in each round", (crowd) => {
    return crowd.exhaust(crowd.rounds(Infinity), { ...REFUSES, nextProxy: false, retry: true }, 2_000);
  }],
  ["all refuse the target", (crowd) => crowd.exhaust(crowd.rounds(), REFUSES, 2_000)],
  ["each second one is passed over, and the others refuse the target", (crowd) => {
    for (let i = 0; i < COUNT; i += 2) crowd.fleet.failed(crowd.fleet.states[i]!);
    return COUNT / 2 + crowd.exhaust(crowd.rounds(), REFUSES, 2_000);
  }],
  ["others come back into service meanwhile", (crowd) => {
    for (let i = 0; i < COUNT; i += 2) crowd.fleet.failed(crowd.fleet.states[i]!);
    return COUNT / 2 + crowd.exhaust(crowd.rounds(), REFUSES, 2_000, (i) => crowd.fleet.worked(crowd.fleet.states[i]!));
  }],
];

for (const [name, steps] of crowds) {
  test(`of ten thousand proxies one is chosen without going through them: ${name}`, () => {
    const crowd = new Crowd();
    const { count, result } = counted(crowd.reads, () => steps(crowd));
    assert(count / result < MOST, `${count / result} steps for each of ${result}`);
    assert(count > result, "nothing was counted");
  });
}

const DEAD = { address: false, nextProxy: true, retry: false, cooldown: true };
const REFUSES = { ...DEAD, cooldown: false };

/** Ten thousand proxies in a list that counts how often it is looked into. */
class Crowd {
  readonly reads = { count: 0 };
  readonly proxies: readonly Proxy[] = listOf(COUNT);
  readonly fleet: Fleet;

  constructor() {
    const { reads } = this;
    const list = new Proxy(this.proxies, {
      get(target, name) {
        reads.count++;
        return Reflect.get(target, name, target);
      },
    });
    this.fleet = fleetOf(list, 30_000);
  }

  rounds(retries = 0): Rounds {
    return new Rounds(this.fleet, limitsOf({ retries }), "target.example", undefined);
  }

  attempt(rounds: Rounds): ProxyState {
    const state = rounds.pick()!;
    rounds.begin(state, { remaining: 100_000 });
    return state;
  }

  /** Lets attempts fail until the request gives up, or as often as that; gives how many there were. */
  exhaust(rounds: Rounds, rule: Verdict["rule"], most = Infinity, meanwhile = (_attempt: number): void => {}): number {
    for (let attempt = 0; attempt < most; attempt++) {
      const state = this.attempt(rounds);
      if (rule.cooldown) this.fleet.failed(state);
      meanwhile(attempt);
      if (rounds.failed(state, failure(rule), Infinity).next === null) return attempt + 1;
    }
    return most;
  }
}

/** How often `run` looked into the list, a map, a set or a tree, and compared two numbers. */
function counted(reads: { count: number }, run: () => number): { count: number; result: number } {
  const before = reads.count;
  const undo: (() => void)[] = [];
  for (const [of, names] of COUNTED) {
    for (const name of names) {
      const was = of[name]!;
      of[name] = function (this: unknown, ...args: unknown[]) {
        reads.count++;
        return was.apply(this, args);
      };
      undo.push(() => of[name] = was);
    }
  }
  try {
    const result = run();
    return { count: reads.count - before, result };
  } finally {
    for (const it of undo) it();
  }
}

type Methods = Record<string, (...args: unknown[]) => unknown>;

const COUNTED = [
  [Map.prototype, ["get", "set", "has", "delete"]],
  [Set.prototype, ["add", "has", "delete"]],
  [NumberTree.prototype, ["at", "get", "changesAt"]],
  [Remainder.prototype, ["at", "changesAt"]],
  [Math, ["min", "max"]],
] as unknown as [of: Methods, names: string[]][];

function failure(rule: Verdict["rule"]): Verdict {
  return { error: socks5Error("SOCKS5_PROXY_HUNG_UP", "it hung up", { phase: "dial" }), rule };
}

function limitsOf({ retries, cooldown = 30_000 }: { retries: number; cooldown?: number }): Settings {
  return settings({ attemptTimeout: 1_000_000, retry: { retries, minDelay: 1, maxDelay: 1 }, cooldown });
}

function fleetOf(proxies: readonly Proxy[], cooldown: number): Fleet {
  const limits = { balance: "first", cooldown, maxCooldown: cooldown, attemptTimeout: 1_000, isProbed: false } as const;
  return new Fleet(proxies, limits, NO_HOOKS);
}

const NO_HOOKS: FleetHooks = { suspended() {}, recovered() {}, makeRoom() {}, left() {}, tell() {} };

function listOf(length: number): Proxy[] {
  return Array.from({ length }, (_, i) => parseProxy(`socks5h://192.0.2.1:${1 + i}`));
}
