import { type Address, ATYP, parseTarget, type Target } from "../protocol/address.ts";
import { checkOptions, isBytes } from "../arguments.ts";
import { ReceiveQueue } from "./receive_queue.ts";
import { type Association, associationError, type Datagram } from "./association.ts";
import { brief, cannot, ProtocolError, type Socks5ErrorCode } from "../errors.ts";
import { lookUp } from "../attempt/local_dns.ts";
import { quietly } from "../guarded_conn.ts";
import type { CloseReason } from "../events.ts";
import type { Lease } from "../pool/lease.ts";
import { canonical, type Relay } from "./relay_address.ts";
import { AttemptScope } from "../scope.ts";
import type { ProxyConn } from "../tunnel/proxy_conn.ts";
import type { DatagramSocket, Transport } from "../transport.ts";
import { encodeDatagram, mostPayload, parseDatagram } from "../protocol/datagram.ts";

/** What an association consists of: all of it is its own from then on. */
export interface Parts<S> {
  readonly conn: ProxyConn<S>;
  readonly lease: Lease<ProxyConn<S>>;
  readonly socket: DatagramSocket;
  readonly relay: Relay;
  /** What looks up the names of targets, if the proxy is not to know them. */
  readonly names: Transport | undefined;
}

/** One association: the datagrams of a socket, for as long as the connection to the proxy is there. */
export class UdpAssociation<S> implements Association {
  readonly proxy: string;
  readonly relay: { hostname: string; port: number };
  ignored = 0;
  readonly #parts: Parts<S>;
  readonly #queue = new ReceiveQueue<Datagram>();
  #ended: (() => { code: Socks5ErrorCode; why: string; cause?: unknown }) | undefined;

  constructor(parts: Parts<S>) {
    const { conn, relay: { hostname, port } } = parts;
    this.#parts = parts;
    this.proxy = conn.proxy.name;
    this.relay = { hostname, port };
    const told = conn.onClosed;
    conn.onClosed = (reason, traffic) => {
      told?.(reason, traffic);
      this.#closed(reason);
    };
    if (conn.closedBy === undefined) void this.#watch();
    else this.#closed(conn.closedBy);
  }

  get dropped(): number {
    return this.#queue.lost;
  }

  maxDatagram(target: Target): number {
    return mostPayload(parseTarget(target));
  }

  async send(data: Uint8Array, target: Target): Promise<void> {
    const address = parseTarget(target);
    if (!isBytes(data)) throw new TypeError(cannot("data", "a Uint8Array", data));
    const most = mostPayload(address);
    if (data.length > most) {
      throw new RangeError(cannot("data.length", `a number up to ${most} for this target`, data.length));
    }
    if (this.#ended !== undefined) throw this.#failure(`send to ${address.name}`, address.name);
    const { names } = this.#parts;
    if (names === undefined || address.atyp !== ATYP.DOMAIN) {
      return await this.#send(encodeDatagram(address, data), address);
    }
    const copy = new Uint8Array(data);
    const found = await this.#lookUp(names, address);
    await this.#send(encodeDatagram(found, copy), address);
  }

  receive(options?: { signal?: AbortSignal | undefined }): Promise<Datagram | null> {
    try {
      const { signal } = checkOptions("the options of receive()", options, { signal: true });
      if (this.#queue.isWaitedFor) throw new TypeError("Cannot receive: another receive is pending");
      return this.#queue.take(signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  close(): void {
    this.#parts.lease.destroy("holder");
    this.#queue.clear();
  }

  ref(): void {
    if (this.#ended === undefined) this.#parts.conn.conn.ref?.();
  }

  unref(): void {
    if (this.#ended === undefined) this.#parts.conn.conn.unref?.();
  }

  async *[Symbol.asyncIterator](): AsyncIterableIterator<Datagram> {
    for (let next; (next = await this.receive()) !== null;) yield next;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  /** Hands it over; throws if it has ended meanwhile, or the caller has given up. */
  handOver(signal: AbortSignal | undefined): this {
    if (signal?.aborted) this.close();
    signal?.throwIfAborted();
    if (this.#ended !== undefined) throw this.#failure("associate", null);
    return this;
  }

  /** Something came to the socket: only what is from the relay counts. */
  arrived(data: Uint8Array, from: { hostname: string; port: number }): void {
    if (this.#ended !== undefined) return;
    const { relay } = this.#parts;
    const isHost = (hostname: string) => hostname === relay.hostname || canonical(hostname) === relay.hostname;
    const isFromRelay = from?.port === relay.port && isHost(String(from.hostname));
    const datagram = isFromRelay && isBytes(data) ? parseDatagram(data) : null;
    if (datagram === null) return void this.ignored++;
    this.#parts.conn.count(0, datagram.data.length);
    this.#queue.push(datagram);
  }

  /** The socket, or the connection to the proxy, is of no use any more. */
  broke(cause: unknown, what = "the datagram socket"): void {
    this.#end("SOCKS5_CONN_RESET", `${what} broke`, cause);
    this.#parts.lease.destroy("peer");
  }

  /** The proxy has nothing to say on its connection: what it says is dropped, and its end is the end of all. */
  async #watch(): Promise<void> {
    const { conn, lease } = this.#parts;
    const p = new Uint8Array(64);
    try {
      while (await conn.read(p) !== null);
    } catch (error) {
      return this.broke(error, "the connection to the proxy");
    }
    this.#end("SOCKS5_CONN_CLOSED", "the proxy closed the association");
    lease.destroy("peer");
  }

  #closed(reason: CloseReason): void {
    if (reason === "client") this.#end("SOCKS5_CLIENT_CLOSED", "the client was closed");
    else this.#end("SOCKS5_CONN_CLOSED", "it was closed");
  }

  #end(code: Socks5ErrorCode, why: string, cause?: unknown): void {
    if (this.#ended !== undefined) return;
    this.#ended = () => cause === undefined ? { code, why } : { code, why, cause };
    void quietly(() => this.#parts.socket.close());
    this.#queue.end(code === "SOCKS5_CONN_CLOSED" ? undefined : () => this.#failure("receive", null));
  }

  async #lookUp(names: Transport, address: Address): Promise<Address> {
    try {
      return (await lookUp(new AttemptScope(), names, address))[0]!;
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      const context = { phase: "lookup" as const, proxy: null, target: address.name, cause: error.cause };
      throw associationError(error.code, `send to ${address.name}`, error.message, context);
    }
  }

  async #send(datagram: Uint8Array, { name }: Address): Promise<void> {
    const { relay, socket } = this.#parts;
    try {
      await socket.send(datagram, relay);
      this.#parts.conn.count(datagram.length, 0);
    } catch (cause) {
      if (this.#ended !== undefined) throw this.#failure(`send to ${name}`, name);
      const why = `the system did not take the datagram (${brief(cause)})`;
      throw associationError("SOCKS5_PROXY_UNREACHABLE", `send to ${name}`, why, {
        proxy: this.proxy,
        target: name,
        cause,
      });
    }
  }

  #failure(what: string, target: string | null): Error {
    const { code, why, ...cause } = this.#ended!();
    return associationError(code, what, why, { proxy: this.proxy, target, ...cause });
  }
}
