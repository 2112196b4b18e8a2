import type { Reply } from "../protocol/messages.ts";
import type { CloseReason, Traffic } from "../events.ts";
import type { Pooled } from "../pool/lease.ts";
import type { Place } from "../proxies/proxy_state.ts";
import type { Proxy } from "../config/proxy_url.ts";
import type { Conn, Lent, StartTls, TlsOptions } from "../transport.ts";
import { SoundConn } from "../guarded_conn.ts";
import { startTls } from "./start_tls.ts";

/**
 * A connection to a proxy. Once the proxy has granted a request it is a tunnel, bound to its target for life, whoever
 * holds it. While it is idle it watches itself: the watch is a read of one byte, which becomes the first read of the next
 * holder.
 */
export class ProxyConn<S = unknown> implements Pooled {
  /** Another one once TLS is started. */
  conn: Conn<S>;
  readonly proxy: Proxy;
  /** When the proxy was connected, on the clock of `performance.now()`. */
  readonly openedAt: number = performance.now();
  expires: number = Infinity;
  /** `"host:port"` of the target, once there is one. */
  target = "";
  /** The reply that made it a tunnel. */
  reply: Reply | undefined;
  /** Its place at the proxy, which it gives back when it ends. */
  place: Place | undefined;
  /** The bytes of whoever holds it. */
  sent = 0;
  received = 0;
  /** Where the bytes of its session are counted, if they are. */
  session: Traffic | undefined;
  /** Why it ended; `undefined` while it is open. */
  closedBy: CloseReason | undefined;
  /** Called once, when it ends. */
  onClosed: ((reason: CloseReason, traffic: Traffic) => void) | undefined;
  #lent: Lent | undefined;
  #byte: Uint8Array | undefined;
  #watch: Promise<number | null> | undefined;
  #readable = false;
  #onLost: (() => void) | undefined;

  constructor(conn: Conn<S>, proxy: Proxy) {
    this.conn = conn;
    this.proxy = proxy;
  }

  /** It is a tunnel from now on, and too old to be reused after about `maxLifetime`: not all in the same moment. */
  becomeTunnel(target: string, reply: Reply, maxLifetime: number): void {
    this.target = target;
    this.reply = reply;
    this.expires = performance.now() + maxLifetime * (0.9 + Math.random() / 10);
  }

  /** Whether the proxy has granted a request on it. */
  get isTunnel(): boolean {
    return this.reply !== undefined;
  }

  /** Whether another request may have it. */
  get mayBeKept(): boolean {
    return this.expires > performance.now() && (this.place?.mayBeKept(this.target) ?? true);
  }

  /** A place that processes share is not kept for long: those of another process cannot say that they need it. */
  get idleLimit(): number | undefined {
    return this.place?.lease === undefined ? undefined : SHARED_IDLE;
  }

  watch(onLost: () => void): void {
    this.conn.unref?.();
    this.#setIdle(true);
    this.#onLost = onLost;
    if (this.#readable) onLost();
    if (this.isTunnel) this.markIdle(onLost);
    if (this.#watch !== undefined) return;
    const lost = () => {
      this.#readable = true;
      this.#onLost?.();
    };
    this.#watch = this.conn.read(this.#byte = new Uint8Array(1));
    this.#watch.then(lost, lost);
  }

  unwatch(): void {
    this.conn.ref?.();
    this.#onLost = undefined;
    this.markInUse();
  }

  /** In a chain the proxy before has a pool, too. */
  markIdle(evicted: () => void): void {
    this.#setIdle(true);
    this.conn.markIdle?.(evicted);
  }

  markInUse(): void {
    this.#setIdle(false);
    this.conn.markInUse?.();
  }

  /** The place goes to an attempt, which goes on over this connection or over a new one. */
  takePlace(): Place | undefined {
    const { place } = this;
    this.place = undefined;
    return place;
  }

  /** Its holder has sent or received so many bytes. */
  count(sent: number, received: number): void {
    const { place, session } = this;
    add(this, sent, received);
    if (place !== undefined) add(place.state, sent, received);
    if (session !== undefined) add(session, sent, received);
  }

  /** Whether the peer spoke, ended or reset while it was watched, as far as the runtime has told. */
  get readable(): boolean {
    return this.#readable;
  }

  /** As {@linkcode Conn.read}; after a watch it begins with the byte that the watch took. */
  read(p: Uint8Array): Promise<number | null> {
    return this.#watch === undefined ? this.conn.read(p) : this.#readWatched(this.#watch, p);
  }

  write(p: Uint8Array): Promise<number> {
    return this.conn.write(p);
  }

  /** Lends the socket, unless a watch is reading from it. */
  lend(): Lent | undefined {
    return this.#lent = this.#watch === undefined ? SoundConn.lentBy(this.conn) : undefined;
  }

  /** Starts TLS with the target: all that is read and written from then on goes through it. */
  async startTls(options: TlsOptions, fallback: StartTls): Promise<void> {
    const wire = this.#watch === undefined ? this.conn : this.#watched(this.conn);
    const secured = await startTls(wire, options, fallback, "target");
    if (this.closedBy !== undefined) secured.close(); // whoever closed it says why
    this.conn = secured;
  }

  close(reason: CloseReason = "holder"): void {
    if (this.closedBy !== undefined) return;
    this.closedBy = reason;
    const { sent = 0, received = 0 } = this.#lent?.traffic ?? {};
    if (sent + received > 0) this.count(sent, received);
    if (reason !== "detached") this.conn.close();
    this.place?.leave();
    this.onClosed?.(reason, this);
  }

  #setIdle(isIdle: boolean): void {
    if (this.place !== undefined) this.place.isIdle = isIdle;
  }

  /** The connection with the byte that a watch took, or will take: no transport knows of it. */
  #watched(conn: Conn<S>): Conn<S> {
    return {
      read: (p) => this.#watch === undefined ? conn.read(p) : this.#readWatched(this.#watch, p),
      write: (p) => conn.write(p),
      closeWrite: () => conn.closeWrite(),
      close: () => conn.close(),
      ref: () => conn.ref?.(),
      unref: () => conn.unref?.(),
    };
  }

  async #readWatched(watch: Promise<number | null>, p: Uint8Array): Promise<number | null> {
    try {
      const n = await watch;
      if (n !== null) p[0] = this.#byte![0]!;
      return n;
    } finally {
      this.#watch = undefined;
      this.#readable = false;
    }
  }
}

/** How long a connection may be unused that has a place which processes share, in milliseconds. */
const SHARED_IDLE = 1_000;

function add(traffic: Traffic, sent: number, received: number): void {
  traffic.sent += sent;
  traffic.received += received;
}
