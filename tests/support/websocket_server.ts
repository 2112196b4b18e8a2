import { createServer, type IncomingMessage } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { listening, type Target } from "./targets.ts";

/** The part of npm ws that is used here. */
interface WsSocket {
  on(type: "message", listener: (data: Uint8Array, isBinary: boolean) => void): void;
  on(type: "pong", listener: (data: Uint8Array) => void): void;
  on(type: "close", listener: (code: number) => void): void;
  on(type: "error", listener: () => void): void;
  send(data: Uint8Array | string, options?: { binary: boolean }): void;
  ping(data: string): void;
  close(code: number, reason: string): void;
}

type Ws = {
  WebSocketServer: new (options: { server: unknown }) => {
    on(type: "connection", listener: (socket: WsSocket, request: IncomingMessage) => void): void;
  };
};

/** A server of npm ws on loopback. */
export interface WebSocketServer extends Target {
  readonly requests: readonly IncomingMessage[];
  /** What came to the path `/silent`. */
  readonly messages: readonly string[];
  readonly pongs: readonly string[];
  readonly closes: readonly number[];
}

/**
 * Starts a server that echoes; `/silent` does not, `/close` closes with 4000, `/ping` pings and says when it was answered.
 */
export async function startWebSockets(tls?: { cert: string; key: string }): Promise<WebSocketServer> {
  // by its path: Bun has a stand-in for the name
  const { WebSocketServer } = await import(new URL("../../node_modules/ws/wrapper.mjs", import.meta.url).href) as Ws;
  const server = tls === undefined ? createServer() : createSecureServer(tls);
  const requests: IncomingMessage[] = [];
  const messages: string[] = [];
  const pongs: string[] = [];
  const closes: number[] = [];
  new WebSocketServer({ server }).on("connection", (socket, request) => {
    requests.push(request);
    socket.on("error", () => {});
    socket.on("close", (code) => closes.push(code));
    if (request.url === "/close") return socket.close(4000, "go away");
    socket.on("pong", (data) => {
      pongs.push(String(data));
      socket.send("pong");
    });
    if (request.url === "/ping") return socket.ping("are you there");
    socket.on("message", (data, binary) => {
      if (request.url === "/silent") messages.push(String(data));
      else socket.send(data, { binary });
    });
  });
  const target = await listening(server);
  return Object.defineProperties(target, {
    requests: { value: requests },
    messages: { value: messages },
    pongs: { value: pongs },
    closes: { value: closes },
  }) as WebSocketServer;
}
