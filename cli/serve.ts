import type { LocalProxy, ServeOptions } from "../serve/mod.ts";
import type { AdminListener, AdminPort } from "../admin/mod.ts";
import type { Balance } from "../mod.ts";
import { adminLine, adminOf } from "./admin.ts";
import { LogFile } from "./connection_log.ts";
import { type FilePlan, readConfig } from "./config_file.ts";
import { signalled } from "./interrupt.ts";
import type { CliIo } from "./io.ts";
import { EXIT, Interrupted, onOneLine, outcomeOf, UsageError } from "./outcome.ts";
import { canAppend, textOf } from "./files.ts";
import { checkListener, checkUpstream } from "./plan.ts";
import { proxiesOf } from "./proxies.ts";
import { type ListenerPlan, placeOf, type RunningListener, Service, type ServicePlan } from "./service.ts";
import type { Given } from "./usage.ts";

/** Lends the proxies to programs, until a signal comes. */
export async function serve(given: Given, io: CliIo): Promise<number> {
  const config = given.value("config");
  if (config !== undefined) return await serveFile(config, given, io);
  if (given.has("check")) throw new UsageError("--check is for --config FILE", "serve");
  const read = async () => {
    const options = await serveOptions(given);
    const balance = given.value("balance") as Balance | undefined;
    const name = (option: string) => FLAGS[option] ?? option;
    checkListener(options, name);
    const { proxies: found, rest } = await proxiesOf(given, io);
    if (rest.length > 0) {
      throw new UsageError("serve takes proxies only, as socks5h://host:port; the port is --port PORT", "serve");
    }
    const proxies = found.map(({ url }) => url);
    checkUpstream(proxies, { balance }, {
      option: name,
      proxy: (i) => () => found[i]!.from ?? "proxy",
      proxies: name,
    });
    return { listeners: [{ options, upstream: { key: "", proxies, options: { balance } } }] };
  };
  const line = ({ url }: LocalProxy) => `export http_proxy=${url} https_proxy=${url} all_proxy=${url}`;
  return await run(given, io, read, line);
}

/** Serves what a file says, or only checks it. */
async function serveFile(file: string, given: Given, io: CliIo): Promise<number> {
  const other = NOT_WITH_CONFIG.find((name) => given.has(name));
  if (other !== undefined) throw new UsageError(`--config goes without --${other}: the file says it`, "serve");
  if (given.positionals.length > 0) throw new UsageError("--config goes without proxies: the file has them", "serve");
  const read = () => readConfig(file);
  if (!given.has("check")) return await run(given, io, read, (localProxy, plan) => lineOf(localProxy, plan));
  const { listeners } = await read();
  const proxies = new Set(listeners.map(({ upstream }) => upstream));
  const count = [...proxies].reduce((sum, { proxies }) => sum + proxies.length, 0);
  await io.stdout.write(`${counted(listeners.length, "listener")} and ${counted(count, "proxy", "proxies")}: ok\n`);
  return EXIT.ok!;
}

