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
import type { Target } from "../src/protocol/address.ts";
import { nearest, own } from "../src/arguments.ts";
import { cannot } from "../src/errors.ts";
import { parseProxy } from "../src/config/proxy_url.ts";
import { exemptions } from "./no_proxy.ts";

export type { Target } from "../src/protocol/address.ts";
export type { Endpoint } from "../src/transport.ts";

/** A proxy that the environment names. */
export interface EnvProxy {
  /** Its URL, for `new Socks5Client(proxy)`: it may hold a password. */
  readonly proxy: string;
  /** The variable that it stands in, as it is written there: `"ALL_PROXY"`, `"all_proxy"`, … */
  readonly variable: string;
  /**
   * Whether `NO_PROXY` exempts a target, a URL (with the port of its scheme) or a host without a port, to which no entry
   * with a port applies. Nothing here connects without the proxy: the caller decides.
   *
   * @throws {TypeError} If the target is malformed; {@linkcode RangeError} if its port is out of range.
   */
  bypasses(target: Target | URL): boolean;
}

/**
 * Finds the proxy in `ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY`, in this order: the first that is set to the URL of a SOCKS
 * proxy, since a tunnel carries every protocol. Of each variable the lower case counts first and an empty one as not set,
 * as with curl. Another scheme is passed over, and so is a host without a scheme, which is an HTTP proxy for curl and
 * everybody else. Text that begins with `socks`, quotes before it or not, or has a scheme that is nearly that, is meant as
 * a SOCKS proxy: if it cannot be read it is an error, so that nobody goes without the proxy because of a slip.
 *
 * `HTTP_PROXY` is passed over where `REQUEST_METHOD` is set: there a client of a CGI program can set it by a header. So is
 * `http_proxy` where the two are one variable, as on Windows.
 *
 * `NO_PROXY` is a list, separated by commas or white space, of names (an entry exempts what ends in it, too; a leading dot
 * or `*.` changes nothing), addresses, `10.0.0.0/8`, `fd00::/8`, `10.*`, `10.0.0.1-10.0.0.9`, each but a network with a
 * port if it counts for that alone (`[::1]:443`), or `*` for all. Names are never looked up, nothing is exempt by itself,
 * and what is malformed exempts nothing.
 *
 * @param env Default: the environment of the process, as it is at the call.
 * @returns `null` if no variable names a SOCKS proxy.
 * @throws {TypeError} If a variable is meant as a SOCKS proxy and is none that a client takes; {@linkcode RangeError} if a
 * part is out of range. The message names the variable and shows nothing of it. On Deno without `--allow-env`: the
 * runtime's own error.
 */
export function proxyFromEnv(env: Readonly<Record<string, string | undefined>> = process.env): EnvProxy | null {
  if (typeof env !== "object" || env === null) throw new TypeError(cannot("env", "an object of variables", env));
  for (const name of ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"]) {
    const variable = [name.toLowerCase(), name].find((it) => textOf(env, it) !== "");
    if (variable === undefined || mayBeHeader(env, variable)) continue;
    const proxy = textOf(env, variable).trim();
    if (!isMeantAsSocks(proxy)) continue;
    check(variable, proxy);
    return { proxy, variable, bypasses: exemptions(textOf(env, "no_proxy") || textOf(env, "NO_PROXY")) };
  }
  return null;
}

type Env = Readonly<Record<string, string | undefined>>;

function textOf(env: Env, name: string): string {
  const text = own(env, name) ?? "";
  if (typeof text !== "string") throw new TypeError(cannot(name, "a string", text));
  return text;
}

/** Whether it may be the header `Proxy` of a request that a CGI program serves (httpoxy). */
function mayBeHeader(env: Env, variable: string): boolean {
  if (variable.toUpperCase() !== "HTTP_PROXY" || textOf(env, "REQUEST_METHOD") === "") return false;
  if (variable === "HTTP_PROXY") return true;
  // one variable, or two with the same text
  const isSame = textOf(env, "http_proxy") === textOf(env, "HTTP_PROXY");
  return isSame && !["http_proxy", "HTTP_PROXY"].every((it) => Object.keys(env).includes(it));
}

/** Socks4, too, and what is misspelt. */
function isMeantAsSocks(text: string): boolean {
  const [, word = "", slash] = /^\W*([a-z][\w+.-]*)(:?\/)?/i.exec(text) ?? [];
  return /^socks/i.test(word) || (slash !== undefined && nearest(word, ["socks5h", "socks5", "socks"]) !== undefined);
}

function check(variable: string, proxy: string): void {
  if (/^["']/.test(proxy)) {
    throw new TypeError(`Cannot use ${variable} as SOCKS5 proxy, it has quotes around it: current value is (redacted)`);
  }
  try {
    parseProxy(proxy);
  } catch (error) {
    const message = (error as Error).message.replace(/^Cannot use \w+/, `Cannot use ${variable}`);
    throw error instanceof RangeError ? new RangeError(message) : new TypeError(message);
  }
}
