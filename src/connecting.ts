import { Asking } from "./asking.ts";
import type { Socks5Conn } from "./connection.ts";
import { CMD } from "./handshake.ts";
import { HeldConn } from "./held.ts";
import type { Place } from "./place.ts";
import type { Wish } from "./plan.ts";
import type { Session } from "./session.ts";
import type { Shared } from "./shared.ts";

/** One connect: what it gives is a tunnel for its holder. */
export class Connecting<S> extends Asking<S, Socks5Conn<S>> {
  readonly #secure: Shared<S>["secure"];

  constructor(shared: Shared<S>, wish: Wish) {
    super(shared, CMD.CONNECT, wish);
    this.#secure = shared.secure;
  }

  protected override hold(place: Place<Session<S>>, tunnel: Session<S>, reused: boolean): Socks5Conn<S> {
    return new HeldConn(tunnel, place, { reused, mayRelease: this.reuse, secure: this.#secure });
  }
}
