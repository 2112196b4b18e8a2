/** The step that failed, in the order of a connect. */
export type Phase = "pool" | "lookup" | "dial" | "negotiate" | "authenticate" | "request" | "tls" | "transfer";

/** The code of a failure. Codes are stable; messages are not. */
export type Socks5ErrorCode =
  | `SOCKS5_PROXY_${"UNREACHABLE" | "HUNG_UP" | "NOT_SOCKS5" | "BAD_METHOD" | "BAD_REPLY"}`
  | `SOCKS5_LOCAL_${"NOT_PERMITTED" | "FAILED"}`
  | `SOCKS5_AUTH_${"NO_METHOD" | "REFUSED" | "FAILED"}`
  | `SOCKS5_TARGET_${"FAILED" | "NOT_ALLOWED" | "NET_UNREACHABLE" | "HOST_UNREACHABLE"}`
  | `SOCKS5_TARGET_${"REFUSED" | "TTL_EXPIRED" | "BAD_COMMAND" | "BAD_ADDRESS_TYPE"}`
  | `SOCKS5_TARGET_${"UNKNOWN_REPLY" | "NO_REPLY" | "NOT_FOUND"}`
  | `SOCKS5_TARGET_ONION_${"NOT_FOUND" | "IS_INVALID" | "BAD_ADDRESS" | "INTRO_FAILED" | "INTRO_TIMEDOUT"}`
  | `SOCKS5_TARGET_ONION_${"REND_FAILED" | "MISSING_CLIENT_AUTH" | "BAD_CLIENT_AUTH"}`
  | `SOCKS5_TLS_${"UNTRUSTED" | "WRONG_NAME" | "EXPIRED" | "NOT_TLS" | "PLAINTEXT" | "REFUSED" | "HUNG_UP" | "FAILED"}`
  | `SOCKS5_${"TIMEOUT" | "ATTEMPT_TIMEOUT" | "CLIENT_CLOSED" | "CONN_CLOSED" | "CONN_RESET"}`;

/** The members of a {@linkcode Socks5Error} beside code and message. */
export interface Socks5ErrorContext {
  /** The step that failed. */
  phase: Phase;
  /** `"host:port"` of the proxy that failed; `null` before one was chosen. Default: `null`. */
  proxy?: string | null;
  /** `"host:port"` of the target; `null` if there was none. Default: `null`. */
  target?: string | null;
  /** The runtime's own error. */
  cause?: unknown;
  /** The REP field of the refusal (RFC 1928 section 6). Default: `null`. */
  rep?: number | null;
}

/**
 * The error of a failed connect, and of everything else that a {@linkcode Socks5Client} does. It is always of one of
 * its seven subclasses: the class tells what helps, {@linkcode code} what happened, {@linkcode phase} at which step.
 *
 * @example
 * ```ts
 * import { AuthError, ProxyError, Socks5Client, Socks5Error } from "jsr:@x/socks5";
 *
 * const client = new Socks5Client("socks5h://127.0.0.1:1", { retry: 0 });
 * try {
 *   await client.connect("example.com:443");
 * } catch (error) {
 *   if (!(error instanceof Socks5Error)) throw error; // bad arguments, the reason of a signal
 *   if (error instanceof ProxyError) console.log(error.code); // "SOCKS5_PROXY_UNREACHABLE"
 *   if (error instanceof AuthError) console.log("check user name and password");
 * }
 * ```
 */
export class Socks5Error extends Error {
  static {
    this.prototype.name = "Socks5Error";
  }
  /** The code of the failure. */
  readonly code: Socks5ErrorCode;
  /** The step that failed. */
  readonly phase: Phase;
  /** `"host:port"` of the proxy that failed, or `null` if none was chosen yet. In a chain it is the hop that failed. */
  readonly proxy: string | null;
  /** `"host:port"` of the target, or `null` if there was none. */
  readonly target: string | null;
  /** Whether the same connect may succeed a moment later. It depends on code and phase only. */
  readonly retryable: boolean;
  /** The failures of the earlier attempts of this connect, oldest first. */
  readonly errors: readonly Socks5Error[] = [];

  /** Makes an error, for tests and wrappers. */
  constructor(code: Socks5ErrorCode, message: string, context: Socks5ErrorContext) {
    super(printable(message), context.cause === undefined ? undefined : { cause: printableError(context.cause) });
    this.code = code;
    this.phase = context.phase;
    this.proxy = context.proxy ?? null;
    this.target = context.target ?? null;
    this.retryable = code === "SOCKS5_PROXY_UNREACHABLE" || code === "SOCKS5_PROXY_HUNG_UP" ||
      (code === "SOCKS5_TLS_HUNG_UP" && context.phase === "dial") ||
      (code === "SOCKS5_ATTEMPT_TIMEOUT" && context.phase !== "request");
  }
}

