import { Buffer } from "node:buffer";
import type { BufferedReader } from "../buffered_reader.ts";
import { carryBody, type Write } from "./carry_body.ts";
import type { Field, Framing } from "./head.ts";

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
  const rest = typeof framing === "number" ? framing - (first?.length ?? 0) : framing;
  const trailers = await carryBody(from, rest, write, maxTrailers);
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

function chunkOf(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([text(`${bytes.length.toString(16)}\r\n`), bytes, text("\r\n")]);
}
