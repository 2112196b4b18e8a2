import { AuthError, Socks5Error, type Socks5ErrorCode, TargetError, TimeoutError } from "../src/errors.ts";

/** What a client is told of an error: nothing that a web page must not know, such as the address of the SOCKS5 proxy. */
export interface MappedError {
  /** The status of the answer, for HTTP. */
  readonly status: number;
  /** The REP field, for SOCKS5. */
  readonly rep: number;
  /** The type of error of RFC 9209. */
  readonly type: string;
  /** What happened, and the code. */
  readonly text: string;
  /** Whether other credentials may help. */
  readonly auth: boolean;
  /** Header fields of the response, for HTTP. */
  readonly fields?: readonly (readonly [name: string, value: string])[];
}

/** The target leads back to the local proxy. */
export class LoopDetected extends Error {}

/** A client signed in with credentials that are not those. */
export class WrongPassword extends Error {}

/** The application refuses a connection. */
export class Refused extends Error {
  /** What the client is told. */
  readonly answer: MappedError;

  constructor(answer: Pick<MappedError, "status" | "rep" | "text" | "fields">) {
    super("The connection is refused");
    this.answer = { type: "http_request_denied", auth: false, ...answer };
  }
}

/** Maps an error of `connect()` to what a client is told. */
export function mapError(error: unknown): MappedError {
  if (error instanceof Refused) return error.answer;
  if (error instanceof LoopDetected) {
    return { ...GENERAL, rep: 0x02, type: "proxy_loop_detected", text: "The local proxy does not connect to itself" };
  }
  if (!(error instanceof Socks5Error)) return { ...GENERAL, text: "The connection failed" };
  const { code } = error;
  const [rep, type, text] = MAPPINGS[code];
  return {
    status: statusOf(error),
    rep: error instanceof TargetError ? error.rep ?? rep : rep,
    type,
    text: `${text} (${code})`,
    auth: error instanceof AuthError,
  };
}

const GENERAL = { status: 502, rep: 0x01, type: "proxy_internal_error", auth: false };

function statusOf(error: Socks5Error): number {
  if (error.code === "SOCKS5_CLIENT_CLOSED") return 503;
  return error instanceof TimeoutError ? 504 : 502;
}

type Mapping = readonly [rep: number, type: string, text: string];

const ONION: Mapping = [0x04, "destination_unavailable", "The onion service was not reached"];
const CERTIFICATE = "tls_certificate_error";
const TLS = "tls_protocol_error";
const PROXY = "proxy_internal_error";
const CONFIGURATION = "proxy_configuration_error";

