import { type LocalProxy, serve as serveLocalProxy, type ServeOptions } from "../serve/mod.ts";
import { Socks5Client, type Socks5Event, type Socks5Stats } from "../mod.ts";
import { adminLine, adminOf } from "./admin.ts";
import { signalled } from "./interrupt.ts";
import type { CliIo } from "./io.ts";
import { EXIT, Interrupted, onOneLine, UsageError } from "./outcome.ts";
import { duration } from "./paint.ts";
import { type FoundProxy, proxiesOf } from "./proxies.ts";
import type { Given } from "./usage.ts";

/** Lends the proxies to programs of this machine, until a signal comes. */
export async function serve(given: Given, io: CliIo): Promise<number> {
  const { proxies, rest } = await proxiesOf(given, io);
  if (rest.length > 0) {
    throw new UsageError("serve takes proxies only, as socks5h://host:port; the port is --port PORT", "serve");
  }
  const port = given.number("port", 0);
  const line = ({ url }: LocalProxy) => `export http_proxy=${url} https_proxy=${url} all_proxy=${url}`;
  return await serveAll(proxies, given, io, [{ port }], line);
}

/** Brings ports of this machine to targets, until a signal comes. */
export async function forward(given: Given, io: CliIo): Promise<number> {
  const { proxies, rest } = await proxiesOf(given, io);
  if (rest.length === 0) throw new UsageError("give what goes where, as [BIND:]PORT:HOST:PORT", "forward");
  const options = rest.map(parseForward);
  const line = (localProxy: LocalProxy, i: number) => `${placeOf(localProxy)} leads to ${options[i]!.target}`;
  return await serveAll(proxies, given, io, options, line);
}

const DRAIN = 5_000; // milliseconds

/** Listens, says so, and ends in its time at the first signal, at once at the second. */
async function serveAll(
  proxies: readonly FoundProxy[],
  given: Given,
  io: CliIo,
  options: readonly ServeOptions[],
  describe: (localProxy: LocalProxy, i: number) => string,
): Promise<number> {
  const maxClients = given.number("max-clients", 1);
  const log = (line: string) => void io.stderr.write(`socks5: ${line}\n`).catch(() => {});
  const admin = await adminOf(given, io);
  const tell = teller(log, given.has("verbose"), () => client.stats().proxies);
  const client: Socks5Client = new Socks5Client(proxies.map(({ url }) => url), {
    pool: { maxOpen: Infinity }, // programs have their own limits
    onEvent(event) {
      admin?.onEvent(event);
      tell(event);
    },
  });
  const open: LocalProxy[] = [];
  const adminPort = await admin?.open(client, () => open.map(({ url }, i) => ({ url, target: targetOf(options[i]!) })));
  try {
    if (adminPort !== undefined) log(adminLine(adminPort));
    return await signalled(io, async (next) => {
      for (const it of options) {
        const localProxy: LocalProxy = await serveLocalProxy(client, {
          ...it,
          maxClients,
          onError: ({ message }) =>
            log(`${placeOf(localProxy)}: ${onOneLine(message.replace("maxClients", "--max-clients"))}`),
        });
        open.push(localProxy);
      }
      await io.stdout.write(open.map((localProxy, i) => `${describe(localProxy, i)}\n`).join(""));
      await next();
      const ended = Promise.all(open.map((localProxy) => localProxy.close({ drain: DRAIN }))).then(() => null);
      log("ending: connections have 5 seconds; a second signal ends it at once");
      const again = await Promise.race([ended, next()]);
      return again === null ? EXIT.ok : new Interrupted(again).code;
    });
  } finally {
    await adminPort?.close();
    await client.close();
    await Promise.all(open.map((localProxy) => localProxy.close()));
  }
}

/** The fixed target of a port, if it has one. */
function targetOf({ target }: ServeOptions): string | undefined {
  return target === undefined ? undefined : String(target);
}

/** Where a local proxy listens. */
function placeOf({ url }: LocalProxy): string {
  return url.slice("http://".length);
}

type Health = Socks5Stats["proxies"];

/** Tells what failed for good; if it is `verbose`, also what went well, and which proxies were passed over and why. */
function teller(log: (line: string) => void, verbose: boolean, health: () => Health): (event: Socks5Event) => void {
  const codes = new Map<string, string>(); // of proxies whose last attempt failed
  return (event) => {
    if (event.id === undefined) return; // of a proxy, and no request
    const { target, proxy, ms } = event;
    if (event.type === "failed") {
      const { next, delay, error } = event;
      codes.set(proxy, error.code);
      if (next === null || verbose) log(`${error.message}${next === null ? "" : `; ${NEXT[next](delay)}`}`);
    }
    if (event.type === "overtaken" || event.type === "connected") codes.delete(proxy);
    if (event.type === "connected" && verbose) {
      const all = health();
      const past = all.slice(0, all.findIndex((it) => it.proxy === proxy)).filter(({ cooldown }) => cooldown > 0)
        .map(({ proxy, cooldown }) => `${proxy} (${codes.get(proxy) ?? "silent"}, for another ${duration(cooldown)})`);
      log(`${target} through ${proxy}, ${duration(ms)}${past.length > 0 ? `; passed over: ${past.join(", ")}` : ""}`);
    }
  };
}

const NEXT: Readonly<Record<"address" | "retry" | "failover", (delay: number) => string>> = {
  address: () => "trying the next address",
  failover: () => "trying another proxy",
  retry: (delay) => `trying again in ${duration(delay)}`,
};

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
