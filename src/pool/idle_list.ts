import { timerAt } from "../deadline_timer.ts";
import type { CloseReason, Lease, Pooled } from "./lease.ts";

/** Parked connections, the longest parked first. Each is watched, and leaves when it is lost or its time is up. */
export class IdleList<C extends Pooled> {
  readonly #places: Lease<C>[] = [];
  readonly #limit: number;
  readonly #keeper: Keeper<C>;
  #reaper: ReturnType<typeof setTimeout> | undefined;
  #due = Infinity;

  /** `limit`: how long one is kept at most, in milliseconds. */
  constructor(limit: number, keeper: Keeper<C>) {
    this.#limit = limit;
    this.#keeper = keeper;
  }

  /** All of them. */
  get places(): readonly Lease<C>[] {
    return this.#places;
  }

  put(place: Lease<C>): void {
    place.state = "parked";
    place.since = performance.now();
    this.#places.push(place);
    place.conn!.watch(() => {
      if (place.state !== "parked") return;
      this.#keeper.end(place, "peer");
      this.#keeper.bury();
    });
    this.#arm();
  }

  remove(place: Lease<C>): void {
    this.#places.splice(this.#places.indexOf(place), 1);
    if (this.#places.length === 0) this.#disarm();
  }

  /** Takes out one with that key, the `"first"` or the `"last"` that came; those whose time is up end on the way, unburied. */
  take(key: string, which: "first" | "last"): C | undefined {
    for (const place of which === "first" ? [...this.#places] : this.#places.toReversed()) {
      if (place.key !== key || this.#outlived(place)) continue;
      this.remove(place);
      place.state = "done";
      place.conn!.unwatch();
      return place.conn;
    }
    return undefined;
  }

  /** One timer for all; it does not keep the process alive. */
  #arm(): void {
    const due = Math.min(...this.#places.map((place) => this.#dueOf(place)));
    if (this.#due <= due) return;
    this.#disarm();
    this.#due = due;
    this.#reaper = timerAt(due, this.#reap);
    (this.#reaper as { unref?(): void }).unref?.();
  }

  #disarm(): void {
    clearTimeout(this.#reaper);
    this.#due = Infinity;
  }

  readonly #reap = (): void => {
    this.#due = Infinity;
    for (const place of [...this.#places]) this.#outlived(place);
    if (this.#places.length > 0) this.#arm();
    this.#keeper.bury();
  };

  /** Ends one whose time is up. */
  #outlived(place: Lease<C>): boolean {
    const now = performance.now();
    if (this.#dueOf(place) > now) return false;
    this.#keeper.end(place, place.conn!.expires <= now ? "evicted" : "idle");
    return true;
  }

  #dueOf(place: Lease<C>): number {
    return Math.min(place.since + this.#limit, place.conn!.expires);
  }
}

/** Is told of each whose time here is over, and then to bury them. */
interface Keeper<C extends Pooled> {
  end(place: Lease<C>, reason: CloseReason): void;
  bury(): void;
}
