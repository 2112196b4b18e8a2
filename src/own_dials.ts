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
