import { rounded } from "../src/events.ts";
import { Socks5Error, type Socks5ErrorCode } from "../src/errors.ts";
import type { Address, Target } from "../src/protocol/address.ts";
import type { Socks5Conn } from "../src/tunnel/socks5_conn.ts";
import type { ClientIdentity } from "./auth.ts";
import type { ClientConn } from "./client_conn.ts";
import { LoopDetected, Refused, WrongPassword } from "./error_mapping.ts";
import { hostOf, type RequestHead } from "./http/head.ts";

/** What a client of the local proxy asks for: a tunnel to a target, or one plain HTTP request. */
export interface ServedConnection {
  /** Counted from 1 by each local proxy. */
  readonly id: number;
  /** `"host:port"` of the client; `""` on a unix socket. */
  readonly client: string;
  /** How it was asked for: SOCKS5, HTTP CONNECT, a plain request for a URL, or by a port with a fixed target. */
  readonly protocol: "socks5" | "connect" | "http" | "target";
  /** The user name that the client signed in with, with `credentials: "session"`; or what `onConnection` said. */
  readonly session: string | undefined;
  /** `"host:port"`. */
  readonly target: string;
  /** The URL of a plain request with its query, which never has a password. */
  readonly url: string | undefined;
  /** The method of a plain request. */
  readonly method: string | undefined;
  /** The header fields of a plain request, without `Proxy-Authorization`. */
  readonly headers: Headers | undefined;
  /** The label of the proxy that serves it; `undefined` before. */
  readonly proxy: string | undefined;
  /** Bytes that the target was sent: of a plain request with its head. */
  readonly sent: number;
  /** Bytes that the client got from the target. */
  readonly received: number;
  /** Resolves when it has ended. */
  readonly ended: Promise<ConnectionLog>;
  /** Closes it, and the connection of the client. */
  close(): void;
}

/** What is logged of a connection when it has ended. */
export interface ConnectionLog {
  /** Counted from 1 by each local proxy. */
  readonly id: number;
  /** When it was asked for, as an ISO 8601 string. */
  readonly time: string;
  /** `"host:port"` of the client; `""` on a unix socket. */
  readonly client: string;
  /** How it was asked for. */
  readonly protocol: ServedConnection["protocol"];
  /** Its session, if it had one. */
  readonly session: string | undefined;
  /** `"host:port"`; `""` if the client did not get so far as to name one. */
  readonly target: string;
  /** The label of the proxy that served it. */
  readonly proxy: string | undefined;
  /**
   * `"ok"`; or why there was no connection: the code of the error, `"wrong-password"`, `"refused"` (by `onConnection`),
   * `"loop"` (the target leads back to the local proxy), `"gone"` (the client left before), or `"failed"` for anything
   * else.
   */
  readonly verdict: "ok" | "wrong-password" | "refused" | "loop" | "gone" | "failed" | Socks5ErrorCode;
  /** The status of the response to a plain request. */
  readonly status: number | undefined;
  /** Milliseconds until it was connected; `undefined` if it was not. */
  readonly ms: number | undefined;
  /** Milliseconds until it ended. */
  readonly duration: number;
  /** Bytes that the target was sent. */
  readonly sent: number;
  /** Bytes that the client got from the target. */
  readonly received: number;
}

/** What `onConnection` decides. */
export interface ConnectionDecision {
  /** Refuses it; `true` is status 403, REP 02. */
  refuse?: boolean | Refusal | undefined;
  /** Connects to another target. A plain request stays as it is. */
  target?: Target | undefined;
  /** Gives it another session. */
  session?: string | undefined;
}

/** How a connection is refused. */
export interface Refusal {
  /** The status of the response, 300 to 599. Default: 403. */
  status?: number | undefined;
  /** The body of the response. Default: a line that says that it is refused. */
  body?: string | undefined;
  /** Header fields of the response. Default: that the body is plain text. */
  headers?: Readonly<Record<string, string>> | undefined;
  /** The REP field for clients of SOCKS5, 1 to 255. Default: 2, not allowed. */
  rep?: number | undefined;
}

/** What a client asks for. */
export interface Asked {
  readonly protocol: ServedConnection["protocol"];
  readonly identity: ClientIdentity;
  /** `undefined` if the client did not get so far. */
  readonly target: Address | undefined;
  /** Of a plain request. */
  readonly request?: RequestHead;
}

