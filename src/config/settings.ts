import { checkBoolean, checkFunction, checkOptions, choice, isBytes, type Known } from "../arguments.ts";
import { cannot, type Socks5Error } from "../errors.ts";
import type { Step } from "../protocol/steps.ts";
import type { Conn } from "../transport.ts";
import type { Balance, PoolOptions, RetryOptions, Socks5Options } from "./options.ts";
import type { Credentials } from "./proxy_url.ts";

/** Options with all defaults, checked. */
export interface Settings {
  readonly handshake: "sequential" | "pipelined";
  readonly dns: "proxy" | "local";
  readonly warm: number;
  readonly warmTimeout: number;
  readonly warmIdle: number;
  readonly auth: "optional" | "required";
  readonly methods: readonly AuthMethod[];
  readonly timeout: number;
  readonly attemptTimeout: number;
  readonly attemptDelay: number;
  readonly retries: number;
  readonly minDelay: number;
  readonly maxDelay: number;
  readonly when: ((error: Socks5Error) => boolean) | undefined;
  readonly balance: Balance;
  readonly cooldown: number;
  readonly maxCooldown: number;
  readonly trackSessions: number;
  readonly noDelay: boolean;
  readonly keepAlive: boolean | number;
  readonly maxOpen: number;
  readonly maxIdle: number;
  readonly idleTimeout: number;
  readonly maxLifetime: number;
}

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

/** The longest time that `setTimeout` takes, in milliseconds. */
export const MAX_DELAY: number = 2 ** 31 - 1;

const MOST_DATA = 65_536; // what the kernels on the way take, although nobody reads an answer yet

const RETRY: Known<RetryOptions> = { retries: true, minDelay: true, maxDelay: true, when: true };

const POOL: Known<PoolOptions> = {
  maxOpen: true,
  maxIdle: true,
  idleTimeout: true,
  maxLifetime: true,
  warm: true,
  warmTimeout: true,
  warmIdle: true,
};

/** Checks the options; throws a `TypeError` or a `RangeError` that names the option. */
export function settings(options: Omit<Socks5Options, "transport" | "onEvent" | "probe" | "shared">): Settings {
  const { auth = "optional", handshake = "sequential", dns = "proxy", noDelay = true, keepAlive = true } = options;
  const { balance = "first" } = options;
  const { pool: givenPool, retry: givenRetry } = options;
  const pool: PoolOptions = checkOptions("pool", givenPool, POOL);
  const short = typeof givenRetry === "number" ? givenRetry : undefined;
  const retry: RetryOptions = typeof givenRetry === "number"
    ? {}
    : checkOptions("retry", givenRetry, RETRY, "a number or an object");
  const { when } = retry;
  checkBoolean("noDelay", noDelay);
  checkFunction("retry.when", when);
  const maxOpen = count("pool.maxOpen", pool.maxOpen, 100);
  const warm = count("pool.warm", pool.warm, 0);
  if (warm > maxOpen) throw new RangeError(cannot("pool.warm", `a number up to pool.maxOpen, ${maxOpen}`, warm));
  if (warm === Infinity) throw new RangeError(cannot("pool.warm", "a whole number from 0", warm));
  const cooldown = milliseconds("cooldown", options.cooldown, 30_000);
  const maxCooldown = milliseconds("maxCooldown", options.maxCooldown, Math.min(10 * cooldown, MAX_DELAY));
  const warmTimeout = milliseconds("pool.warmTimeout", pool.warmTimeout, 20_000);
  if (warmTimeout < 1_000) throw new RangeError(cannot("pool.warmTimeout", "milliseconds from 1000", warmTimeout));
  return {
    auth: choice("auth", auth, ["optional", "required"]),
    methods: parseMethods(options.methods),
    handshake: choice("handshake", handshake, ["sequential", "pipelined"]),
    dns: choice("dns", dns, ["proxy", "local"]),
    warm,
    warmTimeout,
    warmIdle: milliseconds("pool.warmIdle", pool.warmIdle, 60_000),
    noDelay,
    keepAlive: typeof keepAlive === "boolean"
      ? keepAlive
      : finite("keepAlive", milliseconds("keepAlive", keepAlive, 0)),
    timeout: milliseconds("timeout", options.timeout, 30_000),
    attemptTimeout: milliseconds("attemptTimeout", options.attemptTimeout, 10_000),
    attemptDelay: milliseconds("attemptDelay", options.attemptDelay, 2_000),
    retries: count(short === undefined ? "retry.retries" : "retry", short ?? retry.retries, 3),
    minDelay: finite("retry.minDelay", milliseconds("retry.minDelay", retry.minDelay, 100)),
    maxDelay: milliseconds("retry.maxDelay", retry.maxDelay, 5_000),
    when,
    balance: choice("balance", balance, ["first", "round-robin", "random", "least-open", "fastest"]),
    cooldown,
    maxCooldown: Math.max(cooldown, maxCooldown),
    trackSessions: count("trackSessions", options.trackSessions, 0),
    maxOpen,
    maxIdle: count("pool.maxIdle", pool.maxIdle, 10),
    idleTimeout: milliseconds("pool.idleTimeout", pool.idleTimeout, 90_000),
    maxLifetime: milliseconds("pool.maxLifetime", pool.maxLifetime, 600_000),
  };
}

/** A copy of the first bytes for a target; `undefined` if there are none. */
export function firstBytes(data: Uint8Array | undefined): Uint8Array | undefined {
  if (data === undefined) return undefined;
  if (!isBytes(data)) throw new TypeError(cannot("data", "a Uint8Array", data));
  if (data.length > MOST_DATA) throw new RangeError(cannot("data.length", `a number up to ${MOST_DATA}`, data.length));
  return data.length === 0 ? undefined : new Uint8Array(data); // slice() of a Buffer copies nothing
}

/** A number of milliseconds: 0 to 2147483647, or `Infinity`. */
export function milliseconds(name: string, value: number | undefined, fallback: number): number {
  return checked(name, value, fallback, `milliseconds from 0 to ${MAX_DELAY} or Infinity`, (n) => n <= MAX_DELAY);
}

/** A whole number from 0, or `Infinity`. */
export function count(name: string, value: number | undefined, fallback: number): number {
  return checked(name, value, fallback, "a whole number from 0 or Infinity", Number.isInteger);
}

/** Checks the option `methods`; throws a `TypeError` or a `RangeError` that names it. */
function parseMethods(methods: readonly AuthMethod[] | undefined): readonly AuthMethod[] {
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

function checked(name: string, value: unknown, fallback: number, want: string, fits: (n: number) => boolean): number {
  if (value === undefined) return fallback;
  if (typeof value !== "number") throw new TypeError(cannot(name, want, value));
  if (!(value === Infinity || (value >= 0 && fits(value)))) throw new RangeError(cannot(name, want, value));
  return value;
}

function finite(name: string, value: number): number {
  if (value === Infinity) throw new RangeError(cannot(name, `milliseconds from 0 to ${MAX_DELAY}`, value));
  return value;
}
