import type { Readable } from "node:stream";

/**
 * A byte stream over a stream of Node; it reads nothing ahead. What breaks off is an error, as `failure` has it. Nothing
 * but a read that waits keeps it alive: if nobody holds it any more, the source is destroyed.
 */
export function streamOf(source: Readable, failure: (error: unknown) => unknown): ByteStream {
  let wake: (() => void) | undefined;
  let isOver = false;
  const changed = () => wake?.();
  const { stream, fail: failStream } = byteStream(
    async (controller) => {
      while (!isOver) {
        const chunk = source.read() as Uint8Array | null;
        if (chunk !== null) return controller.enqueue(ownBytes(chunk));
        if (source.readableEnded) return end(controller);
        await new Promise<void>((resolve) => wake = resolve);
      }
    },
    () => source.destroy(),
  );
  const fail = (error: unknown) => {
    if (isOver) return;
    isOver = true;
    failStream(error);
    changed();
  };
  source.on("readable", changed).on("end", changed).on("error", (error) => fail(failure(error)));
  source.on("close", () => source.readableEnded ? changed() : fail(failure(new Error("The connection was closed"))));
  if (source.destroyed && !source.readableEnded) {
    fail(failure(source.errored ?? new Error("The connection was closed")));
  }
  return { stream, fail };
}

/** A byte stream of bytes that are here; `check` may throw when they are read. */
export function streamOfBytes(bytes: Uint8Array<ArrayBuffer>, check: () => void): ReadableStream<Uint8Array> {
  const source: UnderlyingByteSource = {
    type: "bytes",
    pull(controller) {
      check();
      if (bytes.length > 0) controller.enqueue(bytes);
      end(controller);
    },
  };
  return new ReadableStream(source, { highWaterMark: 0 });
}

/** A byte stream, and what makes it one that failed, at once: what was not read then is lost. */
export interface ByteStream {
  readonly stream: ReadableStream<Uint8Array>;
  fail(error: unknown): void;
}

const dropped = new FinalizationRegistry((over: () => void) => over());

/** `over` is called when it is canceled, and when nobody holds it any more. */
function byteStream(
  pull: (controller: ReadableByteStreamController) => void | Promise<void>,
  over: () => void,
): ByteStream {
  let controller!: WeakRef<ReadableByteStreamController>;
  const source: UnderlyingByteSource = {
    type: "bytes",
    start(it) {
      controller = new WeakRef(it);
    },
    pull,
    cancel: over,
  };
  const stream = new ReadableStream(source, { highWaterMark: 0 });
  dropped.register(stream, over);
  return { stream, fail: (error) => controller.deref()?.error(error) };
}

function end(controller: ReadableByteStreamController): void {
  controller.close();
  controller.byobRequest?.respond(0);
}

/** Bytes that share their memory with nothing else, since a byte stream takes that away. */
function ownBytes(chunk: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = chunk;
  if (byteLength === buffer.byteLength) return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
  return new Uint8Array(chunk);
}
