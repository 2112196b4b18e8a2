import type { ByteStream, Conn } from "../transport.ts";

const CHUNK = 65536;

/** A byte stream over `read`: nothing is read before somebody asks, cancelling closes the connection. */
export function readableOf(conn: Conn): ByteStream {
  const source: UnderlyingByteSource = {
    type: "bytes",
    autoAllocateChunkSize: CHUNK,
    async pull(controller) {
      const request = controller.byobRequest as ReadableStreamBYOBRequest;
      const n = await conn.read(request.view as Uint8Array);
      if (n === null) controller.close();
      request.respond(n ?? 0);
    },
    cancel: () => conn.close(),
  };
  return new ReadableStream(source, { highWaterMark: 0 }) as ByteStream;
}

/** A stream over `write`: closing it ends the writing side, aborting it closes the connection. */
export function writableOf(conn: Conn): WritableStream<Uint8Array> {
  return new WritableStream({
    write: async (chunk: Uint8Array) => void await conn.write(chunk),
    close: () => conn.closeWrite(),
    abort: () => conn.close(),
  });
}
