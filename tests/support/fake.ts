import type {
  Conn,
  DatagramHandlers,
  DatagramSocket,
  Detached,
  Endpoint,
  OwnedDialOptions,
  OwnedTransport,
  TlsOptions,
} from "../../src/transport.ts";
import type { Pair, Peer } from "./peer.ts";

/** What the other end of a {@linkcode FakeConn} does with what it is sent. */
export type Script = (conn: FakeConn, written: Uint8Array) => void;

/** A transport without sockets: numbered suspension points, and a script for the other end. */
export class FakeTransport implements OwnedTransport<FakeConn> {
  /** The connections that were opened, in order. */
  readonly conns: FakeConn[] = [];
  /** The sockets for datagrams that were bound, in order. */
  readonly sockets: { closed: boolean; readonly handlers: DatagramHandlers }[] = [];
  /** Where they were opened to. */
  readonly endpoints: Endpoint[] = [];
  /** How many suspension points were passed: each connect, lookup, bind, read, write and closeWrite is one. */
  points = 0;
  /** Called at each point while the caller waits; what it throws is the outcome of the call. */
  onPoint: (point: number, what: string) => void = () => {};
  /** Called right after a point has its outcome, before the caller runs on. */
  onPassed: (point: number, what: string) => void = () => {};
  /** Whether an abort ends a connect that waits: Bun's cannot. */
  cancels = true;
  /** Whether it is given an owner instead of a signal. */
  usesOwner = false;
  /** What each name comes to. */
  addresses: readonly string[] = ["192.0.2.1"];
  /** The names that were looked up, in order. */
  readonly lookups: string[] = [];
  /** Called for each connect; connects wait while its promise does. */
  onConnect: (attempt: number) => void | Promise<void> = () => {};
  /** Called when TLS is started, with what it throws as the outcome; without it connections have no TLS. */
  onTls: ((options: TlsOptions, conn: FakeConn) => void) | undefined;
  readonly #script: Script;

  constructor(script: Script) {
    this.#script = script;
  }

  /** How many connections and sockets for datagrams are open. */
  get open(): number {
    const conns = this.conns.filter((conn) => !conn.closed && !conn.detached);
    return conns.length + this.sockets.filter((socket) => !socket.closed).length;
  }

