import { AuthError, LocalError, ProxyError, Socks5Error, TargetError, TimeoutError } from "../src/errors.ts";

/** What a client is told of a failure: nothing that a web page must not know, such as the address of the proxy. */
export interface Failure {
  /** The status of the answer, for HTTP. */
  readonly status: number;
  /** The REP field, for SOCKS5. */
  readonly rep: number;
  /** The type of error of RFC 9209. */
  readonly type: string;
  /** What happened, and the code. */
  readonly text: string;
  /** Whether other credentials help. */
  readonly auth: boolean;
}

/** The front was asked to connect to itself. */
export class Loop extends Error {}

/** What a client is told of an error of `connect()`. */
export function failureOf(error: unknown): Failure {
  if (error instanceof Loop) {
    return { ...GENERAL, rep: 0x02, type: "proxy_loop_detected", text: "The front does not connect to itself" };
  }
  if (!(error instanceof Socks5Error)) return { ...GENERAL, text: "The connection failed" };
  const { code } = error;
  const [rep, type, text] = meaning(error);
  return {
    status: error instanceof TimeoutError ? 504 : 502,
    rep,
    type,
    text: `${text} (${code})`,
    auth: error instanceof AuthError,
  };
}

const GENERAL = { status: 502, rep: 0x01, type: "proxy_internal_error", auth: false };

// REP codes of RFC 1928 section 6
const REFUSALS: Record<number, [type: string, text: string]> = {
  0x02: ["destination_ip_prohibited", "The SOCKS5 proxy does not allow this target"],
  0x03: ["destination_ip_unroutable", "The network of the target is unreachable"],
  0x04: ["destination_unavailable", "The target is unreachable, or its name is unknown"],
  0x05: ["connection_refused", "The target refused the connection"],
  0x06: ["connection_timeout", "The target did not answer in time"],
};

function meaning(error: Socks5Error): [rep: number, type: string, text: string] {
  if (error instanceof TargetError) {
    const rep = error.rep ?? 0x01;
    return [rep, ...(REFUSALS[rep] ?? ["destination_unavailable", "The target was not reached"])];
  }
  if (error instanceof TimeoutError) return [0x06, "connection_timeout", "There was no connection in time"];
  if (error instanceof AuthError) {
    return [0x02, "proxy_configuration_error", "The SOCKS5 proxy refused the credentials"];
  }
  if (error instanceof ProxyError) return [0x01, "proxy_internal_error", "The SOCKS5 proxy did not do its part"];
  if (error instanceof LocalError) return [0x01, "proxy_internal_error", "The front cannot open a connection"];
  return [0x01, "proxy_internal_error", "The front is closing"];
}
