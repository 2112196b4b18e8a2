import type { Alarm, Sleeper } from "./alarm.ts";
import type { Use } from "./connection.ts";
import type { Socks5Event } from "./events.ts";
import type { Failover } from "./failover.ts";
import type { Tools } from "./opening.ts";
import type { Pool } from "./pool.ts";
import type { Session } from "./session.ts";
import type { Warmer } from "./warmer.ts";

/** What the requests of a client have in common. */
export interface Shared<S> extends Tools<S> {
  readonly pool: Pool<Session<S>>;
  readonly failover: Failover;
  readonly alarm: Alarm<Sleeper>;
  readonly warmer: Warmer<S>;
  readonly secure: Use["secure"];
  readonly counts: { connects: number; reused: number; failures: number; retries: number };
  readonly onEvent: ((event: Socks5Event) => void) | undefined;
  ids: number;
}
