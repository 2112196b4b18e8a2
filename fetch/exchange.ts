import { type ClientRequest, type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { ConnDuplex } from "../adapters/duplex.ts";
import type { FetchAgent } from "./agent.ts";
import type { Call } from "./call.ts";
import { type Fields, type Hop, MAX_HEADER_BYTES, mayRepeat, pathOf } from "./hop.ts";
import { Upload } from "./upload.ts";

/** The head of an answer, whose body is still to come, and the request, which may still be on its way. */
export interface Answer {
  readonly message: IncomingMessage;
  readonly request: ClientRequest;
  /** The label of the proxy that it came through. */
  readonly proxy: string | undefined;
}

/** A request on its way. */
export interface Attempt {
  readonly answer: Promise<Answer>;
  /** Once it failed: whether it came to a connection that the target closed just then. */
  readonly cameTooLate: boolean;
  /** Ends it, and the body of its answer, for that reason. */
  stop(reason: unknown): void;
}

/** What sends requests. */
export interface Connections {
  send(hop: Hop, fields: Fields): Attempt;
  /** A proxy was banned for a host: what leads there through it serves no further request. */
  banned?(proxy: string, hostname: string): void;
  /** Closes all connections, and resolves when none is left. */
  close(): Promise<void>;
}

/**
 * Sends a request and gives the answer. If the target closed a connection that was kept just then, the request is sent
 * again on another one, unless anything could come of it twice.
 */
export async function exchange(hop: Hop, fields: Fields, connections: Connections, call: Call): Promise<Answer> {
  for (;;) {
    call.throwIfOver();
    const attempt = connections.send(hop, fields);
    call.stop = (reason) => attempt.stop(reason);
    try {
      return await attempt.answer;
    } catch (error) {
      if (call.over !== undefined || !attempt.cameTooLate || !mayRepeat(hop)) throw error;
    }
  }
}

/** A request by HTTP/1.1. */
export class Http1Attempt implements Attempt {
  readonly answer: Promise<Answer>;
  readonly #request: ClientRequest;
  #failed!: (error: unknown) => void;
  #message: IncomingMessage | undefined;
  #upload: Upload | undefined;

  constructor(hop: Hop, headers: Fields, agent: FetchAgent) {
    const { protocol, hostname, port } = hop.url;
    const secure = protocol === "https:";
    const request = this.#request = (secure ? httpsRequest : httpRequest)({
      agent,
      protocol,
      hostname: hostname.replace(/^\[|\]$/g, ""),
      ...(port !== "" && { port }),
      path: pathOf(hop.url),
      method: hop.method,
      headers,
      maxHeaderSize: MAX_HEADER_BYTES,
      ...(hop.session !== undefined && { session: hop.session }),
    });
    request.method = hop.method; // which node:http has written in capitals
    this.answer = new Promise((resolve, reject) => {
      this.#failed = reject;
      request.on("response", (message) => {
        this.#message = message.on("error", () => {});
        const { proxy } = request.socket as unknown as ConnDuplex; // of the agent
        resolve({ message, request, proxy });
      });
    });
    request.on("error", (error) => this.#ended(error));
    request.on("close", () => this.#closed());
    if (hop.body === null) {
      request.end();
    } else {
      this.#upload = new Upload();
      this.#upload.send(hop.body, request, headers["content-length"]).catch((error) => this.stop(error));
    }
  }

  get cameTooLate(): boolean {
    return this.#request.reusedSocket && this.#message === undefined;
  }

  stop(reason: unknown): void {
    this.#ended(reason);
    if (this.#message?.readableEnded === false) this.#message.destroy(reason as Error);
    this.#request.destroy();
  }

  #closed(): void {
    if (this.#message !== undefined && !this.#upload?.isUnderWay) return; // as it should
    this.#ended(new Error("The connection was closed"));
  }

  /** Nothing more is sent. */
  #ended(reason: unknown): void {
    this.#failed(reason);
    this.#upload?.cancel(reason);
  }
}
