import { randomBytes, timingSafeEqual } from "node:crypto";
import { Buffer } from "node:buffer";
import type { IncomingHttpHeaders } from "node:http";
import { parseHost } from "../src/protocol/address.ts";

/** Whether the `Host` of a request is one that this port is known by: a page of somebody else's name must not read it. */
export function isOurHost(headers: IncomingHttpHeaders, isHost: (name: string) => boolean): boolean {
  const [, name = ""] = /^(\[[^\]]*\]|[^:]*)(?::\d{1,5})?$/.exec(headers.host ?? "") ?? [];
  const host = parseHost(name);
  return typeof host !== "string" && isHost(host.hostname);
}

/** Whether a request comes from a page of this port itself; every browser says so of what changes something. */
export function isOwnOrigin({ origin, host, "sec-fetch-site": site }: IncomingHttpHeaders): boolean {
  if (site !== undefined && site !== "same-origin") return false;
  return origin === `http://${host}` || origin === `https://${host}`;
}

/** What the page has and nobody else. */
export class PageToken {
  readonly text: string = randomBytes(32).toString("base64url");
  readonly #bytes = Buffer.from(this.text);

  isEqual(given: unknown): boolean {
    const bytes = Buffer.from(typeof given === "string" ? given : "");
    return bytes.length === this.#bytes.length && timingSafeEqual(bytes, this.#bytes);
  }
}
