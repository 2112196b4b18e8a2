import { LinkedList } from "../linked_list.ts";

/** What a request wants: an idle tunnel with its key if it may, else a warm connection if it may, else an empty lease. */
export interface Want<C> {
  readonly key: string;
  readonly reuse: boolean;
  readonly mayBeWarm: boolean;
  /** The only proxy whose connections will do, if there is one. */
  readonly proxy?: object | undefined;
  /** Whether this connection will do. */
  suits(conn: C): boolean;
}

type Waiter<C, T> = { want: Want<C>; resolve(given: T): void; reject(reason: unknown): void };

/** Those who wait for a lease, in the order in which they are served. */
export class Queue<C, T> {
  readonly #waiters = new LinkedList<Waiter<C, T>>();

  get length(): number {
    return this.#waiters.size;
  }

  /** What the next one wants. */
  get first(): Want<C> | undefined {
    return this.#waiters.first?.value.want;
  }

  /** Gives what it is served with; rejects with the reason of the signal. `first`: before all others. */
  wait(want: Want<C>, signal: AbortSignal, first: boolean): Promise<T> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const settled = () => signal.removeEventListener("abort", abort);
      const waiter: Waiter<C, T> = {
        want,
        resolve: (given) => (settled(), resolve(given)),
        reject: (reason) => (settled(), reject(reason)),
      };
      const abort = () => {
        this.#waiters.remove(link);
        waiter.reject(signal.reason);
      };
      signal.addEventListener("abort", abort);
      const link = first ? this.#waiters.unshift(waiter) : this.#waiters.push(waiter);
    });
  }

  /** Serves the next one. */
  serve(given: T): void {
    const link = this.#waiters.first!;
    this.#waiters.remove(link);
    link.value.resolve(given);
  }

  /** Rejects all, each with an error of its own. */
  close(error: () => Error): void {
    for (let link; (link = this.#waiters.first) !== undefined;) {
      this.#waiters.remove(link);
      link.value.reject(error());
    }
  }
}
