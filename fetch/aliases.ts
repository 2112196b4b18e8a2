import type { UrlParts } from "./way.ts";

// outside of what is listened on by chance, and of the ports that a fetch refuses
const FIRST = 20_000;
const LAST = 65_535;

/**
 * Addresses that stand for origins. Deno looks the name of a host up although a proxy is to do so, and so gives it away;
 * it is shown addresses that mean nothing instead.
 */
export class Aliases {
  readonly #aliases: Map<string, string> = new Map();
  readonly #origins: Map<string, UrlParts> = new Map();
  #next = 0;

  /** The `host:port` that stands for an origin: always the same, never for two, and never that of a `taken` port. */
  aliasOf({ origin, protocol, hostname, port }: URL, taken: number): string {
    const known = this.#aliases.get(origin);
    if (known !== undefined) return known;
    const alias = this.#new(taken);
    this.#aliases.set(origin, alias);
    this.#origins.set(alias, { protocol, hostname, port });
    return alias;
  }

  /** What an alias stands for. */
  originOf(alias: string): UrlParts {
    const parts = this.#origins.get(alias);
    if (parts === undefined) throw new TypeError(`Cannot connect to ${alias}, which stands for nothing`);
    return parts;
  }

  #new(taken: number): string {
    const count = this.#next++;
    const ports = LAST - FIRST + 1;
    const port = FIRST + count % ports;
    return port === taken ? this.#new(taken) : `127.0.${Math.floor(count / ports)}.1:${port}`;
  }
}
