// Stands in for node:timers/promises within workerd, where no module of Node is used.

/** Waits. */
export function setTimeout<T>(ms: number, value?: T): Promise<T> {
  return new Promise((resolve) => globalThis.setTimeout(() => resolve(value as T), ms));
}

/** Waits for a turn of the event loop. */
export function setImmediate<T>(value?: T): Promise<T> {
  return setTimeout(0, value);
}
