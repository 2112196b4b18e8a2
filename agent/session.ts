import type { ClientRequestArgs } from "node:http";
import { isBytes, parseSession } from "../src/arguments.ts";

// beside `session`, in whose place the options of an agent may have a session of TLS
const SESSION = Symbol("session");

type Options = ClientRequestArgs & { session?: unknown; [SESSION]?: string };

/**
 * The session in the options of an agent or a request: a text is an identity that keeps its proxy, bytes are a session of
 * TLS. Throws a `TypeError` or a `RangeError`.
 */
export function sessionOf(options: object): string | undefined {
  const { [SESSION]: kept, session } = options as Options;
  if (kept !== undefined || session === undefined || session === null || isBytes(session)) return kept;
  return parseSession(session);
}

/** Checks the session of a request, and keeps it apart from what the agent's own options have in its place. */
export function keepSession(options: ClientRequestArgs): void {
  const session = sessionOf(options);
  if (session !== undefined) (options as Options)[SESSION] = session;
}
