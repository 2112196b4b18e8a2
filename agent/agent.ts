import http, { Agent as HttpAgent, type ClientRequest, type ClientRequestArgs } from "node:http";
import https, { Agent as HttpsAgent, type AgentOptions } from "node:https";
import type { Duplex } from "node:stream";
import { isIP, type Socket } from "node:net";
import { setImmediate } from "node:timers";
import { ConnDuplex } from "../adapters/duplex.ts";
import { runtimeName } from "../adapters/runtime.ts";
import { refuseOnWorkers } from "../adapters/workers/platform.ts";
import { checkBoolean, checkOptions, choice } from "../src/arguments.ts";
import { type ClientLike, clientOf, type ClientOrProxy } from "../src/client_of.ts";
import type { Socks5Options } from "../src/config/options.ts";
import { type Bypass, type Bypasses, parseBypass } from "../src/bypass.ts";
import { cannot } from "../src/errors.ts";
import { identity } from "./identity.ts";
import { type SecureOptions, secureOver, Sessions } from "./secure.ts";
import { keepSession, sessionOf } from "./session.ts";
import { isDirect, keepWay, wayName } from "./way.ts";

/** The options of `https.Agent`: those of `http.Agent`, and those of TLS, which count for `https:` requests. */
export type Socks5AgentOptions = Omit<AgentOptions, "session"> & {
  /**
   * An identity that keeps its proxy, 1 to 255 bytes of UTF-8, as `connect()` of the client takes it: for requests that
   * have no `session` of their own. Requests share a connection only if their sessions are the same. Bytes are what they
   * are to `node:tls`: a session of TLS. Default: none.
   */
  session?: string | Uint8Array | undefined;
  /**
   * The options of the client that is made for a proxy. Not together with a `Socks5Client`. Default: those of the
   * client.
   */
  client?: Socks5Options | undefined;
  /**
   * Which targets are connected to directly, without the proxy: asked for each request, so for each redirect, too. It never
   * follows from a failure. Default: none.
   */
  bypass?: Bypass | undefined;
};

/** What `node:http` gives to {@linkcode Socks5Agent.addRequest}. */
type AgentRequest = ClientRequestArgs & SecureOptions;

// Stands for "none was given", which lets node:http leave it out of the Host header, as it does with an agent's own port
const NO_PORT = -1;

const /** @internal */ Agent: typeof HttpAgent = HttpAgent ?? Object; // a bundle for browsers may have none

/**
 * An agent for requests of `node:http` and `node:https`, and of the libraries that build on them. Every connection goes
 * through the proxy. A failure is the `error` of the request. If the connection failed, the error has the `code` that
 * Node uses for it (`ECONNREFUSED`, `ECONNRESET`, `ETIMEDOUT` and so on, by which libraries decide whether to retry),
 * and the `Socks5Error` as its `cause`.
 *
 * HTTP/2 does not use agents: `http2.connect()`, axios with `httpVersion: 2` and got 11 to 15 with `http2: true`
 * connect directly, whatever agent they are given. Give them connections of `toDuplex()` or of `createConnection()`.
 *
 * The agent keeps connections for later requests to the same host (`keepAlive` is on by default, as with the global
 * agents; an idle connection lets the process end). Requests share a connection only if protocol and TLS options are
 * the same, and the `session`: a text in the options of the agent or of a request is an identity that keeps its proxy.
 * For other credentials make another agent.
 *
 * The proxy resolves names: the options `lookup`, `family` and `localAddress` have no effect. An idle connection counts
 * as open (`pool.maxOpen` of the client). If a request waits for a place, the longest idle one is closed.
 *
 * The certificate of a target is always checked, unless `rejectUnauthorized` is `false` in the options of the agent or
 * of the request. The variable `NODE_TLS_REJECT_UNAUTHORIZED` has no effect.
 *
 * The agent can be both `http.globalAgent` and `https.globalAgent`, for requests without an agent of their own.
 *
 * An aborted request cancels the handshake with the proxy. The `timeout` of a request also limits the handshake,
 * instead of the client's. Until the tunnel is open, the socket of a request behaves like a `net.Socket` that connects.
 *
 * @example A request with a limit
 * ```ts
 * import { request } from "node:http";
 * import { Socks5Agent } from "jsr:@x/socks5/agent";
 *
 * const agent = new Socks5Agent("socks5h://user:pass@proxy.example:1080", { maxSockets: 10 });
 * const req = request("http://example.com/", { agent, timeout: 5_000 });
 * await new Promise((resolve, reject) => req.on("response", resolve).on("error", reject).end());
 * agent.destroy();
 * ```
 */
export class Socks5Agent extends Agent {
  /** The options that it was made with, as every agent of `node:https` has them, without `client`. */
  declare options: AgentOptions;
  readonly #client: ClientLike;
  readonly #bypasses: Bypasses | undefined;
  readonly #closeClient: () => Promise<void>;
  readonly #session: string | undefined;
  readonly #tlsSessions: Sessions;

