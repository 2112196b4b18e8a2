import type { Socks5Conn } from "../src/tunnel/socks5_conn.ts";
import { type ClientLike, type ClientOf, clientOf, type ClientOrProxy } from "../src/client_of.ts";
import type { ConnectOptions, Socks5Options } from "../src/config/options.ts";
import { checkOptions, type Known, parseSession } from "../src/arguments.ts";
import { tlsOptions } from "../src/config/tls_options.ts";
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
export interface FetchOptions extends ConnectorOptions {}

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
): Promise<Socks5Conn> {
  const secure = protocol === "https:";
  const conn = await client.connect({ hostname, port: Number(port || (secure ? 443 : 80)) }, options);
  // not by an option of connect(), which one that knows nothing of TLS would leave out
  return secure ? await conn.startTls({ ...tls, alpnProtocols: ["http/1.1"], signal: options.signal }) : conn;
}

const TLS: Known<FetchTls> = { caCerts: true, cert: true, key: true };

const CONNECTOR: Known<ConnectorOptions> = { tls: true, client: true, session: true };

/**
 * What `createFetch()` and `createConnector()` are given, checked; throws a `TypeError` that shows nothing of a secret.
 */
export function parseArguments(
  name: string,
  proxy: ClientOrProxy,
  options: ConnectorOptions,
): ClientOf & { tls: FetchTls; session: string | undefined } {
  const { tls = {}, client, session } = checkOptions(`the options of ${name}`, options, CONNECTOR);
  const { caCerts, cert, key } = tlsOptions("tls", checkOptions("tls", tls, TLS), "localhost");
  return { session: parseSession(session), ...clientOf(proxy, client), tls: { caCerts, cert, key } };
}
