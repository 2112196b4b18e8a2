import type { CheckReport } from "./check.ts";
import { checkBoolean, checkOptions } from "./arguments.ts";
import { type ClientConfig, type Load, parseConfig, parseList } from "./config/client_config.ts";
import type {
  AssociateOptions,
  CheckOptions,
  CommandOptions,
  ConnectOptions,
  Socks5Options,
} from "./config/options.ts";
import type { ProxySpec } from "./config/proxy_url.ts";
import {
  parseAssociate,
  parseBind,
  parseCheck,
  parseConnect,
  parseDrain,
  parseLabel,
  parseResolve,
  parseSuspend,
} from "./config/request_args.ts";
import type { Target } from "./protocol/address.ts";
import type { Core, Socks5Stats } from "./request/core.ts";
import { runtime } from "./runtime.ts";
import type { Transport } from "./transport.ts";
import type { Socks5Binding, Socks5Conn } from "./tunnel/socks5_conn.ts";
import type { Association } from "./udp/association.ts";

type Commands = typeof import("./commands.ts");

/** What clients can do, loaded by the first of them: a program that only imports the package does not wait for it. */
let commands: Commands | undefined;

/** The counts of a client that was not used yet. */
const NO_STATS = {
  opening: 0,
  inUse: 0,
  idle: 0,
  warm: 0,
  waiting: 0,
  connects: 0,
  reused: 0,
  failures: 0,
  retries: 0,
};
const NO_PROXY_STATS = {
  open: 0,
  inUse: 0,
  idle: 0,
  connects: 0,
  failures: 0,
  ms: 0,
  sent: 0,
  received: 0,
  cooldown: 0,
  suspended: [],
};

/**
 * Connects to targets through a SOCKS5 proxy, or through the first of several that works. A client has no socket and no
 * timer until it is used. It is a {@linkcode Transport} itself: given to another client as `transport`, it makes a chain.
 *
 * `S` is the type of the runtime's own socket, inferred from an explicit `transport`.
 *
 * @example A chain of two proxies
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Socks5Client } from "jsr:@x/socks5";
 *
 * const first = new Socks5Client("socks5h://user:pass@proxy.example:1080");
 * const second = new Socks5Client("socks5h://user:pass@proxy-two.example:1080", { transport: first });
 * const conn = await second.connect("example.com:80");
 * assertEquals(conn.target, "example.com:80");
 * conn.close();
 * ```
 */
export class Socks5Client<S = unknown> implements Transport<S> {
  readonly #config: ClientConfig<S>;
  #core: Core<S> | undefined;
  #claim: (() => void) | undefined;
  #loading: Promise<void> | undefined;
  /** What was said of the proxies before there was a core. */
  readonly #early: ((core: Pick<Core<unknown>, "suspend" | "resume">) => void)[] = [];

  /**
   * Checks all that it is given, and opens nothing.
   *
   * @param proxy One proxy, or a list in the order of preference, of which the first that works is used (failover). A list
   * is not a chain: for a chain, give a client as the `transport` of another.
   * @throws {TypeError} If a proxy or an option is malformed. The message shows nothing of a proxy.
   * @throws {RangeError} If a number is out of range.
   */
  constructor(proxy: ProxySpec | readonly ProxySpec[], options: Socks5Options<S> = {}) {
    const { transport, startTls, load } = runtime();
    const loadFor = (it: Transport<S>): Load => (needs) =>
      load({ connect: it === transport || it instanceof Socks5Client, ...needs });
    this.#config = parseConfig(proxy, options, { transport: transport as Transport<S>, startTls, load: loadFor });
  }

  /**
   * Opens a tunnel to the target. The caller must close it. The proxy resolves names, whatever its scheme, unless `dns`
   * is `"local"`.
   *
   * @throws {TypeError} If the target or an option is malformed, or if the runtime is none of Deno, Bun, Node and Workers
   * and no `transport` was given.
   * @throws {RangeError} If a number is out of range.
   * @throws The reason of `signal`, as it is, if that aborts.
   * @throws {ProxyError} If no proxy could be reached, or none spoke SOCKS5.
   * @throws {LocalError} If this process may not or cannot open a connection.
   * @throws {AuthError} If the proxy did not accept the credentials.
   * @throws {TargetError} If the proxy works but did not reach the target.
   * @throws {TlsError} If the TLS handshake with the target or with the proxy failed.
   * @throws {TimeoutError} If the connect took longer than `timeout`.
   * @throws {ClosedError} If the client is closed.
   *
   * @example A tunnel that is used again
   * ```ts
   * import { assert } from "@std/assert";
   * import { Socks5Client } from "jsr:@x/socks5";
   *
   * const client = new Socks5Client("socks5h://user:pass@proxy.example:1080");
   * const first = await client.connect("echo.example:7", { reuse: true });
   * first.release();
   * const second = await client.connect("echo.example:7", { reuse: true });
   * assert(second.reused);
   * await client.close();
   * ```
   */
  connect(target: Target, options?: ConnectOptions): Promise<Socks5Conn<S>> {
    return this.#ask(() => parseConnect(this.#config, target, options), (it, core, args) => it.connect(core, args));
  }

