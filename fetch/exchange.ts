import { Buffer } from "node:buffer";
import { type ClientRequest, type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { drained } from "../adapters/drained.ts";
import type { ConnDuplex } from "../adapters/duplex.ts";
import type { FetchAgent } from "./agent.ts";
import type { Call } from "./call.ts";
import { type Fields, type Hop, mayRepeat } from "./hop.ts";

/** The head of an answer, whose body is still to come, and the request, which may still be on its way. */
export interface Answer {
  readonly message: IncomingMessage;
  readonly request: ClientRequest;
  /** The label of the proxy that it came through. */
  readonly proxy: string | undefined;
}

const MAX_HEADER_BYTES = 262_144; // as in Chromium

/**
 * Sends a request and gives the answer. If the target closed a connection that was kept just then, the request is sent
 * again on another one, unless anything could come of it twice.
 */
export async function exchange(hop: Hop, fields: Fields, agent: FetchAgent, call: Call): Promise<Answer> {
  for (;;) {
    call.throwIfOver();
    const attempt = new Attempt(hop, fields, agent);
    call.stop = (reason) => attempt.stop(reason);
    try {
      return await attempt.answer;
    } catch (error) {
      if (call.over !== undefined || !attempt.cameTooLate || !mayRepeat(hop)) throw error;
    }
  }
}

/** A request on one connection. */
class Attempt {
  readonly answer: Promise<Answer>;
  readonly #request: ClientRequest;
  #failed!: (error: unknown) => void;
  #message: IncomingMessage | undefined;
  #upload: ReadableStreamDefaultReader<Uint8Array> | undefined;

  constructor(hop: Hop, headers: Fields, agent: FetchAgent) {
    const { protocol, hostname, port, pathname, search, href } = hop.url;
    const secure = protocol === "https:";
    const request = this.#request = (secure ? httpsRequest : httpRequest)({
      agent,
      protocol,
      hostname: hostname.replace(/^\[|\]$/g, ""),
      ...(port !== "" && { port }),
      path: pathname + (search || (/\?(#|$)/.test(href) ? "?" : "")),
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
    this.#send(hop.body).catch((error) => this.stop(error));
  }

  /** Whether it came to a connection that had served others just when the target closed it. */
  get cameTooLate(): boolean {
    return this.#request.reusedSocket && this.#message === undefined;
  }

  /** Ends it, and the body of its answer, for that reason. */
  stop(reason: unknown): void {
    this.#ended(reason);
    if (this.#message?.readableEnded === false) this.#message.destroy(reason as Error);
    this.#request.destroy();
  }

  #closed(): void {
    if (this.#message !== undefined && this.#upload === undefined) return; // as it should
    this.#ended(new Error("The connection was closed"));
  }

  /** Nothing more is sent. */
  #ended(reason: unknown): void {
    this.#failed(reason);
    this.#upload?.cancel(reason).catch(() => {});
    this.#upload = undefined;
  }

  async #send(body: Hop["body"]): Promise<void> {
    const request = this.#request;
    if (body === null) return void request.end();
    if (body.kind === "bytes") return void request.end(nodeBytes(body.bytes));
    const stream: ReadableStream<Uint8Array> = body.kind === "blob" ? body.blob.stream() : body.stream;
    const reader = this.#upload = stream.getReader();
    const length = Number(request.getHeader("content-length") ?? NaN);
    let sent = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (request.destroyed) return;
      if (done) break;
      if (!ArrayBuffer.isView(value)) {
        throw new TypeError(`Cannot send what the body of the request gave: not a Uint8Array but ${typeof value}`);
      }
      sent += value.byteLength;
      if (sent > length) break;
      if (value.byteLength > 0 && !request.write(nodeBytes(value))) await drained(request);
    }
    if (sent !== length && !Number.isNaN(length)) {
      const how = sent > length ? "more" : "fewer";
      throw new TypeError(`Cannot send the body of the request: it has ${how} bytes than Content-Length says`);
    }
    this.#upload = undefined;
    request.end();
  }
}

/** For Bun, whose `node:http` takes no bytes of another realm. */
function nodeBytes({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
}
