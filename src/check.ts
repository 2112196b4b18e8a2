import { identify, type Identity } from "./attempt/handshake.ts";
import { labelOf, type Proxy } from "./config/proxy_url.ts";
import type { CheckArgs } from "./config/request_args.ts";
import { type Phase, type Socks5Error, type Socks5ErrorCode, timedOut } from "./errors.ts";
import { rounded } from "./events.ts";
import { ATYP } from "./protocol/address.ts";
import { FIRST_BYTE, ProxyProbe } from "./request/proxy_probe.ts";
import type { Core } from "./request/core.ts";
import { Scope } from "./scope.ts";

/** The result of a check of one proxy: plain JSON, without secrets. */
export interface CheckReport {
  /** `"host:port"` of the proxy. */
  proxy: string;
  /**
   * `proxy`, with a short hash of the user name if there is one (`"host:port#5f4dcc3b"`): it tells users of one gateway
   * apart, and is the same in each process.
   */
  label: string;
  /** `"host:port"` of the target, or `null` if none was given. */
  target: string | null;
  /** When the check began, in UTC (ISO 8601): `"2026-11-23T09:41:00.000Z"`. */
  time: string;
  /** Duration of the check in milliseconds, to a tenth. */
  ms: number;
  /** The code of the failure, if the check failed. */
  code?: Socks5ErrorCode;
  /**
   * `"ok"`: the handshake succeeded, and the target, if one was given, sent something. `"unproven"`: the proxy reports
   * that the target is connected, but no byte came from it (some proxies report this before they connect).
   * `"unanswered"`: the handshake succeeded, but the proxy did not reply to the request in time. `"target-not-found"`:
   * the name of the target has no address, and the proxy was not dialed (`dns: "local"`). `"local-failed"`: this
   * process may not or cannot open a connection; nothing is known about the proxy.
   */
  verdict:
    | "ok"
    | "unproven"
    | "unanswered"
    | "proxy-down"
    | "not-socks5"
    | "auth-refused"
    | "target-refused"
    | "target-not-found"
    | "local-failed";
  /** The steps, in order. */
  steps: CheckStep[];
}

/** One step of a check. */
export interface CheckStep {
  /**
   * The step: lookup (only with `dns: "local"`), dial, negotiate, authenticate, request, TLS (only with `tls`),
   * transfer.
   */
  phase: Exclude<Phase, "pool">;
  /** The outcome. `"skipped"`: not needed, or not reached. */
  status: "ok" | "failed" | "skipped";
  /** Duration in milliseconds, to a tenth. The steps take at most as long as the check together. */
  ms: number;
  /** The outcome as a sentence. */
  message: string;
}

/** Tries each proxy; throws only what is the caller's: wrong arguments, the reason of the signal. */
export async function check<S>(core: Core<S>, args: CheckArgs): Promise<CheckReport[]> {
  const { fleet, settings } = core;
  const proxies = args.proxy === undefined ? fleet.proxies : fleet.named(args.proxy).map(({ proxy }) => proxy);
  const tls = args.tls !== null || proxies.some((proxy) => proxy.tls !== null);
  await core.load?.({ lookup: settings.dns === "local", tls }).catch(() => {}); // the step that needs it tells
  const reports: CheckReport[] = [];
  let next = 0;
  const work = async () => {
    while (next < proxies.length) {
      const index = next++;
      reports[index] = await checkProxy(core, proxies[index]!, args);
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(args.concurrency, proxies.length) }, work));
    return reports;
  } finally {
    next = proxies.length; // what failed has ended all
  }
}

