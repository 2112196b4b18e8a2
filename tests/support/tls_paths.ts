import { bunTransport } from "../../adapters/bun/mod.ts";
import { denoTransport } from "../../adapters/deno/mod.ts";
import { nodeTransport } from "../../adapters/node/mod.ts";
import { startTlsOver } from "../../adapters/tls.ts";
import type { Conn, TlsOptions, Transport } from "../../src/transport.ts";

/** A way in which TLS is started. */
export interface Path {
  name: string;
  transport: Transport;
  start(conn: Conn, options: TlsOptions): Promise<Conn>;
}

const start: Path["start"] = (conn, options) => conn.startTls!(options);

/** Those of the running runtime. */
export const paths: Path[] = [
  { name: "nodeTransport", transport: nodeTransport, start },
  { name: "startTlsOver", transport: nodeTransport, start: startTlsOver },
];
if ("Deno" in globalThis) paths.push({ name: "denoTransport", transport: denoTransport, start });
if ("Bun" in globalThis) paths.push({ name: "bunTransport", transport: bunTransport, start });
