import { createServer, type Server } from "node:net";
import type { Endpoint } from "../src/transport.ts";
import { Line } from "./server_conn.ts";
import { type Log, newLog, type TestConnection } from "./log.ts";
import type { Plan } from "./parse_options.ts";
import { serve } from "./handshake.ts";
import { Watch } from "./changes.ts";

/** A SOCKS5 server on loopback for tests: it proxies CONNECT, errs on demand and keeps a log. */
export interface TestProxy {
  /** `"socks5h://user:password@127.0.0.1:1080"`; `"socks5h://user:password@localhost/path"` on a unix socket. */
  readonly url: string;
  /** Where it listens. */
  readonly hostname: string;
  /** The port, also if it was chosen by the system; 0 on a unix socket. */
  readonly port: number;
  /** `{ hostname, port }`, or `{ path }`. */
  readonly endpoint: Endpoint;
  /** What clients did, all connections since the beginning. */
  readonly connections: readonly TestConnection[];
  /** How many connections of clients are open. */
  readonly open: number;
  /**
   * Waits until something is the case, looking again after every change of the log; rejects after `timeout`
   * milliseconds (default: 5000), or with what the condition or a function of the options has thrown.
   */
  until(condition: () => boolean, timeout?: number): Promise<void>;
  /**
   * Closes all connections at once and stops listening, as a proxy that was killed; resolves when nothing is left.
   * Rejects with what a function of the options has thrown, if nobody was told yet; all is closed then, too.
   */
  stop(): Promise<void>;
  /** Listens again on the same port, with the same log; nothing if it listens already. */
  start(): Promise<void>;
  /** `stop()`. */
  close(): Promise<void>;
  /** Lets the process end although the proxy listens, or has connections. */
  unref(): void;
  /** `stop()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The proxy, which does not listen yet. */
export class LoopbackProxy implements TestProxy {
  readonly connections: Log[] = [];
  readonly hostname: string;
  port: number;
  readonly #plan: Plan;
  readonly #lines: Map<Line, Promise<void>> = new Map();
  readonly #watch: Watch = new Watch();
  #server: Server | undefined;
  #unref = false;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.hostname = plan.hostname;
    this.port = plan.port;
  }

  get endpoint(): Endpoint {
    const { path } = this.#plan;
    return path === undefined ? { hostname: this.hostname, port: this.port } : { path };
  }

  get url(): string {
    const { path, known } = this.#plan;
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
      const line = new Line(client, log, this.#plan, () => this.#watch.changed());
      if (this.#unref) line.unref();
      const served = serve(line, this.#plan).catch((error) => this.#watch.fail(error));
      this.#lines.set(line, served.finally(() => this.#lines.delete(line)));
      this.#watch.changed();
    });
    this.#server = server;
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        const { path } = this.#plan;
        server.listen(path === undefined ? { host: this.hostname, port: this.port } : { path }, resolve);
      });
    } catch (error) {
      this.#server = undefined;
      throw error;
    }
    // a connection that cannot be accepted is the client's loss alone
    server.on("error", () => {});
    if (this.#unref) server.unref();
    const address = server.address();
    if (address && typeof address === "object") this.port = address.port;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const stopped = server && new Promise<void>((resolve) => server.close(() => resolve()));
    for (const line of this.#lines.keys()) line.kill();
    await Promise.all(this.#lines.values());
    await stopped;
    this.#watch.rethrow();
  }

  close(): Promise<void> {
    return this.stop();
  }

  unref(): void {
    this.#unref = true;
    this.#server?.unref();
    for (const line of this.#lines.keys()) line.unref();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  until(condition: () => boolean, timeout?: number): Promise<void> {
    return this.#watch.until(condition, timeout);
  }
}
