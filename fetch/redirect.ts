import { Buffer } from "node:buffer";
import type { IncomingMessage } from "node:http";
import type { Answer, Hop } from "./exchange.ts";
import { checkHttp } from "./request.ts";

const STATUSES = [301, 302, 303, 307, 308];
const ABOUT_THE_BODY = ["content-encoding", "content-language", "content-length", "content-location", "content-type"];
const OF_THE_ORIGIN = ["authorization", "cookie"];

const MAX_DRAIN_BYTES = 65_536;
const MAX_DRAIN_TIME = 1_000;

/** Where an answer redirects to; `null` if it is no redirect. */
export function locationOf({ statusCode = 0, headers }: IncomingMessage): string | null {
  return STATUSES.includes(statusCode) ? headers.location ?? null : null;
}

/**
 * The request that follows a redirect (Fetch standard, "HTTP-redirect fetch").
 *
 * @throws {TypeError} If it leads to where nothing may be sent, or the body cannot be sent again.
 */
export function nextHop(hop: Hop, status: number, location: string): Hop {
  const url = nextUrl(hop.url, location);
  let { method, body } = hop;
  if (body?.kind === "stream" && status !== 303) {
    throw new TypeError("Cannot follow a redirect: the body of the request is a stream, which cannot be sent again");
  }
  const headers = new Headers(hop.headers);
  if (status === 303 ? method !== "GET" && method !== "HEAD" : status < 303 && method === "POST") {
    method = "GET";
    body = null;
    for (const name of ABOUT_THE_BODY) headers.delete(name);
  }
  if (url.origin !== hop.url.origin) { for (const name of OF_THE_ORIGIN) headers.delete(name); }
  return { ...hop, url, method, headers, body };
}

function nextUrl(from: URL, location: string): URL {
  const text = utf8Of(location);
  const url = URL.canParse(text, from) ? new URL(text, from) : undefined;
  if (url === undefined) throw new TypeError("Cannot follow a redirect: its Location is malformed");
  checkHttp(url);
  if (url.origin !== from.origin && (url.username !== "" || url.password !== "")) {
    throw new TypeError(`Cannot follow a redirect to ${url.origin}: its Location has credentials in it`);
  }
  if (!text.includes("#")) url.hash = from.hash;
  return url;
}

/** A field as the target meant it: node:http gives its bytes as Latin-1. */
function utf8Of(field: string): string {
  const text = Buffer.from(field, "latin1").toString();
  return text.includes("\ufffd") ? field : text;
}

/** Reads what is left of an answer, so that its connection can be used again; closes it if that is much, or takes long. */
export function drain({ message, request }: Pick<Answer, "message" | "request">): Promise<void> {
  return new Promise((resolve) => {
    let left = MAX_DRAIN_BYTES;
    const timer = setTimeout(() => message.destroy(), MAX_DRAIN_TIME);
    const done = () => {
      clearTimeout(timer);
      resolve();
    };
    if (message.destroyed) return done(); // it has said so already
    message.on("end", done).on("close", done).on("data", (bytes: Uint8Array) => {
      if ((left -= bytes.length) < 0) message.destroy();
    });
    if (!request.writableEnded) request.destroy(); // what is still to be sent is for nobody
  });
}
