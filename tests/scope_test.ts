import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { assertSpyCalls, spy, stub } from "@std/testing/mock";
import { FakeTime } from "@std/testing/time";
import type { Phase } from "../src/errors.ts";
import { Scope } from "../src/scope.ts";
import { test } from "./support/test.ts";

/** Registers a test in fake time, that of `performance` included; it fails if a timer is left. */
function timed(name: string, fn: (time: FakeTime) => void | Promise<void>): void {
  test(name, async () => {
    const time = new FakeTime(0);
    const now = stub(performance, "now", () => time.now);
    try {
      await fn(time);
      assertEquals(time.next(), false, "a timer was left");
    } finally {
      now.restore();
      time.restore();
    }
  });
}

/** A scope whose deadlines are told as `"timeout in dial"`. */
function open(timeout = Infinity, user?: AbortSignal): Scope {
  return new Scope(user, timeout, (deadline, phase) => `${deadline} in ${phase}`);
}

function owned(): { close(): void; closed: number } {
  return {
    closed: 0,
    close: function () {
      this.closed++;
    },
  };
}

const reasonOf = (promise: Promise<unknown>): Promise<unknown> => promise.then(() => "resolved", (reason) => reason);
const never = (): Promise<never> => new Promise(() => {});

timed("the deadline of the whole ends the scope, and not a millisecond before", (time) => {
  const scope = open(100);
  scope.phase = "dial";
  time.tick(99);
  assertEquals([scope.over, scope.ended, scope.left], [undefined, false, 1]);
  time.tick(1);
  assertEquals([scope.over, scope.ended, scope.left], [{ reason: "timeout in dial" }, true, 0]);
});

timed("a timeout of 0 ends the scope, and an attempt of 0 the attempt, at once", () => {
  assertEquals(open(0).over, { reason: "timeout in pool" });
  const scope = open(1_000);
  scope.attempt(0);
  assertEquals([scope.over, scope.ended], [{ reason: "attempt in pool" }, false]);
  scope.end("done");
});

timed("the deadline of an attempt ends the attempt and not the scope", (time) => {
  const scope = open(1_000);
  scope.attempt(100);
  const { signal } = scope;
  scope.phase = "negotiate";
  time.tick(99);
  assertEquals(scope.over, undefined);
  time.tick(1);
  assertEquals([scope.over, scope.ended], [{ reason: "attempt in negotiate" }, false]);
  assertEquals([signal.aborted, signal.reason], [true, "attempt in negotiate"]);
  scope.attempt(100);
  assertEquals([scope.over, scope.signal.aborted], [undefined, false]);
  scope.end(undefined);
});

timed("each attempt has all of its own time, and the whole has one for all", (time) => {
  const scope = open(250);
  scope.attempt(100);
  time.tick(60);
  scope.attempt(100);
  time.tick(99);
  assertEquals([scope.over, scope.left], [undefined, 91]);
  time.tick(1);
  assertEquals(scope.over, { reason: "attempt in pool" });
  scope.attempt(100);
  time.tick(89);
  assertEquals(scope.over, undefined);
  time.tick(1);
  assertEquals([scope.over, scope.ended], [{ reason: "timeout in pool" }, true]);
});

timed("an attempt that may take as long as the whole ends with the whole", (time) => {
  for (const ms of [100, 101, Infinity]) {
    const scope = open(100);
    scope.attempt(ms);
    time.tick(100);
    assertEquals([scope.over, scope.ended], [{ reason: "timeout in pool" }, true]);
  }
});

timed("an attempt that begins after the deadline of the whole ends the scope at once", (time) => {
  const scope = open(100);
  scope.attempt(50);
  time.tick(150);
  assert(scope.over !== undefined);
  scope.attempt(50);
  time.tick(0);
  assertEquals([scope.over, scope.ended], [{ reason: "timeout in pool" }, true]);
});

timed("extend() moves the deadline of the attempt and leaves that of the whole", (time) => {
  const scope = open(1_000);
  scope.attempt(100);
  const { signal } = scope;
  time.tick(90);
  scope.extend(100);
  time.tick(99);
  assertStrictEquals(scope.signal, signal, "it is the same attempt");
  assertEquals(scope.over, undefined);
  scope.extend(Infinity);
  time.tick(810);
  assertEquals(scope.over, undefined);
  time.tick(1);
  assertEquals([scope.over, scope.ended, time.now], [{ reason: "timeout in pool" }, true, 1_000]);
});

