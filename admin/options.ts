import { checkBoolean, checkFunction, checkOptions, type Known } from "../src/arguments.ts";
import { type Credentials, encodeCredentials } from "../src/config/proxy_url.ts";
import { cannot } from "../src/errors.ts";
import { ATYP, parseHost } from "../src/protocol/address.ts";
import type { Socks5Client } from "../src/socks5_client.ts";
import { type ClientAuth, clientAuth } from "../serve/auth.ts";
import type { Recorder } from "./recorder.ts";

/** A `Socks5Client`, or anything else with these methods of it. */
export type AdminClient = Pick<Socks5Client, "stats" | "check" | "suspend" | "resume">;

/** A client that is watched. */
export interface AdminSource {
  /** What tells it from the others, if there are several. */
  name?: string | undefined;
  /** The client. */
  client: AdminClient;
  /**
   * The recorder of its events. Without one there is nothing about the last minute, the median and the last failures.
   */
  recorder?: Recorder | undefined;
}

/** A port that leads through a client, as it is shown. */
export interface AdminListener {
  /** Its URL, as a `LocalProxy` has it. */
  url: string;
  /** Its fixed target, if it has one. */
  target?: string | undefined;
  /** How many clients are connected. */
  clients?: number | undefined;
}

/** The options of an `adminHandler()`. */
export interface AdminHandlerOptions {
  /** What must be sent, as HTTP `Authorization: Basic`, for all but `/healthz` and `/readyz`. Default: nothing. */
  credentials?: Credentials | undefined;
  /** Whether nothing can be changed: no suspending, no resuming, no checks. Default: `false`. */
  readonly?: boolean | undefined;
  /**
   * Names and addresses of this machine that requests may have in `Host`, besides those of loopback. Others are refused,
   * since a web page could lead its own name to this port (DNS rebinding). Default: none.
   */
  hosts?: readonly string[] | undefined;
  /** Gives the ports that the page shows. Default: none. */
  listeners?: (() => readonly AdminListener[]) | undefined;
}

/** The options of `serveAdmin()`. */
export interface AdminOptions extends AdminHandlerOptions {
  /**
   * The name or address to listen on: `"127.0.0.1"` (default), `"::1"` or `"localhost"`; any other only with
   * `credentials`. Requests may have it in `Host`; if it is `"0.0.0.0"` or `"::"`, any IP address.
   */
  hostname?: string | undefined;
  /** The port to listen on, 0 to 65535. Default: 0, a free one. */
  port?: number | undefined;
}

/** Options with all defaults, checked. */
export interface AdminConfig {
  readonly hostname: string;
  readonly port: number;
  readonly auth: ClientAuth;
  readonly readonly: boolean;
  readonly listeners: () => readonly AdminListener[];
  /** Whether a canonical name may be in `Host`. */
  isHost(name: string): boolean;
}

const HANDLER: Known<AdminHandlerOptions> = { credentials: true, readonly: true, hosts: true, listeners: true };
const ADMIN: Known<AdminOptions> = { ...HANDLER, hostname: true, port: true };

// names below localhost may be anybody's, if a server of names says so
const LOOPBACK = /^(127\.[\d.]+|::1|localhost)$/;

/** Checks the options; throws a `TypeError` or a `RangeError` that names the option. */
export function parseAdminOptions(given: AdminOptions | undefined): AdminConfig {
  const options = checkOptions("the options of serveAdmin()", given, ADMIN);
  const { hostname: on = "127.0.0.1", port = 0 } = options;
  const { auth, readonly, listeners, isHost } = parseHandlerOptions(options, ADMIN);
  const hostname = nameOf("hostname", on);
  if (!LOOPBACK.test(hostname) && !auth.isRequired) {
    const want = "a loopback name (127.0.0.1, ::1, localhost) unless there are credentials";
    throw new TypeError(cannot("hostname", want, hostname));
  }
  if (typeof port !== "number") throw new TypeError(cannot("port", "a number", port));
  if (!(Number.isInteger(port) && port >= 0 && port <= 65535)) throw new RangeError(cannot("port", "0 to 65535", port));
  const isAnywhere = hostname === "0.0.0.0" || hostname === "::";
  // a page cannot lead an address to this port, just a name
  const isOwn = (name: string) => name === hostname || (isAnywhere && isAddress(name));
  return { hostname, port, auth, readonly, listeners, isHost: (name) => isHost(name) || isOwn(name) };
}

/** As {@linkcode parseAdminOptions}, without a port. */
export function parseHandlerOptions(
  given: AdminHandlerOptions | undefined,
  known: Known<AdminHandlerOptions> = HANDLER,
): Omit<AdminConfig, "hostname" | "port"> {
  const options = checkOptions("the options of adminHandler()", given, known);
  const { credentials, readonly = false, hosts = [], listeners = () => [] } = options;
  checkBoolean("readonly", readonly);
  checkFunction("listeners", listeners);
  if (!Array.isArray(hosts)) throw new TypeError(cannot("hosts", "a list of names", hosts));
  const names = new Set(hosts.map((host) => nameOf("hosts", host)));
  if (credentials !== undefined) encodeCredentials(credentials);
  if (credentials?.username.includes(":")) {
    throw new TypeError("Cannot use a user name with a colon in credentials, which HTTP cannot carry");
  }
  const isHost = (name: string) => LOOPBACK.test(name) || names.has(name);
  return { auth: clientAuth(credentials && { ...credentials }), readonly, listeners, isHost };
}

function nameOf(option: string, text: string): string {
  const host = parseHost(text);
  if (typeof host === "string") throw new TypeError(cannot(option, `a name or an address, ${host}`, text));
  return host.hostname;
}

function isAddress(name: string): boolean {
  const host = parseHost(name);
  return typeof host !== "string" && host.atyp !== ATYP.DOMAIN;
}
