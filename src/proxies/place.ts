import type { Fleet } from "./fleet.ts";
import type { ProxyState } from "./proxy_state.ts";

/** What other processes know of a connection. */
export interface SharedLease {
  release(): void;
}

/** The right to one connection to a proxy, for as long as the connection is open. */
export class Place {
  readonly state: ProxyState;
  /** Where processes share the places of the proxy. */
  lease: SharedLease | undefined;
  readonly #fleet: Fleet;
  #isIdle = false;
  #isLeft = false;

  constructor(fleet: Fleet, state: ProxyState) {
    this.#fleet = fleet;
    this.state = state;
  }

  /** Whether nobody uses the connection, which gives way then. */
  set isIdle(isIdle: boolean) {
    if (this.#isLeft || this.#isIdle === isIdle) return;
    this.#isIdle = isIdle;
    this.#fleet.idled(this.state, isIdle ? 1 : -1);
  }

  /** Whether the connection may be kept for the next connect to its target. */
  mayBeKept(target: string): boolean {
    return this.#fleet.mayBeKept(this.state, target);
  }

  /** The connection is closed; the first call counts. */
  leave(): void {
    if (this.#isLeft) return;
    this.isIdle = false;
    this.#isLeft = true;
    this.lease?.release();
    this.#fleet.leave(this.state);
  }
}
