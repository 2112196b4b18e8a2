import type { Proxy } from "../config/proxy_url.ts";
import { brief, ProtocolError } from "../errors.ts";
import { type Address, ATYP, formatHostPort, parseHost } from "../protocol/address.ts";
import type { AttemptScope, Scope } from "../scope.ts";
import type { Transport } from "../transport.ts";

const MOST = 20; // who answers with more does not make a connect go on and on

/** The addresses of a name with its port, in the order of the transport, each once; it throws if there is none. */
export async function lookUp(attempt: AttemptScope, transport: Transport, name: Address): Promise<Address[]> {
  attempt.enter("lookup");
  let found: unknown;
  try {
    found = await transport.lookup!(name.hostname, { signal: attempt.signal });
  } catch (cause) {
    const why = `this machine did not find the name (${brief(cause)})`;
    throw new ProtocolError("SOCKS5_TARGET_NOT_FOUND", why, null, cause);
  }
  if (!Array.isArray(found)) throw noAddresses(typeof found);
  const addresses = found.slice(0, MOST).map((text) => parseIp(text, name.port));
  if (addresses.length === 0) {
    throw new ProtocolError("SOCKS5_TARGET_NOT_FOUND", "this machine knows no address of the name");
  }
  return [...new Map(addresses.map((address) => [address.name, address])).values()];
}

function parseIp(text: unknown, port: number): Address {
  const host = typeof text === "string" ? parseHost(text) : "";
  if (typeof host !== "string" && host.atyp !== ATYP.DOMAIN) {
    return { ...host, port, name: formatHostPort(host.hostname, port) };
  }
  throw noAddresses(typeof text === "string" ? JSON.stringify(text.slice(0, 100)) : typeof text);
}

function noAddresses(got: string): TypeError {
  return new TypeError(`Cannot use the result of lookup() as a list of IP addresses: current value is ${got}`);
}

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
