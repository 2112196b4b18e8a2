import { ProtocolError, Socks5Error, type Socks5ErrorCode, TlsError } from "../errors.ts";
import type { Conn, StartTls, TlsOptions } from "../transport.ts";

/**
 * Starts TLS with the `peer` at the other end, on a connection that is still owned by the caller. Throws a
 * {@linkcode ProtocolError}; a `TypeError` of the transport is the caller's and stays one.
 */
export async function startTls<S>(
  conn: Conn<S>,
  options: TlsOptions,
  fallback: StartTls,
  peer: "proxy" | "target",
): Promise<Conn<S>> {
  try {
    return await (conn.startTls === undefined ? fallback(conn, options) as Promise<Conn<S>> : conn.startTls(options));
  } catch (error) {
    const isOurs = error instanceof Socks5Error && !(error instanceof TlsError); // of an inner hop
    throw isOurs || error instanceof TypeError ? error : tlsFault(error, options, peer);
  }
}

type Meaning = [
  said: RegExp,
  code: Socks5ErrorCode & `SOCKS5_TLS_${string}`,
  why: (peer: string, name: string) => string,
];

/** What the runtimes say, in the order in which it is looked for; the last is for all else. */
const MEANINGS: readonly Meaning[] = [
  [/UNREAD_PLAINTEXT/, "SOCKS5_TLS_PLAINTEXT", (peer) => `the ${peer} sent data before the TLS handshake`],
  [
    /ALTNAME_INVALID|not valid for name/,
    "SOCKS5_TLS_WRONG_NAME",
    (peer, name) => `the certificate of the ${peer} is not for ${name}`,
  ],
  [
    /HAS_EXPIRED|NOT_YET_VALID|certificate expired|not valid yet/,
    "SOCKS5_TLS_EXPIRED",
    (peer) => `the certificate of the ${peer} has expired or is not valid yet`,
  ],
  [/ALERT|fatal alert|UNRECOGNIZED_NAME/, "SOCKS5_TLS_REFUSED", (peer) => `the ${peer} refused TLS with this client`],
  [
    /SELF_SIGNED|UNABLE_TO_|CERT_|INVALID_(PURPOSE|CA)|invalid peer certificate/,
    "SOCKS5_TLS_UNTRUSTED",
    (peer) => `no trusted authority signed the certificate of the ${peer}`,
  ],
  [
    /WRONG_VERSION_NUMBER|HTTP_REQUEST|PACKET_LENGTH|corrupt message/,
    "SOCKS5_TLS_NOT_TLS",
    (peer) => `the ${peer} does not speak TLS`,
  ],
  [
    /ECONNRESET|EPIPE|UnexpectedEof|BrokenPipe/,
    "SOCKS5_TLS_HUNG_UP",
    (peer) => `the ${peer} closed the connection in the TLS handshake`,
  ],
  [/^/, "SOCKS5_TLS_FAILED", (peer) => `TLS with the ${peer} failed`],
];

function tlsFault(error: unknown, { serverName = "" }: TlsOptions, peer: "proxy" | "target"): ProtocolError {
  const { name = "", code = "", message = "" } = (error ?? {}) as { name?: string; code?: string; message?: string };
  const said = `${name} ${code} ${message}`;
  const [, ours, why] = MEANINGS.find(([pattern]) => pattern.test(said))!;
  return new ProtocolError(
    ours,
    `${why(peer, serverName)} (${(code || message || name).split(";")[0]!.slice(0, 120)})`,
    null,
    error,
  );
}
