import type { ServerConn } from "./server_conn.ts";
import type { TestRequest } from "./log.ts";
import type { ParsedOptions } from "./parse_options.ts";
import { boundTo, encodeReply } from "./reply.ts";
import { ownRule } from "./rules.ts";

/** Serves tor's RESOLVE and RESOLVE_PTR: answers with the `hostname` of the rule, or its `rep`, and closes. */
export async function serveResolve(conn: ServerConn, request: TestRequest, options: ParsedOptions): Promise<void> {
  const rule = ownRule(request, options);
  if (rule === "silence") return await conn.end("silence");
  const known = typeof rule === "object" && "port" in rule ? rule.hostname : undefined;
  const rep = typeof rule === "object" && "rep" in rule ? rule.rep : 4;
  const answer = await conn.answer("request", encodeReply(known === undefined ? { rep } : boundTo(known, 0)));
  conn.note({ rep: answer[1] ?? null });
  await conn.end("close");
}
