import { FakeTime } from "@std/testing/time";

/** Fake timers, and `performance.now()` on the same clock, until it is disposed. */
export interface Clock {
  /** Fake milliseconds since the start. */
  readonly now: number;
  /** Advances, and lets what follows happen. */
  tick(ms: number): Promise<void>;
  /** Advances at once. */
  jump(ms: number): void;
  /** Runs the next timer; `false` if none is left. */
  next(): boolean;
  /** Runs timer after timer until the promise is settled, and gives it. */
  settle<T>(promise: Promise<T>): Promise<T>;
}

/** Runs `fn` on a fake clock. */
export async function withClock(fn: (clock: Clock) => Promise<void>): Promise<void> {
  const time = new FakeTime();
  const start = time.now;
  const real = performance.now;
  performance.now = () => time.now - start;
  try {
    await fn({
      get now() {
        return time.now - start;
      },
      async tick(ms) {
        await time.tickAsync(ms);
        await time.runMicrotasks();
      },
      jump: (ms) => time.tick(ms),
      next: () => time.next(),
      async settle(promise) {
        let settled = false;
        const settle = () => settled = true;
        promise.then(settle, settle);
        await time.runMicrotasks();
        for (let i = 0; i < 1000 && !settled; i++) await time.nextAsync();
        if (!settled) throw new Error("The promise is not settled although no timer is left");
        return await promise;
      },
    });
  } finally {
    performance.now = real;
    time.restore();
  }
}
