import { connect } from "node:net";
import { type Duplex, PassThrough } from "node:stream";
import { ConnectionOver } from "./reader.ts";
import type { ServerConn } from "./server_conn.ts";
import type { TestRequest } from "./log.ts";
import type { ParsedOptions } from "./parse_options.ts";
import { encodeReply, type ReplyFields } from "./reply.ts";
import { ruleFor } from "./rules.ts";
import { tunnel } from "./tunnel.ts";

/** Serves CONNECT (RFC 1928 section 4). */
export async function serveConnect(conn: ServerConn, request: TestRequest, options: ParsedOptions): Promise<void> {
  const rule = ruleFor(request, options);
  if (rule === "silence") return await conn.end("silence");
  const isAnsweredBlindly = conn.actionAt("request").then !== undefined;
  const right = typeof rule === "object" && "rep" in rule ? rule : isAnsweredBlindly ? {} : await reach(conn, rule);
  const answer = await conn.answer("request", encodeReply(right));
  conn.note({ rep: answer[1] ?? null });
  if (answer[1] !== 0 || conn.target === undefined) await conn.end("close");
  await tunnel(conn, conn.target as Duplex, options);
}

async function reach(
  conn: ServerConn,
  rule: "echo" | { hostname?: string | undefined; port: number },
): Promise<ReplyFields> {
  if (rule === "echo") {
    conn.own(new PassThrough());
    return {};
  }
  const { hostname = "127.0.0.1", port } = rule;
  const target = connect({ host: hostname, port, allowHalfOpen: true });
  conn.own(target);
  const code = await new Promise<string>((resolve) => {
    target.once("connect", () => resolve(""));
    // it stays: a target may break before the reply is sent
    target.on("error", (error: Error & { code?: string }) => resolve(error.code ?? "unknown"));
    target.once("close", () => resolve("closed"));
  });
  if (conn.client.destroyed) throw new ConnectionOver("The client is gone");
  if (code !== "") return { rep: REP_OF_ERROR[code] ?? 1 };
  const bndPort = target.localPort ?? 0;
  if (hostname.includes(":")) return { atyp: 4, bndAddr: new Uint8Array(16).with(15, 1), bndPort };
  return { bndAddr: Uint8Array.of(127, 0, 0, 1), bndPort };
}

const REP_OF_ERROR: Record<string, number> = { ECONNREFUSED: 5, ENETUNREACH: 3, EHOSTUNREACH: 4 };
