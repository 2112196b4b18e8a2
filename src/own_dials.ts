import type { Endpoint } from "./transport.ts";

let depth = 0;

/**
 * Runs what opens a connection of this package itself, synchronously, so that it is known from those of the program when
 * all of them are sent through a proxy.
 */
export function ownDial<T>(open: () => T): T {
  depth++;
  try {
    return open();
  } finally {
    depth--;
  }
}

/** Whether this is called by {@linkcode ownDial}. */
export function isOwnDial(): boolean {
  return depth > 0;
}

/** The sockets for datagrams of this package. */
export const ownDatagrams: WeakSet<object> = new WeakSet();

/**
 * Base of what a runtime is given for a dial: nothing that somebody has put into `Object.prototype`, such as a path, is
 * taken for a part of it. It is a class because a literal with `__proto__: null` costs 10 % of the CPU of a dial on Node.
 */
export abstract class NullPrototype {
  static {
    Object.setPrototypeOf(this.prototype, null);
  }
}

/** The path of a unix socket; `undefined` if it is a host and port. */
export function pathOf(to: Endpoint): string | undefined {
  return Object.hasOwn(to, "path") ? (to as { path: string }).path : undefined;
}
