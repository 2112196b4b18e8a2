import { Buffer } from "node:buffer";
import type { Writable } from "node:stream";
import { drained } from "../adapters/drained.ts";
import type { RequestBody } from "./request_body.ts";

/** The body of a request on its way. */
export class Upload {
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;

  /** Whether a stream is being sent. */
  get isUnderWay(): boolean {
    return this.#reader !== undefined;
  }

  /** Sends a body to its end; `contentLength` is the length that was announced, if any. */
  async send(body: RequestBody, to: Writable, contentLength: string | undefined): Promise<void> {
    if (body.kind === "bytes") return void to.end(nodeBytes(body.bytes));
    const stream: ReadableStream<Uint8Array> = body.kind === "blob" ? body.blob.stream() : body.stream;
    const reader = this.#reader = stream.getReader();
    const length = Number(contentLength ?? NaN);
    let sent = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (to.destroyed) return;
      if (done) break;
      if (!ArrayBuffer.isView(value)) {
        throw new TypeError(`Cannot send what the body of the request gave: not a Uint8Array but ${typeof value}`);
      }
      sent += value.byteLength;
      if (sent > length) break;
      if (value.byteLength > 0 && !to.write(nodeBytes(value))) await drained(to);
    }
    if (sent !== length && !Number.isNaN(length)) {
      const how = sent > length ? "more" : "fewer";
      throw new TypeError(`Cannot send the body of the request: it has ${how} bytes than Content-Length says`);
    }
    this.#reader = undefined;
    to.end();
  }

  /** Nothing more is sent. */
  cancel(reason: unknown): void {
    this.#reader?.cancel(reason).catch(() => {});
    this.#reader = undefined;
  }
}

/** For Bun, whose `node:http` takes no bytes of another realm. */
function nodeBytes({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
}
