import type { Socks5Error } from "./errors.ts";

/** Why a tunnel ended. */
export type CloseReason = "holder" | "peer" | "idle" | "evicted" | "client" | "detached";

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
  /** A dial begins; attempts count from 1, and may run beside each other. */
  | { type: "attempt"; attempt: number }
  /** The tunnel is handed over, by this attempt; 0 if there was none, since a released one was there. */
  | { type: "connected"; attempt: number; reused: boolean }
  /** An attempt was closed, since another one was ready to send the request before it. */
  | { type: "overtaken"; attempt: number }
  /**
   * An attempt failed; what is next (`"address"`: the next one of the target; `"failover"`: another proxy, which may be
   * under way already), and after how many milliseconds.
   */
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

/** What the events of one request are told with: all that an open tunnel keeps of the request. */
export class Teller {
  readonly #listener: (event: Socks5Event) => void;
  readonly #id: number;
  readonly #target: string;
  readonly #begun: number = performance.now();

  constructor(listener: (event: Socks5Event) => void, id: number, target: string) {
    this.#listener = listener;
    this.#id = id;
    this.#target = target;
  }

  /** Tells the listener, whose faults are none of the request. */
  tell(proxy: string, event: EventDetails): void {
    const ms = rounded(performance.now() - this.#begun);
    try {
      this.#listener({ id: this.#id, proxy, target: this.#target, ms, ...event });
    } catch {
      // it was told
    }
  }

  /** What tells that the tunnel through `proxy` has ended. */
  closed(proxy: string): (reason: CloseReason) => void {
    return (reason) => this.tell(proxy, { type: "closed", reason });
  }
}
