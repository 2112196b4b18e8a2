import type { Conn, Detached, DialOptions, TlsOptions } from "../../src/transport.ts";
import { BunPipe } from "./pipe.ts";
import type { BunSocket } from "./socket.ts";

type Opening = {
  resolve: (conn: BunConn) => void;
  reject: (reason: unknown) => void;
  signal: AbortSignal | undefined;
  options: DialOptions;
};

/** A connection over a `Bun.Socket`. */
export class BunConn extends BunPipe implements Conn<BunSocket> {
  static override readonly handlers: object = {
    ...BunPipe.handlers,
    open: (socket: BunSocket & { data: BunConn }) => socket.data.#opened(socket),
  };

  #opening: Opening | undefined;

  /** Whether it may be opened: it may have been closed already. */
  begin(opening: Opening): boolean {
    if (this.gone) opening.reject(this.failure());
    else this.#opening = opening;
    return !this.gone;
  }

  failed(error: unknown): void {
    this.#settled()?.reject(error);
  }

  /** Listens to the signal, as long as the connection is not open. */
  heed(): void {
    this.#opening?.signal?.addEventListener("abort", this);
  }

  /** The signal aborts. */
  handleEvent(): void {
    this.failed(this.#opening?.signal?.reason);
  }

  override startTls(options: TlsOptions): Promise<Conn<BunSocket>> {
    // Bun's own way sends an IP address as SNI
    if (isIp(options.serverName)) return super.startTls(options) as Promise<Conn<BunSocket>>;
    const load = async () => (await import("./tls.ts")).startTls;
    return this.secure(options, load) as Promise<Conn<BunSocket>>;
  }

  detach(): Detached<BunSocket> {
    const obstacle = this.obstacle();
    if (obstacle) throw new TypeError(`Cannot detach: ${obstacle}`);
    const head = this.takeAll();
    this.gone = "detached";
    this.socket.pause();
    this.socket.ref();
    return { socket: this.socket, head };
  }

  protected override destroy(): void {
    if (this.#opening) this.failed(this.failure());
    else super.destroy();
  }

  #opened(socket: BunSocket): void {
    this.socket = socket;
    const opening = this.#settled();
    if (!opening) return socket.close(); // given up meanwhile
    const { noDelay = true, keepAlive = true } = opening.options;
    if (!noDelay) socket.setNoDelay(false); // Bun turns it on by itself
    if (keepAlive !== false) socket.setKeepAlive(true, keepAlive === true ? 0 : keepAlive);
    opening.resolve(this);
  }

  #settled(): Opening | undefined {
    const opening = this.#opening;
    this.#opening = undefined;
    opening?.signal?.removeEventListener("abort", this);
    return opening;
  }
}

function isIp(name = ""): boolean {
  return /^[\d.]+$|:/.test(name);
}
