import { pipeline, type Readable, Transform } from "node:stream";
import * as zlib from "node:zlib";

const MAX_CODINGS = 5;

/**
 * What a message says once its content codings are taken off (RFC 9110 section 8.4), the last one first; as it is if one
 * of them is unknown. A coding that breaks off is an error, as far as the runtime tells.
 */
export function decoded(message: Readable, contentEncoding = ""): Readable {
  const codings = contentEncoding.toLowerCase().split(",").map((it) => it.trim()).filter((it) =>
    it !== "" && it !== "identity"
  )
    .reverse();
  if (codings.length > MAX_CODINGS) {
    throw new TypeError(`Cannot decode ${codings.length} content codings: at most ${MAX_CODINGS}`);
  }
  if (codings.length === 0 || codings.some((it) => !decoders.has(it))) return message;
  const streams = codings.map((it) => new Decoder(decoders.get(it)!));
  pipeline([message, ...streams], () => {}); // what fails is the error of the last one, too
  return streams.at(-1)!;
}

const { Z_SYNC_FLUSH, BROTLI_OPERATION_FLUSH, ZSTD_e_flush } = zlib.constants;
const gunzip = () => zlib.createGunzip({ flush: Z_SYNC_FLUSH });
// a zlib stream (RFC 1950), or what is in one alone (RFC 1951), which some servers send: the first byte tells
const inflate = (first: number) =>
  ((first & 0x0f) === 8 ? zlib.createInflate : zlib.createInflateRaw)({ flush: Z_SYNC_FLUSH });
const brotli = () => zlib.createBrotliDecompress({ flush: BROTLI_OPERATION_FLUSH });
const zstd = () => zlib.createZstdDecompress({ flush: ZSTD_e_flush });

const decoders = new Map<string, (first: number) => Transform>([
  ["gzip", gunzip],
  ["x-gzip", gunzip],
  ["deflate", inflate],
  ["br", brotli],
]);
if (typeof zlib.createZstdDecompress === "function") decoders.set("zstd", zstd); // from Node 22.15 on

/** For the field `Accept-Encoding`: the codings that this runtime can take off. */
export const acceptEncoding: string = [...decoders.keys()].filter((it) => it !== "x-gzip").join(", ");

/** What takes one coding off. It begins with the first byte: a body without any has nothing to be taken off. */
class Decoder extends Transform {
  readonly #begin: (first: number) => Transform;
  #inner: Transform | undefined;

  constructor(begin: (first: number) => Transform) {
    super();
    this.#begin = begin;
  }

  override _transform(chunk: Uint8Array, _encoding: string, done: () => void): void {
    this.#inner ??= this.#started(chunk[0]!);
    this.#inner.write(chunk, done);
  }

  override _flush(done: () => void): void {
    if (this.#inner === undefined) done();
    else this.#inner.once("end", done).end();
  }

  override _read(size: number): void {
    this.#inner?.resume();
    super._read(size);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#inner?.destroy();
    done(error);
  }

  #started(first: number): Transform {
    const inner = this.#begin(first);
    inner.on("error", (error) => this.destroy(error));
    return inner.on("data", (bytes) => {
      if (!this.push(bytes)) inner.pause();
    });
  }
}
