import type { Socks5Error } from "./errors.ts";

/**
 * Why a tunnel ended: its holder closed it, the peer ended it, it was idle too long, it made room for another, the
 * client was closed, or it was detached.
 */
export type CloseReason = "holder" | "peer" | "idle" | "evicted" | "client" | "detached";

/**
 * An event of `onEvent`. A connect that is aborted by its signal, or that makes no attempt, ends without a further
 * event.
 */
export type Socks5Event = RequestEvent | FleetEvent;

/** An event of a request. */
export type RequestEvent = {
  /** Identifies the `connect()`, `bind()`, `resolve()`, `resolvePtr()` or `associate()`, within its client. */
  id: number;
  /** The label of the proxy: `"host:port"` if it was given none. */
  proxy: string;
  /** `"host:port"` of the target. */
  target: string;
  /** Milliseconds since the call, to a tenth. */
  ms: number;
} & EventDetails;

/** An event of the proxies, and of no request. */
export type FleetEvent =
  & { id?: undefined; target?: undefined; ms?: undefined; attempt?: undefined }
  & FleetEventDetails;

/** What happened: the members of an event of the proxies that depend on its `type`. */
export type FleetEventDetails =
  /**
   * A proxy is out of service for `duration` milliseconds: it failed, `suspend()` says so, or another process does. With
   * a `hostname` it is for the targets below that name.
   */
  | {
    type: "suspended";
    proxy: string;
    reason: "failure" | "application" | "shared";
    duration: number;
    hostname?: string;
  }
  /**
   * A proxy is back in service. It is told when the next request chooses a proxy; for one host name, when the time is
   * over.
   */
  | { type: "resumed"; proxy: string; hostname?: string }
  /** The store that processes share is out of reach, or is back. */
  | { type: "shared"; proxy?: undefined; state: "lost" | "back"; error?: unknown };

/** What happened: the members of an event that depend on its `type`. */
export type EventDetails =
  /** A dial begins. Attempts are counted from 1; several may run at a time. */
  | { type: "attempt"; attempt: number }
  /** The tunnel of this attempt is handed over; the attempt is 0 if a released tunnel is reused. */
  | { type: "connected"; attempt: number; reused: boolean }
  /** An attempt was closed, because another one was first ready to send the request. */
  | { type: "overtaken"; attempt: number }
  /**
   * An attempt failed. `next` is what follows after `delay` milliseconds: `"address"`, the next address of the target;
   * `"retry"`, another round; `"failover"`, another proxy, which may be tried already; `null`, nothing: the connect
   * fails.
   */
  | {
    type: "failed";
    attempt: number;
    error: Socks5Error;
    next: "address" | "retry" | "failover" | null;
    delay: number;
  }
  /** The tunnel ended, or was detached; with the bytes that its holder has sent and received. */
  | { type: "closed"; reason: CloseReason; sent: number; received: number };

/** Bytes to and from a target. */
export interface Traffic {
  sent: number;
  received: number;
}

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
  closedListener(proxy: string): (reason: CloseReason, traffic: Traffic) => void {
    return (reason, { sent, received }) => this.tell(proxy, { type: "closed", reason, sent, received });
  }
}
