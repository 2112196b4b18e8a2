import { Buffer } from "node:buffer";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Endpoint } from "../../src/transport.ts";
import { Changes } from "../../testing/changes.ts";

/** A client that speaks nothing by itself, for tests of servers. */
export interface RawClient {
  /** How often bytes came in. */
  readonly receives: number;
  write(bytes: Uint8Array): Promise<void>;
  /** The next bytes, exactly that many. */
  read(length: number): Promise<Uint8Array>;
  /** Waits until that many bytes have come or the end, and leaves them. */
  until(length: number): Promise<void>;
  /** All bytes until the end, the reset or our own `close()`; then closes. */
  finish(): Promise<{ bytes: Uint8Array; ending: "end" | "reset" | "closed" }>;
  /** Ends the writing side (FIN). */
  end(): void;
  close(): void;
  reset(): void;
}

/** Connects, by TLS if it is given an authority to trust; rejects with the runtime's error. */
export async function connectRaw(to: Endpoint, ca?: string): Promise<RawClient> {
  const where = "path" in to ? to : { host: to.hostname, port: to.port };
  const options = { ...where, allowHalfOpen: true, noDelay: true };
  const socket = ca === undefined ? connect(options) : connectTls({ ...options, ca });
  const chunks: Uint8Array[] = [];
  let available = 0;
  let receives = 0;
  let ending: "end" | "reset" | "closed" | undefined;
  const watch = new Changes();

  const receive = () => {
    for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) {
      chunks.push(chunk);
      available += chunk.length;
      receives++;
    }
    watch.notify();
  };
  const endWith = (how: typeof ending) => {
    // bytes that came before a reset are still there when the socket is destroyed
    receive();
    ending ??= how;
    watch.notify();
  };

  await new Promise<void>((resolve, reject) => {
    socket.once(ca === undefined ? "connect" : "secureConnect", resolve);
    socket.once("error", reject);
  });
  socket.on("readable", receive);
  socket.on("end", () => endWith("end"));
  socket.on("error", () => endWith("reset"));
  socket.on("close", () => endWith("closed"));

  const until = (length: number) => watch.until(() => available >= length || ending !== undefined, 10_000);
  const take = (length: number) => {
    const all = Buffer.concat(chunks.splice(0));
    chunks.push(all.subarray(length));
    available = all.length - length;
    return Uint8Array.from(all.subarray(0, length));
  };
  return {
    get receives() {
      return receives;
    },
    write: (bytes) => new Promise((resolve) => socket.write(bytes, () => resolve())),
    until,
    async read(length) {
      await until(length);
      if (available < length) throw new Error(`${ending} after ${available} of ${length} bytes`);
      return take(length);
    },
    async finish() {
      await until(Infinity);
      socket.destroy();
      return { bytes: take(available), ending: ending ?? "closed" };
    },
    end: () => socket.end(),
    close: () => socket.destroy(),
    reset: () => socket.resetAndDestroy(),
  };
}
