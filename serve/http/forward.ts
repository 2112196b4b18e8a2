import { type Accepted, Late } from "../client_conn.ts";
import { carryBody, lines, text } from "./body.ts";
import { answerFields, persists, requestFields, upgrades } from "./hop_by_hop.ts";
import { type AnswerHead, type Framing, parseAnswer, type RequestHead } from "./head.ts";
import { type Inbox, Malformed } from "../buffered_reader.ts";
import type { Plan } from "../options.ts";
import { type Refusal, refusalOf } from "./error_response.ts";
import { relay } from "../tunnel.ts";
import type { Upstream } from "./upstream.ts";

/** What became of a request: the client may ask again, or not; or the target hung up, or erred, before it answered. */
export type Outcome = "kept" | "over" | "hung up" | Refusal;

/**
 * Carries a request to its target and the answer back, both at once: a target may answer before it has the body. The
 * target's connection then rests or is closed.
 */
export async function exchange(
  client: Accepted,
  inbox: Inbox,
  request: RequestHead,
  upstream: Upstream,
  { maxHead }: Plan,
  keeps: () => boolean,
): Promise<Outcome> {
  const { conn, answers } = upstream;
  const hangUp = () => upstream.close();
  client.gone.addEventListener("abort", hangUp);
  let sent = false;
  let fault: Malformed | Late | undefined;
  let begun = false;
  send(inbox, request, upstream, maxHead, keeps()).then(() => sent = true).catch((error) => {
    if (!(error instanceof Malformed || error instanceof Late)) return; // a target that takes nothing more may have answered before
    fault = error;
    hangUp();
  });
  try {
    if (!await upstream.begins() && fault === undefined) return client.gone.aborted ? "over" : "hung up";
    const answer = await finalAnswer(client, answers, request, maxHead);
    begun = true;
    if (answer.status === 101) {
      await client.write(headOf(answer, 0, false));
      await relay(client, inbox, conn, answers);
      return "over";
    }
    const as = framingFor(answer, request);
    const kept = keeps() && sent && as !== "close";
    await client.write(headOf(answer, as, kept));
    await carryBody(answers, answer.body, client, as, maxHead);
    if (kept && answer.body !== "close" && persists(answer) && answers.empty) upstream.rest();
    return kept ? "kept" : "over";
  } catch (error) {
    if (begun) client.reset(); // or it would take what it has for the whole
    client.gone.throwIfAborted();
    if (fault instanceof Late) return refusalOf(fault);
    if (fault !== undefined) return { status: 400, text: `Bad request: ${fault.message}` };
    return { status: 502, text: `Bad answer: ${error instanceof Malformed ? error.message : "the connection broke"}` };
  } finally {
    client.gone.removeEventListener("abort", hangUp);
    if (!upstream.resting) upstream.close();
  }
}

async function send(
  inbox: Inbox,
  request: RequestHead,
  { conn }: Upstream,
  maxHead: number,
  keeps: boolean,
): Promise<void> {
  const { method, path, body } = request;
  await conn.write(text(`${method} ${path} HTTP/1.1\r\n${lines(requestFields(request, keeps))}\r\n`));
  if (body !== 0) await carryBody(inbox, body, conn, body, maxHead);
}

/** Passes on what comes before the answer (100, 103), where the client understands it. */
async function finalAnswer(
  client: Accepted,
  answers: Inbox,
  request: RequestHead,
  maxHead: number,
): Promise<AnswerHead> {
  for (;;) {
    const section = await answers.section(maxHead);
    if (section === null) throw new Malformed("the target hung up");
    const answer = parseAnswer(section, request.method);
    if (answer.status >= 200) return answer;
    if (answer.status === 101 && upgrades(request)) return answer;
    if (answer.status === 101) throw new Malformed("nobody asked for an upgrade");
    if (request.minor === 1) await client.write(headOf(answer, 0, true));
  }
}

function framingFor({ body }: AnswerHead, { minor }: RequestHead): Framing {
  if (typeof body === "number") return body;
  return minor === 1 ? "chunked" : "close";
}

function headOf(answer: AnswerHead, as: Framing, keeps: boolean): Uint8Array {
  return text(`HTTP/1.1 ${answer.status} ${answer.reason}\r\n${lines(answerFields(answer, as, keeps))}\r\n`);
}
