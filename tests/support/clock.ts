import { FakeTime } from "@std/testing/time";

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
        await rest();
      },
      async pass(ms) {
        let over = false;
        setTimeout(() => over = true, ms);
        for (await rest(); !over; await rest()) time.next();
      },
      jump: (ms) => time.tick(ms),
      next: () => time.next(),
      async settle(promise) {
        let settled = false;
        const settle = () => settled = true;
        promise.then(settle, settle);
        await rest();
        for (let i = 0; i < 1000 && !settled; i++) {
          time.next();
          await rest();
        }
        if (!settled) throw new Error("The promise is not settled although no timer is left");
        return await promise;
      },
    });
  } finally {
    performance.now = real;
    time.restore();
  }
}

/** What does not wait for fake time happens, also where it waits for a whole turn of the real loop, and for another. */
async function rest(): Promise<void> {
  for (let round = 0; round < 200; round++) await new Promise<void>((resolve) => void setImmediate(resolve));
}
