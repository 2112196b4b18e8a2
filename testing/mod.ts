/**
 * A SOCKS5 proxy for tests: it listens on loopback, connects targets to where the test wants, fails on demand, and logs
 * what clients sent. It serves any client, not only this package's.
 *
 * @module
 */
import type { TestProxyOptions } from "./options.ts";
import { parseOptions } from "./parse_options.ts";
import { LoopbackProxy, type TestProxy } from "./proxy.ts";

export type { FleetChanges, FleetLease, FleetStore, FleetSuspension } from "../src/proxies/fleet_store.ts";
export type { Bytes, Endpoint } from "../src/transport.ts";
export type { TestEnding, TestFault, TestStep, TestSteps } from "./faults.ts";
export { createTestFleet, type TestFleet, type TestFleetFault } from "./fleet.ts";
export { createGate, type TestGate } from "./gate.ts";
export type { TestConnection, TestCredentials, TestRequest } from "./log.ts";
export type { TestDatagram, TestFaults, TestProxyOptions, TestRule, TestUdp } from "./options.ts";
export type { TestProxy } from "./proxy.ts";
export { encodeReply, type ReplyFields } from "./reply.ts";

/**
 * Starts a proxy. By default it listens on a free port of 127.0.0.1, asks for no password and connects to loopback alone.
 * The caller must close it: an open one keeps the process alive, unless `unref()` was called.
 *
 * @throws {TypeError} If an option is malformed or unknown.
 * @throws {RangeError} If a number is out of range.
 * @throws The runtime's own error if it cannot listen.
 *
 * @example A client against it, and what it sent
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Socks5Client } from "jsr:@x/socks5";
 * import { createTestProxy } from "jsr:@x/socks5/testing";
 *
 * const proxy = await createTestProxy({
 *   credentials: { username: "user", password: "pass" },
 *   rules: { "echo.test:7": "echo" },
 * });
 * const conn = await new Socks5Client(proxy.url).connect("echo.test:7");
 * await conn.write(new TextEncoder().encode("ping"));
 * const answer = new Uint8Array(4);
 * assertEquals(await conn.read(answer), 4);
 * conn.close();
 * await proxy.until(() => proxy.open === 0);
 *
 * const [log] = proxy.connections;
 * assertEquals(log?.methods, [0, 2]);
 * assertEquals(log?.credentials, { username: "user", password: "pass" });
 * assertEquals(log?.request, { cmd: 1, atyp: 3, hostname: "echo.test", port: 7 });
 * assertEquals([log?.sent, log?.delivered, log?.endedBy], [4, 4, "client"]);
 * await proxy.close();
 * ```
 *
 * @example The first connection is reset, the second works
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Socks5Client } from "jsr:@x/socks5";
 * import { createTestProxy } from "jsr:@x/socks5/testing";
 *
 * const proxy = await createTestProxy({
 *   rules: { "echo.test:7": "echo" },
 *   faults: [{ fault: "reset", at: "negotiate" }],
 * });
 * const conn = await new Socks5Client(proxy.url).connect("echo.test:7");
 * assertEquals(proxy.connections.map((it) => it.step), ["negotiate", "transfer"]);
 * conn.close();
 * await proxy.close();
 * ```
 */
export async function createTestProxy(options: TestProxyOptions = {}): Promise<TestProxy> {
  const proxy = new LoopbackProxy(parseOptions(options));
  await proxy.start();
  return proxy;
}
