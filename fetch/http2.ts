import type { ClientRequestArgs } from "node:http";
import type { ClientHttp2Stream } from "node:http2";
import { ConnDuplex } from "../adapters/duplex.ts";
import { wayName } from "../agent/way.ts";
import type { Socks5Conn } from "../src/tunnel/socks5_conn.ts";
import type { FetchAgent } from "./agent.ts";
import type { Answer, Attempt, Connections } from "./exchange.ts";
import { type Fields, type Hop, pathOf } from "./hop.ts";
import { Http2Connection } from "./http2_connection.ts";
import { CANCEL, Http2Message } from "./http2_message.ts";
import { opened } from "./opened.ts";
import { Upload } from "./upload.ts";

const REFUSED_STREAM = 0x07; // RFC 9113 section 7

/** For how many origins and sessions it is remembered that they speak HTTP/1.1. */
const MAX_REMEMBERED = 10_000;

/** Where a request goes: requests share a connection only if both are the same. */
type Destination = { key: string; to: ClientRequestArgs; origin: string; session: string | undefined };

/** A connection that is being opened, for so many requests. */
interface Opening {
  waiting: number;
  readonly stream: ConnDuplex;
  /** `undefined` if the target chose HTTP/1.1: then the connection waits for a request by that. */
  readonly connection: Promise<Http2Connection | undefined>;
}

/** One connection for each origin and session to targets that choose HTTP/2; HTTP/1.1 to all others. */
export class Http2Connections implements Connections {
  readonly #agent: FetchAgent;
  readonly #http1: Connections;
  readonly #opening = new Map<string, Opening>();
  readonly #open = new Map<string, Http2Connection>();
  readonly #speakHttp1 = new Set<string>();

  constructor(agent: FetchAgent, http1: Connections) {
    this.#agent = agent;
    this.#http1 = http1;
  }

  send(hop: Hop, fields: Fields): Attempt {
    return hop.url.protocol === "https:" ? new Http2Attempt(hop, fields, this) : this.sendByHttp1(hop, fields);
  }

  sendByHttp1(hop: Hop, fields: Fields): Attempt {
    return this.#http1.send(hop, fields);
  }

  /** The open connection, or the one that is being opened; `undefined` for HTTP/1.1. */
  to({ url, session }: Hop): Http2Connection | Opening | undefined {
    const { protocol, hostname, port, origin } = url;
    const host = hostname.replace(/^\[|\]$/g, "");
    const to = this.#agent.routed({ protocol, hostname: host, port: port || "443" });
    const key = JSON.stringify([origin, session, wayName(to)]);
    if (this.#speakHttp1.has(key)) return undefined;
    const open = this.#open.get(key);
    if (open?.takesRequest()) return open;
    return this.#opening.get(key) ?? this.#begin({ key, to, origin, session });
  }

  /** A request waits no longer for a connection; if it was the last one, nothing is opened. */
  leave(opening: Opening): void {
    if (--opening.waiting === 0 && opening.stream.connecting) opening.stream.destroy();
  }

  banned(proxy: string, hostname: string): void {
    for (const [key, connection] of this.#open) {
      const host = new URL(JSON.parse(key)[0]).hostname.replace(/^\[|\]$/g, "");
      const isBelow = host === hostname || host.endsWith(`.${hostname}`);
      if (connection.proxy === proxy && isBelow) connection.retire();
    }
  }

  close(): Promise<void> {
    return this.#http1.close();
  }

  #begin(destination: Destination): Opening {
    const { key, to, session } = destination;
    let conn: Socks5Conn | undefined;
    const stream = this.#agent.adopt(
      new ConnDuplex(async (signal) => conn = await this.#agent.open(to, session, signal, ["h2", "http/1.1"])),
    );
    const forget = () => void (this.#opening.get(key) === opening && this.#opening.delete(key));
    const connection = opened(stream).then(() => {
      forget();
      return conn!.alpnProtocol === "h2" ? this.#hold(destination, stream) : this.#lend(destination, stream);
    });
    stream.once("close", forget);
    const opening = { waiting: 0, stream, connection };
    this.#opening.set(key, opening);
    return opening;
  }

  #hold({ key, origin }: Destination, stream: ConnDuplex): Http2Connection {
    const connection: Http2Connection = new Http2Connection(origin, stream, () => {
      if (this.#open.get(key) === connection) this.#open.delete(key);
    });
    this.#open.set(key, connection);
    return connection;
  }

  #lend({ key, to, session }: Destination, stream: ConnDuplex): undefined {
    if (this.#speakHttp1.size >= MAX_REMEMBERED) this.#speakHttp1.clear();
    this.#speakHttp1.add(key);
    this.#agent.lend(to, session, stream);
  }
}

/** A request by HTTP/2, or by HTTP/1.1 if that is what the target chooses. */
class Http2Attempt implements Attempt {
  readonly answer: Promise<Answer>;
  readonly #upload = new Upload();
  #failed!: (error: unknown) => void;
  #stopped: { readonly reason: unknown } | undefined;
  #stopWaiting: (() => void) | undefined;
  #stream: ClientHttp2Stream | undefined;
  #http1: Attempt | undefined;
  #message: Http2Message | undefined;
  #cameTooLate = false;

