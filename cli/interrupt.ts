import type { CliIo } from "./io.ts";
import { Interrupted } from "./outcome.ts";

type Signal = "SIGINT" | "SIGTERM";

/** Runs what ends with the first SIGINT or SIGTERM: the reason of its signal says which. */
export async function interruptible<T>(
  io: Pick<CliIo, "onSignal">,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const unlisten = io.onSignal((signal) => controller.abort(new Interrupted(signal)));
  try {
    return await run(controller.signal);
  } finally {
    unlisten();
  }
}

/** Runs what has so many milliseconds; gives `undefined` if it fails after them. */
export async function within<T>(
  ms: number,
  signal: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), ms);
  try {
    return await run(AbortSignal.any([signal, late.signal]));
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (late.signal.aborted) return undefined;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Runs what waits for signals, one after another. */
export async function signalled<T>(
  io: Pick<CliIo, "onSignal">,
  run: (next: () => Promise<Signal>) => Promise<T>,
): Promise<T> {
  const come: Signal[] = [];
  let waiting: ((signal: Signal) => void) | undefined;
  const unlisten = io.onSignal((signal) => {
    if (waiting === undefined) come.push(signal);
    else waiting(signal);
    waiting = undefined;
  });
  try {
    return await run(() => new Promise((resolve) => come.length > 0 ? resolve(come.shift()!) : waiting = resolve));
  } finally {
    unlisten();
  }
}
