import type {
  Conn,
  DatagramHandlers,
  DatagramSocket,
  Endpoint,
  OwnedDialOptions,
  OwnedTransport,
  TlsOptions,
  Transport,
} from "../src/transport.ts";
import { type Needs, setRuntime } from "../src/runtime.ts";
import { checkTls, claimRequest, isWorkers, startNoTls } from "./workers/platform.ts";

let transport: Transport | undefined;
let loading: Promise<Transport> | undefined;

/** Opens connections with the running runtime's own API; the adapter is loaded at the first connect. */
export const runtimeTransport: OwnedTransport = {
  usesOwner: true,
  connect(to: Endpoint, options?: OwnedDialOptions): Promise<Conn> {
    if (transport) return transport.connect(to, options);
    return (loading ??= load()).then((transport) => transport.connect(to, options));
  },
  async lookup(hostname: string, options?: { signal?: AbortSignal | undefined }): Promise<readonly string[]> {
    runtimeName();
    return await (await import("./dns.ts")).lookup(hostname, options);
  },
  async openDatagrams(isIpv6: boolean, handlers: DatagramHandlers): Promise<DatagramSocket> {
    return await (await import("./udp_socket.ts")).openDatagrams(isIpv6, handlers);
  },
};

/** It resolves no names and carries no datagrams there. */
const onWorkers: OwnedTransport = { usesOwner: true, connect: runtimeTransport.connect };

setRuntime({
  get transport() {
    return isWorkers() ? onWorkers : runtimeTransport;
  },
  startTls,
  load: loadRuntime,
  checkTls: (name, options) => isWorkers() && checkTls(name, options),
  claim: claimRequest,
}, true);

async function loadRuntime({ connect, lookup, tls }: Needs): Promise<void> {
  const name = connect || lookup || tls ? runtimeName() : undefined;
  await Promise.all([
    connect && !transport && (loading ??= load()),
    ...(name === "Workers" ? [] : [
      lookup && import("./dns.ts").then(({ loadDns }) => loadDns()),
      tls && import("./tls.ts"),
      tls && name === "Bun" && import("./bun/tls.ts"),
    ]),
  ]);
}

/** Starts TLS on any connection, for those that cannot themselves; loaded at its first use. */
async function startTls(conn: Conn, options: TlsOptions): Promise<Conn> {
  if (runtimeName() === "Workers") return await startNoTls(conn);
  const { startTlsOver } = await import("./tls.ts");
  return await startTlsOver(conn, options);
}

/**
 * The runtime that this is. Deno, Bun and Workers come first, since they have what Node has; and Node and Bun may have a
 * stand-in for `Deno`.
 *
 * @throws {TypeError} If it is none of them, such as a browser.
 */
export function runtimeName(): "Deno" | "Bun" | "Workers" | "Node" {
  const { Deno, Bun, process } = globalThis as {
    Deno?: { version?: { deno?: string } };
    Bun?: { version?: string };
    process?: { versions?: { node?: string } };
  };
  if (Deno?.version?.deno) return "Deno";
  if (Bun?.version) return "Bun";
  if (isWorkers()) return "Workers";
  if (process?.versions?.node) return "Node";
  throw new TypeError(
    "Cannot connect: SOCKS5 needs the sockets of Deno, Bun, Node or Workers, and this is none of them",
  );
}

async function load(): Promise<Transport> {
  try {
    // literal import() calls: nothing else is rewritten for npm
    const name = runtimeName();
    if (name === "Deno") transport = (await import("./deno/mod.ts")).denoTransport;
    else if (name === "Bun") transport = (await import("./bun/mod.ts")).bunTransport;
    else if (name === "Workers") transport = (await import("./workers/mod.ts")).workersTransport;
    else transport = (await import("./node/mod.ts")).nodeTransport;
    return transport;
  } finally {
    loading = undefined; // a failed import is tried again
  }
}
