import type { Address } from "../protocol/address.ts";
import { cannotConnect, type Phase, ProtocolError, Socks5Error, socks5Error, type Socks5ErrorCode } from "../errors.ts";
import { guard } from "../guarded_conn.ts";
import { CMD, greeting, METHOD, request, select, type UserPass, userPass } from "../protocol/messages.ts";
import type { AuthMethod } from "../config/auth_method.ts";
import type { Proxy } from "../config/proxy_url.ts";
import type { Attempt } from "../scope.ts";
import type { Settings } from "../config/settings.ts";
import { type StartTls, startTls } from "../tunnel/start_tls.ts";
import type { Conn, OwnedTransport, Step, Steps, TlsOptions, Transport } from "../transport.ts";

/** How the dialler opens connections. */
export interface Dialer<S> {
  readonly transport: Transport<S>;
  readonly noDelay: boolean;
  readonly keepAlive: boolean | number;
  readonly startTls: StartTls;
}

/** Who asks: the credentials, and the methods that are offered. */
export interface Identity {
  readonly credentials: UserPass | null;
  readonly methods: readonly number[];
  /** Those among them that are none of ours, the first ones. */
  readonly plugged: readonly AuthMethod[];
}

/** Credentials of one connect are always required, so that they are never dropped silently. */
export function identify(
  proxy: Proxy,
  own: UserPass | null | undefined,
  { auth, methods: plugged }: Pick<Settings, "auth" | "methods">,
): Identity {
  const credentials = own === undefined ? proxy.credentials : own;
  if (own !== undefined) return { credentials, methods: own === null ? NONE : PASSWORD, plugged: NO_PLUGGED };
  const isRequired = auth === "required";
  const usual = credentials === null ? NONE : isRequired ? PASSWORD : EITHER;
  if (plugged.length === 0) return { credentials, methods: usual, plugged };
  const rest = isRequired && credentials === null ? [] : usual;
  return { credentials, methods: [...plugged.map(({ method }) => method), ...rest], plugged };
}

const NO_PLUGGED: readonly AuthMethod[] = [];

const NONE = [METHOD.NO_AUTHENTICATION];
const PASSWORD = [METHOD.USERNAME_PASSWORD];
const EITHER = [...NONE, ...PASSWORD];
const GREETINGS = new Map([NONE, PASSWORD, EITHER].map((methods) => [methods as readonly number[], greeting(methods)]));

/** One target, one identity and one kind of TLS; never joined with a separator that could stand in one of them. */
export function keyOf(target: string, credentials: UserPass | null | undefined, tls: TlsOptions | null): string {
  const own = credentials && [[...credentials.uname], [...credentials.passwd]];
  return JSON.stringify([target, credentials === undefined ? "proxy" : own, tls]);
}

/** The same with one method, as it must be where the answer is not awaited. */
export function certain({ credentials }: Identity): Identity {
  return { credentials, methods: credentials === null ? NONE : PASSWORD, plugged: NO_PLUGGED };
}

/** Connects to the proxy, with TLS if it has that: the attempt owns what comes. Rejects with what the runtime throws. */
export async function dial<S>(
  attempt: Attempt,
  { transport, noDelay, keepAlive, startTls: fallback }: Dialer<S>,
  proxy: Proxy,
): Promise<Conn<S>> {
  attempt.enter("dial");
  const options = (transport as Partial<OwnedTransport>).usesOwner
    ? { owner: attempt, noDelay, keepAlive }
    : { signal: attempt.signal, noDelay, keepAlive };
  const conn = attempt.own(guard(await transport.connect(proxy.endpoint, options), "connect()"));
  return proxy.tls === null ? conn : attempt.own(await startTls(conn, proxy.tls, fallback, "proxy"));
}

/** Negotiates the method, authenticates if it is user name and password, and gives it: one that is none of ours is next. */
export function* negotiate(attempt: Attempt, { methods, credentials }: Identity): Steps<number> {
  attempt.enter("negotiate");
  const method = yield* select(methods, GREETINGS.get(methods));
  if (method !== METHOD.USERNAME_PASSWORD) return method;
  attempt.enter("authenticate");
  yield* userPass(credentials!);
  return method;
}

