import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { assertSpyCalls, spy } from "@std/testing/mock";
import type { FakeTime } from "@std/testing/time";
import type { Phase } from "../../src/errors.ts";
import type { AttemptScope, Scope } from "../../src/scope.ts";
import { type Closable, listenersOf, never, open, owned, reasonOf, thrownBy, timed } from "./scopes.ts";

timed("an abort of the user ends the scope with its own reason, untouched", async () => {
  for (
    const reason of [new Error("mine"), { code: 5 }, "text", 0, null, false, new DOMException("x", "TimeoutError")]
  ) {
    const controller = new AbortController();
    const scope = open(1_000, controller.signal);
    const attempt = scope.begin(100);
    const conn = attempt.own(owned());
    const { signal } = attempt;
    const run = reasonOf(scope.run(never()));
    assertEquals(scope.aborted, false);
    controller.abort(reason);
    assertEquals([scope.isOver, scope.aborted], [true, true]);
    assertStrictEquals(scope.ended?.reason, reason);
    assertStrictEquals(signal.reason, reason);
    assertStrictEquals(await run, reason);
    assertEquals(conn.closed, 1);
    assertStrictEquals(await reasonOf((async () => await Promise.resolve(scope.throwIfEnded()))()), reason);
  }
  const controller = new AbortController();
  const scope = open(1_000, controller.signal);
  controller.abort();
  assertStrictEquals(scope.ended?.reason, controller.signal.reason);
});

timed(
  "an end that is not by the user's signal is none of the user's, although it aborts in the same moment",
  (time) => {
    const ends: ((scope: Scope) => void)[] = [(scope) => scope.end("closed"), () => time.tick(1_000)];
    for (const end of ends) {
      const controller = new AbortController();
      const scope = open(1_000, controller.signal);
      scope.attempt.own({ close: () => controller.abort("late") });
      end(scope);
      assertEquals([controller.signal.aborted, scope.aborted], [true, false]);
      assert(scope.ended?.reason !== "late");
    }
  },
);

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
    ["give()", (scope) => scope.detach()],
    ["the deadline", () => time.tick(1_000)],
    ["an abort", (_, controller) => controller.abort()],
  ];
  for (const [way, end] of ways) {
    const controller = new AbortController();
    const listeners = listenersOf(controller.signal);
    const scope = open(1_000, controller.signal);
    for (let i = 0; i < 3; i++) {
      scope.begin(10).own(owned());
      time.tick(10);
    }
    scope.begin(Infinity);
    assertEquals(listeners.size, 1, "the end of an attempt leaves it");
    end(scope, controller);
    assertEquals(listeners.size, 0, way);
    scope.end("later");
    assertEquals(listeners.size, 0, way);
  }
});

timed("run() gives what the promise gives", async () => {
  const scope = open(100);
  assertEquals(await scope.run(Promise.resolve(5)), 5);
  const failure = new Error("failed");
  assertStrictEquals(await reasonOf(scope.run(Promise.reject(failure))), failure);
  assertEquals(scope.ended, undefined, "a failure of what runs does not end the scope");
  scope.end(undefined);
});

const ENDS: [what: string, end: (scope: Scope, time: FakeTime) => void, reason: unknown][] = [
  ["the attempt", (_, time) => time.tick(10), "attempt in pool"],
  ["the whole", (_, time) => time.tick(100), "timeout in pool"],
  ["end()", (scope) => scope.end("closed"), "closed"],
];

for (const [what, end, reason] of ENDS) {
  timed(`run() rejects when ${what} ends, and what opens after that its attempt closes, once`, async (time) => {
    const scope = open(100);
    const attempt = scope.begin(what === "the attempt" ? 10 : Infinity);
    const dial = Promise.withResolvers<Closable>();
    const opening = opens(attempt, dial.promise);
    const run = reasonOf(scope.run(opening));
    end(scope, time);
    assertEquals(await run, reason);
    const conn = owned();
    dial.resolve(conn);
    assertEquals(await reasonOf(opening), reason);
    assertEquals(conn.closed, 1);
    scope.end(undefined);
    assertEquals(conn.closed, 1);
  });
}

