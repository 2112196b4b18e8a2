import type { ClientConn } from "../client_conn.ts";
import { text } from "./body.ts";
import { forward } from "./forward.ts";
import { mapError } from "../error_mapping.ts";
import { persists } from "./hop_by_hop.ts";
import { type ClientIdentity, parseBasic } from "../auth.ts";
import { parseRequest, type RequestHead, valuesOf } from "./head.ts";
import { type BufferedReader, Malformed } from "../buffered_reader.ts";
import type { ServeConfig } from "../options.ts";
import { AUTH_REQUIRED, encodeErrorResponse, type ErrorResponse, errorResponseOf } from "./error_response.ts";
import type { Connection } from "../connection.ts";
import type { Connector } from "../connector.ts";
import { Upstream } from "./upstream.ts";

const CR = 0x0d;

/** A CONNECT that was granted. */
type Granted = { readonly connection: Connection };

const ESTABLISHED = text("HTTP/1.1 200 Connection established\r\n\r\n");

/** Speaks HTTP/1.1 with a client as its proxy: CONNECT, and requests for whole URLs, one after another. */
export class HttpServer {
  readonly #client: ClientConn;
  readonly #reader: BufferedReader;
  readonly #connector: Connector;
  readonly #config: ServeConfig;
  readonly #isClosing: () => boolean;
  #upstream: Upstream | undefined;

  constructor(
    client: ClientConn,
    reader: BufferedReader,
    connector: Connector,
    config: ServeConfig,
    isClosing: () => boolean,
  ) {
    this.#client = client;
    this.#reader = reader;
    this.#connector = connector;
    this.#config = config;
    this.#isClosing = isClosing;
  }

  /** Serves requests until the last one; gives what is to be a tunnel if that is a CONNECT. */
  async serve(): Promise<Connection | undefined> {
    const client = this.#client;
    client.readTimeout = this.#config.idleTimeout;
    try {
      for (;;) {
        const request = await client.withTimeout(this.#config.headTimeout, this.#readRequest()).catch(errorResponseOf);
        if (request === null) return undefined;
        const outcome = "text" in request ? request : await this.#respond(request);
        if (typeof outcome === "object" && "connection" in outcome) return outcome.connection;
        if (typeof outcome === "object") {
          await client.write(encodeErrorResponse(outcome, "method" in request ? request.method : ""));
        }
        if (outcome !== "kept") {
          await client.linger();
          return undefined;
        }
        client.idle = true;
        if (this.#isClosing() || await this.#reader.peek() === null) return undefined;
        client.idle = false;
      }
    } finally {
      this.#upstream?.close();
    }
  }

  async #readRequest(): Promise<RequestHead | null> {
    const { maxHead } = this.#config;
    const first = await this.#reader.peek();
    // TLS, or SOCKS4: no line might ever end
    if (first !== null && first !== CR && !(first > 0x20 && first < 0x7f)) throw new Malformed("it is no HTTP");
    let section = await this.#reader.readHead(maxHead);
    if (section?.length === 0) section = await this.#reader.readHead(maxHead); // RFC 9112 section 2.2: one may be too much
    return section && parseRequest(section);
  }

  /** Serves one request; an error response is still to be sent. */
  async #respond(request: RequestHead): Promise<"kept" | "over" | ErrorResponse | Granted> {
    const authorizations = valuesOf(request.fields, "proxy-authorization");
    const given = authorizations.length === 1 ? parseBasic(authorizations[0]) : null;
    const identity = this.#config.auth.authenticate(given);
    const { method, target } = request;
    const protocol = method === "CONNECT" ? "connect" : "http";
    if (identity === null && given !== null) await this.#connector.refuse(this.#client, protocol, target);
    if (identity === null) return AUTH_REQUIRED;
    try {
      if (protocol === "http") return await this.#forward(request, identity);
      return { connection: await this.#connector.open(this.#client, { protocol, identity, target }, ESTABLISHED) };
    } catch (error) {
      this.#client.throwIfGone();
      const { auth, ...answer } = mapError(error);
      if (auth && identity.credentials !== undefined) return AUTH_REQUIRED;
      return { ...answer, target: target.name };
    }
  }

  async #forward(request: RequestHead, identity: ClientIdentity): Promise<"kept" | "over" | ErrorResponse> {
    const asked = { protocol: "http", identity, target: request.target, request } as const;
    const connection = await this.#connector.admit(this.#client, asked);
    try {
      return await this.#exchange(request, connection);
    } finally {
      connection.end();
    }
  }

  async #exchange(request: RequestHead, connection: Connection): Promise<"kept" | "over" | ErrorResponse> {
    const client = this.#client;
    const keeps = () => persists(request) && !this.#isClosing();
    for (;;) {
      if (this.#upstream?.reuse(connection)) connection.grant(this.#upstream.conn);
      else this.#upstream = new Upstream(await this.#connector.connect(client, connection), connection);
      const upstream = this.#upstream!;
      const outcome = await forward(client, this.#reader, request, upstream, connection, this.#config, keeps);
      if (outcome !== "hung up") return outcome;
      this.#upstream = undefined;
      if (!upstream.reused) return { status: 502, text: "Bad response: the target hung up" };
      if (!isRepeatable(request)) return this.#hangUp();
    }
  }

  /** Resets the connection as the target did, which a client expects of a connection that it has used before. */
  #hangUp(): "over" {
    this.#client.reset();
    return "over";
  }
}

/** Whether it may be sent twice (RFC 9110 section 9.2.2), and is still there. */
function isRepeatable({ method, body }: RequestHead): boolean {
  return body === 0 && ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"].includes(method);
}
