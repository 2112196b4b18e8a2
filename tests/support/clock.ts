import { FakeTime } from "@std/testing/time";
// What is loaded at its first use is loaded before a clock stands still: a module takes real time.
import "../../src/check.ts";
import "../../src/proxies/shared_fleet.ts";
import "../../src/request/associate.ts";
import "../../src/request/prober.ts";

const setTimeout = globalThis.setTimeout.bind(globalThis);

/** Fake timers, and `performance.now()` on the same clock, until it is disposed. */
export interface Clock {
  /** Fake milliseconds since the start. */
  readonly now: number;
  /** Advances, and lets what follows happen. */
  tick(ms: number): Promise<void>;
  /** Advances from timer to timer, and lets what follows from each happen before the next. */
  pass(ms: number): Promise<void>;
  /** Advances at once. */
  jump(ms: number): void;
  /** Runs the next timer; `false` if none is left. */
  next(): boolean;
  /** Runs timer after timer until the promise is settled, and gives it. */
  settle<T>(promise: Promise<T>): Promise<T>;
}

/** Runs `fn` on a fake clock, with nothing at random added to times. */
export async function withClock(fn: (clock: Clock) => Promise<void>): Promise<void> {
  const time = new FakeTime();
  const start = time.now;
  const real = performance.now;
  const { random } = Math;
  Math.random = () => 0;
  performance.now = () => time.now - start;
  const { rest, restore } = countTurns();
  try {
    await fn({
      get now() {
        return time.now - start;
      },
      async tick(ms) {
        await time.tickAsync(ms);
        await rest();
      },
      async pass(ms) {
        let over = false;
        globalThis.setTimeout(() => over = true, ms);
        for (await rest(); !over; await rest()) time.next();
      },
      jump: (ms) => time.tick(ms),
      next: () => time.next(),
      async settle(promise) {
        let settled = false;
        const settle = () => settled = true;
        promise.then(settle, settle);
        await rest(() => settled);
        for (let i = 0; i < 1000 && !settled; i++) {
          time.next();
          await rest(() => settled);
        }
        if (!settled) throw new Error("The promise is not settled although no timer is left");
        return await promise;
      },
    });
  } finally {
    restore();
    performance.now = real;
    Math.random = random;
    time.restore();
  }
}

/**
 * Counts who waits for a turn of the real loop, until `restore()`. `rest()` lets all happen that does not wait for fake
 * time: it resolves when nobody has waited for a turn for some turns, or all `isOver`.
 */
function countTurns(): { rest(isOver?: () => boolean): Promise<void>; restore(): void } {
  const own = globalThis.setImmediate;
  const real = own ?? ((fn: () => void) => setTimeout(fn, 0)); // Workers have none
  let waiting = 0;
  globalThis.setImmediate = ((fn: (...args: unknown[]) => void, ...args: unknown[]) => {
    waiting++;
    return real(() => (waiting--, fn(...args)));
  }) as typeof real;
  const rest = (isOver = () => false): Promise<void> =>
    new Promise((resolve) => {
      let left = QUIET;
      const round = () => {
        if (waiting > 0) left = QUIET;
        return left-- > 0 && !isOver() ? void real(round) : resolve();
      };
      round();
    });
  return { rest, restore: () => void (globalThis.setImmediate = own) };
}

/** What the runtime does by itself, such as cryptography, takes some turns as well. */
const QUIET = 20;
