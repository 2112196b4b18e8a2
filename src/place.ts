/** Why a tunnel ended. */
export type CloseReason = "holder" | "peer" | "idle" | "evicted" | "client" | "detached";

/** What the pool keeps for later. */
export interface Pooled {
  /** When it is too old to be handed out again, on the clock of `performance.now()`. */
  readonly expires: number;
  /** Watches it; `lost` is called once if the peer speaks, ends or resets. */
  park(lost: () => void): void;
  /** Ends the watch. */
  unpark(): void;
  close(reason: CloseReason): void;
}

/**
 * The right to have one socket to a proxy. A new object at each hand-out, so that `release()` and `free()` act once:
 * the first call counts.
 */
export class Place<C extends Pooled> {
  readonly key: string;
  conn: C | undefined;
  state: "filling" | "open" | "parked" | "done" = "open";
  /** Ends the dial that fills it. */
  stop: (() => void) | undefined;
  since = 0;
  readonly #keeper: Keeper<C>;

  constructor(keeper: Keeper<C>, key: string, conn?: C) {
    this.#keeper = keeper;
    this.key = key;
    this.conn = conn;
  }

  /** Back to the pool; the end of it if it is too old or the pool is closed. */
  release(): void {
    this.#keeper.release(this);
  }

  /** The end of what is in it; the place goes to the next in line. */
  free(reason: CloseReason): void {
    this.#keeper.free(this, reason);
  }
}

/** Who gave the place. */
interface Keeper<C extends Pooled> {
  release(place: Place<C>): void;
  free(place: Place<C>, reason: CloseReason): void;
}
