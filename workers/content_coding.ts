import type { Bytes } from "../src/transport.ts";

const MAX_CODINGS = 5;

/** For the field `Accept-Encoding`: what `DecompressionStream` can take off. */
export const ACCEPT_ENCODING = "gzip, deflate";

const DECODERS: Readonly<Record<string, (first: number) => CompressionFormat>> = {
  "gzip": () => "gzip",
  "x-gzip": () => "gzip",
  // a zlib stream (RFC 1950), or what is in one alone (RFC 1951), which some servers send: the first byte tells
  "deflate": (first) => (first & 0x0f) === 8 ? "deflate" : "deflate-raw",
};

/**
 * What a body says once its content codings are taken off (RFC 9110 section 8.4), the last one first; as it is if one of
 * them is unknown. A coding that breaks off is an error, as `failure` has it.
 */
export function decoded(
  body: ReadableStream<Bytes>,
  contentEncoding = "",
  failure: (error: unknown) => unknown,
): ReadableStream<Bytes> {
  const codings = contentEncoding.toLowerCase().split(",").map((it) => it.trim()).filter((it) =>
    it !== "" && it !== "identity"
  ).reverse();
  if (codings.length > MAX_CODINGS) {
    throw new TypeError(`Cannot decode ${codings.length} content codings: at most ${MAX_CODINGS}`);
  }
  if (codings.some((it) => !Object.hasOwn(DECODERS, it))) return body;
  return codings.reduce((stream, it) => decodedOnce(stream, DECODERS[it]!, failure), body);
}

/** It begins with the first byte: a body without any has nothing to be taken off. */
function decodedOnce(
  coded: ReadableStream<Bytes>,
  formatOf: (first: number) => CompressionFormat,
  failure: (error: unknown) => unknown,
): ReadableStream<Bytes> {
  const { readable, writable } = new TransformStream<Bytes, Bytes>();
  const writer = writable.getWriter();
  const reader = coded.getReader();
  writer.closed.catch((reason) => reader.cancel(reason).catch(() => {}));
  decode().catch((error) => {
    reader.cancel(error).catch(() => {});
    writer.abort(failure(error)).catch(() => {});
  });
  return readable;

  async function decode(): Promise<void> {
    const { done, value } = await reader.read();
    if (done) return await writer.close();
    const decoder = new DecompressionStream(formatOf(value[0]!));
    await Promise.all([
      feed(decoder.writable.getWriter() as WritableStreamDefaultWriter<Bytes>, value),
      drain(decoder.readable),
    ]);
    await writer.close();
  }

  async function feed(to: WritableStreamDefaultWriter<Bytes>, first: Bytes): Promise<void> {
    try {
      await to.write(first);
      for (let it; !(it = await reader.read()).done;) await to.write(it.value);
      await to.close();
    } catch (error) {
      to.abort(error).catch(() => {});
      throw error;
    }
  }

  async function drain(from: ReadableStream<Bytes>): Promise<void> {
    const decodedReader = from.getReader();
    for (let it; !(it = await decodedReader.read()).done;) await writer.write(it.value);
  }
}
