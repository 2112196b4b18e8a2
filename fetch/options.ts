import type { Socks5Conn } from "../src/tunnel/socks5_conn.ts";
import { type Bypass, parseBypass } from "../src/bypass.ts";
import { type ClientLike, type ClientOf, clientOf, type ClientOrProxy } from "../src/client_of.ts";
import type { ConnectOptions, Socks5Options } from "../src/config/options.ts";
import { checkBoolean, checkOptions, type Known, parseSession } from "../src/arguments.ts";
import { milliseconds } from "../src/config/settings.ts";
import { tlsOptions } from "../src/config/tls_options.ts";
import { cannot } from "../src/errors.ts";
import type { Socks5Client } from "../src/socks5_client.ts";
import type { TlsOptions } from "../src/transport.ts";

/** The options of TLS with targets. The certificate must match the host of the URL. */
export type FetchTls = Pick<TlsOptions, "caCerts" | "cert" | "key">;

/** The options of `createConnector()`. */
export interface ConnectorOptions {
  /**
   * The options of TLS with targets. Default: the certificate authorities of the runtime, and no client certificate.
   */
  tls?: FetchTls | undefined;
  /**
   * The options of the client that is made for a proxy. Not together with a `Socks5Client`. Default: those of the
   * client.
   */
  client?: Socks5Options | undefined;
  /**
   * An identity that keeps its proxy, 1 to 255 bytes of UTF-8, as `connect()` of the client takes it. Default: none.
   */
  session?: string | undefined;
}

/** What the Fetch standard leaves open. The `session` is for calls that have none of their own. */
export interface FetchOptions extends ConnectorOptions {
  /**
   * For which statuses of a response the proxy that it came through is suspended (`suspend()` of the client), for the host
   * name of the URL and those below it: from 200 to 599, each with the milliseconds, or `"retry-after"` for what the field
   * `Retry-After` says, from a second to a day, or a minute without one that is valid. Default: none.
   */
  ban?: Readonly<Record<number, number | "retry-after">> | undefined;
  /**
   * How often a request is sent at most, as long as `ban` has a word on its responses: again through another proxy, to
   * which its session moves, if the method is GET, HEAD, OPTIONS, PUT or DELETE, or there is an `Idempotency-Key`, and the
   * body is no stream. The caller gets the last response. A whole number from 1, or `Infinity`. Default: 1.
   */
  attempts?: number | undefined;
  /**
   * Which targets are connected to directly, without the proxy: asked for each request, so for each redirect, too. It never
   * follows from a failure. `proxyOf()` gives `undefined` for what came so. Default: none.
   */
  bypass?: Bypass | undefined;
  /**
   * Offers HTTP/2 to targets of HTTPS; one that does not choose it gets HTTP/1.1, on the same connection. Requests of one
   * session to one origin share a connection, and no others. Default: `false`.
   */
  http2?: boolean | undefined;
}

/** `ban` and `attempts`, checked. */
export interface BanRules {
  /** Suspends a proxy; does nothing if it has left the list. */
  suspend(proxy: string, options: { for: number; hostname: string }): void;
  /** By the status: milliseconds, or as the field Retry-After says. */
  readonly durations: ReadonlyMap<number, number | "retry-after">;
  readonly attempts: number;
}

/** The parts of a URL that say where to connect to, as `URL` and undici have them. */
export interface UrlParts {
  /** `"http:"` or `"https:"`. */
  protocol: string;
  hostname: string;
  /** Empty for that of the protocol. */
  port: string;
}

/** Connects to the host of a URL, with TLS for HTTPS. */
export async function connectTo(
  client: ClientLike,
  tls: FetchTls,
  { protocol, hostname, port }: UrlParts,
  options: ConnectOptions,
  alpnProtocols: string[] = ["http/1.1"],
): Promise<Socks5Conn> {
  const secure = protocol === "https:";
  const conn = await client.connect({ hostname, port: Number(port || (secure ? 443 : 80)) }, options);
  // not by an option of connect(), which one that knows nothing of TLS would leave out
  return secure ? await conn.startTls({ ...tls, alpnProtocols, signal: options.signal }) : conn;
}

