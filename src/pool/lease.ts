/** Why a tunnel ended. */
export type CloseReason = "holder" | "peer" | "idle" | "evicted" | "client" | "detached";

/** What the pool keeps for later. */
export interface Pooled {
  /** When it is too old to be handed out again, on the clock of `performance.now()`. */
  readonly expires: number;
  /** Watches it; `lost` is called if the peer speaks, ends or resets, or if what is below it is closed for another. */
  watch(lost: () => void): void;
  /** Ends the watch. */
  unwatch(): void;
  /** Its holder does without it; `evicted` is called if what is below it is closed for another. */
  markIdle(evicted: () => void): void;
  /** Its holder uses it again. */
  markInUse(): void;
  close(reason: CloseReason): void;
}

/**
 * The right to have one socket to a proxy. A new object at each hand-out, so that `release()` and `free()` act once:
 * the first call counts.
 */
export class Lease<C extends Pooled> {
  readonly key: string;
  conn: C | undefined;
  state: "filling" | "open" | "resting" | "parked" | "done" = "open";
  /** Ends the dial that fills it. */
  stop: (() => void) | undefined;
  /** Tells the holder of what rests that it is closed. */
  evicted: (() => void) | undefined;
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

  /** Its holder keeps what is in it, and gives way to whoever needs a place; `evicted` is called then. */
  markIdle(evicted: () => void): void {
    this.#keeper.markIdle(this, evicted);
  }

  /** Its holder uses it again; `false` if it is gone. */
  markInUse(): boolean {
    return this.#keeper.markInUse(this);
  }

  /** Tells its holder, once, that what rested has ended. */
  notifyEvicted(): void {
    const { evicted } = this;
    this.evicted = undefined;
    evicted?.();
  }

  /** The end of what is in it; the place goes to the next in line. */
  destroy(reason: CloseReason): void {
    this.#keeper.destroy(this, reason);
  }
}

/** Who gave the place. */
interface Keeper<C extends Pooled> {
  release(place: Lease<C>): void;
  markIdle(place: Lease<C>, evicted: () => void): void;
  markInUse(place: Lease<C>): boolean;
  destroy(place: Lease<C>, reason: CloseReason): void;
}
