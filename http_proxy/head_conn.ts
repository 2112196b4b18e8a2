import { joined } from "../src/bytes.ts";
import { SoundConn } from "../src/guarded_conn.ts";
import type { Conn, Detached, UnreadableConn } from "../src/transport.ts";

/** The connection with bytes before those that it reads; itself, if it can take them back or there are none. */
export function withHead<S>(conn: Conn<S>, head: Uint8Array): Conn<S> {
  if (head.length === 0) return conn;
  const { unread } = conn as Partial<UnreadableConn<S>>;
  if (unread === undefined) return new HeadConn(conn, head);
  unread.call(conn, head);
  return conn;
}

/** A connection that keeps the contract, with bytes before it. */
class HeadConn<S> extends SoundConn implements Conn<S> {
  readonly detach?: () => Detached<S>;
  readonly #conn: Conn<S>;
  #head: Uint8Array;
  #isClosed = false;

  constructor(conn: Conn<S>, head: Uint8Array) {
    super();
    this.#conn = conn;
    this.#head = head;
    const { detach } = conn;
    if (detach === undefined) return;
    this.detach = () => {
      const { socket, head } = detach.call(conn);
      this.#isClosed = true;
      return { socket, head: joined(this.#head, head) };
    };
  }

  read(p: Uint8Array): Promise<number | null> {
    if (this.#isClosed || this.#head.length === 0 || p.length === 0) return this.#conn.read(p);
    const taken = this.#head.subarray(0, p.length);
    p.set(taken);
    this.#head = this.#head.subarray(taken.length);
    return Promise.resolve(taken.length);
  }

  write(p: Uint8Array): Promise<number> {
    return this.#conn.write(p);
  }

  closeWrite(): Promise<void> {
    return this.#conn.closeWrite();
  }

  close(): void {
    this.#isClosed = true;
    this.#conn.close();
  }

  ref(): void {
    this.#conn.ref?.();
  }

  unref(): void {
    this.#conn.unref?.();
  }

  markIdle(evicted: () => void): void {
    this.#conn.markIdle?.(evicted);
  }

  markInUse(): boolean {
    return this.#conn.markInUse?.() ?? true;
  }

  get remoteAddress(): string | undefined {
    return this.#conn.remoteAddress;
  }
}
