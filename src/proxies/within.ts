import type { DeadlineTimer, Timed } from "../deadline_timer.ts";
import { settle } from "../settle.ts";

/**
 * Gives what a call gives that may throw, may be slow and may never settle: rejects after `ms` milliseconds, or with the
 * reason of the signal.
 */
export function within<T>(
  ms: number,
  deadlines: DeadlineTimer<Timed>,
  call: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  let stop = () => {};
  return new Promise<T>((resolve, reject) => {
    const late = () => reject(new Error(`The store of the fleet did not answer within ${ms} ms`));
    const abort = () => reject(signal!.reason);
    // after a turn of the loop: if it was this process that was slow, the answer is there
    const wait: Timed = { deadline: performance.now() + ms, slot: -1, wake: () => void settle().then(late) };
    stop = () => {
      deadlines.delete(wait);
      signal?.removeEventListener("abort", abort);
    };
    deadlines.set(wait);
    signal?.addEventListener("abort", abort);
    Promise.resolve(call()).then(resolve, reject);
  }).finally(stop);
}
