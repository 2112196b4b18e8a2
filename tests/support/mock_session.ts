import { connect, type Socket } from "node:net";
import { encodeReply, type ReplyFields } from "./mock_faults.ts";
import { ConnectionOver } from "./mock_inbox.ts";
import { closed, type Line, reset } from "./mock_line.ts";
import type { MockProxyOptions, MockRule } from "./mock_proxy.ts";

/** Plays the server's part on a client's connection, from the accept until both sockets are closed. */
export async function serve(line: Line, options: MockProxyOptions): Promise<void> {
  const timeout = options.handshakeTimeout;
  const timer = timeout === undefined ? undefined : setTimeout(() => line.kill(), timeout);
  try {
    await line.answer("accept", NOTHING);
    if (await negotiate(line, options) === PASSWORD) await authenticate(line, options);
    const rule = await readRequest(line, options);
    clearTimeout(timer);
    const target = await answerRequest(line, rule);
    await transfer(line, target, options);
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

async function negotiate(line: Line, options: MockProxyOptions): Promise<number | undefined> {
  line.inbox.begin();
  const [ver, count = 0] = await line.inbox.take(2);
  if (ver !== 5) await line.end("close");
  const methods = await line.inbox.take(count);
  line.note({ methods: [...methods] });
  const wanted = options.methods ?? [options.credentials ? PASSWORD : NO_AUTHENTICATION];
  const method = wanted.find((it) => methods.includes(it)) ?? NO_ACCEPTABLE_METHOD;
  const isOverwritten = options.framing === "overwrite" && method === PASSWORD && line.inbox.hasMore;
  const answer = await line.answer("negotiate", isOverwritten ? NOTHING : Uint8Array.of(5, method));
  const chosen = isOverwritten ? method : answer[1];
  if (chosen === NO_ACCEPTABLE_METHOD) await line.end("close");
  return chosen;
}

async function authenticate(line: Line, options: MockProxyOptions): Promise<void> {
  line.inbox.begin();
  const [, ulen = 0] = await line.inbox.take(2);
  const username = text(await line.inbox.take(ulen));
  const [plen = 0] = await line.inbox.take(1);
  const password = text(await line.inbox.take(plen));
  line.note({ credentials: { username, password } });
  const answer = await line.answer("authenticate", Uint8Array.of(1, statusOf(username, password, options)));
  if (answer[1] !== 0) await line.end("close");
}

function statusOf(username: string, password: string, { credentials }: MockProxyOptions): number {
  if (typeof credentials === "function") return credentials({ username, password });
  if (!credentials) return 0;
  return credentials.username === username && (credentials.password ?? "") === password ? 0 : 1;
}

async function readRequest(line: Line, options: MockProxyOptions): Promise<MockRule> {
  line.inbox.begin();
  const [, cmd = 0, , atyp = 0] = await line.inbox.take(4);
  const hostname = await readHostname(line, atyp);
  const [high = 0, low = 0] = await line.inbox.take(2);
  const port = high << 8 | low;
  line.note({ request: { cmd, atyp, hostname, port } });
  return cmd === CONNECT ? ruleFor(hostname, port, options) : { rep: 7 };
}

async function readHostname(line: Line, atyp: number): Promise<string> {
  if (atyp === 1) return (await line.inbox.take(4)).join(".");
  if (atyp === 4) return ipv6(await line.inbox.take(16));
  if (atyp !== 3) await line.end("close");
  const [length = 0] = await line.inbox.take(1);
  return text(await line.inbox.take(length));
}

function ruleFor(hostname: string, port: number, { rules = {} }: MockProxyOptions): MockRule {
  const target = hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
  const rule = typeof rules === "function" ? rules(target) : rules[target];
  if (rule) return rule;
  if (hostname === "localhost") return { port };
  if (/^127\.[\d.]+$/.test(hostname) || hostname === "::1") return { hostname, port };
  return { rep: /^[\d.]+$|:/.test(hostname) ? 2 : 4 };
}

async function answerRequest(line: Line, rule: MockRule): Promise<Socket> {
  if (rule === "silence") return await line.end("silence");
  const isAnsweredBlindly = line.fault("request").then !== undefined;
  const right = "rep" in rule ? rule : isAnsweredBlindly ? {} : await dial(line, rule);
  const answer = await line.answer("request", encodeReply(right));
  line.note({ rep: answer[1] ?? null });
  return answer[1] === 0 && line.target ? line.target : await line.end("close");
}

async function dial(
  line: Line,
  { hostname = "127.0.0.1", port }: { hostname?: string; port: number },
): Promise<ReplyFields> {
  const target = connect({ host: hostname, port, allowHalfOpen: true });
  const code = await new Promise<string>((resolve) => {
    target.once("connect", () => resolve(""));
    // it stays: a target may break before the reply is sent
    target.on("error", (error: Error & { code?: string }) => resolve(error.code ?? "unknown"));
  });
  if (code !== "") return { rep: REP_OF_ERROR[code] ?? 1 };
  line.target = target;
  if (line.client.destroyed) throw new ConnectionOver("The client is gone");
  const bndPort = target.localPort ?? 0;
  if (hostname.includes(":")) return { atyp: 4, bndAddr: new Uint8Array(16).with(15, 1), bndPort };
  return { bndAddr: Uint8Array.of(127, 0, 0, 1), bndPort };
}

async function transfer(line: Line, target: Socket, options: MockProxyOptions): Promise<void> {
  const { client, log } = line;
  const early = line.inbox.detach();
  line.note({ step: "transfer", sent: early.length });
  client.on("data", (chunk) => line.note({ sent: log.sent + chunk.length }));
  target.on("data", (chunk) => line.note({ delivered: log.delivered + chunk.length }));
  target.once("end", () => line.endedBy("target"));
  if (options.halfClose === "cut") line.inbox.gone.then(() => line.kill());
  const broken = () => {
    line.endedBy("target");
    reset(client);
  };
  target.on("error", broken);
  if (target.destroyed) broken();
  if (early.length > 0) target.write(early);

  const fault = line.fault("transfer");
  const join = () => (client.pipe(target), target.pipe(client));
  if (fault.wait !== undefined) {
    join();
    await line.wait(fault.wait, line.closed);
  }
  if (fault.then) {
    client.unpipe().resume();
    target.unpipe().resume();
  }
  await line.say(fault, NOTHING);
  if (fault.wait === undefined) join();
  await Promise.all([line.closed, closed(target)]);
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** RFC 5952 through the parser that every runtime has. */
function ipv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8 | bytes[2 * i + 1]!).toString(16));
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

const NOTHING = new Uint8Array(0);
const CONNECT = 1;
const NO_AUTHENTICATION = 0;
const PASSWORD = 2;
const NO_ACCEPTABLE_METHOD = 0xff;
const REP_OF_ERROR: Record<string, number> = { ECONNREFUSED: 5, ENETUNREACH: 3, EHOSTUNREACH: 4 };
