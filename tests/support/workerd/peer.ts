// Stands in for support/peer.ts within workerd: the other ends are those of the driver.
import type { Conn, Endpoint } from "../../../src/transport.ts";
import type { Listener, Pair, Peer } from "../peer.ts";
import { type Remote, remote } from "./remote.ts";

export { pattern } from "../pattern.ts";
export type { Listener, Pair, Peer } from "../peer.ts";

/** Connects to a server of its own on loopback, which exists only until it has accepted. */
export async function pairOf<S>(dial: (to: Endpoint) => Promise<Conn<S>>): Promise<Pair<S>> {
  const { endpoint, accepted, stop } = await listen();
  const conn = await dial(endpoint);
  const peer = await accepted();
  stop();
  return { conn, peer };
}

/** Listens on a free port of `hostname`. */
export async function listen(at: { hostname: string } = { hostname: "127.0.0.1" }): Promise<Listener> {
  return await listener(await remote("listen", at) as Remote);
}

/** Listens for TLS, with the certificate of that name. */
export async function listenTls(certificate: string): Promise<Listener> {
  return await listener(await remote("listenTls", certificate) as Remote);
}

async function listener(server: Remote): Promise<Listener> {
  const endpoint = await server.call("endpoint") as Endpoint;
  return {
    endpoint,
    count: () => {
      throw new Error("The driver counts: use settled()");
    },
    settled: async () => void await server.call("settled"),
    accepted: async () => new RemotePeer(await server.call("accepted") as Remote),
    stop: () => void server.call("stop"),
    close: async () => void await server.call("close"),
  };
}

/** Calls keep their order, but for those that wait for something. */
class RemotePeer implements Peer {
  readonly #peer: Remote;
  #told: Promise<unknown> = Promise.resolve();

  constructor(peer: Remote) {
    this.#peer = peer;
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#ask("write", bytes);
  }

  end(): void {
    this.#tell("end");
  }

  reset(): void {
    this.#tell("reset");
  }

  async pause(): Promise<void> {
    await this.#ask("pause");
  }

  resume(): void {
    this.#tell("resume");
  }

  async received(n: number): Promise<Uint8Array> {
    return await this.#ask("received", n) as Uint8Array;
  }

  async fin(): Promise<void> {
    await this.#ask("fin");
  }

  async gone(): Promise<void> {
    await this.#ask("gone");
  }

  async inKernel(): Promise<number> {
    return await this.#ask("inKernel") as number;
  }

  async close(): Promise<void> {
    await this.#ask("close");
  }

  #tell(method: string): void {
    this.#told = this.#told.then(() => this.#peer.call(method));
  }

  async #ask(method: string, ...args: unknown[]): Promise<unknown> {
    await this.#told;
    return await this.#peer.call(method, ...args);
  }
}
