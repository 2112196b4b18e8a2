import type { Socks5Error } from "./errors.ts";
import type { Socks5Event } from "./events.ts";
import type { PoolLimits } from "./pool.ts";
import type { Credentials } from "./proxy.ts";
import type { Transport } from "./transport.ts";

/**
 * How a client connects. Times are milliseconds; `Infinity` is "no limit" and 0 is 0; a negative number, `NaN` or more
 * than 2147483647 is a `RangeError` of the constructor.
 */
export interface Socks5Options<S = unknown> {
  /** What opens the connections to the proxy. Default: the sockets of the running runtime. */
  transport?: Transport<S> | undefined;
  /**
   * `"optional"` offers "no authentication" besides user name and password, `"required"` does not. Only for the
   * credentials of the proxy: those of one connect are always required, and `null` there is none. Default: `"optional"`.
   */
  auth?: "optional" | "required" | undefined;
  /** One connect with all that is in it. Default: 30 000. */
  timeout?: number | undefined;
  /** One dial and handshake; the reply of the proxy may take longer unless another proxy is left to try. Default: 10 000. */
  attemptTimeout?: number | undefined;
  /** Further rounds after a failure that may pass; 0 is none. Default: 3. */
  retry?: number | RetryOptions | undefined;
  /** How long a proxy that failed is passed over while another is left. Default: 30 000. */
  cooldown?: number | undefined;
  /** TCP_NODELAY. Default: `true`. */
  noDelay?: boolean | undefined;
  /** TCP keep-alive; a number is the initial delay, where the runtime has it. Default: `true`. */
  keepAlive?: boolean | number | undefined;
  /** How many tunnels, and how long. */
  pool?: PoolOptions | undefined;
  /** Told what happens, synchronously; what it throws is ignored, and a promise that it returns is not awaited. */
  onEvent?: ((event: Socks5Event) => void) | undefined;
}

/** When a failed connect is tried again. */
export interface RetryOptions {
  /** Further rounds over the proxies. Default: 3. */
  retries?: number | undefined;
  /** Shortest pause before the second round, then doubled each time; at most as much again is added at random. Default: 100. */
  minDelay?: number | undefined;
  /** The longest pause. Default: 5 000. */
  maxDelay?: number | undefined;
  /** Decides instead of `error.retryable`; not asked about what cannot pass (a refused password, bytes that are not SOCKS5). What it throws rejects the connect. */
  when?: ((error: Socks5Error) => boolean) | undefined;
}

/** Limits of the pool. */
export interface PoolOptions {
  /** Opening, in use and idle together; at the limit `connect()` waits its turn. Default: 100. */
  maxOpen?: number | undefined;
  /** Released tunnels that are kept. Default: 10. */
  maxIdle?: number | undefined;
  /** How long a released tunnel is kept. Default: 90 000. */
  idleTimeout?: number | undefined;
  /** An older tunnel is not reused (up to a tenth earlier, so that not all end at once). Default: 600 000. */
  maxLifetime?: number | undefined;
}

/** How one connect differs from the others of its client. */
export interface ConnectOptions {
  /** Cancels with its own reason until the promise settles; never closes what was handed over. */
  signal?: AbortSignal | undefined;
  /** Instead of the client's. */
  timeout?: number | undefined;
  /** Instead of the proxy's own, and never dropped silently; `null`: none. */
  credentials?: Credentials | null | undefined;
  /** `true`: may give a tunnel that was released, and may itself be released. Default: `false`, a fresh one. */
  reuse?: boolean | undefined;
}

/** Options with all defaults, checked. */
export interface Settings extends PoolLimits {
  readonly auth: "optional" | "required";
  readonly timeout: number;
  readonly attemptTimeout: number;
  readonly retries: number;
  readonly minDelay: number;
  readonly maxDelay: number;
  readonly when: ((error: Socks5Error) => boolean) | undefined;
  readonly cooldown: number;
  readonly noDelay: boolean;
  readonly keepAlive: boolean | number;
  readonly maxLifetime: number;
}

