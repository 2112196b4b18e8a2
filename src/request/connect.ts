import { Asking } from "./asking.ts";
import type { Socks5Conn } from "../tunnel/socks5_conn.ts";
import { CMD } from "../protocol/messages.ts";
import { Tunnel } from "../tunnel/tunnel.ts";
import type { Lease } from "../pool/lease.ts";
import type { ConnectArgs } from "../config/arguments_of.ts";
import type { ProxyConn } from "../tunnel/proxy_conn.ts";
import type { Shared } from "../shared.ts";

/** One connect: what it gives is a tunnel for its holder. */
export class Connecting<S> extends Asking<S, Socks5Conn<S>> {
  readonly #secure: Shared<S>["secure"];

  constructor(shared: Shared<S>, wish: ConnectArgs) {
    super(shared, CMD.CONNECT, wish);
    this.#secure = shared.secure;
  }

  protected override hold(place: Lease<ProxyConn<S>>, tunnel: ProxyConn<S>, reused: boolean): Socks5Conn<S> {
    return new Tunnel(tunnel, place, { reused, mayRelease: this.reuse, secure: this.#secure });
  }
}
