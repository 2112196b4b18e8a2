import { checkOptions, type Known, parseSession } from "../src/arguments.ts";
import { cannot } from "../src/errors.ts";
import { type Address, parseTarget } from "../src/protocol/address.ts";
import type { ConnectionDecision, Refusal, ServedConnection } from "./connection.ts";
import { Refused } from "./error_mapping.ts";
import type { ServeOptions } from "./options.ts";

const DECISION: Known<ConnectionDecision> = { refuse: true, target: true, session: true };
const REFUSAL: Known<Refusal> = { status: true, body: true, headers: true, rep: true };

/** What the application decides on a connection; throws {@linkcode Refused}, or what is wrong with the decision. */
export async function decided(
  onConnection: NonNullable<ServeOptions["onConnection"]>,
  connection: ServedConnection,
): Promise<{ target: Address | undefined; session: string | undefined }> {
  const decision = await onConnection(connection) ?? undefined;
  const { refuse = false, target, session } = checkOptions("the decision of onConnection", decision, DECISION);
  if (refuse !== false) throw refusalOf(refuse === true ? undefined : refuse);
  return { target: target === undefined ? undefined : parseTarget(target), session: parseSession(session) };
}

function refusalOf(given: Refusal | undefined): Refused {
  const { status = 403, body, headers, rep = 0x02 } = checkOptions("refuse", given, REFUSAL, "a boolean or an object");
  if (!(Number.isInteger(status) && status >= 300 && status <= 599)) {
    throw new RangeError(cannot("refuse.status", "300 to 599", status));
  }
  if (!(Number.isInteger(rep) && rep >= 1 && rep <= 255)) throw new RangeError(cannot("refuse.rep", "1 to 255", rep));
  if (body !== undefined && typeof body !== "string") throw new TypeError(cannot("refuse.body", "a text", body));
  // checks names and values
  const fields = headers === undefined ? undefined : [...new Headers(headers)];
  return new Refused({ status, rep, text: body ?? "This connection is refused", ...(fields && { fields }) });
}
