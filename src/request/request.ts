import { explain } from "../attempt/explain.ts";
import { identify } from "../attempt/identity.ts";
import type { RequestArgs } from "../config/request_args.ts";
import { Socks5Error, withEarlier } from "../errors.ts";
import type { Lease } from "../pool/lease.ts";
import type { Verdict } from "../proxies/policy.ts";
import type { Next } from "../proxies/tries.ts";
import { settle } from "../settle.ts";
import type { ProxyConn } from "../tunnel/proxy_conn.ts";
import { type Attempted, Attempts, Seat } from "./attempts.ts";
import type { Core } from "./core.ts";
import { Race } from "./race.ts";

/** What a request that was granted gives: all of it is the caller's, whose `lease.destroy()` is the end of it. */
export interface Granted<S> {
  /** The connection, on which nothing was read beyond the reply. */
  readonly conn: ProxyConn<S>;
  readonly lease: Lease<ProxyConn<S>>;
  /** Whether somebody has used and released it before. */
  readonly reused: boolean;
}

/**
 * One request of a client, of whatever command: takes a place in the pool, tries proxies in rounds until one grants it,
 * and gives what `grant` makes of that in the same moment. `grant` throws nothing.
 */
export async function request<S, T>(
  core: Core<S>,
  cmd: number,
  args: RequestArgs,
  grant: (granted: Granted<S>) => T,
): Promise<T> {
  const attempts = new Attempts(core, cmd, args);
  const { call, scope, tries } = attempts;
  const race = tries.isChoice && core.settings.attemptDelay < Infinity ? new Race(attempts) : undefined;
  let seat: Seat<S> | undefined;
  let lease: Lease<ProxyConn<S>> | undefined;
  let isFirst = false; // in line: whoever has waited before
  try {
    for (;;) {
      if (seat === undefined) {
        lease = core.pool.acquire(attempts) ?? await core.pool.wait(attempts, scope.attempt.signal, isFirst);
        isFirst = true;
        const idle = lease.conn?.reply === undefined ? undefined : lease.conn;
        if (idle === undefined) call.warm = lease.takeConn();
        scope.throwIfEnded();
        if (idle !== undefined) {
          const isUsable = await useIdle(attempts, idle);
          scope.throwIfEnded();
          if (isUsable) return grant(handOver(attempts, lease, idle, tries.attempts));
          lease.destroy("peer");
          continue;
        }
        seat = race?.seat(lease) ?? new Seat(scope, lease);
      }
      const proxy = call.addresses?.ready ?? call.warm?.proxy ?? tries.pick();
      let it = attempts.begin(seat, proxy, tries.errors.length > 0);
      try {
        if (race !== undefined) it = await race.decided(it);
        const conn = await it.opened;
        it.scope.throwIfEnded();
        core.health.succeeded(it.proxy);
        race?.handOver(it);
        return grant(handOver(attempts, it.seat.lease, conn, it.number));
      } catch (thrown) {
        if (scope.aborted) throw thrown;
        const verdict = attempts.judge(it, thrown);
        const { next, pause } = whatNext(attempts, it, verdict);
        attempts.tellFailed(it, verdict.error, next, pause);
        if (scope.isOver) throw verdict.error;
        if (next === null) throw tries.furthest;
        seat = it.seat;
        if (next !== "retry") continue;
        giveBack(); // no place is held during a pause
        seat = attempts.newest = undefined;
        await scope.sleep(pause);
      }
    }
  } catch (error) {
    core.counts.failures++;
    giveBack();
    if (scope.isOver) throw endOf(attempts);
    scope.end(error);
    throw error;
  } finally {
    race?.close();
  }

  function giveBack(): void {
    race?.close();
    call.takeWarm()?.close();
    // what has bytes of the caller on it never goes back: its answer would be taken for that of another request
    if (lease?.conn === undefined || call.committed) lease?.destroy("holder");
    else lease.release();
  }
}

/** Whether a tunnel that was released is still quiet; it gets the first bytes of the caller, if there are some. */
async function useIdle<S>({ call, core, scope }: Attempts<S>, tunnel: ProxyConn<S>): Promise<boolean> {
  await scope.run(settle());
  scope.throwIfEnded();
  if (tunnel.readable) return false;
  const { data, credentials } = call.args;
  if (data === undefined) return true;
  call.committed = true;
  scope.attempt.enter("transfer");
  try {
    await scope.run(tunnel.write(data));
    scope.throwIfEnded();
    return true;
  } catch (cause) {
    scope.throwIfEnded();
    throw explain(cause, "transfer", tunnel.proxy, identify(tunnel.proxy, credentials, core.settings), call);
  }
}

/** What follows from a failure: the policy. */
function whatNext<S>({ call, scope, tries }: Attempts<S>, it: Attempted<S>, verdict: Verdict): {
  next: Next;
  pause: number;
} {
  const isFinal = scope.isOver || call.committed;
  if (verdict.rule.address && !isFinal && it.found !== undefined && call.addresses!.another(it.proxy, it.found)) {
    tries.failedAddress(verdict.error);
    return { next: "address", pause: 0 };
  }
  tries.isFinal ||= isFinal;
  return tries.failed(it.proxy, verdict, scope.remaining);
}

/** Makes it the caller's. Synchronous, so that nothing which ends the scope can come between. */
function handOver<S>(
  attempts: Attempts<S>,
  lease: Lease<ProxyConn<S>>,
  conn: ProxyConn<S>,
  attempt: number,
): Granted<S> {
  const { call, core: { counts, warmer }, scope } = attempts;
  const reused = lease.conn !== undefined;
  scope.detach();
  lease.conn = conn;
  counts.connects++;
  counts.reused += Number(reused);
  attempts.tellClosed(conn);
  attempts.tell(conn.proxy, { type: "connected", attempt, reused });
  warmer.used(call.spentWarm);
  return { conn, lease, reused };
}

/** Why the whole request has ended: with the reason of the caller as it is, or with what failed before. */
function endOf<S>({ scope, tries }: Attempts<S>): unknown {
  const { reason } = scope.ended!;
  return reason instanceof Socks5Error && !scope.aborted
    ? withEarlier(reason, tries.errors.filter((error) => error !== reason))
    : reason;
}
