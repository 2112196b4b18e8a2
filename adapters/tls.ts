import { isIP, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { versions } from "node:process";
import * as tls from "node:tls";
import { ownerOf } from "../src/config/tls_options.ts";
import type { Conn, TlsOptions } from "../src/transport.ts";
import { closeTls } from "./close_tls.ts";
import { drained } from "./drained.ts";
import { ConnDuplex } from "./duplex.ts";
import { NodePipe } from "./node/pipe.ts";
import { nameError } from "./server_identity.ts";
import type { TlsHandshake } from "./socket_conn.ts";

/** Starts TLS with `node:tls` over any connection, which is used up from then on; closing it ends the attempt. */
export async function startTlsOver(conn: Conn, options: TlsOptions): Promise<Conn> {
  try {
    const stream = new ConnDuplex(() => Promise.resolve(conn), { allowHalfOpen: true }, (error) => error);
    return await new TlsPipe(stream, options, conn.remoteAddress).started;
  } catch (error) {
    conn.close();
    throw error;
  }
}

/** The same, as an attempt that can be ended. */
export function startOverPipe(conn: Conn, options: TlsOptions): TlsHandshake {
  return { started: startTlsOver(conn, options), close: () => conn.close() };
}

/** Starts TLS with `node:tls` over a stream. */
export function startOver(stream: Duplex, options: TlsOptions): TlsHandshake {
  return new TlsPipe(stream, options);
}

class TlsPipe extends NodePipe implements TlsHandshake {
  readonly started: Promise<Conn>;
  #isStarted = false;
  #below: ConnDuplex | undefined; // Bun and Deno do not tell it to wait
  #draining: Promise<void> | undefined;

  readonly #address: string | undefined; // what is not of the system does not know it

  constructor(stream: Duplex, options: TlsOptions, address?: string) {
    super();
    this.#address = address;
    const { serverName = "localhost", alpnProtocols } = options;
    const socket = tls.connect({
      socket: stream as Socket,
      host: serverName,
      ...(isIP(serverName) === 0 && { servername: serverName }),
      ...(alpnProtocols?.length && { ALPNProtocols: [...alpnProtocols] }),
      secureContext: contextOf(options),
      // whatever the environment says; Deno would not tell why, so there it is done below
      rejectUnauthorized: !versions.deno,
      allowHalfOpen: true,
    } as tls.ConnectionOptions);
    this.adopt(socket, true);
    stream.on("error", () => {}); // the socket tells it, too
    if (stream instanceof ConnDuplex) this.#below = stream;
    this.started = new Promise((resolve, reject) => {
      socket.once("secureConnect", () => {
        const error = trustError(socket) ?? nameError(serverName, socket.getPeerCertificate());
        if (error) return void socket.destroy(error);
        this.#isStarted = true;
        resolve(this);
      });
      socket.once("error", reject).once("close", () => reject(this.failure()));
    });
  }

  get alpnProtocol(): string | null {
    return (this.socket as unknown as tls.TLSSocket).alpnProtocol || null;
  }

  override get remoteAddress(): string | undefined {
    return this.#address ?? super.remoteAddress;
  }

  override async write(p: Uint8Array): Promise<number> {
    const n = await super.write(p);
    await this.#taken();
    return n;
  }

  override async closeWrite(): Promise<void> {
    await super.closeWrite();
    await this.#taken();
  }

  async #taken(): Promise<void> {
    if (!this.#below?.writableNeedDrain) return;
    this.writes++;
    await (this.#draining ??= drained(this.#below));
    this.#draining = undefined;
    this.writes--;
    if (this.gone || this.socket.destroyed) throw this.failure();
  }

  // Node tells of an alert of the peer as of an error, and then of an end
  protected override failed(error: Error): void {
    this.socket.destroy(error);
  }

  protected override received(bytes: Uint8Array): boolean {
    const goesOn = super.received(bytes);
    if (!goesOn) this.#below?.pause();
    return goesOn;
  }

  protected override readOn(): void {
    super.readOn();
    this.#below?.resume();
  }

  protected override destroy(): void {
    const { socket } = this;
    if (!this.#isStarted || this.writes > 0 || socket.writableLength > 0) return super.destroy();
    this.broke();
    closeTls(socket);
  }

  // what is below may be a tunnel of another client
  markIdle(evicted: () => void): void {
    this.#below?.markIdle(evicted);
  }

  markInUse(): boolean {
    return this.#below?.markInUse() ?? true;
  }

  startTls(options: TlsOptions): Promise<Conn> {
    return this.secure(options, () => Promise.resolve(startOver));
  }
}

/** Why a certificate is not trusted, with the codes of Node. */
function trustError(socket: tls.TLSSocket): Error | undefined {
  if (socket.authorized) return undefined;
  const { valid_from, valid_to } = socket.getPeerCertificate();
  const now = Date.now();
  const code = now > Date.parse(valid_to)
    ? "CERT_HAS_EXPIRED"
    : now < Date.parse(valid_from)
    ? "CERT_NOT_YET_VALID"
    : codeOf(socket.authorizationError);
  return Object.assign(new Error("The certificate is not trusted"), { code });
}

/** An error, or its code alone. */
function codeOf(error: unknown): string {
  return (error as { code?: string } | null)?.code ?? String(error);
}

/** Those authorities and the ones of the runtime. */
function trusted(caCerts: readonly string[]): string[] {
  return [...(tls.getCACertificates?.("default") ?? tls.rootCertificates), ...caCerts];
}

type Contexts = Map<string, tls.SecureContext>;

/** The contexts that were made last: each has a store of all authorities. Those without a private key are anybody's. */
const publicContexts: Contexts = new Map();
const privateContexts = new WeakMap<object, Contexts>();

/** The context for such options, the same as long as who keeps it is there. */
export function contextOf(options: TlsOptions): tls.SecureContext {
  const { caCerts = [], cert, key } = options;
  const contexts = key === undefined ? publicContexts : contextsOf(ownerOf(options));
  const id = JSON.stringify([caCerts, cert, key]);
  let context = contexts.get(id);
  if (!context) {
    context = tls.createSecureContext({
      ...(caCerts.length > 0 && !versions.deno && { ca: trusted(caCerts) }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
    });
    // Deno reads a long list for each connection anew, for 25 ms
    if (versions.deno) {
      for (const pem of caCerts) (context.context as { addCACert(pem: string): void }).addCACert(pem);
    }
    if (contexts.size >= 20) contexts.delete(contexts.keys().next().value!);
    contexts.set(id, context);
  }
  return context;
}

function contextsOf(owner: object): Contexts {
  let contexts = privateContexts.get(owner);
  if (contexts === undefined) privateContexts.set(owner, contexts = new Map());
  return contexts;
}