  /**
   * Opens nothing yet.
   *
   * @param proxy A proxy as the constructor of `Socks5Client` takes it: a URL, its parts, or a list of them in the
   * order of preference (failover, not a chain). The agent makes a client for it, and `destroy()` closes that. Or a
   * `Socks5Client`, or anything else with its `connect()`: the caller must close that.
   * @param options Those of `https.Agent`, and `client` for those of the client that is made.
   * @throws {TypeError} If the proxy or an option is malformed or unknown, or if the runtime is neither Deno nor Bun
   * nor Node. The message shows nothing of a proxy.
   * @throws {RangeError} If a number in `client` is out of range.
   */
  constructor(proxy: ClientOrProxy, options: Socks5AgentOptions = {}) {
    const { client: clientOptions, bypass, ...given } = checkAgentOptions(options);
    const bypasses = parseBypass(bypass);
    const session = sessionOf(given);
    const own = (session === undefined ? given : { ...given, session: undefined }) as AgentOptions;
    const { client, close } = clientOf(proxy, clientOptions);
    runtimeName();
    refuseOnWorkers("Socks5Agent", "their node:http connects directly; use createFetch() of ./workers");
    super({ ...own, keepAlive: own.keepAlive ?? true });
    this.#client = client;
    this.#bypasses = bypasses;
    this.#closeClient = close;
    this.#session = session;
    this.#tlsSessions = new Sessions(own.maxCachedSessions ?? 100);
    // both kinds of requests look at these: without a protocol each takes the agent for one of its own
    Object.assign(this, { defaultPort: NO_PORT });
    Object.defineProperty(this, "protocol", { get: () => this.#isGlobal ? callerProtocol() : undefined });
    // a request with `agent: false` makes an agent like the global one, for itself
    const once = { ...given, bypass, keepAlive: false };
    Object.defineProperty(this, "constructor", { value: makeOne });
    function makeOne(): Socks5Agent {
      return new Socks5Agent(client, once);
    }
  }

  /** Whether requests that name no agent have this one: then they want to know what it is for. */
  get #isGlobal(): boolean {
    return http.globalAgent === this || https.globalAgent as unknown === this;
  }

  /** For `node:http`, which calls it with each request. */
  addRequest(request: ClientRequest, options: ClientRequestArgs): void {
    const { protocol } = request;
    const usual = protocol === "https:" ? 443 : 80;
    const port = Number(options.port) === NO_PORT ? usual : Number(options.port);
    if (port === Number(options.port) && port === usual) withoutPort(request, options, `:${port}`);
    limitHandshake(request);
    (request as { _retrying?: boolean })._retrying = true; // Deno would send again what was cut off, a POST too
    Object.assign(options, { protocol, port });
    keepSession(options);
    this.route(options);
    const base = Agent.prototype as unknown as { addRequest(request: ClientRequest, options: ClientRequestArgs): void };
    base.addRequest.call(this, request, options);
  }

  /** For `node:http`: the name of those connections that may serve each other's requests. */
  override getName(options: ClientRequestArgs = {}): string {
    const session = sessionOf(options) ?? this.#session;
    const name = wayName(options) + this.#nameOf(options);
    return session === undefined ? name : `${JSON.stringify(session)} ${name}`;
  }

  #nameOf(options: ClientRequestArgs): string {
    if (options.protocol !== "https:") return `http:${super.getName(options)}`;
    const { ALPNProtocols, checkServerIdentity, secureContext } = options as SecureOptions;
    const more = [ALPNProtocols?.toString(), identity(checkServerIdentity), identity(secureContext)];
    return `https:${HttpsAgent.prototype.getName.call(this as unknown as HttpsAgent, options)}:${more.join(":")}`;
  }

