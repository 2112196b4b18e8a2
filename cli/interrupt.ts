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
