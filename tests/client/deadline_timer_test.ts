import { assert, assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { DeadlineTimer, type Timed } from "../../src/deadline_timer.ts";
import { Members } from "../../src/members.ts";
import { MAX_DELAY } from "../../src/config/settings.ts";
import { random } from "../support/random.ts";
import { test } from "../support/test.ts";

/** A clock, and the timers that are armed on it. */
interface Watch {
  now: number;
  /** Lets time pass, timer by timer. */
  pass(ms: number): void;
  /** Lets time pass without a turn for the timers. */
  busy(ms: number): void;
  /** When the timers that are armed are due. */
  readonly armed: number[];
  /** For how many milliseconds the last one was armed. */
  readonly wait: number;
  /** How many were armed so far. */
  readonly count: number;
}

/** Registers a test in fake time, that of `performance` included; it fails if a timer is left. */
function timed(name: string, fn: (watch: Watch) => void): void {
  test(name, () => {
    const time = new FakeTime(0);
    const { setTimeout: set, clearTimeout: clear } = globalThis;
    const now = performance.now;
    const armed = new Map<unknown, number>();
    let [count, late, wait] = [0, 0, 0];
    const watch: Watch = {
      get now() {
        return time.now + late;
      },
      pass: (ms) => time.tick(ms),
      busy: (ms) => late += ms,
      get armed() {
        return [...armed.values()];
      },
      get wait() {
        return wait;
      },
      get count() {
        return count;
      },
    };
    performance.now = () => watch.now;
    globalThis.setTimeout = ((fire: () => void, ms: number) => {
      count++;
      wait = ms;
      const timer = set(() => (armed.delete(timer), fire()), ms);
      armed.set(timer, watch.now + ms);
      return timer;
    }) as typeof setTimeout;
    globalThis.clearTimeout = (timer) => (armed.delete(timer), clear(timer));
    try {
      fn(watch);
      assertEquals(watch.armed, [], "a timer was left");
      assertEquals(time.next(), false, "a timer was left");
    } finally {
      performance.now = now;
      time.restore();
    }
  });
}

/** Somebody who notes when he was woken. */
class Dreamer implements Timed {
  deadline: number;
  slot = -1;
  readonly woken: number[] = [];
  onWake: () => void = () => {};

  constructor(due: number) {
    this.deadline = due;
  }

  wake(): void {
    this.woken.push(performance.now());
    this.deadline = Infinity;
    this.onWake();
  }
}

timed("each is woken when it is due, and not a millisecond before, by one timer for all", (watch) => {
  const alarm = new DeadlineTimer<Dreamer>(true);
  const dreamers = [300, 100, 200, 100, Infinity].map((due) => new Dreamer(due));
  for (const dreamer of dreamers) {
    alarm.set(dreamer);
    assert(watch.armed.length <= 1);
  }
  for (const [at, woken] of [[99, 0], [100, 2], [199, 2], [200, 3], [299, 3], [300, 4]] as const) {
    watch.pass(at - watch.now);
    assertEquals(dreamers.flatMap((dreamer) => dreamer.woken).length, woken, `at ${at}`);
    assert(watch.armed.length <= 1);
  }
  assertEquals(dreamers.map((dreamer) => dreamer.woken), [[300], [100], [200], [100], []]);
});

timed("thousands that wait equally long arm it once", (watch) => {
  const alarm = new DeadlineTimer<Dreamer>(true);
  const dreamers = Array.from({ length: 1_000 }, () => {
    const dreamer = new Dreamer(watch.now + 500);
    alarm.set(dreamer);
    if (watch.now < 300) watch.pass(1);
    return dreamer;
  });
  assertEquals([watch.count, watch.armed], [1, [500]]);
  for (const dreamer of dreamers) alarm.delete(dreamer);
});

timed("without anybody there is no timer, and it begins anew", (watch) => {
  const alarm = new DeadlineTimer<Dreamer>(true);
  assertEquals(watch.armed, []);
  const [one, two] = [new Dreamer(100), new Dreamer(200)];
  alarm.set(one);
  alarm.set(two);
  alarm.delete(one);
  assertEquals(watch.armed.length, 1);
  alarm.delete(two);
  assertEquals(watch.armed, []);
  alarm.delete(two);
  two.deadline = 50;
  alarm.set(two);
  assertEquals(watch.armed, [50]);
  watch.pass(300);
  assertEquals([one.woken, two.woken, alarm.all], [[], [50], []]);
});

timed("who is taken off is not woken, also in the same moment", (watch) => {
  const alarm = new DeadlineTimer<Dreamer>(true);
  const [early, late] = [new Dreamer(100), new Dreamer(100)];
  alarm.set(early);
  alarm.set(late);
  alarm.delete(early);
  watch.pass(100);
  assertEquals([early.woken, late.woken, alarm.all], [[], [100], []]);
});

timed("a time that is moved nearer counts at once, and one that is moved farther is not kept waiting for", (watch) => {
  const alarm = new DeadlineTimer<Dreamer>(true);
  const dreamer = new Dreamer(100);
  alarm.set(dreamer);
  watch.pass(10);
  dreamer.deadline = 50;
  alarm.set(dreamer);
  assertEquals([watch.armed, alarm.all], [[50], [dreamer]]);
  watch.pass(30);
  dreamer.deadline = 80;
  alarm.set(dreamer);
  watch.pass(39);
  assertEquals(dreamer.woken, []);
  watch.pass(1);
  assertEquals(dreamer.woken, [80]);
  dreamer.deadline = 90;
  alarm.set(dreamer);
  dreamer.deadline = Infinity;
  alarm.set(dreamer);
  watch.pass(1_000);
  assertEquals([dreamer.woken, watch.armed], [[80], []]);
});

timed("Infinity is never, and arms no timer", (watch) => {
  const alarm = new DeadlineTimer<Dreamer>(true);
  const dreamer = new Dreamer(Infinity);
  alarm.set(dreamer);
  assertEquals([watch.count, alarm.all], [0, [dreamer]]);
  alarm.delete(dreamer);
  assertEquals(alarm.all, []);
});

timed("a time that is over is as near as it gets", (watch) => {
  const alarm = new DeadlineTimer<Dreamer>(true);
  watch.pass(100);
  const dreamer = new Dreamer(50);
  alarm.set(dreamer);
  assertEquals([dreamer.woken, watch.armed], [[], [100]]);
  watch.pass(0);
  assertEquals(dreamer.woken, [100]);
});

timed("fractions of a millisecond are waited for to their end", (watch) => {
  const alarm = new DeadlineTimer<Dreamer>(true);
  watch.busy(0.7);
  const dreamer = new Dreamer(10.9);
  alarm.set(dreamer);
  watch.pass(10);
  assertEquals(dreamer.woken, []);
  watch.pass(1);
  assertEquals(dreamer.woken.length, 1);
  assert(dreamer.woken[0]! >= 10.9 && dreamer.woken[0]! < 12);
});

timed("a timer that comes a little early wakes whom it was for, and nobody who is due later", (watch) => {
  const alarm = new DeadlineTimer<Dreamer>(true);
  const [one, two] = [new Dreamer(100), new Dreamer(101)];
  alarm.set(one);
  alarm.set(two);
  watch.busy(-0.4); // the clock is behind the timers
  watch.pass(100);
  assertEquals([one.woken.length, two.woken.length], [1, 0]);
  watch.pass(2);
  assertEquals([one.woken.length, two.woken.length], [1, 1]);
});

timed("a timer that comes late wakes all that are due by then, the others in their time", (watch) => {
  const alarm = new DeadlineTimer<Dreamer>(true);
  const dreamers = [10, 60, 300].map((due) => new Dreamer(due));
  for (const dreamer of dreamers) alarm.set(dreamer);
  watch.busy(90);
  watch.pass(10);
  assertEquals(dreamers.map((dreamer) => dreamer.woken), [[100], [100], []]);
  assertEquals(watch.armed, [300]);
  watch.pass(200);
  assertEquals(dreamers[2]!.woken, [300]);
});

timed("who is woken may take others off, put others on, and go on waiting", (watch) => {
  const alarm = new DeadlineTimer<Dreamer>(true);
  const [one, two, three] = [new Dreamer(100), new Dreamer(150), new Dreamer(120)];
  const neighbour = new Dreamer(130);
  one.onWake = () => {
    alarm.delete(two);
    alarm.set(three);
    one.deadline = 110;
    alarm.set(one);
  };
  alarm.set(one);
  alarm.set(two);
  alarm.set(neighbour);
  watch.pass(109);
  assertEquals([one.woken, watch.armed], [[100], [110]]);
  one.onWake = () => {};
  watch.pass(100);
  assertEquals([one.woken, two.woken, three.woken, neighbour.woken], [[100, 110], [], [120], [130]]);
  assertEquals(alarm.all, []);
  three.deadline = 300;
  alarm.set(three);
  alarm.delete(neighbour);
  watch.pass(91);
  assertEquals([three.woken, alarm.all], [[120, 300], []]);
});

timed("the longest time is no overflow of the timer, wherever on the clock it begins", (watch) => {
  for (let i = 0; i < 300; i++) {
    const alarm = new DeadlineTimer<Dreamer>(true);
    const dreamer = new Dreamer(watch.now + MAX_DELAY);
    alarm.set(dreamer);
    assert(watch.wait <= MAX_DELAY, `a timer of ${watch.wait} ms fires at once`);
    alarm.delete(dreamer);
    watch.busy(0.123);
  }
});

timed("a time that is too far for a timer is come to by several", (watch) => {
  const alarm = new DeadlineTimer<Dreamer>(true);
  const dreamer = new Dreamer(2 * MAX_DELAY + 100);
  alarm.set(dreamer);
  for (const left of [MAX_DELAY, MAX_DELAY, 99]) {
    assert(watch.wait <= MAX_DELAY, `a timer of ${watch.wait} ms fires at once`);
    watch.pass(left);
    assertEquals(dreamer.woken, []);
  }
  watch.pass(1);
  assertEquals([dreamer.woken, watch.count], [[2 * MAX_DELAY + 100], 3]);
});

for (const keepsAlive of [true, false]) {
  test(`keepsAlive ${keepsAlive}: the process ${keepsAlive ? "waits" : "does not wait"} for each timer`, () => {
    const unrefs: boolean[] = [];
    const set = globalThis.setTimeout;
    globalThis.setTimeout = ((...args: Parameters<typeof set>) => {
      const timer = set(...args) as unknown as { unref?(): void };
      const index = unrefs.push(false) - 1;
      return typeof timer === "object" && timer.unref
        ? Object.assign(timer, { unref: () => void (unrefs[index] = true) })
        : { [Symbol.toPrimitive]: () => timer, unref: () => void (unrefs[index] = true) };
    }) as unknown as typeof set;
    try {
      const alarm = new DeadlineTimer<Dreamer>(keepsAlive);
      const dreamers = [100_000, 50_000].map((ms) => new Dreamer(performance.now() + ms));
      for (const dreamer of dreamers) alarm.set(dreamer);
      for (const dreamer of dreamers) alarm.delete(dreamer);
      assertEquals(unrefs, [!keepsAlive, !keepsAlive]);
    } finally {
      globalThis.setTimeout = set;
    }
  });
}

timed("random sleepers: none is woken early, none is forgotten, and there is one timer at most", (watch) => {
  for (let seed = 1; seed <= 50; seed++) {
    const next = random(seed);
    const alarm = new DeadlineTimer<Dreamer>(true);
    const wanted = new Map<Dreamer, number>();
    for (let step = 0; step < 200; step++) {
      const dice = next();
      const [any] = [...wanted.keys()].slice(Math.floor(next() * wanted.size));
      if (dice < 0.4 || any === undefined) {
        const dreamer = new Dreamer(next() < 0.1 ? Infinity : watch.now + Math.floor(next() * 50));
        wanted.set(dreamer, dreamer.deadline);
        dreamer.onWake = () => {
          const due = wanted.get(dreamer)!;
          assertEquals(performance.now(), Math.max(due, performance.now()), `seed ${seed}: early`);
          wanted.delete(dreamer);
          alarm.delete(dreamer);
        };
        alarm.set(dreamer);
      } else if (dice < 0.6) {
        any.deadline = next() < 0.2 ? Infinity : watch.now + Math.floor(next() * 80);
        wanted.set(any, any.deadline);
        alarm.set(any);
      } else if (dice < 0.7) {
        wanted.delete(any);
        alarm.delete(any);
      } else watch.pass(Math.floor(next() * 20));
      assertEquals(alarm.all.length, wanted.size, `seed ${seed}, step ${step}`);
      assert(watch.armed.length <= 1, `seed ${seed}, step ${step}: ${watch.armed.length} timers`);
      const overdue = [...wanted.values()].filter((due) => due < watch.now);
      assertEquals(overdue, [], `seed ${seed}, step ${step}: forgotten`);
    }
    for (const dreamer of wanted.keys()) alarm.delete(dreamer);
    assertEquals(watch.armed, [], `seed ${seed}`);
  }
});

timed("ten thousand that wait, each for another time, are not looked through for each of them", (watch) => {
  const timer = new DeadlineTimer<Dreamer>(true);
  let looks = 0;
  const count = 10_000;
  for (let i = 0; i < count; i++) {
    const dreamer = new Dreamer(1 + (i * 7919) % count);
    const { deadline } = dreamer;
    Object.defineProperty(dreamer, "deadline", { get: () => (looks++, deadline), set() {} });
    timer.set(dreamer);
  }
  watch.pass(count + 1);
  assertEquals(timer.all, []);
  assert(looks < 6 * count * Math.log2(count), `${looks} looks at deadlines`);
});

test("members that come and go are those of a set, in the order in which they came", () => {
  const [members, set] = [new Members<number>(), new Set<number>()];
  const next = random(1);
  for (let i = 0; i < 5_000; i++) {
    const member = Math.floor(200 * next());
    const how = next() < 0.5 ? "add" : "delete";
    members[how](member);
    set[how](member);
    assertEquals([members.size, ...members], [set.size, ...set]);
  }
});
