import { type Address, parseHost, parseTarget, type Target } from "../src/protocol/address.ts";
import { type Credentials, encodeCredentials } from "../src/config/proxy_url.ts";
import type { Socks5Options } from "../src/config/options.ts";
import { checkFunction, checkOptions, type Known } from "../src/arguments.ts";
import { cannot } from "../src/errors.ts";
import { milliseconds } from "../src/config/settings.ts";
import { type ClientAuth, clientAuth } from "./auth.ts";

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
   * The credentials that clients of the local proxy must send, as HTTP `Proxy-Authorization: Basic` or by RFC 1929.
   * `"forward"`: the SOCKS5 proxy gets the credentials that each client sends, instead of its own. Default: no
   * credentials.
   */
  credentials?: Credentials | "forward" | undefined;
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
   * Called with errors that no client can be told: that `maxClients` is reached (once, and again after half of them
   * have left), an error of the port, and a `target` that leads back to this port. What it throws is ignored.
   */
  onError?: ((error: Error) => void) | undefined;
  /**
   * The options of the client that is made for a proxy. Not together with a `Socks5Client`. Default: those of the
   * client.
   */
  client?: Socks5Options | undefined;
}

/** Options with all defaults, checked. */
export interface ServeConfig {
  readonly hostname: string;
  readonly port: number;
  readonly auth: ClientAuth;
  readonly target: Address | undefined;
  readonly headTimeout: number;
  readonly idleTimeout: number;
  readonly maxClients: number;
  readonly maxHead: number;
  readonly client: Socks5Options | undefined;
  /** Never throws. */
  report(error: Error): void;
}

// names below localhost may be anybody's, if a server of names says so
const SAFE = /^(127\.[\d.]+|::1|localhost)$/;

const KNOWN: Known<ServeOptions> = {
  hostname: true,
  port: true,
  credentials: true,
  target: true,
  headTimeout: true,
  idleTimeout: true,
  maxClients: true,
  maxHead: true,
  onError: true,
  client: true,
};

/** Checks the options; throws a `TypeError` or a `RangeError` that names the option. */
export function parseServeOptions(given: ServeOptions): ServeConfig {
  const options = checkOptions("the options of serve()", given, KNOWN);
  const { port = 0, maxHead = 65_536, maxClients = 500, onError, target: leadsTo, client } = options;
  const hostname = parseHostname(options.hostname ?? "127.0.0.1");
  const credentials = checkCredentials(options.credentials);
  if (!SAFE.test(hostname) && (credentials === undefined || credentials === "forward")) {
    const want = `a loopback name (127.0.0.1, ::1, localhost) unless clients must present { username, password }`;
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
  checkFunction("onError", onError);
  const target = leadsTo === undefined ? undefined : parseTarget(leadsTo);
  if (target !== undefined && credentials !== undefined) {
    throw new TypeError("Cannot combine credentials with target: with a fixed target nobody is asked for them");
  }
  const headTimeout = milliseconds("headTimeout", options.headTimeout, 10_000);
  const idleTimeout = milliseconds("idleTimeout", options.idleTimeout, 60_000);
  const report = (error: Error) => {
    try {
      onError?.(error);
    } catch {
      // the caller's own business
    }
  };
  const auth = clientAuth(credentials);
  return { hostname, port, auth, target, headTimeout, idleTimeout, maxClients, maxHead, client, report };
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
  if (given === undefined || given === "forward") return given;
  const credentials = typeof given === "object" ? { ...given } : given;
  encodeCredentials(credentials);
  if (credentials.username.includes(":")) {
    throw new TypeError("Cannot use a user name with a colon in credentials, which HTTP cannot carry");
  }
  return credentials;
}
