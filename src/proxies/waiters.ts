import { LinkedList } from "../linked_list.ts";
import type { Place, ProxyState } from "./proxy_state.ts";

interface Waiter {
  /** When it came, in their order. */
  readonly number: number;
  readonly accepts: (state: ProxyState) => boolean;
  readonly resolve: (place: Place | undefined) => void;
}

/** Requests that wait until a proxy may have one more connection: for one of them, or for any that they accept. */
export class Waiters {
  readonly #forAny = new LinkedList<Waiter>();
  readonly #forOne = new Map<ProxyState, LinkedList<Waiter>>();
  #last = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Gives the place that it is served with, or `undefined` if it has to choose again; rejects with the signal's reason. */
  wait(
    one: ProxyState | undefined,
    accepts: (state: ProxyState) => boolean,
    signal: AbortSignal,
  ): Promise<Place | undefined> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const list = this.#listOf(one);
      const leave = () => {
        signal.removeEventListener("abort", abort);
        list.remove(link);
        this.#size--;
        if (one !== undefined && list.size === 0) this.#forOne.delete(one);
      };
      const abort = () => (leave(), reject(signal.reason));
      signal.addEventListener("abort", abort);
      const link = list.push({ number: ++this.#last, accepts, resolve: (place) => (leave(), resolve(place)) });
      this.#size++;
    });
  }

  /** The first in line for a place at this proxy; if it is not in service, of those who wait for no other. */
  nextFor(state: ProxyState, isInService: boolean): Waiter | undefined {
    const own = this.#forOne.get(state)?.first?.value;
    if (!isInService) return own;
    for (const waiter of this.#forAny) {
      if (own !== undefined && own.number < waiter.number) return own;
      if (waiter.accepts(state)) return waiter;
    }
    return own;
  }

  /** Those who wait for this one alone, or for any if it is `undefined`, choose again. */
  release(one: ProxyState | undefined): void {
    for (const waiter of [...(one === undefined ? this.#forAny : this.#forOne.get(one) ?? [])]) {
      waiter.resolve(undefined);
    }
  }

  /** Those who wait for one that is meant choose again. */
  releaseAll(isMeant: (one: ProxyState) => boolean): void {
    for (const one of [...this.#forOne.keys()]) if (isMeant(one)) this.release(one);
  }

  #listOf(one: ProxyState | undefined): LinkedList<Waiter> {
    if (one === undefined) return this.#forAny;
    let list = this.#forOne.get(one);
    if (list === undefined) this.#forOne.set(one, list = new LinkedList<Waiter>());
    return list;
  }
}
