import type { ClientRequest, ClientRequestArgs } from "node:http";
import type { Duplex } from "node:stream";
import { ConnDuplex } from "../adapters/duplex.ts";
import { Socks5Agent } from "../agent/agent.ts";
import { sessionOf } from "../agent/session.ts";
import { wayName } from "../agent/way.ts";
import type { Bypass } from "../src/bypass.ts";
import type { ClientLike } from "../src/client_of.ts";
import type { Socks5Conn } from "../src/tunnel/socks5_conn.ts";
import { connectTo, type FetchTls, type UrlParts } from "./options.ts";

/** How long a connection may be idle, in milliseconds. */
export const IDLE_TIMEOUT = 90_000;

/** The connections of one fetch: kept for its next requests, and shared with nobody else. */
export class FetchAgent extends Socks5Agent {
  readonly #tls: FetchTls;
  readonly #open = new Map<ConnDuplex, Promise<void>>();
  readonly #lent = new Map<string, ConnDuplex>();

  constructor(client: ClientLike, tls: FetchTls, bypass?: Bypass) {
    super(client, { bypass });
    this.#tls = tls;
  }

  /** For `node:http`: with TLS of the client, which says what of it failed. */
  override createConnection(options: ClientRequestArgs): Duplex {
    const session = sessionOf(options);
    const key = keyOf(options, session);
    const lent = this.#lent.get(key);
    this.#lent.delete(key);
    lent?.setTimeout(0);
    return lent ?? this.adopt(new ConnDuplex((signal) => this.open(options, session, signal))).connect();
  }

  /** Opens a connection; `alpnProtocols` is what the target may choose from, if it is for HTTPS. */
  async open(
    options: ClientRequestArgs,
    session: string | undefined,
    signal: AbortSignal,
    alpnProtocols?: string[],
  ): Promise<Socks5Conn> {
    const client = await this.clientFor(options);
    return await connectTo(client, this.#tls, partsOf(options), { signal, session }, alpnProtocols);
  }

  /** What a request is for, with the way that it goes. */
  routed({ protocol, hostname, port }: UrlParts): ClientRequestArgs {
    const options = { protocol, host: hostname, port };
    this.route(options);
    return options;
  }

  /** Has a stream that is open for the next connection to that target. */
  lend(options: ClientRequestArgs, session: string | undefined, stream: ConnDuplex): void {
    const key = keyOf(options, session);
    this.#lent.set(key, stream);
    stream.setTimeout(IDLE_TIMEOUT);
    stream.once("close", () => {
      if (this.#lent.get(key) === stream) this.#lent.delete(key);
    });
  }

  /** Is the owner of a stream from now on: until it closes, `close()` waits for it. */
  adopt(stream: ConnDuplex): ConnDuplex {
    const gone = new Promise<void>((resolve) => stream.once("close", resolve));
    this.#open.set(stream, gone.then(() => void this.#open.delete(stream)));
    return stream.on("timeout", () => stream.destroy());
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

/** Of what a connection is for, and which way it goes. */
function keyOf(options: ClientRequestArgs, session: string | undefined): string {
  const { protocol, hostname, port } = partsOf(options);
  return JSON.stringify([protocol, hostname, port, session, wayName(options)]);
}

function partsOf({ protocol, host, port }: ClientRequestArgs): UrlParts {
  return { protocol: protocol!, hostname: host!, port: String(port) };
}
