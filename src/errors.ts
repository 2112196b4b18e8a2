/** The step of a connect in which something failed. */
export type Phase = "pool" | "dial" | "negotiate" | "authenticate" | "request" | "transfer";

/** What happened, as a stable name: switch on this, not on the message. */
export type Socks5ErrorCode =
  | `SOCKS5_PROXY_${"UNREACHABLE" | "DENIED" | "HUNG_UP" | "NOT_SOCKS5" | "BAD_METHOD" | "BAD_REPLY"}`
  | `SOCKS5_AUTH_${"NO_METHOD" | "REFUSED"}`
  | `SOCKS5_TARGET_${"FAILED" | "NOT_ALLOWED" | "NET_UNREACHABLE" | "HOST_UNREACHABLE"}`
  | `SOCKS5_TARGET_${"REFUSED" | "TTL_EXPIRED" | "BAD_COMMAND" | "BAD_ADDRESS_TYPE"}`
  | `SOCKS5_TARGET_${"UNKNOWN_REPLY" | "NO_REPLY"}`
  | `SOCKS5_${"TIMEOUT" | "ATTEMPT_TIMEOUT" | "CLIENT_CLOSED" | "CONN_CLOSED" | "CONN_RESET"}`;
