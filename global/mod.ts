/**
 * Sends the connections of this process through a SOCKS5 proxy: the global `fetch` and `WebSocket`, `node:http`,
 * `node:https`, `node:http2`, `node:net` and `node:tls`, `Deno.connect`. What cannot be sent through it is refused.
 *
 * Preloaded with the variable `SOCKS5_PROXY`, it does so by itself: `node --import @x/socks5/global`,
 * `bun --preload @x/socks5/global`, `deno run --preload jsr:@x/socks5/global`.
 *
 * @module
 */
import process from "node:process";
import { runtimeName } from "../adapters/runtime.ts";
import { createFetch } from "../fetch/mod.ts";
import { checkOptions, type Known } from "../src/arguments.ts";
import { type Bypass, parseBypass } from "../src/bypass.ts";
import { clientOf, type ClientOrProxy } from "../src/client_of.ts";
import type { Socks5Options } from "../src/config/options.ts";
import { ownDial } from "../src/own_dials.ts";
import type { TlsOptions } from "../src/transport.ts";
import { createWebSocket } from "../websocket/mod.ts";
import { patchBun } from "./bun.ts";
import { patchDeno } from "./deno.ts";
import { patchNode } from "./node.ts";
import { Patches } from "./patches.ts";
import { Route } from "./route.ts";

export type { Bypass, BypassTarget } from "../src/bypass.ts";
export type { ClientLike, ClientOrProxy } from "../src/client_of.ts";

/** The options of {@linkcode install}. */
export interface InstallOptions {
  /** Which targets are connected to directly. It never follows from a failure. Default: none. */
  bypass?: Bypass | undefined;
  /** The options of TLS of `fetch` and `WebSocket`. Default: the certificate authorities of the runtime. */
  tls?: Pick<TlsOptions, "caCerts" | "cert" | "key"> | undefined;
  /** The options of the client that is made for a proxy. Not together with a `Socks5Client`. Default: those of the client. */
  client?: Socks5Options | undefined;
}

interface Installed {
  readonly patches: Patches;
  readonly isAutomatic: boolean;
  close(): Promise<void>;
}

let installed: Installed | undefined;

/**
 * Sends the connections of this process through a proxy, from now on: those of every library that uses the global `fetch`
 * and `WebSocket`, `node:http`, `node:https`, `node:http2`, `node:net`, `node:tls` or `Deno.connect()`. Unix sockets and
 * servers stay as they are. What cannot be sent through the proxy throws an error that says so: UDP, lookups of names, `new
 * net.Socket().connect()`, `Bun.connect()` and more, which `docs/global.md` lists. Call it before anything else: what was
 * taken before, such as a `fetch` in a variable on Deno, is not caught; nor are child processes without the flag.
 *
 * @param proxy A proxy as the constructor of `Socks5Client` takes it, or a `Socks5Client`, which the caller closes. A
 * transport of your own over `node:net` opens its connections by {@linkcode unproxied}.
 * @throws {TypeError} If it is installed already, except by preloading; if the proxy or an option is malformed; or if the
 * runtime is neither Deno nor Bun nor Node.
 */
export function install(proxy: ClientOrProxy, options: InstallOptions = {}): void {
  begin(proxy, options, false);
}

/** Puts everything back as it was, and closes what is open by `fetch` and `WebSocket` and the client that was made. */
export async function uninstall(): Promise<void> {
  const last = installed;
  installed = undefined;
  last?.patches.undo();
  await last?.close();
}

/**
 * Opens something directly although the process goes through a proxy: for a transport of your own.
 *
 * @param open Called at once; what it connects before it returns goes directly.
 * @example
 * ```ts
 * import net from "node:net";
 * import { unproxied } from "jsr:@x/socks5/global";
 *
 * const socket = unproxied(() => net.connect(1080, "proxy.example"));
 * socket.on("error", () => {}).destroy();
 * ```
 */
export function unproxied<T>(open: () => T): T {
  return ownDial(open);
}

const OPTIONS: Known<InstallOptions> = { bypass: true, tls: true, client: true };

function begin(proxy: ClientOrProxy, options: InstallOptions, isAutomatic: boolean): void {
  if (installed !== undefined && !installed.isAutomatic) {
    throw new TypeError("Cannot install a proxy for this process: there is one already, call uninstall() before");
  }
  const { bypass, tls = {}, client: clientOptions } = checkOptions("the options of install()", options, OPTIONS);
  const runtime = runtimeName();
  if (runtime === "Workers") throw new TypeError("Cannot install a proxy for this process: Workers have none");
  const bypasses = parseBypass(bypass);
  const { client, close: closeClient } = clientOf(proxy, clientOptions);
  void uninstall();
  const route = new Route(client, bypasses);
  const fetch = createFetch(client, { tls, bypass });
  const WebSocket = createWebSocket(route, { tls });
  const patches = new Patches();
  patches.set(globalThis, "fetch", () => fetch);
  patches.set(globalThis, "WebSocket", () => WebSocket);
  for (const name of ["EventSource", "WebSocketStream", "WebTransport"]) {
    patches.refuse(globalThis, name, name, "fetch()");
  }
  patchNode(patches, route);
  const { Deno, Bun } = globalThis as { Deno?: object; Bun?: object };
  if (runtime === "Deno") patchDeno(patches, route, Deno!);
  if (runtime === "Bun") patchBun(patches, Bun!);
  const close = async () => {
    await Promise.all([fetch.close(), WebSocket.close()]);
    await closeClient();
  };
  installed = { patches, isAutomatic, close };
}

/** Reads the variable, without a question on Deno. */
function variable(name: string): string | undefined {
  type Permissions = { querySync(it: { name: string; variable: string }): { state: string } };
  const { Deno } = globalThis as { Deno?: { permissions?: Permissions } };
  const state = Deno?.permissions?.querySync?.({ name: "env", variable: name }).state ?? "granted";
  return state === "granted" ? process.env?.[name] : undefined;
}

const PRELOADED = /--(import|preload|require)[= ]\S*(socks5\S*\/global|\/global\/mod\.[jt]s)(\s|$)/;

const proxyOfProcess = variable("SOCKS5_PROXY");
const flags = [...process.execArgv ?? [], variable("NODE_OPTIONS"), variable("BUN_OPTIONS")].join(" ");
if (proxyOfProcess) begin(proxyOfProcess, {}, true);
else if (PRELOADED.test(flags)) {
  throw new TypeError("Cannot send this process through a proxy: the variable SOCKS5_PROXY is not set");
}
