import type { Socket } from "node:net";
import { ConnDuplex } from "../adapters/duplex.ts";
import { socketError } from "../adapters/socket_error.ts";
import { SoundConn } from "../src/guarded_conn.ts";
import type { Socks5Conn } from "../src/tunnel/socks5_conn.ts";
import type { ClientLike } from "../src/client_of.ts";
import { connectTo, type FetchTls, type UrlParts } from "./options.ts";

type Destroy = (error: Error | null, done: (error?: Error | null) => void) => void;

/**
 * Opens a socket for undici, which says by `unref()` that a connection has nothing to do, and by `ref()` that it is to be
 * used: meanwhile it gives way to others.
 */
export async function openSocket(client: ClientLike, tls: FetchTls, to: UrlParts): Promise<Socket> {
  try {
    const conn = await connectTo(client, tls, to, {});
    return lentSocket(conn) ?? await streamOver(conn);
  } catch (error) {
    throw socketError(error);
  }
}

/**
 * The socket of a tunnel, on Node: without a second stream on top of it. The tunnel counts as open until the socket is
 * destroyed, and destroys it when it ends first. Errors are those of a stream over the tunnel. `undefined` if there is no
 * such socket.
 */
function lentSocket(conn: Socks5Conn): Socket | undefined {
  const lent = SoundConn.lentBy(conn);
  if (lent === undefined) return undefined;
  const socket = lent.socket as Socket & { _destroy: Destroy };
  const { ref, unref, _destroy } = socket;
  let isEvicted = false;
  const evicted = () => {
    isEvicted = true;
    socket.destroy();
  };
  return Object.assign(socket, {
    ref: () => (conn.markInUse(), ref.call(socket)),
    unref: () => (conn.markIdle(evicted), unref.call(socket)),
    _destroy(error: Error | null, done: (error?: Error | null) => void) {
      const isBroken = error === null ? !isEvicted && !conn.markInUse() : isOfSystem(error);
      const reason = isBroken ? socketError(lent.broke(error ?? undefined)) as Error : error;
      conn.close();
      _destroy.call(socket, reason, done);
    },
  });
}

/** A stream with the members of a `net.Socket`. */
function streamOver(conn: Socks5Conn): Promise<Socket> {
  const stream = new ConnDuplex(() => Promise.resolve(conn));
  const { ref, unref } = stream;
  const socket = Object.assign(stream, {
    ref: () => (stream.markInUse(), ref.call(stream)),
    unref: () => (stream.markIdle(), unref.call(stream)),
  }) as unknown as Socket;
  return new Promise((resolve, reject) => {
    let error: unknown = new Error("The connection was closed");
    stream.once("error", (reason) => error = reason);
    stream.once("close", () => reject(error));
    stream.connect(() => resolve(socket));
  });
}

/** Whether it comes from the socket itself, and not from who destroys it. */
function isOfSystem({ code }: Error & { code?: unknown }): boolean {
  return typeof code === "string" && /^E[A-Z]/.test(code);
}