// REP: RFC 1928 section 6; type: RFC 9209 section 2.3
const MAPPINGS: Readonly<Record<Socks5ErrorCode, Mapping>> = {
  SOCKS5_PROXY_UNREACHABLE: [0x01, PROXY, "The SOCKS5 proxy was not reached"],
  SOCKS5_PROXY_HUNG_UP: [0x01, PROXY, "The SOCKS5 proxy hung up"],
  SOCKS5_PROXY_NOT_SOCKS5: [0x01, CONFIGURATION, "The SOCKS5 proxy does not speak SOCKS5"],
  SOCKS5_PROXY_BAD_METHOD: [0x01, PROXY, "The SOCKS5 proxy answered wrongly"],
  SOCKS5_PROXY_BAD_REPLY: [0x01, PROXY, "The SOCKS5 proxy answered wrongly"],
  SOCKS5_LOCAL_NOT_PERMITTED: [0x01, CONFIGURATION, "The local proxy may not open connections"],
  SOCKS5_LOCAL_FAILED: [0x01, PROXY, "The local proxy cannot open a connection"],
  SOCKS5_AUTH_NO_METHOD: [0x02, CONFIGURATION, "The SOCKS5 proxy wants another authentication"],
  SOCKS5_AUTH_REFUSED: [0x02, CONFIGURATION, "The SOCKS5 proxy refused the credentials"],
  SOCKS5_AUTH_FAILED: [0x02, CONFIGURATION, "The authentication with the SOCKS5 proxy failed"],
  SOCKS5_TARGET_FAILED: [0x01, "destination_unavailable", "The target was not reached"],
  SOCKS5_TARGET_NOT_ALLOWED: [0x02, "destination_ip_prohibited", "The SOCKS5 proxy does not allow this target"],
  SOCKS5_TARGET_NET_UNREACHABLE: [0x03, "destination_ip_unroutable", "The network of the target is unreachable"],
  SOCKS5_TARGET_HOST_UNREACHABLE: [
    0x04,
    "destination_unavailable",
    "The target is unreachable, or its name is unknown",
  ],
  SOCKS5_TARGET_REFUSED: [0x05, "connection_refused", "The target refused the connection"],
  SOCKS5_TARGET_TTL_EXPIRED: [0x06, "connection_timeout", "The target did not answer in time"],
  SOCKS5_TARGET_BAD_COMMAND: [0x07, CONFIGURATION, "The SOCKS5 proxy does not know CONNECT"],
  SOCKS5_TARGET_BAD_ADDRESS_TYPE: [
    0x08,
    "destination_unavailable",
    "The SOCKS5 proxy does not know this type of address",
  ],
  SOCKS5_TARGET_UNKNOWN_REPLY: [0x01, "destination_unavailable", "The target was not reached"],
  SOCKS5_TARGET_NO_REPLY: [0x01, "destination_unavailable", "The SOCKS5 proxy hung up instead of a reply"],
  SOCKS5_TARGET_NOT_FOUND: [0x04, "dns_error", "The name of the target is unknown"],
  SOCKS5_TARGET_ONION_NOT_FOUND: ONION,
  SOCKS5_TARGET_ONION_IS_INVALID: ONION,
  SOCKS5_TARGET_ONION_INTRO_FAILED: ONION,
  SOCKS5_TARGET_ONION_REND_FAILED: ONION,
  SOCKS5_TARGET_ONION_MISSING_CLIENT_AUTH: ONION,
  SOCKS5_TARGET_ONION_BAD_CLIENT_AUTH: ONION,
  SOCKS5_TARGET_ONION_BAD_ADDRESS: ONION,
  SOCKS5_TARGET_ONION_INTRO_TIMEDOUT: ONION,
  SOCKS5_TLS_UNTRUSTED: [0x01, CERTIFICATE, "The certificate of the SOCKS5 proxy is not trusted"],
  SOCKS5_TLS_WRONG_NAME: [0x01, CERTIFICATE, "The certificate of the SOCKS5 proxy is for another name"],
  SOCKS5_TLS_EXPIRED: [0x01, CERTIFICATE, "The certificate of the SOCKS5 proxy has expired or is not valid yet"],
  SOCKS5_TLS_NOT_TLS: [0x01, TLS, "The SOCKS5 proxy does not speak TLS"],
  SOCKS5_TLS_PLAINTEXT: [0x01, TLS, "The SOCKS5 proxy sent something before TLS"],
  SOCKS5_TLS_REFUSED: [0x01, "tls_alert_received", "The SOCKS5 proxy refused TLS"],
  SOCKS5_TLS_HUNG_UP: [0x01, TLS, "The SOCKS5 proxy hung up while TLS was started"],
  SOCKS5_TLS_FAILED: [0x01, TLS, "TLS with the SOCKS5 proxy failed"],
  SOCKS5_TIMEOUT: [0x06, "connection_timeout", "There was no connection in time"],
  SOCKS5_ATTEMPT_TIMEOUT: [0x06, "connection_timeout", "There was no connection in time"],
  SOCKS5_CLIENT_CLOSED: [0x01, PROXY, "The local proxy is closing"],
  SOCKS5_CONN_CLOSED: [0x01, "connection_terminated", "The connection was closed"],
  SOCKS5_CONN_RESET: [0x01, "connection_terminated", "The connection was reset"],
};
