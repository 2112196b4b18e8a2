import { pipeline, type Readable, Transform } from "node:stream";
import * as zlib from "node:zlib";

const MOST = 5;

/**
 * What a message says once its content codings are taken off (RFC 9110 section 8.4), the last one first; as it is if one
 * of them is unknown. A coding that breaks off gives what came before, as in the runtimes' own fetch.
 */
export function decoded(message: Readable, contentEncoding = ""): Readable {
  const codings = contentEncoding.toLowerCase().split(",").map((it) => it.trim()).filter((it) =>
    it !== "" && it !== "identity"
  )
    .reverse();
  if (codings.length > MOST) throw new TypeError(`Cannot decode ${codings.length} content codings: at most ${MOST}`);
  if (codings.length === 0 || codings.some((it) => !decoders.has(it))) return message;
  const streams = codings.map((it) => decoders.get(it)!());
  pipeline([message, ...streams], () => {}); // what fails is the error of the last one, too
  return streams.at(-1)!;
}

const { Z_SYNC_FLUSH, BROTLI_OPERATION_FLUSH, ZSTD_e_continue } = zlib.constants;
const zlibFlush = { flush: Z_SYNC_FLUSH, finishFlush: Z_SYNC_FLUSH };
const brotliFlush = { flush: BROTLI_OPERATION_FLUSH, finishFlush: BROTLI_OPERATION_FLUSH };
const zstdFlush = { flush: ZSTD_e_continue, finishFlush: ZSTD_e_continue };

const decoders = new Map<string, () => Transform>([
  ["gzip", () => zlib.createGunzip(zlibFlush)],
  ["x-gzip", () => zlib.createGunzip(zlibFlush)],
  ["deflate", () => new Deflate()],
  ["br", () => zlib.createBrotliDecompress(brotliFlush)],
]);
// from Node 22.15 on
if (typeof zlib.createZstdDecompress === "function") decoders.set("zstd", () => zlib.createZstdDecompress(zstdFlush));

/** For the field `Accept-Encoding`: the codings that this runtime can take off. */
export const acceptEncoding: string = [...decoders.keys()].filter((it) => it !== "x-gzip").join(", ");

/** "deflate" is a zlib stream (RFC 1950); some servers send what is in it alone (RFC 1951). The first byte tells. */
class Deflate extends Transform {
  #inflate: Transform | undefined;

  override _transform(chunk: Uint8Array, _encoding: string, done: () => void): void {
    this.#inflate ??= this.#begin((chunk[0]! & 0x0f) === 8 ? zlib.createInflate : zlib.createInflateRaw);
    this.#inflate.write(chunk, done);
  }

  override _flush(done: () => void): void {
    if (this.#inflate === undefined) done();
    else this.#inflate.once("end", done).end();
  }

  override _read(size: number): void {
    this.#inflate?.resume();
    super._read(size);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#inflate?.destroy();
    done(error);
  }

  #begin(create: (options: zlib.ZlibOptions) => Transform): Transform {
    const inflate = create(zlibFlush);
    inflate.on("error", (error) => this.destroy(error));
    return inflate.on("data", (bytes) => {
      if (!this.push(bytes)) inflate.pause();
    });
  }
}
