import { explain } from "../attempt/explain.ts";
import type { Attempt } from "../attempt/open_tunnel.ts";
import { type Aim, Socks5Error, TargetError, unretried } from "../errors.ts";
import type { Fleet } from "../proxies/fleet.ts";
import { GIVE_UP, PROXY_UNFIT, ruleFor, type Verdict } from "../proxies/policy.ts";
import type { ProxyState } from "../proxies/proxy_state.ts";

/** An attempt at a proxy, and when it began, on the clock of `performance.now()`. */
type JudgedAttempt = Pick<Attempt<unknown>, "scope" | "identity"> & {
  readonly state: ProxyState;
  readonly begun: number;
};

/**
 * What an attempt failed with, and what follows from it; `fleet` remembers what it says about the proxy. Throws what is
 * no failure of a proxy or a target: a wrong argument, the reason of the caller's signal.
 *
 * @param hasOwnCredentials Whether the request brought credentials, which no other proxy takes either.
 */
export function judge(
  thrown: unknown,
  { scope, state, identity, begun }: JudgedAttempt,
  aim: Aim,
  hasOwnCredentials: boolean,
  fleet: Fleet,
): Verdict {
  const { ended, aborted, attempt } = scope;
  const { proxy } = state;
  if (aborted) throw ended!.reason;
  // an earlier hop, which has retried already, has failed; a tunnel of it that broke is as good as a socket that broke
  const isInner = ended === undefined && thrown instanceof Socks5Error && thrown.code !== "SOCKS5_CONN_RESET";
  const own = isInner ? thrown : explain(thrown, attempt.phase, proxy, identity, aim);
  const error = ended === undefined ? own : ended.reason;
  if (!(error instanceof Socks5Error)) throw error;
  const isFinal = isInner && !unretried.has(thrown);
  const rule = !isFinal ? ruleFor(error, hasOwnCredentials) : error instanceof TargetError ? PROXY_UNFIT : GIVE_UP;
  if (error instanceof TargetError && error.rep !== null && error.proxy === proxy.name) fleet.worked(state);
  if (rule.cooldown) fleet.failed(state, begun);
  return { error, rule };
}