timed("extend() may bring the deadline of the attempt nearer", (time) => {
  const scope = open(1_000);
  scope.attempt(100);
  scope.extend(10);
  time.tick(10);
  assertEquals([scope.over, scope.ended], [{ reason: "attempt in pool" }, false]);
  scope.end(undefined);
});

timed("extend() revives nothing", (time) => {
  const scope = open(1_000);
  scope.attempt(100);
  time.tick(100);
  scope.extend(Infinity);
  assertEquals([scope.over, time.next()], [{ reason: "attempt in pool" }, false]);
  scope.end("first");
  scope.extend(10);
  scope.attempt(10);
  assertEquals([scope.over, scope.signal.aborted], [{ reason: "first" }, true]);
});

timed("Infinity is no limit and arms no timer", (time) => {
  const scope = open(Infinity);
  scope.attempt(Infinity);
  scope.extend(Infinity);
  assertEquals([scope.left, time.next()], [Infinity, false]);
  scope.attempt(100);
  time.tick(100);
  assertEquals(scope.over, { reason: "attempt in pool" });
  scope.end(undefined);
});

timed("one timer is armed at a time", (time) => {
  const scope = open(100);
  for (let i = 0; i < 10; i++) {
    scope.attempt(50);
    scope.extend(60);
  }
  time.tick(59);
  assertEquals(scope.over, undefined);
  time.tick(1);
  assertEquals(scope.over, { reason: "attempt in pool" });
  assertEquals(time.next(), false);
  scope.end(undefined);
});

timed("pause() waits that long and not shorter", async (time) => {
  const scope = open(1_000);
  let paused = false;
  const pause = scope.pause(100).then(() => paused = true);
  await time.tickAsync(99);
  await time.runMicrotasks();
  assertEquals(paused, false);
  time.tick(1);
  await pause;
  assertEquals([scope.over, scope.left], [undefined, 900]);
  scope.end(undefined);
});

timed("pause() after a failed attempt takes its place, without a deadline of an attempt", async (time) => {
  const scope = open(1_000);
  scope.attempt(100);
  time.tick(100);
  const pause = scope.pause(500);
  assertEquals(scope.over, undefined);
  time.tick(500);
  await pause;
  assertEquals(scope.over, undefined);
  scope.end(undefined);
});

timed("a scope that ends during pause() ends the pause with its reason and leaves no timer", async (time) => {
  const controller = new AbortController();
  const cases: [Scope, () => void, unknown][] = [
    [open(1_000), () => time.tick(1_000), "timeout in pool"],
    [open(Infinity, controller.signal), () => controller.abort("user"), "user"],
  ];
  const closing = open();
  cases.push([closing, () => closing.end("closed"), "closed"]);
  for (const [scope, end, reason] of cases) {
    const pause = reasonOf(scope.pause(5_000));
    end();
    assertEquals(time.next(), false);
    assertEquals(await pause, reason);
  }
});

timed("pause() on a scope that has ended gives its reason and leaves no timer", async () => {
  const scope = open();
  scope.end("first");
  assertEquals(await reasonOf((async () => await scope.pause(100))()), "first");
});

timed("an abort of the user ends the scope with its own reason, untouched", async () => {
  for (
    const reason of [new Error("mine"), { code: 5 }, "text", 0, null, false, new DOMException("x", "TimeoutError")]
  ) {
    const controller = new AbortController();
    const scope = open(1_000, controller.signal);
    scope.attempt(100);
    const conn = scope.own(owned());
    const { signal } = scope;
    const run = reasonOf(scope.run(never(), () => {}));
    controller.abort(reason);
    assertEquals(scope.ended, true);
    assertStrictEquals(scope.over?.reason, reason);
    assertStrictEquals(signal.reason, reason);
    assertStrictEquals(await run, reason);
    assertEquals(conn.closed, 1);
    assertStrictEquals(await reasonOf((async () => await Promise.resolve(scope.throwIfOver()))()), reason);
  }
  const controller = new AbortController();
  const scope = open(1_000, controller.signal);
  controller.abort();
  assertStrictEquals(scope.over?.reason, controller.signal.reason);
});

timed("a signal that is aborted already is thrown at once, and nothing is begun", (time) => {
  const reason = new Error("mine");
  const signal = AbortSignal.abort(reason);
  const add = spy(signal, "addEventListener");
  assertStrictEquals(assertThrows(() => open(100, signal)), reason);
  assertSpyCalls(add, 0);
  assertEquals(time.next(), false);
});

