import { type AddressInfo, createServer, type Socket } from "node:net";
import { versions } from "node:process";
import { clearInterval, setInterval } from "node:timers";
import type { ClientLike } from "../src/client_of.ts";
import { Accepted, Late } from "./client_conn.ts";
import { Loop } from "./error_mapping.ts";
import { HttpSession } from "./http/http_server.ts";
import { Inbox, Malformed, sourceOf } from "./buffered_reader.ts";
import type { Plan } from "./options.ts";
import { relay } from "./tunnel.ts";
import { Route } from "./connector.ts";
import { serveSocks } from "./socks_server.ts";

/** An open port. */
export interface Listener {
  readonly port: number;
  unref(): void;
  close(drain: number): Promise<void>;
}

const WAKE = 1_000;

/** Listens, and serves every connection until its end. */
export async function listen(client: ClientLike, plan: Plan): Promise<Listener> {
  const open = new Map<Accepted, Promise<void>>();
  let closing: Promise<void> | undefined;
  let unref = false;
  let wasFull = false;

  function accept(socket: Socket): void {
    const client = new Accepted(socket);
    if (unref) client.unref();
    if (closing) return client.close();
    if (route.isLoop(client)) {
      plan.tell(new Loop("The target leads back to this port"));
      return client.reset();
    }
    if (!hasRoom()) return client.reset();
    const served = serve(client, route, plan, () => closing !== undefined).finally(() => {
      open.delete(client);
      if (open.size <= plan.maxClients / 2) wasFull = false;
    });
    open.set(client, served);
  }

  /** Whether there is room for one more; who rests makes some. */
  function hasRoom(): boolean {
    if (open.size < plan.maxClients) return true;
    if (!wasFull) plan.tell(new Error(`There are ${open.size} clients, which is maxClients: further ones are refused`));
    wasFull = true;
    const resting = [...open.keys()].find((it) => it.idle && !it.gone.aborted);
    resting?.close();
    return resting !== undefined;
  }

  const newServer = () => createServer({ allowHalfOpen: true }, accept);
  const server = newServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: plan.hostname, port: plan.port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  // a connection that cannot be accepted is the client's loss alone
  server.on("error", plan.tell);
  // once files ran out Deno accepts nothing more and says nothing, until somebody listens on the same handle again
  const wake = () => newServer().on("error", plan.tell).listen(server);
  const waking = versions.deno ? setInterval(wake, WAKE).unref() : undefined;
  const { port } = server.address() as AddressInfo;
  const clients = { [Symbol.iterator]: () => open.keys() };
  const route = new Route(client, plan.hostname, port, clients, plan.target !== undefined);

  async function stop(): Promise<void> {
    clearInterval(waking);
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const client of open.keys()) if (client.idle) client.close();
    await Promise.all(open.values());
    await closed;
  }

  async function close(drain: number): Promise<void> {
    closing ??= stop();
    const cut = () => {
      for (const client of open.keys()) client.close();
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
      for (const client of open.keys()) client.unref();
    },
    close,
  };
}

/** Serves a connection to its end; whatever happens, it is closed, and its own business. */
async function serve(client: Accepted, route: Route, plan: Plan, isClosing: () => boolean): Promise<void> {
  try {
    const inbox = new Inbox(client);
    if (plan.target !== undefined) return await forward(client, inbox, route, plan);
    const first = await client.within(plan.headTimeout, inbox.peek());
    if (first === null) return;
    client.idle = false;
    if (first === 0x05) await serveSocks(client, inbox, route, plan);
    else await new HttpSession(client, inbox, route, plan, isClosing).serve();
  } catch (error) {
    if (error instanceof Loop) plan.tell(error); // with a fixed target nobody else is told
    if (!client.gone.aborted && !(error instanceof Late || error instanceof Malformed)) client.reset();
  } finally {
    client.close();
    await client.closed;
  }
}

/** A fixed port: the target may speak first, so nothing is awaited. */
async function forward(client: Accepted, inbox: Inbox, route: Route, { gate, target }: Plan): Promise<void> {
  client.idle = false;
  client.carriesEnd = true;
  const conn = await route.connect(target!, gate.admit(null)!, client);
  await relay(client, inbox, conn, sourceOf(conn));
}
