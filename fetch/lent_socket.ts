import type { Socket } from "node:net";
import { socketError } from "../adapters/socket_error.ts";
import { SoundConn } from "../src/guarded_conn.ts";
import type { Socks5Conn } from "../src/tunnel/socks5_conn.ts";

type Destroy = (error: Error | null, done: (error?: Error | null) => void) => void;

/** What a `ConnDuplex` has for a keep-alive pool. */
export interface GivesWay {
  markIdle(): void;
  markInUse(): boolean;
}

/**
 * The socket of a tunnel, on Node: without a second stream on top of it. The tunnel counts as open until the socket is
 * destroyed, and destroys it when it ends first. Errors are those of a stream over the tunnel. `undefined` if there is no
 * such socket.
 */
export function lentSocket(conn: Socks5Conn): Socket & GivesWay | undefined {
  const lent = SoundConn.lentBy(conn);
  if (lent === undefined) return undefined;
  const socket = lent.socket as Socket & { _destroy: Destroy };
  const { _destroy } = socket;
  let isEvicted = false;
  const evicted = () => {
    isEvicted = true;
    socket.destroy();
  };
  return Object.assign(socket, {
    proxy: conn.proxy,
    markIdle: () => conn.markIdle(evicted),
    markInUse: () => conn.markInUse(),
    _destroy(error: Error | null, done: (error?: Error | null) => void) {
      const isBroken = error === null ? !isEvicted && !conn.markInUse() : isOfSystem(error);
      const reason = isBroken ? socketError(lent.broke(error ?? undefined)) as Error : error;
      conn.close();
      _destroy.call(socket, reason, done);
    },
  });
}

/** Whether it comes from the socket itself, and not from who destroys it. */
function isOfSystem({ code }: Error & { code?: unknown }): boolean {
  return typeof code === "string" && /^E[A-Z]/.test(code);
}
