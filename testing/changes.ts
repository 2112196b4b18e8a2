/** Lets tests wait for what a server notices, without sleeping. */
export class Changes {
  readonly #watchers: Set<() => void> = new Set();
  readonly #failures: unknown[] = [];

  /** To be called after every change of what is watched. */
  notify(): void {
    for (const look of this.#watchers) look();
  }

  /** Notes an error that is nobody's: the next one who waits is told, or who asks. */
  fail(error: unknown): void {
    this.#failures.push(error);
    this.notify();
  }

  /** Throws the first error that nobody was told, and forgets it. */
  rethrow(): void {
    if (this.#failures.length > 0) throw this.#failures.shift();
  }

  /** Waits until something is the case; rejects after milliseconds, or with what the condition throws. */
  async until(condition: () => boolean, timeout: number = 5_000): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let look = () => {};
    try {
      await new Promise<void>((resolve, reject) => {
        const late = () => reject(new Error(`Not so within ${timeout} ms: ${condition}`));
        if (timeout !== Infinity) timer = setTimeout(late, timeout);
        look = () => {
          try {
            this.rethrow();
            if (condition()) resolve();
          } catch (error) {
            reject(error);
          }
        };
        this.#watchers.add(look);
        look();
      });
    } finally {
      clearTimeout(timer);
      this.#watchers.delete(look);
    }
  }
}
