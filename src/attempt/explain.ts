import type { Proxy } from "../config/proxy_url.ts";
import {
  type Aim,
  brief,
  cannotConnect,
  type Phase,
  ProtocolError,
  socks5Error,
  type Socks5ErrorCode,
} from "../errors.ts";
import type { Identity } from "./handshake.ts";

/** What an error means in a phase, as an error of ours; wrong arguments stay what they are. */
export function explain(
  error: unknown,
  phase: Phase,
  proxy: Pick<Proxy, "name">,
  identity: Pick<Identity, "credentials" | "custom">,
  { verb, target }: Aim,
): unknown {
  const through = phase === "lookup" ? null : proxy.name;
  const context = { phase, proxy: through, target };
  const fail = (code: Socks5ErrorCode, why: string, more: { cause?: unknown; rep?: number | null } = {}) =>
    socks5Error(code, `${cannotConnect(through, target, verb)}: ${why}`, { ...context, ...more });
  if (error instanceof ProtocolError && error.code !== "SOCKS5_PROXY_HUNG_UP") {
    const hint = error.rep === 0x02 ? afterPassword(identity) : "";
    return fail(error.code, error.message + hint, { rep: error.rep, cause: error.cause });
  }
  if (error instanceof TypeError || error instanceof RangeError) return error;
  const eof = error instanceof ProtocolError;
  const cause = eof ? undefined : error;
  const hungUp = eof ? "the proxy closed the connection" : "the proxy broke the connection";
  if (phase === "dial") {
    if (isNotPermitted(error)) {
      return fail("SOCKS5_LOCAL_NOT_PERMITTED", `this process may not connect (${brief(error)})`, { cause });
    }
    return isOutOfFiles(error)
      ? fail("SOCKS5_LOCAL_FAILED", `this process has too many files open to connect (${brief(error)})`, { cause })
      : fail("SOCKS5_PROXY_UNREACHABLE", `the proxy cannot be reached (${brief(error)})`, { cause });
  }
  if (phase === "request") {
    return fail("SOCKS5_TARGET_NO_REPLY", `${hungUp} before it replied${afterPassword(identity)}`, { cause });
  }
  if (phase === "transfer") return fail("SOCKS5_CONN_RESET", "the tunnel broke before a byte came", { cause });
  return eof && phase === "authenticate"
    ? fail("SOCKS5_AUTH_REFUSED", `${hungUp} after the user name and password`)
    : fail("SOCKS5_PROXY_HUNG_UP", `${hungUp} in the handshake`, { cause });
}

function afterPassword({ credentials, custom }: Pick<Identity, "credentials" | "custom">): string {
  return credentials === null && custom.length === 0 ? "" : "; it may not accept the credentials";
}

/** Whether the runtime or the system forbids it: no other proxy and no pause helps. */
export function isNotPermitted(error: unknown): boolean {
  const { name, code } = (error ?? {}) as { name?: unknown; code?: unknown };
  return name === "NotCapable" || name === "PermissionDenied" || code === "EACCES" || code === "EPERM";
}

function isOutOfFiles(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return code === "EMFILE" || code === "ENFILE";
}
