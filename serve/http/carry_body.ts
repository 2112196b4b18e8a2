import { type BufferedReader, Malformed } from "../buffered_reader.ts";
import { type Field, type Framing, parseFields, parseLenientFields } from "./head.ts";
import { forwarded } from "./hop_by_hop.ts";

/** Takes bytes; resolves once they may be overwritten. */
export type Write = (bytes: Uint8Array) => Promise<unknown>;

/** Takes the framing off a body, chunk by chunk, and gives its trailers. */
export function carryBody(
  from: BufferedReader,
  framing: Framing,
  write: Write,
  maxTrailers: number,
): Promise<Field[]> {
  if (framing === "chunked") return carryChunks(from, write, maxTrailers);
  return carryBytes(from, framing === "close" ? Infinity : framing, write);
}

async function carryBytes(from: BufferedReader, length: number, write: Write): Promise<Field[]> {
  for (let left = length; left > 0;) {
    const bytes = await from.next(left);
    if (bytes === null && length === Infinity) break;
    if (bytes === null) throw new Malformed("the body ends too early");
    await write(bytes);
    left -= bytes.length;
  }
  return [];
}

const SIZE = /^([\da-f]{1,12})(?:[\t ]*;[\t\x20-\x7e\x80-\xff]*)?$/i;
const PADDED_SIZE = /^([\da-f]{1,12})[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/i;

/** RFC 9112 section 7.1; extensions are dropped, since nobody needs to know them. */
async function carryChunks(from: BufferedReader, write: Write, maxTrailers: number): Promise<Field[]> {
  for (;;) {
    const line = await from.readLine(4_096);
    const [, digits] = (from.isLenient ? PADDED_SIZE : SIZE).exec(line ?? "") ?? [];
    if (digits === undefined) throw new Malformed("the size of a chunk is malformed");
    const size = Number.parseInt(digits, 16);
    if (size === 0) break;
    await carryBytes(from, size, write);
    if (await from.readLine(0) !== "") throw new Malformed("a chunk is longer than its size");
  }
  const trailers = await from.readHead(maxTrailers);
  if (trailers === null) throw new Malformed("the body ends too early");
  return forwarded(from.isLenient ? parseLenientFields(trailers) : parseFields(trailers));
}
