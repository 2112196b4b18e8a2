import type { Socks5Client } from "../mod.ts";
import type { Address } from "../src/address.ts";
import type { Socks5Conn } from "../src/connection.ts";
import type { Accepted } from "./accepted.ts";
import { Loop } from "./failures.ts";
import type { Pass } from "./gate.ts";
import { isLoopback } from "./plan.ts";

/** The way to the targets: all that is asked of a client. */
export type Connects = Pick<Socks5Client, "connect">;

/** Leads clients of the front to their targets, and never back to the front. */
export class Route {
  readonly #client: Connects;
  readonly #hostname: string;
  readonly #port: number;

  constructor(client: Connects, hostname: string, port: number) {
    this.#client = client;
    this.#hostname = hostname;
    this.#port = port;
  }

  /** Connects, unless the client of the front goes before. */
  async connect(target: Address, { credentials }: Pass, client: Accepted): Promise<Socks5Conn> {
    if (target.port === this.#port && this.#isOwn(target.hostname)) throw new Loop();
    const conn = await this.#client.connect(target.name, { credentials, signal: client.gone });
    if (!client.gone.aborted) return conn;
    conn.close();
    throw client.gone.reason;
  }

  #isOwn(hostname: string): boolean {
    return isLoopback(hostname) || hostname === this.#hostname || hostname === "0.0.0.0" || hostname === "::";
  }
}
