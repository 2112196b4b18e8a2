import { cannot } from "../errors.ts";
import type { Credentials } from "./proxy_url.ts";
import type { Step } from "../protocol/steps.ts";
import type { Conn } from "../transport.ts";

/**
 * An authentication method of one's own (RFC 1928 section 3): a number that is offered, and what is said once the proxy
 * has chosen it.
 *
 * @example A vendor's method: the proxy sends 16 bytes, which are signed
 * ```ts
 * import { type AuthMethod, Socks5Client } from "jsr:@x/socks5";
 *
 * const hmac = { name: "HMAC", hash: "SHA-256" };
 * const key = await crypto.subtle.importKey("raw", new Uint8Array(32), hmac, false, ["sign"]);
 * const signed: AuthMethod = {
 *   method: 0x80,
 *   async *negotiate() {
 *     const challenge = (yield { have: 16 }).slice(0, 16);
 *     const signature = new Uint8Array(await crypto.subtle.sign("HMAC", key, challenge));
 *     const answer = yield { write: signature, have: 1 };
 *     if (answer[0] !== 0) throw new Error("the proxy did not take the signature");
 *   },
 * };
 *
 * const client = new Socks5Client("socks5h://proxy.example:1080", { methods: [signed], auth: "required" });
 * await client.close();
 * ```
 */
export interface AuthMethod {
  /** METHOD: 1 to 254, but not 2, which is user name and password. */
  readonly method: number;
  /**
   * The conversation, anew for each connection: yields what is sent and how much of the answer is awaited, and is given
   * that answer. What it returns, if anything, is the connection from then on, for the request and all that follows: one
   * that encapsulates {@linkcode AuthContext.conn}. What it throws is the `cause` of an `AuthError`, and in no message.
   */
  negotiate(context: AuthContext): AuthSteps;
}

/**
 * The conversation of an {@linkcode AuthMethod}. A step is a message to be sent (in one write), the number of bytes that
 * the answer to it has to have (`have`, at most 1 048 576; 0 only with a message, if there is no answer to it), and how
 * many may be read if they are there (`most`). It is given all of the answer that was read, and no byte more. If the
 * connection ends or the attempt is given up, it ends where it waits, as by `return`.
 */
export type AuthSteps = Generator<Step, Conn | void, Uint8Array> | AsyncGenerator<Step, Conn | void, Uint8Array>;

/** What an {@linkcode AuthMethod} may have to know. */
export interface AuthContext {
  /** `"host:port"` of the proxy, or the path of its socket. */
  readonly proxy: string;
  /** Those of the proxy, if it has any: never those of one connect, for which no method of one's own is offered. */
  readonly credentials: Credentials | null;
  /** Aborts if the attempt is given up before the method is done: for what it awaits besides the proxy. */
  readonly signal: AbortSignal;
  /**
   * The connection, to be wrapped in what is returned, and not for I/O before. `close()` of what is returned has to close
   * it; `ref()` and `unref()`, if they are there, should be passed on.
   */
  readonly conn: Conn;
}

/** Checks the option `methods`; throws a `TypeError` or a `RangeError` that names it. */
export function parseMethods(methods: readonly AuthMethod[] | undefined): readonly AuthMethod[] {
  if (methods === undefined) return [];
  if (!Array.isArray(methods)) throw new TypeError(cannot("methods", "a list of methods", methods));
  const taken = new Set<number>();
  return methods.map((it: AuthMethod, i) => {
    const name = `methods[${i}]`;
    const { method, negotiate } = it ?? {};
    if (typeof negotiate !== "function") throw new TypeError(cannot(`${name}.negotiate`, "a function", negotiate));
    const want = "a whole number from 1 to 254 that is not 2";
    if (typeof method !== "number") throw new TypeError(cannot(`${name}.method`, want, method));
    if (!Number.isInteger(method) || method < 0x01 || method > 0xfe || method === 0x02) {
      throw new RangeError(cannot(`${name}.method`, want, method));
    }
    if (taken.has(method)) throw new TypeError(cannot(`${name}.method`, "a number that no other method has", method));
    taken.add(method);
    return { method, negotiate: (context) => negotiate.call(it, context) };
  });
}
