import { createSocket } from "node:dgram";

/** A server for datagrams on loopback. */
export interface UdpTarget extends AsyncDisposable {
  readonly port: number;
  /** "127.0.0.1:1234". */
  readonly address: string;
  /** What it received, in order. */
  readonly received: Uint8Array[];
  close(): Promise<void>;
}

/** Sends back what it receives, or what else is said. */
export async function startUdpEcho(answer: (data: Uint8Array) => Uint8Array = (data) => data): Promise<UdpTarget> {
  const socket = createSocket("udp4");
  const received: Uint8Array[] = [];
  socket.on("message", (data, { address, port }) => {
    received.push(new Uint8Array(data));
    socket.send(answer(new Uint8Array(data)), port, address);
  });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  const { port } = socket.address();
  const close = () => new Promise<void>((resolve) => void socket.close(() => resolve()));
  return { port, address: `127.0.0.1:${port}`, received, close, [Symbol.asyncDispose]: close };
}

/** A query for the IPv4 address of a name (RFC 1035 section 4). */
export function dnsQuery(name: string, id: number): Uint8Array {
  const labels = name.split(".").flatMap((label) => [label.length, ...new TextEncoder().encode(label)]);
  return Uint8Array.of(id >> 8, id & 0xff, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, 1, 0, 1);
}

/** The answer of a server that knows one address for whatever is asked. */
export function dnsAnswer(query: Uint8Array, address: string): Uint8Array {
  const head = [query[0]!, query[1]!, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
  const record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split(".").map(Number)];
  return Uint8Array.of(...head, ...query.subarray(12), ...record);
}

/** Waits for something that nothing tells; gives up after five seconds. */
export async function until(condition: () => boolean): Promise<void> {
  for (const end = performance.now() + 5_000; !condition();) {
    if (performance.now() > end) throw new Error(`It never came to that: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
