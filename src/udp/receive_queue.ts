/** What comes and is waited for: a queue with a limit, and an end. */
export class ReceiveQueue<T extends { readonly data: Uint8Array }> {
  /** How many were lost, since there was no room. */
  lost = 0;
  readonly #queue: T[] = [];
  #room = ROOM;
  #waiting: { resolve(arrived: T | null): void; reject(reason: unknown): void } | undefined;
  #end: { readonly error?: () => unknown } | undefined;

  /** Whether somebody waits for the next one. */
  get isWaitedFor(): boolean {
    return this.#waiting !== undefined;
  }

  push(arrived: T): void {
    if (this.#end !== undefined) return;
    if (this.#waiting !== undefined) return this.#waiting.resolve(arrived);
    const size = OVERHEAD + arrived.data.length;
    if (size > this.#room) {
      this.lost++;
      return;
    }
    this.#room -= size;
    this.#queue.push(arrived);
  }

  /** No more comes: what is there is taken before the end, which is `null` or an error, new for each who asks. */
  end(error?: () => unknown): void {
    if (this.#end !== undefined) return;
    this.#end = error === undefined ? {} : { error };
    if (error === undefined) this.#waiting?.resolve(null);
    else this.#waiting?.reject(error());
  }

  /** Throws away what was not taken. */
  clear(): void {
    this.#queue.length = 0;
  }

  /** The next one; whoever gives up by the signal takes none. One at a time. */
  take(signal?: AbortSignal): Promise<T | null> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const next = this.#queue.shift();
      if (next !== undefined) {
        this.#room += OVERHEAD + next.data.length;
        return resolve(next);
      }
      if (this.#end !== undefined) {
        if (this.#end.error !== undefined) throw this.#end.error();
        return resolve(null);
      }
      const settled = () => {
        this.#waiting = undefined;
        signal?.removeEventListener("abort", abort);
      };
      const abort = () => (settled(), reject(signal!.reason));
      signal?.addEventListener("abort", abort);
      this.#waiting = {
        resolve: (arrived) => (settled(), resolve(arrived)),
        reject: (reason) => (settled(), reject(reason)),
      };
    });
  }
}

/** So many bytes may wait, each datagram with as much for itself as keeping it takes. */
const ROOM = 1 << 20;
const OVERHEAD = 256;
