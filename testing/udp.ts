import { createSocket, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import type { ServerConn } from "./server_conn.ts";
import type { TestRequest } from "./log.ts";
import type { TestUdp } from "./options.ts";
import type { ParsedOptions } from "./parse_options.ts";
import { encodeReply } from "./reply.ts";

const COMMAND_NOT_SUPPORTED = 0x07;

/** Serves UDP ASSOCIATE (RFC 1928 section 7) until the client's connection ends, or a fault at the step `"transfer"` ends it. */
export async function serveUdp(conn: ServerConn, _request: TestRequest, { udp }: ParsedOptions): Promise<void> {
  if (udp === undefined) return await conn.refuse(COMMAND_NOT_SUPPORTED);
  const hostname = conn.client.localAddress!;
  const [relay, outside, stranger] = await Promise.all([open(hostname), open("127.0.0.1"), open(hostname)]);
  try {
    const { port } = relay.address();
    udp.ports?.push(port);
    const failed = new Promise<never>((_, reject) => carryDatagrams(relay, outside, stranger, udp, reject));
    failed.catch(() => {}); // it is told below
    const answer = await conn.answer("request", encodeReply({ ...bytesOf(hostname), bndPort: port }));
    conn.note({ rep: answer[1] ?? null });
    if (answer[1] !== 0) await conn.end("close");
    conn.note({ step: "transfer" });
    const action = conn.actionAt("transfer");
    await conn.wait(action.waits, conn.closed);
    await conn.send(action, new Uint8Array());
    await Promise.race([conn.reader.gone, failed]);
  } finally {
    for (const socket of [relay, outside, stranger]) socket.close();
  }
}

/** The client is who sends first; the header is read and written by hand. */
function carryDatagrams(
  relay: Socket,
  outside: Socket,
  stranger: Socket,
  { rules = {}, answer, received, clients }: TestUdp,
  fail: (error: unknown) => void,
): void {
  let client: { address: string; port: number } | undefined;
  relay.on("message", (bytes, from) => {
    client ??= from;
    clients?.push(from.port);
    received?.push(new Uint8Array(bytes));
    if (bytes.length < 7) return; // the shortest header: an empty name
    const [at, hostname] = readAddress(bytes);
    if (at + 2 > bytes.length) return;
    const port = bytes.readUInt16BE(at);
    const rule = rules[`${hostname}:${port}`] ?? (hostname === "127.0.0.1" ? { port } : undefined);
    if (rule !== undefined) outside.send(bytes.subarray(at + 2), rule.port, "127.0.0.1");
  });
  outside.on("message", (bytes, { address, port }) => {
    const header = [0, 0, 0, 1, ...address.split(".").map(Number), port >> 8, port & 0xff];
    const right = Uint8Array.of(...header, ...bytes);
    try {
      for (const { bytes, stranger: isStranger } of answer?.(right) ?? [{ bytes: right }]) {
        (isStranger ? stranger : relay).send(bytes, client!.port, client!.address);
      }
    } catch (error) {
      fail(error); // the caller's function
    }
  });
}

/** Where the port is, and the host before it. */
function readAddress(bytes: Uint8Array): [number, string] {
  if (bytes[3] === 1) return [8, bytes.subarray(4, 8).join(".")];
  if (bytes[3] === 4) return [20, "IPv6"];
  const end = 5 + bytes[4]!;
  return [end, new TextDecoder().decode(bytes.subarray(5, end))];
}

function bytesOf(hostname: string): { atyp?: number; bndAddr: Uint8Array } {
  return isIPv6(hostname)
    ? { atyp: 4, bndAddr: new Uint8Array(16).with(15, 1) }
    : { bndAddr: Uint8Array.from(hostname.split("."), Number) };
}

async function open(hostname: string): Promise<Socket> {
  const socket = createSocket(isIPv6(hostname) ? "udp6" : "udp4");
  socket.unref(); // the connection of the client is what keeps the process alive
  await new Promise<void>((resolve) => socket.bind(0, hostname, resolve));
  return socket;
}
