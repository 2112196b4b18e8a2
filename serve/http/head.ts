import { type Address, formatHostPort, parseTarget, splitHostPort } from "../../src/protocol/address.ts";
import { Malformed } from "../buffered_reader.ts";

/** Name and value of a field, a character for each byte. */
export type Field = readonly [name: string, value: string];

/** How the end of a body is known: so many bytes, chunked, or the end of the connection. */
export type Framing = number | "chunked" | "close";

/** The head of a request. */
export interface RequestHead {
  readonly method: string;
  readonly target: Address;
  /** Path and query; empty for CONNECT. */
  readonly path: string;
  readonly minor: 0 | 1;
  readonly fields: readonly Field[];
  readonly body: Framing;
}

/** The head of a response. */
export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  readonly minor: 0 | 1;
  readonly fields: readonly Field[];
  readonly body: Framing;
}

/** A head that is well formed and that the local proxy does not serve. */
export class Unsupported extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Reads the head of a request; throws {@linkcode Malformed} or {@linkcode Unsupported}. RFC 9112 sections 3 and 6. */
export function parseRequest([line = "", ...rest]: readonly string[]): RequestHead {
  // bytes above 7F are no part of a URL, and many clients send them all the same
  const [, method, form, version] = /^([!#$%&'*+.^_`|~\w-]+) ([\x21-\x7e\x80-\xff]+) (HTTP\/\d\.\d)$/.exec(line) ?? [];
  if (method === undefined) throw new Malformed("the request line is malformed");
  if (version !== "HTTP/1.1" && version !== "HTTP/1.0") throw new Unsupported(505, `${version} is not spoken here`);
  const minor = version === "HTTP/1.1" ? 1 : 0;
  const fields = parseFields(rest);
  const hosts = valuesOf(fields, "host");
  if (hosts.length > 1 || (hosts.length === 0 && minor === 1 && method !== "CONNECT")) {
    throw new Malformed("there must be one Host");
  }
  const body = framingOf(fields, minor) ?? 0;
  if (method === "CONNECT" && body !== 0) throw new Malformed("CONNECT has no body");
  const { target, path } = method === "CONNECT" ? { target: addressOf(form!), path: "" } : parseForm(form!, method);
  return { method, target, path, minor, fields, body };
}

/**
 * Reads the head of a response to a request of a method, as tolerant as RFC 9112 lets a proxy be and as curl is; throws
 * {@linkcode Malformed}.
 */
export function parseResponse([line = "", ...rest]: readonly string[], method: string): ResponseHead {
  const [, digit, code, reason = ""] = /^HTTP\/1\.([01])[\t ]+([1-9]\d\d)(?:[\t ]+([^\r\0]*))?$/.exec(line) ?? [];
  if (digit === undefined) throw new Malformed("the status line is malformed");
  const minor = digit === "1" ? 1 : 0;
  const status = Number(code);
  const fields = parseLenientFields(rest);
  const framing = responseFramingOf(fields) ?? "close";
  const body = method === "HEAD" || status < 200 || status === 204 || status === 304 ? 0 : framing;
  return { status, reason, minor, fields, body };
}

/** Reads field lines: no folding, no space before the colon, no control character. */
export function parseFields(lines: readonly string[]): Field[] {
  return lines.map((line) => {
    const [, name] = /^([!#$%&'*+.^_`|~\w-]+):/.exec(line) ?? [];
    if (name === undefined) throw new Malformed("a field has no name");
    if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(line)) throw new Malformed(`the field ${name} has a control character`);
    return [name, trimmed(line.slice(name.length + 1))];
  });
}

/**
 * Reads field lines of a response: a folded line is joined (RFC 9112 section 5.2), spaces before the colon go (section
 * 5.1), and so does a field whose name is none. Other control characters than CR and NUL stay (RFC 9110 section 5.5).
 */
export function parseLenientFields(lines: readonly string[]): Field[] {
  const fields: [name: string, value: string][] = [];
  for (const line of lines) {
    if (/[\r\0]/.test(line)) throw new Malformed("a field has a control character");
    const last = fields.at(-1);
    if (isBlank(line[0])) {
      if (last === undefined) throw new Malformed("a space is before the first field");
      last[1] = trimmed(`${last[1]} ${trimmed(line)}`);
      continue;
    }
    const colon = line.indexOf(":");
    if (colon < 0) throw new Malformed("a field has no name");
    fields.push([trimmed(line.slice(0, colon)), trimmed(line.slice(colon + 1))]);
  }
  return fields.filter(([name]) => /^[!#$%&'*+.^_`|~\w-]+$/.test(name));
}

/** The values of a field, in their order. */
export function valuesOf(fields: readonly Field[], name: string): string[] {
  return fields.filter(([it]) => it.toLowerCase() === name).map(([, value]) => value);
}

/** The elements of a field that is a list of tokens, in lower case. */
export function tokensOf(fields: readonly Field[], name: string): string[] {
  return valuesOf(fields, name).flatMap((value) => value.toLowerCase().split(",").map(trimmed)).filter((it) =>
    it !== ""
  );
}

/** RFC 9112 section 6.3, without what two readers might read in two ways. */
function framingOf(fields: readonly Field[], minor: 0 | 1): Framing | undefined {
  const codings = valuesOf(fields, "transfer-encoding").join(",").toLowerCase();
  const length = lengthOf(fields);
  if (valuesOf(fields, "transfer-encoding").length > 0) {
    if (length !== undefined) throw new Malformed(BOTH);
    if (minor === 0) throw new Malformed("HTTP/1.0 has no Transfer-Encoding");
    if (codings !== "chunked") throw new Unsupported(501, "the only Transfer-Encoding is chunked");
    return "chunked";
  }
  return length;
}

/** The same of a response. `identity` is no coding (RFC 2616 section 3.6), and HTTP/1.0 may have one as its last. */
function responseFramingOf(fields: readonly Field[]): Framing | undefined {
  const codings = tokensOf(fields, "transfer-encoding").filter((it) => it !== "identity");
  const length = lengthOf(fields);
  if (codings.length === 0) return length;
  if (length !== undefined) throw new Malformed(BOTH);
  if (codings.join() !== "chunked") throw new Malformed("the only Transfer-Encoding is chunked");
  return "chunked";
}

const BOTH = "there are both Content-Length and Transfer-Encoding";

function lengthOf(fields: readonly Field[]): number | undefined {
  const lengths = valuesOf(fields, "content-length").flatMap((value) => value.split(",").map(trimmed));
  if (new Set(lengths).size > 1) throw new Malformed("there are several Content-Length");
  if (lengths.length > 0 && !/^\d{1,15}$/.test(lengths[0]!)) throw new Malformed("Content-Length is no number");
  return lengths.length > 0 ? Number(lengths[0]) : undefined;
}

/** The absolute form alone: a web page makes its browser send the origin form to any port of loopback. */
function parseForm(form: string, method: string): { target: Address; path: string } {
  const [, scheme, authority, path] = /^([a-z][a-z\d+.-]*):\/\/([^/?#]*)([^#]*)$/i.exec(form) ?? [];
  if (scheme === undefined) throw new Malformed("this is a proxy and no server: the target must be a whole URL");
  if (scheme.toLowerCase() !== "http") throw new Malformed("only http:// is forwarded; all else goes by CONNECT");
  // RFC 9110 section 4.2.4: treat it as an error, since it hides where a URL leads
  if (authority!.includes("@")) throw new Malformed("the URL must have no user name and password");
  // RFC 9112 section 3.2.4
  const sent = method === "OPTIONS" && path === "" ? "*" : path!.replace(/^(?!\/)/, "/");
  return { target: addressOf(authority!.replace(/:$/, ""), 80), path: sent };
}

function addressOf(authority: string, standard?: number): Address {
  const { hostname, port = standard } = splitHostPort(authority);
  if (/[^\x21-\x7e]/.test(authority)) throw new Malformed("the target must be ASCII");
  if (port === undefined) throw new Malformed("the target must be host:port");
  try {
    return parseTarget({ hostname, port });
  } catch {
    throw new Malformed("the target is malformed");
  }
}

/** What a target is called in Host: without the port that is meant anyway. */
export function hostOf({ hostname, port, name }: Address): string {
  return port === 80 ? formatHostPort(hostname, 80).slice(0, -3) : name;
}

/** Without spaces and tabs at both ends; `trim()` takes bytes of other alphabets for spaces. */
function trimmed(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isBlank(text[from])) from++;
  while (to > from && isBlank(text[to - 1])) to--;
  return text.slice(from, to);
}

function isBlank(character: string | undefined): boolean {
  return character === " " || character === "\t";
}
