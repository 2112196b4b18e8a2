import type { FetchRequest } from "./request.ts";
import type { RequestBody } from "./request_body.ts";

/** One request of a fetch: its first, or one that a redirect leads to. */
export interface Hop extends Pick<FetchRequest, "url" | "method" | "headers" | "session"> {
  readonly body: RequestBody | null;
}

/** How long the head of an answer may be. */
export const MAX_HEADER_BYTES = 262_144; // as in Chromium

/** The fields of a request. */
export type Fields = Record<string, string>;

// What is done twice is as good as done once (RFC 9110 section 9.2.2).
const IDEMPOTENT = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"];

/** Whether a request can be sent again, and nothing can come of it twice. */
export function mayRepeat({ method, headers, body }: Hop): boolean {
  return body?.kind !== "stream" && (IDEMPOTENT.includes(method) || headers.has("idempotency-key"));
}

/** What of a URL a request says: the path and the query. */
export function pathOf({ pathname, search, href }: URL): string {
  return pathname + (search || (/\?(#|$)/.test(href) ? "?" : ""));
}
