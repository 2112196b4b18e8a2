import type { Alarm } from "./alarm.ts";
import { dial, type Dialler, explain, identify, type Identity, negotiate, timedOut } from "./dial.ts";
import { drive, type Wire } from "./drive.ts";
import { Fault, type Phase, Socks5Error, type Socks5ErrorCode } from "./errors.ts";
import { CMD, request } from "./handshake.ts";
import type { CheckPlan } from "./plan.ts";
import type { Proxy } from "./proxy.ts";
import { Scope } from "./scope.ts";
import type { Settings } from "./settings.ts";

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

const FIRST_BYTE = 1_000; // for a target that speaks first; milliseconds

/** The scope of a check, with its deadlines. */
export function scopeOfCheck(
  alarm: Alarm<Scope>,
  { signal, timeout, probe, target }: CheckPlan,
  settings: Settings,
  proxy: Proxy,
): Scope {
  return new Scope(alarm, signal, timeout, {
    timedOut(deadline, phase) {
      const limit = phase === "transfer" && probe === undefined ? FIRST_BYTE : settings.attemptTimeout;
      return timedOut(deadline, deadline === "timeout" ? timeout : limit, phase, proxy.name, target);
    },
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
  let failure: Socks5Error | undefined;
  try {
    const attempt = scope.begin(settings.attemptTimeout);
    attempt.onPhase = (phase) => entered.set(phase, performance.now());
    await scope.run((async () => {
      const conn = attempt.own(await dial(attempt, dialler, proxy));
      await drive(conn, negotiate(attempt, identity));
      if (address === null) return;
      attempt.enter("request");
      scope.extend(Infinity);
      await drive(conn, request(CMD.CONNECT, address));
      attempt.enter("transfer");
      scope.extend(probe === undefined ? FIRST_BYTE : settings.attemptTimeout);
      await firstByte(conn, probe);
    })());
  } catch (thrown) {
    const { phase } = scope.attempt;
    const reason = scope.over === undefined ? explain(thrown, phase, proxy, identity, target) : scope.over.reason;
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

async function firstByte(wire: Wire, probe: Uint8Array | undefined): Promise<void> {
  if (probe !== undefined) await wire.write(probe);
  if (await wire.read(new Uint8Array(1)) === null) {
    throw new Fault("SOCKS5_CONN_CLOSED", "the tunnel was closed before a byte came");
  }
}
