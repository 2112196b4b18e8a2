import { isNotPermitted } from "../attempt/explain.ts";
import type { AssociateArgs } from "../config/request_args.ts";
import { brief, ProtocolError } from "../errors.ts";
import { quietly } from "../guarded_conn.ts";
import { type Address, ATYP, formatHostPort, type Host, isPort } from "../protocol/address.ts";
import { CMD, type Reply } from "../protocol/messages.ts";
import { type AttemptScope, Scope } from "../scope.ts";
import type { DatagramHandlers, DatagramSocket, Transport } from "../transport.ts";
import type { ProxyConn } from "../tunnel/proxy_conn.ts";
import { associationError } from "../udp/association.ts";
import { type Bounds, type Relay, relayOf } from "../udp/relay_address.ts";
import { UdpAssociation } from "../udp/udp_association.ts";
import type { Core } from "./core.ts";
import { type Granted, request } from "./request.ts";

/** Asks a proxy for an association, and binds a socket for its datagrams. */
export async function associate<S>(core: Core<S>, args: AssociateArgs): Promise<UdpAssociation<S>> {
  const { from, allowPrivate, signal, timeout } = args;
  const end = performance.now() + timeout;
  let association: UdpAssociation<S> | undefined;
  let broken: { readonly cause: unknown } | undefined;
  const handlers: DatagramHandlers = {
    onDatagram: (data, from) => association?.arrived(data, from),
    onError(cause) {
      broken ??= { cause };
      association?.broke(cause);
    },
  };
  const bind = (isIpv6: boolean) => bound(core, isIpv6, handlers, { signal, timeout, end });
  let socket = from === null ? undefined : await bind(from.atyp === ATYP.IPV6);
  let granted: Granted<S> | undefined;
  try {
    const asked = socket === undefined || from === null ? args.address : addressed(from, socket.port);
    const left = { ...args, address: asked, timeout: Math.max(0, end - performance.now()) };
    granted = await request(core, CMD.UDP_ASSOCIATE, left, (granted) => granted);
    const { conn, lease } = granted;
    const relay = relayFor(conn, conn.reply!, { ...addressOf(conn), allowPrivate });
    if (from !== null && relay.isIpv6 !== (from.atyp === ATYP.IPV6)) {
      const why = `the proxy named ${relay.hostname} for datagrams, which cannot be reached from ${from.hostname}`;
      throw associationError("SOCKS5_PROXY_BAD_REPLY", "associate", why, {
        phase: "request",
        proxy: conn.proxy.name,
      });
    }
    socket ??= await bind(relay.isIpv6);
    const names = core.settings.dns === "local" ? core.transport : undefined;
    association = new UdpAssociation({ conn, lease, socket, relay, names });
    if (broken !== undefined) association.broke(broken.cause);
    return association;
  } catch (error) {
    if (socket !== undefined) void quietly(() => socket!.close());
    granted?.lease.destroy("holder");
    throw error;
  }
}

function addressed(host: Host, port: number): Address {
  return { ...host, port, name: formatHostPort(host.hostname, port) };
}

function relayFor(conn: ProxyConn, reply: Reply, bounds: Bounds): Relay {
  try {
    return relayOf(reply, bounds);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw associationError(error.code, "associate", error.message, { phase: "request", proxy: conn.proxy.name });
  }
}

/** Where the proxy really is; its host, if the transport does not tell. */
function addressOf({ conn, proxy: { endpoint } }: ProxyConn): { proxy: string; port: number } {
  const { hostname, port } = "hostname" in endpoint ? endpoint : { hostname: "", port: 0 };
  return { proxy: conn.remoteAddress ?? hostname, port };
}

/** A socket that is bound while the scope of its own lasts: the client may be closed meanwhile. */
async function bound<S>(
  core: Core<S>,
  isIpv6: boolean,
  handlers: DatagramHandlers,
  { signal, timeout, end }: { signal: AbortSignal | undefined; timeout: number; end: number },
): Promise<DatagramSocket> {
  const scope = new Scope(core.timer, signal, Math.max(0, end - performance.now()), () => {
    const why = `timed out after ${Math.round(timeout)} ms, waiting for a socket for datagrams`;
    return associationError("SOCKS5_TIMEOUT", "associate", why, { phase: "dial", proxy: null });
  });
  try {
    scope.attempt.enter("dial");
    const socket = await scope.run(open(scope.attempt, core.transport, isIpv6, handlers));
    scope.throwIfEnded();
    scope.detach();
    return socket;
  } catch (cause) {
    if (cause instanceof TypeError) scope.end(cause); // of a transport that does not do what it says
    const [code, may] = isNotPermitted(cause)
      ? ["SOCKS5_LOCAL_NOT_PERMITTED", "may not"] as const
      : ["SOCKS5_LOCAL_FAILED", "cannot"] as const;
    const why = `this process ${may} open a socket for datagrams (${brief(cause)})`;
    scope.end(associationError(code, "associate", why, { phase: "dial", proxy: null, cause }));
    throw scope.ended!.reason;
  }
}

/** Opens a socket, which the attempt owns. */
async function open(
  attempt: AttemptScope,
  transport: Transport,
  isIpv6: boolean,
  handlers: DatagramHandlers,
): Promise<DatagramSocket> {
  const socket = await transport.openDatagrams!(isIpv6, handlers);
  if (typeof socket?.send === "function" && typeof socket.close === "function" && isPort(socket.port)) {
    return attempt.own(socket);
  }
  void quietly(() => socket?.close?.());
  throw new TypeError(
    "Cannot use the result of openDatagrams() as a socket for datagrams: it has no port, send() or close()",
  );
}
