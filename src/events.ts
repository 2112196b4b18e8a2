import type { Socks5Error } from "./errors.ts";
import type { CloseReason } from "./place.ts";

/** What a client tells its `onEvent`; a connect tells nothing more when its signal ends it, or when no attempt was made. */
export type Socks5Event = {
  /** One for each `connect()`, `bind()`, `resolve()` of a client. */
  id: number;
  /** `"host:port"` of the proxy. */
  proxy: string;
  /** `"host:port"` of the target. */
  target: string;
  /** Milliseconds since that `connect()` began, to a tenth. */
  ms: number;
} & EventDetails;

/** What happened. */
export type EventDetails =
  /** A dial begins; attempts count from 1. */
  | { type: "attempt"; attempt: number }
  /** The tunnel is handed over, after this many attempts: none if a released one was there. */
  | { type: "connected"; attempt: number; reused: boolean }
  /** An attempt failed; what is next (`"address"`: the next one of the target), and after how many milliseconds. */
  | {
    type: "failed";
    attempt: number;
    error: Socks5Error;
    next: "address" | "retry" | "failover" | null;
    delay: number;
  }
  /** The tunnel ended: by its holder, by the peer while idle or broken, by age or number, by `close()`, or it was detached. */
  | { type: "closed"; reason: CloseReason };

/** Milliseconds as they are told: to a tenth. */
export function rounded(ms: number): number {
  return Math.round(ms * 10) / 10;
}

/** Tells a listener, whose faults are none of the request. */
export function tell(listener: (event: Socks5Event) => void, event: Socks5Event): void {
  try {
    listener(event);
  } catch {
    // it was told
  }
}