timed("the listener on the user's signal is one, and is removed in each way to end", (time) => {
  const ways: [string, (scope: Scope, controller: AbortController) => void][] = [
    ["end()", (scope) => scope.end("first")],
    ["give()", (scope) => scope.give()],
    ["the deadline", () => time.tick(1_000)],
    ["an abort", (_, controller) => controller.abort()],
  ];
  for (const [way, end] of ways) {
    const controller = new AbortController();
    const listeners = listenersOf(controller.signal);
    const scope = open(1_000, controller.signal);
    for (let i = 0; i < 3; i++) {
      scope.attempt(10);
      scope.own(owned());
      time.tick(10);
    }
    scope.attempt(Infinity);
    assertEquals(listeners.size, 1, "the end of an attempt leaves it");
    end(scope, controller);
    assertEquals(listeners.size, 0, way);
    scope.end("later");
    assertEquals(listeners.size, 0, way);
  }
});

timed("run() gives what the promise gives", async () => {
  const scope = open(100);
  assertEquals(await scope.run(Promise.resolve(5), () => {}), 5);
  const failure = new Error("failed");
  assertStrictEquals(await reasonOf(scope.run(Promise.reject(failure), () => {})), failure);
  assertEquals(scope.over, undefined, "a failure of what runs does not end the scope");
  scope.end(undefined);
});

timed(
  "run() hands what comes after the end to its receiver, once, and rejects with the reason of the end",
  async (time) => {
    const ends: [string, (scope: Scope) => void, unknown][] = [
      ["the attempt", () => time.tick(10), "attempt in pool"],
      ["the whole", () => time.tick(100), "timeout in pool"],
      ["end()", (scope) => scope.end("closed"), "closed"],
    ];
    for (const [what, end, reason] of ends) {
      const scope = open(100);
      scope.attempt(what === "the attempt" ? 10 : Infinity);
      const dial = Promise.withResolvers<string>();
      const late: string[] = [];
      const run = reasonOf(scope.run(dial.promise, (value) => late.push(value)));
      end(scope);
      assertEquals(await run, reason, what);
      assertEquals(late, []);
      dial.resolve("conn");
      await dial.promise;
      assertEquals(late, ["conn"], what);
      scope.end(undefined);
    }
  },
);

timed("run() lets a failure after the end pass", async () => {
  const scope = open();
  const dial = Promise.withResolvers<never>();
  const run = reasonOf(scope.run(dial.promise, () => assert(false)));
  scope.end("first");
  dial.reject(new Error("later"));
  assertEquals(await run, "first");
});

timed("run() hands what comes in a later attempt to its receiver", async (time) => {
  const scope = open();
  scope.attempt(10);
  const dial = Promise.withResolvers<string>();
  const late: string[] = [];
  const run = reasonOf(scope.run(dial.promise, (value) => late.push(value)));
  time.tick(10);
  scope.attempt(10);
  dial.resolve("conn");
  assertEquals(await run, "attempt in pool");
  await dial.promise;
  assertEquals([late, scope.over], [["conn"], undefined]);
  scope.end(undefined);
});

timed("run() on a scope that has ended rejects with the reason and hands the value to its receiver", async () => {
  const scope = open();
  scope.end("first");
  const late: string[] = [];
  assertEquals(await reasonOf(scope.run(Promise.resolve("conn"), (value) => late.push(value))), "first");
  assertEquals(late, ["conn"]);
  assertEquals(await reasonOf(scope.run(Promise.reject(new Error("later")), () => {})), "first");
});

timed("what resolves just before or after the end is closed once, whatever the order of the turns", async () => {
  for (let turns = 0; turns < 8; turns++) {
    const scope = open();
    const conn = owned();
    const dial = Promise.withResolvers<typeof conn>();
    const opened = (async () => scope.own(await scope.run(dial.promise, (late) => late.close())))();
    dial.resolve(conn);
    for (let i = 0; i < turns; i++) await Promise.resolve();
    scope.end("first");
    await reasonOf(opened);
    assertEquals(conn.closed, 1, `ended after ${turns} turns`);
  }
});

timed("what is owned is closed once when the attempt ends, in each way", (time) => {
  const ends: ((scope: Scope) => void)[] = [
    (scope) => scope.end("first"),
    () => time.tick(10),
    (scope) => scope.drop(),
    (scope) => {
      scope.extend(Infinity);
      time.tick(100);
    },
  ];
  for (const end of ends) {
    const scope = open(100);
    scope.attempt(10);
    const conn = scope.own(owned());
    assertEquals(conn.closed, 0);
    end(scope);
    assertEquals(conn.closed, 1);
    scope.drop();
    scope.end("later");
    assertEquals(conn.closed, 1);
  }
});

