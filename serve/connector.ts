import { networkInterfaces } from "node:os";
import type { ClientLike } from "../src/client_of.ts";
import { type Address, formatHostPort } from "../src/protocol/address.ts";
import type { Socks5Conn } from "../src/tunnel/socks5_conn.ts";
import { WRONG_PASSWORD_DELAY } from "./auth.ts";
import type { ClientConn } from "./client_conn.ts";
import { type Asked, Connection } from "./connection.ts";
import { decided } from "./decision.ts";
import type { FileWatch } from "./file_watch.ts";
import { LoopDetected, Refused, WrongPassword } from "./error_mapping.ts";
import { isLoopback, type ServeConfig } from "./options.ts";

/**
 * Connects clients of the local proxy to their targets, and never to the local proxy itself: neither by an address of this
 * machine nor by a name, as far as the SOCKS5 proxy tells from where it connects (BND.ADDR, RFC 1928 section 6).
 */
export class Connector {
  readonly #client: ClientLike;
  readonly #config: ServeConfig;
  readonly #port: number;
  readonly #clients: Iterable<ClientConn>;
  readonly #files: FileWatch;
  readonly #bound: Set<string> = new Set();
  #lastId = 0;

  constructor(
    client: ClientLike,
    config: ServeConfig,
    port: number,
    clients: Iterable<ClientConn>,
    files: FileWatch,
  ) {
    this.#client = client;
    this.#config = config;
    this.#port = port;
    this.#clients = clients;
    this.#files = files;
  }

  /** Admits what a client asks for, connects it, and sends the client what says so. */
  async open(client: ClientConn, asked: Asked, granted?: Uint8Array): Promise<Connection> {
    const connection = await this.admit(client, asked);
    const conn = await this.connect(client, connection);
    try {
      if (granted !== undefined) await client.write(granted);
      connection.address = undefined;
      return connection;
    } catch (error) {
      conn.close();
      connection.end();
      throw error;
    }
  }

  /** Has the application decide on what a client asks for. What rejects has ended. */
  async admit(client: ClientConn, asked: Asked): Promise<Connection> {
    const { onConnection, report } = this.#config;
    const connection = this.#connectionOf(client, asked);
    if (onConnection === undefined) return this.#findWay(connection);
    try {
      const { target, session } = await client.whileHere(decided(onConnection, connection));
      if (target !== undefined) connection.aim(target);
      if (session !== undefined) connection.identity = { ...connection.identity, session };
    } catch (error) {
      connection.end(error);
      if (!(error instanceof Refused) && !client.isGone) report(new Error("onConnection failed", { cause: error }));
      throw error;
    }
    return this.#findWay(connection);
  }

  /** Asks whether the target is connected to directly. What throws has ended. */
  #findWay(connection: Connection): Connection {
    const { bypasses, report } = this.#config;
    if (bypasses === undefined) return connection;
    const { hostname, port } = connection.address!;
    try {
      const protocol = connection.protocol === "http" ? "http:" : undefined;
      connection.isDirect = bypasses({ hostname, port, protocol });
      return connection;
    } catch (error) {
      connection.end(error);
      report(new Error("bypass failed", { cause: error }));
      throw error;
    }
  }

  /** Opens a tunnel; gives up when the client of the local proxy is gone. What rejects has ended. */
  async connect(client: ClientConn, connection: Connection): Promise<Socks5Conn> {
    try {
      const conn = await this.#connect(client, connection.address!, connection);
      connection.grant(conn);
      return conn;
    } catch (error) {
      this.#files.explains(error);
      connection.end(error);
      throw error;
    }
  }

  /** Lets a client wait that gave a wrong password, so that few can be tried. */
  async refuse(client: ClientConn, protocol: Asked["protocol"], target?: Address): Promise<void> {
    const identity = { credentials: undefined, session: undefined };
    this.#connectionOf(client, { protocol, identity, target }).end(new WrongPassword());
    await client.pause(WRONG_PASSWORD_DELAY);
  }

  /** Whether a client is the SOCKS5 proxy, which was asked to connect to a name of this machine. */
  isLoop(client: ClientConn): boolean {
    return this.#bound.size > 0 && this.#bound.has(client.address);
  }

  #connectionOf(client: ClientConn, asked: Asked): Connection {
    const { log, onConnection } = this.#config;
    const isSeen = onConnection !== undefined || log !== undefined;
    return new Connection(++this.#lastId, client, asked, isSeen ? (entry) => log?.(entry) : undefined);
  }

  async #connect(client: ClientConn, target: Address, { identity, isDirect }: Connection): Promise<Socks5Conn> {
    const isOwnPort = target.port === this.#port;
    if (isOwnPort && this.#isOwn(target.hostname)) throw new LoopDetected("The target is this port");
    const { signal, done } = untilGone(client);
    const upstream = isDirect ? (await import("../src/direct.ts")).direct : this.#client;
    const conn = await upstream.connect(target.name, { ...identity, signal }).finally(done);
    try {
      if (isOwnPort && isDirect) rejectOwn(conn);
      else if (isOwnPort) this.#rejectLoop(conn, client);
      client.throwIfGone();
      return conn;
    } catch (error) {
      conn.close();
      throw error;
    }
  }

  #rejectLoop({ boundAddress }: Socks5Conn, client: ClientConn): void {
    const bound = formatHostPort(boundAddress.hostname, boundAddress.port);
    for (const it of this.#clients) {
      if (it.address !== bound) continue;
      it.reset();
      throw new LoopDetected("The target leads back to this port");
    }
    this.#bound.add(bound);
    client.closed().then(() => this.#bound.delete(bound));
  }

  /** With a fixed target, `localhost` is the machine of the proxy: there a port of the same number is as good as any. */
  #isOwn(hostname: string): boolean {
    const { target, hostname: own } = this.#config;
    if (target !== undefined) return false;
    return isLoopback(hostname) || hostname === own || hostname === "0.0.0.0" || hostname === "::";
  }
}

/** A name of this machine may lead to this port. */
function rejectOwn({ remoteAddress = "" }: Socks5Conn): void {
  const own = Object.values(networkInterfaces()).flatMap((all) => all ?? []).map(({ address }) => address);
  if (isLoopback(remoteAddress) || own.includes(remoteAddress)) throw new LoopDetected("The target is this port");
}

/** A signal that aborts when the client is gone, until it is `done`. */
function untilGone(client: ClientConn): { signal: AbortSignal; done(): void } {
  const controller = new AbortController();
  return { signal: controller.signal, done: client.onGone(() => controller.abort()) };
}
