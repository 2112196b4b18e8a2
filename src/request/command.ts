import type { Address } from "../protocol/address.ts";
import { Asking } from "./asking.ts";
import type { Reply } from "../protocol/messages.ts";
import type { Lease } from "../pool/lease.ts";
import type { RequestArgs } from "../config/arguments_of.ts";
import type { ProxyConn } from "../tunnel/proxy_conn.ts";
import type { Shared } from "../shared.ts";

/** What a command that was granted gives: all of it is the caller's, whose `place.destroy()` is the end of it. */
export interface Granted<S> {
  /** The connection, on which nothing was read beyond the reply. */
  readonly session: ProxyConn<S>;
  readonly reply: Reply;
  readonly place: Lease<ProxyConn<S>>;
}

/**
 * Asks for another command than CONNECT: with the same failover, deadlines and turns as a connect, on a connection of
 * its own or a session that was ready, and in sequence. `make` makes of what was granted what the caller gets, in the
 * same moment, and throws nothing.
 */
export function command<S, T>(
  shared: Shared<S>,
  cmd: number,
  address: Address,
  options: Omit<RequestArgs, "address">,
  make: (granted: Granted<S>) => T,
): Promise<T> {
  try {
    return shared.failover.run(new Commanding(shared, cmd, address, options, make));
  } catch (error) {
    return Promise.reject(error);
  }
}

class Commanding<S, T> extends Asking<S, T> {
  readonly #make: (granted: Granted<S>) => T;

  constructor(
    shared: Shared<S>,
    cmd: number,
    address: Address,
    { signal, timeout, credentials }: Omit<RequestArgs, "address">,
    make: (granted: Granted<S>) => T,
  ) {
    super(shared, cmd, { address, signal, timeout, credentials, data: undefined, reuse: false, tls: null });
    this.#make = make;
  }

  protected override hold(place: Lease<ProxyConn<S>>, session: ProxyConn<S>): T {
    return this.#make({ session, reply: session.reply!, place });
  }
}
