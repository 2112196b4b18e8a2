import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { DeadlineTimer } from "../../src/deadline_timer.ts";
import type { AttemptScope, Scope } from "../../src/scope.ts";
import { never, open, owned, reasonOf, timed } from "./scopes.ts";

timed("the deadline of the whole ends the scope, and not a millisecond before", (time) => {
  const scope = open(100);
  scope.attempt.enter("dial");
  time.tick(99);
  assertEquals([scope.ended, scope.isOver, scope.remaining], [undefined, false, 1]);
  time.tick(1);
  assertEquals([scope.ended, scope.isOver, scope.remaining], [{ reason: "timeout in dial" }, true, 0]);
});

timed("a timeout of 0 ends the scope, and an attempt of 0 the attempt, at once", () => {
  assertEquals(open(0).ended, { reason: "timeout in pool" });
  const scope = open(1_000);
  scope.begin(0);
  assertEquals([scope.ended, scope.isOver], [{ reason: "attempt in pool" }, false]);
  scope.end("done");
});

timed("the deadline of an attempt ends the attempt and not the scope", (time) => {
  const scope = open(1_000);
  const attempt = scope.begin(100);
  const { signal } = attempt;
  attempt.enter("negotiate");
  time.tick(99);
  assertEquals(scope.ended, undefined);
  time.tick(1);
  assertEquals([scope.ended, attempt.ended, scope.isOver], [
    { reason: "attempt in negotiate" },
    { reason: "attempt in negotiate" },
    false,
  ]);
  assertEquals([signal.aborted, signal.reason], [true, "attempt in negotiate"]);
  const next = scope.begin(100);
  assertStrictEquals(scope.attempt, next);
  assertEquals([next === attempt, scope.ended, next.signal.aborted, next.phase], [false, undefined, false, "pool"]);
  scope.end(undefined);
});

timed("after the end of an attempt the deadline of the whole still counts", (time) => {
  const scope = open(1_000);
  scope.begin(100);
  time.tick(999);
  assertEquals([scope.ended, scope.isOver], [{ reason: "attempt in pool" }, false]);
  time.tick(1);
  assertEquals([scope.ended, scope.isOver], [{ reason: "timeout in pool" }, true]);
});

timed("each attempt has all of its own time, and the whole has one for all", (time) => {
  const scope = open(250);
  scope.begin(100);
  time.tick(60);
  scope.begin(100);
  time.tick(99);
  assertEquals([scope.ended, scope.remaining], [undefined, 91]);
  time.tick(1);
  assertEquals(scope.ended, { reason: "attempt in pool" });
  scope.begin(100);
  time.tick(89);
  assertEquals(scope.ended, undefined);
  time.tick(1);
  assertEquals([scope.ended, scope.isOver], [{ reason: "timeout in pool" }, true]);
});

timed("an attempt that may take as long as the whole ends with the whole", (time) => {
  for (const ms of [100, 101, Infinity]) {
    const scope = open(100);
    scope.begin(ms);
    time.tick(100);
    assertEquals([scope.ended, scope.isOver], [{ reason: "timeout in pool" }, true]);
  }
});

timed("an attempt that begins after the deadline of the whole ends the scope at once", (time, busy) => {
  const scope = open(100);
  const attempt = scope.begin(50);
  busy(150);
  assertEquals(attempt.ended, undefined);
  scope.begin(50);
  assertEquals([scope.ended, scope.isOver], [{ reason: "timeout in pool" }, true]);
  assertEquals(time.next(), false);
});

timed("extend() moves the deadline of the attempt and leaves that of the whole", (time) => {
  const scope = open(1_000);
  const attempt = scope.begin(100);
  const { signal } = attempt;
  time.tick(90);
  scope.extend(100);
  time.tick(99);
  assertStrictEquals(scope.attempt, attempt, "it is the same attempt");
  assertStrictEquals(attempt.signal, signal);
  assertEquals(scope.ended, undefined);
  scope.extend(Infinity);
  time.tick(810);
  assertEquals(scope.ended, undefined);
  time.tick(1);
  assertEquals([scope.ended, scope.isOver, time.now], [{ reason: "timeout in pool" }, true, 1_000]);
});

timed("extend() may bring the deadline of the attempt nearer", (time) => {
  const scope = open(1_000);
  scope.begin(100);
  scope.extend(10);
  time.tick(9);
  assertEquals(scope.ended, undefined);
  time.tick(1);
  assertEquals([scope.ended, scope.isOver], [{ reason: "attempt in pool" }, false]);
  scope.end(undefined);
});

