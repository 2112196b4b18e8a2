import type { ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import { Readable } from "node:stream";
import { hasNoBody } from "./response.ts";

/** For a request that is of no use any more (RFC 9113 section 7). */
export const CANCEL = 0x08;

/** The answer on a stream of HTTP/2, with those members of an `IncomingMessage` that a fetch uses. */
export class Http2Message extends Readable {
  readonly statusCode: number;
  readonly statusMessage = "";
  readonly headers: Record<string, string | string[]> = {};
  readonly rawHeaders: string[] = [];
  /** Whether all of it has come. */
  complete = false;
  readonly #stream: ClientHttp2Stream;
  #missing: number;

  /** Takes a stream whose head has just come. */
  constructor(stream: ClientHttp2Stream, head: IncomingHttpHeaders, method: string) {
    super();
    this.#stream = stream;
    this.statusCode = Number(head[":status"]);
    for (const [name, value] of Object.entries(head)) {
      if (name.startsWith(":") || value === undefined) continue;
      this.headers[name] = value;
      for (const one of [value].flat()) this.rawHeaders.push(name, one);
    }
    this.#missing = hasNoBody(method, this.statusCode) ? 0 : Number(head["content-length"] ?? 0);
    stream.on("data", (chunk: Uint8Array) => {
      this.#missing -= chunk.length;
      if (!this.push(chunk)) stream.pause();
    });
    stream.on("error", (error) => this.destroy(error));
    stream.on("end", () => this.#ended()).on("close", () => this.#ended());
    this.on("error", () => {});
  }

  /** For `node:stream`. */
  override _read(): void {
    this.#stream.resume();
  }

  /** For `node:stream`. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!this.complete) this.#stream.close(CANCEL);
    done(error);
  }

  /** A stream that was reset ends, too; if that has no error code, nothing but the length can tell. */
  #ended(): void {
    if (this.complete || this.destroyed) return;
    this.complete = !this.#stream.rstCode && !(this.#missing > 0);
    if (this.complete) this.push(null);
    else this.destroy(new Error("The connection was closed within the body"));
  }
}
