import { type ClientConn, ClientTimeout } from "../client_conn.ts";
import { carryMessage, lines, text } from "./body.ts";
import { persists, requestFields, responseFields, upgrades } from "./hop_by_hop.ts";
import { type Framing, parseResponse, type RequestHead, type ResponseHead } from "./head.ts";
import { type BufferedReader, Malformed } from "../buffered_reader.ts";
import type { Connection } from "../connection.ts";
import type { ServeConfig } from "../options.ts";
import { type ErrorResponse, errorResponseOf } from "./error_response.ts";
import { tunnel } from "../tunnel.ts";
import type { Upstream } from "./upstream.ts";

/** What became of a request: the client may send another one, or not; the target hung up, or failed, before a response. */
export type Outcome = "kept" | "over" | "hung up" | ErrorResponse;

/**
 * Forwards a request to its target and the response back, both at once: a target may respond before it has the body. The
 * connection to the target is then idle, or closed.
 */
export async function forward(
  client: ClientConn,
  reader: BufferedReader,
  request: RequestHead,
  upstream: Upstream,
  connection: Connection,
  { maxHead }: ServeConfig,
  keeps: () => boolean,
): Promise<Outcome> {
  const { responses } = upstream;
  const deliver = (bytes: Uint8Array) => connection.deliver(bytes);
  const hangUp = () => upstream.close();
  const forget = client.onGone(hangUp);
  let sent = false;
  let fault: Malformed | ClientTimeout | undefined;
  let begun = false;
  sendRequest(reader, request, connection, maxHead, keeps()).then(() => sent = true).catch((error) => {
    if (!(error instanceof Malformed || error instanceof ClientTimeout)) return; // a target that takes nothing more may have answered before
    fault = error;
    hangUp();
  });
  try {
    if (!await upstream.responds() && fault === undefined) return client.isGone ? "over" : "hung up";
    const response = await readResponseHead(connection, responses, request, maxHead);
    begun = true;
    connection.status = response.status;
    if (response.status === 101) {
      await connection.deliver(headOf(response, 0, false));
      await new Promise((over) => tunnel(client, reader, connection, over, responses));
      return "over";
    }
    const as = framingFor(response, request);
    const kept = keeps() && sent && as !== "close";
    await carryMessage(headOf(response, as, kept), responses, response.body, deliver, as, maxHead);
    if (kept && response.body !== "close" && persists(response) && responses.isEmpty) upstream.markIdle();
    return kept ? "kept" : "over";
  } catch (error) {
    if (begun) client.reset(); // or it would take what it has for the whole
    client.throwIfGone();
    if (fault instanceof ClientTimeout) return errorResponseOf(fault);
    if (fault !== undefined) return { status: 400, text: `Bad request: ${fault.message}` };
    return {
      status: 502,
      text: `Bad response: ${error instanceof Malformed ? error.message : "the connection broke"}`,
    };
  } finally {
    forget();
    if (!upstream.idle) upstream.close();
  }
}

async function sendRequest(
  reader: BufferedReader,
  request: RequestHead,
  connection: Connection,
  maxHead: number,
  keeps: boolean,
): Promise<void> {
  const { method, path, body } = request;
  const head = text(`${method} ${path} HTTP/1.1\r\n${lines(requestFields(request, keeps))}\r\n`);
  await carryMessage(head, reader, body, (bytes) => connection.send(bytes), body, maxHead);
}

/** Passes on interim responses (100, 103) to a client that understands them, and gives the final one. */
async function readResponseHead(
  connection: Connection,
  responses: BufferedReader,
  request: RequestHead,
  maxHead: number,
): Promise<ResponseHead> {
  for (;;) {
    const lines = await responses.readHead(maxHead);
    if (lines === null) throw new Malformed("the target hung up");
    const response = parseResponse(lines, request.method);
    if (response.status >= 200) return response;
    if (response.status === 101 && upgrades(request)) return response;
    if (response.status === 101) throw new Malformed("nobody asked for an upgrade");
    if (request.minor === 1) await connection.deliver(headOf(response, 0, true));
  }
}

function framingFor({ body }: ResponseHead, { minor }: RequestHead): Framing {
  if (typeof body === "number") return body;
  return minor === 1 ? "chunked" : "close";
}

function headOf(response: ResponseHead, as: Framing, keeps: boolean): Uint8Array {
  return text(`HTTP/1.1 ${response.status} ${response.reason}\r\n${lines(responseFields(response, as, keeps))}\r\n`);
}
