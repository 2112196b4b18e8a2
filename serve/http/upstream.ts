import { clearTimeout, setTimeout } from "node:timers";
import type { Address } from "../../src/protocol/address.ts";
import type { Socks5Conn } from "../../src/tunnel/socks5_conn.ts";
import type { Pass } from "../auth.ts";
import { Inbox, sourceOf } from "../buffered_reader.ts";

const LONGEST_REST = 5_000; // it holds a place of the pool until somebody waits for one

/** A connection to a target for plain requests, which one client of the front may use for several. */
export class Upstream {
  readonly conn: Socks5Conn;
  readonly answers: Inbox;
  /** Whether it was used before: a target may hang up while the next request is on its way. */
  reused = false;
  /** Whether nothing is asked. */
  resting = false;
  readonly #target: Address;
  readonly #pass: Pass;
  #first: Promise<number | null> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(conn: Socks5Conn, target: Address, pass: Pass) {
    this.conn = conn;
    this.answers = new Inbox(sourceOf(conn), true);
    this.#target = target;
    this.#pass = pass;
  }

  /** Stays for the next request, unless the target says anything before or hangs up. */
  rest(): void {
    this.resting = true;
    this.#timer = setTimeout(() => this.close(), LONGEST_REST).unref();
    this.#first = this.answers.peek();
    const heard = () => this.resting && this.close();
    this.#first.then(heard, heard);
    this.conn.markIdle?.(() => this.close());
  }

  /** Whether it serves for a request; if not, it is closed. */
  take(target: Address, pass: Pass): boolean {
    clearTimeout(this.#timer);
    const { username, password } = pass.credentials ?? {};
    const own = this.#pass.credentials;
    if (target.name !== this.#target.name || username !== own?.username || password !== own?.password) this.close();
    if (this.conn.markInUse?.() === false) this.close();
    this.resting = false;
    this.reused = true;
    return !this.#closed;
  }

  /** Whether an answer begins; `false` if the target hangs up instead. */
  async begins(): Promise<boolean> {
    try {
      return await (this.#first ?? this.answers.peek()) !== null;
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
