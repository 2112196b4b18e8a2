import { Call, fetchClosed } from "../fetch/call.ts";
import type { Hop } from "../fetch/hop.ts";
import { mayRepeat } from "../fetch/hop.ts";
import { matches } from "../fetch/integrity.ts";
import { follow, locationOf } from "../fetch/redirect.ts";
import { checkHttp, type FetchRequest, withoutFragment } from "../fetch/request.ts";
import { readAhead } from "../fetch/request_body.ts";
import { requestFields } from "../fetch/request_fields.ts";
import { hasNoBody, responseOf } from "../fetch/response.ts";
import type { ClientLike } from "../src/client_of.ts";
import { Connections } from "./connections.ts";
import { ACCEPT_ENCODING, decoded } from "./content_coding.ts";
import type { Answer } from "./http_conn.ts";

/** What a fetch does, on connections of its own. */
export class Fetcher {
  readonly #connections: Connections;
  readonly #calls = new Set<Call>();
  #closed: TypeError | undefined;

  constructor(client: ClientLike) {
    this.#connections = new Connections(client);
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

  /** Ends what is in flight, and closes all connections. Later calls are rejected. */
  close(): void {
    this.#closed = fetchClosed();
    for (const call of [...this.#calls]) call.end(this.#closed);
    this.#connections.close();
  }

  async #follow(request: FetchRequest, call: Call): Promise<Response> {
    call.throwIfOver();
    checkHttp(request.url);
    const body = request.body?.kind === "taken" ? await readAhead(request.body, turn) : request.body;
    const { answer, hop, redirected } = await follow<Answer>(request, { ...request, body }, {
      exchange: (hop) => this.#exchange(hop, request.cache, call),
      locationOf: ({ head: { status, fields } }) => locationOf(status, fieldOf(fields, "location")),
      statusOf: ({ head }) => head.status,
      drain: (answer) => answer.drain(),
    });
    return await this.#respond(answer, hop, request.integrity, redirected, call);
  }

  /** As `exchange()` of `./fetch`: once more if the target closed a connection that was kept just then. */
  async #exchange(hop: Hop, cache: RequestCache, call: Call): Promise<Answer> {
    const fields = requestFields(hop, cache, ACCEPT_ENCODING);
    for (;;) {
      call.throwIfOver();
      const abort = new AbortController();
      call.stop = (reason) => abort.abort(reason);
      const conn = await this.#connections.take(hop, abort.signal);
      call.stop = () => conn.close();
      try {
        call.throwIfOver();
        return await conn.exchange(hop, fields);
      } catch (error) {
        conn.close();
        if (call.over !== undefined || !conn.cameTooLate || !mayRepeat(hop)) throw error;
      }
    }
  }

  async #respond(answer: Answer, hop: Hop, integrity: string, redirected: boolean, call: Call): Promise<Response> {
    call.throwIfOver();
    const { head: { status, reason, fields }, conn } = answer;
    const facts = { url: withoutFragment(hop.url), redirected, status, statusText: reason, proxy: conn.proxy };
    const named = fields.map(([name, value]): [string, string] => [name, value]);
    if (hasNoBody(hop.method, status)) {
      await answer.drain();
      call.done();
      return responseOf(null, named, facts);
    }
    const { stream, fail } = answer.body((error) => call.failure("terminated", error), () => call.done());
    call.stop = (reason) => {
      fail(reason);
      conn.close();
    };
    const body = decoded(stream, fieldOf(fields, "content-encoding"), (error) => call.failure("terminated", error));
    if (integrity === "") return responseOf(body, named, facts);
    const bytes = new Uint8Array(await new Response(body).arrayBuffer());
    if (await matches(bytes, integrity)) return responseOf(bytes, named, facts);
    throw new TypeError("Cannot fetch: the body does not match init.integrity");
  }
}

function fieldOf(fields: readonly (readonly [name: string, value: string])[], name: string): string | undefined {
  const values = fields.filter(([it]) => it.toLowerCase() === name).map(([, value]) => value);
  return values.length === 0 ? undefined : values.join(", ");
}

function turn(): Promise<"late"> {
  return new Promise((resolve) => setTimeout(() => resolve("late"), 0));
}