  /** For `node:http`: a connection through the proxy, with TLS for `https:`. */
  override createConnection(options: ClientRequestArgs): Duplex {
    const { host, port, socketPath, timeout } = options;
    // the client says that there is no way to a path
    const target = socketPath ? { path: socketPath } : { hostname: host ?? "localhost", port: Number(port) };
    const session = sessionOf(options) ?? this.#session;
    const stream = new ConnDuplex(async (signal) => {
      const client = await this.clientFor(options);
      return await client.connect(target, { signal, session, timeout: timeout || undefined });
    });
    stream.connect();
    // libraries begin to wait for the connection when the name is looked up: here it is the proxy that does
    if (host && isIP(host) === 0) setImmediate(() => stream.emit("lookup", null, host, 0, host));
    return options.protocol === "https:" ? secureOver(stream, options as AgentRequest, this.#tlsSessions) : stream;
  }

  /** Asks which way a request goes, and keeps it. */
  protected route(options: ClientRequestArgs): void {
    keepWay(options, this.#bypasses);
  }

  /** What connects for a request. */
  protected clientFor(options: ClientRequestArgs): ClientLike | Promise<ClientLike> {
    return isDirect(options, this.#bypasses) ? import("../src/direct.ts").then(({ direct }) => direct) : this.#client;
  }

  /** For `node:http`: an idle connection gives way to requests that wait for a place of the client. */
  override keepSocketAlive(socket: Duplex): boolean {
    const base = Agent.prototype as unknown as { keepSocketAlive(socket: Duplex): boolean };
    if (!base.keepSocketAlive.call(this, socket)) return false;
    (socket as Partial<ConnDuplex>).markIdle?.(() => socket.destroy());
    return !socket.destroyed;
  }

  /** For `node:http`: an idle connection is used again. */
  override reuseSocket(socket: Duplex, request: ClientRequest): void {
    (socket as Partial<ConnDuplex>).markInUse?.();
    super.reuseSocket(socket, request);
  }

  /**
   * Closes what is in use and what is idle, and the client that the agent made for a proxy: later requests fail then.
   * With a client that was given, later requests connect again, as with every agent of `node:http`.
   */
  override destroy(): void {
    // lists of their own: node:http takes what closes out of its own ones
    for (const kept of [this.sockets, this.freeSockets]) {
      for (const socket of Object.values(kept).flat()) socket?.destroy();
    }
    this.#closeClient().catch(() => {}); // nobody waits for it
  }
}

/**
 * What is asked for by whoever makes a request just now: nothing but the stack tells it, in the form of the runtime.
 */
function callerProtocol(): string {
  const { stackTraceLimit, prepareStackTrace } = Error;
  const trace = (how: object) => Object.entries(how).forEach(([name, it]) => Reflect.set(Error, name, it));
  trace({ stackTraceLimit: 10, prepareStackTrace: undefined });
  const stack = String(new Error().stack);
  trace({ stackTraceLimit, prepareStackTrace });
  return /new ClientRequest[^\n]*\n[^\n]*(node:https:|\/https\.ts:)/.test(stack) ? "https:" : "http:";
}

/** node:http counts a request's setTimeout() from `connect` on: here it limits the handshake, too. */
function limitHandshake(request: ClientRequest): void {
  const { setTimeout } = request;
  request.setTimeout = (timeout, listener) => {
    setTimeout.call(request, timeout, listener);
    const limit = (socket: Socket) => void (socket.connecting && socket.setTimeout(timeout));
    if (request.socket) limit(request.socket);
    else request.once("socket", limit);
    return request;
  };
}

/** All that `https.Agent` takes, whether or not it means anything to an agent with a proxy. */
const KNOWN: Readonly<Record<string, true>> = Object.fromEntries(
  [
    "client bypass",
    // http.Agent and https.Agent
    "keepAlive keepAliveMsecs agentKeepAliveTimeoutBuffer maxSockets maxTotalSockets maxFreeSockets maxCachedSessions",
    "scheduling timeout defaultPort protocol",
    // net.connect()
    "host port path localAddress localPort family hints lookup noDelay keepAliveInitialDelay autoSelectFamily",
    "autoSelectFamilyAttemptTimeout allowHalfOpen onread signal fd readable writable blockList highWaterMark",
    // tls.connect()
    "socket servername session checkServerIdentity rejectUnauthorized requestCert requestOCSP enableTrace minDHSize",
    "pskCallback secureContext ALPNProtocols ALPNCallback SNICallback",
    // tls.createSecureContext()
    "allowPartialTrustChain ca cert certificateCompression sigalgs ciphers clientCertEngine crl dhparam ecdhCurve",
    "honorCipherOrder key privateKeyEngine privateKeyIdentifier maxVersion minVersion passphrase pfx secureOptions",
    "secureProtocol sessionIdContext ticketKeys sessionTimeout",
  ].join(" ").split(" ").map((name) => [name, true]),
);

/** Those of the agent itself are checked here, since the errors of `node:http` show what they were given. */
function checkAgentOptions(given: Socks5AgentOptions): Socks5AgentOptions {
  const options = checkOptions("the options of Socks5Agent", given, KNOWN);
  const { keepAlive, scheduling, maxSockets, maxTotalSockets, maxFreeSockets, maxCachedSessions } = options;
  const numbers = { maxSockets, maxTotalSockets, maxFreeSockets, maxCachedSessions, timeout: options.timeout };
  for (const [name, value] of Object.entries(numbers)) {
    if (value !== undefined && typeof value !== "number") throw new TypeError(cannot(name, "a number", value));
  }
  checkBoolean("keepAlive", keepAlive);
  if (scheduling !== undefined) choice("scheduling", scheduling, ["fifo", "lifo"]);
  return options;
}

/** A Host header that node:http made says the port, unless it is the agent's: but the usual one is to be left out. */
function withoutPort(request: ClientRequest, { headers }: ClientRequestArgs, port: string): void {
  const host = request.getHeader("host");
  const isGiven = headers && Object.keys(headers).some((name) => name.toLowerCase() === "host");
  if (request.headersSent || isGiven || typeof host !== "string" || !host.endsWith(port)) return;
  request.setHeader("Host", host.slice(0, -port.length));
}
