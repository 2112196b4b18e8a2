import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { createServer as createTlsServer, type Server as TlsServer, type TLSSocket } from "node:tls";
import type { Conn, Endpoint } from "../../src/transport.ts";
import { certificates, type Issued } from "./certificates.ts";
import { type Pair, type Peer, peerOf } from "./peer.ts";
import { startTarget, type Target, type TargetOptions } from "./targets.ts";

/** How a server speaks TLS. */
export interface TlsTargetOptions extends TargetOptions {
  /** Default: the one for `localhost` and 127.0.0.1. */
  certificate?: Issued;
  /** What the server chooses from by ALPN; without an overlap it refuses. */
  alpn?: string[];
  /** Wants a certificate of the client that `certificates().authority` has signed. */
  wantsClient?: boolean;
  /** Speaks TLS 1.2 and nothing newer. */
  isOld?: boolean;
}

/** What a handshake has shown. */
export interface Hello {
  /** SNI. */
  serverName: string | null;
  alpn: string | null;
  /** The name in the client's certificate. */
  client: string | null;
  protocol: string | null;
}

/** A server that speaks TLS. */
export interface TlsTarget extends Target {
  /** The handshakes that were completed. */
  readonly hellos: readonly Hello[];
}

/** Speaks TLS and sends back what it receives, or serves in a way of its own. */
export async function startTls(
  options: TlsTargetOptions = {},
  serve: (socket: TLSSocket) => void = (socket) => socket.pipe(socket),
): Promise<TlsTarget> {
  const hellos: Hello[] = [];
  const server = tlsServer(options, (socket) => {
    hellos.push(helloOf(socket));
    serve(socket);
  });
  const target = await startTarget((socket) => accept(server, socket), options);
  return Object.defineProperties(target, { hellos: { value: hellos } }) as TlsTarget;
}

/** Answers the beginning of TLS with an alert (RFC 8446 section 6) and ends. */
export function startAlert(level: number, description: number): Promise<Target> {
  return startTarget((socket) =>
    socket.once("data", () => socket.end(Uint8Array.of(21, 3, 3, 0, 2, level, description)))
  );
}

/** Answers the beginning of TLS with that text and ends. */
export function startPlain(answer: string): Promise<Target> {
  return startTarget((socket) => socket.once("data", () => socket.end(answer)));
}

/** Speaks TLS, says that and ends the connection without saying in TLS that it ends (RFC 8446 section 6.1). */
export function startCut(last: string): Promise<Target> {
  const raws = new Map<number | undefined, Socket>();
  const server = tlsServer({}, (socket) => socket.write(last, () => raws.get(socket.remotePort)!.end()));
  return startTarget((socket) => {
    raws.set(socket.remotePort, socket);
    accept(server, socket);
  });
}

/** A connection with TLS and its other end, over a server of its own that exists only until it has accepted. */
export async function tlsPairOf<S>(
  dial: (to: Endpoint) => Promise<Conn<S>>,
  start: (conn: Conn<S>) => Promise<Conn<S>>,
  options: TlsTargetOptions = {},
): Promise<Pair<S> & { raw: Socket }> {
  const raws: Socket[] = [];
  const { promise, resolve } = Promise.withResolvers<Peer>();
  const tls = tlsServer(options, (socket) => resolve(peerOf(socket, raws[0])));
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    raws.push(socket);
    socket.on("error", () => {});
    tls.emit("connection", socket);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  try {
    const conn = await start(await dial({ hostname: "127.0.0.1", port: (server.address() as AddressInfo).port }));
    return { conn, peer: await promise, raw: raws[0]! };
  } finally {
    server.close();
  }
}

function accept(server: TlsServer, socket: Socket): void {
  socket.allowHalfOpen = false; // or nobody sees that a client gives up in the handshake
  server.emit("connection", socket);
}

function tlsServer(
  { certificate = certificates().both, alpn, wantsClient = false, isOld = false }: TlsTargetOptions,
  serve: (socket: TLSSocket) => void,
): TlsServer {
  const server = createTlsServer({
    ...certificate,
    ...(alpn && { ALPNProtocols: alpn }),
    ...(wantsClient && { requestCert: true, ca: certificates().authority.cert }),
    ...(isOld && { maxVersion: "TLSv1.2" as const }),
    allowHalfOpen: true,
  }, (socket) => {
    socket.on("error", () => socket.destroy()); // a client that resets is no failure of the target
    serve(socket);
  });
  return server.on("tlsClientError", (_, socket) => socket.destroy()); // nor is one that refuses
}

function helloOf(socket: TLSSocket): Hello {
  const { servername, alpnProtocol } = socket as { servername?: string | false | null } & TLSSocket;
  return {
    serverName: servername || null,
    alpn: alpnProtocol || null,
    client: (socket.getPeerCertificate()?.subject?.CN as string | undefined) ?? null,
    protocol: socket.getProtocol(),
  };
}
