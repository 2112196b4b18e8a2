import type { Address } from "./address.ts";
import { Connecting, type Shared } from "./connecting.ts";
import type { Identity } from "./dial.ts";
import { lookUp } from "./lookup.ts";
import type { Wish } from "./plan.ts";
import type { Proxy } from "./proxy.ts";
import type { Session } from "./session.ts";

/**
 * One connect to a name that is looked up here, once: each attempt asks for one of its addresses, and with each proxy
 * they are gone through from the first on.
 */
export class Resolving<S> extends Connecting<S> {
  readonly #shared: Shared<S>;
  #addresses: readonly Address[] = [];
  #current = 0;
  #proxy: Proxy | undefined;
  #next = 0;

  constructor(shared: Shared<S>, wish: Wish) {
    super(shared, wish);
    this.#shared = shared;
  }

  override get ready(): Proxy | undefined {
    return this.#next > 0 ? this.#proxy : super.ready;
  }

  override async open(proxy: Proxy, identity: Identity, isLast: boolean): Promise<Session<S>> {
    this.#proxy = proxy;
    if (this.#addresses.length === 0) await this.#lookUp();
    this.#current = this.#next;
    this.#next = 0;
    this.address = this.#addresses[this.#current]!;
    // a silent address may not use up the time of the others
    return await super.open(proxy, identity, isLast && this.#current === this.#addresses.length - 1);
  }

  another(): boolean {
    this.#next = (this.#current + 1) % this.#addresses.length;
    return this.#next > 0;
  }

  async #lookUp(): Promise<void> {
    const { scope } = this;
    const { dialler, settings } = this.#shared;
    scope.extend(Infinity); // the time of an attempt begins with the dial
    this.#addresses = await scope.run(lookUp(scope.attempt, dialler.transport, this.address));
    scope.throwIfOver();
    scope.begin(settings.attemptTimeout);
  }
}
