import { MAX_DELAY, type Settings } from "../config/settings.ts";
import type { Socks5Error, Socks5ErrorCode } from "../errors.ts";

/** What follows from a failure. */
export interface Rule {
  /** Whether another address of the target is tried first, if this client has looked it up. */
  readonly address: boolean;
  /** Whether another proxy is tried at once. */
  readonly nextProxy: boolean;
  /** Whether this one is tried again after a pause; `"when"`: only if `retry.when` says so. */
  readonly retry: boolean | "when";
  /** Whether it is passed over for a while. */
  readonly cooldown: boolean;
}

/** What an attempt failed with, and what follows from it. */
export interface Verdict {
  readonly error: Socks5Error;
  readonly rule: Rule;
}

/** Nothing helps. */
export const GIVE_UP: Rule = { address: false, nextProxy: false, retry: false, cooldown: false };
const PROXY_FAILED: Rule = { address: false, nextProxy: true, retry: true, cooldown: true };
/** Another proxy may help, and never this one. */
export const PROXY_UNFIT: Rule = { address: false, nextProxy: true, retry: false, cooldown: true };
const TARGET_FAILED: Rule = { address: true, nextProxy: true, retry: "when", cooldown: false };
/** No other address of the target changes it. */
const REQUEST_FAILED: Rule = { ...TARGET_FAILED, address: false };

const TLS_HUNG_UP: Socks5ErrorCode = "SOCKS5_TLS_HUNG_UP";
const TLS_FAILED: Rule = { address: false, nextProxy: false, retry: "when", cooldown: false };

/** The policy: until the request is sent a failure is the proxy's, from then on the target's. */
export const POLICY: Readonly<Record<Socks5ErrorCode, Rule>> = {
  SOCKS5_PROXY_UNREACHABLE: PROXY_FAILED,
  SOCKS5_PROXY_HUNG_UP: PROXY_FAILED,
  SOCKS5_PROXY_NOT_SOCKS5: PROXY_UNFIT,
  SOCKS5_PROXY_BAD_METHOD: PROXY_UNFIT,
  SOCKS5_PROXY_BAD_REPLY: PROXY_UNFIT,
  SOCKS5_LOCAL_NOT_PERMITTED: GIVE_UP,
  SOCKS5_LOCAL_FAILED: GIVE_UP,
  SOCKS5_AUTH_NO_METHOD: PROXY_UNFIT,
  SOCKS5_AUTH_REFUSED: PROXY_UNFIT,
  SOCKS5_AUTH_FAILED: PROXY_UNFIT,
  SOCKS5_TARGET_FAILED: TARGET_FAILED,
  SOCKS5_TARGET_NOT_ALLOWED: REQUEST_FAILED,
  SOCKS5_TARGET_NET_UNREACHABLE: TARGET_FAILED,
  SOCKS5_TARGET_HOST_UNREACHABLE: TARGET_FAILED,
  SOCKS5_TARGET_REFUSED: { ...TARGET_FAILED, nextProxy: false },
  SOCKS5_TARGET_TTL_EXPIRED: TARGET_FAILED,
  SOCKS5_TARGET_BAD_COMMAND: REQUEST_FAILED,
  SOCKS5_TARGET_BAD_ADDRESS_TYPE: TARGET_FAILED,
  SOCKS5_TARGET_UNKNOWN_REPLY: REQUEST_FAILED,
  SOCKS5_TARGET_NO_REPLY: TARGET_FAILED,
  SOCKS5_TARGET_NOT_FOUND: { ...REQUEST_FAILED, nextProxy: false },
  SOCKS5_TARGET_ONION_NOT_FOUND: REQUEST_FAILED,
  SOCKS5_TARGET_ONION_IS_INVALID: REQUEST_FAILED,
  SOCKS5_TARGET_ONION_INTRO_FAILED: REQUEST_FAILED,
  SOCKS5_TARGET_ONION_REND_FAILED: REQUEST_FAILED,
  SOCKS5_TARGET_ONION_MISSING_CLIENT_AUTH: REQUEST_FAILED,
  SOCKS5_TARGET_ONION_BAD_CLIENT_AUTH: REQUEST_FAILED,
  SOCKS5_TARGET_ONION_BAD_ADDRESS: { ...REQUEST_FAILED, nextProxy: false },
  SOCKS5_TARGET_ONION_INTRO_TIMEDOUT: REQUEST_FAILED,
  SOCKS5_TLS_UNTRUSTED: TLS_FAILED,
  SOCKS5_TLS_WRONG_NAME: TLS_FAILED,
  SOCKS5_TLS_EXPIRED: TLS_FAILED,
  SOCKS5_TLS_NOT_TLS: TLS_FAILED,
  SOCKS5_TLS_PLAINTEXT: TLS_FAILED,
  SOCKS5_TLS_REFUSED: TLS_FAILED,
  SOCKS5_TLS_HUNG_UP: TLS_FAILED,
  SOCKS5_TLS_FAILED: TLS_FAILED,
  SOCKS5_TIMEOUT: GIVE_UP,
  SOCKS5_ATTEMPT_TIMEOUT: PROXY_FAILED,
  SOCKS5_CLIENT_CLOSED: GIVE_UP,
  SOCKS5_CONN_CLOSED: GIVE_UP,
  SOCKS5_CONN_RESET: GIVE_UP,
};

/** The rule for an error; `perCall`: with credentials of this connect, which no other proxy takes either. */
export function ruleFor({ code, phase }: Socks5Error, perCall: boolean): Rule {
  if (code === "SOCKS5_ATTEMPT_TIMEOUT" && phase === "request") return { ...TARGET_FAILED, retry: false };
  if (phase === "dial" && code.startsWith("SOCKS5_TLS_")) return code === TLS_HUNG_UP ? PROXY_FAILED : PROXY_UNFIT;
  if (perCall && code.startsWith("SOCKS5_AUTH_")) return GIVE_UP;
  return POLICY[code];
}

/** The pause after a round, in milliseconds: doubled each time, and up to half of it left out at random. */
export function pauseAfter(round: number, { minDelay, maxDelay }: Settings): number {
  return Math.min(maxDelay, minDelay * 2 ** Math.min(round + 1, 30), MAX_DELAY) * (0.5 + Math.random() / 2);
}
