import { parseSession } from "../src/arguments.ts";
import { cannot } from "../src/errors.ts";
import { bodyOf, cancelBody, isStream, type RequestBody, type TakenBody, takenFrom } from "./request_body.ts";

/** One call of a fetch, as it was at the call: what the standard's `Request` would have. */
export interface FetchRequest {
  readonly url: URL;
  readonly method: string;
  readonly headers: Headers;
  readonly body: RequestBody | TakenBody | null;
  readonly redirect: RequestRedirect;
  readonly mode: RequestMode;
  readonly integrity: string;
  readonly cache: RequestCache;
  readonly signal: AbortSignal | null;
  readonly session: string | undefined;
}

/** The options of one call: those of the standard, and `session`, which is another one than that of Bun's types. */
export type FetchInit = Omit<RequestInit, "session"> & {
  /**
   * An identity that keeps its proxy, 1 to 255 bytes of UTF-8, as `connect()` of the client takes it. A connection serves
   * one session alone. Default: that of the fetch.
   */
  session?: string | undefined;
};

const NORMALIZED = ["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"];
const FORBIDDEN = ["CONNECT", "TRACE", "TRACK"];
const TOKEN = /^[!#$%&'*+.^_`|~\w-]+$/;

// What the enumerations of RequestInit may say (Fetch standard, "Request class"). A mode "navigate" is a browser's.
const ENUMS: [name: string, values: readonly string[]][] = Object.entries({
  cache: ["default", "no-store", "reload", "no-cache", "force-cache"],
  credentials: ["omit", "same-origin", "include"],
  duplex: ["half"],
  mode: ["same-origin", "no-cors", "cors"],
  priority: ["high", "low", "auto"],
  redirect: ["follow", "error", "manual"],
  referrerPolicy: [
    "",
    "no-referrer",
    "no-referrer-when-downgrade",
    "origin",
    "origin-when-cross-origin",
    "same-origin",
    "strict-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
  ],
});

// By these the runtimes' own fetch would connect in another way. An `agent` is none of them: nobody looks at that.
const HOOKS = ["client", "dispatcher", "protocol", "proxy", "tls", "unix"];

// Ports of other protocols, whose servers could take a request for something else (Fetch standard, "Port blocking").
const BAD_PORTS = new Set([
  ..."0 1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113 115 117".split(
    " ",
  ),
  ..."119 123 135 137 139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554 556 563 587 601".split(
    " ",
  ),
  ..."636 989 990 993 995 1719 1720 1723 2049 3659 4045 4190 5060 5061 6000 6566 6665 6666 6667 6668 6669".split(" "),
  ..."6679 6697 10080".split(" "),
]);

/**
 * Checks what a fetch is given, on every runtime by the same rules, and copies it; throws the reason of a signal that has
 * aborted. Nothing of a URL or a field is shown by an error, since both may have a password in them.
 *
 * @param usual The session of a call that has none of its own.
 */
export function requestOf(input: RequestInfo | URL, options: FetchInit | null, usual?: string): FetchRequest {
  const init: FetchInit & { duplex?: "half" } = options ?? {};
  if (typeof init !== "object") throw new TypeError(cannot("init", "an object", init));
  const given = init as Record<string, unknown>;
  for (const hook of HOOKS) {
    if (given[hook] === undefined) continue;
    throw new TypeError(`Cannot use init.${hook}: this fetch has its own way to connect, and no other`);
  }
  for (const [name, values] of ENUMS) {
    const value = given[name];
    if (value === undefined || values.includes(String(value))) continue;
    throw new TypeError(`Cannot use init.${name}: it must be one of ${values.map((it) => `"${it}"`).join(", ")}`);
  }
  if (given.window != null) throw new TypeError("Cannot use init.window: it must be null");
  if (given.referrer !== undefined && given.referrer !== "" && !URL.canParse(String(given.referrer))) {
    throw new TypeError("Cannot use init.referrer: it is not a URL");
  }
  const request = isRequest(input) ? input : undefined;
  const { method: givenMethod, headers: fields, body: givenBody, mode, signal: givenSignal, duplex } = init;
  const session = parseSession(init.session, "init.session") ?? usual;
  const url = urlOf(request?.url ?? String(input));
  const method = methodOf(givenMethod ?? request?.method ?? "GET");
  const headers = headersOf(fields ?? request?.headers);
  if (givenBody != null && (method === "GET" || method === "HEAD")) {
    throw new TypeError(`Cannot use init.body: the method is ${method}`);
  }
  if (mode === "no-cors" && !["GET", "HEAD", "POST"].includes(method)) {
    throw new TypeError('Cannot use init.mode "no-cors": it is for GET, HEAD and POST');
  }
  const signal = signalOf(givenSignal === undefined ? request?.signal : givenSignal);
  // not of an async iterable: that is what code for node-fetch gives, which knows no duplex
  if (isStream(givenBody) && duplex === undefined) {
    throw new TypeError('Cannot use init.body as a stream without init.duplex: "half"');
  }
  const body = givenBody != null ? bodyOf(givenBody, headers) : request?.body ? takenFrom(request) : null;
  if (signal?.aborted) {
    cancelBody(body, signal.reason);
    throw signal.reason;
  }
  return {
    url,
    method,
    headers,
    body,
    redirect: init.redirect ?? request?.redirect ?? "follow",
    mode: mode ?? request?.mode ?? "cors",
    integrity: init.integrity ?? request?.integrity ?? "",
    cache: init.cache ?? request?.cache ?? "default",
    signal,
    session,
  };
}

/** Throws a `TypeError` if nothing may be sent to this URL, first or after a redirect. */
export function checkHttp({ protocol, port }: URL): void {
  if (protocol !== "http:" && protocol !== "https:") {
    throw new TypeError(`Cannot fetch ${protocol} URLs: the scheme must be http or https`);
  }
  if (BAD_PORTS.has(port)) throw new TypeError(`Cannot fetch from port ${port}: the Fetch standard blocks it`);
}

// by what it has, since tests and frameworks have a Request of another realm
function isRequest(input: unknown): input is Request {
  return typeof input === "object" && input !== null && Object.prototype.toString.call(input) === "[object Request]";
}

function urlOf(text: string): URL {
  const url = parsed(text);
  if (url === undefined) throw new TypeError("Cannot fetch: the URL is malformed or not absolute");
  if (url.username !== "" || url.password !== "") {
    throw new TypeError("Cannot fetch: the URL has credentials in it; give an Authorization field in headers instead");
  }
  return url;
}

function parsed(text: string): URL | undefined {
  try {
    return new URL(text); // URL.parse() is not in Node 20
  } catch {
    return undefined;
  }
}

function methodOf(given: unknown): string {
  const method = String(given);
  const upper = method.toUpperCase();
  if (!TOKEN.test(method)) throw new TypeError("Cannot use init.method: it must be a token, such as POST");
  if (FORBIDDEN.includes(upper)) throw new TypeError(`Cannot fetch with the method ${upper}`);
  return NORMALIZED.includes(upper) ? upper : method;
}

function headersOf(given: HeadersInit | undefined): Headers {
  try {
    return new Headers(given);
  } catch {
    throw new TypeError("Cannot use init.headers: a name is not a token, or a value is not what a field may have");
  }
}

function signalOf(signal: AbortSignal | null | undefined): AbortSignal | null {
  if (signal == null) return null;
  if (typeof signal.aborted === "boolean" && typeof signal.addEventListener === "function") return signal;
  throw new TypeError("Cannot use init.signal as an AbortSignal: it is not one");
}

/** A URL as a response says it. */
export function withoutFragment({ href, hash }: URL): string {
  return href.slice(0, href.length - hash.length).replace(/#$/, "");
}
