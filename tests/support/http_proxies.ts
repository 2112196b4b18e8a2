import { connect, type Socket } from "node:net";
import { Buffer } from "node:buffer";
import { startTarget, type Target, type TargetOptions } from "./targets.ts";
import { startTls, type TlsTargetOptions } from "./tls_targets.ts";

/** How an HTTP proxy of a test behaves. */
export interface HttpProxyStandIn extends TargetOptions {
  /** `"user:pass"`, which clients must present as Basic. Default: no authentication. */
  credentials?: string;
  /** Where targets really are, by `"host:port"`. Default: where they say. */
  rules?: Readonly<Record<string, { hostname: string; port: number }>>;
  /** What it answers in place of serving; `undefined` serves. May go on with the socket by itself. */
  answer?: (head: string, socket: Socket) => string | undefined;
  /** Speaks TLS. */
  tls?: TlsTargetOptions;
}

/** An HTTP proxy that serves CONNECT alone, and the heads that it was sent. */
export type StartedHttpProxy = Target & { readonly heads: readonly string[] };

/** Starts an HTTP proxy on loopback. */
export async function startHttpProxy(options: HttpProxyStandIn = {}): Promise<StartedHttpProxy> {
  const heads: string[] = [];
  const serve = (socket: Socket) => serveConnect(socket, options, heads);
  const target = options.tls === undefined ? await startTarget(serve, options) : await startTls(options.tls, serve);
  return Object.defineProperty(target, "heads", { value: heads }) as StartedHttpProxy;
}

function serveConnect(socket: Socket, { credentials, rules = {}, answer }: HttpProxyStandIn, heads: string[]): void {
  let received = Buffer.alloc(0);
  const receive = (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    const end = received.indexOf("\r\n\r\n");
    if (end < 0) return;
    socket.off("data", receive);
    socket.pause();
    const head = received.toString("latin1", 0, end);
    heads.push(head);
    const said = answer?.(head, socket);
    if (said !== undefined) return void (socket.write(said, "latin1"), socket.resume());
    if (credentials !== undefined && !head.includes(`\r\nProxy-Authorization: Basic ${btoa(credentials)}`)) {
      socket.end('HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic realm="test"\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    const [, host = "", port = ""] = /^CONNECT \[?([^\] ]*?)\]?:(\d+) HTTP\/1\.1\r\n/.exec(head) ?? [];
    const to = rules[`${host}:${port}`] ?? { hostname: host, port: Number(port) };
    const upstream = connect({ host: to.hostname, port: to.port, allowHalfOpen: true });
    for (const it of [socket, upstream]) {
      it.on("error", () => {}).once("close", () => (socket.destroy(), upstream.destroy()));
    }
    upstream.once("error", () => socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\nnot there"));
    upstream.once("connect", () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      upstream.write(received.subarray(end + 4));
      socket.pipe(upstream).pipe(socket);
    });
  };
  socket.on("data", receive);
  socket.on("end", () => socket.destroyed || socket.end());
}
