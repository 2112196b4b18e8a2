import { createPrivateKey, X509Certificate } from "node:crypto";
import { type Address, parseHost, parseTarget, type Target } from "../src/protocol/address.ts";
import { type Credentials, encodeCredentials } from "../src/config/proxy_url.ts";
import type { Socks5Options } from "../src/config/options.ts";
import { checkFunction, checkOptions, type Known } from "../src/arguments.ts";
import { type Bypass, type Bypasses, parseBypass } from "../src/bypass.ts";
import { cannot } from "../src/errors.ts";
import { milliseconds } from "../src/config/settings.ts";
import { type ClientAuth, clientAuth, type SessionCredentials } from "./auth.ts";
import type { ConnectionDecision, ConnectionLog, ServedConnection } from "./connection.ts";

/** The options of a local proxy. Times are in milliseconds, from 0 to 2 147 483 647, or `Infinity` for no limit. */
export interface ServeOptions {
  /**
   * The address to listen on: `"127.0.0.1"` (default), `"::1"` or `"localhost"`; any other only with `credentials` of
   * its own.
   */
  hostname?: string | undefined;
  /** The port to listen on, 0 to 65535. Default: 0, a free one. */
  port?: number | undefined;
  /**
   * The absolute path of a unix socket to listen on, in place of `hostname` and `port`. The socket of a process that was
   * killed is replaced. Only the user of the process can connect, unless its umask says otherwise.
   */
  path?: string | undefined;
  /** Clients connect by TLS, with this certificate. Default: without TLS. */
  tls?: ServeTlsOptions | undefined;
  /**
   * The credentials that clients of the local proxy must send, as HTTP `Proxy-Authorization: Basic` or by RFC 1929.
   *
   * - `"forward"`: the SOCKS5 proxy gets the credentials that each client sends, instead of its own.
   * - `"session"`: the user name that a client sends, 1 to 255 bytes, is its `session`, which keeps its proxy. The
   *   password may be any; `{ session: true, password }` wants that one.
   *
   * Default: no credentials.
   */
  credentials?: Credentials | SessionCredentials | "forward" | "session" | undefined;
  /**
   * A fixed target for all connections, as with `ssh -L`. Not together with `credentials`. Default: what each client
   * asks for.
   */
  target?: Target | undefined;
  /** Time limit for the head of a request, or for the SOCKS5 handshake of a client. Default: 10 000. */
  headTimeout?: number | undefined;
  /**
   * How long a client of plain HTTP may be silent between two requests, or within the body of one. Tunnels have no such
   * limit. Default: 60 000.
   */
  idleTimeout?: number | undefined;
  /**
   * Maximum number of clients, a whole number from 1, or `Infinity`. At the limit the oldest idle client is closed in
   * favor of a new one; if none is idle, the new client is reset at once. Each client takes two files of the process.
   * Default: 500, which stays below the limit of 1024 files that many systems have.
   */
  maxClients?: number | undefined;
  /**
   * Maximum length in bytes of the head of a request or of a response, and of trailers: 1 024 to 16 777 216. Default:
   * 65 536.
   */
  maxHead?: number | undefined;
  /**
   * Which targets are connected to directly, without the proxy: asked for each tunnel and each plain request, after
   * `onConnection`. It never follows from a failure. Not together with `target`. Default: none.
   */
  bypass?: Bypass | undefined;
  /**
   * Decides on each connection that a client asks for: a tunnel, or one plain request. It is not called for clients that
   * did not send the right credentials. Without a decision the client gets what it asks for. What it throws refuses the
   * client, and goes to `onError`.
   */
  onConnection?:
    | ((connection: ServedConnection) => ConnectionDecision | void | Promise<ConnectionDecision | void>)
    | undefined;
  /**
   * Called once for each connection when it has ended, and for each wrong password. It gets no password, and no path or
   * query of a URL. What it throws is ignored.
   */
  log?: ((entry: ConnectionLog) => void) | undefined;
  /**
   * Called with errors that no client can be told: that `maxClients` is reached (once, and again after half of them
   * have left), that the process has no files left for further clients (once a minute), an error of the port, a `target`
   * that leads back to this port, and what `onConnection` throws. What it throws is ignored.
   */
  onError?: ((error: Error) => void) | undefined;
  /**
   * The options of the client that is made for a proxy. Not together with a `Socks5Client`. Default: those of the
   * client.
   */
  client?: Socks5Options | undefined;
}

/** The certificate of a local proxy. */
export interface ServeTlsOptions {
  /** The certificate in PEM, followed by its chain. */
  cert: string;
  /** The private key of `cert` in PEM, not encrypted. */
  key: string;
}

/** Options with all defaults, checked. */
export interface ServeConfig {
  readonly hostname: string;
  readonly port: number;
  readonly path: string | undefined;
  readonly tls: ServeTlsOptions | undefined;
  readonly auth: ClientAuth;
  readonly target: Address | undefined;
  readonly headTimeout: number;
  readonly idleTimeout: number;
  readonly maxClients: number;
  readonly maxHead: number;
  readonly client: Socks5Options | undefined;
  readonly bypasses: Bypasses | undefined;
  readonly onConnection: ServeOptions["onConnection"];
  /** Never throws. */
  readonly log: ((entry: ConnectionLog) => void) | undefined;
  /** Never throws. */
  report(error: Error): void;
}

// names below localhost may be anybody's, if a server of names says so
const SAFE = /^(127\.[\d.]+|::1|localhost)$/;

const KNOWN: Known<ServeOptions> = {
  hostname: true,
  port: true,
  path: true,
  tls: true,
  credentials: true,
  target: true,
  headTimeout: true,
  idleTimeout: true,
  maxClients: true,
  maxHead: true,
  bypass: true,
  onConnection: true,
  log: true,
  onError: true,
  client: true,
};