  async connect(to: Endpoint, { signal, owner }: OwnedDialOptions = {}): Promise<FakeConn> {
    const attempt = this.endpoints.push(to);
    await this.#cancelled(owner ? this.#owned(this.#connecting(attempt), owner) : this.#connecting(attempt), signal);
    const conn = new FakeConn(this, this.#script);
    this.conns.push(conn);
    return conn;
  }

  async lookup(hostname: string, { signal }: { signal?: AbortSignal | undefined } = {}): Promise<readonly string[]> {
    this.lookups.push(hostname);
    await this.#cancelled(this.point("lookup"), signal);
    return this.addresses;
  }

  async openDatagrams(_isIpv6: boolean, handlers: DatagramHandlers): Promise<DatagramSocket> {
    await this.point("bind");
    const socket = { closed: false, handlers };
    this.sockets.push(socket);
    return { port: 1, send: () => this.point("send"), close: () => void (socket.closed = true) };
  }

  /** One suspension point: the caller waits here. */
  point(what: string): Promise<void> {
    const point = ++this.points;
    return new Promise((resolve, reject) => {
      queueMicrotask(() => {
        try {
          this.onPoint(point, what);
          resolve();
          this.onPassed(point, what);
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  async #connecting(attempt: number): Promise<void> {
    await this.point("connect");
    await this.onConnect(attempt);
  }

  #owned(connecting: Promise<void>, owner: NonNullable<OwnedDialOptions["owner"]>): Promise<void> {
    return new Promise((resolve, reject) => {
      connecting.then(resolve, reject);
      owner.own({ close: () => this.cancels && reject(new Error("the connection is closed")) });
    });
  }

  #cancelled(connecting: Promise<void>, signal?: AbortSignal): Promise<void> {
    if (!this.cancels || signal === undefined) return connecting;
    return new Promise((resolve, reject) => {
      const abort = () => reject(signal.reason);
      if (signal.aborted) abort();
      signal.addEventListener("abort", abort);
      connecting.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
    });
  }
}

type Reading = { p: Uint8Array; resolve: (n: number | null) => void; reject: (reason: unknown) => void };

/** A connection without a socket; `push`, `end` and `reset` are its other end. */
export class FakeConn implements Conn<FakeConn> {
  readonly line: object;
  /** All that was written. */
  written: number[] = [];
  /** How many calls of `write` there were. */
  writes = 0;
  /** How many bytes were read. */
  taken = 0;
  closed = false;
  /** How often `close` was called. */
  closes = 0;
  detached = false;
  shut = false;
  refs: boolean[] = [];
  /** What ALPN chose: the first that was offered. */
  alpnProtocol?: string | null;
  startTls?: (options: TlsOptions) => Promise<FakeConn>;
  /** Called when any of the above changes. */
  onChange: () => void = () => {};
  readonly #transport: FakeTransport;
  readonly #script: Script;
  #inbox: number[] = [];
  #end: { error?: Error } | undefined;
  #reading: Reading | undefined;

  /** `line` stands for what is between both ends, and stays when TLS is started on it. */
  constructor(transport: FakeTransport, script: Script, line: object = {}) {
    this.#transport = transport;
    this.#script = script;
    this.line = line;
    if (transport.onTls !== undefined) this.startTls = (options) => this.#startTls(options, transport.onTls!);
  }

  async read(p: Uint8Array): Promise<number | null> {
    if (this.#reading) throw new TypeError("Cannot read: another read is pending");
    this.#check();
    if (p.length === 0) return 0;
    const reading = new Promise<number | null>((resolve, reject) => this.#reading = { p, resolve, reject });
    this.#transport.point("read").then(() => this.#deliver(), (error) => this.#fail(error));
    return await reading;
  }

  async write(p: Uint8Array): Promise<number> {
    this.#check();
    if (this.shut) throw new Error("Cannot write: the writing side is closed");
    if (this.#end?.error) throw this.#end.error;
    this.writes++;
    const copy = p.slice();
    for (const byte of copy) this.written.push(byte);
    await this.#transport.point("write");
    this.#check();
    this.#script(this, copy);
    this.onChange();
    return p.length;
  }

  async closeWrite(): Promise<void> {
    this.#check();
    this.shut = true;
    await this.#transport.point("closeWrite");
    this.onChange();
  }

  close(): void {
    this.closes++;
    if (this.closed || this.detached) return;
    this.closed = true;
    this.#fail(new Error("the connection is closed"));
    this.onChange();
  }

  ref(): void {
    this.refs.push(true);
  }

  unref(): void {
    this.refs.push(false);
  }

  detach(): Detached<FakeConn> {
    this.detached = true;
    return { socket: this, head: Uint8Array.from(this.#inbox.splice(0)) };
  }

  async #startTls(options: TlsOptions, onTls: NonNullable<FakeTransport["onTls"]>): Promise<FakeConn> {
    this.#check();
    if (this.#reading) throw new TypeError("Cannot start TLS: a read is pending");
    if (this.#inbox.length > 0) throw Object.assign(new Error("unread"), { code: "ERR_UNREAD_PLAINTEXT" });
    await this.#transport.point("tls");
    this.#check();
    onTls(options, this);
    this.detached = true;
    const secured = new FakeConn(this.#transport, this.#script, this.line);
    secured.alpnProtocol = options.alpnProtocols?.[0] ?? null;
    secured.detach = undefined as never;
    this.#transport.conns.push(secured);
    return secured;
  }

  /** Sends. */
  push(...bytes: number[]): void {
    for (const byte of bytes) this.#inbox.push(byte);
    this.#deliver();
  }

  /** Ends the sending side. */
  end(): void {
    this.#end ??= {};
    this.#deliver();
  }

  /** Resets the connection; what was sent before is still read. */
  reset(error: Error = new Error("connection reset")): void {
    this.#end = { error };
    this.#deliver();
    this.onChange();
  }

  #deliver(): void {
    const reading = this.#reading;
    if (reading === undefined || (this.#inbox.length === 0 && this.#end === undefined)) return;
    if (this.#inbox.length === 0 && this.#end?.error) return this.#fail(this.#end.error);
    this.#reading = undefined;
    const bytes = this.#inbox.splice(0, reading.p.length);
    reading.p.set(bytes);
    this.taken += bytes.length;
    reading.resolve(bytes.length === 0 ? null : bytes.length);
  }

  #fail(error: unknown): void {
    this.#reading?.reject(error);
    this.#reading = undefined;
  }

  #check(): void {
    if (this.closed || this.detached) throw new Error("the connection is closed");
  }
}

/**
 * A proxy that takes everything: no authentication or any user name and password, and each target. With `hops`, the
 * first targets are such proxies too.
 */
export function socks5({ target = () => {}, hops = 1 }: { target?: Script; hops?: number } = {}): Script {
  const next = hops > 1 ? socks5({ target, hops: hops - 1 }) : target;
  const steps = new WeakMap<object, "greeting" | "auth" | "request" | "open">();
  return (conn, written) => {
    const step = steps.get(conn.line) ?? "greeting";
    if (step === "greeting") {
      const auth = written.includes(2, 2);
      steps.set(conn.line, auth ? "auth" : "request");
      conn.push(5, auth ? 2 : 0);
    } else if (step === "auth") {
      steps.set(conn.line, "request");
      conn.push(1, 0);
    } else if (step === "request") {
      steps.set(conn.line, "open");
      conn.push(5, 0, 0, 1, 0, 0, 0, 0, 0, 0);
    } else next(conn, written);
  };
}

/** A fake connection and its other end, for the contract kit. */
export async function fakePair(): Promise<Pair<FakeConn>> {
  const conn = await new FakeTransport(() => {}).connect({ path: "fake" });
  const until = (done: () => boolean): Promise<void> => {
    return new Promise((resolve) => {
      const before = conn.onChange;
      conn.onChange = () => (before(), done() ? resolve() : undefined);
      if (done()) resolve();
    });
  };
  let isReset = false;
  const peer: Peer = {
    write: (bytes) => push(conn, bytes),
    end: () => conn.end(),
    reset: () => {
      isReset = true;
      conn.reset();
    },
    pause() {},
    resume() {},
    async received(n) {
      await until(() => conn.written.length >= n);
      return Uint8Array.from(conn.written);
    },
    fin: () => until(() => conn.shut || conn.closed),
    gone: () => until(() => conn.closed || isReset),
    async close() {
      conn.end();
      await Promise.resolve();
    },
  };
  return { conn, peer };
}

function push(conn: FakeConn, bytes: Uint8Array): Promise<void> {
  for (let i = 0; i < bytes.length; i += 1000) conn.push(...bytes.subarray(i, i + 1000));
  return Promise.resolve();
}
