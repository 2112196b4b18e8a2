import dgram from "node:dgram";
import dns from "node:dns";
import dnsPromises from "node:dns/promises";
import https from "node:https";
import { syncBuiltinESMExports } from "node:module";
import net, { isIP, type Socket } from "node:net";
import { addAbortSignal, type Duplex } from "node:stream";
import tls, { type ConnectionOptions, type TLSSocket } from "node:tls";
import { type SecureOptions, secureOver, Sessions } from "../agent/secure.ts";
import { isOwnDial, ownDatagrams, ownDial } from "../src/own_dials.ts";
import { type Patches, refusal } from "./patches.ts";
import type { Route } from "./route.ts";

/** What `net.connect()` and `tls.connect()` are told. */
interface Where {
  host?: string | undefined;
  port?: number | string | undefined;
  path?: string | undefined;
  socket?: unknown;
  allowHalfOpen?: boolean;
  onread?: unknown;
  signal?: AbortSignal;
  timeout?: number;
}

type Listener = () => void;

/** Sends `node:net`, `node:tls`, `node:http`, `node:https` and `node:http2` through the proxy, on every runtime. */
export function patchNode(patches: Patches, route: Route): void {
  patches.also(syncBuiltinESMExports); // the last one in the end, once all is put back
  // everything of node:net ends here, by whatever name it was imported
  patches.set(net.Socket.prototype, "connect", (connect: (...args: unknown[]) => unknown) => {
    return function (this: Socket, ...args: unknown[]): unknown {
      const isFactory = Array.isArray(args[0]); // what net.connect() gives, whose result this is then
      const [where, listener] = isFactory ? args[0] as [Where, Listener?] : parse(args);
      const isElsewhere = isOwnDial() || where.path || where.socket;
      if (isElsewhere) return connect.apply(this, args);
      const { hostname, port } = targetOf(where);
      if (route.isDirect(hostname, port)) return ownDial(() => connect.apply(this, args));
      if (this instanceof tls.TLSSocket) {
        throw refusal("tls.connect() by its own name", 'that of import tls from "node:tls"');
      }
      if (!isFactory) throw refusal("new net.Socket().connect()", "net.connect(), or toDuplex() of ./agent");
      if (where.onread) throw refusal("net.connect() with onread", "it without");
      this.destroy();
      const stream = route.open(hostname, port, where.allowHalfOpen);
      if (where.timeout) stream.setTimeout(where.timeout);
      if (where.signal) addAbortSignal(where.signal, stream);
      return typeof listener === "function" ? stream.once("connect", listener) : stream;
    };
  });
  patches.set(tls, "connect", (connect: typeof tls.connect) => {
    return (...args: unknown[]): TLSSocket => {
      const [where, listener] = parse(args);
      const { hostname, port } = targetOf(where);
      const isElsewhere = isOwnDial() || where.socket || where.path || route.isDirect(hostname, port);
      if (isElsewhere) return ownDial(() => (connect as (...args: unknown[]) => TLSSocket)(...args));
      const servername = (where as ConnectionOptions).servername ?? (isIP(hostname) === 0 ? hostname : "");
      const options = { ...where, host: hostname, servername } as SecureOptions;
      const socket = secureOver(route.open(hostname, port), options, NO_SESSIONS);
      return listener === undefined ? socket : socket.once("secureConnect", listener);
    };
  });
  const sessions = new Sessions(100);
  type Create = (options: Where, listener?: Listener) => Duplex;
  patches.set(https.Agent.prototype, "createConnection", (create: Create) => {
    return function (this: unknown, options: Where & { socketPath?: string }, listener?: Listener): Duplex {
      const { hostname, port } = targetOf(options);
      const isElsewhere = isOwnDial() || options.socketPath || options.socket || route.isDirect(hostname, port);
      if (isElsewhere) return ownDial(() => create.call(this, options, listener));
      return secureOver(route.open(hostname, port), options as SecureOptions, sessions);
    };
  });
  patchDns(patches);
  for (const name of ["send", "connect"]) {
    patches.set(dgram.Socket.prototype, name, (original: (...args: unknown[]) => unknown) => {
      return function (this: object, ...args: unknown[]): unknown {
        if (!ownDatagrams.has(this)) throw refusal("node:dgram", "associate() of the client");
        return original.apply(this, args);
      };
    });
  }
  syncBuiltinESMExports(); // for who imported names of it, on Node
}

const NO_SESSIONS = new Sessions(0);

const LOOKUPS = /^(lookup|lookupService|reverse|resolve\w*)$/;

/** Names would reach the resolver of this machine. */
function patchDns(patches: Patches): void {
  const { Resolver } = dns;
  const all = [dns, dns.promises, dnsPromises, Resolver.prototype, dns.promises.Resolver.prototype];
  for (const of of new Set<object>(all)) {
    for (const name of Object.getOwnPropertyNames(of).filter((name) => LOOKUPS.test(name))) {
      patches.set(of, name, (original: (...args: unknown[]) => unknown) => {
        return function (this: unknown, ...args: unknown[]): unknown {
          if (!isOwnDial() && !isLocal(args[0])) {
            throw refusal(`${name}() of node:dns`, "resolve() of the client with tor");
          }
          return original.apply(this, args);
        };
      });
    }
  }
}

/** What nobody is asked for, such as the address of a server that listens. */
function isLocal(name: unknown): boolean {
  return !name || (typeof name === "string" && (isIP(name) !== 0 || name === "localhost"));
}

/** The forms of `net.connect()` and `tls.connect()`. */
function parse(args: unknown[]): [Where, Listener | undefined] {
  const last = args.at(-1);
  const listener = typeof last === "function" ? last as Listener : undefined;
  const [first, second, third] = args;
  if (typeof first === "object" && first !== null) return [first as Where, listener];
  if (typeof first === "string" && Number.isNaN(Number(first))) return [{ path: first }, listener];
  const options = [second, third].find((it) => typeof it === "object" && it !== null) as Where | undefined;
  const host = typeof second === "string" ? second : undefined;
  return [{ ...options, port: first as number, ...(host !== undefined && { host }) }, listener];
}

function targetOf({ host, port }: Where): { hostname: string; port: number } {
  return { hostname: host || "localhost", port: Number(port) };
}