/** The longest time that `setTimeout` takes, in milliseconds. */
export const LONGEST: number = 2 ** 31 - 1;

/** Checks the options; throws a `TypeError` or a `RangeError` that names the option and what was given. */
export function settings(options: Omit<Socks5Options, "transport" | "onEvent">): Settings {
  const { auth = "optional", noDelay = true, keepAlive = true } = options;
  const pool: PoolOptions = group("pool", "an object", options.pool);
  const short = typeof options.retry === "number" ? options.retry : undefined;
  const retry: RetryOptions = short === undefined ? group("retry", "a number or an object", options.retry) : {};
  if (auth !== "optional" && auth !== "required") {
    throw new TypeError(cannot("auth", '"optional" or "required"', NOT_SHOWN));
  }
  if (typeof noDelay !== "boolean") throw new TypeError(cannot("noDelay", "a boolean", noDelay));
  if (retry.when !== undefined && typeof retry.when !== "function") {
    throw new TypeError(cannot("retry.when", "a function", retry.when));
  }
  return {
    auth,
    noDelay,
    keepAlive: typeof keepAlive === "boolean"
      ? keepAlive
      : finite("keepAlive", milliseconds("keepAlive", keepAlive, 0)),
    timeout: milliseconds("timeout", options.timeout, 30_000),
    attemptTimeout: milliseconds("attemptTimeout", options.attemptTimeout, 10_000),
    retries: count(short === undefined ? "retry.retries" : "retry", short ?? retry.retries, 3),
    minDelay: finite("retry.minDelay", milliseconds("retry.minDelay", retry.minDelay, 100)),
    maxDelay: milliseconds("retry.maxDelay", retry.maxDelay, 5_000),
    when: retry.when,
    cooldown: milliseconds("cooldown", options.cooldown, 30_000),
    maxOpen: count("pool.maxOpen", pool.maxOpen, 100),
    maxIdle: count("pool.maxIdle", pool.maxIdle, 10),
    idleTimeout: milliseconds("pool.idleTimeout", pool.idleTimeout, 90_000),
    maxLifetime: milliseconds("pool.maxLifetime", pool.maxLifetime, 600_000),
  };
}

/** A number of milliseconds: 0 to 2147483647, or `Infinity`. */
export function milliseconds(name: string, value: number | undefined, fallback: number): number {
  return checked(name, value, fallback, `milliseconds from 0 to ${LONGEST} or Infinity`, (n) => n <= LONGEST);
}

function count(name: string, value: number | undefined, fallback: number): number {
  return checked(name, value, fallback, "a whole number from 0 or Infinity", Number.isInteger);
}

function checked(name: string, value: unknown, fallback: number, want: string, fits: (n: number) => boolean): number {
  if (value === undefined) return fallback;
  if (typeof value !== "number") throw new TypeError(cannot(name, want, value));
  if (!(value === Infinity || (value >= 0 && fits(value)))) throw new RangeError(cannot(name, want, value));
  return value;
}

/** An option that is a group of options: anything else would be dropped silently. */
function group<T>(name: string, want: string, value: T | undefined): T | Record<never, never> {
  if (value === undefined) return {};
  if (typeof value !== "object" || value === null) throw new TypeError(cannot(name, want, value));
  return value;
}

function finite(name: string, value: number): number {
  if (value === Infinity) throw new RangeError(cannot(name, `milliseconds from 0 to ${LONGEST}`, value));
  return value;
}

// for what may be a password in a wrong place
const NOT_SHOWN = { toString: () => "(redacted)" };

/** The message of a wrong argument. */
export function cannot(name: string, want: string, got: unknown): string {
  return `Cannot use ${name} as ${want}: current value is ${
    typeof got === "string" ? JSON.stringify(got) : String(got)
  }`;
}
