import { splitHostPort } from "../protocol/address.ts";
import type { DeadlineTimer, Timed } from "../deadline_timer.ts";
import { checkOptions, type Known } from "../arguments.ts";
import { heldError, type Secured, type StartTlsOptions } from "./socks5_conn.ts";
import { timedOut } from "../attempt/dial.ts";
import { ProtocolError, socks5Error } from "../errors.ts";
import { Scope } from "../scope.ts";
import type { ProxyConn } from "./proxy_conn.ts";
import { milliseconds } from "../config/settings.ts";
import type { StartTls } from "./start_tls.ts";
import { tlsOptions } from "../config/tls_options.ts";
import type { TlsOptions } from "../transport.ts";

/** Starts TLS on a tunnel that is not handed over yet, within the attempt that opened it: for as long as the scope has. */
export async function secure<S>(
  scope: Scope,
  opening: Promise<ProxyConn<S>>,
  options: TlsOptions,
  fallback: StartTls,
): Promise<ProxyConn<S>> {
  const tunnel = await opening;
  scope.attempt.enter("tls");
  scope.attempt.own(tunnel);
  scope.extend(Infinity);
  await scope.run(tunnel.startTls(options, fallback));
  return tunnel;
}

/** What starting TLS on a tunnel that somebody holds takes. */
export interface Securing {
  readonly alarm: DeadlineTimer<Timed>;
  readonly startTls: StartTls;
  readonly timeout: number;
}

const START_TLS: Known<StartTlsOptions> = {
  serverName: true,
  caCerts: true,
  cert: true,
  key: true,
  alpnProtocols: true,
  signal: true,
  timeout: true,
};

/**
 * Starts TLS on a tunnel that somebody holds, with a deadline and a signal of its own, and gives what `secured` makes of
 * it, in the same moment. Throws at once what is wrong with the options; closes the tunnel, and calls `failed`, if TLS
 * does not come about.
 */
export function secureHeld<T>(
  tunnel: ProxyConn,
  given: StartTlsOptions,
  { secured, failed }: Secured<T>,
  securing: Securing,
): Promise<T> {
  const { proxy: { name: proxy }, target } = tunnel;
  const options = checkOptions("the options of startTls()", given, START_TLS);
  const tls = tlsOptions("tls", options, splitHostPort(target).hostname.replace(/^\[|\]$/g, ""), securing);
  const { signal, timeout } = options;
  const ms = milliseconds("timeout", timeout, securing.timeout);
  const scope = new Scope(securing.alarm, signal, ms, {
    timedOut: (deadline, phase) => timedOut(deadline, ms, phase, proxy, { verb: "start TLS with", target }),
  });
  return withinScope();

  function meaning(thrown: unknown): unknown {
    if (tunnel.closedBy !== undefined) {
      return heldError({ proxy, target }, "start TLS with", "closed", tunnel.closedBy, thrown);
    }
    if (!(thrown instanceof ProtocolError)) return thrown;
    const message = `Cannot start TLS with ${target} through ${proxy}: ${thrown.message}`;
    return socks5Error(thrown.code, message, { phase: "tls", proxy, target, cause: thrown.cause });
  }

  async function withinScope(): Promise<T> {
    try {
      scope.begin(Infinity);
      await secure(scope, Promise.resolve(tunnel), tls, securing.startTls);
      scope.throwIfOver();
      if (tunnel.closedBy !== undefined) throw new Error("The tunnel is closed");
      scope.detach();
      return secured();
    } catch (thrown) {
      const error = scope.ended === undefined ? meaning(thrown) : scope.ended.reason;
      scope.end(error);
      failed();
      throw error;
    }
  }
}
