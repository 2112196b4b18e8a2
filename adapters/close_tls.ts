import type { Duplex } from "node:stream";
import { setImmediate } from "node:timers";

/**
 * Closes a stream with TLS. Destroyed at once, with what TLS 1.3 sends behind the handshake still unread, the system would
 * reset the connection, and what was written might be lost.
 */
export function closeTls(stream: Duplex): void {
  stream.end();
  setImmediate(() => setImmediate(() => stream.destroy()));
}
