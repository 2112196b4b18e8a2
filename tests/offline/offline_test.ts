import { assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import {
  assertSpyCall,
  assertSpyCallArgs,
  assertSpyCalls,
  resolvesNext,
  returnsNext,
  spy,
  stub,
} from "@std/testing/mock";
import { FakeTime } from "@std/testing/time";
import { test } from "../support/test.ts";

test("fake time runs timers in order of due time, then of age", () => {
  const time = new FakeTime(1_000);
  try {
    const ran: string[] = [];
    setTimeout((name: string) => ran.push(name), 20, "later");
    setTimeout(() => ran.push("cleared"), 10);
    clearTimeout(setTimeout(() => ran.push("never"), 5));
    const every = setInterval(() => ran.push(`every at ${Date.now()}`), 10);
    time.tick(19);
    assertEquals(ran, ["cleared", "every at 1010"]);
    time.tick(1);
    assertEquals(ran.slice(2), ["later", "every at 1020"]);
    clearInterval(every);
    assertEquals(time.next(), false);
    assertEquals(new Date().getTime(), 1_020);
    assertInstanceOf(new Date(), Date);
  } finally {
    time.restore();
  }
});

test("fake time lets promises run before and between ticks", async () => {
  const time = new FakeTime(0);
  try {
    const at: number[] = [];
    const steps = (async () => {
      for (let i = 0; i < 3; i++) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        at.push(Date.now());
      }
    })();
    while (await time.nextAsync());
    await steps;
    assertEquals(at, [100, 200, 300]);
    await time.tickAsync(50);
    assertEquals(time.now, 350);
    assertThrows(() => time.now = 0, RangeError);
  } finally {
    time.restore();
  }
});

test("a timer that runs in fake time may set another that falls due in the same tick", () => {
  const time = new FakeTime(0);
  try {
    const ran: number[] = [];
    setTimeout(() => setTimeout(() => ran.push(Date.now()), 10), 10);
    time.tick(100);
    assertEquals([ran, time.now], [[20], 100]);
  } finally {
    time.restore();
  }
});

test("a spy records calls, results and errors", () => {
  const half = spy((n: number): number => {
    if (n % 2) throw new RangeError("odd");
    return n / 2;
  });
  assertEquals(half(4), 2);
  assertThrows(() => half(3), RangeError);
  assertSpyCalls(half, 2);
  assertSpyCall(half, 0, { args: [4], returned: 2 });
  assertSpyCall(half, 1, { args: [3], error: { Class: RangeError, msgIncludes: "odd" } });
  assertThrows(() => assertSpyCalls(half, 3));
  assertThrows(() => assertSpyCall(half, 2));
  assertThrows(() => assertSpyCallArgs(half, 0, [5]));
});

test("a stub replaces a method until it is restored", async () => {
  const clock = { read: (): number => 1, later: (): Promise<number> => Promise.resolve(1) };
  const read = stub(clock, "read", returnsNext([7, new Error("stopped")]));
  const later = stub(clock, "later", resolvesNext([8]));
  assertEquals(clock.read(), 7);
  assertThrows(() => clock.read(), Error, "stopped");
  assertEquals(await clock.later(), 8);
  await assertRejects(() => clock.later());
  assertSpyCall(read, 0, { self: clock, args: [] });
  assertSpyCalls(later, 2);
  read.restore();
  later.restore();
  assertEquals(clock.read(), 1);
  assertThrows(() => read.restore());
});

test("a function of the global object can be spied on, also one that is an accessor", () => {
  const timeouts = spy(globalThis, "setTimeout");
  clearTimeout(setTimeout(() => {}, 5));
  timeouts.restore();
  clearTimeout(setTimeout(() => {}, 6));
  assertEquals(timeouts.calls.map(({ args }) => args[1]), [5]);
});