timed("own() after the end closes at once and throws the reason", (time) => {
  const scope = open(100);
  scope.attempt(10);
  time.tick(10);
  const first = owned();
  assertEquals(thrownBy(() => scope.own(first)), "attempt in pool");
  scope.end("closed");
  const second = owned();
  assertEquals(thrownBy(() => scope.own(second)), "closed");
  assertEquals([first.closed, second.closed], [1, 1]);
});

timed("what one attempt owned is not closed by the next", (time) => {
  const scope = open(1_000);
  scope.attempt(100);
  const first = scope.own(owned());
  scope.drop();
  scope.attempt(100);
  const second = scope.own(owned());
  time.tick(100);
  assertEquals([first.closed, second.closed], [1, 1]);
  scope.end(undefined);
  assertEquals([first.closed, second.closed], [1, 1]);
});

timed("the first end counts, whoever comes second", (time) => {
  const firsts: [string, (scope: Scope, controller: AbortController) => void, unknown][] = [
    ["end()", (scope) => scope.end("closed"), "closed"],
    ["an abort", (_, controller) => controller.abort("user"), "user"],
    ["the deadline", () => time.tick(100), "timeout in pool"],
    ["end() without a reason", (scope) => scope.end(undefined), undefined],
  ];
  for (const [first, end, reason] of firsts) {
    const controller = new AbortController();
    const scope = open(100, controller.signal);
    const { signal } = scope;
    const conn = scope.own(owned());
    end(scope, controller);
    for (const [, second] of firsts) second(scope, controller);
    assertEquals([scope.over, scope.ended, conn.closed], [{ reason }, true, 1], first);
    if (reason !== undefined) assertEquals(signal.reason, reason);
  }
});

timed("the end of the whole counts before that of an attempt which ended earlier", (time) => {
  const scope = open(100);
  scope.attempt(10);
  time.tick(10);
  assertEquals(scope.over, { reason: "attempt in pool" });
  scope.end("closed");
  assertEquals(scope.over, { reason: "closed" });
  assertEquals(thrownBy(() => scope.throwIfOver()), "closed");
});

timed("give() wins over every end that comes later", (time) => {
  const controller = new AbortController();
  const scope = open(100, controller.signal);
  scope.attempt(50);
  const { signal } = scope;
  const conn = scope.own(owned());
  scope.give();
  assertEquals(time.next(), false, "no deadline is left");
  controller.abort("user");
  time.tick(1_000);
  assertEquals([scope.over, scope.ended, conn.closed, signal.aborted], [undefined, false, 0, false]);
  scope.drop();
  scope.end("closed");
  assertEquals(conn.closed, 0, "it is the caller's");
});

timed(
  "the signal is that of the running attempt, aborts with the reason of the end, and is made when asked for",
  () => {
    const scope = open();
    const first = scope.signal;
    assertStrictEquals(scope.signal, first);
    scope.attempt(Infinity);
    const second = scope.signal;
    assert(second !== first);
    scope.end("closed");
    assertEquals([first.aborted, second.aborted, second.reason], [false, true, "closed"]);
    const ended = open();
    ended.end("closed");
    assertEquals([ended.signal.aborted, ended.signal.reason], [true, "closed"]);
  },
);

timed("a phase is told before its step, and a deadline names the one that runs", (time) => {
  const scope = open(100);
  const told: Phase[] = [];
  scope.onPhase = (phase) => {
    assertEquals(scope.phase, phase);
    told.push(phase);
  };
  assertEquals(scope.phase, "pool");
  const phases: Phase[] = ["dial", "negotiate", "authenticate", "request", "transfer"];
  for (const phase of phases) {
    scope.phase = phase;
    scope.attempt(10);
    time.tick(10);
    assertEquals(scope.over, { reason: `attempt in ${phase}` });
  }
  assertEquals(told, phases);
  scope.end(undefined);
});

/** The listeners that `signal` has now. */
function listenersOf(signal: AbortSignal): Set<unknown> {
  const listeners = new Set<unknown>();
  const { addEventListener, removeEventListener } = signal;
  stub(signal, "addEventListener", (...args: Parameters<typeof addEventListener>) => {
    listeners.add(args[1]);
    addEventListener.apply(signal, args);
  });
  stub(signal, "removeEventListener", (...args: Parameters<typeof removeEventListener>) => {
    listeners.delete(args[1]);
    removeEventListener.apply(signal, args);
  });
  return listeners;
}

function thrownBy(fn: () => unknown): unknown {
  try {
    fn();
  } catch (thrown) {
    return thrown;
  }
  return "nothing";
}
