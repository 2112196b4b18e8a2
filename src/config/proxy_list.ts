import { cannot } from "../errors.ts";
import { PROXY_FORM } from "../protocol/address.ts";
import { parseProxy } from "./proxy_url.ts";

/** A proxy of a list, and where it was found. */
export interface ListedProxy {
  readonly url: string;
  /** The number of its line, from 1. */
  readonly line: number;
  /** The line as it was given, with its comment. */
  readonly text: string;
}

/**
 * Reads a list of proxies as providers hand it out, one on each line, and gives their URLs in the order of the list.
 * Each line is one of these, where `host` may be an IPv6 address in brackets:
 *
 * - `socks5h://user:password@host:port`, or any other URL that {@linkcode Socks5Client} accepts.
 * - `host:port`.
 * - `host:port:user:password`. The password is all that follows the third colon, with colons and at signs in it;
 *   nothing is percent-decoded.
 * - `user:password@host:port`, read like the URL: the last at sign and the first colon divide, and both parts are
 *   percent-decoded.
 *
 * `#` begins a comment at the start of a line and after white space. Blank lines, white space around a proxy, a byte
 * order mark and any kind of line end are accepted. A list without a proxy gives an empty array.
 *
 * A line that can be read in two ways is an error, so that no password is sent to the wrong host: one that is both
 * `host:port:user:password` and `user:password@host:port`, and one that may be `user:password:host:port` since its
 * password is a port number, unless the first part has a dot or brackets and the third has not. Write such a proxy as a
 * URL.
 *
 * @throws {TypeError} If a line is malformed. The message names its number and shows nothing of it.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseProxyList, Socks5Client } from "jsr:@x/socks5";
 *
 * const list = parseProxyList(`
 *   # as it was sold
 *   proxy.example:1080:user:pass
 *   user:pass@proxy-two.example:1080   # the spare one
 * `);
 * assertEquals(list, ["socks5h://user:pass@proxy.example:1080", "socks5h://user:pass@proxy-two.example:1080"]);
 * const client = new Socks5Client(list);
 * const conn = await client.connect("example.com:80");
 * conn.close();
 * ```
 */
export function parseProxyList(text: string): string[] {
  return listedProxies(text).map(({ url }) => url);
}

/** As {@linkcode parseProxyList}, with the lines. */
export function listedProxies(text: string): ListedProxy[] {
  if (typeof text !== "string") throw new TypeError(cannot("text", "a list of proxies", text));
  return text.replace(/^\uFEFF/, "").toWellFormed().split(/\r\n?|\n/).flatMap((text, i) => {
    const entry = text.replace(/(^|\s)#.*/s, "").trim();
    return entry === "" ? [] : { url: urlOf(entry, `line ${i + 1}`), line: i + 1, text };
  });
}

function urlOf(entry: string, place: string): string {
  try {
    const url = /^[a-z][a-z\d+.-]*:\/\//i.test(entry) ? entry : urlOfParts(entry);
    parseProxy(url);
    return url;
  } catch (error) {
    throw new TypeError((error as Error).message.replace(/^Cannot use \w+/, `Cannot use ${place}`));
  }
}

/** `host:port`, or `user:password@host:port`. */
const HOST_LAST = /(?:^|@)(?:\[[^\]@]*\]|[^:@[\]/?#\\]+):\d+$/;

/** `host:port:user:password`. */
const HOST_FIRST = /^(\[[^\]@]*\]|[^:@[\]/?#\\]+):(\d+):([^:]*):(.*)$/;

/** `user:password:host:port`. */
const REVERSED = /^[^:]*:[^:]*:(\[[^\]]*\]|[^:]*):(\d{1,5})$/;

function urlOfParts(entry: string): string {
  if (/\s/.test(entry)) throw bad(`there is white space in it, which only a URL may have (${PROXY_FORM})`);
  if (isBareIpv6(entry)) throw bad("an IPv6 address needs brackets: [::1]:1080");
  const [, host, port, username, password] = HOST_FIRST.exec(entry) ?? [];
  const [, lastHost, lastPort] = REVERSED.exec(entry) ?? [];
  if (host === undefined) {
    if (HOST_LAST.test(entry)) return `socks5h://${entry}`;
    if (lastHost !== undefined) throw bad("host and port come first: host:port:user:password");
    throw bad(`a line is host:port, host:port:user:password, user:password@host:port or a URL (${PROXY_FORM})`);
  }
  const isReversible = Number(lastPort) <= 65535 && (/[.[]/.test(lastHost!) || !/[.[]/.test(host));
  if (isReversible || HOST_LAST.test(entry)) throw bad(`it can be read in two ways and must be a URL (${PROXY_FORM})`);
  return `socks5h://${encodeURIComponent(username!)}:${encodeURIComponent(password!)}@${host}:${port}`;
}

/** An IPv6 address without brackets, with or without a port. */
function isBareIpv6(entry: string): boolean {
  return /^[\da-f]{0,4}:[\da-f:.]*$/i.test(entry) && (entry.includes("::") || entry.split(":").length >= 8);
}

function bad(reason: string): TypeError {
  return new TypeError(`Cannot use proxy as SOCKS5 proxy, ${reason}: current value is (redacted)`);
}
