import { cannot } from "../src/errors.ts";
import { OwnFront } from "./own_front.ts";
import type { Connects, FetchTls, Way } from "./way.ts";

/** Bun's fetch with a pool of its own, through a front: of proxies it knows those alone that speak HTTP. */
export function bunWay(connects: Connects, { caCerts, cert, key }: FetchTls): Way {
  const { Bun } = globalThis as unknown as { Bun: { version: string; FetchSession?: SessionClass } };
  const Session = Bun.FetchSession;
  if (Session === undefined || !heedsUs(Session)) {
    throw new TypeError(cannot("Bun", "one whose FetchSession can leave NO_PROXY out (1.4.5)", Bun.version));
  }
  const front = new OwnFront(connects, async ({ url }, { username, password }) => {
    const proxy = Object.assign(new URL(url), { username, password });
    // what Bun is given takes the place of its own
    const ca = caCerts && [...(await import("node:tls")).getCACertificates("default"), ...caCerts];
    return new Session({ proxy: { url: proxy.href, respectNoProxy: false }, tls: { ca, cert, key } });
  });
  return {
    send: (request) => front.carry(request, (session) => ofTarget(session.fetch(request))),
    close: (reason) => front.close(reason),
  };
}

interface Session {
  fetch(request: Request): Promise<Response>;
  close(): void;
}
type SessionClass = new (options: { proxy: { url: string; respectNoProxy: boolean }; tls?: object }) => Session;

/** Whether it asks if NO_PROXY counts: one that does not would go past the proxy to what that lists. */
function heedsUs(Session: SessionClass): boolean {
  let asked = false;
  const proxy = {
    url: "http://test.invalid",
    get respectNoProxy() {
      asked = true;
      return false;
    },
  };
  new Session({ proxy });
  return asked;
}

/** The answer of a target. One of the front is an error: to CONNECT, or to a plain request. */
async function ofTarget(answering: Promise<Response>): Promise<Response> {
  const response = await answering.catch((error) => {
    throw withNextHop(error, new Headers(error?.headers));
  });
  if (!response.url.startsWith("http:") || !isOfFront(response.headers)) return response;
  throw withNextHop(new Error((await response.text()).trim()), response.headers);
}

function isOfFront(headers: Headers): boolean {
  return headers.get("proxy-status")?.startsWith("socks5;") ?? false;
}

function withNextHop(error: unknown, headers: Headers): unknown {
  const nextHop = isOfFront(headers) && /next-hop="([^"]*)"/.exec(headers.get("proxy-status")!)?.[1];
  return nextHop ? Object.assign(error as Error, { nextHop }) : error;
}