function lineOf(localProxy: LocalProxy, { options: { target }, upstream }: ListenerPlan): string {
  const through = counted(upstream.proxies.length, "proxy", "proxies");
  const to = target === undefined ? "" : ` to ${target}`;
  return `${
    localProxy.path === undefined && target === undefined ? localProxy.url : placeOf(localProxy)
  } leads${to} through ${through}`;
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** Brings ports of this machine to targets, until a signal comes. */
export async function forward(given: Given, io: CliIo): Promise<number> {
  const maxClients = given.number("max-clients", 1);
  const read = async () => {
    const { proxies, rest } = await proxiesOf(given, io);
    if (rest.length === 0) throw new UsageError("give what goes where, as [BIND:]PORT:HOST:PORT", "forward");
    const upstream = { key: "", proxies: proxies.map(({ url }) => url), options: {} };
    return { listeners: rest.map((it) => ({ options: { ...parseForward(it), maxClients }, upstream })) };
  };
  const line = (localProxy: LocalProxy, { options }: ListenerPlan) =>
    `${placeOf(localProxy)} leads to ${options.target}`;
  return await run(given, io, read, line);
}

/** Serves a plan, which is read again at SIGHUP; ends in its time at the first other signal, at once at the second. */
async function run(
  given: Given,
  io: CliIo,
  read: () => Promise<ServicePlan & Partial<FilePlan>>,
  describe: (localProxy: LocalProxy, plan: ListenerPlan) => string,
): Promise<number> {
  const isVerbose = given.has("verbose");
  if (isVerbose && given.has("quiet")) throw new UsageError("give --quiet or --verbose", given.command);
  const told = (line: string) => void io.stderr.write(`socks5: ${onOneLine(line)}\n`).catch(() => {});
  const say = given.has("quiet") ? () => {} : told;
  const plan = await read();
  const admin = await adminOf(given, io, plan.admin);
  const drain = given.number("drain", 0) ?? plan.drain ?? 5;
  const log = await logOf(given, plan.log, told);
  const service = new Service({
    say: (line) => say(line.replace("maxClients", "--max-clients")),
    log: log && ((listener, entry) => log.write(listener, entry)),
    newRecorder: admin?.newRecorder,
    isVerbose,
  });
  const reload = async () => {
    try {
      log?.reopen();
      await service.apply(await read());
      say(`read again: ${countOf(service)}`);
    } catch (error) {
      told(`nothing has changed: ${outcomeOf(error).line}`);
    }
  };
  let adminPort: AdminPort | undefined;
  let reloading = Promise.resolve();
  const isFromFile = given.has("config") || given.has("proxies");
  const unlisten = isFromFile ? io.onHangup(() => reloading = reloading.then(reload)) : undefined;
  try {
    return await signalled(io, async (next) => {
      await service.apply(plan);
      const { listeners } = service;
      adminPort = await admin?.open(() => service.sources, () => service.listeners.map(shown));
      if (adminPort !== undefined) say(adminLine(adminPort));
      await io.stdout.write(listeners.map(({ localProxy, plan }) => `${describe(localProxy, plan)}\n`).join(""));
      await next();
      unlisten?.();
      await reloading;
      const ended = service.close(drain * 1_000).then(() => null);
      const seconds = `${drain} second${drain === 1 ? "" : "s"}`;
      say(`ending: connections have ${seconds}; a second signal ends it at once`);
      const again = await Promise.race([ended, next()]);
      return again === null ? EXIT.ok! : new Interrupted(again).code;
    });
  } finally {
    unlisten?.();
    await adminPort?.close();
    await service.close(0);
    await log?.close();
  }
}

/** A port as the admin port shows it. */
function shown({ localProxy: { url }, plan: { options: { target } } }: RunningListener): AdminListener {
  return { url, target: target === undefined ? undefined : String(target) };
}

function countOf({ clients, listeners }: Service): string {
  const count = clients.reduce((sum, client) => sum + client.stats().proxies.length, 0);
  return `${counted(count, "proxy", "proxies")} for ${counted(listeners.length, "listener")}`;
}

async function logOf(
  given: Given,
  ofFile: FilePlan["log"],
  told: (line: string) => void,
): Promise<LogFile | undefined> {
  const { command } = given;
  const file = given.value("log") ?? ofFile?.file;
  const format = given.value("log-format") ?? ofFile?.format ?? "text";
  if (format !== "text" && format !== "json") throw new UsageError("--log-format takes text or json", command);
  if (file === undefined && given.has("log-format")) throw new UsageError("--log-format needs --log FILE", command);
  if (file === undefined) return undefined;
  await canAppend(file, given.has("log") ? "--log" : "log.file", command);
  return new LogFile(file, format, told);
}

const NOT_WITH_CONFIG = [
  ...["listen", "port", "cert", "key", "balance", "credentials", "session", "forward-credentials", "max-clients"],
  ...["proxies", "log", "log-format", "drain"],
];

const FLAGS: Readonly<Record<string, string>> = {
  hostname: "--listen",
  port: "--port",
  path: "--listen",
  credentials: "--credentials",
  maxClients: "--max-clients",
  balance: "--balance",
  tls: "--cert and --key",
  "tls.cert": "--cert",
  "tls.key": "--key",
};

/** What the port of `serve` is given. Files are read. */
async function serveOptions(given: Given): Promise<ServeOptions> {
  const [cert, key] = [given.value("cert"), given.value("key")];
  if ((cert === undefined) !== (key === undefined)) throw new UsageError("give --cert and --key together", "serve");
  const tls = cert === undefined
    ? undefined
    : { cert: await textOf(cert, "--cert", "serve"), key: await textOf(key!, "--key", "serve") };
  return {
    ...placeToListen(given),
    tls,
    credentials: await credentialsOf(given),
    maxClients: given.number("max-clients", 1),
  };
}

function placeToListen(given: Given): Pick<ServeOptions, "hostname" | "port" | "path"> {
  const listen = given.value("listen");
  const port = given.number("port", 0);
  if (listen === undefined) return { port };
  if (port !== undefined) throw new UsageError("give --listen or --port", "serve");
  if (listen.startsWith("/")) return { path: listen };
  const [, hostname, number] = /^(?:(\[[^\]]*\]|[^:[\]]*):)?(\d{1,5})$/.exec(listen) ?? [];
  if (number === undefined) throw new UsageError("--listen takes HOST:PORT, or the path of a unix socket", "serve");
  return { hostname, port: Number(number) };
}

/** The user name and the password are those of the option, or of the first line of the file that it names. */
async function credentialsOf(given: Given): Promise<ServeOptions["credentials"]> {
  const [isForward, isSession, value] = [
    given.has("forward-credentials"),
    given.has("session"),
    given.value("credentials"),
  ];
  if (isForward && (isSession || value !== undefined)) {
    throw new UsageError("--forward-credentials goes with neither --session nor --credentials", "serve");
  }
  if (isForward) return "forward";
  if (value === undefined) return isSession ? "session" : undefined;
  const text = value.includes(":") ? value : (await textOf(value, "--credentials", "serve")).split(/\r?\n/)[0]!;
  const colon = text.indexOf(":");
  if (colon < 0) throw new UsageError("--credentials takes USER:PASSWORD, or a file that begins with that", "serve");
  const [username, password] = [text.slice(0, colon), text.slice(colon + 1)];
  if (!isSession) return { username, password };
  if (username !== "") {
    throw new UsageError("with --session, --credentials takes :PASSWORD, for any user name", "serve");
  }
  return { session: true, password };
}

/** `[BIND:]PORT:HOST:PORT`, IPv6 in brackets. */
function parseForward(text: string): ServeOptions & { target: string } {
  const [, bind = "127.0.0.1", port, target] =
    /^(?:(\[[^\]]*\]|[^:[\]]*):)?(\d{1,5}):((?:\[[^\]]*\]|[^:[\]]+):\d{1,5})$/.exec(text) ?? [];
  if (target === undefined) {
    const said = /^\d{1,5}$/.test(text) ? ` ${text}` : ""; // more of it may be a proxy with its password
    throw new UsageError(`cannot read${said} as [BIND:]PORT:HOST:PORT, such as 8080:db.internal:80`, "forward");
  }
  if (!LOOPBACK.test(bind)) {
    throw new UsageError("BIND is an address of loopback: 127.0.0.1, [::1] or localhost", "forward");
  }
  return { hostname: bind, port: Number(port), target };
}

const LOOPBACK = /^(127\.[\d.]+|\[::1\]|localhost)$/;
