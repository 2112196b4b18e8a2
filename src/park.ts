import type { CloseReason, Pooled } from "./place.ts";
import type { Conn } from "./transport.ts";

/** What is known of a tunnel from its opening on. */
export interface TunnelInfo {
  /** `"host:port"` of the proxy. */
  readonly proxy: string;
  /** `"host:port"` of the target. */
  readonly target: string;
  /** BND.ADDR and BND.PORT of the reply. */
  readonly boundAddress: { hostname: string; port: number };
}

/**
 * A session after a successful CONNECT, bound to its target for life, whoever holds it. It can watch itself while
 * nobody does: the watch is a read of one byte, which becomes the first read of the next holder.
 */
export class Tunnel<S = unknown> implements Pooled {
  readonly conn: Conn<S>;
  readonly info: TunnelInfo;
  readonly expires: number;
  /** Why it ended; `undefined` while it is open. */
  closedBy: CloseReason | undefined;
  /** Told once, when it ends. */
  onClosed: ((reason: CloseReason) => void) | undefined;
  readonly #byte = new Uint8Array(1);
  #watch: Promise<number | null> | undefined;
  #spoke = false;
  #lost: (() => void) | undefined;

  constructor(conn: Conn<S>, info: TunnelInfo, expires: number) {
    this.conn = conn;
    this.info = info;
    this.expires = expires;
  }

  park(lost: () => void): void {
    this.conn.unref?.();
    this.#lost = lost;
    if (this.#spoke) lost();
    if (this.#watch !== undefined) return;
    const settle = () => {
      this.#spoke = true;
      this.#lost?.();
    };
    this.#watch = this.conn.read(this.#byte);
    this.#watch.then(settle, settle);
  }

  unpark(): void {
    this.conn.ref?.();
    this.#lost = undefined;
  }

  /** Whether the peer spoke, ended or reset since it was parked, as far as the runtime has told. */
  get spoke(): boolean {
    return this.#spoke;
  }

  /** As {@linkcode Conn.read}; after a watch it begins with the byte that the watch took. */
  read(p: Uint8Array): Promise<number | null> {
    return this.#watch === undefined ? this.conn.read(p) : this.#readWatched(this.#watch, p);
  }

  close(reason: CloseReason): void {
    if (this.closedBy !== undefined) return;
    this.closedBy = reason;
    if (reason !== "detached") this.conn.close();
    this.onClosed?.(reason);
  }

  async #readWatched(watch: Promise<number | null>, p: Uint8Array): Promise<number | null> {
    try {
      const n = await watch;
      if (n !== null) p[0] = this.#byte[0]!;
      return n;
    } finally {
      this.#watch = undefined;
      this.#spoke = false;
    }
  }
}
