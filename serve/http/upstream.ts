import { clearTimeout, setTimeout } from "node:timers";
import type { Socks5Conn } from "../../src/tunnel/socks5_conn.ts";
import type { ClientIdentity } from "../auth.ts";
import { BufferedReader, sourceOf } from "../buffered_reader.ts";
import type { Connection } from "../connection.ts";

const IDLE_TIMEOUT = 5_000; // it holds a place of the pool until somebody waits for one

/** A connection to a target for plain requests, which serves one client of the local proxy for several. */
export class Upstream {
  readonly conn: Socks5Conn;
  readonly responses: BufferedReader;
  /** Whether it was used before: a target may hang up while the next request is on its way. */
  reused = false;
  /** Whether it waits for the next request. */
  idle = false;
  readonly #target: string;
  readonly #identity: ClientIdentity;
  readonly #isDirect: boolean;
  #first: Promise<number | null> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(conn: Socks5Conn, { target, identity, isDirect }: Connection) {
    this.conn = conn;
    this.responses = new BufferedReader(sourceOf(conn), true);
    this.#target = target;
    this.#identity = identity;
    this.#isDirect = isDirect;
  }

  /** Keeps the connection for the next request; closes it if the target sends anything before, or hangs up. */
  markIdle(): void {
    this.idle = true;
    this.#timer = setTimeout(() => this.close(), IDLE_TIMEOUT).unref();
    this.#first = this.responses.peek();
    const heard = () => this.idle && this.close();
    this.#first.then(heard, heard);
    this.conn.markIdle?.(() => this.close());
  }

  /** Whether it can serve a request; if not, it is closed. */
  reuse({ target, identity, isDirect }: Connection): boolean {
    clearTimeout(this.#timer);
    if (isDirect !== this.#isDirect) this.close();
    if (target !== this.#target || !isSame(identity, this.#identity)) this.close();
    if (this.conn.markInUse?.() === false) this.close();
    this.idle = false;
    this.reused = true;
    return !this.#closed;
  }

  /** Waits for the first byte of a response; `false` if the target hangs up instead. */
  async responds(): Promise<boolean> {
    try {
      return await (this.#first ?? this.responses.peek()) !== null;
    } catch {
      return false;
    } finally {
      this.#first = undefined;
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.conn.close();
  }
}

function isSame(one: ClientIdentity, other: ClientIdentity): boolean {
  const { username, password } = one.credentials ?? {};
  return one.session === other.session && username === other.credentials?.username &&
    password === other.credentials?.password;
}
