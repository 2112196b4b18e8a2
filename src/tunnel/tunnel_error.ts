import { kindOf, socks5Error, type Socks5ErrorCode } from "../errors.ts";
import type { CloseReason } from "../events.ts";
import type { Socks5Conn } from "./socks5_conn.ts";

/** How a holder's hold on a tunnel ended. */
export type EndedBy = "closed" | "released" | "detached" | "securing" | "secured";

/** What an error of the runtime means to the holder; a wrong argument stays what it is. */
export function tunnelError(
  conn: Pick<Socks5Conn, "proxy" | "target">,
  what: string,
  endedBy: EndedBy | "closed for writing" | undefined,
  closedBy: CloseReason | undefined,
  cause?: unknown,
): unknown {
  if (cause instanceof TypeError) return cause;
  if (endedBy !== undefined) return connError(conn, "SOCKS5_CONN_CLOSED", what, WHY[endedBy], cause);
  if (closedBy === "evicted") {
    return connError(conn, "SOCKS5_CONN_CLOSED", what, "it was idle, and closed to make room", cause);
  }
  if (closedBy === "client") return connError(conn, "SOCKS5_CLIENT_CLOSED", what, "the client was closed", cause);
  return connError(conn, "SOCKS5_CONN_RESET", what, "the connection broke", cause);
}

const WHY: Readonly<Record<EndedBy | "closed for writing", string>> = {
  closed: "it was closed",
  released: "it was released",
  detached: "it was detached",
  securing: "TLS is being started on it",
  secured: "startTls() gave the tunnel to use instead",
  "closed for writing": "it was closed for writing",
};

/** The error of a tunnel that is not, or no longer, what it was used as. */
export function connError(
  { proxy, target }: Pick<Socks5Conn, "proxy" | "target">,
  code: Socks5ErrorCode,
  what: string,
  why: string,
  cause?: unknown,
): Error {
  const message = `Cannot ${what} ${target} through ${proxy}: ${why}`;
  return socks5Error(code, message, { phase: "transfer", proxy, target, cause });
}

/** The error of a wrong argument. */
export function noBytes({ target }: Pick<Socks5Conn, "target">, what: string, p: unknown): TypeError {
  return new TypeError(`Cannot ${what} ${target}: the argument must be a Uint8Array and is ${kindOf(p)}`);
}
