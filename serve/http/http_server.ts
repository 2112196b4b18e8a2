import type { Accepted } from "../client_conn.ts";
import { text } from "./body.ts";
import { exchange } from "./forward.ts";
import { failureOf } from "../error_mapping.ts";
import { persists } from "./hop_by_hop.ts";
import { basic, type Pass, WRONG_PASSWORD } from "../auth.ts";
import { parseRequest, type RequestHead, valuesOf } from "./head.ts";
import { type Inbox, Malformed, sourceOf } from "../buffered_reader.ts";
import type { Plan } from "../options.ts";
import { type Refusal, refusalBytes, refusalOf, UNAUTHORIZED } from "./error_response.ts";
import { relay } from "../tunnel.ts";
import type { Route } from "../connector.ts";
import { Upstream } from "./upstream.ts";

const CR = 0x0d;

/** Speaks HTTP/1.1 with a client as its proxy: CONNECT, and requests for whole URLs, one after another. */
export class HttpSession {
  readonly #client: Accepted;
  readonly #inbox: Inbox;
  readonly #route: Route;
  readonly #plan: Plan;
  readonly #isClosing: () => boolean;
  #upstream: Upstream | undefined;

  constructor(client: Accepted, inbox: Inbox, route: Route, plan: Plan, isClosing: () => boolean) {
    this.#client = client;
    this.#inbox = inbox;
    this.#route = route;
    this.#plan = plan;
    this.#isClosing = isClosing;
  }

  /** Serves requests until the last one. */
  async serve(): Promise<void> {
    const client = this.#client;
    client.patience = this.#plan.idleTimeout;
    try {
      for (;;) {
        const request = await client.within(this.#plan.headTimeout, this.#request()).catch(refusalOf);
        if (request === null) return;
        const outcome = "text" in request ? request : await this.#answer(request);
        if (typeof outcome === "object") {
          await client.write(refusalBytes(outcome, "method" in request ? request.method : ""));
        }
        if (outcome !== "kept") return await client.linger();
        client.idle = true;
        if (this.#isClosing() || await this.#inbox.peek() === null) return;
        client.idle = false;
      }
    } finally {
      this.#upstream?.close();
    }
  }

  async #request(): Promise<RequestHead | null> {
    const { maxHead } = this.#plan;
    const first = await this.#inbox.peek();
    // TLS, or SOCKS4: no line might ever end
    if (first !== null && first !== CR && !(first > 0x20 && first < 0x7f)) throw new Malformed("it is no HTTP");
    let section = await this.#inbox.section(maxHead);
    if (section?.length === 0) section = await this.#inbox.section(maxHead); // RFC 9112 section 2.2: one may be too much
    return section && parseRequest(section);
  }

  /** What is given back is said to the client before the end. */
  async #answer(request: RequestHead): Promise<"kept" | "over" | Refusal> {
    const authorizations = valuesOf(request.fields, "proxy-authorization");
    const given = authorizations.length === 1 ? basic(authorizations[0]) : null;
    const pass = this.#plan.gate.admit(given);
    if (pass === null && given !== null) await this.#client.pause(WRONG_PASSWORD);
    if (pass === null) return UNAUTHORIZED;
    try {
      return request.method === "CONNECT" ? await this.#tunnel(request, pass) : await this.#forward(request, pass);
    } catch (error) {
      this.#client.gone.throwIfAborted();
      const { status, type, text, auth } = failureOf(error);
      if (auth && pass.credentials !== undefined) return UNAUTHORIZED;
      return { status, text, type, target: request.target.name };
    }
  }

  async #tunnel({ target }: RequestHead, pass: Pass): Promise<"over"> {
    const conn = await this.#route.connect(target, pass, this.#client);
    try {
      await this.#client.write(text("HTTP/1.1 200 Connection established\r\n\r\n"));
      await relay(this.#client, this.#inbox, conn, sourceOf(conn));
      return "over";
    } finally {
      conn.close();
    }
  }

  async #forward(request: RequestHead, pass: Pass): Promise<"kept" | "over" | Refusal> {
    const client = this.#client;
    const { target } = request;
    const keeps = () => persists(request) && !this.#isClosing();
    for (;;) {
      const upstream = this.#upstream?.take(target, pass)
        ? this.#upstream
        : new Upstream(await this.#route.connect(target, pass, client), target, pass);
      this.#upstream = upstream;
      const outcome = await exchange(client, this.#inbox, request, upstream, this.#plan, keeps);
      if (outcome !== "hung up") return outcome;
      this.#upstream = undefined;
      if (!upstream.reused) return { status: 502, text: "Bad answer: the target hung up" };
      if (!isRepeatable(request)) return this.#hangUp();
    }
  }

  /** As the target did: a client knows what that means on a connection that was used before. */
  #hangUp(): "over" {
    this.#client.reset();
    return "over";
  }
}

/** Whether it may be sent twice (RFC 9110 section 9.2.2), and is still there. */
function isRepeatable({ method, body }: RequestHead): boolean {
  return body === 0 && ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"].includes(method);
}
