import { cannot } from "./errors.ts";

/** Where a connection is to lead. */
export interface BypassTarget {
  /** A host name in lower case, or an IP address without brackets. */
  hostname: string;
  /** 1 to 65535. */
  port: number;
  /** `"http:"` or `"https:"`, if it is known: not of a tunnel through the local proxy. */
  protocol: string | undefined;
}

/**
 * Which targets are connected to directly, past every proxy: a function, or the result of `proxyFromEnv()`, which goes by
 * `NO_PROXY`; `null`, which that gives if there is no proxy, is none of them. This machine resolves the names of those
 * targets. A function that throws, or gives anything but a boolean, fails the connection.
 */
export type Bypass =
  | ((target: BypassTarget) => boolean)
  | { bypasses(target: { hostname: string; port: number }): boolean }
  | null;

/** Whether a target is connected to directly; throws what fails the connection. */
export type Bypasses = (target: BypassTarget) => boolean;

/** Checks the option `bypass`. */
export function parseBypass(bypass: Bypass | undefined): Bypasses | undefined {
  if (bypass === undefined || bypass === null) return undefined;
  const isEnv = typeof bypass === "object" && typeof bypass.bypasses === "function";
  if (!isEnv && typeof bypass !== "function") {
    throw new TypeError(cannot("bypass", "a function or the result of proxyFromEnv()", bypass));
  }
  return ({ hostname, port, protocol }) => {
    const host = hostname.replace(/^\[|\]$/g, "").toLowerCase();
    const answer: unknown = isEnv
      ? bypass.bypasses({ hostname: host, port })
      : (bypass as Bypasses)({ hostname: host, port, protocol });
    if (typeof answer === "boolean") return answer; // a promise is none, and would be true
    throw new TypeError(cannot("the result of bypass", "a boolean", answer));
  };
}
