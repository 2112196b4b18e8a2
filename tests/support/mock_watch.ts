/** Lets tests wait for what a server notices, without sleeping. */
export class Watch {
  readonly #watchers: Set<() => void> = new Set();

  /** To be called after every change of what is watched. */
  changed(): void {
    for (const look of this.#watchers) look();
  }

  /** Waits until something is the case; rejects after milliseconds. */
  async until(condition: () => boolean, timeout: number = 5_000): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let look = () => {};
    try {
      await new Promise<void>((resolve, reject) => {
        timer = setTimeout(() => reject(new Error(`Not so within ${timeout} ms: ${condition}`)), timeout);
        look = () => condition() && resolve();
        this.#watchers.add(look);
        look();
      });
    } finally {
      clearTimeout(timer);
      this.#watchers.delete(look);
    }
  }
}
