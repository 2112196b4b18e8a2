import { dirname, resolve } from "node:path";
import type { AdminOptions } from "../admin/mod.ts";
import type { ServeOptions } from "../serve/mod.ts";
import { checkBoolean, checkOptions, choice, parseSession } from "../src/arguments.ts";
import { listedProxies } from "../src/config/proxy_list.ts";
import { cannot } from "../src/errors.ts";
import type { ProxySpec, Socks5Options } from "../mod.ts";
import type { LogFormat } from "./connection_log.ts";
import { nameOf, textOf } from "./files.ts";
import { jsonErrorAt } from "./json_error.ts";
import { ofArgument, UsageError } from "./outcome.ts";
import { checkAdmin, checkListener, checkUpstream, type NameOf } from "./plan.ts";
import type { ListenerPlan, ServicePlan, UpstreamPlan } from "./service.ts";

type Members = Readonly<Record<string, true>>;

/** The members of each object of the file; `schema.json` has the same. */
export const MEMBERS: Readonly<Record<string, Members>> = {
  file: members("$schema proxies client listeners log drain admin"),
  listener: members(
    "hostname port path tls credentials session target headTimeout idleTimeout maxClients maxHead proxies client",
  ),
  client: members(
    "auth handshake dns timeout attemptTimeout attemptDelay retry balance cooldown maxCooldown probe noDelay keepAlive isolate",
  ),
  probe: members("target interval timeout"),
  tls: members("cert key"),
  proxyFile: members("file"),
  log: members("file format"),
  admin: members("hostname port credentials readonly hosts"),
};

/** What a file says. */
export interface FilePlan extends ServicePlan {
  readonly log: { readonly file: string; readonly format: LogFormat } | undefined;
  /** Seconds. */
  readonly drain: number | undefined;
  readonly admin: AdminOptions | undefined;
}

type Json = Record<string, unknown>;

/**
 * Reads a file of listeners, and the files that it names, whose paths are relative to it. Throws a `UsageError` that names
 * the member that is wrong, and shows no secret.
 */
export async function readConfig(file: string): Promise<FilePlan> {
  const shown = nameOf(file, "--config");
  const text = await textOf(file, "--config", "serve");
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // in the words of the runtime, a part of the file might be shown
    throw new UsageError(`${shown} is not JSON: see ${jsonErrorAt(text)}`, "serve");
  }
  try {
    return await new Reader(dirname(file)).file(parsed);
  } catch (error) {
    if (error instanceof UsageError || error instanceof TypeError || error instanceof RangeError) {
      throw new UsageError(`${shown}: ${ofArgument(error.message)}`, "serve");
    }
    throw error;
  }
}

/** Checks a file from the top down; a path says where it is. */
class Reader {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async file(given: unknown): Promise<FilePlan> {
    const { proxies, client, listeners, log, drain, admin } = object("the file", given, MEMBERS.file!);
    if (!Array.isArray(listeners) || listeners.length === 0) {
      throw new TypeError(cannot("listeners", "a list of at least one listener", listeners));
    }
    const shared = proxies === undefined ? undefined : await this.#upstream("", "", proxies, client);
    const plans: ListenerPlan[] = [];
    for (const [i, it] of listeners.entries()) plans.push(await this.#listener(`listeners[${i}]`, it, shared, client));
    const taken = new Set<string>();
    for (const [i, { options: { hostname = "127.0.0.1", port = 0, path } }] of plans.entries()) {
      const place = path ?? `${hostname}:${port}`;
      if (port !== 0 && taken.has(place)) {
        throw new TypeError(`listeners[${i}] listens where another one does: ${place}`);
      }
      taken.add(place);
    }
    if (drain !== undefined && !(typeof drain === "number" && drain >= 0 && drain <= 2_000_000)) {
      throw new RangeError(cannot("drain", "seconds from 0 to 2000000", drain));
    }
    return {
      listeners: plans,
      drain: drain as number | undefined,
      log: log === undefined ? undefined : this.#log(log),
      admin: admin === undefined ? undefined : checkedAdmin(object("admin", admin, MEMBERS.admin!)),
    };
  }

