import type { Conn, Detached, DialOptions, TlsOptions } from "../../src/transport.ts";
import { BunPipe } from "./pipe.ts";
import type { BunSocket } from "./socket.ts";

type PendingDial = {
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

  #dial: PendingDial | undefined;

  /** Whether it may be opened: the attempt may have been closed already. */
  begin(opening: PendingDial): boolean {
    if (this.gone) opening.reject(this.failure());
    else this.#dial = opening;
    return !this.gone;
  }

  failed(error: unknown): void {
    this.#takeDial()?.reject(error);
  }

  /** Listens to the signal until the connection is open. */
  listen(): void {
    this.#dial?.signal?.addEventListener("abort", this);
  }

  /** The signal aborts. */
  handleEvent(): void {
    this.failed(this.#dial?.signal?.reason);
  }

  override startTls(options: TlsOptions): Promise<Conn<BunSocket>> {
    // Bun's own way sends an IP address as SNI
    if (isIp(options.serverName)) return super.startTls(options) as Promise<Conn<BunSocket>>;
    const load = async () => (await import("./tls.ts")).startTls;
    return this.secure(options, load) as Promise<Conn<BunSocket>>;
  }

  detach(): Detached<BunSocket> {
    const reason = this.whyBusy();
    if (reason) throw new TypeError(`Cannot detach: ${reason}`);
    const head = this.takeAll();
    this.gone = "detached";
    this.socket.pause();
    this.socket.ref();
    return { socket: this.socket, head };
  }

  protected override destroy(): void {
    if (this.#dial) this.failed(this.failure());
    else super.destroy();
  }

  #opened(socket: BunSocket): void {
    this.socket = socket;
    const opening = this.#takeDial();
    if (!opening) return socket.close(); // given up meanwhile
    const { noDelay = true, keepAlive = true } = opening.options;
    if (!noDelay) socket.setNoDelay(false); // Bun turns it on by itself
    if (keepAlive !== false) socket.setKeepAlive(true, keepAlive === true ? 0 : keepAlive);
    opening.resolve(this);
  }

  #takeDial(): PendingDial | undefined {
    const opening = this.#dial;
    this.#dial = undefined;
    opening?.signal?.removeEventListener("abort", this);
    return opening;
  }
}

function isIp(name = ""): boolean {
  return /^[\d.]+$|:/.test(name);
}
