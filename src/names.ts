import type { Address } from "./address.ts";
import { lookUp } from "./lookup.ts";
import type { Proxy } from "./proxy.ts";
import type { Scope } from "./scope.ts";
import type { Settings } from "./settings.ts";
import type { Transport } from "./transport.ts";

/**
 * A name that is looked up here, once: each attempt asks for one of its addresses, and with each proxy they are gone
 * through from the first on.
 */
export class Names {
  readonly #name: Address;
  #addresses: readonly Address[] = [];
  #current = 0;
  #proxy: Proxy | undefined;
  #next = 0;

  constructor(name: Address) {
    this.#name = name;
  }

  /** The proxy that is asked for another address. */
  get ready(): Proxy | undefined {
    return this.#next > 0 ? this.#proxy : undefined;
  }

  /** Whether no other address is left: a silent one may not use up the time of the others. */
  get isLast(): boolean {
    return this.#current === this.#addresses.length - 1;
  }

  /** The address to ask `proxy` for. */
  async take(proxy: Proxy, scope: Scope, transport: Transport, { attemptTimeout }: Settings): Promise<Address> {
    this.#proxy = proxy;
    if (this.#addresses.length === 0) {
      scope.extend(Infinity); // the time of an attempt begins with the dial
      this.#addresses = await scope.run(lookUp(scope.attempt, transport, this.#name));
      scope.throwIfOver();
      scope.begin(attemptTimeout);
    }
    this.#current = this.#next;
    this.#next = 0;
    return this.#addresses[this.#current]!;
  }

  /** Goes on to the next address; `false` if that is the first one again. */
  another(): boolean {
    this.#next = (this.#current + 1) % this.#addresses.length;
    return this.#next > 0;
  }
}