  /**
   * Has the proxy listen for one peer (BIND, RFC 1928 section 4), such as an FTP server in active mode: tell the peer the
   * `address`, then `accept()`. A binding counts as a connect and takes a place in the pool. The caller must close it.
   *
   * @param peer The host and port that is expected to connect. Proxies refuse others, or compare the host only. Where the
   * proxy allows it, 0.0.0.0 is any host and port 0 is any port.
   * @throws As {@linkcode Socks5Client.connect}; a proxy without BIND is a {@linkcode TargetError}.
   *
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { connect } from "node:net";
   * import { Socks5Client } from "jsr:@x/socks5";
   *
   * const client = new Socks5Client("socks5h://user:pass@proxy.example:1080");
   * const binding = await client.bind("127.0.0.1:0");
   * const { hostname, port } = binding.address; // to be told to the peer, which here is this program
   * connect(port, hostname).end("hello");
   * const conn = await binding.accept();
   * assertEquals(conn.peer.hostname, "127.0.0.1");
   * assertEquals(await new Response(conn.readable).text(), "hello");
   * conn.close();
   * ```
   */
  bind(peer: Target, options?: CommandOptions): Promise<Socks5Binding<S>> {
    return this.#ask(() => parseBind(this.#config, peer, options), (it, core, args) => it.bind(core, args));
  }

  /**
   * Asks tor for an address of a host name (its command RESOLVE). Other proxies do not support it. Counts as a connect.
   *
   * @returns An IPv4 or IPv6 address.
   * @throws As {@linkcode Socks5Client.connect}; {@linkcode TargetError} if the proxy is not tor.
   *
   * @example A name, its address, and the name of that
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { Socks5Client } from "jsr:@x/socks5";
   *
   * const client = new Socks5Client("socks5h://proxy.example:1080");
   * const address = await client.resolve("example.com");
   * assertEquals(await client.resolvePtr(address), "example.com");
   * ```
   */
  resolve(name: string, options?: CommandOptions): Promise<string> {
    return this.#resolve(name, "name", options);
  }

  /**
   * Asks tor for the name of an IPv4 or IPv6 address (its command RESOLVE_PTR).
   *
   * @returns A host name: letters, digits, `-`, `_` and dots, whatever the proxy sent.
   * @throws As {@linkcode Socks5Client.resolve}; {@linkcode ProxyError} with `SOCKS5_PROXY_BAD_REPLY` if the proxy sent
   * anything else; {@linkcode TypeError} if `address` is not an IP address.
   */
  resolvePtr(address: string, options?: CommandOptions): Promise<string> {
    return this.#resolve(address, "address", options);
  }

  /**
   * Asks a proxy to carry datagrams (UDP ASSOCIATE, RFC 1928 section 7), with the same failover as a connect. Many proxies
   * refuse, with `SOCKS5_TARGET_BAD_COMMAND` or `_NOT_ALLOWED`. One association serves all targets and takes one place in
   * the pool. The caller must close it. It does not work through a chain or a unix socket.
   *
   * @throws As {@linkcode Socks5Client.connect}; {@linkcode TypeError} if the transport or a proxy cannot carry datagrams;
   * {@linkcode ProxyError} with `SOCKS5_PROXY_BAD_REPLY` if the relay that the proxy named cannot or may not be used.
   */
  associate(options?: AssociateOptions): Promise<Association> {
    return this.#ask(() => parseAssociate(this.#config, options), (it, core, args) => it.associate(core, args));
  }

  /**
   * Tests each proxy on a connection of its own, outside the pool: whether it is reachable, speaks SOCKS5, accepts the
   * credentials and, with a target, whether bytes come from that. Failures are reported, not thrown.
   *
   * @returns One report for each proxy, in the order of the list.
   * @throws {TypeError} If an argument is malformed.
   * @throws {RangeError} If a number is out of range.
   *
   * @example Reachable, and are the credentials right?
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { Socks5Client } from "jsr:@x/socks5";
   *
   * const client = new Socks5Client(["socks5h://user:pass@proxy.example:1080", "socks5h://down.example:1080"]);
   * const reports = await client.check();
   * assertEquals(reports.map((report) => report.verdict), ["ok", "proxy-down"]);
   * ```
   */
  check(target?: Target, options?: CheckOptions): Promise<CheckReport[]> {
    return this.#ask(() => parseCheck(this.#config, target, options), (it, core, args) => it.check(core, args));
  }

