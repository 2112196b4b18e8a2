import { type Front, type FrontOptions, serveFront } from "../front/mod.ts";
import { Socks5Client, type Socks5Event } from "../mod.ts";
import { signalled } from "./interrupt.ts";
import type { CliIo } from "./io.ts";
import { EXIT, Interrupted, UsageError } from "./outcome.ts";
import { duration } from "./paint.ts";
import { proxiesOf } from "./proxies.ts";
import type { Given } from "./usage.ts";

/** Lends the proxies to programs of this machine, until a signal comes. */
export async function serve(given: Given, io: CliIo): Promise<number> {
  const { proxies, rest } = proxiesOf(given, io.env);
  if (rest.length > 0) throw new UsageError("takes proxies only, as socks5h://host:port", "serve");
  const port = given.number("port", 0);
  const line = ({ url }: Front) => `export http_proxy=${url} https_proxy=${url} all_proxy=${url}`;
  return await fronts(proxies, given, io, [{ port }], line);
}

/** Brings ports of this machine to targets, until a signal comes. */
export async function forward(given: Given, io: CliIo): Promise<number> {
  const { proxies, rest } = proxiesOf(given, io.env);
  if (rest.length === 0) throw new UsageError("give what goes where, as [BIND:]PORT:HOST:PORT", "forward");
  const options = rest.map(parseForward);
  const line = ({ url }: Front, i: number) => `${url.slice("http://".length)} leads to ${options[i]!.target}`;
  return await fronts(proxies, given, io, options, line);
}

const DRAIN = 5_000; // milliseconds

/** Listens, says so, and ends in its time at the first signal, at once at the second. */
async function fronts(
  proxies: readonly string[],
  given: Given,
  io: CliIo,
  options: readonly FrontOptions[],
  describe: (front: Front, i: number) => string,
): Promise<number> {
  const log = (line: string) => void io.stderr.write(`socks5: ${line}\n`).catch(() => {});
  const onEvent = (event: Socks5Event) => tell(event, given.has("verbose"), log);
  const client = new Socks5Client([...proxies], { onEvent, pool: { maxOpen: Infinity } }); // programs have their own limits
  const open: Front[] = [];
  try {
    return await signalled(io, async (next) => {
      for (const it of options) open.push(await serveFront(client, it));
      await io.stdout.write(open.map((front, i) => `${describe(front, i)}\n`).join(""));
      await next();
      const ended = Promise.all(open.map((front) => front.close({ drain: DRAIN }))).then(() => null);
      log("ending; once more ends it at once");
      const again = await Promise.race([ended, next()]);
      return again === null ? EXIT.ok : new Interrupted(again).code;
    });
  } finally {
    await client.close();
    await Promise.all(open.map((front) => front.close()));
  }
}

/** What failed for good is always told, what went well on demand. */
function tell(event: Socks5Event, verbose: boolean, log: (line: string) => void): void {
  if (event.type === "failed" && event.next === null) log(event.error.message);
  if (event.type === "connected" && verbose) log(`${event.target} through ${event.proxy}, ${duration(event.ms)}`);
}

/** `[BIND:]PORT:HOST:PORT`, IPv6 in brackets. */
function parseForward(text: string): FrontOptions & { target: string } {
  const [, bind = "127.0.0.1", port, target] =
    /^(?:(\[[^\]]*\]|[^:[\]]*):)?(\d{1,5}):((?:\[[^\]]*\]|[^:[\]]+):\d{1,5})$/.exec(text) ?? [];
  if (target === undefined) {
    const said = /^[\w.:[\]*-]{1,100}$/.test(text) ? ` ${text}` : "";
    throw new UsageError(`cannot read${said} as [BIND:]PORT:HOST:PORT, such as 8080:db.internal:80`, "forward");
  }
  return { hostname: bind, port: Number(port), target };
}
