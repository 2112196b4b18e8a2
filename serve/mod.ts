/**
 * A local proxy: one loopback port through which programs that know HTTP proxies, or SOCKS5 without a password, reach
 * targets through a SOCKS5 proxy. For browsers, child processes with `HTTPS_PROXY`, the `fetch` of Bun and Deno.
 *
 * @example A child process whose requests go through a proxy
 * ```ts ignore
 * import { execFileSync } from "node:child_process";
 * import { serve } from "jsr:@x/socks5/serve";
 *
 * const localProxy = await serve("socks5h://user:pass@proxy.example:1080");
 * execFileSync("git", ["fetch"], { env: { ...process.env, https_proxy: localProxy.url } });
 * await localProxy.close();
 * ```
 *
 * @module
 */
import "../adapters/runtime.ts";
import { refuseOnWorkers } from "../adapters/workers/platform.ts";
import { formatHostPort } from "../src/protocol/address.ts";
import { checkOptions } from "../src/arguments.ts";
import { milliseconds } from "../src/config/settings.ts";
import { listen } from "./listener.ts";
import { parseServeOptions, type ServeOptions } from "./options.ts";
import { clientOf, type ClientOrProxy } from "../src/client_of.ts";

export type { Bypass, BypassTarget } from "../src/bypass.ts";
export type { ClientLike, ClientOrProxy } from "../src/client_of.ts";
export type { SessionCredentials } from "./auth.ts";
export type { ConnectionDecision, ConnectionLog, Refusal, ServedConnection } from "./connection.ts";
export type { ServeOptions, ServeTlsOptions } from "./options.ts";

/** An open port that leads through a SOCKS5 proxy. */
export interface LocalProxy {
  /**
   * `"http://127.0.0.1:1234"`, for proxy settings; with a `target` that is a web server, its URL. With `tls` it is
   * `https:`, and of a unix socket `"socks5h://localhost/path"`, as curl and this package take it.
   */
  readonly url: string;
  /** The host name or address that it listens on; `""` for a unix socket. */
  readonly hostname: string;
  /** The port that it listens on; 0 for a unix socket. */
  readonly port: number;
  /** The path of the unix socket that it listens on. */
  readonly path: string | undefined;
  /** Lets the process end although the port and connections of clients are open. */
  unref(): void;
  /**
   * Stops listening, closes idle connections at once and the others after `drain` milliseconds (default: 0), then the
   * client that was made for a proxy; resolves when nothing is left.
   *
   * @throws {RangeError} If `drain` is not a number of milliseconds from 0.
   */
  close(options?: { drain?: number | undefined }): Promise<void>;
  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts a local proxy, which serves until it is closed. HTTP CONNECT, plain HTTP for whole URLs and SOCKS5 are told
 * apart by the first byte.
 *
 * @param proxy A proxy as the constructor of `Socks5Client` takes it: a URL, its parts, or a list of them in the order
 * of preference (failover, not a chain). The local proxy makes a client for it, and `close()` closes that. Or a
 * `Socks5Client`, or anything else with its `connect()`: the caller must close that.
 * @throws {TypeError} If the proxy or an option is malformed or unknown. The message shows nothing of a proxy.
 * @throws {RangeError} If a number is out of range.
 * @throws The runtime's own error if it cannot listen.
 *
 * @example Bytes through the local proxy
 * ```ts
 * import { connect } from "node:net";
 * import { once } from "node:events";
 * import { serve } from "jsr:@x/socks5/serve";
 *
 * const localProxy = await serve("socks5h://user:pass@proxy.example:1080");
 * const socket = connect(localProxy.port, localProxy.hostname);
 * socket.write("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n");
 * console.log(String(await once(socket, "data"))); // HTTP/1.1 204 No Content
 * socket.destroy();
 * await localProxy.close();
 * ```
 */
export async function serve(proxy: ClientOrProxy, options: ServeOptions = {}): Promise<LocalProxy> {
  refuseOnWorkers("serve()", "a Worker cannot listen");
  const config = parseServeOptions(options);
  const { client, close: closeClient } = clientOf(proxy, config.client);
  const { port, unref, close } = await listen(client, config);
  const closeIn = async (options?: { drain?: number | undefined }) => {
    const { drain } = checkOptions("the options of close()", options, { drain: true });
    await close(milliseconds("drain", drain, 0));
    await closeClient();
  };
  const { hostname, path, tls } = config;
  return {
    url: path === undefined
      ? `http${tls === undefined ? "" : "s"}://${formatHostPort(hostname, port)}`
      : `socks5h://localhost${path.split("/").map(encodeURIComponent).join("/")}`,
    hostname: path === undefined ? hostname : "",
    port,
    path,
    unref,
    close: closeIn,
    [Symbol.asyncDispose]: () => closeIn(),
  };
}