const TLS: Known<FetchTls> = { caCerts: true, cert: true, key: true };

const CONNECTOR: Known<ConnectorOptions> = { tls: true, client: true, session: true };

const FETCH: Known<FetchOptions> = { ...CONNECTOR, ban: true, attempts: true, bypass: true, http2: true };

/** What `createFetch()` is given, checked; throws as {@linkcode parseConnector} does. */
export function parseFetch(
  proxy: ClientOrProxy,
  options: FetchOptions,
): Connecting & { bans: BanRules | undefined; bypass: Bypass | undefined; http2: boolean } {
  const name = "createFetch()";
  const connecting = parseConnector(name, proxy, options, FETCH);
  const { ban, attempts, bypass, http2 = false } = checkOptions(`the options of ${name}`, options, FETCH);
  checkAttempts(attempts);
  parseBypass(bypass);
  checkBoolean("http2", http2);
  if (ban === undefined && attempts !== undefined) throw new TypeError("Cannot use attempts without ban");
  const bans = ban === undefined
    ? undefined
    : { suspend: suspender(connecting.client), durations: durationsOf(ban), attempts: attempts ?? 1 };
  return { ...connecting, bans, bypass, http2 };
}

/** How connections are opened. */
interface Connecting extends ClientOf {
  readonly tls: FetchTls;
  readonly session: string | undefined;
}

/** What connects for `name`, checked; throws a `TypeError` that shows nothing of a secret, or a `RangeError`. */
export function parseConnector(
  name: string,
  proxy: ClientOrProxy,
  options: ConnectorOptions,
  known: Known<ConnectorOptions> = CONNECTOR,
): Connecting {
  const { tls = {}, client, session } = checkOptions(`the options of ${name}`, options, known);
  const { caCerts, cert, key } = tlsOptions("tls", checkOptions("tls", tls, TLS), "localhost");
  return { session: parseSession(session), ...clientOf(proxy, client), tls: { caCerts, cert, key } };
}

const STATUS = /^[2-5]\d\d$/;

function durationsOf(ban: NonNullable<FetchOptions["ban"]>): BanRules["durations"] {
  if (Object.prototype.toString.call(ban) !== "[object Object]") {
    throw new TypeError(cannot("ban", "an object of statuses", ban));
  }
  return new Map(
    Object.entries(ban).filter(([, duration]) => duration !== undefined).map(([status, duration]) => {
      if (!STATUS.test(status)) throw notAStatus(status);
      const name = `ban[${status}]`;
      if (duration !== "retry-after" && typeof duration !== "number") {
        throw new TypeError(cannot(name, 'milliseconds or "retry-after"', duration));
      }
      return [Number(status), duration === "retry-after" ? duration : milliseconds(name, duration, 0)];
    }),
  );
}

function notAStatus(key: string): Error {
  const want = "a status from 200 to 599";
  return /^\d{1,9}$/.test(key)
    ? new RangeError(cannot("a key of ban", want, Number(key)))
    : new TypeError(cannot("a key of ban", want, key));
}

function checkAttempts(attempts: unknown): void {
  const want = "a whole number from 1 or Infinity";
  if (attempts === undefined) return;
  if (typeof attempts !== "number") throw new TypeError(cannot("attempts", want, attempts));
  if (attempts !== Infinity && !(Number.isInteger(attempts) && attempts >= 1)) {
    throw new RangeError(cannot("attempts", want, attempts));
  }
}

function suspender(client: ClientLike & Partial<Pick<Socks5Client, "suspend">>): BanRules["suspend"] {
  if (typeof client.suspend !== "function") throw new TypeError("Cannot use ban: the client has no suspend()");
  return (proxy, options) => {
    try {
      client.suspend!(proxy, options);
    } catch {
      // it has left the list
    }
  };
}
