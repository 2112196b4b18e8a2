/**
 * The SOCKS5 proxy that the environment names: `ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY`, and what `NO_PROXY` exempts.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Socks5Client } from "jsr:@x/socks5";
 * import { proxyFromEnv } from "jsr:@x/socks5/env";
 *
 * const env = { ALL_PROXY: "socks5h://user:pass@proxy.example:1080", NO_PROXY: "localhost,.internal,10.0.0.0/8" };
 * const found = proxyFromEnv(env); // without an argument: the environment of the process
 * if (found !== null && !found.bypasses("example.com:80")) {
 *   const client = new Socks5Client(found.proxy);
 *   const conn = await client.connect("example.com:80");
 *   conn.close();
 * }
 * assertEquals(found?.bypasses("db.internal:5432"), true);
 * ```
 *
 * @module
 */
import process from "node:process";
import type { Target } from "../src/address.ts";
import { parseProxy } from "../src/proxy.ts";
import { exemptions } from "./no_proxy.ts";

export type { Target } from "../src/address.ts";
export type { Endpoint } from "../src/transport.ts";

/** A proxy that the environment names. */
export interface EnvProxy {
  /** Its URL, for `new Socks5Client(proxy)`: it may hold a password. */
  readonly proxy: string;
  /** The variable that it stands in, as it is written there: `"ALL_PROXY"`, `"all_proxy"`, … */
  readonly variable: string;
  /**
   * Whether `NO_PROXY` has the target connected to without a proxy. Nothing here does so by itself: it is the caller's
   * to act on.
   *
   * @throws {TypeError} If the target is malformed; {@linkcode RangeError} if its port is out of range.
   */
  bypasses(target: Target): boolean;
}

/**
 * Finds the proxy in `ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY`, in this order: the first that is set to the URL of a SOCKS
 * proxy, since a tunnel carries every protocol; another scheme is passed over. Of each variable the lower case counts
 * first and an empty one as not set, as with curl. `HTTP_PROXY` is not looked at where `REQUEST_METHOD` is set, since
 * there a client of a CGI program can set it by a header.
 *
 * `NO_PROXY` is a list, separated by commas or white space, of names (they exempt what ends in them, too; a leading dot
 * or `*.` changes nothing), addresses, `10.0.0.0/8` and `fd00::/8`, each but the last with a port if it counts for that
 * alone (`[::1]:443`), or `*` for all. Names are never looked up, nothing is exempt by itself, and what is malformed
 * exempts nothing.
 *
 * @param env Default: the environment of the process, as it is at the call.
 * @returns `null` if no variable names a SOCKS proxy.
 * @throws {TypeError} If a variable names a SOCKS proxy that no client takes; {@linkcode RangeError} if a part is out of
 * range. The message names the variable and shows nothing of it. On Deno without `--allow-env`: the runtime's own error.
 */
export function proxyFromEnv(env: Readonly<Record<string, string | undefined>> = process.env): EnvProxy | null {
  for (const name of ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"]) {
    const variable = [name.toLowerCase(), name].find((name) => env[name]);
    if (variable === undefined || (variable === "HTTP_PROXY" && env.REQUEST_METHOD)) continue;
    const proxy = env[variable]!.trim();
    if (!SOCKS.test(proxy)) continue;
    check(variable, proxy);
    return { proxy, variable, bypasses: exemptions(env.no_proxy || env.NO_PROXY || "") };
  }
  return null;
}

// one that is misspelt, and socks4, too: who asks for SOCKS must not go direct without a word
const SOCKS = /^socks[^:/]*:/i;

function check(variable: string, proxy: string): void {
  try {
    parseProxy(proxy);
  } catch (error) {
    const message = (error as Error).message.replace(/^Cannot use \w+/, `Cannot use ${variable}`);
    throw error instanceof RangeError ? new RangeError(message) : new TypeError(message);
  }
}
