import { startTlsOver } from "../../adapters/tls.ts";
import { certificates } from "../support/certificates.ts";
import { contract } from "../support/contract.ts";
import { tlsPairOf } from "../support/tls_targets.ts";
import { paths } from "../support/tls_paths.ts";

const options = { serverName: "localhost", caCerts: [certificates().authority.cert] };

// the other end is a server of the same runtime
const peers: Record<string, string> = "Deno" in globalThis
  ? { "what a slow peer does not take waits at the writer": "Deno's TLS server takes all, however slow it is read" }
  : {};

const atEnd = "Bun's node:tls over a stream closes both ways at the end of the peer";
const fallback: Record<string, string> = "Bun" in globalThis
  ? {
    "an end after each byte is told as such": atEnd,
    "the peer's end leaves the writing side open": atEnd,
    "close() ends writes that wait, and a closeWrite() behind them": "Bun's node:tls over a stream takes a write whole",
  }
  : {};

for (const { name, transport, start } of paths) {
  contract(
    `${name} with TLS`,
    () => tlsPairOf((to) => transport.connect(to), (conn) => start(conn, options)),
    { except: { ...peers, ...(start === startTlsOver ? fallback : {}) } },
  );
}
