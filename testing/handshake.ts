import { COMMANDS } from "./commands.ts";
import { ConnectionOver } from "./reader.ts";
import type { Line } from "./server_conn.ts";
import type { TestRequest } from "./log.ts";
import type { Plan } from "./parse_options.ts";

/** Plays the server's part on a client's connection, from the accept until both sockets are closed. */
export async function serve(line: Line, plan: Plan): Promise<void> {
  const timeout = plan.handshakeTimeout;
  const timer = timeout === Infinity ? undefined : setTimeout(() => line.kill(), timeout);
  try {
    await line.answer("accept", new Uint8Array(0));
    if (await negotiate(line, plan) === PASSWORD) await authenticate(line, plan);
    const request = await readRequest(line);
    clearTimeout(timer);
    const command = COMMANDS[request.cmd];
    if (command !== undefined) return await command(line, request, plan);
    await line.refuse(COMMAND_NOT_SUPPORTED);
  } catch (error) {
    if (!(error instanceof ConnectionOver)) throw error;
  } finally {
    clearTimeout(timer);
    line.client.destroy();
    line.target?.destroy();
    await line.closed;
    line.note({ open: false });
  }
}

async function negotiate(line: Line, plan: Plan): Promise<number | undefined> {
  line.inbox.begin();
  const [ver, count = 0] = await line.inbox.take(2);
  if (ver !== 5) await line.end("close");
  const methods = await line.inbox.take(count);
  line.note({ methods: [...methods] });
  const method = plan.methods.find((it) => methods.includes(it)) ?? NO_ACCEPTABLE_METHOD;
  const isOverwritten = plan.framing === "overwrite" && method === PASSWORD && line.inbox.hasMore;
  const answer = await line.answer("negotiate", isOverwritten ? new Uint8Array(0) : Uint8Array.of(5, method));
  const chosen = isOverwritten ? method : answer[1];
  if (chosen === NO_ACCEPTABLE_METHOD) await line.end("close");
  return chosen;
}

async function authenticate(line: Line, plan: Plan): Promise<void> {
  line.inbox.begin();
  const [, ulen = 0] = await line.inbox.take(2);
  const username = text(await line.inbox.take(ulen));
  const [plen = 0] = await line.inbox.take(1);
  const password = text(await line.inbox.take(plen));
  line.note({ credentials: { username, password } });
  const answer = await line.answer("authenticate", Uint8Array.of(1, plan.status({ username, password })));
  if (answer[1] !== 0) await line.end("close");
}

async function readRequest(line: Line): Promise<TestRequest> {
  line.inbox.begin();
  const [, cmd = 0, , atyp = 0] = await line.inbox.take(4);
  const hostname = await readHostname(line, atyp);
  const [high = 0, low = 0] = await line.inbox.take(2);
  const request = { cmd, atyp, hostname, port: high << 8 | low };
  line.note({ request });
  return request;
}

async function readHostname(line: Line, atyp: number): Promise<string> {
  if (atyp === 1) return (await line.inbox.take(4)).join(".");
  if (atyp === 4) return ipv6(await line.inbox.take(16));
  if (atyp !== 3) await line.end("close");
  const [length = 0] = await line.inbox.take(1);
  return text(await line.inbox.take(length));
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
