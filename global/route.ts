import { ConnDuplex } from "../adapters/duplex.ts";
import type { Bypasses } from "../src/bypass.ts";
import type { ClientLike } from "../src/client_of.ts";
import type { ConnectOptions } from "../src/config/options.ts";
import { parseTarget, type Target } from "../src/protocol/address.ts";
import type { Socks5Conn } from "../src/tunnel/socks5_conn.ts";

/** Where the connections of a process go. */
export class Route implements ClientLike {
  readonly #client: ClientLike;
  readonly #bypasses: Bypasses | undefined;

  constructor(client: ClientLike, bypasses: Bypasses | undefined) {
    this.#client = client;
    this.#bypasses = bypasses;
  }

  /** Whether a target is connected to directly, as it would be without the proxy. */
  isDirect(hostname: string, port: number): boolean {
    return this.#bypasses?.({ hostname, port, protocol: undefined }) ?? false;
  }

  async connect(target: Target, options?: ConnectOptions): Promise<Socks5Conn> {
    const { hostname, port } = parseTarget(target);
    if (!this.isDirect(hostname, port)) return await this.#client.connect(target, options);
    return await (await import("../src/direct.ts")).direct.connect(target, options);
  }

  /** A stream through the proxy, which begins to connect. */
  open(hostname: string, port: number, allowHalfOpen = false): ConnDuplex {
    const open = (signal: AbortSignal) => this.#client.connect({ hostname, port }, { signal });
    return new ConnDuplex(open, { allowHalfOpen }).connect();
  }
}
