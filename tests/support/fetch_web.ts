import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createSecureServer, type ServerOptions } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { Changes } from "../../testing/changes.ts";

/** A request as a web server got it. */
export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  /** 0 for the first connection. */
  readonly connection: number;
}

/** A web server on loopback. */
export interface Web {
  readonly port: number;
  /** All requests since the beginning. */
  readonly seen: readonly Seen[];
  /** How many connections there were. */
  readonly accepted: number;
  /** How many are open. */
  readonly open: number;
  until(condition: () => boolean, timeout?: number): Promise<void>;
  close(): Promise<void>;
}

/** What answers a request. */
export type Answer = (request: IncomingMessage, response: ServerResponse) => unknown;

/** Starts a web server, with TLS if it is given a certificate. */
export async function startWeb(answer: Answer, tls?: ServerOptions, hostname = "127.0.0.1"): Promise<Web> {
  const seen: Seen[] = [];
  const connections = new Map<Socket, number>();
  const watch = new Changes();
  let accepted = 0;
  const handle: Answer = (request, response) => {
    const { method = "", url = "", headers, socket } = request;
    seen.push({ method, url, headers, connection: connections.get(rawOf(socket)) ?? -1 });
    watch.notify();
    request.on("error", () => {});
    response.on("error", () => {});
    answer(request, response);
  };
  const server = tls === undefined ? createServer(handle) : createSecureServer(tls, handle);
  server.on("clientError", (_, socket) => socket.destroy()); // a client that leaves is no failure of the server
  server.on("tlsClientError", (_, socket) => socket.destroy());
  server.on(tls === undefined ? "connection" : "secureConnection", (socket: Socket) => {
    connections.set(rawOf(socket), accepted++);
    socket.on("error", () => {});
    socket.once("close", () => {
      connections.delete(rawOf(socket));
      watch.notify();
    });
    watch.notify();
  });
  await new Promise<void>((resolve) => server.listen(0, hostname, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    get accepted() {
      return accepted;
    },
    get open() {
      return connections.size;
    },
    until: (condition, timeout) => watch.until(condition, timeout),
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

// the request's socket is not always the object that was announced
function rawOf(socket: Socket): Socket {
  return socket;
}
