import { joined, latin1 } from "./bytes.ts";
import type { Conn } from "./transport.ts";

/** The head of an answer of HTTP/1.1 (RFC 9112), and what came behind it. */
export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  /** By names in lower case; what comes twice is joined by commas. */
  readonly fields: ReadonlyMap<string, string>;
  /** Bytes behind the head. */
  readonly rest: Uint8Array;
}

/** The peer closed the connection before the end of the head. */
export class HeadCutOff extends Error {}

/** What came is no head, or one that is too long. */
export class BadHead extends Error {}

const LONGEST = 65_536;
const START = "HTTP/1.";
const LF = 0x0a;
const CR = 0x0d;

/**
 * Reads the head of the final answer; those of 1xx before it are passed over, except for 101. All of them together have at
 * most 64 KiB. Throws a {@linkcode HeadCutOff}, a {@linkcode BadHead}, or what a read throws.
 */
export async function readResponseHead(conn: Pick<Conn, "read">): Promise<ResponseHead> {
  let bytes = new Uint8Array(1_024);
  let got = 0;
  let begin = 0;
  for (let at = 0;;) {
    const end = endOfHead(bytes.subarray(0, got), begin, at);
    if (end === undefined) {
      at = Math.max(begin, got - 3); // the end may be cut
      const start = latin1(bytes.subarray(begin, Math.min(got, begin + START.length)));
      if (!START.startsWith(start)) throw new BadHead("what answered does not speak HTTP/1.1");
      if (got === LONGEST) throw new BadHead(`the head of the answer is longer than ${LONGEST} bytes`);
      if (got === bytes.length) bytes = joined(bytes, new Uint8Array(Math.min(got * 3, LONGEST - got)));
      const n = await conn.read(bytes.subarray(got));
      if (n === null) throw new HeadCutOff("the connection was closed before the end of the answer");
      got += n;
      continue;
    }
    const head = parseHead(latin1(bytes.subarray(begin, end)));
    if (head.status >= 200 || head.status === 101) return { ...head, rest: bytes.slice(end, got) };
    begin = at = end;
  }
}

/** Behind the empty line, if it is there. */
function endOfHead(bytes: Uint8Array, begin: number, from: number): number | undefined {
  for (let i = bytes.indexOf(LF, from); i >= 0; i = bytes.indexOf(LF, i + 1)) {
    const before = bytes[i - 1] === CR ? i - 2 : i - 1;
    if (before >= begin && bytes[before] === LF) return i + 1;
  }
  return undefined;
}

function parseHead(text: string): Omit<ResponseHead, "rest"> {
  const [first = "", ...lines] = text.split(/\r?\n/).slice(0, -2);
  const [, code, reason = ""] = /^HTTP\/1\.[01] ([1-9]\d\d)(?: ([^\r\0]*))?$/.exec(first) ?? [];
  if (code === undefined) throw new BadHead("the status line of the answer is malformed");
  const fields = new Map<string, string>();
  for (const line of lines) {
    const [, name, value] = /^([!#$%&'*+.^_`|~\w-]+):[\t ]*([^\r\0]*?)[\t ]*$/.exec(line) ?? [];
    if (name === undefined) throw new BadHead("a field of the answer is malformed");
    const key = name.toLowerCase();
    const before = fields.get(key);
    fields.set(key, before === undefined ? value! : `${before}, ${value}`);
  }
  return { status: Number(code), reason, fields };
}
