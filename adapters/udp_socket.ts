import { createSocket, type SocketOptions } from "node:dgram";
import { ownDatagrams } from "../src/own_dials.ts";
import type { DatagramHandlers, DatagramSocket } from "../src/transport.ts";

/**
 * Binds a socket of `node:dgram`, which behaves alike on the three runtimes. It does not keep the process alive: on Deno
 * that cannot be undone once it receives.
 */
export async function openDatagrams(
  isIpv6: boolean,
  { onDatagram, onError }: DatagramHandlers,
): Promise<DatagramSocket> {
  const family = isIpv6 ? 6 : 4;
  // an address is none to be looked up: behind a lookup, what Deno does not permit is thrown where nobody can catch it
  const lookup = (address: string, _family: unknown, found: Found) => found(null, address, family);
  const socket = createSocket({
    type: `udp${family}`,
    ipv6Only: isIpv6,
    lookup: lookup as unknown as SocketOptions["lookup"],
  });
  ownDatagrams.add(socket);
  socket.unref();
  const sending = new Set<(reason: Error) => void>();
  const gone = () => new Error("The socket is closed");
  let isOpen = true;
  const close = () => {
    if (!isOpen) return;
    isOpen = false;
    socket.close();
    for (const reject of sending) reject(gone()); // their callbacks are never called
    sending.clear();
  };
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind(0, isIpv6 ? "::" : "0.0.0.0", () => {
        socket.off("error", reject).on("error", (error) => isOpen && onError(error)); // at no time without a listener
        resolve();
      });
    });
  } catch (error) {
    close();
    throw error;
  }
  socket.on("message", (data, { address, port }) => isOpen && onDatagram(data, { hostname: address, port }));
  return {
    port: socket.address().port,
    send(p, { hostname, port }) {
      return new Promise((resolve, reject) => {
        if (!isOpen) return reject(gone());
        socket.send(p, port, hostname, (error) => {
          sending.delete(reject);
          if (error) reject(error);
          else resolve();
        });
        sending.add(reject);
      });
    },
    close,
  };
}

type Found = (error: null, address: string, family: number) => void;