timed("run() lets a failure after the end pass", async () => {
  const scope = open();
  const dial = Promise.withResolvers<never>();
  const run = reasonOf(scope.run(opens(scope.attempt, dial.promise)));
  scope.end("first");
  dial.reject(new Error("later"));
  assertEquals(await run, "first");
});

timed("what opens in a later attempt than its own is closed, and the later one knows nothing of it", async (time) => {
  const scope = open();
  const first = scope.begin(10);
  const dial = Promise.withResolvers<Closable>();
  const opening = opens(first, dial.promise);
  const run = reasonOf(scope.run(opening));
  time.tick(10);
  const second = scope.begin(10);
  const [early, late] = [owned(), owned()];
  second.own(late);
  dial.resolve(early);
  assertEquals([await run, await reasonOf(opening)], ["attempt in pool", "attempt in pool"]);
  assertEquals([early.closed, late.closed, scope.ended], [1, 0, undefined]);
  scope.end(undefined);
  assertEquals([early.closed, late.closed], [1, 1]);
});

timed("run() on a scope that has ended rejects with the reason, whatever runs", async () => {
  const scope = open();
  scope.end("first");
  const conn = owned();
  assertEquals(await reasonOf(scope.run(opens(scope.attempt, Promise.resolve(conn)))), "first");
  assertEquals(conn.closed, 1);
  assertEquals(await reasonOf(scope.run(Promise.reject(new Error("later")))), "first");
});

timed("what resolves just before or after the end is closed once, whatever the order of the turns", async () => {
  for (let turns = 0; turns < 8; turns++) {
    const scope = open();
    const conn = owned();
    const dial = Promise.withResolvers<typeof conn>();
    const opened = scope.run(opens(scope.attempt, dial.promise));
    dial.resolve(conn);
    for (let i = 0; i < turns; i++) await Promise.resolve();
    scope.end("first");
    await reasonOf(opened);
    await Promise.resolve();
    assertEquals(conn.closed, 1, `ended after ${turns} turns`);
  }
});

timed("what is owned is closed once when the attempt ends, in each way", (time) => {
  const ends: ((scope: Scope) => void)[] = [
    (scope) => scope.end("first"),
    () => time.tick(10),
    (scope) => scope.attempt.drop(),
    (scope) => scope.begin(10),
    (scope) => {
      scope.extend(Infinity);
      time.tick(100);
    },
  ];
  for (const end of ends) {
    const scope = open(100);
    const attempt = scope.begin(10);
    const conn = attempt.own(owned());
    assertEquals(conn.closed, 0);
    end(scope);
    assertEquals(conn.closed, 1);
    attempt.drop();
    scope.attempt.drop();
    scope.end("later");
    assertEquals(conn.closed, 1);
  }
});

timed("what is owned takes the place of what was owned before: a dial of the connection, that of a session", () => {
  const scope = open();
  const [dialling, conn] = [owned(), owned()];
  scope.attempt.own(dialling);
  scope.attempt.own(conn);
  scope.end("closed");
  assertEquals([dialling.closed, conn.closed], [0, 1]);
});

timed("own() after the end closes at once and throws the reason", (time) => {
  const scope = open(100);
  const attempt = scope.begin(10);
  time.tick(10);
  const first = owned();
  assertEquals(thrownBy(() => attempt.own(first)), "attempt in pool");
  scope.end("closed");
  const second = owned();
  assertEquals(thrownBy(() => scope.attempt.own(second)), "attempt in pool", "the attempt had ended before");
  assertEquals(thrownBy(() => attempt.own(undefined as unknown as Closable)), "attempt in pool");
  assertEquals([first.closed, second.closed], [1, 1]);
});

timed("what one attempt owned is not closed by the next", (time) => {
  const scope = open(1_000);
  const first = scope.begin(100).own(owned());
  scope.attempt.drop();
  const second = scope.begin(100).own(owned());
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
    const { signal } = scope.attempt;
    const conn = scope.attempt.own(owned());
    end(scope, controller);
    for (const [, second] of firsts) second(scope, controller);
    scope.detach();
    assertEquals([scope.ended, scope.isOver, conn.closed], [{ reason }, true, 1], first);
    if (reason !== undefined) assertEquals(signal.reason, reason);
  }
});

