import { assertEquals, assertInstanceOf } from "@std/assert";
import { nodeTransport } from "../../adapters/node/mod.ts";
import { type Socks5Client, type Socks5Conn, Socks5Error, type Socks5Options } from "../../mod.ts";
import { bytes, readFull, text } from "./contract.ts";
import { createTestProxy, type TestProxy, type TestProxyOptions } from "../../testing/mod.ts";
import { startEcho, type Target } from "./targets.ts";

/** The running runtime's own transport and, where that is another one, node:net. */
export const TRANSPORTS: Record<string, Socks5Options> = {
  "own transport": {},
  ...(("Deno" in globalThis || "Bun" in globalThis) && { "node:net": { transport: nodeTransport } }),
};

/** Runs `use` with a proxy, at which nothing may be open in the end. */
export async function withProxy(options: TestProxyOptions, use: (proxy: TestProxy) => Promise<void>): Promise<void> {
  const proxy = await createTestProxy(options);
  try {
    await use(proxy);
    await proxy.until(() => proxy.open === 0);
  } finally {
    await proxy.close();
  }
}

/** Runs `use` with a target, which nobody may be connected to in the end. */
export async function withTarget<T extends Target>(
  starting: Promise<T>,
  use: (target: T) => Promise<void>,
): Promise<void> {
  const target = await starting;
  try {
    await use(target);
    await target.until(() => target.open === 0);
  } finally {
    await target.close();
  }
}

/** As {@linkcode withProxy}, with a target that echoes. */
export async function withEcho(
  options: TestProxyOptions,
  use: (proxy: TestProxy, echo: Target) => Promise<void>,
): Promise<void> {
  const echo = await startEcho();
  try {
    await withProxy(options, (proxy) => use(proxy, echo));
    await echo.until(() => echo.open === 0);
  } finally {
    await echo.close();
  }
}

/** Fails if a client holds a connection, or somebody waits for one. */
export function assertNothingOpen(client: Socks5Client): void {
  const { opening, inUse, idle, waiting } = client.stats();
  assertEquals({ opening, inUse, idle, waiting }, { opening: 0, inUse: 0, idle: 0, waiting: 0 });
}

/** The error that a connect is rejected with, which must be one of ours. */
export async function failure(promise: Promise<unknown>): Promise<Socks5Error> {
  const error = await promise.then(() => "it succeeded", (error: unknown) => error);
  assertInstanceOf(error, Socks5Error, String(error));
  return error;
}

/** Sends something to an echo and waits until it is back. */
export async function assertEchoes(conn: Socks5Conn, said = "ping"): Promise<void> {
  await conn.write(bytes(said));
  assertEquals(text(await readFull(conn, said.length)), said);
}
