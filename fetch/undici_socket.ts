import type { Socket } from "node:net";
import { ConnDuplex } from "../adapters/duplex.ts";
import { socketError } from "../adapters/socket_error.ts";
import type { ClientLike } from "../src/client_of.ts";
import { type GivesWay, lentSocket } from "./lent_socket.ts";
import { opened } from "./opened.ts";
import { connectTo, type FetchTls, type UrlParts } from "./options.ts";

/** Opens a socket for undici. */
export async function openSocket(
  client: ClientLike,
  tls: FetchTls,
  to: UrlParts,
  session: string | undefined,
): Promise<Socket> {
  const conn = await connectTo(client, tls, to, { session }).catch((error) => {
    throw socketError(error);
  });
  const lent = lentSocket(conn);
  if (lent !== undefined) return whenIdle(lent);
  const stream = new ConnDuplex(() => Promise.resolve(conn));
  await opened(stream);
  return whenIdle(stream as unknown as Socket & GivesWay);
}

/** undici says by `unref()` that a connection has nothing to do, and by `ref()` that it is to be used. */
function whenIdle(socket: Socket & GivesWay): Socket {
  const { ref, unref } = socket;
  return Object.assign(socket, {
    ref: () => (socket.markInUse(), ref.call(socket)),
    unref: () => (socket.markIdle(), unref.call(socket)),
  });
}