/** One connection that a client asked for, from the question to its end. */
export class Connection implements ServedConnection {
  readonly id: number;
  readonly protocol: ServedConnection["protocol"];
  /** Who asks, and as whom. */
  identity: ClientIdentity;
  /** Where it leads; a tunnel that is open needs it no more. */
  address: Address | undefined;
  target = "";
  /** Whether it goes past the proxy. */
  isDirect = false;
  /** The status of the response. */
  status: number | undefined;
  sent = 0;
  received = 0;
  readonly client: string;
  readonly #peer: ClientConn;
  readonly #request: RequestHead | undefined;
  readonly #tell: ((entry: ConnectionLog) => void) | undefined;
  readonly #begun: number;
  #conn: Socks5Conn | undefined;
  #ms: number | undefined;
  #entry: ConnectionLog | undefined;
  #ending: { promise: Promise<ConnectionLog>; resolve(entry: ConnectionLog): void } | undefined;

  /** `tell` is called at its end; without it nobody ever sees the connection. */
  constructor(id: number, peer: ClientConn, asked: Asked, tell: ((entry: ConnectionLog) => void) | undefined) {
    this.id = id;
    this.client = tell === undefined ? "" : peer.address;
    this.protocol = asked.protocol;
    this.identity = asked.identity;
    if (asked.target !== undefined) this.aim(asked.target);
    this.#peer = peer;
    this.#request = asked.request;
    this.#tell = tell;
    this.#begun = this.#now();
  }

  get session(): string | undefined {
    return this.identity.session;
  }

  get url(): string | undefined {
    if (this.#request === undefined) return undefined;
    const { target, path } = this.#request;
    return `http://${hostOf(target)}${path === "*" ? "" : path}`;
  }

  get method(): string | undefined {
    return this.#request?.method;
  }

  get headers(): Headers | undefined {
    const fields = this.#request?.fields.filter(([name]) => name.toLowerCase() !== "proxy-authorization");
    return fields && new Headers(fields.map(([name, value]) => [name, value] as [string, string]));
  }

  get proxy(): string | undefined {
    return this.#conn?.proxy;
  }

  get ended(): Promise<ConnectionLog> {
    if (this.#ending === undefined) {
      let resolve = (_: ConnectionLog) => {};
      this.#ending = { promise: new Promise((it) => resolve = it), resolve };
      if (this.#entry !== undefined) resolve(this.#entry);
    }
    return this.#ending.promise;
  }

  close(): void {
    this.#peer.close();
  }

  /** The tunnel that carries it. */
  get conn(): Socks5Conn {
    return this.#conn!;
  }

  /** It leads to another target. */
  aim(address: Address): void {
    this.address = address;
    this.target = address.name;
  }

  /** It is connected. */
  grant(conn: Socks5Conn): void {
    this.#conn = conn;
    this.#ms = this.#now() - this.#begun;
  }

  /** Sends bytes to the target. */
  send(bytes: Uint8Array): Promise<unknown> {
    this.sent += bytes.length;
    return this.#conn!.write(bytes);
  }

  /** Brings bytes of the target to the client. */
  deliver(bytes: Uint8Array): Promise<unknown> {
    this.received += bytes.length;
    return this.#peer.write(bytes);
  }

  /** It is over: tells so, once. `error` is why it was not connected. */
  end(error?: unknown): void {
    if (this.#entry !== undefined || this.#tell === undefined) return;
    const duration = this.#now() - this.#begun;
    const { id, client, protocol, session, target, proxy, status, sent, received } = this;
    this.#entry = {
      ...{ id, time: new Date(Date.now() - duration).toISOString(), client, protocol, session, target, proxy },
      verdict: this.#ms !== undefined ? "ok" : this.#peer.isGone ? "gone" : verdictOf(error),
      ...{ status, ms: this.#ms && rounded(this.#ms), duration: rounded(duration) },
      ...{ sent, received },
    };
    this.#ending?.resolve(this.#entry);
    this.#tell(this.#entry);
  }

  #now(): number {
    return this.#tell === undefined ? 0 : performance.now();
  }
}

function verdictOf(error: unknown): ConnectionLog["verdict"] {
  if (error instanceof Refused) return "refused";
  if (error instanceof WrongPassword) return "wrong-password";
  if (error instanceof LoopDetected) return "loop";
  return error instanceof Socks5Error ? error.code : "failed";
}