  constructor(hop: Hop, fields: Fields, connections: Http2Connections) {
    this.answer = new Promise((resolve, reject) => {
      this.#failed = reject;
      this.#begin(hop, fields, connections).then(resolve, reject);
    });
  }

  get cameTooLate(): boolean {
    return this.#http1?.cameTooLate ?? this.#cameTooLate;
  }

  stop(reason: unknown): void {
    this.#stopped ??= { reason };
    this.#ended(reason);
    this.#stopWaiting?.();
    this.#stopWaiting = undefined;
    this.#http1?.stop(reason);
    if (this.#message?.readableEnded === false) this.#message.destroy(reason as Error);
    this.#stream?.close(CANCEL);
  }

  async #begin(hop: Hop, fields: Fields, connections: Http2Connections): Promise<Answer> {
    const connection = await this.#connected(connections.to(hop), connections);
    if (this.#stopped !== undefined) {
      connection?.rest();
      throw this.#stopped.reason;
    }
    if (connection === undefined) return await (this.#http1 = connections.sendByHttp1(hop, fields)).answer;
    return await this.#request(hop, fields, connection);
  }

  async #connected(
    to: Http2Connection | Opening | undefined,
    connections: Http2Connections,
  ): Promise<Http2Connection | undefined> {
    if (to === undefined || to instanceof Http2Connection) return to;
    to.waiting++;
    this.#stopWaiting = () => connections.leave(to);
    const connection = await to.connection;
    this.#stopWaiting = undefined;
    return connection;
  }

  #request(hop: Hop, fields: Fields, connection: Http2Connection): Promise<Answer> {
    const { host, connection: _close, ...rest } = fields;
    const head = { ":method": hop.method, ":scheme": "https", ":authority": host, ":path": pathOf(hop.url), ...rest };
    const stream = this.#stream = connection.request(head, hop.body === null);
    const answer = new Promise<Answer>((resolve) => {
      stream.once("response", (headers) => {
        const message = this.#message = new Http2Message(stream, headers, hop.method);
        resolve({ message, request: stream, proxy: connection.proxy } as unknown as Answer);
      });
    });
    stream.on("error", (error) => this.#broke(error, connection));
    stream.on("close", () => this.#broke(new Error("The connection was closed"), connection));
    if (hop.body !== null) {
      this.#upload.send(hop.body, stream, fields["content-length"]).catch((error) => this.stop(error));
    }
    return answer;
  }

  #broke(error: Error, connection: Http2Connection): void {
    const isRefused = this.#stream!.rstCode === REFUSED_STREAM;
    if (isRefused) connection.retire();
    if (this.#message === undefined) this.#cameTooLate = connection.isReused && !connection.isOpen;
    if (this.#message === undefined || this.#upload.isUnderWay) this.#ended(error);
  }

  /** Nothing more is sent. */
  #ended(reason: unknown): void {
    this.#failed(reason);
    this.#upload.cancel(reason);
  }
}
