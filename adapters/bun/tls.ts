import { Buffer } from "node:buffer";
import type { TlsOptions } from "../../src/transport.ts";
import { BunPipe } from "./pipe.ts";
import type { BunSocket } from "./socket.ts";
import { nameError } from "../server_identity.ts";
import type { TlsHandshake } from "../socket_conn.ts";
import { contextOf } from "../tls.ts";

/** Starts TLS with Bun's own API. */
export function startTls(socket: BunSocket, options: TlsOptions): TlsHandshake {
  return new BunTlsPipe(socket, options);
}

interface BunTlsSocket extends BunSocket {
  readonly alpnProtocol: string | false | null;
  getPeerCertificate(): object;
}

type PipedSocket = BunTlsSocket & { data: BunTlsPipe };

class BunTlsPipe extends BunPipe implements TlsHandshake {
  static override readonly handlers: object = {
    ...BunPipe.handlers,
    handshake: (socket: PipedSocket, isDone: boolean, error: Error | null) =>
      socket.data.#handshakeDone(socket, isDone, error),
    error: ({ data }: PipedSocket, error: Error) => data.broke(error),
  };

  readonly started: Promise<this>;
  alpnProtocol: string | null = null;
  readonly #serverName: string;
  #settle: { resolve(): void; reject(reason: unknown): void } | undefined; // until the handshake is done

  constructor(raw: BunSocket, options: TlsOptions) {
    super();
    const { serverName = "localhost", alpnProtocols = [] } = options;
    this.#serverName = serverName;
    this.started = new Promise((resolve, reject) => this.#settle = { resolve: () => resolve(this), reject });
    const [, socket] = raw.upgradeTLS({
      data: this,
      socket: BunTlsPipe.handlers,
      tls: {
        serverName,
        secureContext: contextOf(options).context, // with `ca` Bun would read all authorities anew, for each connection
        ...(alpnProtocols.length > 0 && { ALPNProtocols: wireFormat(alpnProtocols) }),
        rejectUnauthorized: true,
      },
    });
    this.socket = socket;
  }

  /** Bun before 1.4 checks neither the name nor what the chain of certificates is worth. */
  #handshakeDone(socket: BunTlsSocket, isDone: boolean, error: Error | null): void {
    if (isDone) error ??= nameError(this.#serverName, socket.getPeerCertificate()) ?? null;
    if (!isDone || error) return this.broke(error ?? new Error("The TLS handshake failed"));
    this.alpnProtocol = socket.alpnProtocol || null;
    this.#settle?.resolve();
    this.#settle = undefined;
  }

  protected override ended(error?: Error): void {
    if (this.#settle) this.broke(error);
    else super.ended(error);
  }

  protected override broke(error?: Error): void {
    const settle = this.#settle;
    if (!settle) return super.broke(error);
    this.#settle = undefined;
    settle.reject(error ?? Object.assign(new Error("The peer hung up before TLS was there"), { code: "ECONNRESET" }));
    this.close();
  }

  protected override destroy(): void {
    const settle = this.#settle;
    this.#settle = undefined;
    super.destroy();
    settle?.reject(this.failure());
  }
}

/** RFC 7301 section 3.1. */
function wireFormat(protocols: readonly string[]): Uint8Array {
  return Buffer.concat(protocols.map((name) => Buffer.from([Buffer.byteLength(name), ...Buffer.from(name)])));
}
