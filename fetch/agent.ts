import type { ClientRequest, ClientRequestArgs } from "node:http";
import type { Duplex } from "node:stream";
import { ConnDuplex } from "../adapters/duplex.ts";
import { Socks5Agent } from "../agent/agent.ts";
import { sessionOf } from "../agent/session.ts";
import type { Bypass } from "../src/bypass.ts";
import type { ClientLike } from "../src/client_of.ts";
import { connectTo, type FetchTls } from "./options.ts";

const IDLE_TIMEOUT = 90_000;

/** The connections of one fetch: kept for its next requests, and shared with nobody else. */
export class FetchAgent extends Socks5Agent {
  readonly #tls: FetchTls;
  readonly #open = new Map<ConnDuplex, Promise<void>>();

  constructor(client: ClientLike, tls: FetchTls, bypass?: Bypass) {
    super(client, { bypass });
    this.#tls = tls;
  }

  /** For `node:http`: with TLS of the client, which says what of it failed. */
  override createConnection(options: ClientRequestArgs): Duplex {
    const { protocol, host, port } = options;
    const target = { protocol: protocol!, hostname: host!, port: String(port) };
    const session = sessionOf(options);
    const stream = new ConnDuplex(async (signal) =>
      await connectTo(await this.clientFor(options), this.#tls, target, { signal, session })
    );
    const gone = new Promise<void>((resolve) => stream.once("close", resolve));
    this.#open.set(stream, gone.then(() => void this.#open.delete(stream)));
    return stream.on("timeout", () => stream.destroy()).connect();
  }

  /** For `node:http`: a connection that rests ends after a while. */
  override keepSocketAlive(socket: Duplex): boolean {
    const keeps = super.keepSocketAlive(socket) as unknown as boolean; // whatever its types say
    if (keeps) (socket as ConnDuplex).setTimeout(IDLE_TIMEOUT);
    return keeps;
  }

  /** For `node:http`: one that is used again does not. */
  override reuseSocket(socket: Duplex, request: ClientRequest): void {
    (socket as ConnDuplex).setTimeout(0);
    super.reuseSocket(socket, request);
  }

  /** Closes all connections, and resolves when none is left. */
  async close(): Promise<void> {
    for (const stream of this.#open.keys()) stream.destroy();
    await Promise.all(this.#open.values());
  }
}
