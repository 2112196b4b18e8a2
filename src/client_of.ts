import { cannot } from "./errors.ts";
import type { Socks5Options } from "./config/options.ts";
import type { ProxySpec } from "./config/proxy_url.ts";
import { Socks5Client } from "./socks5_client.ts";

/** A `Socks5Client`, or anything else with its `connect()`. */
export type ClientLike = Pick<Socks5Client, "connect">;

/**
 * A client, or a proxy from which one is made: a URL, its parts, or a list of them in the order of preference, of which
 * the first that works is used. A list is no chain: for that, give a client whose `transport` is another client.
 */
export type ClientOrProxy = ClientLike | ProxySpec | readonly ProxySpec[];

/** A client, and what closes it if it was made here. */
export interface ClientOf {
  readonly client: ClientLike;
  /** Closes a client that was made here, at once; leaves one that was given open. */
  close(): Promise<void>;
}

/** The client that was given, or one for the proxy that was. Throws a `TypeError` that shows nothing of a proxy. */
export function clientOf(given: ClientOrProxy, options: Socks5Options | undefined): ClientOf {
  if (isClient(options)) {
    throw new TypeError("Cannot use a client as the options of one: give it in the place of the proxy");
  }
  if (isClient(given)) {
    if (options !== undefined) {
      throw new TypeError("Cannot combine client with a Socks5Client: its options are those of its constructor");
    }
    return { client: given, close: () => Promise.resolve() };
  }
  if (given === null || (typeof given !== "string" && typeof given !== "object")) {
    throw new TypeError(cannot("proxy", "a URL, its parts, a list of them, or a Socks5Client", given));
  }
  const client = new Socks5Client(given, options);
  return { client, close: () => client.close() };
}

/** Whether it has a `connect()`, and not from a library that added one to all objects or strings. */
function isClient(it: unknown): it is ClientLike {
  if (it === null || it === undefined || typeof it === "string") return false;
  const { connect } = it as Partial<ClientLike>;
  return typeof connect === "function" && connect !== (Object.prototype as Partial<ClientLike>).connect;
}
