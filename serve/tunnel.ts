import { quietly } from "../src/guarded_conn.ts";
import { type Receiver, type Source, sourceOf } from "./buffered_reader.ts";
import type { ClientConn } from "./client_conn.ts";
import type { Connection } from "./connection.ts";

/**
 * Carries bytes, ends and resets both ways until both have ended, closes both, and calls `over`. `up` is what the client
 * sends, `down` what the target sends. Most tunnels wait most of the time: one that waits holds no chunk, no promise but
 * that of the read from the target, and no frame of a function.
 */
export function tunnel(
  client: ClientConn,
  up: Source,
  connection: Connection,
  over: (client: ClientConn) => void,
  down: Source = sourceOf(connection.conn),
): void {
  client.halfOpen = true;
  client.readTimeout = Infinity;
  client.own(connection.conn);
  const ends = new Ends(client, connection, over);
  new ToTarget(ends, up).next();
  new ToClient(ends, down).next();
}

/** Both ends of a tunnel. */
class Ends {
  readonly client: ClientConn;
  readonly connection: Connection;
  readonly #over: (client: ClientConn) => void;
  #open = 2;

  constructor(client: ClientConn, connection: Connection, over: (client: ClientConn) => void) {
    this.client = client;
    this.connection = connection;
    this.#over = over;
  }

  /** A direction has ended. */
  async ended(): Promise<void> {
    if (--this.#open > 0) return;
    const { client, connection } = this;
    client.disown();
    void quietly(() => connection.conn.close());
    await client.linger();
    connection.end();
    this.#over(client);
  }
}

/** One direction of a tunnel. */
abstract class Direction implements Receiver {
  protected readonly ends: Ends;
  readonly #from: Source;

  constructor(ends: Ends, from: Source) {
    this.ends = ends;
    this.#from = from;
  }

  /** Waits for the next chunk. */
  next(): void {
    try {
      this.#from.receive(this);
    } catch {
      this.reject(); // a connection of somebody else's may throw
    }
  }

  async resolve(chunk: Uint8Array | null): Promise<void> {
    try {
      await (chunk === null ? this.end() : this.carry(chunk));
    } catch {
      return this.reject();
    }
    if (chunk === null) void this.ends.ended();
    else this.next();
  }

  reject(): void {
    this.broke();
    void this.ends.ended();
  }

  /** Resolves once the bytes may be overwritten. */
  protected abstract carry(bytes: Uint8Array): Promise<unknown>;

  /** Passes the end on. */
  protected abstract end(): Promise<unknown>;

  /** It broke: nothing more comes, or nothing more is taken. */
  protected abstract broke(): void;
}

class ToTarget extends Direction {
  protected carry(bytes: Uint8Array): Promise<unknown> {
    return this.ends.connection.send(bytes);
  }

  protected end(): Promise<unknown> {
    return this.ends.connection.conn.closeWrite();
  }

  /** A target that takes nothing more may have answered before. */
  protected broke(): void {}
}

class ToClient extends Direction {
  protected carry(bytes: Uint8Array): Promise<unknown> {
    return this.ends.connection.deliver(bytes);
  }

  protected end(): Promise<unknown> {
    return this.ends.client.end();
  }

  protected broke(): void {
    this.ends.client.reset();
  }
}
