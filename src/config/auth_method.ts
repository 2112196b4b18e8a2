import { cannot } from "../errors.ts";
import type { Credentials } from "./proxy_url.ts";
import type { Step } from "../protocol/steps.ts";
import type { Conn } from "../transport.ts";

/**
 * A custom authentication method (RFC 1928 section 3): the number to offer, and the conversation that follows if the
 * proxy selects it.
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
   * Starts the conversation on a new connection. It yields messages, each with the length of the answer to wait for,
   * and receives that answer. It may return a connection that wraps {@linkcode AuthContext.conn}, which the client then
   * uses for the request and the tunnel. What it throws becomes the `cause` of an `AuthError` and is in no message.
   */
  negotiate(context: AuthContext): AuthSteps;
}

/**
 * The conversation of an {@linkcode AuthMethod}. Each step is a message to send in one write (`write`), the number of
 * bytes of the answer to wait for (`have`, at most 1 048 576; 0 only with a message that has no answer), and the number
 * of bytes that may be read if they are there (`most`). The result of `yield` is all of the answer that was read. If
 * the connection ends or the attempt is given up, the generator is ended where it waits, as by `return`.
 */
export type AuthSteps = Generator<Step, Conn | void, Uint8Array> | AsyncGenerator<Step, Conn | void, Uint8Array>;

/** What {@linkcode AuthMethod.negotiate} is called with. */
export interface AuthContext {
  /** `"host:port"` of the proxy, or the path of its socket. */
  readonly proxy: string;
  /** The credentials of the proxy, or `null`. Never those of one connect, which does not offer custom methods. */
  readonly credentials: Credentials | null;
  /** Aborts if the attempt is given up before the method has finished. */
  readonly signal: AbortSignal;
  /**
   * The connection, for the method to wrap: do not read or write before. `close()` of the wrapper must close it;
   * `ref()` and `unref()`, if it has them, should be passed on.
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
