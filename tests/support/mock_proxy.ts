import { createServer, type Server } from "node:net";
import type { Endpoint } from "../../src/transport.ts";
import type { MockFault, MockStep } from "./mock_faults.ts";
import { Line, type Log } from "./mock_line.ts";
import { serve } from "./mock_session.ts";
import { Watch } from "./mock_watch.ts";

export * from "./mock_faults.ts";

/** User name and password as RFC 1929 has them. */
export type MockCredentials = { username: string; password?: string };

/** Where a target is really connected to, the REP code that refuses it, or no reply at all. */
export type MockRule = { hostname?: string; port: number } | { rep: number } | "silence";

/** How a mock proxy behaves. */
export interface MockProxyOptions {
  /** Default: "127.0.0.1"; "::1" is the other one. */
  hostname?: string;
  /** Default: a free one, kept over `stop()` and `start()`. */
  port?: number;
  /** Listens on a unix socket instead. */
  path?: string;
  /** Who may come in, or a function that gives the status byte (0 lets in). Default: everyone, without a password. */
  credentials?: MockCredentials | ((given: Required<MockCredentials>) => number);
  /** The methods taken, the liked best first. Default: `[2]` with credentials, else `[0]`; `[2, 0]` is tor's. */
  methods?: readonly number[];
  /** What becomes of targets such as "example.test:80". Default: loopback is connected to, all else refused. */
  rules?: Readonly<Record<string, MockRule>> | ((target: string) => MockRule | undefined);
  /** What goes wrong: the nth entry on the nth connection, or what a function says; it is asked at each step. */
  faults?:
    | readonly (MockFault | readonly MockFault[] | undefined)[]
    | ((connection: MockConnection) => MockFault | readonly MockFault[] | undefined);
  /**
   * "datagram": one receive is one message, its rest is dropped and a fragment refused, as with microsocks.
   * "overwrite": the method reply is lost when the password came with the greeting, as tor does. Default: "stream".
   */
  framing?: "stream" | "datagram" | "overwrite";
  /** "cut": the client's FIN ends the tunnel at once, as with most proxies. Default: "carry". */
  halfClose?: "carry" | "cut";
  /** Closes a connection without a request after that many milliseconds since the accept. Default: never. */
  handshakeTimeout?: number;
}

/** What one client did on its connection, so far. */
export interface MockConnection {
  /** 0 for the first connection. */
  readonly index: number;
  /** How far it came. */
  readonly step: MockStep;
  /** The bytes of the handshake as they arrived, receive by receive. */
  readonly received: Uint8Array[];
  /** The methods offered. */
  readonly methods: readonly number[] | null;
  readonly credentials: Required<MockCredentials> | null;
  readonly request: { cmd: number; atyp: number; hostname: string; port: number } | null;
  /** The REP code that was sent. */
  readonly rep: number | null;
  /** Bytes of the tunnel from the client. */
  readonly sent: number;
  /** Bytes of the tunnel from the target. */
  readonly delivered: number;
  /** Who ended it first. */
  readonly endedBy: "client" | "client-reset" | "proxy" | "target" | null;
  /** Whether the client's connection is open. */
  readonly open: boolean;
}

/** A SOCKS5 server on loopback for tests: it proxies CONNECT, errs on demand and keeps a log. */
export interface MockProxy extends AsyncDisposable {
  /** "socks5h://user:password@127.0.0.1:1080", "socks5h://user:password@localhost/path" on a unix socket. */
  readonly url: string;
  readonly hostname: string;
  readonly port: number;
  readonly endpoint: Endpoint;
  /** All connections since the beginning. */
  readonly connections: readonly MockConnection[];
  /** How many connections of clients are open. */
  readonly open: number;
  /** Waits until something is the case, looking again after every change of the log; rejects after milliseconds. */
  until(condition: () => boolean, timeout?: number): Promise<void>;
  /** Closes all connections and stops listening, as a proxy that was killed. */
  stop(): Promise<void>;
  /** Listens again on the same port. */
  start(): Promise<void>;
  /** `stop()`. */
  close(): Promise<void>;
}

/** Starts a mock proxy on a free loopback port. */
export async function createMockProxy(options: MockProxyOptions = {}): Promise<MockProxy> {
  const proxy = new LoopbackProxy(options);
  await proxy.start();
  return proxy;
}

class LoopbackProxy implements MockProxy {
  readonly connections: Log[] = [];
  readonly hostname: string;
  port: number;
  readonly #options: MockProxyOptions;
  readonly #lines: Map<Line, Promise<void>> = new Map();
  readonly #watch: Watch = new Watch();
  #server: Server | undefined;

  constructor(options: MockProxyOptions) {
    this.#options = options;
    this.hostname = options.hostname ?? "127.0.0.1";
    this.port = options.port ?? 0;
  }

  get endpoint(): Endpoint {
    const { path } = this.#options;
    return path === undefined ? { hostname: this.hostname, port: this.port } : { path };
  }

  get url(): string {
    const { path, credentials } = this.#options;
    const host = `${this.hostname.includes(":") ? `[${this.hostname}]` : this.hostname}:${this.port}`;
    const url = new URL(`socks5h://${path === undefined ? host : `localhost${encodeURI(path)}`}`);
    if (typeof credentials === "object") {
      url.username = encodeURIComponent(credentials.username);
      url.password = encodeURIComponent(credentials.password ?? "");
    }
    return url.href;
  }

  get open(): number {
    return this.connections.filter((it) => it.open).length;
  }

  async start(): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, (client) => {
      client.setNoDelay(true);
      const log: Log = { ...EMPTY_LOG, index: this.connections.length, received: [] };
      this.connections.push(log);
      const line = new Line(client, log, this.#options, () => this.#watch.changed());
      this.#lines.set(line, serve(line, this.#options).finally(() => this.#lines.delete(line)));
      this.#watch.changed();
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      const { path } = this.#options;
      server.listen(path === undefined ? { host: this.hostname, port: this.port } : { path }, resolve);
    });
    const address = server.address();
    if (address && typeof address === "object") this.port = address.port;
    this.#server = server;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const stopped = server && new Promise<void>((resolve) => server.close(() => resolve()));
    for (const line of this.#lines.keys()) line.kill();
    await Promise.all(this.#lines.values());
    await stopped;
  }

  close(): Promise<void> {
    return this.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  until(condition: () => boolean, timeout?: number): Promise<void> {
    return this.#watch.until(condition, timeout);
  }
}

const EMPTY_LOG: Omit<Log, "index" | "received"> = {
  step: "accept",
  methods: null,
  credentials: null,
  request: null,
  rep: null,
  sent: 0,
  delivered: 0,
  endedBy: null,
  open: true,
};
