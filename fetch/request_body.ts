import { formDataBlob } from "./form_data.ts";

/** The body of a request. What is no stream has a length and can be sent again. */
export type RequestBody =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array; readonly length: number }
  | { readonly kind: "blob"; readonly blob: Blob; readonly length: number }
  | { readonly kind: "stream"; readonly stream: ReadableStream<Uint8Array>; readonly isRead: boolean };

/**
 * Takes what the standard calls a BodyInit, or an async iterable of bytes, such as a stream of Node; sets `Content-Type`
 * if it has a type and `headers` has none. Without headers it is the stream of a `Request`, whose length nobody tells:
 * that is what {@linkcode readAhead} is for.
 */
export function bodyOf(body: unknown, headers: Headers | null): RequestBody {
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
    return { kind: "stream", stream: body, isRead: headers !== null };
  }
  if (typeof body === "object" && body !== null && Symbol.asyncIterator in body) {
    return { kind: "stream", stream: streamOf(body as AsyncIterable<Uint8Array>), isRead: true };
  }
  return textBody(String(body), "text/plain;charset=UTF-8", headers);
}

/** A turn of the event loop. */
type Turn = () => Promise<"late">;

const MOST_CHUNKS = 64;

/**
 * Takes the length of a `Request`'s body from the stream that is all there is of it: what was made of a text or a file
 * is there in a turn or two. What is not stays a stream.
 */
export async function readAhead(body: RequestBody, turn: Turn): Promise<RequestBody> {
  if (body.kind !== "stream" || body.isRead) return body;
  const reader = body.stream.getReader();
  const chunks: Uint8Array[] = [];
  const late = turn().then(turn);
  while (chunks.length < MOST_CHUNKS) {
    const reading = reader.read();
    const read = await Promise.race([reading, late]);
    if (read === "late") return { kind: "stream", stream: continued(chunks, reading, reader), isRead: true };
    if (read.done) return blobBody(new Blob(chunks as Uint8Array<ArrayBuffer>[]), null);
    chunks.push(read.value);
  }
  return { kind: "stream", stream: continued(chunks, undefined, reader), isRead: true };
}

function continued(
  chunks: Uint8Array[],
  reading: Promise<ReadableStreamReadResult<Uint8Array>> | undefined,
  reader: ReadableStreamDefaultReader<Uint8Array>,
): ReadableStream<Uint8Array> {
  let next = reading;
  return new ReadableStream({
    async pull(controller) {
      const chunk = chunks.shift();
      if (chunk !== undefined) return controller.enqueue(chunk);
      const { done, value } = await (next ?? reader.read());
      next = undefined;
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
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

function isStream(body: unknown): body is ReadableStream<Uint8Array> {
  return typeof (body as Partial<ReadableStream> | null)?.getReader === "function";
}

function bytesBody(bytes: Uint8Array): RequestBody {
  return { kind: "bytes", bytes, length: bytes.length };
}

function textBody(text: string, type: string, headers: Headers | null): RequestBody {
  setType(headers, type);
  return bytesBody(new TextEncoder().encode(text));
}

function blobBody(blob: Blob, headers: Headers | null): RequestBody {
  setType(headers, blob.type);
  return { kind: "blob", blob, length: blob.size };
}

function setType(headers: Headers | null, type: string): void {
  if (type !== "" && headers?.has("content-type") === false) headers.set("content-type", type);
}
