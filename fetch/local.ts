import { Buffer, resolveObjectURL } from "node:buffer";
import { MIMEType } from "node:util";
import { withoutFragment } from "./request.ts";
import { responseOf } from "./response.ts";

/** What a `data:` or `blob:` URL has in it, without any network (Fetch standard, "scheme fetch"). */
export function localFetch(url: URL, method: string, range: string | null): Response {
  const isData = url.protocol === "data:";
  if (!isData && method !== "GET") throw new TypeError(`Cannot fetch from a blob: URL with ${method}: only with GET`);
  const { body, fields, status = 200 } = isData ? dataOf(url) : blobOf(url, range);
  const statusText = status === 206 ? "Partial Content" : "OK";
  const facts = { url: withoutFragment(url), redirected: false, status, statusText };
  return responseOf(method === "HEAD" ? null : body, fields, facts);
}

interface Content {
  body: ReadableStream | Uint8Array<ArrayBuffer>;
  fields: [name: string, value: string][];
  status?: number;
}

function blobOf(url: URL, range: string | null): Content {
  const blob = resolveObjectURL(url.href);
  if (blob === undefined) throw new TypeError("Cannot fetch: the blob: URL was revoked, or is not of this process");
  if (range === null) return { body: blob.stream() as ReadableStream, fields: fieldsOf(blob.size, blob.type) };
  const [, from = "", to = ""] = /^bytes[\t ]*=[\t ]*(\d*)[\t ]*-[\t ]*(\d*)$/.exec(range) ?? [];
  const first = from === "" ? Math.max(0, blob.size - Number(to)) : Number(from);
  const last = from === "" || to === "" ? blob.size - 1 : Math.min(Number(to), blob.size - 1);
  if ((from === "" && to === "") || first > last || (from !== "" && to !== "" && Number(from) > Number(to))) {
    throw new TypeError("Cannot fetch from a blob: URL with this field Range: it is no range of the blob");
  }
  const part = blob.slice(first, last + 1, blob.type);
  const contentRange: [string, string] = ["content-range", `bytes ${first}-${last}/${blob.size}`];
  return {
    body: part.stream() as ReadableStream,
    fields: [...fieldsOf(part.size, blob.type), contentRange],
    status: 206,
  };
}

function fieldsOf(size: number, type: string): Content["fields"] {
  return [["content-length", String(size)], ["content-type", type]];
}

/** "data: URL processor" of the Fetch standard. */
function dataOf(url: URL): Content {
  const [, given = "", data] = /^data:([^,]*),([^]*)$/.exec(withoutFragment(url)) ?? [];
  if (data === undefined) throw new TypeError("Cannot fetch: the data: URL has no comma");
  const [, type = "", base64] = /^(.*?)(; *base64)?$/i.exec(given.trim())!;
  const text = data.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  const body = Uint8Array.from(Buffer.from(base64 ? decoded(text) : text, "latin1"));
  return { body, fields: [["content-type", mimeOf(type.startsWith(";") ? `text/plain${type}` : type)]] };
}

function decoded(base64: string): string {
  try {
    return atob(base64);
  } catch {
    throw new TypeError("Cannot fetch: the data: URL is not what it says, base64");
  }
}

function mimeOf(type: string): string {
  try {
    return String(new MIMEType(type));
  } catch {
    return "text/plain;charset=US-ASCII";
  }
}
