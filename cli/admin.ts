import type { AdminListener, AdminOptions, AdminPort, AdminSource, Recorder } from "../admin/mod.ts";
import { formatHostPort } from "../src/protocol/address.ts";
import { textOf } from "./files.ts";
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
  /** Makes what records the events of a client. */
  newRecorder(): Recorder;
  /** Opens it for the clients and the ports that there are at a time. */
  open(sources: () => readonly AdminSource[], listeners: () => readonly AdminListener[]): Promise<AdminPort>;
}

/** What `--admin` or a file asks for, loaded only then; `undefined` without. */
export async function adminOf(
  given: Given,
  io: Pick<CliIo, "env">,
  ofFile: AdminOptions | undefined,
): Promise<Admin | undefined> {
  const options = await optionsOf(given, io) ?? ofFile;
  if (options === undefined) return undefined;
  const { Recorder, serveAdmin } = await import("../admin/mod.ts");
  return {
    newRecorder: () => new Recorder(),
    open: (sources, listeners) => serveAdmin(sources, { ...options, listeners }),
  };
}

async function optionsOf(given: Given, { env }: Pick<CliIo, "env">): Promise<AdminOptions | undefined> {
  const wrong = (message: string) => new UsageError(message, given.command);
  const place = given.value("admin");
  if (place === undefined) {
    const other = ["admin-credentials", "admin-readonly"].find((name) => given.has(name));
    if (other !== undefined) throw wrong(`--${other} is for --admin [HOST:]PORT`);
    return undefined;
  }
  const [, host = "127.0.0.1", port] = /^(?:(\[[^\]]*\]|[^:[\]]+):)?(\d{1,5})$/.exec(place) ?? [];
  if (port === undefined || Number(port) > 65_535) throw wrong("--admin takes [HOST:]PORT, such as 8900");
  const credentials = await credentialsOf(given, env);
  if (credentials === undefined && !LOOPBACK.test(host)) {
    const where = "127.0.0.1, [::1] or localhost";
    throw wrong(`--admin listens on ${where}; elsewhere only with --admin-credentials or SOCKS5_ADMIN_CREDENTIALS`);
  }
  return {
    hostname: host.replace(/^\[|\]$/g, ""),
    port: Number(port),
    readonly: given.has("admin-readonly"),
    credentials,
  };
}

async function credentialsOf(given: Given, env: CliIo["env"]): Promise<AdminOptions["credentials"]> {
  const value = given.value("admin-credentials");
  const isFile = value !== undefined && !value.includes(":");
  const text = isFile
    ? await textOf(value, "--admin-credentials", given.command)
    : value ?? env.SOCKS5_ADMIN_CREDENTIALS;
  if (!text) return undefined;
  const [, username, password] = /^([^:\r\n]+):([^\r\n]+)/.exec(text) ?? [];
  if (username !== undefined) return { username, password };
  const file = "or a file that begins with that";
  throw new UsageError(`--admin-credentials takes USER:PASSWORD, ${file}`, given.command);
}

const LOOPBACK = /^(127\.[\d.]+|\[::1\]|localhost)$/;

/** The line that says where the page is. */
export function adminLine({ hostname, port }: AdminPort): string {
  return `the admin page is at http://${formatHostPort(hostname, port)}/`;
}
