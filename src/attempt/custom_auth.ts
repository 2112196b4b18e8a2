import { isBytes } from "../arguments.ts";
import type { AuthMethod } from "../config/settings.ts";
import type { Proxy } from "../config/proxy_url.ts";
import { kindOf, ProtocolError } from "../errors.ts";
import { guard, quietly } from "../guarded_conn.ts";
import { hex, type UserPass } from "../protocol/messages.ts";
import type { Step } from "../protocol/steps.ts";
import type { AttemptScope } from "../scope.ts";
import type { Conn } from "../transport.ts";
import { converse } from "./converse.ts";
import type { Identity } from "./handshake.ts";

/** Authenticates by a method that the caller brought; gives the connection for all that follows, which the attempt owns. */
export async function authenticateCustom<S>(
  attempt: AttemptScope,
  conn: Conn<S>,
  proxy: Proxy,
  { credentials, secrets }: Identity,
  method: AuthMethod,
): Promise<Conn<S>> {
  attempt.enter("authenticate");
  const { signal } = attempt;
  const context = { proxy: proxy.name, credentials: decode(credentials), signal, conn };
  const checked = checkedSteps(attempt, method, () => method.negotiate(context));
  try {
    const wrapped = await converse(conn, checked, secrets);
    return wrapped === undefined ? conn : attempt.own(guard(wrapped as Conn<S>, "negotiate()"));
  } catch (error) {
    const isHungUp = error instanceof ProtocolError && error.code === "SOCKS5_PROXY_HUNG_UP";
    throw isHungUp ? failed(method, "the proxy closed the connection while authenticating", REFUSED) : error;
  }
}

/** The longest answer that a method may wait for. */
const MOST_ANSWER = 1_048_576;

const REFUSED = "SOCKS5_AUTH_REFUSED";
const FAILED = "SOCKS5_AUTH_FAILED";

/** The conversation of a method, each step of which is looked at; it ends where it is once nobody waits for it. */
async function* checkedSteps(
  attempt: AttemptScope,
  method: AuthMethod,
  begin: () => ReturnType<AuthMethod["negotiate"]>,
): AsyncGenerator<Step, Conn | undefined, Uint8Array> {
  const steps = await called(begin);
  if (typeof steps?.next !== "function") {
    throw failed(method, "negotiate() of the authentication method gave no steps");
  }
  let isDone = false;
  try {
    for (let answer: Uint8Array = new Uint8Array();;) {
      const { done, value } = await called(() => steps.next(answer));
      isDone = done === true;
      if (isDone) return connOf(value, method);
      throwIfEnded();
      answer = yield checkedStep(value as Step, method);
      throwIfEnded();
    }
  } finally {
    if (!isDone) void quietly(() => steps.return?.(undefined)); // what it throws now says no more
  }

  function throwIfEnded(): void {
    if (attempt.ended !== undefined) throw attempt.ended.reason;
  }

  async function called<T>(call: () => T): Promise<Awaited<T>> {
    try {
      return await call();
    } catch (cause) {
      throw failed(method, "the authentication failed", FAILED, cause);
    }
  }
}

function checkedStep(step: Step, method: AuthMethod): Step {
  const { write, have, most = have } = step ?? {};
  const isMessage = isBytes(write);
  const nonsense = (name: string, value: string) =>
    failed(method, `negotiate() of the authentication method yielded a step whose ${name} is ${value}`);
  if (write !== undefined && !isMessage) throw nonsense("write", "no Uint8Array");
  if (!isLength(have) || (have === 0 && !isMessage)) throw nonsense("have", kindOf(have));
  if (!isLength(most) || most < have) throw nonsense("most", kindOf(most));
  return isMessage ? { write, have, most } : { have, most };
}

function connOf(value: unknown, method: AuthMethod): Conn | undefined {
  if (value === undefined) return undefined;
  const members = value as Record<string, unknown> | null;
  if (["read", "write", "closeWrite", "close"].every((name) => typeof members?.[name] === "function")) {
    return value as Conn;
  }
  throw failed(method, "negotiate() of the authentication method returned no connection");
}

function failed(
  { method }: AuthMethod,
  why: string,
  code: typeof REFUSED | typeof FAILED = FAILED,
  cause?: unknown,
): ProtocolError {
  return new ProtocolError(code, `${why} (METHOD ${hex(method)})`, null, cause);
}

function isLength(n: unknown): n is number {
  return Number.isInteger(n) && n as number >= 0 && n as number <= MOST_ANSWER;
}

function decode(credentials: UserPass | null): { username: string; password: string } | null {
  if (credentials === null) return null;
  const { uname, passwd } = credentials;
  return { username: new TextDecoder().decode(uname), password: new TextDecoder().decode(passwd) };
}
