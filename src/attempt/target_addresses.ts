import type { Address } from "../protocol/address.ts";
import { lookUp } from "./local_dns.ts";
import type { Proxy } from "../config/proxy_url.ts";
import type { Scope } from "../scope.ts";
import type { Transport } from "../transport.ts";

/** An address of a name, and how many come before it. */
export interface NumberedAddress {
  readonly index: number;
  readonly address: Address;
}

/**
 * A name that is looked up here, once: each attempt asks for one of its addresses, and with each proxy they are gone
 * through from the first on.
 */
export class TargetAddresses {
  readonly #name: Address;
  #addresses: readonly Address[] = [];
  #next: { readonly proxy: Proxy; readonly index: number } | undefined;

  constructor(name: Address) {
    this.#name = name;
  }

  /** The proxy that is asked for another address. */
  get proxyToAskAgain(): Proxy | undefined {
    return this.#next?.proxy;
  }

  /** Whether no other address is left: a silent one may not use up the time of the others. */
  isLast({ index }: NumberedAddress): boolean {
    return index === this.#addresses.length - 1;
  }

  /** The address to ask `proxy` for, in an attempt of `limit` milliseconds. */
  async take(proxy: Proxy, scope: Scope, transport: Transport, limit: number): Promise<NumberedAddress> {
    const index = this.#next?.proxy === proxy ? this.#next.index : 0;
    this.#next = undefined;
    if (this.#addresses.length === 0) {
      scope.extend(Infinity); // the time of an attempt begins with the dial
      this.#addresses = await scope.run(lookUp(scope.attempt, transport, this.#name));
      scope.throwIfEnded();
      scope.begin(limit);
    }
    return { index, address: this.#addresses[index]! };
  }

  /** Goes on to the next address with the same proxy; `false` if there is none. */
  another(proxy: Proxy, { index }: NumberedAddress): boolean {
    const isThere = index + 1 < this.#addresses.length;
    if (isThere) this.#next = { proxy, index: index + 1 };
    return isThere;
  }
}
