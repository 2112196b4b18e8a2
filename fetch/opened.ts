import type { ConnDuplex } from "../adapters/duplex.ts";

/** Waits for the stream; what comes later is a matter of its listeners. */
export function opened(stream: ConnDuplex): Promise<void> {
  return new Promise((resolve, reject) => {
    let error: unknown = new Error("The connection was closed");
    stream.on("error", (reason) => error = reason);
    stream.once("close", () => reject(error));
    stream.connect(resolve);
  });
}
