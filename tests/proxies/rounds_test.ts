import { assert, assertEquals } from "@std/assert";
import { parseProxy, type Proxy } from "../../src/config/proxy_url.ts";
import { type Settings, settings } from "../../src/config/settings.ts";
import { socks5Error } from "../../src/errors.ts";
import { Health } from "../../src/proxies/health.ts";
import { MinTree, Remainder } from "../../src/proxies/min_tree.ts";
import type { Verdict } from "../../src/proxies/policy.ts";
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
  const now = performance.now;
  try {
    for (let scene = 0; scene < 150; scene++) play(chance);
  } finally {
    performance.now = now;
  }
  await Promise.resolve();
});

function play(chance: Chance): void {
  let clock = 1; // whole steps, so that times are equal now and then
  performance.now = () => clock;
  const proxies = listOf(1 + chance.below(chance.pick([2, 6, 20])));
  const cooldown = chance.pick([0, 3, 10, Infinity]);
  const limits = limitsOf({ retries: chance.below(4), cooldown });
  const [health, model] = [new Health(proxies, cooldown), new HealthModel(proxies, cooldown)];
  const requests: Request[] = [];
  for (let step = 0; step < 150; step++) {
    if (chance.below(3) === 0) clock += chance.below(3);
    assertEquals(health.stats.map((it) => it.cooldown), model.cooldowns);
    if (requests.length === 0 || (requests.length < 4 && chance.below(6) === 0)) {
      requests.push({ rounds: new Rounds(health, limits), model: new RoundsModel(model, limits.retries), running: [] });
    }
    const request = chance.pick(requests);
    if (!advance(request, { chance, health, model, proxies, limits })) requests.splice(requests.indexOf(request), 1);
    assertEquals(stateOf(request.rounds), stateOf(request.model));
  }
}

interface Scene {
  readonly chance: Chance;
  readonly health: Health;
  readonly model: HealthModel;
  readonly proxies: readonly Proxy[];
  readonly limits: Settings;
}

/** One step of a request; `false` if it is the last. */
function advance(request: Request, scene: Scene): boolean {
  const { rounds, model, running } = request;
  const { chance, health } = scene;
  if (running.length === 0) {
    const isWarm = chance.below(8) === 0; // or is asked for another address: it need not be among those that are left
    const proxy = isWarm ? chance.pick(scene.proxies) : rounds.pick();
    if (!isWarm) assertEquals(proxy, model.pick());
    begin(request, proxy, scene.limits);
    return true;
  }
  const proxy = chance.pick(running);
  const what = chance.below(7);
  if (what < 2) {
    const beside = rounds.pickBeside();
    assertEquals(beside, model.pickBeside());
    if (beside !== undefined) begin(request, beside, scene.limits);
    return true;
  }
  if (what === 2) { // this one is about to send the request
    for (const other of running.filter((it) => it !== proxy)) {
      const isOvertaken = chance.below(2) === 0;
      rounds.lost(other, isOvertaken);
      model.lost(other, isOvertaken);
    }
    request.running = [proxy];
    return true;
  }
  if (what === 3) {
    if (running.length > 1) return true;
    health.succeeded(proxy);
    scene.model.succeeded(proxy);
    return false;
  }
  const verdict = drawn(chance);
  if (verdict.rule.cooldown) {
    health.failed(proxy);
    scene.model.passOver(proxy);
  }
  request.running = running.filter((it) => it !== proxy);
  if (running.length > 1) {
    rounds.failedBeside(proxy, verdict);
    model.failedBeside(proxy, verdict);
    return true;
  }
  const { next } = rounds.failed(proxy, verdict, Infinity);
  assertEquals(next, model.failed(proxy, verdict));
  return next !== null;
}

function begin({ rounds, model, running }: Request, proxy: Proxy, { attemptTimeout }: Settings): void {
  const parts = model.begin(proxy);
  assertEquals(rounds.begin(proxy, { remaining: 100_000 }), parts === 1 ? attemptTimeout : 100_000 / parts);
  running.push(proxy);
}

function stateOf({ begun, done, isFinal, isLast, isChoice, hasInService }: Rounds | RoundsModel): unknown {
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
    const tree = new MinTree(length, 5);
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
    for (let i = 0; i < 100; i++) crowd.health.succeeded(crowd.attempt(crowd.rounds()));
    return 100;
  }],
  ["all but the last are passed over", (crowd) => {
    for (const proxy of crowd.proxies.slice(0, -1)) crowd.health.failed(proxy);
    for (let i = 0; i < 100; i++) assertEquals(crowd.attempt(crowd.rounds()), crowd.proxies.at(-1));
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
    for (let i = 0; i < COUNT; i += 2) crowd.health.failed(crowd.proxies[i]!);
    return COUNT / 2 + crowd.exhaust(crowd.rounds(), REFUSES, 2_000);
  }],
  ["others come back into service meanwhile", (crowd) => {
    for (let i = 0; i < COUNT; i += 2) crowd.health.failed(crowd.proxies[i]!);
    return COUNT / 2 + crowd.exhaust(crowd.rounds(), REFUSES, 2_000, (i) => crowd.health.succeeded(crowd.proxies[i]!));
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
  readonly health: Health;

  constructor() {
    const { reads } = this;
    const list = new Proxy(this.proxies, {
      get(target, name) {
        reads.count++;
        return Reflect.get(target, name, target);
      },
    });
    this.health = new Health(list, 30_000);
  }

  rounds(retries = 0): Rounds {
    return new Rounds(this.health, limitsOf({ retries }));
  }

  attempt(rounds: Rounds): Proxy {
    const proxy = rounds.pick();
    rounds.begin(proxy, { remaining: 100_000 });
    return proxy;
  }

  /** Lets attempts fail until the request gives up, or as often as that; gives how many there were. */
  exhaust(rounds: Rounds, rule: Verdict["rule"], most = Infinity, meanwhile = (_attempt: number): void => {}): number {
    for (let attempt = 0; attempt < most; attempt++) {
      const proxy = this.attempt(rounds);
      if (rule.cooldown) this.health.failed(proxy);
      meanwhile(attempt);
      if (rounds.failed(proxy, failure(rule), Infinity).next === null) return attempt + 1;
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
  [MinTree.prototype, ["at", "get", "changesAt"]],
  [Remainder.prototype, ["at"]],
  [Math, ["min", "max"]],
] as unknown as [of: Methods, names: string[]][];

function failure(rule: Verdict["rule"]): Verdict {
  return { error: socks5Error("SOCKS5_PROXY_HUNG_UP", "it hung up", { phase: "dial" }), rule };
}

function limitsOf({ retries, cooldown = 30_000 }: { retries: number; cooldown?: number }): Settings {
  return settings({ attemptTimeout: 1_000_000, retry: { retries, minDelay: 1, maxDelay: 1 }, cooldown });
}

function listOf(length: number): Proxy[] {
  return Array.from({ length }, (_, i) => parseProxy(`socks5h://192.0.2.1:${1 + i}`));
}
