import { Buffer } from "node:buffer";
import { ClientTimeout } from "../client_conn.ts";
import { lines, text } from "./body.ts";
import { type Field, Unsupported } from "./head.ts";
import { Malformed, TooLong } from "../buffered_reader.ts";

/** A response of the local proxy itself, in place of the target's. The connection ends with it. */
export interface ErrorResponse {
  readonly status: number;
  readonly text: string;
  /** The type of error of RFC 9209. */
  readonly type?: string;
  /** The target that was not reached. */
  readonly target?: string;
  readonly fields?: readonly Field[];
}

/** The response that asks for user name and password. */
export const AUTH_REQUIRED: ErrorResponse = {
  status: 407,
  text: "User name and password, please",
  type: "http_request_denied",
  fields: [["Proxy-Authenticate", 'Basic realm="socks5", charset="UTF-8"']],
};

/** The response to a request that is malformed, unsupported or late; throws any other error. */
export function errorResponseOf(error: unknown): ErrorResponse {
  if (error instanceof TooLong) return { status: 431, text: `The head of the request is too long: ${error.message}` };
  if (error instanceof Malformed) return { status: 400, text: `Bad request: ${error.message}` };
  if (error instanceof Unsupported) return { status: error.status, text: error.message };
  if (error instanceof ClientTimeout) return { status: 408, text: "The request did not come in time" };
  throw error;
}

/** The bytes of a response. */
export function encodeErrorResponse(response: ErrorResponse, method: string): Uint8Array {
  const { status, text: what, type = "http_protocol_error", target, fields = [] } = response;
  const body = Buffer.from(`${what}\n`);
  const isOwn = (name: string) => ["connection", "content-length", "transfer-encoding"].includes(name);
  const has = (name: string) => fields.some(([it]) => it.toLowerCase() === name);
  const head = lines([
    ...fields.filter(([name]) => !isOwn(name.toLowerCase())),
    // RFC 9209: this is from the local proxy and not from the target
    ["Proxy-Status", `socks5; error=${type}${target === undefined ? "" : `; next-hop=${quoted(target)}`}`],
    ...(has("content-type") ? [] : [["Content-Type", "text/plain"] as const]),
    ["Content-Length", String(body.length)],
    ["Connection", "close"],
  ]);
  const sent = text(`HTTP/1.1 ${status} ${REASONS[status] ?? ""}\r\n${head}\r\n`);
  return method === "HEAD" ? sent : Buffer.concat([sent, body]);
}

/** A string of RFC 8941 section 3.3.3; names of hosts are printable ASCII. */
function quoted(value: string): string {
  return `"${value.replace(/["\\]/g, "\\$&")}"`;
}

const REASONS: Record<number, string> = {
  400: "Bad Request",
  403: "Forbidden",
  407: "Proxy Authentication Required",
  408: "Request Timeout",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
};