/** The proxy failed: another proxy may help. Codes `SOCKS5_PROXY_*`. */
export class ProxyError extends Socks5Error {
  static {
    this.prototype.name = "ProxyError";
  }
}

/**
 * The process may not or cannot open a connection: a permission or a higher limit of open files helps, another proxy
 * does not. Codes `SOCKS5_LOCAL_*`.
 */
export class LocalError extends Socks5Error {
  static {
    this.prototype.name = "LocalError";
  }
}

/** The proxy refused the credentials or the method: other credentials help. Codes `SOCKS5_AUTH_*`. */
export class AuthError extends Socks5Error {
  static {
    this.prototype.name = "AuthError";
  }
}

/** The proxy works, but the target was not reached. Codes `SOCKS5_TARGET_*`. */
export class TargetError extends Socks5Error {
  static {
    this.prototype.name = "TargetError";
  }
  /** The REP field of the reply (RFC 1928 section 6), or `null` if there was none. */
  readonly rep: number | null;

  /** Makes an error, for tests and wrappers. */
  constructor(code: Socks5ErrorCode, message: string, context: Socks5ErrorContext) {
    super(code, message, context);
    this.rep = context.rep ?? null;
  }
}

/**
 * The TLS handshake failed, with the target or, in the phase `"dial"`, with the proxy: another certificate or other
 * options of TLS help. Codes `SOCKS5_TLS_*`.
 */
export class TlsError extends Socks5Error {
  static {
    this.prototype.name = "TlsError";
  }
}

/**
 * A time limit was reached. The name is that of the reason of `AbortSignal.timeout()`. Codes `SOCKS5_TIMEOUT`,
 * `SOCKS5_ATTEMPT_TIMEOUT`.
 */
export class TimeoutError extends Socks5Error {
  static {
    this.prototype.name = "TimeoutError";
  }
}

/**
 * The client or the connection was closed, by this process or by the peer. Codes `SOCKS5_CLIENT_CLOSED`,
 * `SOCKS5_CONN_*`.
 */
export class ClosedError extends Socks5Error {
  static {
    this.prototype.name = "ClosedError";
  }
}

/**
 * Whether an error is the failure of a proxy, which another proxy might not have: it is down, silent, no SOCKS5 proxy, or
 * accepts no credentials of this client. Those of targets, time limits, aborts and wrong arguments are not. Looks at the
 * `Socks5Error` in `error`, also as a `cause`: of the `TypeError` of a fetch, or of the error of an agent's request.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { isProxyFailure, Socks5Client } from "jsr:@x/socks5";
 *
 * const client = new Socks5Client("socks5h://127.0.0.1:1", { retry: 0 });
 * const error = await client.connect("example.com:443").catch((error) => error);
 * assert(isProxyFailure(error) && isProxyFailure(new TypeError("fetch failed", { cause: error })));
 * ```
 */
export function isProxyFailure(error: unknown): boolean {
  const it = socks5ErrorIn(error);
  if (it === undefined) return false;
  const { code, phase } = it;
  if (code === "SOCKS5_ATTEMPT_TIMEOUT") return phase !== "request";
  return it instanceof ProxyError || it instanceof AuthError || (it instanceof TlsError && phase === "dial");
}

const MAX_CAUSES = 16;

/** The first `Socks5Error` among an error and its causes, if there is one. */
export function socks5ErrorIn(error: unknown): Socks5Error | undefined {
  let it = error;
  for (let depth = 0; depth < MAX_CAUSES && isA(Error, it); depth++) {
    if (it instanceof Socks5Error) return it;
    it = it.cause;
  }
  return undefined;
}

/** What went wrong on the wire, before it is known to whom: the dialler adds phase, proxy and target. */
export class ProtocolError extends Error {
  readonly code: Socks5ErrorCode;
  readonly rep: number | null;

  constructor(code: Socks5ErrorCode, message: string, rep: number | null = null, cause?: unknown) {
    super(message, { cause });
    this.code = code;
    this.rep = rep;
  }
}

/** What has no look of its own or changes that of other text: control characters, bidi, zero-width, odd white space. */
const UNPRINTABLE = /[^\S ]|[\p{Cc}\p{Cf}\p{Cs}\p{Default_Ignorable_Code_Point}]/gu;

/** Text that comes from elsewhere, as it can be shown in a terminal: what cannot be seen is escaped. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (it) => `\\u{${it.codePointAt(0)!.toString(16)}}`);
}

/**
 * Whether it is of a class of the platform, also in another realm: test runners have their own beside that of the
 * runtime.
 */
export function isA<T>(base: abstract new (...args: never[]) => T, value: unknown): value is T {
  return value instanceof base || Object.prototype.toString.call(value) === `[object ${base.name}]`;
}

