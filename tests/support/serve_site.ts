import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import { startTarget, type Target } from "./targets.ts";

/** A request as a site got it. */
export interface SiteRequest {
  method: string;
  path: string;
  fields: Record<string, string>;
  body: string;
}

/** What a site answers: a body and its type, or nothing: 404. */
export type Page = (request: SiteRequest) => { type: string; body: Uint8Array | string } | undefined;

/** A web server on loopback that keeps connections, and whose `/ws` is a WebSocket that echoes one short message. */
export function startSite(page: Page): Promise<Target> {
  return startTarget((socket) => serveSite(socket, page));
}

/** Serves a connection of a web server. */
export function serveSite(socket: Socket, page: Page): void {
  let received = "";
  let request: SiteRequest | undefined; // whose body is not whole
  socket.on("end", () => socket.end());
  socket.on("error", () => {});
  socket.on("data", function take(chunk: Buffer) {
    received += chunk.toString("latin1");
    for (;;) {
      if (request === undefined) {
        const end = received.indexOf("\r\n\r\n");
        if (end < 0) return;
        request = requestOf(received.slice(0, end));
        received = received.slice(end + 4);
        if (request.fields["expect"] !== undefined) socket.write("HTTP/1.1 100 Continue\r\n\r\n");
      }
      const length = Number(request.fields["content-length"] ?? 0);
      if (received.length < length) return;
      const whole = { ...request, body: received.slice(0, length) };
      received = received.slice(length);
      request = undefined;
      if (whole.path === "/ws") {
        socket.off("data", take);
        return upgrade(socket, whole.fields["sec-websocket-key"]!);
      }
      answer(socket, whole, page(whole));
    }
  });
}

function requestOf(head: string): SiteRequest {
  const [line, ...lines] = head.split("\r\n");
  const [method, path] = line!.split(" ");
  const fields = lines.map((it) => it.split(": ")).map(([name, value]) => [name!.toLowerCase(), value!]);
  return { method: method!, path: path!, fields: Object.fromEntries(fields), body: "" };
}

function answer(socket: Socket, { method }: SiteRequest, page: ReturnType<Page>): void {
  const body = Buffer.from(page?.body ?? "");
  const status = page ? "200 OK" : "404 Not Found";
  const type = page?.type ?? "text/plain";
  socket.write(`HTTP/1.1 ${status}\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n`);
  if (method !== "HEAD") socket.write(body);
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
function upgrade(socket: Socket, key: string): void {
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  socket.once("data", (frame: Uint8Array) => {
    const length = frame[1]! & 0x7f;
    const text = frame.slice(6, 6 + length).map((byte, i) => byte ^ frame[2 + i % 4]!);
    socket.write(Uint8Array.of(0x81, length, ...text));
    socket.resume();
  });
}
