import type { Socks5Client, Socks5Conn } from "../mod.ts";
import { ATYP, parseHost } from "../src/protocol/address.ts";
import { within } from "./interrupt.ts";
import { Unproven, UsageError } from "./outcome.ts";

/** A page that tells its visitors their address. */
export interface Exit {
  readonly target: string;
  readonly tls: boolean;
  readonly request: Uint8Array;
}

/** Reads the URL of such a page. */
export function parseExit(text: string): Exit {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "") {
    throw new UsageError("--exit takes an http: or https: URL that answers with an address", "check");
  }
  const tls = url.protocol === "https:";
  const head = [`GET ${url.pathname}${url.search} HTTP/1.0`, `Host: ${url.host}`, "Accept: text/plain, */*", "", ""];
  return {
    target: `${url.hostname}:${url.port || (tls ? 443 : 80)}`,
    tls,
    request: new TextEncoder().encode(head.join("\r\n")),
  };
}

const MOST = 65_536; // bytes of a response

/** The address that the target sees: the first IP address in its response. */
export async function exitAddress(
  client: Socks5Client,
  { target, tls, request }: Exit,
  signal: AbortSignal,
  timeout = 30_000,
): Promise<string> {
  const conn = await client.connect(target, { tls, signal, timeout });
  try {
    const response = await within(timeout, signal, async (signal) => {
      signal.addEventListener("abort", () => conn.close());
      await conn.write(request);
      return await textOf(conn);
    });
    if (response === undefined) throw new Unproven("no whole response came in time");
    return addressIn(response);
  } finally {
    conn.close();
  }
}

async function textOf(conn: Socks5Conn): Promise<string> {
  const buffer = new Uint8Array(MOST);
  let length = 0;
  for (let n; length < MOST && (n = await conn.read(buffer.subarray(length))) !== null;) length += n;
  return new TextDecoder().decode(buffer.subarray(0, length));
}

function addressIn(response: string): string {
  const [, status, body] = /^HTTP\/1\.\d (\d{3})[^]*?\r?\n\r?\n([^]*)$/.exec(response) ?? [];
  if (status === undefined) throw new Unproven("the response is not HTTP");
  if (status !== "200") throw new Unproven(`the response has the status ${status}`);
  for (const [word] of body!.matchAll(/\d{1,3}(?:\.\d{1,3}){3}|[\da-f]*:[\da-f]*:(?:[\da-f:.]*[\da-f:])?/gi)) {
    const host = parseHost(word);
    if (typeof host !== "string" && host.atyp !== ATYP.DOMAIN) return host.hostname;
  }
  throw new Unproven("the response has no IP address");
}
