import type { Proxy } from "../config/proxy_url.ts";

/** How long a verdict counts, in milliseconds. */
const REMEMBERED = 600_000;

/** Which proxies take all messages of the handshake in one write: some drop what comes after the first. */
export class Pipelining {
  readonly #verdicts = new Map<Proxy, { works: boolean; until: number }>();

  /** Whether it works with the proxy, as far as that is known. */
  verdict(proxy: Proxy): boolean | undefined {
    const known = this.#verdicts.get(proxy);
    return known !== undefined && known.until > performance.now() ? known.works : undefined;
  }

  note(proxy: Proxy, works: boolean): void {
    this.#verdicts.set(proxy, { works, until: performance.now() + REMEMBERED });
  }
}

/** How long a proxy that took `ms` to connect may take to answer, as long as nothing is known of it. */
export function patience(ms: number): number {
  return Math.max(500, 10 * ms);
}
