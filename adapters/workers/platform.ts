import type { Conn, TlsOptions } from "../../src/transport.ts";

/** Whether this is Cloudflare Workers. */
export function isWorkers(): boolean {
  return globalThis.navigator?.userAgent === "Cloudflare-Workers";
}

/** Throws a `TypeError` on Cloudflare Workers, for what cannot work there or would go past the proxy. */
export function refuseOnWorkers(what: string, why: string): void {
  if (isWorkers()) throw new TypeError(`Cannot use ${what} on Cloudflare Workers: ${why}`);
}

/**
 * What belongs to the request in which this is called, as do the sockets and timers of a client: gives what throws in
 * any other. `undefined` on other runtimes.
 */
export function claimRequest(): (() => void) | undefined {
  if (!isWorkers()) return undefined;
  const { WebSocketPair } = globalThis as unknown as { WebSocketPair: new () => [WebSocket, WebSocket] };
  let mine: WebSocket;
  try {
    [mine] = Object.values(new WebSocketPair()) as [WebSocket];
    void mine.readyState;
  } catch (cause) {
    throw new TypeError("Cannot connect outside of a request on Cloudflare Workers", { cause });
  }
  return () => {
    try {
      void mine.readyState; // the platform lets only the request look at it that made it
    } catch (cause) {
      throw new TypeError(
        "Cannot use the client of another request: on Cloudflare Workers sockets and timers belong to the request that made them, so make a client in each",
        { cause },
      );
    }
  };
}

/** Throws a `TypeError` for options of TLS that `startTls()` of Cloudflare Workers has not. */
export function checkTls(name: string, options: TlsOptions): void {
  const unknown = (["caCerts", "cert", "key", "alpnProtocols"] as const).find((it) => options[it]?.length);
  if (unknown === undefined) return;
  throw new TypeError(`Cannot use ${name}.${unknown} on Cloudflare Workers: their startTls() has nothing like it`);
}

/** For a connection that is not a socket of the platform. */
export function startNoTls(conn: Conn): Promise<Conn> {
  conn.close();
  return Promise.reject(
    new TypeError("Cannot start TLS over this connection: on Cloudflare Workers only a socket of the platform has it"),
  );
}
