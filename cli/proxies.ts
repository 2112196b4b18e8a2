import { proxyFromEnv } from "../env/mod.ts";
import { parseProxy } from "../src/proxy.ts";
import { UsageError } from "./outcome.ts";
import type { Given } from "./usage.ts";

/** The proxies of a command, where they were found, and the other arguments. */
export interface Proxies {
  readonly proxies: readonly string[];
  /** The variable of the environment, or `null` if they were arguments. */
  readonly from: string | null;
  readonly rest: readonly string[];
}

/** An argument with `://` is a proxy; without one it is the environment's: `SOCKS5_PROXY`, else what others use. */
export function proxiesOf({ command, positionals }: Given, env: Readonly<Record<string, string | undefined>>): Proxies {
  const proxies = positionals.filter((it) => it.includes("://"));
  const rest = positionals.filter((it) => !it.includes("://"));
  if (proxies.length > 0) return { proxies, from: null, rest };
  if (env.SOCKS5_PROXY) return { proxies: [checked(env.SOCKS5_PROXY)], from: "SOCKS5_PROXY", rest };
  const found = proxyFromEnv(env);
  if (found === null) {
    throw new UsageError("no proxy is given: add socks5h://host:port, or set SOCKS5_PROXY or ALL_PROXY", command);
  }
  return { proxies: [found.proxy], from: found.variable, rest };
}

/** The arguments as they may be shown: without user names and passwords. */
export function shown(args: readonly string[]): string {
  return args.map((arg) => arg.replace(/:\/\/.*@/s, "://(redacted)@")).join(" ");
}

function checked(proxy: string): string {
  try {
    parseProxy(proxy);
    return proxy;
  } catch (error) {
    throw new UsageError((error as Error).message.replace(/^Cannot use \w+/, "Cannot use SOCKS5_PROXY"));
  }
}
