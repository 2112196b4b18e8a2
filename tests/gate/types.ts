// Compiled against the packed types and never run.
import { Socks5Client, type Socks5Conn, TargetError } from "@x/socks5";
import { nodeTransport } from "@x/socks5/node";
import type net from "node:net";

export async function rawSocket(proxy: string): Promise<net.Socket> {
  const client = new Socks5Client(proxy, { transport: nodeTransport, retry: 0 });
  const conn = await client.connect("example.com:443", { signal: AbortSignal.timeout(1_000) });
  return conn.detach().socket;
}

export function readable(conn: Socks5Conn): ReadableStream<Uint8Array<ArrayBuffer>> {
  return conn.readable;
}

export function refusal(error: unknown): number | null {
  return error instanceof TargetError ? error.rep : null;
}

// @ts-expect-error a target is not a number
export const wrong: Promise<Socks5Conn> = new Socks5Client("socks5h://127.0.0.1").connect(443);