/** All messages of a `certain` identity. */
export function allMessages({ methods, credentials }: Identity, target: Address): Uint8Array {
  return Uint8Array.of(
    ...messageOf(select(methods)),
    ...(credentials === null ? [] : messageOf(userPass(credentials))),
    ...messageOf(request(CMD.CONNECT, target)),
  );
}

/** What is asked for, as the messages of errors have it. */
export interface Aim {
  /** Default: that of CONNECT. */
  readonly verb?: string;
  readonly target: string | null;
}

/** The verb of each command. */
export const VERBS: Readonly<Record<number, string>> = {
  [CMD.CONNECT]: "connect to",
  [CMD.BIND]: "bind for",
  [CMD.UDP_ASSOCIATE]: "associate",
  [CMD.RESOLVE]: "resolve",
  [CMD.RESOLVE_PTR]: "resolve",
};

/** What `error` means in a phase: wrong arguments stay what they are. */
export function explain(
  error: unknown,
  phase: Phase,
  proxy: Proxy,
  identity: Identity,
  { verb, target }: Aim,
): unknown {
  const through = phase === "lookup" ? null : proxy.name;
  const context = { phase, proxy: through, target };
  const fail = (code: Socks5ErrorCode, why: string, more: { cause?: unknown; rep?: number | null } = {}) =>
    socks5Error(code, `${cannotConnect(through, target, verb)}: ${why}`, { ...context, ...more });
  if (error instanceof ProtocolError && error.code !== "SOCKS5_PROXY_HUNG_UP") {
    const hint = error.rep === 0x02 ? afterPassword(identity) : "";
    return fail(error.code, error.message + hint, { rep: error.rep, cause: error.cause });
  }
  if (error instanceof TypeError || error instanceof RangeError) return error;
  const eof = error instanceof ProtocolError;
  const cause = eof ? undefined : error;
  const hungUp = eof ? "the proxy closed the connection" : "the proxy broke the connection";
  if (phase === "dial") {
    if (isNotPermitted(error)) return fail(NOT_PERMITTED, `this process may not connect (${brief(error)})`, { cause });
    return isOutOfFiles(error)
      ? fail("SOCKS5_LOCAL_FAILED", `this process has too many files open to connect (${brief(error)})`, { cause })
      : fail("SOCKS5_PROXY_UNREACHABLE", `the proxy cannot be reached (${brief(error)})`, { cause });
  }
  if (phase === "request") {
    return fail("SOCKS5_TARGET_NO_REPLY", `${hungUp} before it replied${afterPassword(identity)}`, { cause });
  }
  if (phase === "transfer") return fail("SOCKS5_CONN_RESET", "the tunnel broke before a byte came", { cause });
  return eof && phase === "authenticate"
    ? fail("SOCKS5_AUTH_REFUSED", `${hungUp} after the user name and password`)
    : fail("SOCKS5_PROXY_HUNG_UP", `${hungUp} in the handshake`, { cause });
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

/** The message of a piece: it leaves in the first step. */
function messageOf(steps: Steps<unknown>): Uint8Array {
  return (steps.next().value as Step).write!;
}

function afterPassword({ credentials, plugged }: Identity): string {
  return credentials === null && plugged.length === 0 ? "" : "; it may not accept the credentials";
}

const NOT_PERMITTED: Socks5ErrorCode = "SOCKS5_LOCAL_NOT_PERMITTED";

/** Whether the runtime or the system forbids it: no other proxy and no pause helps. */
export function isNotPermitted(error: unknown): boolean {
  const { name, code } = (error ?? {}) as { name?: unknown; code?: unknown };
  return name === "NotCapable" || name === "PermissionDenied" || code === "EACCES" || code === "EPERM";
}

function isOutOfFiles(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return code === "EMFILE" || code === "ENFILE";
}

/** The code of the runtime's error, which says it in one word; else its words, and those of an inner hop. */
export function brief(error: unknown): string {
  if (error instanceof Socks5Error) return error.message;
  const { message = "", code = "" } = (error ?? {}) as { message?: string; code?: string };
  return code || message || String(error);
}
