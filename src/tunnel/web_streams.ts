import type { Bytes, ByteStream, Conn } from "../transport.ts";

const CHUNK = 65536;

/** A byte stream over `read`: nothing is read before somebody asks, cancelling closes the connection. */
export function readableOf(conn: Conn): ByteStream {
  const source: UnderlyingByteSource = {
    type: "bytes",
    autoAllocateChunkSize: CHUNK,
    async pull(controller) {
      const request = controller.byobRequest;
      const view = (request?.view ?? new Uint8Array(CHUNK)) as Bytes;
      const n = await conn.read(view);
      if (n === null) controller.close();
      if (request !== null) request.respond(n ?? 0);
      else if (n !== null) controller.enqueue(view.subarray(0, n)); // Workers have none for their own responses
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
