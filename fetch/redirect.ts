import type { Answer } from "./exchange.ts";
import type { Hop } from "./hop.ts";
import { checkHttp, type FetchRequest } from "./request.ts";

const STATUSES = [301, 302, 303, 307, 308];
const ABOUT_THE_BODY = ["content-encoding", "content-language", "content-length", "content-location", "content-type"];
const OF_THE_ORIGIN = ["authorization", "cookie"];

const MAX_DRAIN_BYTES = 65_536;
const MAX_DRAIN_TIME = 1_000;

const MAX_REDIRECTS = 20;

/** What a fetch does on its way from hop to hop. */
export interface Ways<A> {
  /** Sends a request and gives the answer. */
  exchange(hop: Hop): Promise<A>;
  statusOf(answer: A): number;
  /** {@linkcode locationOf} */
  locationOf(answer: A): string | null;
  /** Reads what is left of an answer. */
  drain(answer: A): Promise<void>;
}

/** Goes from the first hop to the one whose answer is no redirect ("HTTP-redirect fetch" of the Fetch standard). */
export async function follow<A>(
  { redirect, mode }: Pick<FetchRequest, "redirect" | "mode">,
  first: Hop,
  ways: Ways<A>,
): Promise<{ answer: A; hop: Hop; redirected: boolean }> {
  let hop = first;
  for (let redirects = 0;; redirects++) {
    const answer = await ways.exchange(hop);
    const location = ways.locationOf(answer);
    if (location === null || redirect === "manual") return { answer, hop, redirected: redirects > 0 };
    if (redirect === "error") throw new TypeError('Cannot follow a redirect: init.redirect is "error"');
    if (redirects === MAX_REDIRECTS) {
      throw new TypeError(`Cannot follow a redirect: there were ${MAX_REDIRECTS} before it`);
    }
    const next = nextHop(hop, ways.statusOf(answer), location);
    if (mode === "same-origin" && next.url.origin !== hop.url.origin) {
      throw new TypeError('Cannot follow a redirect to another origin: init.mode is "same-origin"');
    }
    const drained = ways.drain(answer);
    if (next.url.origin === hop.url.origin) await drained; // its connection serves the next request
    hop = next;
  }
}

/** Where an answer redirects to; `null` if it is no redirect. */
export function locationOf(status: number, location: string | undefined): string | null {
  return STATUSES.includes(status) ? location ?? null : null;
}

/**
 * The request that follows a redirect (Fetch standard, "HTTP-redirect fetch").
 *
 * @throws {TypeError} If it leads to where nothing may be sent, or the body cannot be sent again.
 */
function nextHop(hop: Hop, status: number, location: string): Hop {
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

/** A field as the target meant it: it has a character for each byte. */
function utf8Of(field: string): string {
  const text = new TextDecoder().decode(Uint8Array.from(field, (byte) => byte.charCodeAt(0)));
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
