import type {
  Conn,
  DatagramHandlers,
  DatagramSocket,
  DialOptions,
  Endpoint,
  TlsOptions,
  Transport,
} from "../src/transport.ts";

let transport: Transport | undefined;
let loading: Promise<Transport> | undefined;

/** Opens connections with the running runtime's own API; the adapter is loaded at the first connect. */
export const runtimeTransport: Transport = {
  usesOwner: true,
  connect(to: Endpoint, options?: DialOptions): Promise<Conn> {
    if (transport) return transport.connect(to, options);
    return (loading ??= load()).then((transport) => transport.connect(to, options));
  },
  async lookup(hostname: string, options?: { signal?: AbortSignal | undefined }): Promise<readonly string[]> {
    return await (await import("./lookup.ts")).lookup(hostname, options);
  },
  async openDatagrams(isIpv6: boolean, handlers: DatagramHandlers): Promise<DatagramSocket> {
    return await (await import("./datagrams.ts")).openDatagrams(isIpv6, handlers);
  },
};

/** What {@linkcode loadRuntime} loads the code for. */
export interface Needs {
  readonly connect: boolean;
  readonly lookup: boolean;
  readonly tls: boolean;
}

/** Loads what is otherwise loaded at its first use, so that the time of it is not taken for that of a proxy. */
export async function loadRuntime({ connect, lookup, tls }: Needs): Promise<void> {
  await Promise.all([
    connect && !transport && (loading ??= load()),
    lookup && import("./lookup.ts").then(({ loadDns }) => loadDns()),
    tls && import("./tls.ts"),
    tls && isBun() && import("./bun_tls.ts"),
  ]);
}

/** Starts TLS on any connection, for those that cannot themselves; loaded at its first use. */
export async function runtimeStartTls(conn: Conn, options: TlsOptions): Promise<Conn> {
  const { startTlsOver } = await import("./tls.ts");
  return await startTlsOver(conn, options);
}

async function load(): Promise<Transport> {
  try {
    // literal import() calls: nothing else is rewritten for npm, and Node and Bun may have a stand-in for `Deno`
    if (isDeno()) transport = (await import("./deno.ts")).denoTransport;
    else if (isBun()) transport = (await import("./bun.ts")).bunTransport;
    else transport = (await import("./node.ts")).nodeTransport;
    return transport;
  } finally {
    loading = undefined; // a failed import is tried again
  }
}

function isDeno(): boolean {
  return Boolean((globalThis as { Deno?: { version?: { deno?: string } } }).Deno?.version?.deno);
}

function isBun(): boolean {
  return !isDeno() && Boolean((globalThis as { Bun?: { version?: string } }).Bun?.version);
}
