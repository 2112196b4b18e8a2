import type { Fields, Hop } from "./hop.ts";

// Matters of the connection (RFC 9110 section 7.6.1) and of the URL. What is meant for a proxy would reach the target.
const NOT_FORWARDED = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "http2-settings",
  "keep-alive",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

const USER_AGENT = globalThis.navigator?.userAgent ?? "node"; // Node 20 has no navigator

/** The fields of a request as they are sent ("HTTP-network-or-cache fetch" of the Fetch standard). */
export function requestFields(hop: Hop, cache: RequestCache, acceptEncoding: string): Fields {
  const { url, headers } = hop;
  const fields: Fields = { host: url.host };
  for (const [name, value] of headers) if (!NOT_FORWARDED.has(name)) fields[name] = value;
  fields["accept"] ??= "*/*";
  fields["accept-language"] ??= "*";
  fields["user-agent"] ??= USER_AGENT;
  fields["accept-encoding"] ??= headers.has("range") ? "identity" : acceptEncoding;
  if (cache === "no-cache") fields["cache-control"] ??= "max-age=0";
  if (cache === "no-store" || cache === "reload") {
    fields["pragma"] ??= "no-cache";
    fields["cache-control"] ??= "no-cache";
  }
  if (/\bclose\b/i.test(headers.get("connection") ?? "")) fields["connection"] = "close";
  const length = contentLength(hop);
  if (length !== undefined) fields["content-length"] = length;
  return fields;
}

/** What the body has counts, whatever the caller says; of a stream only the caller knows, if anybody. */
function contentLength({ method, headers, body }: Hop): string | undefined {
  if (body?.kind !== "stream") {
    return body !== null || method === "POST" || method === "PUT" || method === "PATCH"
      ? String(body?.length ?? 0)
      : undefined;
  }
  const given = headers.get("content-length") ?? undefined;
  if (given !== undefined && !/^\d+$/.test(given)) {
    throw new TypeError("Cannot use the field Content-Length of init.headers: it is not a whole number");
  }
  return given;
}
