import type { Socks5Client } from "../mod.ts";
import type { Socks5Conn } from "../src/tunnel/socks5_conn.ts";
import type { ConnectOptions } from "../src/config/options.ts";
import { checkOptions, type Known } from "../src/arguments.ts";
import { tlsOptions } from "../src/config/tls_options.ts";
import type { TlsOptions } from "../src/transport.ts";

/** What connects: a client, or whatever does as one does. */
export type Connects = Pick<Socks5Client, "connect">;

/** How TLS is done with a target. The certificate of the target has to be for the host of the URL. */
export type FetchTls = Pick<TlsOptions, "caCerts" | "cert" | "key">;

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
  client: Connects,
  tls: FetchTls,
  { protocol, hostname, port }: UrlParts,
  options: ConnectOptions,
): Promise<Socks5Conn> {
  const secure = protocol === "https:";
  const conn = await client.connect({ hostname, port: Number(port || (secure ? 443 : 80)) }, options);
  // not by an option of connect(), which one that knows nothing of TLS would leave out
  return secure ? await conn.startTls({ ...tls, alpnProtocols: ["http/1.1"], signal: options.signal }) : conn;
}

/** Throws a `TypeError` if it does not connect. */
export function checkConnects(client: Connects): void {
  if (typeof client?.connect !== "function") {
    throw new TypeError("Cannot use client: it has no connect()");
  }
}

const TLS: Known<FetchTls> = { caCerts: true, cert: true, key: true };

/** The TLS of what `createFetch()` and `createConnector()` are given; throws a `TypeError` that shows nothing of a key. */
export function parseOptions(name: string, options: { tls?: FetchTls | undefined }): FetchTls {
  const { tls = {} } = checkOptions(name, options, { tls: true });
  const { caCerts, cert, key } = tlsOptions("tls", checkOptions("tls", tls, TLS), "localhost");
  return { caCerts, cert, key };
}