timed("extend() revives nothing", (time) => {
  const scope = open(1_000);
  scope.begin(100);
  time.tick(100);
  scope.extend(Infinity);
  assertEquals(scope.ended, { reason: "attempt in pool" });
  scope.end("first");
  assertEquals(time.next(), false);
  scope.extend(10);
  const attempt = scope.begin(10);
  assertEquals([scope.ended, time.next()], [{ reason: "first" }, false]);
  assertEquals([attempt.ended, attempt.signal.aborted], [{ reason: "attempt in pool" }, true]);
});

timed("what begins after the end begins nothing: its signal is aborted", (time) => {
  const scope = open(1_000);
  scope.end("closed");
  const attempt = scope.begin(10);
  assertEquals([attempt.ended, attempt.signal.reason, time.next()], [{ reason: "closed" }, "closed", false]);
});

timed("Infinity is no limit and arms no timer", (time) => {
  const scope = open(Infinity);
  scope.begin(Infinity);
  scope.extend(Infinity);
  assertEquals([scope.remaining, time.next()], [Infinity, false]);
  scope.begin(100);
  time.tick(100);
  assertEquals([scope.ended, time.next()], [{ reason: "attempt in pool" }, false]);
  scope.end(undefined);
});

timed("a deadline that is moved as often as one likes is one", (time) => {
  const scope = open(100);
  for (let i = 0; i < 10; i++) {
    scope.begin(50).own(owned());
    scope.extend(60);
  }
  time.tick(59);
  assertEquals(scope.ended, undefined);
  time.tick(1);
  assertEquals(scope.ended, { reason: "attempt in pool" });
  assertEquals([time.next(), time.now, scope.isOver, time.next()], [true, 100, true, false]);
});

timed("scopes with one clock end each in its own time, and the clock knows those that run", (time) => {
  const alarm = new DeadlineTimer<Scope>(true);
  const scopes = [300, 100, Infinity, 200].map((timeout) => open(timeout, undefined, alarm));
  scopes[0]!.begin(50);
  assertEquals(alarm.all, scopes);
  time.tick(50);
  assertEquals(scopes.map((scope) => scope.ended?.reason), ["attempt in pool", undefined, undefined, undefined]);
  time.tick(50);
  assertEquals(scopes.map((scope) => scope.isOver), [false, true, false, false]);
  scopes[3]!.detach();
  assertEquals(alarm.all, [scopes[0], scopes[2]]);
  time.tick(199);
  assertEquals(scopes.map((scope) => scope.isOver), [false, true, false, true]);
  time.tick(1);
  assertEquals(scopes.map((scope) => scope.ended?.reason), [
    "timeout in pool",
    "timeout in pool",
    undefined,
    undefined,
  ]);
  scopes[2]!.end("closed");
  assertEquals(alarm.all, []);
});

timed("an attempt in which nothing was done is gone on with, and any other is followed by a new one", (time) => {
  const scope = open(1_000);
  const first = scope.attempt;
  assertStrictEquals(scope.begin(100), first);
  assertStrictEquals(scope.begin(200), first);
  const uses: ((attempt: AttemptScope) => unknown)[] = [
    (attempt) => attempt.signal,
    (attempt) => attempt.own(owned()),
    () => void scope.run(never()),
    () => time.tick(200),
  ];
  for (const use of uses) {
    const attempt = scope.attempt;
    assertEquals(attempt.isNew, true);
    use(attempt);
    assertEquals(attempt.isNew, false);
    assert(scope.begin(200) !== attempt);
  }
  scope.end(undefined);
});

timed("pause() waits that long and not shorter", async (time) => {
  const scope = open(1_000);
  let paused = false;
  const pause = scope.sleep(100).then(() => paused = true);
  await time.tickAsync(99);
  await time.runMicrotasks();
  assertEquals(paused, false);
  time.tick(1);
  await pause;
  assertEquals([scope.ended, scope.remaining], [undefined, 900]);
  scope.end(undefined);
});

timed("pause() after a failed attempt takes its place, without a deadline of an attempt", async (time) => {
  const scope = open(1_000);
  scope.begin(100);
  time.tick(100);
  const pause = scope.sleep(500);
  assertEquals(scope.ended, undefined);
  time.tick(500);
  await pause;
  assertEquals(scope.ended, undefined);
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
    const pause = reasonOf(scope.sleep(5_000));
    end();
    assertEquals(time.next(), false);
    assertEquals(await pause, reason);
  }
});

timed("pause() on a scope that has ended gives its reason and leaves no timer", async () => {
  const scope = open();
  scope.end("first");
  assertEquals(await reasonOf((async () => await scope.sleep(100))()), "first");
});