async function checkProxy<S>(core: Core<S>, proxy: Proxy, args: CheckArgs): Promise<CheckReport> {
  const { session, target } = args;
  const identity = identify(proxy, args.credentials, core.settings, { session, target: target ?? "" });
  const scope = scopeOf(core, proxy, args);
  const time = new Date().toISOString();
  const begun = performance.now();
  const probe = new ProxyProbe(scope, core, proxy, identity, args);
  const failure = await probe.run();
  const ended = performance.now();
  const between = (from: number, to: number) => rounded(rounded(to - begun) - rounded(from - begun));
  const isAskedFor = { lookup: core.settings.dns === "local", tls: args.tls !== null };
  const steps = PHASES.filter((phase) => !(phase in isAskedFor) || isAskedFor[phase as "tls"]).map(
    (phase): CheckStep => {
      const start = probe.entered.get(phase);
      if (start === undefined) {
        return { phase, status: "skipped", ms: 0, message: skipped(phase, failure, args, probe.identity) };
      }
      const later = PHASES.slice(PHASES.indexOf(phase) + 1);
      const end = later.map((phase) => probe.entered.get(phase)).find((at) => at !== undefined);
      const failed = failure !== undefined && end === undefined;
      const isPlugged = phase === "authenticate" && probe.identity.custom.length > 0;
      const message = failed ? failure!.message : isPlugged ? "the proxy accepted the authentication" : DONE[phase];
      return { phase, status: failed ? "failed" : "ok", ms: between(start, end ?? ended), message };
    },
  );
  const verdict = failure === undefined ? "ok" : verdictOf(failure);
  return {
    proxy: proxy.address,
    label: proxy.label ?? labelOf(proxy.address, identity.credentials),
    target,
    time,
    ms: between(begun, ended),
    ...(failure && { code: failure.code }),
    verdict,
    steps,
  };
}

const PHASES = ["lookup", "dial", "negotiate", "authenticate", "request", "tls", "transfer"] as const;

const DONE: Readonly<Record<CheckStep["phase"], string>> = {
  lookup: "the name has an address",
  dial: "the proxy takes connections",
  negotiate: "the proxy speaks SOCKS5",
  authenticate: "the proxy accepted the user name and password",
  request: "the proxy says that the target is connected",
  tls: "the target went through the TLS handshake, and its certificate is right",
  transfer: "bytes came from the target",
};

/** The deadlines of a check. */
function scopeOf<S>(core: Core<S>, proxy: Proxy, { signal, timeout, probe, target }: CheckArgs): Scope {
  const scope = new Scope(core.timer, signal, timeout, (deadline, phase) => {
    const limit = phase === "transfer" && probe === undefined ? FIRST_BYTE : core.settings.attemptTimeout;
    return timedOut(deadline, deadline === "timeout" ? timeout : limit, phase, proxy.name, { target });
  });
  const closed = core.closedError(scope.attempt.phase);
  if (closed !== undefined) scope.end(closed);
  return scope;
}

function skipped(
  phase: Phase,
  failure: Socks5Error | undefined,
  { target, address }: CheckArgs,
  { credentials }: Identity,
): string {
  const isTargets = phase === "lookup" || phase === "request" || phase === "transfer";
  if (isTargets && target === null) return "no target was given";
  if (phase === "lookup" && address!.atyp !== ATYP.DOMAIN) return "the target is an address";
  const at = failure === undefined ? PHASES.length : PHASES.indexOf(failure.phase as CheckStep["phase"]);
  if (phase === "authenticate" && at > PHASES.indexOf(phase)) {
    return credentials === null
      ? "the proxy asked for none"
      : "the proxy asked for none: the credentials were not checked";
  }
  return phase === "transfer" && failure === undefined ? "the TLS handshake is proof enough" : "not reached";
}

function verdictOf({ phase, code }: Socks5Error): CheckReport["verdict"] {
  if (phase === "tls" || phase === "transfer" || code === "SOCKS5_CLIENT_CLOSED") return "unproven";
  if (code.startsWith("SOCKS5_LOCAL_")) return "local-failed";
  if (phase === "lookup") return "target-not-found";
  if (phase === "dial" || code === "SOCKS5_PROXY_HUNG_UP") return "proxy-down";
  if (code.startsWith("SOCKS5_PROXY_")) return "not-socks5";
  if (code.startsWith("SOCKS5_AUTH_")) return "auth-refused";
  if (phase !== "request") return "proxy-down";
  return code === "SOCKS5_TIMEOUT" || code === "SOCKS5_ATTEMPT_TIMEOUT" ? "unanswered" : "target-refused";
}
