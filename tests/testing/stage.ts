import { assertEquals } from "@std/assert";
import { connectRaw, type RawClient } from "../support/raw_client.ts";
import { createTestProxy, type TestProxy, type TestProxyOptions } from "../../testing/mod.ts";
import type * as targets from "../support/targets.ts";

const ascii = (said: string): Uint8Array => new TextEncoder().encode(said);
const GREETING = Uint8Array.of(5, 1, 0);
const bytes = (...values: number[]): Uint8Array => Uint8Array.of(...values);

export async function withProxy(options: TestProxyOptions, use: (proxy: TestProxy) => Promise<void>): Promise<void> {
  const proxy = await createTestProxy(options);
  try {
    await use(proxy);
  } finally {
    await proxy.close();
  }
}

export async function withTarget(
  start: () => Promise<targets.Target>,
  use: (target: targets.Target) => Promise<void>,
): Promise<void> {
  const target = await start();
  try {
    await use(target);
  } finally {
    await target.close();
  }
}

export function withTargetAndProxy(
  start: () => Promise<targets.Target>,
  options: TestProxyOptions,
  use: (target: targets.Target, proxy: TestProxy) => Promise<void>,
): Promise<void> {
  return withTarget(start, (target) => withProxy(options, (proxy) => use(target, proxy)));
}

export function requestTo(hostname: string, port: number): Uint8Array {
  const dstPort = [port >> 8, port & 0xff];
  if (/^[\d.]+$/.test(hostname)) return Uint8Array.of(5, 1, 0, 1, ...hostname.split(".").map(Number), ...dstPort);
  if (!hostname.includes(":")) {
    return Uint8Array.of(5, 1, 0, 3, hostname.length, ...ascii(hostname), ...dstPort);
  }
  const address = {
    "::1": [...new Array(15).fill(0), 1],
    "2001:db8::1": [0x20, 1, 0xd, 0xb8, ...new Array(11).fill(0), 1],
  };
  return Uint8Array.of(5, 1, 0, 4, ...address[hostname as keyof typeof address], ...dstPort);
}

export async function openTunnel(
  proxy: TestProxy,
  hostname: string,
  port: number,
  replyLength = 10,
): Promise<RawClient> {
  const client = await connectRaw(proxy.endpoint);
  await client.write(GREETING);
  await client.read(2);
  await client.write(requestTo(hostname, port));
  assertEquals((await client.read(replyLength)).slice(0, 2), bytes(5, 0));
  return client;
}

export function text(received: Uint8Array): string {
  return new TextDecoder().decode(received);
}
