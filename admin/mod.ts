/**
 * A port for those who look after a program that uses proxies: a page that shows every proxy, buttons that suspend and
 * resume them, `/metrics` for Prometheus, and `/healthz` and `/readyz` for whoever starts the program again.
 *
 * @example
 * ```ts
 * import { Socks5Client } from "jsr:@x/socks5";
 * import { Recorder, serveAdmin } from "jsr:@x/socks5/admin";
 *
 * const recorder = new Recorder();
 * const client = new Socks5Client("socks5h://user:pass@proxy.example:1080", { onEvent: recorder.onEvent });
 * const admin = await serveAdmin({ client, recorder });
 * console.log(`open ${admin.url}`);
 * await admin.close();
 * await client.close();
 * ```
 *
 * @module
 */
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { cannot } from "../src/errors.ts";
import { formatHostPort } from "../src/protocol/address.ts";
import { type AdminHandler, handlerOf } from "./handler.ts";
import {
  type AdminHandlerOptions,
  type AdminOptions,
  type AdminSource,
  parseAdminOptions,
  parseHandlerOptions,
} from "./options.ts";

export type { AdminHandler } from "./handler.ts";
export type { AdminClient, AdminHandlerOptions, AdminListener, AdminOptions, AdminSource } from "./options.ts";
export { type ProxyRecord, type RecordedFailure, Recorder } from "./recorder.ts";
export type { AdminStatus, ClientStatus, Minute, ProxyStatus } from "./status.ts";

/** A client, several with their names, or a function that gives those that there are at a time. */
export type AdminSources = AdminSource | readonly AdminSource[] | (() => readonly AdminSource[]);

/** An open admin port. */
export interface AdminPort {
  /** The URL of the page: `"http://127.0.0.1:1234"`. */
  readonly url: string;
  /** The host name or address that it listens on. */
  readonly hostname: string;
  /** The port that it listens on. */
  readonly port: number;
  /** Lets the process end although the port is open. */
  unref(): void;
  /** Stops listening, and closes all connections. */
  close(): Promise<void>;
  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Opens an admin port for a client, or for several. The clients stay the caller's.
 *
 * @throws {TypeError} If an argument is malformed.
 * @throws {RangeError} If a number is out of range.
 * @throws The runtime's own error if it cannot listen.
 *
 * @example What the page shows, for a program
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Socks5Client } from "jsr:@x/socks5";
 * import { type AdminStatus, serveAdmin } from "jsr:@x/socks5/admin";
 *
 * const client = new Socks5Client("socks5h://user:pass@proxy.example:1080");
 * const admin = await serveAdmin({ client });
 * const status = await (await fetch(`${admin.url}/status.json`)).json() as AdminStatus;
 * assertEquals(status.count, { all: 1, inService: 1, matching: 1 });
 * await admin.close();
 * ```
 */
export async function serveAdmin(
  sources: AdminSources,
  options?: AdminOptions,
): Promise<AdminPort> {
  const config = parseAdminOptions(options);
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 10_000 }, handlerOf(listOf(sources), config));
  const open = new Set<Socket>();
  let isUnref = false;
  server.maxConnections = 256;
  server.on("connection", (socket) => {
    open.add(socket);
    if (isUnref) socket.unref();
    socket.on("close", () => open.delete(socket));
  });
  server.on("clientError", (_, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: config.hostname, port: config.port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  server.on("error", () => {}); // a connection that cannot be accepted does not end the others
  const { port } = server.address() as AddressInfo;
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      for (const socket of open) socket.destroy();
    });
  return {
    url: `http://${formatHostPort(config.hostname, port)}`,
    hostname: config.hostname,
    port,
    unref() {
      isUnref = true;
      server.unref();
      for (const socket of open) socket.unref();
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/**
 * Makes what answers the requests to an admin port, for a server of `node:http` of your own. Its paths are `/`,
 * `/status.json`, `/metrics`, `/healthz`, `/readyz` and what the buttons of the page ask for.
 *
 * @throws {TypeError} If an argument is malformed.
 *
 * @example
 * ```ts
 * import { createServer } from "node:http";
 * import { Socks5Client } from "jsr:@x/socks5";
 * import { adminHandler } from "jsr:@x/socks5/admin";
 *
 * const client = new Socks5Client("socks5h://user:pass@proxy.example:1080");
 * const server = createServer(adminHandler({ client }, { readonly: true }));
 * server.listen(0, "127.0.0.1", () => server.close());
 * ```
 */
export function adminHandler(
  sources: AdminSources,
  options?: AdminHandlerOptions,
): AdminHandler {
  return handlerOf(listOf(sources), parseHandlerOptions(options));
}

function listOf(sources: AdminSources): () => readonly AdminSource[] {
  if (typeof sources === "function") return sources;
  const list: readonly AdminSource[] = Array.isArray(sources) ? [...sources] : [sources];
  for (const it of list) {
    if (typeof it?.client?.stats !== "function") {
      throw new TypeError(cannot("sources", "{ client } with a Socks5Client, or a list of them", sources));
    }
  }
  if (new Set(list.map(({ name }) => name)).size < list.length) {
    throw new TypeError("Cannot use sources: two have the same name, or none");
  }
  return () => list;
}
