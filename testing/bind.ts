import { createServer, type Socket } from "node:net";
import { ConnectionOver } from "./reader.ts";
import { reset, type ServerConn } from "./server_conn.ts";
import type { TestRequest } from "./log.ts";
import type { ParsedOptions } from "./parse_options.ts";
import { boundTo, encodeReply } from "./reply.ts";
import { ownRule } from "./rules.ts";
import { tunnel } from "./tunnel.ts";

/**
 * Serves BIND (RFC 1928 section 4): listens on loopback and, at the step `"arrival"`, tells who came. A rule with `rep`
 * refuses it, or is the first reply.
 */
export async function serveBind(conn: ServerConn, request: TestRequest, options: ParsedOptions): Promise<void> {
  const rule = ownRule(request, options);
  if (rule === "silence") return await conn.end("silence");
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  const arrived = new Promise<Socket>((resolve) => {
    server.once("connection", (target) => {
      conn.own(target);
      target.on("error", () => reset(conn.client));
      server.close();
      resolve(target);
    });
  });
  try {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    const right = typeof rule === "object" && "rep" in rule ? rule : boundTo("127.0.0.1", port);
    const answer = await conn.answer("request", encodeReply(right));
    conn.note({ rep: answer[1] ?? null });
    if (answer[1] !== 0) await conn.end("close");
    const target = await Promise.race([arrived, conn.reader.gone]);
    if (target === undefined) throw new ConnectionOver("The client is gone");
    const second = await conn.answer("arrival", encodeReply(boundTo("127.0.0.1", target.remotePort ?? 0)));
    if (second[1] !== 0) await conn.end("close");
    await tunnel(conn, target, options);
  } finally {
    server.close();
  }
}
