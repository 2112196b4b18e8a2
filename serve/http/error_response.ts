import { Late } from "../client_conn.ts";
import { lines, text } from "./body.ts";
import { type Field, Unserved } from "./head.ts";
import { Malformed, TooLong } from "../buffered_reader.ts";

/** What the front answers itself, in place of a target; the connection ends with it. */
export interface Refusal {
  readonly status: number;
  readonly text: string;
  /** The type of error of RFC 9209. */
  readonly type?: string;
  /** Where no connection could be opened to. */
  readonly target?: string;
  readonly fields?: readonly Field[];
}

/** Asks for user name and password. */
export const UNAUTHORIZED: Refusal = {
  status: 407,
  text: "User name and password, please",
  type: "http_request_denied",
  fields: [["Proxy-Authenticate", 'Basic realm="socks5", charset="UTF-8"']],
};

/** What is wrong with a request that was not understood; throws what is no fault of it. */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof TooLong) return { status: 431, text: `The head of the request is too long: ${error.message}` };
  if (error instanceof Malformed) return { status: 400, text: `Bad request: ${error.message}` };
  if (error instanceof Unserved) return { status: error.status, text: error.message };
  if (error instanceof Late) return { status: 408, text: "The request did not come in time" };
  throw error;
}

/** The answer as it is sent. */
export function refusalBytes(refusal: Refusal, method: string): Uint8Array {
  const { status, text: what, type = "http_protocol_error", target, fields = [] } = refusal;
  const body = `${what}\n`;
  const head = lines([
    ...fields,
    // RFC 9209: who says it is the front and not the target
    ["Proxy-Status", `socks5; error=${type}${target === undefined ? "" : `; next-hop=${quoted(target)}`}`],
    ["Content-Type", "text/plain"],
    ["Content-Length", String(body.length)],
    ["Connection", "close"],
  ]);
  return text(`HTTP/1.1 ${status} ${REASONS[status]}\r\n${head}\r\n${method === "HEAD" ? "" : body}`);
}

/** A string of RFC 8941 section 3.3.3; names of hosts are printable ASCII. */
function quoted(value: string): string {
  return `"${value.replace(/["\\]/g, "\\$&")}"`;
}

const REASONS: Record<number, string> = {
  400: "Bad Request",
  407: "Proxy Authentication Required",
  408: "Request Timeout",
  431: "Request Header Fields Too Large",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
};
