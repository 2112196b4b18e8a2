import type { Bytes } from "../src/transport.ts";
import type { Call } from "./call.ts";
import { FetchResponse, type Fields, type ResponseFacts } from "./response.ts";
import { streamOfBytes } from "./response_body.ts";

/** A response whose body came whole; it cannot be read once its call was ended from outside. */
export function wholeResponseOf(bytes: Bytes, call: Call, fields: Fields, facts: ResponseFacts): Response {
  return new WholeResponse(bytes, call, fields, facts) as unknown as Response;
}

// The servers of Deno and Bun send what a Response has inside, whatever its members say
const IS_SERVED = "Deno" in globalThis || "Bun" in globalThis;
const utf8 = new TextDecoder();

/** Bytes are read for a fraction of what a stream costs: there is a stream only once somebody asks for one. */
class WholeResponse extends FetchResponse {
  readonly #bytes: Bytes;
  readonly #call: Call;
  #isRead = false;
  #streamed: Response | undefined;

  constructor(bytes: Bytes, call: Call, fields: Fields, facts: ResponseFacts) {
    super(IS_SERVED ? bytes : null, fields, facts);
    this.#bytes = bytes;
    this.#call = call;
  }

  override get body(): ReadableStream<Bytes> | null {
    return this.#asStream().body;
  }

  override get bodyUsed(): boolean {
    return this.#streamed?.bodyUsed ?? this.#isRead;
  }

  override clone(): Response {
    return this.copyOf(this.#asStream().clone());
  }

  override async arrayBuffer(): Promise<ArrayBuffer> {
    return this.#read()?.buffer ?? await this.#asStream().arrayBuffer();
  }

  override async blob(): Promise<Blob> {
    return await this.#again().blob();
  }

  override async bytes(): Promise<Bytes> {
    return this.#read() ?? new Uint8Array(await this.#asStream().arrayBuffer());
  }

  override async formData(): Promise<FormData> {
    return await this.#again().formData();
  }

  override async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }

  override async text(): Promise<string> {
    const bytes = this.#read();
    return bytes ? utf8.decode(bytes) : await this.#asStream().text();
  }

  /** The bytes, once; `undefined` if it is a stream that has them, or had. */
  #read(): Bytes | undefined {
    if (this.#streamed !== undefined || this.#isRead) return undefined;
    this.#isRead = true;
    this.#call.throwIfOver();
    return this.#bytes;
  }

  /** For what depends on the type, too. */
  #again(): Response {
    const bytes = this.#read();
    return bytes ? new Response(bytes, { headers: this.headers }) : this.#asStream();
  }

  /** One of a stream, which was read if this was. */
  #asStream(): Response {
    if (this.#streamed !== undefined) return this.#streamed;
    const stream = streamOfBytes(this.#bytes, () => this.#call.throwIfOver());
    this.#streamed = new Response(stream, { headers: this.headers });
    if (this.#isRead) this.#streamed.arrayBuffer().catch(() => {});
    return this.#streamed;
  }
}
