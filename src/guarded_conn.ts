import { cannot } from "./errors.ts";
import type { Conn, Detached, Lent, TlsOptions } from "./transport.ts";

/** Base of the connections that keep the contract of {@linkcode Conn} by themselves: those of this package. */
export abstract class SoundConn {
  readonly #isSound = true;

  static includes(conn: object): boolean {
    return #isSound in conn;
  }

  /** What a connection lends, if it is one of this package. */
  static lentBy(conn: object): Lent | undefined {
    return #isSound in conn ? conn.lend() : undefined;
  }

  /** Closes a connection whose pending read nobody waits for any more. */
  static discard(conn: Conn): void {
    SoundConn.forget(conn);
    conn.close();
  }

  /** {@linkcode SoundConn.prototype.forget} of a connection of this package. */
  static forget(conn: Conn): void {
    if (#isSound in conn) conn.forget();
  }

  /**
   * Says before a `close()` that nobody waits for the pending read any more: then it need not settle, which saves an
   * error at each step, with its stack.
   */
  forget(): void {}

  /** Lends the socket; `undefined` if there is none to lend, and then nothing has changed. */
  lend(): Lent | undefined {
    return undefined;
  }
}

/** Calls what must not fail, `close()` above all: an error of it, now or later, is dropped. */
export async function quietly(call: () => unknown): Promise<void> {
  try {
    await call();
  } catch {
    // nobody waits for it
  }
}

/**
 * The connection that a transport or an authentication method gave, held to the contract of {@linkcode Conn}: `close()`
 * and what else gives no promise never throws, all else rejects. Throws a `TypeError` if it is no connection, and closes
 * what can be closed. `from` says who gave it.
 */
export function guard<S>(conn: Conn<S>, from: string): Conn<S> {
  const given: Partial<Conn<S>> = Object(conn);
  if (SoundConn.includes(given)) return conn;
  try {
    const missing = (["read", "write", "closeWrite", "close"] as const).find((name) =>
      typeof given[name] !== "function"
    );
    if (missing === undefined) return new GuardedConn(conn);
    throw new TypeError(`Cannot use the result of ${from} as a connection: it has no ${missing}()`);
  } catch (error) {
    void quietly(() => given.close?.());
    throw error;
  }
}

class GuardedConn<S> extends SoundConn implements Conn<S> {
  readonly detach?: () => Detached<S>;
  readonly startTls?: (options: TlsOptions) => Promise<Conn<S>>;
  readonly remoteAddress?: string | undefined;
  readonly alpnProtocol?: string | null;
  readonly #conn: Conn<S>;
  #isClosed = false;

  constructor(conn: Conn<S>) {
    super();
    const { alpnProtocol, remoteAddress } = conn;
    if (typeof conn.detach === "function") this.detach = () => conn.detach!();
    if (typeof conn.startTls === "function") {
      this.startTls = async (options) => guard(await conn.startTls!(options), "startTls()");
    }
    if (alpnProtocol !== undefined) this.alpnProtocol = alpnProtocol;
    if (typeof remoteAddress === "string") this.remoteAddress = remoteAddress;
    this.#conn = conn;
  }

  async read(p: Uint8Array): Promise<number | null> {
    const n: unknown = await this.#conn.read(p);
    const least = Math.min(1, p.length);
    if (n === null || (Number.isInteger(n) && n as number >= least && n as number <= p.length)) {
      return n as number | null;
    }
    throw new TypeError(
      cannot("the result of read()", `a number from ${least} to ${p.length} or null`, n),
    );
  }

  async write(p: Uint8Array): Promise<number> {
    const n: unknown = await this.#conn.write(p);
    if (typeof n !== "number" || n === p.length) return p.length;
    throw new TypeError(cannot("the result of write()", `the length of all bytes, ${p.length}`, n));
  }

  async closeWrite(): Promise<void> {
    await this.#conn.closeWrite();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    void quietly(() => this.#conn.close());
  }

  ref(): void {
    void quietly(() => this.#conn.ref?.());
  }

  unref(): void {
    void quietly(() => this.#conn.unref?.());
  }

  markIdle(evicted: () => void): void {
    void quietly(() => this.#conn.markIdle?.(evicted));
  }

  markInUse(): boolean {
    let isOpen = false;
    void quietly(() => {
      const answer: unknown = this.#conn.markInUse?.();
      isOpen = answer !== false;
      return answer; // a promise is none of the contract, and its error nobody's
    });
    return isOpen;
  }
}
