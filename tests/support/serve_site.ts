import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { ServerOptions } from "node:https";
import type { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import { startWeb, type Web } from "./http_server.ts";

/** A request as a site got it. */
export interface SiteRequest {
  method: string;
  path: string;
  fields: Record<string, string>;
  body: string;
}

/** What a site answers: a body and its type, or nothing: 404. */
export type Page = (request: SiteRequest) => { type: string; body: Uint8Array | string } | undefined;

/** A web server on loopback whose `/ws` is a WebSocket that echoes one short message. */
export async function startSite(page: Page, tls?: ServerOptions): Promise<Web> {
  const web = await startWeb(async (request, response) => {
    const { method, url: path, headers } = request;
    const body = (await buffer(request)).toString("latin1");
    const found = page({ method: method!, path: path!, fields: headers as Record<string, string>, body });
    const said = Buffer.from(found?.body ?? "");
    const fields = { "content-type": found?.type ?? "text/plain", "content-length": said.length };
    response.writeHead(found ? 200 : 404, fields).end(said);
  }, tls);
  web.server.on("upgrade", (request, socket) => upgrade(socket, request.headers["sec-websocket-key"]!));
  return web;
}

/** A picture of so many pixels, three bytes each, as a bitmap. */
export function bitmap(width: number, height: number): Uint8Array {
  const size = 54 + width * height * 3;
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  bytes.set([0x42, 0x4d]);
  [[2, size], [10, 54], [14, 40], [18, width], [22, height], [26, 0x180001]].forEach(([at, value]) =>
    view.setUint32(at!, value!, true)
  );
  return bytes;
}

/** RFC 6455, as far as one short message needs it. */
function upgrade(socket: Duplex, key: string): void {
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  socket.on("error", () => {}).on("end", () => socket.end());
  socket.once("data", (frame: Uint8Array) => {
    const length = frame[1]! & 0x7f;
    const text = frame.slice(6, 6 + length).map((byte, i) => byte ^ frame[2 + i % 4]!);
    socket.write(Uint8Array.of(0x81, length, ...text));
    socket.resume();
  });
}
