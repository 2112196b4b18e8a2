import { serveBind } from "./bind.ts";
import { serveConnect } from "./connect.ts";
import type { ServerConn } from "./server_conn.ts";
import type { TestRequest } from "./log.ts";
import type { ParsedOptions } from "./parse_options.ts";
import { serveResolve } from "./resolve.ts";
import { serveUdp } from "./udp.ts";

/** Serves a request that was read, until both sides are closed. */
export type Command = (conn: ServerConn, request: TestRequest, options: ParsedOptions) => Promise<void>;

/** What serves each CMD; all others are refused with 07. */
export const COMMANDS: Readonly<Record<number, Command>> = {
  1: serveConnect,
  2: serveBind,
  3: serveUdp,
  0xf0: serveResolve,
  0xf1: serveResolve,
};
