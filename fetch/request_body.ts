import { formDataBlob } from "./form_data.ts";

/** The body of a request. What is no stream has a length and can be sent again. */
export type RequestBody =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array; readonly length: number }
  | { readonly kind: "blob"; readonly blob: Blob; readonly length: number }
  | { readonly kind: "stream"; readonly stream: ReadableStream<Uint8Array> };

/** The body of a `Request`: the first read of a stream that is all there is of it. */
export interface TakenBody {
  readonly kind: "taken";
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly first: Promise<ReadableStreamReadResult<Uint8Array>>;
}

/** Takes the body of a `Request`, which is used from then on. */
export function takenFrom(request: Request): TakenBody {
  if (request.bodyUsed || request.body!.locked) throw new TypeError("Cannot fetch: the body of the Request is used");
  const reader = request.body!.getReader();
  const first = reader.read();
  first.catch(() => {}); // told to who reads on
  return { kind: "taken", reader, first };
}

/**
 * Takes what the standard calls a BodyInit, or an async iterable of bytes, such as a stream of Node; sets `Content-Type`
 * if it has a type and `headers` has none.
 */
export function bodyOf(body: unknown, headers: Headers): RequestBody {
  switch (Object.prototype.toString.call(body)) {
    case "[object URLSearchParams]":
      return textBody(String(body), "application/x-www-form-urlencoded;charset=UTF-8", headers);
    case "[object FormData]":
      return blobBody(formDataBlob(body as FormData), headers);
    case "[object Blob]":
    case "[object File]":
      return blobBody(body as Blob, headers);
    case "[object ArrayBuffer]":
    case "[object SharedArrayBuffer]":
      return bytesBody(new Uint8Array(body as ArrayBuffer).slice());
  }
  if (ArrayBuffer.isView(body)) {
    return bytesBody(new Uint8Array(body.buffer, body.byteOffset, body.byteLength).slice());
  }
  if (isStream(body)) {
    if (body.locked) throw new TypeError("Cannot use init.body: the stream is locked");
    return { kind: "stream", stream: body };
  }
  if (typeof body === "object" && body !== null && Symbol.asyncIterator in body) {
    return { kind: "stream", stream: streamOf(body as AsyncIterable<Uint8Array>) };
  }
  return textBody(String(body), "text/plain;charset=UTF-8", headers);
}

/** Whether it is a web stream. */
export function isStream(body: unknown): body is ReadableStream<Uint8Array> {
  return typeof (body as Partial<ReadableStream> | null)?.getReader === "function";
}

/** Says that nobody is going to read a body. */
export function cancelBody(body: RequestBody | TakenBody | null, reason: unknown): void {
  const stream = body?.kind === "taken"
    ? body.reader
    : body?.kind === "stream" && !body.stream.locked
    ? body.stream
    : null;
  stream?.cancel(reason).catch(() => {});
}

const MAX_CHUNKS = 64;

/**
 * Finds out how long the body of a `Request` is: what was made of a text or a file is there in a turn or two of the event
 * loop, for which `turn` waits. What is not stays a stream.
 */
export async function readAhead(body: TakenBody, turn: () => Promise<"late">): Promise<RequestBody> {
  const { reader } = body;
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  const late = turn().then(turn);
  let reading: TakenBody["first"] | undefined = body.first;
  while (chunks.length < MAX_CHUNKS) {
    reading ??= reader.read();
    const read = await Promise.race([reading, late]);
    if (read === "late") break;
    reading = undefined;
    if (read.done) {
      const blob = new Blob(chunks);
      return { kind: "blob", blob, length: blob.size };
    }
    chunks.push(read.value as Uint8Array<ArrayBuffer>);
  }
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const chunk = chunks.shift();
      if (chunk !== undefined) return controller.enqueue(chunk);
      const { done, value } = await (reading ?? reader.read());
      reading = undefined;
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
  return { kind: "stream", stream };
}

function streamOf(iterable: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = iterable[Symbol.asyncIterator]();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel(reason) {
      await iterator.return?.(reason);
    },
  }, { highWaterMark: 0 });
}

function bytesBody(bytes: Uint8Array): RequestBody {
  return { kind: "bytes", bytes, length: bytes.length };
}

function textBody(text: string, type: string, headers: Headers): RequestBody {
  setType(headers, type);
  return bytesBody(new TextEncoder().encode(text));
}

function blobBody(blob: Blob, headers: Headers): RequestBody {
  setType(headers, blob.type);
  return { kind: "blob", blob, length: blob.size };
}

function setType(headers: Headers, type: string): void {
  if (type !== "" && !headers.has("content-type")) headers.set("content-type", type);
}