const TLS: Known<ServeTlsOptions> = { cert: true, key: true };

/** Checks the options; throws a `TypeError` or a `RangeError` that names the option. */
export function parseServeOptions(given: ServeOptions): ServeConfig {
  const options = checkOptions("the options of serve()", given, KNOWN);
  const { port = 0, maxHead = 65_536, maxClients = 500, onError, onConnection, log, target: leadsTo, client } = options;
  const path = parsePath(options);
  const hostname = parseHostname(options.hostname ?? "127.0.0.1");
  const credentials = checkCredentials(options.credentials);
  if (!SAFE.test(hostname) && (credentials === undefined || typeof credentials === "string")) {
    const want = `a loopback name (127.0.0.1, ::1, localhost) unless clients must present a password: { username, ` +
      `password } or { session: true, password }`;
    throw new TypeError(cannot("hostname", want, hostname));
  }
  if (typeof port !== "number") throw new TypeError(cannot("port", "a number", port));
  if (!(Number.isInteger(port) && port >= 0 && port <= 65535)) throw new RangeError(cannot("port", "0 to 65535", port));
  if (typeof maxHead !== "number") throw new TypeError(cannot("maxHead", "a number of bytes", maxHead));
  if (!(Number.isInteger(maxHead) && maxHead >= 1_024 && maxHead <= 2 ** 24)) {
    throw new RangeError(cannot("maxHead", "1024 to 16777216 bytes", maxHead));
  }
  if (typeof maxClients !== "number") throw new TypeError(cannot("maxClients", "a number of clients", maxClients));
  if (!(maxClients === Infinity || (Number.isInteger(maxClients) && maxClients >= 1))) {
    throw new RangeError(cannot("maxClients", "a whole number from 1, or Infinity", maxClients));
  }
  checkFunction("onConnection", onConnection);
  checkFunction("log", log);
  checkFunction("onError", onError);
  const target = leadsTo === undefined ? undefined : parseTarget(leadsTo);
  if (target !== undefined && credentials !== undefined) {
    throw new TypeError("Cannot combine credentials with target: with a fixed target nobody is asked for them");
  }
  const bypasses = parseBypass(options.bypass);
  if (target !== undefined && bypasses !== undefined) throw new TypeError("Cannot combine bypass with target");
  return {
    hostname,
    port,
    path,
    tls: parseTls(options.tls),
    auth: clientAuth(credentials),
    target,
    headTimeout: milliseconds("headTimeout", options.headTimeout, 10_000),
    idleTimeout: milliseconds("idleTimeout", options.idleTimeout, 60_000),
    maxClients,
    maxHead,
    client,
    bypasses,
    onConnection,
    log: log && harmless(log),
    report: harmless((error: Error) => onError?.(error)),
  };
}

/** What it throws is the caller's own business. */
function harmless<T>(call: (it: T) => void): (it: T) => void {
  return (it) => {
    try {
      call(it);
    } catch {
      // it was told
    }
  };
}

function parsePath({ path, hostname, port, tls }: ServeOptions): string | undefined {
  if (path === undefined) return undefined;
  const isAbsolute = typeof path === "string" && path.startsWith("/") && !/\p{Cc}/u.test(path);
  if (!isAbsolute || new TextEncoder().encode(path).length > 107) {
    throw new TypeError(cannot("path", "the absolute path of a unix socket, of at most 107 bytes", path));
  }
  if (hostname !== undefined || port !== undefined || tls !== undefined) {
    throw new TypeError("Cannot combine path with hostname, port or tls");
  }
  return path;
}

/** The reason of OpenSSL may quote them. */
function isPair(cert: string, key: string): boolean {
  try {
    return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

function parseTls(given: ServeTlsOptions | undefined): ServeTlsOptions | undefined {
  if (given === undefined) return undefined;
  const { cert, key } = checkOptions("tls", given, TLS);
  for (const [name, value] of Object.entries({ cert, key })) {
    if (typeof value !== "string" || !value.includes("-----BEGIN ")) {
      throw new TypeError(`Cannot use tls.${name} as PEM: current value is (redacted)`);
    }
  }
  if (!isPair(cert, key)) {
    throw new TypeError("Cannot use tls.key as the private key of tls.cert: current value is (redacted)");
  }
  return { cert, key };
}

/** Whether a canonical host name is one of this machine's loopback. */
export function isLoopback(hostname: string): boolean {
  return /^(127\.[\d.]+|::1|(.+\.)?localhost\.?)$/.test(hostname);
}

function parseHostname(hostname: string): string {
  const host = parseHost(hostname);
  if (typeof host === "string") throw new TypeError(cannot("hostname", `a place to listen on, ${host}`, hostname));
  return host.hostname;
}

/** As SOCKS5 and HTTP can both carry them, in a copy. */
function checkCredentials(given: ServeOptions["credentials"]): ServeOptions["credentials"] {
  if (given === undefined || given === "forward" || given === "session") return given;
  const credentials = typeof given === "object" ? { ...given } : given;
  if (typeof credentials === "object" && "session" in credentials) return checkSession(credentials);
  encodeCredentials(credentials);
  if (credentials.username.includes(":")) {
    throw new TypeError("Cannot use a user name with a colon in credentials, which HTTP cannot carry");
  }
  return credentials;
}

function checkSession(given: SessionCredentials): SessionCredentials {
  const { session, password } = checkOptions<SessionCredentials>("credentials", given, {
    session: true,
    password: true,
  });
  if (session !== true) throw new TypeError(cannot("credentials.session", "true", session));
  encodeCredentials({ username: "session", password });
  if (password === undefined || password === "") {
    throw new TypeError('Cannot use credentials without a password: "session" takes any');
  }
  return { session, password };
}
