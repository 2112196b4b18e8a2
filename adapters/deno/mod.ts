/**
 * The transport of Deno: `Deno.connect`. A client on Deno uses it by default.
 *
 * @module
 */
import type {
  Conn,
  DatagramHandlers,
  DatagramSocket,
  Endpoint,
  OwnedDialOptions,
  OwnedTransport,
  Transport,
} from "../../src/transport.ts";
import { type DenoConn, DenoSocketPipe, type DenoTcpConn } from "./conn.ts";
import { lookup } from "../dns.ts";

export type { DenoConn, DenoTcpConn } from "./conn.ts";

const transport: OwnedTransport<DenoTcpConn> = {
  usesOwner: true,
  lookup,
  async openDatagrams(isIpv6: boolean, handlers: DatagramHandlers): Promise<DatagramSocket> {
    return await (await import("../udp_socket.ts")).openDatagrams(isIpv6, handlers);
  },
  async connect(to: Endpoint, options: OwnedDialOptions = {}): Promise<Conn<DenoTcpConn>> {
    const { signal, owner, noDelay = true, keepAlive = true } = options;
    signal?.throwIfAborted();
    const dial = unused.pop() ?? newDial();
    let isDialing = true;
    const abort = () => isDialing && dial.abort();
    signal?.addEventListener("abort", abort);
    let conn: DenoConn | undefined;
    try {
      owner?.own({ close: abort });
      if (dial.signal.aborted) throw dial.signal.reason;
      conn = await open(addressOf(to, dial.signal));
      if (dial.signal.aborted) throw dial.signal.reason;
      const pipe = new DenoSocketPipe(conn, noDelay, keepAlive !== false);
      isDialing = false;
      if (unused.length < 100) unused.push(dial);
      return pipe;
    } catch (error) {
      conn?.close();
      throw signal?.aborted ? signal.reason : error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  },
};

/**
 * Opens connections with `Deno.connect`. `detach()` of a tunnel gives a `Deno.TcpConn` (a `Deno.UnixConn` for a path), and
 * as `head` what the target has sent right behind the reply of the proxy: use it before what the socket reads.
 *
 * @example A `Deno.TcpConn` through a proxy
 * ```ts deno
 * import { Socks5Client } from "jsr:@x/socks5";
 * import { denoTransport } from "jsr:@x/socks5/deno";
 *
 * const client = new Socks5Client("socks5h://user:pass@proxy.example:1080", { transport: denoTransport });
 * const { socket } = (await client.connect("example.com:80")).detach();
 * await socket.write(new TextEncoder().encode("GET / HTTP/1.0\r\nHost: example.com\r\n\r\n"));
 * for await (const chunk of socket.readable) console.log(new TextDecoder().decode(chunk));
 * ```
 */
export const denoTransport: Transport<DenoTcpConn> = transport;

/** What has not aborted serves the next dial: they are dear. */
const unused: AbortController[] = [];

function newDial(): AbortController {
  const dial = new AbortController();
  // Deno looks at the signal once more when it has the connection, and throws without closing it
  dial.signal.throwIfAborted = () => {};
  return dial;
}

/** Without a prototype, from which Deno would take a path. */
function addressOf(to: Endpoint, signal: AbortSignal): DenoAddress {
  const own = { __proto__: null, ...to };
  if ("path" in own) return Object.assign(own, { transport: "unix" as const });
  return Object.assign(own, { signal });
}

type DenoAddress =
  | { hostname: string; port: number; signal: AbortSignal }
  | { transport: "unix"; path: string };

function open(to: DenoAddress): Promise<DenoConn> {
  const { Deno } = globalThis as unknown as { Deno: { connect(to: DenoAddress): Promise<DenoConn> } };
  return Deno.connect(to);
}
