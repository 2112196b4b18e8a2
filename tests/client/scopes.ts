import { assertEquals } from "@std/assert";
import { stub } from "@std/testing/mock";
import { FakeTime } from "@std/testing/time";
import { DeadlineTimer } from "../../src/deadline_timer.ts";
import { Scope } from "../../src/scope.ts";
import { test } from "../support/test.ts";

/**
 * Registers a test in fake time, that of `performance` included; it fails if a timer is left. `busy` lets time pass
 * without a turn for the timers.
 */
export function timed(name: string, fn: (time: FakeTime, busy: (ms: number) => void) => void | Promise<void>): void {
  test(name, async () => {
    const time = new FakeTime(0);
    let late = 0;
    const now = stub(performance, "now", () => time.now + late);
    try {
      await fn(time, (ms) => late += ms);
      assertEquals(time.next(), false, "a timer was left");
    } finally {
      now.restore();
      time.restore();
    }
  });
}

/** A scope whose deadlines are told as `"timeout in dial"`. */
export function open(
  timeout: number = Infinity,
  user?: AbortSignal,
  alarm: DeadlineTimer<Scope> = new DeadlineTimer(true),
): Scope {
  return new Scope(alarm, user, timeout, (deadline, phase) => `${deadline} in ${phase}`);
}

export interface Closable {
  close(): void;
  closed: number;
}

export function owned(): Closable {
  return {
    closed: 0,
    close: function () {
      this.closed++;
    },
  };
}

export const reasonOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(() => "resolved", (reason) => reason);
export const never = (): Promise<never> => new Promise(() => {});

/** The listeners that `signal` has now. */
export function listenersOf(signal: AbortSignal): Set<unknown> {
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

export function thrownBy(fn: () => unknown): unknown {
  try {
    fn();
  } catch (thrown) {
    return thrown;
  }
  return "nothing";
}
