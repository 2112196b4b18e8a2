import type { ClientLike } from "../src/client_of.ts";
import { type Address, formatHostPort } from "../src/protocol/address.ts";
import type { Socks5Conn } from "../src/tunnel/socks5_conn.ts";
import type { Accepted } from "./client_conn.ts";
import { Loop } from "./error_mapping.ts";
import type { Pass } from "./auth.ts";
import { isLoopback } from "./options.ts";

/**
 * Leads clients of the front to their targets, and not back to the front: neither by an address of this machine nor, as
 * far as the proxy says from where it connects (BND.ADDR, RFC 1928 section 6), by a name.
 */
export class Route {
  readonly #client: ClientLike;
  readonly #hostname: string;
  readonly #port: number;
  readonly #clients: Iterable<Accepted>;
  readonly #isFixed: boolean;
  readonly #bound: Set<string> = new Set();

  /** With a fixed target, `localhost` is the machine of the proxy: there a port of the same number is as good as any. */
  constructor(client: ClientLike, hostname: string, port: number, clients: Iterable<Accepted>, isFixed: boolean) {
    this.#client = client;
    this.#hostname = hostname;
    this.#port = port;
    this.#clients = clients;
    this.#isFixed = isFixed;
  }

  /** Connects, unless the client of the front goes before. */
  async connect(target: Address, { credentials }: Pass, client: Accepted): Promise<Socks5Conn> {
    const isOwnPort = target.port === this.#port;
    if (isOwnPort && !this.#isFixed && this.#isOwn(target.hostname)) throw new Loop("The target is this port");
    const conn = await this.#client.connect(target.name, { credentials, signal: client.gone });
    try {
      if (isOwnPort) this.#refuseLoop(conn, client);
      client.gone.throwIfAborted();
      return conn;
    } catch (error) {
      conn.close();
      throw error;
    }
  }

  /** Whether a client is the proxy, which was asked to connect to a name of this machine. */
  isLoop(client: Accepted): boolean {
    return this.#bound.has(client.address);
  }

  #refuseLoop({ boundAddress }: Socks5Conn, client: Accepted): void {
    const bound = formatHostPort(boundAddress.hostname, boundAddress.port);
    for (const it of this.#clients) {
      if (it.address !== bound) continue;
      it.reset();
      throw new Loop("The target leads back to this port");
    }
    this.#bound.add(bound);
    client.closed.then(() => this.#bound.delete(bound));
  }

  #isOwn(hostname: string): boolean {
    return isLoopback(hostname) || hostname === this.#hostname || hostname === "0.0.0.0" || hostname === "::";
  }
}
