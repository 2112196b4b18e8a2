/** One hop of a fetch. */
export interface Hop {
  readonly url: URL;
  readonly method: string;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array<ArrayBuffer>> | null;
  readonly signal: AbortSignal;
}

const REDIRECTS = [301, 302, 303, 307, 308];
const MOST = 20;
const SHORT = 65_536;

/**
 * Fetches hop by hop, for a runtime that must not see where it goes (Fetch standard, "HTTP-redirect fetch"). A `source`
 * is what the request was made with: its body, if that is no stream, is sent again where it has to be.
 */
export async function follow(
  request: Request,
  source: unknown,
  send: (hop: Hop) => Promise<Response>,
): Promise<Response> {
  let url = new URL(request.url);
  let { method } = request;
  let body = request.body && (isStream(source) ? request.body : await atHand(request, source != null));
  const headers = new Headers(request.headers);
  for (let redirects = 0;; redirects++) {
    const response = await send({ url, method, headers, body, signal: request.signal });
    const { status } = response;
    const location = REDIRECTS.includes(status) ? response.headers.get("location") : null;
    if (location === null || request.redirect === "manual") return named(response, url, redirects > 0);
    await discard(response);
    if (request.redirect === "error") throw failed("a redirect, which redirect: error forbids");
    if (redirects === MOST) throw failed(`more than ${MOST} redirects`);
    const next = URL.parse(location, url);
    if (next === null || !/^https?:$/.test(next.protocol)) throw failed("a redirect to what is no web address");
    if (next.hash === "") next.hash = url.hash;
    if (status === 303 ? !/^(GET|HEAD)$/.test(method) : status < 303 && method === "POST") {
      method = "GET";
      body = null;
      for (const name of ["encoding", "language", "location", "type"]) headers.delete(`content-${name}`);
    } else if (body instanceof ReadableStream) {
      throw failed("a redirect, for which a body that is a stream cannot be sent again");
    }
    if (next.origin !== url.origin) {
      for (const name of ["authorization", "cookie", "proxy-authorization"]) headers.delete(name);
    }
    url = next;
  }
}

function isStream(source: unknown): boolean {
  return typeof source === "object" && source !== null && Symbol.asyncIterator in source;
}

/** Reads what is short, so that the connection can be used again. */
async function discard(response: Response): Promise<void> {
  if (Number(response.headers.get("content-length") ?? Infinity) > SHORT) await response.body?.cancel();
  else await response.arrayBuffer();
}

/** All of a body that is no stream. That of a request which somebody else made is one if it is not there in a turn. */
async function atHand(request: Request, whole: boolean): Promise<Hop["body"]> {
  if (whole) return new Uint8Array(await request.arrayBuffer());
  const reader = request.clone().body!.getReader();
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<"late">((resolve) => timer = setTimeout(() => resolve("late")));
  for (;;) {
    const read = await Promise.race([reader.read(), late]);
    if (read === "late") {
      reader.cancel().catch(() => {});
      return request.body as ReadableStream<Uint8Array<ArrayBuffer>>;
    }
    if (!read.done) {
      chunks.push(read.value);
      continue;
    }
    clearTimeout(timer);
    return new Uint8Array(await new Blob(chunks).arrayBuffer());
  }
}

/** The response as one of that URL, as its copies are. */
function named(response: Response, { href, hash }: URL, redirected: boolean): Response {
  const url = href.slice(0, href.length - hash.length);
  const clone = () => named(Response.prototype.clone.call(response), new URL(url), redirected);
  return Object.defineProperties(response, {
    url: { value: url },
    redirected: { value: redirected },
    clone: { value: clone },
  });
}

function failed(why: string): TypeError {
  return new TypeError(`Cannot fetch: ${why}`);
}
