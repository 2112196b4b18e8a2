import { Buffer } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";
import { MEDIA_TYPES, openMetrics } from "../metrics/mod.ts";
import { parseBasic, WRONG_PASSWORD_DELAY } from "../serve/auth.ts";
import { type Action, type ActionResult, ACTIONS, parseAction } from "./actions.ts";
import { isOurHost, isOwnOrigin, PageToken } from "./guard.ts";
import type { AdminConfig, AdminSource } from "./options.ts";
import { type Page, pageOf } from "./page/page.ts";
import { isInService, parseStatusQuery, statusOf } from "./status.ts";

/** What answers the requests to an admin port. */
export type AdminHandler = (request: IncomingMessage, response: ServerResponse) => void;

/** Answers the requests about some clients. */
export function handlerOf(
  sources: () => readonly AdminSource[],
  config: Omit<AdminConfig, "hostname" | "port">,
): AdminHandler {
  const started = new Date().toISOString();
  const token = new PageToken();
  let page: Page | undefined;

  /** What needs neither a name nor credentials, as those who ask have none. */
  function health(path: string): Answer | undefined {
    if (path === "/healthz") return text(200, "ok");
    if (path !== "/readyz") return undefined;
    const isReady = sources().some(({ client }) => client.stats().proxies.some(isInService));
    return isReady ? text(200, "ok") : text(503, "no proxy is in service");
  }

  function read(path: string, search: string, accept: string): Answer | undefined {
    switch (path) {
      case "/": {
        page ??= pageOf(config.readonly ? "" : token.text);
        return { status: 200, type: "text/html; charset=utf-8", body: page.html, policy: page.policy };
      }
      case "/status.json": {
        const { readonly, listeners } = config;
        const about = { started, readonly, listeners: listeners() };
        return json(200, statusOf(sources(), about, parseStatusQuery(search)));
      }
      case "/metrics": {
        const format = accept.includes("application/openmetrics-text") ? "openmetrics" : "prometheus";
        return { status: 200, type: MEDIA_TYPES[format], body: openMetrics(namedOf(sources()), { format }) };
      }
    }
    return undefined;
  }

  async function act(request: IncomingMessage, name: string, signal: AbortSignal): Promise<ActionResult> {
    const { headers } = request;
    const refuse = (status: number, message: string) => ({ status, message });
    if (config.readonly) return refuse(403, "This port is read-only");
    if (!isOwnOrigin(headers)) return refuse(403, "This may only be asked for by the page itself");
    if (!token.isEqual(headers["x-admin-token"])) return refuse(403, "The page is out of date: load it again");
    if (!/^application\/json *(;|$)/i.test(headers["content-type"] ?? "")) return refuse(415, "The body must be JSON");
    const body = await bodyOf(request);
    if (body === null) return refuse(413, "The body is too long");
    const action = parseAction(body);
    if (typeof action === "string") return refuse(400, action);
    const source = sources().find((it) => (it.name ?? null) === action.client);
    if (source === undefined || !hasProxy(source, action)) return refuse(404, "There is no such proxy");
    return await ACTIONS[name]!(source, action, signal);
  }

  async function answer(request: IncomingMessage, signal: AbortSignal): Promise<Answer> {
    const { method = "", url = "", headers } = request;
    const [path = "", search = ""] = url.split("?", 2);
    const isRead = method === "GET" || method === "HEAD";
    const healthy = health(path);
    if (healthy !== undefined) return isRead ? healthy : notAllowed("GET, HEAD");
    if (!isOurHost(headers, config.isHost)) return text(403, "This port is not served under that name");
    const given = parseBasic(headers.authorization);
    if (config.auth.isRequired && config.auth.authenticate(given) === null) {
      if (given !== null) await pause(WRONG_PASSWORD_DELAY, signal);
      return { ...text(401, "User name and password, please"), fields: { "www-authenticate": 'Basic realm="socks5"' } };
    }
    const action = path.slice(1);
    if (Object.hasOwn(ACTIONS, action)) {
      if (method !== "POST") return notAllowed("POST");
      const { status, ...result } = await act(request, action, signal);
      return json(status, result);
    }
    const found = isRead ? read(path, search, headers.accept ?? "") : undefined;
    if (found !== undefined) return found;
    return !isRead && ["/", "/status.json", "/metrics"].includes(path)
      ? notAllowed("GET, HEAD")
      : text(404, "Not found");
  }

  return (request, response) => {
    const controller = new AbortController();
    request.on("error", () => {});
    response.on("error", () => {});
    response.on("close", () => controller.abort());
    answer(request, controller.signal)
      .catch((error: unknown) => json(500, { message: error instanceof Error ? error.message : "It failed" }))
      .then((answer) => send(request, response, answer));
  };
}

/** A response. */
interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  /** The Content-Security-Policy, if it is not that of what is no page. */
  readonly policy?: string;
  readonly fields?: Readonly<Record<string, string>>;
}

function text(status: number, body: string): Answer {
  return { status, type: "text/plain; charset=utf-8", body: `${body}\n` };
}

function json(status: number, body: unknown): Answer {
  return { status, type: "application/json; charset=utf-8", body: JSON.stringify(body) };
}

function notAllowed(allow: string): Answer {
  return { ...text(405, "Method not allowed"), fields: { allow } };
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status, type, body, policy, fields }: Answer,
): void {
  if (response.destroyed) return;
  request.resume(); // what was not read of it
  const bytes = Buffer.from(body);
  response.writeHead(status, {
    ...fields,
    "content-type": type,
    "content-length": bytes.length,
    "content-security-policy": policy ?? "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
  }).end(bytes);
}

/** With names as soon as there are several: they must differ. */
function namedOf(sources: readonly AdminSource[]): Parameters<typeof openMetrics>[0] {
  const [first] = sources;
  if (sources.length === 1 && first!.name === undefined) return first!.client;
  return sources.map(({ name, client }, i) => ({ name: name ?? String(i + 1), client }));
}

function hasProxy({ client }: AdminSource, { proxy }: Action): boolean {
  return client.stats().proxies.some((it) => it.proxy === proxy);
}

const MOST_BYTES = 4_096;

/** The body of a request; `null` if it is too long. */
async function bodyOf(request: IncomingMessage): Promise<string | null> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MOST_BYTES) return null;
  }
  return Buffer.concat(chunks).toString();
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
