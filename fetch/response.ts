import type { IncomingMessage } from "node:http";
import type { Bytes } from "../src/transport.ts";

/** What a response is besides its body and its fields. */
export interface ResponseFacts {
  readonly url: string;
  readonly redirected: boolean;
  readonly status: number;
  readonly statusText: string;
  /** The label of the proxy that it came through. */
  readonly proxy?: string | undefined;
}

/** Names and values. */
export type Fields = [name: string, value: string][];

const NULL_BODY = [101, 103, 204, 205, 304];
const REASON_PHRASE = /^[\t\x20-\x7e\x80-\xff]*$/;

const FORGETS_TYPES = "Bun" in globalThis; // of a body that is a stream

/** Whether an answer has no body, whatever comes behind its head (Fetch standard, "null body status"). */
export function hasNoBody(method: string, status: number): boolean {
  return method === "HEAD" || NULL_BODY.includes(status);
}

/** The fields of an answer, each as it came: `Set-Cookie` stays apart. */
export function fieldsOf({ rawHeaders }: IncomingMessage): Fields {
  const fields: Fields = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) fields.push([rawHeaders[i]!, rawHeaders[i + 1]!]);
  return fields;
}

/** A response as a fetch gives it: of any status, with the URL after redirects, and fields that cannot be changed. */
export function responseOf(body: BodyInit | null, fields: Fields, facts: ResponseFacts): Response {
  return new FetchResponse(body, fields, facts) as unknown as Response;
}

/** `Response` without the members that are given in another way here. */
interface PlainResponse {
  readonly headers: Headers;
  readonly body: ReadableStream<Bytes> | null;
  readonly bodyUsed: boolean;
  arrayBuffer(): Promise<ArrayBuffer>;
  blob(): Promise<Blob>;
  bytes(): Promise<Bytes>;
  clone(): Response;
  formData(): Promise<FormData>;
  json(): Promise<unknown>;
  text(): Promise<string>;
}

const PlainResponse = Response as unknown as new (body: BodyInit | null, init: ResponseInit) => PlainResponse;

/** What {@linkcode responseOf} gives. */
export class FetchResponse extends PlainResponse {
  readonly #facts: ResponseFacts;

  constructor(body: BodyInit | null, fields: Fields, facts: ResponseFacts) {
    const { status, statusText } = facts;
    const isUsual = status >= 200 && status <= 599;
    super(body, { status: isUsual ? status : 200, statusText: REASON_PHRASE.test(statusText) ? statusText : "" });
    this.#facts = facts;
    if (!isUsual) Object.defineProperties(this, { status: { value: status }, ok: { value: false } });
    for (const [name, value] of fields) this.headers.append(name, value);
    Object.setPrototypeOf(this.headers, ImmutableHeaders.prototype);
  }

  /** The label of the proxy that a response came through; `undefined` if it is none of a fetch of this package. */
  static proxyOf(response: object): string | undefined {
    return #facts in response ? response.#facts.proxy : undefined;
  }

  get url(): string {
    return this.#facts.url;
  }

  get redirected(): boolean {
    return this.#facts.redirected;
  }

  get type(): ResponseType {
    return "basic";
  }

  override clone(): Response {
    return this.copyOf(super.clone());
  }

  /** A response like this one with the body of another. */
  protected copyOf({ body }: Response): Response {
    return responseOf(body, [...this.headers], this.#facts);
  }

  override blob(): Promise<Blob> {
    const blob = super.blob();
    return FORGETS_TYPES
      ? blob.then((blob) => new Blob([blob], { type: this.headers.get("content-type") ?? "" }))
      : blob;
  }
}

/** The "immutable" guard of the Fetch standard. */
class ImmutableHeaders extends Headers {
  override append(): never {
    throw immutable();
  }

  override delete(): never {
    throw immutable();
  }

  override set(): never {
    throw immutable();
  }
}

function immutable(): TypeError {
  return new TypeError("Cannot change the headers of a response: they are immutable, but a copy of them is not");
}
