import { Asking } from "./asking.ts";
import type { Socks5Conn } from "../tunnel/socks5_conn.ts";
import { CMD } from "../protocol/messages.ts";
import { HeldConn } from "../tunnel/tunnel.ts";
import type { Place } from "../pool/lease.ts";
import type { Wish } from "../config/arguments_of.ts";
import type { Session } from "../tunnel/proxy_conn.ts";
import type { Shared } from "../shared.ts";

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
