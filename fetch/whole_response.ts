import type { Bytes } from "../src/transport.ts";
import { FetchResponse, type Fields, type ResponseFacts, responseOf } from "./response.ts";
import { type ByteStream, streamOfBytes, whenDropped } from "./response_body.ts";

/** A body that came whole. Until it is read, it can be made to fail as a stream can. */
export class WholeBody implements ByteStream {
  readonly bytes: Bytes;
  /** To be called when it is read. */
  readonly over: () => void;
  #failed: { readonly reason: unknown } | undefined;
  #failStream: ((reason: unknown) => void) | undefined;

  constructor(bytes: Bytes, over: () => void) {
    this.bytes = bytes;
    this.over = over;
  }

  get hasFailed(): boolean {
    return this.#failed !== undefined;
  }

  readonly fail = (reason: unknown): void => {
    this.#failed = { reason };
    this.#failStream?.(reason);
  };

  /** A stream of it, once. Like every stream of a body, it is held by who reads it and nobody else. */
  get stream(): ReadableStream<Uint8Array> {
    const { stream, fail } = streamOfBytes(this.bytes, this.over);
    this.#failStream = fail;
    if (this.#failed !== undefined) fail(this.#failed.reason);
    return stream;
  }

  /** Nobody holds the response any more; if it has made a stream, that may still be read. */
  dropped(): void {
    if (this.#failStream === undefined) this.over();
  }
}

// Node makes a stream of them anyway
const READS_BYTES = "Deno" in globalThis || "Bun" in globalThis;

/** A response with a body that may have come whole. */
export function bodyResponseOf(body: ByteStream | null, fields: Fields, facts: ResponseFacts): Response {
  if (READS_BYTES && body instanceof WholeBody) return new WholeResponse(body, fields, facts) as unknown as Response;
  return responseOf(body?.stream ?? null, fields, facts);
}

/**
 * A response whose body came whole. Deno and Bun read bytes for a fraction of what a stream costs: it has a stream only
 * once somebody asks for one, or once the body has failed.
 */
class WholeResponse extends FetchResponse {
  readonly #whole: WholeBody;
  #streamed: Response | undefined;

  constructor(whole: WholeBody, fields: Fields, facts: ResponseFacts) {
    super(whole.bytes, fields, facts);
    this.#whole = whole;
    whenDropped(this, () => whole.dropped());
  }

  override get body(): ReadableStream<Bytes> | null {
    return this.#isRead ? super.body : this.#asStream().body;
  }

  override get bodyUsed(): boolean {
    return this.#streamed?.bodyUsed ?? super.bodyUsed;
  }

  override clone(): Response {
    return this.#isRead ? super.clone() : this.copyOf(this.#asStream().clone());
  }

  override arrayBuffer(): Promise<ArrayBuffer> {
    return this.#read()?.arrayBuffer() ?? super.arrayBuffer();
  }

  override blob(): Promise<Blob> {
    return this.#read()?.blob() ?? super.blob();
  }

  override bytes(): Promise<Bytes> {
    return this.#read()?.bytes() ?? super.bytes();
  }

  override formData(): Promise<FormData> {
    return this.#read()?.formData() ?? super.formData();
  }

  override json(): Promise<unknown> {
    return this.#read()?.json() ?? super.json();
  }

  override text(): Promise<string> {
    return this.#read()?.text() ?? super.text();
  }

  get #isRead(): boolean {
    return this.#streamed === undefined && super.bodyUsed;
  }

  /** Begins to read; gives who has the body if it is not this. */
  #read(): Response | undefined {
    if (this.#streamed === undefined && !this.#whole.hasFailed) return void this.#whole.over();
    return this.#isRead ? undefined : this.#asStream();
  }

  #asStream(): Response {
    return this.#streamed ??= new Response(this.#whole.stream, { headers: this.headers });
  }
}
