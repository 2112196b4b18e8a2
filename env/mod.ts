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
import { checkOptions, choice, nearest, own } from "../src/arguments.ts";
import { cannot } from "../src/errors.ts";
import { parseProxy } from "../src/config/proxy_url.ts";
import { exemptions } from "./no_proxy.ts";

export type { Target } from "../src/protocol/address.ts";
export type { Endpoint } from "../src/transport.ts";

/** A proxy that the environment names. */
export interface EnvProxy {
  /** The URL of the proxy, for `new Socks5Client(proxy)`. It may hold a password. */
  readonly proxy: string;
  /** The name of the variable, in the case in which it is set: `"ALL_PROXY"`, `"all_proxy"`, … */
  readonly variable: string;
  /**
   * Whether `NO_PROXY` exempts a target, a URL (with the default port of its scheme), or a host without a port, to
   * which entries with a port do not apply. The caller must then connect without the proxy; a client never
   * does. Agent, fetch and local proxy take the result of {@linkcode proxyFromEnv} as their `bypass`.
   *
   * @throws {TypeError} If the target is malformed.
   * @throws {RangeError} If the port is out of range.
   */
  bypasses(target: Target | URL): boolean;
}

/** The options of {@linkcode proxyFromEnv}. */
export interface EnvOptions {
  /**
   * The scheme of the URLs that the proxy is for. As with curl, the variable of the scheme then goes before `ALL_PROXY`, and
   * that of the other scheme does not count. Default: a proxy for everything.
   */
  scheme?: "http" | "https" | undefined;
}

/**
 * Finds the SOCKS proxy of the environment: the first of `ALL_PROXY`, `HTTPS_PROXY` and `HTTP_PROXY`, in this order,
 * that holds the URL of one, since a tunnel carries every protocol. As with curl, lower case comes first, and an empty
 * variable counts as not set. A variable with another scheme, or without a scheme (an HTTP proxy for curl), is skipped.
 * A variable that is nearly the URL of a SOCKS proxy (misspelled scheme, quotes, a malformed part) is an error, so that
 * no connection bypasses the proxy by mistake.
 *
 * `HTTP_PROXY` is skipped if `REQUEST_METHOD` is set: in a CGI program, a client can set it by a header. So is
 * `http_proxy` where the two are the same variable, as on Windows.
 *
 * `NO_PROXY` is a list, separated by commas or white space, of names (which also exempt their subdomains; a leading dot
 * or `*.` is ignored), addresses, networks and ranges (`10.0.0.0/8`, `fd00::/8`, `10.*`, `10.0.0.1-10.0.0.9`), or `*`
 * for all. Names and addresses may have a port (`[::1]:443`). Names are never resolved, nothing is exempt by default,
 * and malformed entries exempt nothing.
 *
 * @param env The variables. Default: the environment of the process at the call.
 * @param options For which scheme.
 * @returns `null` if no variable names a SOCKS proxy.
 * @throws {TypeError} If a variable is meant as a SOCKS proxy but malformed. The message names the variable and shows
 * nothing of its value.
 * @throws {RangeError} If a part of it is out of range.
 * @throws The runtime's own error, on Deno without `--allow-env`.
 */
export function proxyFromEnv(
  env: Readonly<Record<string, string | undefined>> = process.env,
  options: EnvOptions = {},
): EnvProxy | null {
  if (typeof env !== "object" || env === null) throw new TypeError(cannot("env", "an object of variables", env));
  const { scheme } = checkOptions("the options of proxyFromEnv()", options, { scheme: true });
  if (scheme !== undefined) choice("scheme", scheme, ["http", "https"]);
  const names = scheme === undefined
    ? ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"]
    : [`${scheme.toUpperCase()}_PROXY`, "ALL_PROXY"];
  for (const name of names) {
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

/** Socks4, too, and what is misspelled. */
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
