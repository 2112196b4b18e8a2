import type { ClientLike } from "../src/client_of.ts";
import { decode } from "../src/config/proxy_url.ts";
import { printable } from "../src/errors.ts";
import { BadHead, HeadCutOff, readResponseHead, type ResponseHead } from "../src/response_head.ts";
import type { Conn, TlsOptions } from "../src/transport.ts";

/** What all WebSockets of a class have in common. */
export interface Setup {
  readonly client: ClientLike;
  readonly tls: Pick<TlsOptions, "caCerts" | "cert" | "key">;
  readonly session: string | undefined;
  readonly maxMessage: number;
  readonly timeout: number;
}

/** What a WebSocket asks for. */
export interface Wish {
  readonly url: URL;
  readonly protocols: readonly string[];
  /** Fields besides those of the handshake. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly session: string | undefined;
}

/** A connection that is a WebSocket from here on. */
export interface Opened {
  readonly conn: Conn;
  /** What came behind the answer. */
  readonly rest: Uint8Array;
  readonly protocol: string;
}

/** Connects through the proxy and has the opening handshake (RFC 6455 section 4.1); closes what it opened if that fails. */
export async function open(
  { client, tls, timeout, ...setup }: Setup,
  wish: Wish,
  signal: AbortSignal,
): Promise<Opened> {
  const { url, session = setup.session } = wish;
  const isSecure = url.protocol === "wss:";
  const limit = new AbortController();
  const abort = () => limit.abort(signal.reason);
  const late = () => limit.abort(new Error(`${cannotOpen(url)}: timed out after ${timeout} ms`));
  const timer = timeout === Infinity ? undefined : setTimeout(late, timeout);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort);
  let conn: Conn | undefined;
  limit.signal.addEventListener("abort", () => conn?.close());
  try {
    const target = { hostname: url.hostname, port: Number(url.port || (isSecure ? 443 : 80)) };
    const tunnel = await client.connect(target, { signal: limit.signal, session });
    conn = tunnel;
    // not by an option of connect(), which one that knows nothing of TLS would leave out
    if (isSecure) conn = await tunnel.startTls({ ...tls, alpnProtocols: ["http/1.1"], signal: limit.signal });
    limit.signal.throwIfAborted();
    const key = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16))));
    await conn.write(requestOf(wish, key));
    const head = await readResponseHead(conn);
    const why = refusal(head, await acceptOf(key), wish.protocols);
    limit.signal.throwIfAborted();
    if (why !== undefined) throw new Error(`${cannotOpen(url)}: ${printable(why)}`);
    return { conn, rest: head.rest, protocol: head.fields.get("sec-websocket-protocol") ?? "" };
  } catch (error) {
    conn?.close();
    if (limit.signal.aborted) throw limit.signal.reason;
    const isForeign = error instanceof BadHead || error instanceof HeadCutOff;
    throw isForeign ? new Error(`${cannotOpen(url)}: ${error.message}`) : error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  }
}

function cannotOpen({ protocol, host }: URL): string {
  return `Cannot open a WebSocket to ${protocol}//${host}`;
}

/** Neither a URL nor `Headers` has a character that ends a line. */
function requestOf({ url, protocols, headers }: Wish, key: string): Uint8Array {
  const { username, password } = url;
  const fields: (readonly [name: string, value: string])[] = [
    ["Host", url.host],
    ["Upgrade", "websocket"],
    ["Connection", "Upgrade"],
    ["Sec-WebSocket-Key", key],
    ["Sec-WebSocket-Version", "13"],
  ];
  if (protocols.length > 0) fields.push(["Sec-WebSocket-Protocol", protocols.join(", ")]);
  const hasOwn = headers.some(([name]) => name === "authorization");
  if ((username !== "" || password !== "") && !hasOwn) {
    const bytes = new TextEncoder().encode(`${decode(username)}:${decode(password)}`);
    fields.push(["Authorization", `Basic ${btoa(String.fromCharCode(...bytes))}`]);
  }
  const lines = [...fields, ...headers].map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const head = `GET ${url.pathname}${url.search} HTTP/1.1\r\n${lines}\r\n`;
  return Uint8Array.from(head, (character) => character.charCodeAt(0));
}

async function acceptOf(key: string): Promise<string> {
  const bytes = new TextEncoder().encode(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
  return btoa(String.fromCharCode(...new Uint8Array(await crypto.subtle.digest("SHA-1", bytes))));
}

/** Why an answer is no WebSocket (RFC 6455 section 4.1; for protocols, the WebSockets standard, which wants one). */
function refusal(
  { status, reason, fields }: ResponseHead,
  accept: string,
  protocols: readonly string[],
): string | undefined {
  if (status !== 101) return `the server answered ${status} ${reason.slice(0, 80)}`.trimEnd();
  if (fields.get("upgrade")?.toLowerCase() !== "websocket") return "the answer does not upgrade to a WebSocket";
  const tokens = (fields.get("connection") ?? "").toLowerCase().split(",").map((it) => it.trim());
  if (!tokens.includes("upgrade")) return "the answer does not upgrade the connection";
  if (fields.get("sec-websocket-accept") !== accept) return "Sec-WebSocket-Accept does not belong to the request";
  if (fields.has("sec-websocket-extensions")) return "the server uses an extension that was not offered";
  const protocol = fields.get("sec-websocket-protocol");
  if (protocol === undefined) return protocols.length > 0 ? "the server chose none of the protocols" : undefined;
  return protocols.includes(protocol) ? undefined : "the server chose a protocol that was not offered";
}
