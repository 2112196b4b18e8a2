import { createServer, type Server } from "node:net";
import type { Endpoint } from "../src/transport.ts";
import { ServerConn } from "./server_conn.ts";
import { type Log, newLog, type TestConnection } from "./log.ts";
import type { ParsedOptions } from "./parse_options.ts";
import { serveConn } from "./handshake.ts";
import { Changes } from "./changes.ts";

/** A SOCKS5 server on loopback for tests: CONNECT, BIND, UDP and tor's RESOLVE, with faults on demand and a log. */
export interface TestProxy {
  /** `"socks5h://user:password@127.0.0.1:1080"`; `"socks5h://user:password@localhost/path"` on a unix socket. */
  readonly url: string;
  /** The host name or address that it listens on. */
  readonly hostname: string;
  /** The port that it listens on; 0 on a unix socket. */
  readonly port: number;
  /** `{ hostname, port }`, or `{ path }`. */
  readonly endpoint: Endpoint;
  /** The log: every connection since the first start, in the order of their arrival. */
  readonly connections: readonly TestConnection[];
  /** The number of open connections of clients. */
  readonly open: number;
  /**
   * Resolves when `condition` returns `true`; it is called again after every change of the log. Rejects after `timeout`
   * milliseconds (default: 5 000), or with what the condition or a function in the options throws.
   */
  until(condition: () => boolean, timeout?: number): Promise<void>;
  /**
   * Closes all connections at once and stops listening, like a proxy that is killed; resolves when nothing is left.
   * Rejects with what a function in the options has thrown, unless `until()` has told it; everything is closed then, too.
   */
  stop(): Promise<void>;
  /** Listens again on the same port, with the same log. Does nothing if it listens already. */
  start(): Promise<void>;
  /** `stop()`. */
  close(): Promise<void>;
  /** Lets the process end although the proxy listens or has open connections. */
  unref(): void;
  /** `stop()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The proxy, which does not listen yet. */
export class LoopbackProxy implements TestProxy {
  readonly connections: Log[] = [];
  readonly hostname: string;
  port: number;
  readonly #options: ParsedOptions;
  readonly #conns: Map<ServerConn, Promise<void>> = new Map();
  readonly #changes: Changes = new Changes();
  #server: Server | undefined;
  #unref = false;

  constructor(options: ParsedOptions) {
    this.#options = options;
    this.hostname = options.hostname;
    this.port = options.port;
  }

  get endpoint(): Endpoint {
    const { path } = this.#options;
    return path === undefined ? { hostname: this.hostname, port: this.port } : { path };
  }

  get url(): string {
    const { path, known } = this.#options;
    const host = `${this.hostname.includes(":") ? `[${this.hostname}]` : this.hostname}:${this.port}`;
    const url = new URL(`socks5h://${path === undefined ? host : `localhost${encodeURI(path)}`}`);
    if (known !== undefined) {
      url.username = encodeURIComponent(known.username);
      url.password = encodeURIComponent(known.password ?? "");
    }
    return url.href;
  }

  get open(): number {
    return this.connections.filter((it) => it.open).length;
  }

  async start(): Promise<void> {
    if (this.#server !== undefined) return;
    const server = createServer({ allowHalfOpen: true }, (client) => {
      client.setNoDelay(true);
      const log = newLog(this.connections.length);
      this.connections.push(log);
      const conn = new ServerConn(client, log, this.#options, () => this.#changes.notify());
      if (this.#unref) conn.unref();
      const served = serveConn(conn, this.#options).catch((error) => this.#changes.fail(error));
      this.#conns.set(conn, served.finally(() => this.#conns.delete(conn)));
      this.#changes.notify();
    });
    this.#server = server;
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        const { path } = this.#options;
        server.listen(path === undefined ? { host: this.hostname, port: this.port } : { path }, resolve);
      });
    } catch (error) {
      this.#server = undefined;
      throw error;
    }
    // a connection that cannot be accepted does not end the others
    server.on("error", () => {});
    if (this.#unref) server.unref();
    const address = server.address();
    if (address && typeof address === "object") this.port = address.port;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const stopped = server && new Promise<void>((resolve) => server.close(() => resolve()));
    for (const conn of this.#conns.keys()) conn.kill();
    await Promise.all(this.#conns.values());
    await stopped;
    this.#changes.rethrow();
  }

  close(): Promise<void> {
    return this.stop();
  }

  unref(): void {
    this.#unref = true;
    this.#server?.unref();
    for (const conn of this.#conns.keys()) conn.unref();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  until(condition: () => boolean, timeout?: number): Promise<void> {
    return this.#changes.until(condition, timeout);
  }
}