/** An error of a runtime, or a copy that can be printed: in it may be what a file or a certificate is called. */
function printableError(error: unknown, depth = 0): unknown {
  if (!isA(Error, error) || error instanceof Socks5Error || depth > 8) return error;
  try {
    const cause = printableError(error.cause, depth + 1);
    const texts = [error.message, ...Object.values(error)].filter((it) => typeof it === "string");
    const isPrintable = !("cert" in error) && texts.every((text) => printable(text) === text);
    if (isPrintable && cause === error.cause) return error;
    const { name, code } = error as { name: string; code?: unknown };
    const copy = new Error(printable(error.message), cause === undefined ? undefined : { cause });
    return Object.assign(copy, { name }, code !== undefined && { code });
  } catch {
    return undefined; // somebody's error that cannot even be looked at
  }
}

/** Failures of a hop that does not try again by itself, as a client does: the client behind it may. */
export const unretried: WeakSet<Socks5Error> = new WeakSet();

/** The error of the class that belongs to `code`, with the message `Cannot <what>: <why>`. */
export function socks5Error(code: Socks5ErrorCode, message: string, context: Socks5ErrorContext): Socks5Error {
  return new (classOf(code))(code, message, context);
}

/** `Cannot connect to example.com:443 through 127.0.0.1:1080`, with what is known; or what else was asked for. */
export function cannotConnect(proxy: string | null, target: string | null, verb = "connect to"): string {
  const through = proxy === null ? "" : ` through ${proxy}`;
  if (target !== null) return `Cannot ${verb} ${target}${through}`;
  return verb === "associate" ? `Cannot associate${through}` : `Cannot use the proxy ${proxy}`;
}

/** What is asked for, as the messages of errors have it. */
export interface Aim {
  /** Default: that of CONNECT. */
  readonly verb?: string;
  readonly target: string | null;
}

/** The error of a deadline that passed in `phase`. */
export function timedOut(
  deadline: "timeout" | "attempt",
  ms: number,
  phase: Phase,
  proxy: string | null,
  { verb, target }: Aim,
  waiting: string = WAITED_FOR[phase],
): Socks5Error {
  const code = deadline === "timeout" ? "SOCKS5_TIMEOUT" : "SOCKS5_ATTEMPT_TIMEOUT";
  const through = phase === "lookup" ? null : proxy;
  const message = `${cannotConnect(through, target, verb)}: timed out after ${Math.round(ms)} ms, waiting ${waiting}`;
  return socks5Error(code, message, { phase, proxy: through, target });
}

const WAITED_FOR: Readonly<Record<Phase, string>> = {
  pool: "for a place",
  lookup: "for the addresses of the target",
  dial: "for the proxy to accept the connection",
  negotiate: "for the answer of the proxy to the greeting",
  authenticate: "for the proxy to authenticate this client",
  request: "for the reply of the proxy",
  tls: "for the target to go through the TLS handshake",
  transfer: "for the first byte of the target",
};

/** The message of a wrong argument: what it must be, and of its value no more than {@linkcode kindOf} shows. */
export function cannot(name: string, want: string, got: unknown): string {
  return `Cannot use ${name} as ${want}: current value is ${kindOf(got)}`;
}

/**
 * All that a message shows of a wrong value, which may be a secret in the wrong place: numbers and booleans, else the
 * type.
 */
export function kindOf(value: unknown): string {
  if (value === undefined || value === null || typeof value === "number" || typeof value === "boolean") {
    return String(value);
  }
  if (typeof value !== "object") return value === "" ? "an empty string" : `a ${typeof value}`;
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : "an array";
  return isA(Uint8Array, value) ? "a Uint8Array" : isA(URL, value) ? "a URL" : "an object";
}

/** The code of a runtime's error, which says it in one word; else its message, and that of an inner hop. */
export function brief(error: unknown): string {
  if (error instanceof Socks5Error) return error.message;
  const { message = "", code = "" } = (error ?? {}) as { message?: string; code?: string };
  return code || message || String(error);
}

/** Puts the failures of earlier attempts before those that `error` carries; gives `error`. */
export function withEarlier(error: Socks5Error, earlier: readonly Socks5Error[]): Socks5Error {
  if (earlier.length > 0) Object.assign(error, { errors: [...earlier, ...error.errors] });
  return error;
}

function classOf(code: Socks5ErrorCode): typeof Socks5Error {
  if (code.startsWith("SOCKS5_PROXY_")) return ProxyError;
  if (code.startsWith("SOCKS5_LOCAL_")) return LocalError;
  if (code.startsWith("SOCKS5_AUTH_")) return AuthError;
  if (code.startsWith("SOCKS5_TARGET_")) return TargetError;
  if (code.startsWith("SOCKS5_TLS_")) return TlsError;
  return code.endsWith("TIMEOUT") ? TimeoutError : ClosedError;
}
