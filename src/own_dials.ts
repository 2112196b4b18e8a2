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
 * What a runtime is told to dial, with nothing that somebody has put into `Object.prototype`, such as a path. As a class:
 * with an object literal that has no prototype Node takes 10 % longer for a dial.
 */
export abstract class Dialed {
  static {
    Object.setPrototypeOf(this.prototype, null);
  }
}

/** The path of a unix socket; `undefined` if it is a host and port. */
export function pathOf(to: Endpoint): string | undefined {
  return Object.hasOwn(to, "path") ? (to as { path: string }).path : undefined;
}
