import { createServer, type Socket } from "node:net";
import { ConnectionOver } from "./reader.ts";
import { type Line, reset } from "./server_conn.ts";
import type { TestRequest } from "./log.ts";
import type { Plan } from "./parse_options.ts";
import { boundTo, encodeReply } from "./reply.ts";
import { ownRule } from "./rules.ts";
import { transfer } from "./tunnel.ts";

/**
 * Serves BIND (RFC 1928 section 4): listens on loopback and, at the step `"arrival"`, tells who came. A rule with `rep`
 * refuses it, or is the first reply.
 */
export async function serveBind(line: Line, request: TestRequest, plan: Plan): Promise<void> {
  const rule = ownRule(request, plan);
  if (rule === "silence") return await line.end("silence");
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  const arrived = new Promise<Socket>((resolve) => {
    server.once("connection", (target) => {
      line.own(target);
      target.on("error", () => reset(line.client));
      server.close();
      resolve(target);
    });
  });
  try {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    const right = typeof rule === "object" && "rep" in rule ? rule : boundTo("127.0.0.1", port);
    const answer = await line.answer("request", encodeReply(right));
    line.note({ rep: answer[1] ?? null });
    if (answer[1] !== 0) await line.end("close");
    const target = await Promise.race([arrived, line.inbox.gone]);
    if (target === undefined) throw new ConnectionOver("The client is gone");
    const second = await line.answer("arrival", encodeReply(boundTo("127.0.0.1", target.remotePort ?? 0)));
    if (second[1] !== 0) await line.end("close");
    await transfer(line, target, plan);
  } finally {
    server.close();
  }
}