  async #listener(
    path: string,
    given: unknown,
    shared: UpstreamPlan | undefined,
    client: unknown,
  ): Promise<ListenerPlan> {
    const { proxies, client: ownClient, session, tls, ...options } = object(path, given, MEMBERS.listener!);
    const name = under(path);
    const plan: ServeOptions = { ...options, ...(tls !== undefined && { tls: await this.#tls(name("tls"), tls) }) };
    checkListener(plan, name);
    if (proxies === undefined && ownClient !== undefined) {
      throw new TypeError(`Cannot use ${name("client")} without ${name("proxies")}`);
    }
    if (proxies === undefined && shared === undefined) {
      throw new TypeError(`${path} leads nowhere: give proxies here or at the top`);
    }
    const key = plan.path ?? `${plan.hostname ?? "127.0.0.1"}:${plan.port ?? path}`;
    const upstream = proxies === undefined
      ? shared!
      : await this.#upstream(key, path, proxies, ownClient ?? client, ownClient === undefined ? "" : path);
    return { options: plan, upstream, session: sessionOf(name("session"), session, plan.credentials) };
  }

  async #upstream(
    key: string,
    path: string,
    proxies: unknown,
    client: unknown,
    clientPath = path,
  ): Promise<UpstreamPlan> {
    const list = under(path)("proxies");
    const option = under(under(clientPath)("client"));
    const options: Json = client === undefined ? {} : object(option(""), client, MEMBERS.client!);
    if (options.probe !== undefined) object(option("probe"), options.probe, MEMBERS.probe!);
    const { specs, nameOfProxy } = Array.isArray(proxies)
      ? { specs: proxies as ProxySpec[], nameOfProxy: (i: number) => ofProxy(`${list}[${i}]`) }
      : await this.#proxyFile(list, proxies);
    const named = { option, proxy: nameOfProxy, proxies: ofProxy(list) };
    checkUpstream(specs, options as Socks5Options, named);
    return { key, proxies: specs, options: options as Socks5Options };
  }

  async #proxyFile(list: string, given: unknown): Promise<{ specs: ProxySpec[]; nameOfProxy(i: number): NameOf }> {
    const want = "a list of proxies, or an object with a file";
    const { file } = checkOptions<Json>(list, given as Json, MEMBERS.proxyFile!, want);
    if (typeof file !== "string" || file === "") {
      throw new TypeError(cannot(`${list}.file`, "the name of a file", file));
    }
    const text = await textOf(resolve(this.#directory, file), `${list}.file`, "serve");
    const nameOfLine = (line: number) => `line ${line} of ${nameOf(file, `${list}.file`)}`;
    let found;
    try {
      found = listedProxies(text);
    } catch (error) {
      const [, line, rest] = /^Cannot use line (\d+)(.*)$/s.exec((error as Error).message) ?? [];
      throw new UsageError(
        line === undefined ? `${list}: ${(error as Error).message}` : `Cannot use ${nameOfLine(Number(line))}${rest}`,
      );
    }
    return { specs: found.map(({ url }) => url), nameOfProxy: (i) => ofProxy(nameOfLine(found[i]!.line)) };
  }

  async #tls(path: string, given: unknown): Promise<{ cert: string; key: string }> {
    const name = under(path);
    const files = object(path, given, MEMBERS.tls!);
    const texts: string[] = [];
    for (const member of ["cert", "key"]) {
      const file = files[member];
      if (typeof file !== "string" || file === "" || file.includes("\n")) {
        throw new TypeError(`Cannot use ${name(member)} as the name of a file in PEM`);
      }
      texts.push(await textOf(resolve(this.#directory, file), name(member), "serve"));
    }
    return { cert: texts[0]!, key: texts[1]! };
  }

  #log(given: unknown): { file: string; format: LogFormat } {
    const { file, format = "text" } = object("log", given, MEMBERS.log!);
    if (typeof file !== "string" || file === "") throw new TypeError(cannot("log.file", "the name of a file", file));
    return {
      file: resolve(this.#directory, file),
      format: choice("log.format", format as LogFormat, ["text", "json"]),
    };
  }
}

function checkedAdmin(options: Json): AdminOptions {
  checkBoolean("admin.readonly", options.readonly);
  checkAdmin(options, under("admin"));
  return options;
}

function sessionOf(name: string, given: unknown, credentials: ServeOptions["credentials"]): string | undefined {
  if (given === undefined) return undefined;
  if (credentials === "session" || (typeof credentials === "object" && "session" in credentials)) {
    throw new TypeError(`Cannot combine ${name} with credentials that are the session`);
  }
  try {
    return parseSession(given);
  } catch (error) {
    throw new TypeError((error as Error).message.replace("session", name));
  }
}

function members(names: string): Members {
  return Object.fromEntries(names.split(" ").map((name) => [name, true as const]));
}

function object(path: string, given: unknown, known: Members): Json {
  if (given === undefined) throw new TypeError(cannot(path, "an object", given));
  const { ...copy } = checkOptions<Json>(path, given as Json, known);
  return copy;
}

function under(path: string): NameOf {
  return (member) => path === "" || member === "" ? path + member : `${path}.${member}`;
}

/** Messages call a proxy `proxy`, and its members `proxy.weight` or by their name alone. */
function ofProxy(path: string): NameOf {
  return (member) => under(path)(member.replace(/^proxy\b\.?/, ""));
}
