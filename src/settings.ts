import { cannot, type Socks5Error } from "./errors.ts";
import { type AuthMethod, parseMethods } from "./method.ts";
import type { PoolOptions, RetryOptions, Socks5Options } from "./options.ts";

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
  readonly retries: number;
  readonly minDelay: number;
  readonly maxDelay: number;
  readonly when: ((error: Socks5Error) => boolean) | undefined;
  readonly cooldown: number;
  readonly noDelay: boolean;
  readonly keepAlive: boolean | number;
  readonly maxOpen: number;
  readonly maxIdle: number;
  readonly idleTimeout: number;
  readonly maxLifetime: number;
}

/** The longest time that `setTimeout` takes, in milliseconds. */
export const LONGEST: number = 2 ** 31 - 1;

const MOST_DATA = 65_536; // what the kernels on the way take, although nobody reads an answer yet

/** Checks the options; throws a `TypeError` or a `RangeError` that names the option and what was given. */
export function settings(options: Omit<Socks5Options, "transport" | "onEvent">): Settings {
  const { auth = "optional", handshake = "sequential", dns = "proxy", noDelay = true, keepAlive = true } = options;
  const pool: PoolOptions = group("pool", "an object", options.pool);
  const short = typeof options.retry === "number" ? options.retry : undefined;
  const retry: RetryOptions = short === undefined ? group("retry", "a number or an object", options.retry) : {};
  if (auth !== "optional" && auth !== "required") {
    throw new TypeError(cannot("auth", '"optional" or "required"', NOT_SHOWN));
  }
  if (handshake !== "sequential" && handshake !== "pipelined") {
    throw new TypeError(cannot("handshake", '"sequential" or "pipelined"', handshake));
  }
  if (dns !== "proxy" && dns !== "local") throw new TypeError(cannot("dns", '"proxy" or "local"', dns));
  if (typeof noDelay !== "boolean") throw new TypeError(cannot("noDelay", "a boolean", noDelay));
  if (retry.when !== undefined && typeof retry.when !== "function") {
    throw new TypeError(cannot("retry.when", "a function", retry.when));
  }
  const maxOpen = count("pool.maxOpen", pool.maxOpen, 100);
  const warm = count("pool.warm", pool.warm, 0);
  if (warm > maxOpen) throw new RangeError(cannot("pool.warm", `at most pool.maxOpen, which is ${maxOpen}`, warm));
  if (warm === Infinity) throw new RangeError(cannot("pool.warm", "a whole number from 0", warm));
  const warmTimeout = milliseconds("pool.warmTimeout", pool.warmTimeout, 20_000);
  if (warmTimeout < 1_000) throw new RangeError(cannot("pool.warmTimeout", "milliseconds from 1000", warmTimeout));
  return {
    auth,
    methods: parseMethods(options.methods),
    handshake,
    dns,
    warm,
    warmTimeout,
    warmIdle: milliseconds("pool.warmIdle", pool.warmIdle, 60_000),
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
    maxOpen,
    maxIdle: count("pool.maxIdle", pool.maxIdle, 10),
    idleTimeout: milliseconds("pool.idleTimeout", pool.idleTimeout, 90_000),
    maxLifetime: milliseconds("pool.maxLifetime", pool.maxLifetime, 600_000),
  };
}

/** A copy of the first bytes for a target; `undefined` if there are none. */
export function firstBytes(data: Uint8Array | undefined): Uint8Array | undefined {
  if (data === undefined) return undefined;
  if (!(data instanceof Uint8Array)) throw new TypeError(cannot("data", "a Uint8Array", typeof data));
  if (data.length > MOST_DATA) throw new RangeError(cannot("data", `at most ${MOST_DATA} bytes`, data.length));
  return data.length === 0 ? undefined : new Uint8Array(data); // slice() of a Buffer copies nothing
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
