import { lstatSync, unlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { ServeConfig } from "./options.ts";

/** Makes what accepts clients. Both ends of a connection end by themselves. */
export function serverOf({ tls, headTimeout }: ServeConfig, accept: (socket: Socket) => void): Server {
  if (tls === undefined) return createServer({ allowHalfOpen: true }, accept);
  const handshakeTimeout = headTimeout === Infinity ? 0 : headTimeout;
  return createTlsServer({ ...tls, ALPNProtocols: ["http/1.1"], allowHalfOpen: true, handshakeTimeout }, accept)
    .on("tlsClientError", (_, socket) => socket.destroy());
}

/** Listens; rejects with the runtime's own error. */
export async function bound(server: Server, { hostname, port, path }: ServeConfig): Promise<void> {
  if (path === undefined) return await listening(server, { host: hostname, port });
  try {
    await listening(server, { path });
  } catch (error) {
    if (codeOf(error) !== "EADDRINUSE" || !lstatSync(path).isSocket() || !await isAbandoned(path)) throw error;
    unlinkSync(path);
    await listening(server, { path });
  }
}

function listening(server: Server, where: { host: string; port: number } | { path: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** Whether nobody listens on a unix socket any more: its process did not end by itself. */
function isAbandoned(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(false);
    });
    socket.on("error", (error) => resolve(codeOf(error) === "ECONNREFUSED"));
  });
}

function codeOf(error: unknown): string | undefined {
  return (error as { code?: string }).code;
}
