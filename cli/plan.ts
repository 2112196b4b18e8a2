import { type ProxySpec, Socks5Client, type Socks5Options } from "../mod.ts";
import type { AdminOptions } from "../admin/mod.ts";
import { parseAdminOptions } from "../admin/options.ts";
import type { ServeOptions } from "../serve/mod.ts";
import { parseServeOptions } from "../serve/options.ts";
import { ofArgument, UsageError } from "./outcome.ts";

/** What is called how in a message: of `""`, the whole. */
export type NameOf = (member: string) => string;

/** Checks what a port is given; throws a `UsageError` in which its options have other names. */
export function checkListener(options: ServeOptions, nameOf: NameOf): void {
  renaming(nameOf, () => parseServeOptions(options));
}

/** Checks what an admin port is given, as {@linkcode checkListener} does. */
export function checkAdmin(options: AdminOptions, nameOf: NameOf): void {
  renaming(nameOf, () => parseAdminOptions(options));
}

/** Checks proxies, one by one and all together, and the options of their client. */
export function checkUpstream(
  proxies: readonly ProxySpec[],
  options: Socks5Options,
  nameOf: { option: NameOf; proxy(i: number): NameOf; proxies: NameOf },
): void {
  renaming(nameOf.option, () => new Socks5Client("socks5h://proxy.invalid", options));
  proxies.forEach((proxy, i) => renaming(nameOf.proxy(i), () => new Socks5Client(proxy)));
  renaming(nameOf.proxies, () => new Socks5Client(proxies, options));
}

function renaming(nameOf: NameOf, check: () => unknown): void {
  try {
    check();
  } catch (error) {
    throw new UsageError(renamed((error as Error).message, nameOf), "serve");
  }
}

const UNKNOWN = /^Cannot use (\w+) in (?:the (?:options|parts) of [\w ().]+|([\w.]+)): /;
const WRONG = /^Cannot (?:use|parse) (?!credentials without)([\w.]+) as /;

function renamed(message: string, nameOf: NameOf): string {
  const [unknown, member, of] = UNKNOWN.exec(message) ?? [];
  if (unknown !== undefined) {
    const name = nameOf(of === undefined ? member! : `${of}.${member}`);
    return `Cannot use ${name}: ${message.slice(unknown.length)}`;
  }
  const [wrong, option] = WRONG.exec(message) ?? [];
  if (wrong !== undefined) return `Cannot use ${nameOf(option!)} as ${ofArgument(message.slice(wrong.length))}`;
  const whole = nameOf("");
  return whole === "" ? message : `${whole}: ${message}`;
}
