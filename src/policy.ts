import type { Socks5Error, Socks5ErrorCode } from "./errors.ts";

/** What follows from a failure. */
export interface Rule {
  /** Whether another proxy is tried at once. */
  readonly next: boolean;
  /** Whether this one is tried again after a pause; `"when"`: only if `retry.when` says so. */
  readonly again: boolean | "when";
  /** Whether it is passed over for a while. */
  readonly cools: boolean;
}

/** Nothing helps. */
export const GIVE_UP: Rule = { next: false, again: false, cools: false };
const PROXY_FAILED: Rule = { next: true, again: true, cools: true };
/** Another proxy may help, and never this one. */
export const PROXY_UNFIT: Rule = { next: true, again: false, cools: true };
const TARGET_FAILED: Rule = { next: true, again: "when", cools: false };

/** The policy: until the request is sent a failure is the proxy's, from then on the target's. */
export const POLICY: Readonly<Record<Socks5ErrorCode, Rule>> = {
  SOCKS5_PROXY_UNREACHABLE: PROXY_FAILED,
  SOCKS5_PROXY_DENIED: GIVE_UP,
  SOCKS5_PROXY_HUNG_UP: PROXY_FAILED,
  SOCKS5_PROXY_NOT_SOCKS5: PROXY_UNFIT,
  SOCKS5_PROXY_BAD_METHOD: PROXY_UNFIT,
  SOCKS5_PROXY_BAD_REPLY: PROXY_UNFIT,
  SOCKS5_AUTH_NO_METHOD: PROXY_UNFIT,
  SOCKS5_AUTH_REFUSED: PROXY_UNFIT,
  SOCKS5_TARGET_FAILED: TARGET_FAILED,
  SOCKS5_TARGET_NOT_ALLOWED: TARGET_FAILED,
  SOCKS5_TARGET_NET_UNREACHABLE: TARGET_FAILED,
  SOCKS5_TARGET_HOST_UNREACHABLE: TARGET_FAILED,
  SOCKS5_TARGET_REFUSED: { ...TARGET_FAILED, next: false },
  SOCKS5_TARGET_TTL_EXPIRED: TARGET_FAILED,
  SOCKS5_TARGET_BAD_COMMAND: TARGET_FAILED,
  SOCKS5_TARGET_BAD_ADDRESS_TYPE: TARGET_FAILED,
  SOCKS5_TARGET_UNKNOWN_REPLY: TARGET_FAILED,
  SOCKS5_TARGET_NO_REPLY: TARGET_FAILED,
  SOCKS5_TIMEOUT: GIVE_UP,
  SOCKS5_ATTEMPT_TIMEOUT: PROXY_FAILED,
  SOCKS5_CLIENT_CLOSED: GIVE_UP,
  SOCKS5_CONN_CLOSED: GIVE_UP,
  SOCKS5_CONN_RESET: GIVE_UP,
};

/** The rule for an error; `perCall`: with credentials of this connect, which no other proxy takes either. */
export function ruleFor({ code, phase }: Socks5Error, perCall: boolean): Rule {
  if (code === "SOCKS5_ATTEMPT_TIMEOUT" && phase === "request") return { next: true, again: false, cools: false };
  if (perCall && code.startsWith("SOCKS5_AUTH_")) return GIVE_UP;
  return POLICY[code];
}
