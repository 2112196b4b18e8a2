import { isBytes } from "../arguments.ts";
import { type Identity, negotiate } from "./dial.ts";
import { drive } from "./driver.ts";
import { kindOf, ProtocolError } from "../errors.ts";
import { withAnswer } from "./foreign_answer.ts";
import { guard } from "../guarded_conn.ts";
import { hex, type UserPass } from "../protocol/messages.ts";
import type { AuthMethod, AuthSteps } from "../config/auth_method.ts";
import type { Proxy } from "../config/proxy_url.ts";
import type { Attempt } from "../scope.ts";
import type { Conn, Step } from "../transport.ts";

/** Negotiates and authenticates; gives the connection for all that follows, which the attempt owns. */
export async function authenticate<S>(
  attempt: Attempt,
  conn: Conn<S>,
  proxy: Proxy,
  identity: Identity,
): Promise<Conn<S>> {
  const chosen = await negotiated(attempt, conn, proxy, identity);
  const method = identity.plugged.find(({ method }) => method === chosen);
  if (method === undefined) return conn;
  attempt.enter("authenticate");
  const { signal } = attempt;
  const context = { proxy: proxy.name, credentials: decode(identity.credentials), signal, conn };
  const wrapped = await new Authentication(attempt, conn, method).run(() => method.negotiate(context));
  return wrapped === undefined ? conn : attempt.own(guard(wrapped as Conn<S>, "negotiate()"));
}

async function negotiated(attempt: Attempt, conn: Conn, proxy: Proxy, identity: Identity): Promise<number> {
  try {
    return await drive(conn, negotiate(attempt, identity));
  } catch (error) {
    throw await withAnswer(error, conn, proxy, identity.credentials);
  }
}

/** The longest answer that a method may wait for. */
const MOST_ANSWER = 1_048_576;

/** A conversation that is none of ours: each step is looked at, and the attempt asked after each wait. */
class Authentication {
  readonly #attempt: Attempt;
  readonly #conn: Conn;
  readonly #name: string;
  #answer = new Uint8Array();
  #got = 0;

  constructor(attempt: Attempt, conn: Conn, { method }: AuthMethod) {
    this.#attempt = attempt;
    this.#conn = conn;
    this.#name = `(METHOD ${hex(method)})`;
  }

  async run(begin: () => AuthSteps): Promise<Conn | undefined> {
    const steps = await this.#guard(begin);
    if (typeof steps?.next !== "function") throw this.#failed("negotiate() of the authentication method gave no steps");
    try {
      for (;;) {
        const { done, value } = await this.#guard(() => steps.next(this.#answer.subarray(0, this.#got)));
        if (done) return this.#result(value);
        this.#throwIfOver();
        await this.#take(value as Step);
      }
    } catch (error) {
      new Promise((resolve) => resolve(steps.return?.(undefined))).catch(() => {}); // what it throws now says no more
      throw error;
    }
  }

  async #take(step: Step): Promise<void> {
    const { write, have, most = have } = step ?? {};
    const isMessage = isBytes(write);
    if (write !== undefined && !isMessage) throw this.#nonsense("write", "no Uint8Array");
    if (!isLength(have) || (have === 0 && !isMessage)) throw this.#nonsense("have", kindOf(have));
    if (!isLength(most) || most < have) throw this.#nonsense("most", kindOf(most));
    if (isMessage) {
      this.#answer = new Uint8Array(most); // the one before is the method's
      this.#got = 0;
      await this.#conn.write(write);
      this.#throwIfOver();
    } else if (most > this.#answer.length) {
      const answer = new Uint8Array(most);
      answer.set(this.#answer);
      this.#answer = answer;
    }
    while (this.#got < have) {
      const n = await this.#conn.read(this.#answer.subarray(this.#got, most));
      if (!n) throw this.#failed("the proxy closed the connection while authenticating", "SOCKS5_AUTH_REFUSED");
      this.#got += n;
      this.#throwIfOver();
    }
  }

  /** A method is not gone on with once nobody waits for it, whatever the transport makes of `close()`. */
  #throwIfOver(): void {
    if (this.#attempt.ended !== undefined) throw this.#attempt.ended.reason;
  }

  #result(value: unknown): Conn | undefined {
    if (value === undefined) return undefined;
    const members = value as Record<string, unknown> | null;
    if (["read", "write", "closeWrite", "close"].every((name) => typeof members?.[name] === "function")) {
      return value as Conn;
    }
    throw this.#failed("negotiate() of the authentication method returned no connection");
  }

  async #guard<T>(call: () => T): Promise<Awaited<T>> {
    try {
      return await call();
    } catch (cause) {
      throw this.#failed("the authentication failed", "SOCKS5_AUTH_FAILED", cause);
    }
  }

  #nonsense(name: string, value: string): ProtocolError {
    return this.#failed(`negotiate() of the authentication method yielded a step whose ${name} is ${value}`);
  }

  #failed(
    why: string,
    code: "SOCKS5_AUTH_FAILED" | "SOCKS5_AUTH_REFUSED" = "SOCKS5_AUTH_FAILED",
    cause?: unknown,
  ): ProtocolError {
    return new ProtocolError(code, `${why} ${this.#name}`, null, cause);
  }
}

function isLength(n: unknown): n is number {
  return Number.isInteger(n) && n as number >= 0 && n as number <= MOST_ANSWER;
}

function decode(credentials: UserPass | null): { username: string; password: string } | null {
  if (credentials === null) return null;
  const { uname, passwd } = credentials;
  return { username: new TextDecoder().decode(uname), password: new TextDecoder().decode(passwd) };
}
