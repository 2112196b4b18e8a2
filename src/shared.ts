import type { DeadlineTimer, Timed } from "./deadline_timer.ts";
import type { TunnelOptions } from "./tunnel/socks5_conn.ts";
import type { Socks5Event } from "./events.ts";
import type { Failover } from "./request/failover.ts";
import type { Tools } from "./attempt/open_tunnel.ts";
import type { Pool } from "./pool/pool.ts";
import type { ProxyConn } from "./tunnel/proxy_conn.ts";
import type { Warmer } from "./request/warmer.ts";

/** What the requests of a client have in common. */
export interface Shared<S> extends Tools<S> {
  readonly pool: Pool<ProxyConn<S>>;
  readonly failover: Failover;
  readonly alarm: DeadlineTimer<Timed>;
  readonly warmer: Warmer<S>;
  readonly secure: TunnelOptions["secure"];
  readonly counts: { connects: number; reused: number; failures: number; retries: number };
  readonly onEvent: ((event: Socks5Event) => void) | undefined;
  ids: number;
}