timed("the end of the whole counts before that of an attempt which ended earlier", (time) => {
  const scope = open(100);
  scope.begin(10);
  time.tick(10);
  assertEquals(scope.ended, { reason: "attempt in pool" });
  scope.end("closed");
  assertEquals(scope.ended, { reason: "closed" });
  assertEquals(thrownBy(() => scope.throwIfEnded()), "closed");
});

timed("give() wins over every end that comes later", (time) => {
  const controller = new AbortController();
  const scope = open(100, controller.signal);
  const attempt = scope.begin(50);
  const { signal } = attempt;
  const conn = attempt.own(owned());
  scope.detach();
  assertEquals(time.next(), false, "no deadline is left");
  controller.abort("user");
  time.tick(1_000);
  scope.end("closed");
  scope.begin(0);
  assertEquals([conn.closed, signal.aborted, attempt.ended], [0, false, undefined], "it is the caller's");
  assertEquals([scope.isOver, scope.ended, scope.aborted], [true, { reason: undefined }, false]);
});

timed("the signal is that of the attempt, and aborts with the reason of its end", () => {
  const scope = open();
  const first = scope.attempt;
  assertStrictEquals(first.signal, first.signal);
  const second = scope.begin(Infinity);
  assert(second.signal !== first.signal);
  scope.end("closed");
  assertEquals([first.signal.aborted, second.signal.aborted, second.signal.reason], [false, true, "closed"]);
  const ended = open();
  ended.end("closed");
  assertEquals([ended.attempt.signal.aborted, ended.attempt.signal.reason], [true, "closed"]);
});

timed("a signal is made when it is asked for, and not before", (time) => {
  let made = 0;
  const { AbortController } = globalThis;
  globalThis.AbortController = class extends AbortController {
    constructor() {
      super();
      made++;
    }
  };
  try {
    for (const end of [(scope: Scope) => scope.end("closed"), () => time.tick(100), (scope: Scope) => scope.detach()]) {
      const scope = open(100);
      scope.begin(50).own(owned());
      void reasonOf(scope.run(never()));
      end(scope);
    }
    assertEquals(made, 0);
    const scope = open();
    void scope.attempt.signal;
    scope.end("closed");
    void scope.attempt.signal;
    assertEquals(made, 1);
  } finally {
    globalThis.AbortController = AbortController;
  }
});

timed("a phase is told before its step, and a deadline names the one that runs", (time) => {
  const scope = open(100);
  const told: Phase[] = [];
  assertEquals(scope.attempt.phase, "pool");
  const phases: Phase[] = ["dial", "negotiate", "authenticate", "request", "transfer"];
  for (const phase of phases) {
    const attempt = scope.begin(10);
    attempt.onPhase = (phase) => {
      assertEquals(attempt.phase, phase);
      told.push(phase);
    };
    attempt.enter(phase);
    time.tick(10);
    assertEquals(scope.ended, { reason: `attempt in ${phase}` });
  }
  assertEquals(told, phases);
  scope.end(undefined);
});

timed("an attempt that is over enters no step: it throws the reason, and nothing is told", (time) => {
  const scope = open(100);
  const attempt = scope.begin(10);
  attempt.enter("dial");
  attempt.onPhase = () => assert(false);
  time.tick(10);
  assertEquals(thrownBy(() => attempt.enter("negotiate")), "attempt in dial");
  assertEquals(attempt.phase, "dial");
  scope.begin(10).enter("dial");
  assertEquals(thrownBy(() => attempt.enter("negotiate")), "attempt in dial", "whatever runs meanwhile");
  scope.end(undefined);
});

/** As an attempt opens: what comes is owned at once. */
async function opens(attempt: AttemptScope, dial: Promise<Closable>): Promise<Closable> {
  return attempt.own(await dial);
}
