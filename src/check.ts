import { type Address, formatHostPort, parseTarget, type Target } from "./address.ts";
import { type Dialler, explain, identify, type Identity, openSession, requestTunnel, timedOut } from "./dial.ts";
import { Fault, type Phase, Socks5Error, type Socks5ErrorCode } from "./errors.ts";
import type { UserPass } from "./handshake.ts";
import { cannot, type ConnectOptions, milliseconds, type Settings } from "./options.ts";
import { encodeCredentials, type Proxy } from "./proxy.ts";
import { Scope } from "./scope.ts";
import type { Conn } from "./transport.ts";

/** How a proxy is checked. */
export interface CheckOptions extends Pick<ConnectOptions, "signal" | "timeout" | "credentials"> {
  /** Sent to the target, whose answer is then awaited; without it the first byte of the target is awaited for a second. */
  probe?: Uint8Array | undefined;
}

/** What a check found out about one proxy: plain JSON, without secrets. */
export interface CheckReport {
  /** `"host:port"` of the proxy. */
  proxy: string;
  /** `"host:port"` of the target, or `null` if none was asked for. */
  target: string | null;
  /** Milliseconds that the check took. */
  ms: number;
  /** The code of the failure, if there was one. */
  code?: Socks5ErrorCode;
  /**
   * `"ok"`: the proxy took the handshake, and the target sent something if one was asked for. `"unproven"`: the proxy
   * says that the target is connected, but no byte came from it (some proxies say so before they dial).
   */
  verdict: "ok" | "unproven" | "proxy-down" | "not-socks5" | "auth-refused" | "target-refused";
  /** The steps in their order. */
  steps: CheckStep[];
}

/** One step of a check. */
export interface CheckStep {
  /** What was done: dial, negotiate, authenticate, request, and wait for bytes of the target. */
  phase: Exclude<Phase, "pool">;
  /** `"skipped"`: not asked for, or not reached. */
  status: "ok" | "failed" | "skipped";
  /** Milliseconds that it took. */
  ms: number;
  /** What came out, as a sentence. */
  message: string;
}

/** A check with its arguments checked. */
export interface CheckPlan {
  readonly address: Address | null;
  readonly target: string | null;
  readonly credentials: UserPass | null | undefined;
  readonly timeout: number;
  readonly probe: Uint8Array | undefined;
  readonly signal: AbortSignal | undefined;
}

const FIRST_BYTE = 1_000; // for a target that speaks first; milliseconds

/** Checks the arguments; throws a `TypeError` or a `RangeError`. */
export function planCheck(settings: Settings, target: Target | undefined, options: CheckOptions): CheckPlan {
  const { credentials, probe, signal } = options;
  const address = target === undefined ? null : parseTarget(target);
  if (probe !== undefined && !(probe instanceof Uint8Array)) {
    throw new TypeError(cannot("probe", "a Uint8Array", typeof probe));
  }
  if (probe !== undefined && address === null) throw new TypeError(cannot("probe", "bytes for a target", "no target"));
  return {
    address,
    target: address && formatHostPort(address.hostname, address.port),
    credentials: credentials == null ? credentials : encodeCredentials(credentials),
    timeout: milliseconds("timeout", options.timeout, settings.timeout),
    probe,
    signal,
  };
}

/** The scope of a check, with its deadlines. */
export function scopeOfCheck({ signal, timeout, probe, target }: CheckPlan, settings: Settings, proxy: Proxy): Scope {
  return new Scope(signal, timeout, (deadline, phase) => {
    const limit = phase === "transfer" && probe === undefined ? FIRST_BYTE : settings.attemptTimeout;
    return timedOut(deadline, deadline === "timeout" ? timeout : limit, phase, proxy.name, target);
  });
}

/** Tries one proxy on a connection of its own; throws only what is the caller's: wrong arguments, the reason of the signal. */
export async function checkProxy(
  scope: Scope,
  dialler: Dialler<unknown>,
  settings: Settings,
  proxy: Proxy,
  { address, target, credentials, probe }: CheckPlan,
): Promise<CheckReport> {
  const identity = identify(proxy, credentials, settings.auth);
  const begun = performance.now();
  const entered = new Map<Phase, number>();
  scope.onPhase = (phase) => entered.set(phase, performance.now());
  let failure: Socks5Error | undefined;
  try {
    scope.attempt(settings.attemptTimeout);
    const conn = await openSession(scope, dialler, proxy, identity);
    if (address !== null) {
      scope.extend(Infinity);
      await requestTunnel(scope, conn, address);
      scope.phase = "transfer";
      scope.extend(probe === undefined ? FIRST_BYTE : settings.attemptTimeout);
      await scope.run(firstByte(conn, probe), () => {});
    }
  } catch (thrown) {
    const reason = scope.over === undefined ? explain(thrown, scope, proxy, identity, target) : scope.over.reason;
    if (scope.aborted || !(reason instanceof Socks5Error)) throw reason;
    failure = reason;
  } finally {
    scope.end(failure);
  }
  const ended = performance.now();
  const steps = PHASES.map((phase, i): CheckStep => {
    const start = entered.get(phase);
    if (start === undefined) {
      return { phase, status: "skipped", ms: 0, message: skipped(phase, failure, target, identity) };
    }
    const end = PHASES.slice(i + 1).map((later) => entered.get(later)).find((at) => at !== undefined);
    const failed = failure !== undefined && end === undefined;
    const message = failed ? failure!.message : DONE[phase];
    return { phase, status: failed ? "failed" : "ok", ms: (end ?? ended) - start, message };
  });
  const verdict = failure === undefined ? "ok" : verdictOf(failure);
  return { proxy: proxy.name, target, ms: ended - begun, ...(failure && { code: failure.code }), verdict, steps };
}

const PHASES = ["dial", "negotiate", "authenticate", "request", "transfer"] as const;

const DONE: Readonly<Record<CheckStep["phase"], string>> = {
  dial: "the proxy takes connections",
  negotiate: "the proxy speaks SOCKS5",
  authenticate: "the proxy accepted the user name and password",
  request: "the proxy says that the target is connected",
  transfer: "bytes came from the target",
};

function skipped(
  phase: Phase,
  failure: Socks5Error | undefined,
  target: string | null,
  { credentials }: Identity,
): string {
  if (phase === "authenticate" && (failure === undefined || PHASES.indexOf(failure.phase as CheckStep["phase"]) > 2)) {
    return credentials === null
      ? "the proxy asked for none"
      : "the proxy asked for none: the credentials were not checked";
  }
  return target === null && (phase === "request" || phase === "transfer") ? "no target was given" : "not reached";
}

function verdictOf({ phase, code }: Socks5Error): CheckReport["verdict"] {
  if (phase === "transfer" || code === "SOCKS5_CLIENT_CLOSED") return "unproven";
  if (phase === "dial" || code === "SOCKS5_PROXY_HUNG_UP") return "proxy-down";
  if (code.startsWith("SOCKS5_PROXY_")) return "not-socks5";
  if (code.startsWith("SOCKS5_AUTH_")) return "auth-refused";
  return phase === "request" ? "target-refused" : "proxy-down";
}

async function firstByte(conn: Conn, probe: Uint8Array | undefined): Promise<void> {
  if (probe !== undefined) await conn.write(probe);
  if (await conn.read(new Uint8Array(1)) === null) {
    throw new Fault("SOCKS5_CONN_CLOSED", "the tunnel was closed before a byte came");
  }
}
