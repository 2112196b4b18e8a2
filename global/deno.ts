import { isOwnDial } from "../src/own_dials.ts";
import type { Socks5Conn } from "../src/tunnel/socks5_conn.ts";
import type { Patches } from "./patches.ts";
import type { Route } from "./route.ts";

/** What `Deno.connect()` and `Deno.connectTls()` are told. */
interface DenoWhere {
  transport?: string;
  hostname?: string;
  port: number;
  path?: string;
  caCerts?: string[];
  cert?: string;
  key?: string;
  alpnProtocols?: string[];
  signal?: AbortSignal;
}

type Connect = (where: DenoWhere) => Promise<unknown>;

/** Sends `Deno.connect()` and `Deno.connectTls()` through the proxy, and refuses what cannot be. */
export function patchDeno(patches: Patches, route: Route, deno: object): void {
  const isDirect = ({ transport, path, hostname = "127.0.0.1", port }: DenoWhere) =>
    isOwnDial() || (transport ?? "tcp") !== "tcp" || path !== undefined || route.isDirect(hostname, port);
  patches.set(deno, "connect", (connect: Connect) => async (where: DenoWhere) => {
    return isDirect(where) ? await connect.call(deno, where) : shaped(await through(where));
  });
  patches.set(deno, "connectTls", (connect: Connect) => async (where: DenoWhere) => {
    if (isDirect(where)) return await connect.call(deno, where);
    const { hostname: serverName, caCerts, cert, key, alpnProtocols } = where;
    const conn = await through(where);
    return shaped(await conn.startTls({ serverName, caCerts, cert, key, alpnProtocols }));
  });
  type Start = (conn: object, options?: { hostname?: string; caCerts?: string[]; alpnProtocols?: string[] }) => unknown;
  patches.set(deno, "startTls", (startTls: Start) => async (conn: object, options: Parameters<Start>[1] = {}) => {
    if (!tunnels.has(conn)) return await startTls.call(deno, conn, options);
    const { hostname: serverName, caCerts, alpnProtocols } = options;
    return shaped(await (conn as Socks5Conn).startTls({ serverName, caCerts, alpnProtocols }));
  });
  patches.refuse(deno, "listenDatagram", "Deno.listenDatagram()", "associate() of the client");
  patches.refuse(deno, "connectQuic", "Deno.connectQuic()");
  patches.refuse(deno, "resolveDns", "Deno.resolveDns()", "resolve() of the client with tor");

  function through({ hostname = "127.0.0.1", port, signal }: DenoWhere): Promise<Socks5Conn> {
    return route.connect({ hostname, port }, { signal });
  }
}

const tunnels = new WeakSet<object>();

/** A tunnel with what a `Deno.TcpConn` has besides. */
function shaped(conn: Socks5Conn): Socks5Conn {
  const { hostname, port } = conn.boundAddress;
  const [, host, number] = /^\[?([^\]]*?)\]?:(\d+)$/.exec(conn.target) ?? [];
  tunnels.add(conn);
  return Object.assign(conn, {
    localAddr: { transport: "tcp", hostname, port },
    remoteAddr: { transport: "tcp", hostname: host, port: Number(number) },
    setNoDelay() {},
    setKeepAlive() {},
    handshake: () => Promise.resolve({ alpnProtocol: conn.alpnProtocol }),
  });
}
