import type { AdminListener, AdminOptions, AdminPort } from "../admin/mod.ts";
import type { Socks5Client, Socks5Event } from "../mod.ts";
import { formatHostPort } from "../src/protocol/address.ts";
import type { CliIo } from "./io.ts";
import { UsageError } from "./outcome.ts";
import type { Given } from "./usage.ts";

/** The options of a command with an admin port. */
export const ADMIN_OPTIONS = {
  "admin": "value",
  "admin-credentials": "value",
  "admin-readonly": "flag",
} as const;

/** An admin port that was asked for. */
export interface Admin {
  /** What the client is to tell. */
  readonly onEvent: (event: Socks5Event) => void;
  /** Opens it for the client; `listeners` gives the ports to show. */
  open(client: Socks5Client, listeners: () => readonly AdminListener[]): Promise<AdminPort>;
}

/** What `--admin` or a file asks for, loaded only then; `undefined` without. */
export async function adminOf(
  given: Given,
  io: Pick<CliIo, "env">,
  ofFile: AdminOptions | undefined,
): Promise<Admin | undefined> {
  const options = optionsOf(given, io) ?? ofFile;
  if (options === undefined) return undefined;
  const { Recorder, serveAdmin } = await import("../admin/mod.ts");
  const recorder = new Recorder();
  return {
    onEvent: recorder.onEvent,
    open: (client, listeners) => serveAdmin({ client, recorder }, { ...options, listeners }),
  };
}

function optionsOf(given: Given, { env }: Pick<CliIo, "env">): AdminOptions | undefined {
  const wrong = (message: string) => new UsageError(message, given.command);
  const place = given.value("admin");
  if (place === undefined) {
    const other = ["admin-credentials", "admin-readonly"].find((name) => given.has(name));
    if (other !== undefined) throw wrong(`--${other} is for --admin [HOST:]PORT`);
    return undefined;
  }
  const [, host = "127.0.0.1", port] = /^(?:(\[[^\]]*\]|[^:[\]]+):)?(\d{1,5})$/.exec(place) ?? [];
  if (port === undefined || Number(port) > 65_535) throw wrong("--admin takes [HOST:]PORT, such as 8900");
  const text = given.value("admin-credentials") ?? env.SOCKS5_ADMIN_CREDENTIALS;
  const [, username, password] = /^([^:]+):(.+)$/s.exec(text ?? "") ?? [];
  if (text && username === undefined) throw wrong("the credentials of --admin are USER:PASSWORD");
  if (!text && !LOOPBACK.test(host)) {
    const where = "127.0.0.1, [::1] or localhost";
    throw wrong(`--admin listens on ${where}; elsewhere only with --admin-credentials or SOCKS5_ADMIN_CREDENTIALS`);
  }
  return {
    hostname: host.replace(/^\[|\]$/g, ""),
    port: Number(port),
    readonly: given.has("admin-readonly"),
    credentials: username === undefined ? undefined : { username, password },
  };
}

const LOOPBACK = /^(127\.[\d.]+|\[::1\]|localhost)$/;

/** The line that says where the page is. */
export function adminLine({ hostname, port }: AdminPort): string {
  return `the admin page is at http://${formatHostPort(hostname, port)}/`;
}
