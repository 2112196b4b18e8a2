import { checkOptions, type Known } from "../arguments.ts";
import { milliseconds } from "../config/settings.ts";
import { tlsOptions } from "../config/tls_options.ts";
import type { DeadlineTimer, Timed } from "../deadline_timer.ts";
import { ProtocolError, socks5Error, timedOut } from "../errors.ts";
import { splitHostPort } from "../protocol/address.ts";
import { Scope } from "../scope.ts";
import type { StartTls, TlsOptions } from "../transport.ts";
import type { ProxyConn } from "./proxy_conn.ts";
import type { StartTlsOptions } from "./socks5_conn.ts";
import { tunnelError } from "./tunnel_error.ts";

/** Starts TLS on a tunnel that is not handed over yet, within the attempt that opened it: for as long as the scope has. */
export async function upgradeTls<S>(
  scope: Scope,
  tunnel: ProxyConn<S>,
  options: TlsOptions,
  fallback: StartTls,
): Promise<void> {
  scope.attempt.enter("tls");
  scope.attempt.own(tunnel);
  scope.extend(Infinity);
  await scope.run(tunnel.startTls(options, fallback));
}

/** What a client has for TLS on a tunnel that somebody holds. */
export interface TlsSetup {
  readonly timer: DeadlineTimer<Timed>;
  readonly startTls: StartTls;
  readonly settings: { readonly timeout: number };
}

/** What `startTls()` takes. */
export const START_TLS: Known<StartTlsOptions> = {
  serverName: true,
  caCerts: true,
  cert: true,
  key: true,
  alpnProtocols: true,
  signal: true,
  timeout: true,
};

/**
 * Starts TLS on a tunnel that somebody holds, with a deadline and a signal of its own. Throws at once what is wrong with
 * the options.
 *
 * @param upgraded Called when it is done; what it gives is the result, in the same moment.
 * @param failed Called when TLS did not come about.
 */
export function upgradeHeldTls<T>(
  tunnel: ProxyConn,
  given: StartTlsOptions,
  setup: TlsSetup,
  upgraded: () => T,
  failed: () => void,
): Promise<T> {
  const { proxy: { name: proxy }, target } = tunnel;
  const options = checkOptions("the options of startTls()", given, START_TLS);
  const tls = tlsOptions("tls", options, splitHostPort(target).hostname.replace(/^\[|\]$/g, ""), setup);
  const { signal, timeout } = options;
  const ms = milliseconds("timeout", timeout, setup.settings.timeout);
  const aim = { verb: "start TLS with", target };
  const scope = new Scope(setup.timer, signal, ms, (deadline, phase) => timedOut(deadline, ms, phase, proxy, aim));
  return upgrade();

  async function upgrade(): Promise<T> {
    try {
      scope.begin(Infinity);
      await upgradeTls(scope, tunnel, tls, setup.startTls);
      scope.throwIfEnded();
      if (tunnel.closedBy !== undefined) throw new Error("The tunnel is closed");
      scope.detach();
      return upgraded();
    } catch (thrown) {
      const error = scope.ended === undefined ? meaning(thrown) : scope.ended.reason;
      scope.end(error);
      failed();
      throw error;
    }
  }

  function meaning(thrown: unknown): unknown {
    if (tunnel.closedBy !== undefined) {
      return tunnelError({ proxy, target }, "start TLS with", "closed", tunnel.closedBy, thrown);
    }
    if (!(thrown instanceof ProtocolError)) return thrown;
    const message = `Cannot start TLS with ${target} through ${proxy}: ${thrown.message}`;
    return socks5Error(thrown.code, message, { phase: "tls", proxy, target, cause: thrown.cause });
  }
}
