import { COMMANDS } from "./commands.ts";
import { ConnectionOver } from "./reader.ts";
import type { ServerConn } from "./server_conn.ts";
import type { TestRequest } from "./log.ts";
import type { ParsedOptions } from "./parse_options.ts";

/** Plays the server's part on a client's connection, from the accept until both sockets are closed. */
export async function serveConn(conn: ServerConn, options: ParsedOptions): Promise<void> {
  const timeout = options.handshakeTimeout;
  const timer = timeout === Infinity ? undefined : setTimeout(() => conn.kill(), timeout);
  try {
    await conn.answer("accept", new Uint8Array(0));
    if (await negotiate(conn, options) === PASSWORD) await authenticate(conn, options);
    const request = await readRequest(conn);
    clearTimeout(timer);
    const command = COMMANDS[request.cmd];
    if (command !== undefined) return await command(conn, request, options);
    await conn.refuse(COMMAND_NOT_SUPPORTED);
  } catch (error) {
    if (!(error instanceof ConnectionOver)) throw error;
  } finally {
    clearTimeout(timer);
    conn.client.destroy();
    conn.target?.destroy();
    await conn.closed;
    conn.note({ open: false });
  }
}

async function negotiate(conn: ServerConn, options: ParsedOptions): Promise<number | undefined> {
  conn.reader.beginMessage();
  const [ver, count = 0] = await conn.reader.readFull(2);
  if (ver !== 5) await conn.end("close");
  const methods = await conn.reader.readFull(count);
  conn.note({ methods: [...methods] });
  const method = options.methods.find((it) => methods.includes(it)) ?? NO_ACCEPTABLE_METHOD;
  const isOverwritten = options.framing === "overwrite" && method === PASSWORD && conn.reader.hasMore;
  const answer = await conn.answer("negotiate", isOverwritten ? new Uint8Array(0) : Uint8Array.of(5, method));
  const chosen = isOverwritten ? method : answer[1];
  if (chosen === NO_ACCEPTABLE_METHOD) await conn.end("close");
  return chosen;
}

async function authenticate(conn: ServerConn, options: ParsedOptions): Promise<void> {
  conn.reader.beginMessage();
  const [, ulen = 0] = await conn.reader.readFull(2);
  const username = text(await conn.reader.readFull(ulen));
  const [plen = 0] = await conn.reader.readFull(1);
  const password = text(await conn.reader.readFull(plen));
  conn.note({ credentials: { username, password } });
  const answer = await conn.answer("authenticate", Uint8Array.of(1, options.status({ username, password })));
  if (answer[1] !== 0) await conn.end("close");
}

async function readRequest(conn: ServerConn): Promise<TestRequest> {
  conn.reader.beginMessage();
  const [, cmd = 0, , atyp = 0] = await conn.reader.readFull(4);
  const hostname = await readHostname(conn, atyp);
  const [high = 0, low = 0] = await conn.reader.readFull(2);
  const request = { cmd, atyp, hostname, port: high << 8 | low };
  conn.note({ request });
  return request;
}

async function readHostname(conn: ServerConn, atyp: number): Promise<string> {
  if (atyp === 1) return (await conn.reader.readFull(4)).join(".");
  if (atyp === 4) return ipv6(await conn.reader.readFull(16));
  if (atyp !== 3) await conn.end("close");
  const [length = 0] = await conn.reader.readFull(1);
  return text(await conn.reader.readFull(length));
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** RFC 5952 through the parser that every runtime has. */
function ipv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8 | bytes[2 * i + 1]!).toString(16));
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

const PASSWORD = 2;
const NO_ACCEPTABLE_METHOD = 0xff;
const COMMAND_NOT_SUPPORTED = 7;
