import type { Hop } from "../fetch/hop.ts";
import type { ClientLike } from "../src/client_of.ts";
import { HttpConn } from "./http_conn.ts";

/** The connections of one fetch: those that are idle serve its next requests to the same origin and session. */
export class Connections {
  readonly #client: ClientLike;
  readonly #idle = new Map<string, HttpConn[]>();
  readonly #open = new Set<HttpConn>();

  constructor(client: ClientLike) {
    this.#client = client;
  }

  /** An idle connection, or a new one, with TLS for HTTPS. */
  async take({ url, session }: Hop, signal: AbortSignal): Promise<HttpConn> {
    const key = `${url.origin} ${session ?? ""}`;
    for (let conn; (conn = this.#idle.get(key)?.pop()) !== undefined;) if (conn.reuse()) return conn;
    const { protocol, hostname, port } = url;
    const secure = protocol === "https:";
    const target = { hostname, port: Number(port || (secure ? 443 : 80)) };
    const tunnel = await this.#client.connect(target, { signal, session });
    // not by an option of connect(), which one that knows nothing of TLS would leave out
    const conn = new HttpConn(secure ? await tunnel.startTls({ signal }) : tunnel, {
      idle: (conn) => this.#idle.set(key, [...this.#idle.get(key) ?? [], conn]),
      closed: (conn) => this.#open.delete(conn),
    });
    this.#open.add(conn);
    return conn;
  }

  /** Closes all. */
  close(): void {
    for (const conn of this.#open) conn.close();
    this.#idle.clear();
  }
}
