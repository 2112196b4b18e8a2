import type { Socks5Error, Socks5ErrorCode } from "../src/errors.ts";

/** What Node calls it. */
const CODES: Readonly<Record<Socks5ErrorCode, string>> = {
  SOCKS5_PROXY_UNREACHABLE: "ECONNREFUSED",
  SOCKS5_PROXY_HUNG_UP: "ECONNRESET",
  SOCKS5_PROXY_NOT_SOCKS5: "EPROTO",
  SOCKS5_PROXY_BAD_METHOD: "EPROTO",
  SOCKS5_PROXY_BAD_REPLY: "EPROTO",
  SOCKS5_LOCAL_NOT_PERMITTED: "EACCES",
  SOCKS5_LOCAL_FAILED: "EMFILE",
  SOCKS5_AUTH_NO_METHOD: "EACCES",
  SOCKS5_AUTH_REFUSED: "EACCES",
  SOCKS5_AUTH_FAILED: "EACCES",
  SOCKS5_TARGET_FAILED: "EHOSTUNREACH",
  SOCKS5_TARGET_NOT_ALLOWED: "EACCES",
  SOCKS5_TARGET_NET_UNREACHABLE: "ENETUNREACH",
  SOCKS5_TARGET_HOST_UNREACHABLE: "EHOSTUNREACH",
  SOCKS5_TARGET_REFUSED: "ECONNREFUSED",
  SOCKS5_TARGET_TTL_EXPIRED: "ETIMEDOUT",
  SOCKS5_TARGET_BAD_COMMAND: "EOPNOTSUPP",
  SOCKS5_TARGET_BAD_ADDRESS_TYPE: "EAFNOSUPPORT",
  SOCKS5_TARGET_UNKNOWN_REPLY: "EPROTO",
  SOCKS5_TARGET_NO_REPLY: "ECONNRESET",
  SOCKS5_TARGET_NOT_FOUND: "ENOTFOUND",
  SOCKS5_TARGET_ONION_NOT_FOUND: "ENOTFOUND",
  SOCKS5_TARGET_ONION_IS_INVALID: "EHOSTUNREACH",
  SOCKS5_TARGET_ONION_INTRO_FAILED: "EHOSTUNREACH",
  SOCKS5_TARGET_ONION_REND_FAILED: "EHOSTUNREACH",
  SOCKS5_TARGET_ONION_MISSING_CLIENT_AUTH: "EACCES",
  SOCKS5_TARGET_ONION_BAD_CLIENT_AUTH: "EACCES",
  SOCKS5_TARGET_ONION_BAD_ADDRESS: "ENOTFOUND",
  SOCKS5_TARGET_ONION_INTRO_TIMEDOUT: "ETIMEDOUT",
  SOCKS5_TLS_UNTRUSTED: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  SOCKS5_TLS_WRONG_NAME: "ERR_TLS_CERT_ALTNAME_INVALID",
  SOCKS5_TLS_EXPIRED: "CERT_HAS_EXPIRED",
  SOCKS5_TLS_NOT_TLS: "EPROTO",
  SOCKS5_TLS_PLAINTEXT: "EPROTO",
  SOCKS5_TLS_REFUSED: "EPROTO",
  SOCKS5_TLS_HUNG_UP: "ECONNRESET",
  SOCKS5_TLS_FAILED: "EPROTO",
  SOCKS5_TIMEOUT: "ETIMEDOUT",
  SOCKS5_ATTEMPT_TIMEOUT: "ETIMEDOUT",
  SOCKS5_CLIENT_CLOSED: "ECONNABORTED",
  SOCKS5_CONN_CLOSED: "EPIPE",
  SOCKS5_CONN_RESET: "ECONNRESET",
};

/** Those whose cause may say it more exactly. */
const SYSTEMS: ReadonlySet<Socks5ErrorCode> = new Set<Socks5ErrorCode>([
  "SOCKS5_PROXY_UNREACHABLE",
  "SOCKS5_LOCAL_NOT_PERMITTED",
  "SOCKS5_LOCAL_FAILED",
  "SOCKS5_TARGET_NOT_FOUND",
  "SOCKS5_TLS_UNTRUSTED",
  "SOCKS5_CONN_RESET",
]);

/** The error of a socket of `node:net` for a `Socks5Error`, which is its cause; anything else as it is. */
export function socketError(error: unknown): unknown {
  if (!isOurs(error)) return error;
  return Object.assign(new Error(error.message, { cause: error }), { code: codeOf(error) });
}

function isOurs(error: unknown): error is Socks5Error {
  return error instanceof Error && Object.hasOwn(CODES, (error as { code?: string }).code ?? "");
}

function codeOf(error: Socks5Error): string {
  const { code, cause } = error;
  return (SYSTEMS.has(code) ? systemCodeOf(cause) : undefined) ?? CODES[code];
}

/** What the system said, of the hop that it said it of; a runtime's own names are no codes. */
function systemCodeOf(cause: unknown): string | undefined {
  if (isOurs(cause)) return codeOf(cause);
  const { code } = (cause ?? {}) as { code?: unknown };
  return typeof code === "string" && /^(?!ERR_)[A-Z0-9_]+$/.test(code) ? code : undefined;
}