  /**
   * The number of connections that are open now, and what was counted since the client was made.
   *
   * @example
   * ```ts
   * import { assertEquals } from "@std/assert";
   * import { Socks5Client } from "jsr:@x/socks5";
   *
   * const client = new Socks5Client("socks5h://user:pass@proxy.example:1080");
   * const conn = await client.connect("example.com:80");
   * assertEquals(client.stats().inUse, 1);
   * conn.close();
   * ```
   */
  stats(options?: { sessions?: boolean }): Socks5Stats {
    const { sessions } = checkOptions("the options of stats()", options, { sessions: true });
    checkBoolean("sessions", sessions);
    if (this.#core !== undefined) return this.#core.stats({ sessions: sessions ?? false });
    const proxies = this.#config.proxies.map(({ name, weight }) => ({ ...NO_PROXY_STATS, proxy: name, weight }));
    return { ...NO_STATS, proxies, ...(sessions && { sessions: [] }) };
  }

  /**
   * Replaces the list of proxies. Those that stay, by address and user name, keep their counts, their tunnels and what is
   * known of their health. The others get no new connect, and their idle tunnels are closed.
   *
   * @param options `drain`: after how many milliseconds the tunnels in use of the proxies that left are closed; 0: now.
   * Default: `Infinity`, not at all.
   * @throws {TypeError} If `proxies` is no list, is empty, or one of it is malformed; the list stays as it was.
   * @throws {RangeError} If a number is out of range.
   */
  setProxies(proxies: readonly ProxySpec[], options?: { drain?: number }): void {
    const drain = parseDrain(options, "setProxies()", Infinity);
    this.#config.proxies = parseList(this.#config, proxies);
    this.#core?.setProxies(this.#config.proxies, drain);
  }

  /**
   * Takes a proxy out of service for a while because the application says so: its exit is blocked, or has to wait. Its idle
   * tunnels are closed; those in use stay open, and are not kept afterwards. A proxy that is suspended is used only if no other one is left.
   *
   * @param which The label of a proxy, as `conn.proxy` has it; or a session, which means the proxy that it has now.
   * @param options `for`: milliseconds, or `Infinity`. `hostname`: only for targets with this name and those below it.
   * @throws {TypeError} If no proxy of the list has that label, or an option is malformed.
   * @throws {RangeError} If a number is out of range.
   */
  suspend(which: string | { session: string }, options: { for: number; hostname?: string }): void {
    const { name, duration, hostname } = parseSuspend(this.#config.proxies, which, options);
    this.#tell((core) => core.suspend(name, duration, hostname));
  }

  /**
   * Puts a proxy back into service, whatever it was suspended for.
   *
   * @param proxy Its label.
   * @throws {TypeError} If no proxy of the list has that label.
   */
  resume(proxy: string): void {
    const name = parseLabel(this.#config.proxies, proxy);
    this.#tell((core) => core.resume(name));
  }

  /**
   * Closes the client: idle connections, dials and waiting connects end now, tunnels in use after `drain` milliseconds
   * (default: 0; `Infinity` waits for them). Resolves when nothing is left. Later calls reject with
   * {@linkcode ClosedError}.
   *
   * @throws {RangeError} If `drain` is not a number of milliseconds from 0.
   */
  close(options?: { drain?: number }): Promise<void> {
    return this.#ask(() => parseDrain(options, "close()", 0), (_, core, drain) => core.close(drain));
  }

  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Does it now, or once there is a core. */
  #tell(act: (core: Pick<Core<unknown>, "suspend" | "resume">) => void): void {
    if (commands !== undefined) return act(this.#coreOf(commands));
    this.#early.push(act);
    this.#load().then(() => void this.#coreOf(commands!), () => {}); // the next call tells why it failed
  }

  #coreOf(it: Commands): Core<S> {
    this.#claim?.();
    if (this.#core !== undefined) return this.#core;
    this.#claim = runtime().claim();
    this.#core = new it.Core(this.#config);
    for (const act of this.#early.splice(0)) act(this.#core);
    return this.#core;
  }

  #resolve(name: string, what: "name" | "address", options?: CommandOptions): Promise<string> {
    return this.#ask(
      () => parseResolve(this.#config, name, what, options),
      (it, core, args) => it.resolve(core, args, what),
    );
  }

  /** Asks for something; gives the promise of the request itself, which settles as something is handed over. */
  #ask<A, T>(parse: () => A, ask: (it: Commands, core: Core<S>, args: A) => Promise<T>): Promise<T> {
    try {
      const args = parse();
      if (commands !== undefined) return ask(commands, this.#coreOf(commands), args);
      return this.#load().then(() => ask(commands!, this.#coreOf(commands!), args));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** One promise for all that waits, so that their order stays. */
  #load(): Promise<void> {
    return this.#loading ??= import("./commands.ts").then((module) => void (commands = module))
      .finally(() => this.#loading = undefined); // a failed import is tried again
  }
}
