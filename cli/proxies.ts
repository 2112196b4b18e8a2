import { proxyFromEnv } from "../env/mod.ts";
import { listedProxies } from "../src/config/proxy_list.ts";
import { labelOf, parseProxy } from "../src/config/proxy_url.ts";
import type { CliIo } from "./io.ts";
import { nameOf, textOf, write } from "./files.ts";
import { ofArgument, UsageError } from "./outcome.ts";
import type { Given } from "./usage.ts";

/** The proxies of a command, and its other arguments. */
export interface Proxies {
  readonly proxies: readonly FoundProxy[];
  readonly rest: readonly string[];
}

/** A proxy and where it was found. */
export interface FoundProxy {
  readonly url: string;
  /** A variable, a line of a file, or `null` for an argument. */
  readonly from: string | null;
  /** The number of the line. */
  readonly line?: number;
  /** The form in which it was given, with the comment of its line. */
  readonly text: string;
}

/**
 * Arguments with `://` are proxies, and so is each line of the file that `--proxies` names. Without any it is the
 * environment's: `SOCKS5_PROXY`, else what others use.
 */
export async function proxiesOf(given: Given, io: Pick<CliIo, "env" | "stdin">): Promise<Proxies> {
  const { command, positionals } = given;
  const file = given.value("proxies");
  const rest = positionals.filter((it) => !it.includes("://"));
  const proxies = [
    ...positionals.filter((it) => it.includes("://")).map((url) => ({ url, from: null, text: url })),
    ...(file === undefined ? [] : await readList(file, io.stdin, command)),
  ];
  return { proxies: proxies.length > 0 ? proxies : [ofEnv(io.env, command)], rest };
}

/** What each proxy is called: its name, with a hash of the user name where others have the same name and another user. */
export function titlesOf(proxies: readonly FoundProxy[]): string[] {
  const named = proxies.map(({ url }) => {
    const { name, credentials } = parseProxy(url);
    return { name, label: labelOf(name, credentials) };
  });
  const labels = new Map<string, Set<string>>();
  for (const { name, label } of named) labels.set(name, (labels.get(name) ?? new Set()).add(label));
  return named.map(({ name, label }) => labels.get(name)!.size > 1 ? label : name);
}

/** `host:port:user:password`, as lists have it: no `BIND:PORT:HOST:PORT`. */
const LISTED = /^([^:/[\]]+:\d+:)(?![^:]+:\d{1,5}$).+$/s;

/** The values of options for credentials, among arguments with a NUL between them. */
const CREDENTIALS = /(?<=(?:^|\0)--(?:admin-)?credentials[=\0])[^\0]+/g;

/** The arguments without user names and passwords. */
export function redactArgs(args: readonly string[]): string {
  const shown = args.map((arg) => arg.replace(/:\/\/.*@/s, "://(redacted)@").replace(LISTED, "$1(redacted)"));
  return shown.join("\0").replace(CREDENTIALS, "(redacted)").replaceAll("\0", " ");
}

function ofEnv(env: CliIo["env"], command: string): FoundProxy {
  const { SOCKS5_PROXY: url } = env;
  if (url) {
    naming(() => "SOCKS5_PROXY", () => parseProxy(url));
    return { url, from: "SOCKS5_PROXY", text: url };
  }
  const found = proxyFromEnv(env);
  if (found !== null) return { url: found.proxy, from: found.variable, text: found.proxy };
  const ways = "add socks5h://host:port or --proxies FILE, or set SOCKS5_PROXY or ALL_PROXY";
  throw new UsageError(`no proxy is given: ${ways}`, command);
}

/** The proxies of a file, as providers hand them out. */
async function readList(file: string, stdin: CliIo["stdin"], command: string): Promise<FoundProxy[]> {
  const wrong = (why: string) => new UsageError(why, command);
  if (file === "" || file.includes("://")) throw wrong("--proxies takes a file, or - for standard input");
  if (file === "-" && command === "connect") throw wrong("--proxies takes a file: standard input is for the target");
  const name = file === "-" ? "standard input" : nameOf(file, "--proxies");
  const text = await textOf(file === "-" ? stdin : file, "--proxies", command);
  const proxies = naming((what) => `${what} of ${name}`, () => listedProxies(text));
  if (proxies.length === 0) throw wrong(`no proxy is in ${name}: give one a line, as socks5h://host:port`);
  return proxies.map((it) => ({ ...it, from: `${name}, line ${it.line}` }));
}

/** Writes proxies in the form in which they were given, one a line, to a file that others cannot read if it is new. */
export async function writeList(file: string, proxies: readonly FoundProxy[], command: string): Promise<void> {
  await write(file, proxies.map(({ text }) => `${text}\n`).join(""), "w", "--good", command);
}

/** Has a message about a proxy say where that was found. */
function naming<T>(source: (what: string) => string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    const message = ofArgument((error as Error).message);
    throw new UsageError(message.replace(/(?<=^Cannot use )(line \d+|\w+)/, source));
  }
}
