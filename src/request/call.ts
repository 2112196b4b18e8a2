import type { Next } from "../proxies/tries.ts";
import type { Aim, Identity } from "../attempt/dial.ts";
import type { Socks5Error } from "../errors.ts";
import type { Proxy } from "../config/proxy_url.ts";
import type { Racer, Seat } from "./race.ts";
import type { Scope } from "../scope.ts";

/** Whose failures are judged. */
export interface Caller extends Aim {
  /** Whether it has credentials of its own. */
  readonly perCall: boolean;
}

/** One attempt, as far as a failure of it is judged. */
export interface Tried {
  readonly proxy: Proxy;
  readonly identity: Identity;
  readonly seat: Seat;
}

/** One attempt, as the failover sees it. */
export interface Try<O> extends Tried, Racer {
  readonly number: number;
  readonly opened: Promise<O>;
  /** Begins; `opened` is there from then on. */
  start(): void;
}

/** How far the call has come. */
export interface Progress {
  /** How many attempts began, the newest included. */
  readonly attempts: number;
  /** Whether no other proxy is untried, so that a reply may take what is left of `timeout`. */
  readonly isLast: boolean;
}

/** One connect, as the failover sees it. */
export interface Call<A extends Try<unknown>, T> extends Caller {
  /** Its deadline and its cancellation. */
  readonly scope: Scope;
  /** Whether bytes of the caller are on their way: whatever fails from then on is final. */
  readonly committed: boolean;
  /** The proxy that is not chosen: a session of it came with the place, or it is asked for another address. */
  readonly ready: Proxy | undefined;
  /** Takes a place; a promise if it has to wait, which may give what needs no attempt. `first`: after a pause. */
  begin(first: boolean): Promise<Awaited<A["opened"]> | undefined> | undefined;
  /** Where attempts run at the place that was taken; others may run beside them unless `isAlone`. */
  seat(isAlone: boolean): Seat;
  /** A place for one more attempt, if there is room. */
  spare(): Seat | undefined;
  /** Gives the place of an attempt back, which has ended or ends with it. */
  vacate(seat: Seat): void;
  /** An attempt of `limit` milliseconds, which is yet to begin; `isRetry`: it follows a failure, and not a silence. */
  attempt(seat: Seat, proxy: Proxy, progress: Progress, limit: number, isRetry: boolean): A;
  /** Whether the target has another address, which the next attempt is for. */
  another(tried: A): boolean;
  /** What the attempt opened becomes the caller's. */
  handOver(opened: Awaited<A["opened"]>, tried: A | undefined): T;
  failed(tried: A, error: Socks5Error, next: Next, delay: number): void;
  /** Another was faster. */
  overtaken(tried: A): void;
  /** Gives all places back. */
  leave(): void;
  /** It is rejected. */
  lost(): void;
}
