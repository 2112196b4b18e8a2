import { type AddressInfo, createServer } from "node:net";
import { Accepted, Late } from "./accepted.ts";
import { HttpSession } from "./http.ts";
import { Inbox, Malformed, sourceOf } from "./inbox.ts";
import type { Plan } from "./plan.ts";
import { relay } from "./relay.ts";
import { type Connects, Route } from "./route.ts";
import { serveSocks } from "./socks.ts";

/** An open port. */
export interface Listener {
  readonly port: number;
  unref(): void;
  close(drain: number): Promise<void>;
}

/** Listens, and serves every connection until its end. */
export async function listen(connects: Connects, plan: Plan): Promise<Listener> {
  const open = new Map<Accepted, Promise<void>>();
  let closing: Promise<void> | undefined;
  let unref = false;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const client = new Accepted(socket);
    if (unref) client.unref();
    if (closing) return client.close();
    const served = serve(client, route, plan, () => closing !== undefined).finally(() => open.delete(client));
    open.set(client, served);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: plan.hostname, port: plan.port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  // a connection that cannot be accepted is the client's loss alone
  server.on("error", () => {});
  const { port } = server.address() as AddressInfo;
  const route = new Route(connects, plan.hostname, port);

  async function stop(): Promise<void> {
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
