import { explain } from "../attempt/explain.ts";
import { NOBODY } from "../attempt/handshake.ts";
import type { RequestArgs } from "../config/request_args.ts";
import { Socks5Error, withEarlier } from "../errors.ts";
import type { Lease } from "../pool/lease.ts";
import type { Verdict } from "../proxies/policy.ts";
import type { Place, ProxyState } from "../proxies/proxy_state.ts";
import type { Next } from "../proxies/rounds.ts";
import { settle } from "../settle.ts";
import type { ProxyConn } from "../tunnel/proxy_conn.ts";
import { Attempts, type RunningAttempt, Seat } from "./attempts.ts";
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
  const { call, scope, rounds } = attempts;
  const race = rounds.isChoice && core.settings.attemptDelay < Infinity ? new Race(attempts) : undefined;
  let seat: Seat<S> | undefined;
  let lease: Lease<ProxyConn<S>> | undefined;
  let isFirst = false; // in line: whoever has waited before
  try {
    if (core.prepare !== undefined) await scope.run(core.prepare());
    for (;;) {
      if (seat === undefined) {
        scope.throwIfEnded(); // before anything is closed to make room for it
        lease = core.pool.acquire(attempts) ?? await core.pool.wait(attempts, scope.attempt.signal, isFirst);
        isFirst = true;
        const idle = lease.conn?.isTunnel ? lease.conn : undefined;
        if (idle === undefined) call.warm = takeWarm(lease);
        scope.throwIfEnded();
        if (idle !== undefined) {
          const isUsable = await useIdle(attempts, lease, idle);
          scope.throwIfEnded();
          if (isUsable) {
            attempts.place?.leave();
            return grant(makeCallers(attempts, { conn: idle, lease, reused: true }, rounds.begun));
          }
          lease.destroy("peer");
          continue;
        }
        seat = race?.seat(lease) ?? new Seat(scope, lease);
      }
      let place = attempts.place ?? call.warm?.takePlace();
      attempts.place = undefined;
      if (place === undefined) {
        const state = attempts.pick();
        if (state === undefined || state.isFull) {
          giveBack(); // a place in the pool is for those who have one at a proxy
          seat = attempts.newest = undefined;
          attempts.place = await waitForProxy(attempts, state);
          continue;
        }
        place = core.fleet.enter(state);
      }
      if (core.sharesLimit(place) && !(await shareLimit(attempts, place))) {
        call.takeWarm()?.close(); // its place was this one
        continue;
      }
      let it = attempts.begin(seat, place, rounds.errors.length > 0);
      if (race !== undefined) it = await race.decided(it);
      try {
        const conn = await it.opened;
        it.scope.throwIfEnded();
        const now = performance.now();
        core.fleet.succeeded(it.place.state, now - it.begun, now);
        race?.letGo(it);
        conn.place = it.place;
        return grant(makeCallers(attempts, { conn, lease: it.seat.lease, reused: false }, it.number));
      } catch (thrown) {
        const verdict = attempts.judge(it, thrown);
        const { next, pause } = whatNext(attempts, it, verdict);
        attempts.tellFailed(it, verdict.error, next, pause);
        if (scope.isOver) throw verdict.error;
        if (next === null) throw rounds.furthest;
        seat = it.seat;
        if (next !== "retry") continue;
        giveBack(); // no place is held during a pause
        seat = attempts.newest = undefined;
        await scope.sleep(pause);
      }
    }
  } catch (error) {
    core.counts.failures++;
    attempts.place?.leave();
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

/** Takes a warm connection out of a lease, if there is one: how it ends is no matter of the warmer from now on. */
function takeWarm<S>(lease: Lease<ProxyConn<S>>): ProxyConn<S> | undefined {
  const warm = lease.takeConn();
  if (warm !== undefined) warm.onClosed = undefined;
  return warm;
}

/** Takes the place for all processes, too; `false` if they have taken all. */
async function shareLimit<S>({ core, scope }: Attempts<S>, place: Place): Promise<boolean> {
  const isShared = await core.shareLimit(place, scope.begin(Infinity).signal);
  if (scope.ended !== undefined) place.leave();
  scope.throwIfEnded();
  return isShared;
}

/** Waits until a proxy has room, that of the session or any; gives `undefined` if the request has to choose again. */
async function waitForProxy<S>(attempts: Attempts<S>, state: ProxyState | undefined): Promise<Place | undefined> {
  const { scope, rounds } = attempts;
  const { signal } = scope.begin(Infinity);
  attempts.isWaitingForProxy = true;
  try {
    return await rounds.wait(state, signal);
  } finally {
    attempts.isWaitingForProxy = false;
  }
}

/** Whether a tunnel that was released is still quiet; it gets the first bytes of the caller, if there are some. */
async function useIdle<S>(
  { call, scope }: Attempts<S>,
  lease: Lease<ProxyConn<S>>,
  tunnel: ProxyConn<S>,
): Promise<boolean> {
  await scope.run(settle());
  scope.throwIfEnded();
  if (tunnel.readable) return false;
  const { data } = call.args;
  if (data === undefined) return true;
  call.committed = true;
  scope.attempt.enter("transfer");
  try {
    await scope.run(tunnel.write(data));
    scope.throwIfEnded();
    return true;
  } catch (cause) {
    lease.destroy("peer");
    scope.throwIfEnded();
    throw explain(cause, "transfer", tunnel.proxy, NOBODY, call);
  }
}

/** What follows from a failure: the policy. */
function whatNext<S>({ call, scope, rounds }: Attempts<S>, it: RunningAttempt<S>, verdict: Verdict): {
  next: Next;
  pause: number;
} {
  const isFinal = scope.isOver || call.committed;
  if (verdict.rule.address && !isFinal && it.found !== undefined && call.addresses!.another(it.proxy, it.found)) {
    rounds.failedAddress(verdict.error);
    return { next: "address", pause: 0 };
  }
  rounds.isFinal ||= isFinal;
  return rounds.failed(it.place.state, verdict, scope.remaining);
}

/** Makes what was granted the caller's. Synchronous, so that nothing which ends the scope can come between. */
function makeCallers<S>(attempts: Attempts<S>, granted: Granted<S>, attempt: number): Granted<S> {
  const { call, core: { counts, warmer }, scope } = attempts;
  const { conn, lease, reused } = granted;
  scope.detach();
  lease.conn = conn;
  counts.connects++;
  counts.reused += Number(reused);
  attempts.handedOver(conn);
  attempts.tell(conn.proxy, { type: "connected", attempt, reused });
  warmer.used(call.spentWarm);
  return granted;
}

/** Why the whole request has ended: with the reason of the caller as it is, or with what failed before. */
function endOf<S>({ scope, rounds }: Attempts<S>): unknown {
  const { reason } = scope.ended!;
  return reason instanceof Socks5Error && !scope.aborted
    ? withEarlier(reason, rounds.errors.filter((error) => error !== reason))
    : reason;
}
