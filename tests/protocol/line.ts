import { assert, assertInstanceOf, assertRejects } from "@std/assert";
import { decodeHost } from "../../src/protocol/address.ts";
import { converse } from "../../src/attempt/converse.ts";
import { ProtocolError } from "../../src/errors.ts";
import { Reply } from "../../src/protocol/messages.ts";
import type { Step, Steps } from "../../src/protocol/steps.ts";
import type { Conn } from "../../src/transport.ts";
import { bound, SHORTEST_SUCCESS, type Vector } from "./vectors.ts";

/** An in-memory connection that gives one chunk after another, then the end, and notes what goes on. */
export class Line implements Conn {
  readonly log: string[] = [];
  taken = 0;
  readonly #chunks: Uint8Array[];
  #ended = false;

  constructor(chunks: readonly Uint8Array[]) {
    this.#chunks = chunks.filter((chunk) => chunk.length > 0);
  }

  read(p: Uint8Array): Promise<number | null> {
    this.log.push(`read ${p.length}`);
    const chunk = this.#chunks.shift();
    if (chunk === undefined) return this.#end();
    const part = chunk.subarray(0, p.length);
    p.set(part);
    this.taken += part.length;
    if (part.length < chunk.length) this.#chunks.unshift(chunk.subarray(part.length));
    return Promise.resolve(part.length);
  }

  write(p: Uint8Array): Promise<number> {
    this.log.push(`write ${Array.from(p, (byte) => byte.toString(16).padStart(2, "0")).join("")}`);
    return Promise.resolve(p.length);
  }

  #end(): Promise<null> {
    if (this.#ended) return Promise.reject(new Error("read after the end"));
    this.#ended = true;
    return Promise.resolve(null);
  }

  closeWrite(): Promise<void> {
    return Promise.reject(new Error("a handshake ends no side"));
  }

  close(): void {
    throw new Error("a handshake closes nothing");
  }
}

export async function outcome(
  steps: Steps<unknown>,
  chunks: readonly Uint8Array[],
): Promise<{ gives: unknown; taken: number; sends: string[] }> {
  const line = new Line(chunks);
  const gives = await converse(line, steps).then(boundOf, (error: unknown) => {
    assertInstanceOf(error, ProtocolError);
    return error.code;
  });
  const sends = line.log.filter((entry) => entry.startsWith("write ")).map((entry) => entry.slice("write ".length));
  return { gives, taken: line.taken, sends };
}

/** What a reply says of the address that is bound, as it is shown; anything else as it is. */
export function boundOf(value: unknown): unknown {
  return value instanceof Reply ? bound(decodeHost(value.atyp, value.bndAddr), value.bndPort) : value;
}

/** How many bytes are taken of an answer that comes in these chunks: each read of a refusal takes what is there. */
export function takenOf(
  { answer, decides = bytes(answer).length, refusedAt }: Vector,
  chunks: readonly Uint8Array[],
): number {
  if (refusedAt === undefined) return decides;
  let taken = refusedAt;
  let end = 0;
  for (const chunk of chunks) {
    end += chunk.length;
    if (taken < decides) taken = Math.max(taken, Math.min(end, refusedAt + SHORTEST_SUCCESS));
  }
  return taken;
}

export function faultOf(steps: () => Steps<unknown>, answer: Uint8Array): Promise<ProtocolError> {
  return assertRejects(() => converse(new Line([answer]), steps()), ProtocolError);
}

export function firstStep(steps: Steps<unknown>): Step {
  const step = steps.next();
  assert(!step.done);
  return step.value;
}

export function bytes(hex: string): Uint8Array {
  return Uint8Array.from(hex.replaceAll(" ", "").match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}
