import type { ClientLike } from "../src/client_of.ts";
import { type Address, formatHostPort } from "../src/protocol/address.ts";
import type { Socks5Conn } from "../src/tunnel/socks5_conn.ts";
import type { ClientConn } from "./client_conn.ts";
import { LoopDetected } from "./error_mapping.ts";
import type { ClientIdentity } from "./auth.ts";
import { isLoopback } from "./options.ts";

/**
 * Connects clients of the local proxy to their targets, and never to the local proxy itself: neither by an address of this
 * machine nor by a name, as far as the SOCKS5 proxy tells from where it connects (BND.ADDR, RFC 1928 section 6).
 */
export class Connector {
  readonly #client: ClientLike;
  readonly #hostname: string;
  readonly #port: number;
  readonly #clients: Iterable<ClientConn>;
  readonly #isFixed: boolean;
  readonly #bound: Set<string> = new Set();

  /** With a fixed target, `localhost` is the machine of the proxy: there a port of the same number is as good as any. */
  constructor(client: ClientLike, hostname: string, port: number, clients: Iterable<ClientConn>, isFixed: boolean) {
    this.#client = client;
    this.#hostname = hostname;
    this.#port = port;
    this.#clients = clients;
    this.#isFixed = isFixed;
  }

  /** Opens a tunnel; gives up when the client of the local proxy is gone. */
  async connect(target: Address, { credentials }: ClientIdentity, client: ClientConn): Promise<Socks5Conn> {
    const isOwnPort = target.port === this.#port;
    if (isOwnPort && !this.#isFixed && this.#isOwn(target.hostname)) throw new LoopDetected("The target is this port");
    const { signal, done } = untilGone(client);
    const conn = await this.#client.connect(target.name, { credentials, signal }).finally(done);
    try {
      if (isOwnPort) this.#rejectLoop(conn, client);
      client.throwIfGone();
      return conn;
    } catch (error) {
      conn.close();
      throw error;
    }
  }

  /** Whether a client is the SOCKS5 proxy, which was asked to connect to a name of this machine. */
  isLoop(client: ClientConn): boolean {
    return this.#bound.size > 0 && this.#bound.has(client.address);
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

  #isOwn(hostname: string): boolean {
    return isLoopback(hostname) || hostname === this.#hostname || hostname === "0.0.0.0" || hostname === "::";
  }
}

/** A signal that aborts when the client is gone, until it is `done`. */
function untilGone(client: ClientConn): { signal: AbortSignal; done(): void } {
  const controller = new AbortController();
  return { signal: controller.signal, done: client.onGone(() => controller.abort()) };
}
