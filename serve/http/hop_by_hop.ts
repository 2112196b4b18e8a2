import { type Field, type Framing, hostOf, type RequestHead, type ResponseHead, tokensOf } from "./head.ts";

// what is for one connection alone (RFC 9110 section 7.6.1), and what the local proxy sets itself
const HOP_BY_HOP = new Set([
  "connection",
  "proxy-connection",
  "keep-alive",
  "te",
  "transfer-encoding",
  "content-length",
  "upgrade",
  "host",
  "proxy-authorization",
  "proxy-authenticate",
  "proxy-authentication-info",
]);

/** The fields that are forwarded: without those for one connection alone. */
export function forwarded(fields: readonly Field[]): Field[] {
  const named = new Set(tokensOf(fields, "connection"));
  return fields.filter(([name]) => !HOP_BY_HOP.has(name.toLowerCase()) && !named.has(name.toLowerCase()));
}

/** Whether a request asks for an upgrade to WebSocket, the one protocol that browsers upgrade to. */
export function upgrades({ fields, minor, body }: RequestHead): boolean {
  return minor === 1 && body === 0 && tokensOf(fields, "connection").includes("upgrade") &&
    tokensOf(fields, "upgrade").join() === "websocket";
}

/** Whether the sender of a head keeps the connection open. */
export function persists({ fields, minor }: RequestHead | ResponseHead): boolean {
  const options = [...tokensOf(fields, "connection"), ...tokensOf(fields, "proxy-connection")];
  return minor === 1 && !options.includes("close");
}

/** The fields of a request as the target gets them. */
export function requestFields(request: RequestHead, keeps: boolean): Field[] {
  return [
    ["Host", hostOf(request.target)],
    ...forwarded(request.fields),
    ...framed(request.body, request.body !== 0 || tokensOf(request.fields, "content-length").length > 0),
    ...(upgrades(request) ? UPGRADE : keeps ? [] : CLOSE),
  ];
}

/** The fields of a response as the client gets them. */
export function responseFields(response: ResponseHead, as: Framing, keeps: boolean): Field[] {
  const { status, fields } = response;
  const lengths = tokensOf(fields, "content-length").slice(0, status < 200 || status === 204 ? 0 : 1);
  return [
    ...forwarded(fields),
    ...(as === 0 ? lengths.map((length): Field => ["Content-Length", length]) : framed(as, true)),
    ...(status === 101 ? UPGRADE : keeps || status < 200 ? [] : CLOSE),
  ];
}

const CLOSE: Field[] = [["Connection", "close"]];
const UPGRADE: Field[] = [["Connection", "Upgrade"], ["Upgrade", "websocket"]];

function framed(body: Framing, says: boolean): Field[] {
  if (body === "close" || !says) return [];
  return [body === "chunked" ? ["Transfer-Encoding", "chunked"] : ["Content-Length", String(body)]];
}
