/**
 * One loopback port through which programs that know HTTP proxies, or SOCKS5 without a password, reach the targets of a
 * client: browsers, child processes with `HTTPS_PROXY`, the `fetch` of Bun and Deno.
 *
 * @module
 */
import { formatHostPort } from "../src/protocol/address.ts";
import { checkOptions } from "../src/arguments.ts";
import { milliseconds } from "../src/config/settings.ts";
import { listen } from "./listener.ts";
import { planFor, type ServeOptions } from "./options.ts";
import type { Connects } from "./connector.ts";

export type { ServeOptions as ServeOptions } from "./options.ts";
export type { Connects } from "./connector.ts";

/** A port that leads through a client. */
export interface LocalProxy {
  /** `"http://127.0.0.1:1234"`: what a proxy setting wants, and for a `target` that is a web server its address. */
  readonly url: string;
  /** Where it listens. */
  readonly hostname: string;
  /** The port, also if it was chosen by the system. */
  readonly port: number;
  /** Lets the process end although the front is open, and connections of clients. */
  unref(): void;
  /**
   * Listens no more, ends connections on which nothing goes on, now, and the others after `drain` milliseconds (default:
   * 0); resolves when nothing is left.
   *
   * @throws {RangeError} If `drain` is no number of milliseconds.
   */
  close(options?: { drain?: number | undefined }): Promise<void>;
  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Serves a front of a client until it is closed. HTTP CONNECT, plain HTTP for whole URLs and SOCKS5 are told apart by
 * the first byte.
 *
 * @throws {TypeError} If an option is not what it must be; {@linkcode RangeError} if a number is out of range.
 * @throws The runtime's own error if it cannot listen.
 *
 * @example Bytes through the front
 * ```ts
 * import { connect } from "node:net";
 * import { once } from "node:events";
 * import { Socks5Client } from "jsr:@x/socks5";
 * import { serve } from "jsr:@x/socks5/serve";
 *
 * const front = await serve(new Socks5Client("socks5h://user:pass@proxy.example:1080"));
 * const socket = connect(front.port, front.hostname);
 * socket.write("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n");
 * console.log(String(await once(socket, "data"))); // HTTP/1.1 204 No Content
 * socket.destroy();
 * await front.close();
 * ```
 */
export async function serve(client: Connects, options: ServeOptions = {}): Promise<LocalProxy> {
  if (typeof client?.connect !== "function") {
    throw new TypeError("Cannot use client as what connects: it has no connect()");
  }
  const plan = planFor(options);
  const { port, unref, close } = await listen(client, plan);
  const closeIn = async (options?: { drain?: number | undefined }) => {
    const { drain } = checkOptions("the options of close()", options, { drain: true });
    await close(milliseconds("drain", drain, 0));
  };
  return {
    url: `http://${formatHostPort(plan.hostname, port)}`,
    hostname: plan.hostname,
    port,
    unref,
    close: closeIn,
    [Symbol.asyncDispose]: () => closeIn(),
  };
}
