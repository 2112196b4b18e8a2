import type { Address } from "./address.ts";
import { Asking } from "./asking.ts";
import type { Reply } from "./handshake.ts";
import type { Place } from "./place.ts";
import type { Ask } from "./plan.ts";
import type { Session } from "./session.ts";
import type { Shared } from "./shared.ts";

/** What a command that was granted gives: all of it is the caller's, whose `place.free()` is the end of it. */
export interface Granted<S> {
  /** The connection, on which nothing was read beyond the reply. */
  readonly session: Session<S>;
  readonly reply: Reply;
  readonly place: Place<Session<S>>;
}

/**
 * Asks for another command than CONNECT: with the same failover, deadlines and turns as a connect, on a connection of
 * its own or a session that was ready, and in sequence.
 */
export function command<S>(
  shared: Shared<S>,
  cmd: number,
  address: Address,
  options: Omit<Ask, "address">,
): Promise<Granted<S>> {
  try {
    return shared.failover.run(new Commanding(shared, cmd, address, options));
  } catch (error) {
    return Promise.reject(error);
  }
}

class Commanding<S> extends Asking<S, Granted<S>> {
  constructor(
    shared: Shared<S>,
    cmd: number,
    address: Address,
    { signal, timeout, credentials }: Omit<Ask, "address">,
  ) {
    super(shared, cmd, { address, signal, timeout, credentials, data: undefined, reuse: false, tls: null });
  }

  protected override hold(place: Place<Session<S>>, session: Session<S>): Granted<S> {
    return { session, reply: session.reply!, place };
  }
}
