import type { AddressInfo, Socket } from "node:net";
import { versions } from "node:process";
import { clearInterval, setInterval } from "node:timers";
import type { ClientLike } from "../src/client_of.ts";
import { ClientConn, ClientTimeout } from "./client_conn.ts";
import { LoopDetected } from "./error_mapping.ts";
import { HttpServer } from "./http/http_server.ts";
import { BufferedReader, Malformed } from "./buffered_reader.ts";
import type { Connection } from "./connection.ts";
import { FileWatch } from "./file_watch.ts";
import type { ServeConfig } from "./options.ts";
import { tunnel } from "./tunnel.ts";
import { Connector } from "./connector.ts";
import { bound, serverOf } from "./server.ts";
import { serveSocks } from "./socks_server.ts";

/** An open port. */
export interface Listener {
  readonly port: number;
  unref(): void;
  close(drain: number): Promise<void>;
}

const LOOK_INTERVAL = 1_000;

/** Listens, and serves every connection until its end. */
export async function listen(upstream: ClientLike, config: ServeConfig): Promise<Listener> {
  const open = new Set<ClientConn>();
  let allLeft = () => {};
  let closing: Promise<void> | undefined;
  let unref = false;
  let wasFull = false;

  function accept(socket: Socket): void {
    const client = new ClientConn(socket);
    if (unref) client.unref();
    if (closing) return client.close();
    if (connector.isLoop(client)) {
      config.report(new LoopDetected("The target leads back to this port"));
      return client.reset();
    }
    if (!hasRoom()) return client.reset();
    open.add(client);
    serve(client, connector, config, () => closing !== undefined, over);
  }

  async function over(client: ClientConn): Promise<void> {
    client.close();
    await client.closed();
    open.delete(client);
    if (open.size <= config.maxClients / 2) wasFull = false;
    if (open.size === 0) allLeft();
  }

  /** Whether there is room for one more; the oldest idle client is closed to make some. */
  function hasRoom(): boolean {
    if (open.size < config.maxClients) return true;
    if (!wasFull) {
      config.report(new Error(`There are ${open.size} clients, which is maxClients: further ones are refused`));
    }
    wasFull = true;
    const idle = [...open].find((it) => it.idle && !it.isGone);
    idle?.close();
    return idle !== undefined;
  }

  const newServer = () => serverOf(config, accept);
  const server = newServer();
  await bound(server, config);
  const files = new FileWatch(config.report);
  // a connection that cannot be accepted does not end the others
  const failed = (error: Error) => files.explains(error) || config.report(error);
  server.on("error", failed);
  const looking = setInterval(() => {
    if (open.size > 0) files.look();
    // once files ran out Deno accepts nothing more, until somebody listens on the same handle again
    if (versions.deno && config.path === undefined) newServer().on("error", failed).listen(server);
  }, LOOK_INTERVAL).unref();
  const { port } = config.path === undefined ? server.address() as AddressInfo : { port: 0 };
  const connector = new Connector(upstream, config, port, open, files);

  async function stop(): Promise<void> {
    clearInterval(looking);
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const client of open) if (client.idle) client.close();
    if (open.size > 0) await new Promise<void>((resolve) => allLeft = resolve);
    await closed;
  }

  async function close(drain: number): Promise<void> {
    closing ??= stop();
    const cut = () => {
      for (const client of open) client.close();
    };
    const timer = drain === Infinity ? undefined : setTimeout(cut, drain);
    await closing;
    clearTimeout(timer);
  }
  return {
    port,
    unref() {
      unref = true;
      server.unref();
      for (const client of open) client.unref();
    },
    close,
  };
}

/** Serves a connection to its end; whatever happens, `over` is called, and no other is disturbed. */
async function serve(
  client: ClientConn,
  connector: Connector,
  config: ServeConfig,
  isClosing: () => boolean,
  over: (client: ClientConn) => void,
): Promise<void> {
  try {
    const reader = new BufferedReader(client);
    const connection = await granted(client, reader, connector, config, isClosing);
    if (connection !== undefined) return tunnel(client, reader.rest(), connection, over);
  } catch (error) {
    if (error instanceof LoopDetected) config.report(error); // with a fixed target nobody else is told
    if (!client.isGone && !(error instanceof ClientTimeout || error instanceof Malformed)) client.reset();
  }
  over(client);
}

/** What a client wants to be a tunnel; `undefined` if it has been served otherwise, or is gone. */
async function granted(
  client: ClientConn,
  reader: BufferedReader,
  connector: Connector,
  config: ServeConfig,
  isClosing: () => boolean,
): Promise<Connection | undefined> {
  const { auth, target, headTimeout } = config;
  if (target !== undefined) { // it may speak first, so nothing is awaited
    client.idle = false;
    client.halfOpen = true;
    return await connector.open(client, { protocol: "target", identity: auth.authenticate(null)!, target });
  }
  const first = await client.withTimeout(headTimeout, reader.peek());
  if (first === null) return undefined;
  client.idle = false;
  if (first === 0x05) return await serveSocks(client, reader, connector, config);
  return await new HttpServer(client, reader, connector, config, isClosing).serve();
}
