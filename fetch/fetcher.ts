import type { ClientRequest } from "node:http";
import { clearImmediate, setImmediate } from "node:timers";
import type { Bytes } from "../src/transport.ts";
import { FetchAgent } from "./agent.ts";
import { exchangeWithBans } from "./bans.ts";
import { Call, fetchClosed } from "./call.ts";
import { acceptEncoding, decoded } from "./content_coding.ts";
import { type Answer, type Connections, exchange, Http1Attempt } from "./exchange.ts";
import type { Hop } from "./hop.ts";
import { matches } from "./integrity.ts";
import { localFetch } from "./local.ts";
import type { Bypass } from "../src/bypass.ts";
import type { ClientLike } from "../src/client_of.ts";
import type { BanRules, FetchTls } from "./options.ts";
import { drain, follow, locationOf } from "./redirect.ts";
import { checkHttp, type FetchRequest, withoutFragment } from "./request.ts";
import { readAhead } from "./request_body.ts";
import { requestFields } from "./request_fields.ts";
import { FetchResponse, fieldsOf, hasNoBody, responseOf } from "./response.ts";
import { type ByteStream, streamOf } from "./response_body.ts";
import { wholeResponseOf } from "./whole_response.ts";

/** What a fetch does: over `node:http`, and on connections of its own. */
export class Fetcher {
  readonly #connections: Connections;
  readonly #bans: BanRules | undefined;
  readonly #calls = new Set<Call>();
  #closed: TypeError | undefined;

  /** With `http2`, requests go by HTTP/2 to targets that speak it. */
  constructor(
    client: ClientLike,
    tls: FetchTls,
    bans: BanRules | undefined,
    bypass: Bypass | undefined,
    http2?: typeof import("./http2.ts"),
  ) {
    const agent = new FetchAgent(client, tls, bypass);
    const http1: Connections = {
      send: (hop, fields) => new Http1Attempt(hop, fields, agent),
      close: () => agent.close(),
    };
    this.#connections = http2 ? new http2.Http2Connections(agent, http1) : http1;
    this.#bans = bans;
  }

  /** Fetches; rejects as the standard has it. */
  async fetch(request: FetchRequest): Promise<Response> {
    const call = new Call(this.#calls, request.signal);
    if (this.#closed !== undefined) call.end(this.#closed);
    try {
      return await this.#follow(request, call);
    } catch (error) {
      throw call.failed(error, request.body);
    }
  }

  /** The label of the proxy that a response came through. */
  proxyOf(response: Response): string | undefined {
    return FetchResponse.proxyOf(Object(response));
  }

  /** Ends what is in flight, and resolves when no connection is left. Later calls are rejected. */
  async close(): Promise<void> {
    this.#closed = fetchClosed();
    for (const call of [...this.#calls]) call.end(this.#closed);
    await this.#connections.close();
  }

  async #follow(request: FetchRequest, call: Call): Promise<Response> {
    call.throwIfOver();
    const { url, method } = request;
    if (url.protocol === "data:" || url.protocol === "blob:") {
      const response = localFetch(url, method, request.headers.get("range"));
      call.done();
      return response;
    }
    checkHttp(url);
    const body = request.body?.kind === "taken" ? await readAhead(request.body, turn) : request.body;
    const { answer, hop, redirected } = await follow<Answer>(request, { ...request, body }, {
      exchange: (hop) => {
        const fields = requestFields(hop, request.cache, acceptEncoding);
        return this.#bans === undefined
          ? exchange(hop, fields, this.#connections, call)
          : exchangeWithBans(hop, fields, this.#connections, call, this.#bans);
      },
      statusOf: ({ message }) => message.statusCode!,
      locationOf: ({ message }) => locationOf(message.statusCode!, message.headers.location),
      drain,
    });
    return await this.#respond(answer, hop, request.integrity, redirected, call);
  }

  async #respond(answer: Answer, hop: Hop, integrity: string, redirected: boolean, call: Call): Promise<Response> {
    call.throwIfOver();
    const { message } = answer;
    const status = message.statusCode!;
    const statusText = message.statusMessage ?? "";
    const facts = { url: withoutFragment(hop.url), redirected, status, statusText, proxy: answer.proxy };
    const body = hasNoBody(hop.method, status) ? null : await wholeOf(answer) ?? decodedBody(answer, call);
    if (body === null) await drain(answer);
    call.throwIfOver();
    const whole = integrity === "" ? body : await checked(body, integrity);
    if (whole !== null && "stream" in whole) return responseOf(whole.stream, fieldsOf(message), facts);
    call.done();
    return whole === null
      ? responseOf(null, fieldsOf(message), facts)
      : wholeResponseOf(whole, call, fieldsOf(message), facts);
  }
}

/** The bytes of a body that matches `integrity`. */
async function checked(body: Bytes | ByteStream | null, integrity: string): Promise<Bytes> {
  const bytes = body !== null && "stream" in body
    ? new Uint8Array(await new Response(body.stream).arrayBuffer())
    : body;
  if (bytes !== null && await matches(bytes, integrity)) return bytes;
  throw new TypeError("Cannot fetch: the body does not match init.integrity");
}

/** The body of an answer, decoded. The call lasts until its end. */
function decodedBody({ message, request }: Answer, call: Call): ByteStream {
  const source = decoded(message, message.headers["content-encoding"]);
  if (message.destroyed) call.done();
  else message.once("close", () => call.done());
  message.once("end", () => {
    if (!message.complete) source.destroy(new Error("The connection was closed within the body"));
    else if (!request.writableEnded) request.destroy(); // what is still to be sent is for nobody
  });
  const stop = call.stop!;
  const { stream, fail } = streamOf(source, (error) => call.failure("terminated", error));
  call.stop = (reason) => { // which holds no stream
    fail(reason);
    stop(reason);
  };
  return { stream, fail };
}

/** The whole body, if it came together with the head and is not encoded: then its connection is free at once. */
async function wholeOf({ message, request }: Answer): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const { headers, complete, readableLength } = message;
  if (!complete || !request.writableEnded || headers["content-encoding"] !== undefined) return undefined;
  if (headers["content-length"] !== String(readableLength)) return undefined;
  const chunk = message.read() as Uint8Array | null;
  message.resume(); // to its end
  await freed(request); // then the next request of the caller can have the connection
  return new Uint8Array(chunk ?? []);
}

// Its turns are long, and it gives what came in one of them together
const CLOSES_FIRST = "Deno" in globalThis;

/** Waits for a turn: requests that follow answers of one turn leave together, which wakes the other side once. */
function freed(request: ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const late = setImmediate(resolve);
    if (!CLOSES_FIRST) return;
    request.once("close", () => {
      clearImmediate(late);
      resolve();
    });
  });
}

function turn(): Promise<"late"> {
  return new Promise((resolve) => setImmediate(() => resolve("late")));
}
