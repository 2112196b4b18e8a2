import { Buffer } from "node:buffer";
import { type Field, type Framing, parseFields, parseLenientFields } from "./head.ts";
import { type BufferedReader, Malformed } from "../buffered_reader.ts";
import { forwarded } from "./hop_by_hop.ts";

/** Takes bytes; resolves once they may be overwritten. */
export type Write = (bytes: Uint8Array) => Promise<unknown>;

const JOINED = 8_192;

/**
 * Carries a body from one framing to another behind its head, chunk by chunk, with its trailers where both are chunked.
 * What is here already of a body with a length goes with the head: two writes cost as much as all the rest.
 */
export async function carryMessage(
  head: Uint8Array,
  from: BufferedReader,
  framing: Framing,
  to: Write,
  as: Framing,
  maxTrailers: number,
): Promise<void> {
  const isHere = typeof framing === "number" && framing > 0 && !from.isEmpty;
  const first = isHere ? await from.next(Math.min(framing, JOINED)) : null;
  await to(first === null ? head : Buffer.concat([head, first]));
  const write = (bytes: Uint8Array) => to(as === "chunked" ? chunkOf(bytes) : bytes);
  const trailers = framing === "chunked"
    ? await carryChunks(from, write, maxTrailers)
    : await carryBytes(from, framing === "close" ? Infinity : framing - (first?.length ?? 0), write);
  if (as === "chunked") await to(text(`0\r\n${lines(trailers)}\r\n`));
}

/** Field lines as they are sent. */
export function lines(fields: readonly Field[]): string {
  return fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
}

/** A byte for each character. */
export function text(characters: string): Uint8Array {
  return Buffer.from(characters, "latin1");
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

function chunkOf(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([text(`${bytes.length.toString(16)}\r\n`), bytes, text("\r\n")]);
}
