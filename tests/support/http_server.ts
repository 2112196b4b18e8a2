import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer, type ServerOptions } from "node:https";
import type { Socket } from "node:net";
import { listening, type Target } from "./targets.ts";

/** A request as a web server got it. */
export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  /** 0 for the first connection that a request came on. */
  readonly connection: number;
}

/** A web server on loopback. */
export interface Web extends Target {
  readonly server: Server;
  /** All requests since the beginning. */
  readonly seen: readonly Seen[];
  /** The names that TLS clients asked for; `false` for none. */
  readonly names: readonly (string | false)[];
}

/** What answers a request. */
export type Answer = (request: IncomingMessage, response: ServerResponse) => unknown;

/** Starts a web server, with TLS if it is given a certificate. */
export async function startWeb(answer: Answer, tls?: ServerOptions): Promise<Web> {
  const seen: Seen[] = [];
  const names: (string | false)[] = [];
  const connections: (number | undefined)[] = []; // by their ports
  const handle: Answer = (request, response) => {
    const { method = "", url = "", headers, socket: { remotePort } } = request;
    if (!connections.includes(remotePort)) connections.push(remotePort);
    seen.push({ method, url, headers, connection: connections.indexOf(remotePort) });
    request.on("error", () => {});
    response.on("error", () => {});
    void (async () => await answer(request, response))().catch((error: { code?: unknown } | null) => {
      if (error?.code !== "ECONNRESET") throw error; // a client that leaves in the middle of a request is no failure
    });
  };
  const server = tls === undefined ? createServer(handle) : createSecureServer(tls, handle);
  server.on("clientError", (_, socket) => socket.destroy()); // a client that leaves is no failure of the server
  server.on("tlsClientError", (_: Error, socket: Socket) => socket.destroy());
  server.on("secureConnection", (socket: Socket & { servername?: string | false }) => {
    socket.on("error", () => {});
    names.push(socket.servername || false);
  });
  return Object.defineProperties(await listening(server), {
    server: { value: server },
    seen: { value: seen },
    names: { value: names },
  }) as Web;
}
