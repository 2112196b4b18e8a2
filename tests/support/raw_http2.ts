import { Buffer } from "node:buffer";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { certificates, type Issued } from "./certificates.ts";

const PREFACE = 24; // bytes
const [DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY] = [0x0, 0x1, 0x3, 0x4, 0x7];
const [ACK, END_STREAM, END_HEADERS] = [0x1, 0x1, 0x4];
const STATUS_200 = [0x88]; // RFC 7541 appendix A
const GZIP = [0x0f, 0x0b, 4, ...Buffer.from("gzip")];

/** What a server of HTTP/2 says to a request, frame by frame. */
export interface RawAnswer {
  /** The status 200, and no fields but perhaps `Content-Encoding: gzip`. */
  head(isEncoded?: boolean): void;
  /** A part of the body. */
  data(part: string | Uint8Array, isLast?: boolean): void;
  reset(code: number): void;
  goaway(last: number): void;
  /** Ends the connection. */
  hangUp(): void;
}

/** A server of HTTP/2 that sends what it is told to: `answer` is called with the number of each request. */
export function rawHttp2Server(
  answer: (to: RawAnswer, request: number) => void,
  certificate: Issued = certificates().names,
): Server {
  let requests = 0;
  return createServer({ ...certificate, ALPNProtocols: ["h2"] }, (socket) => {
    socket.on("error", () => {});
    socket.write(frame(SETTINGS, 0, 0, []));
    let bytes = Buffer.alloc(0);
    let skip = PREFACE;
    socket.on("data", (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      if (skip > 0) {
        if (bytes.length < skip) return;
        bytes = bytes.subarray(skip);
        skip = 0;
      }
      while (bytes.length >= 9 && bytes.length >= 9 + bytes.readUIntBE(0, 3)) {
        const [type, flags, stream] = [bytes[3]!, bytes[4]!, bytes.readUInt32BE(5)];
        bytes = bytes.subarray(9 + bytes.readUIntBE(0, 3));
        if (type === SETTINGS && (flags & ACK) === 0) socket.write(frame(SETTINGS, ACK, 0, []));
        if (type === HEADERS) answer(answering(socket, stream), ++requests);
      }
    });
  });
}

function answering(socket: TLSSocket, stream: number): RawAnswer {
  return {
    head: (isEncoded = false) =>
      void socket.write(frame(HEADERS, END_HEADERS, stream, [...STATUS_200, ...(isEncoded ? GZIP : [])])),
    data: (part, isLast = false) => void socket.write(frame(DATA, isLast ? END_STREAM : 0, stream, Buffer.from(part))),
    reset: (code) => void socket.write(frame(RST_STREAM, 0, stream, [0, 0, 0, code])),
    goaway: (last) => void socket.write(frame(GOAWAY, 0, 0, [0, 0, 0, last, 0, 0, 0, 0])),
    hangUp: () => void socket.end(),
  };
}

/** RFC 9113 section 4.1. */
function frame(type: number, flags: number, stream: number, payload: ArrayLike<number>): Uint8Array {
  const { length } = payload;
  return Uint8Array.of(0, length >> 8, length & 0xff, type, flags, 0, 0, 0, stream, ...Array.from(payload));
}
