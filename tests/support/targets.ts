import { createHash } from "node:crypto";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { Changes } from "../../testing/changes.ts";

/** A server on loopback to connect to. */
export interface Target extends AsyncDisposable {
  readonly hostname: string;
  readonly port: number;
  /** "127.0.0.1:1234" or "[::1]:1234". */
  readonly address: string;
  /** How many connections are open. */
  readonly open: number;
  /** How many connections there were. */
  readonly accepted: number;
  /** Waits until something is the case, looking again when a connection or a request came, or one went; rejects after milliseconds. */
  until(condition: () => boolean, timeout?: number): Promise<void>;
  /** Closes the connections that are open; it accepts on. */
  hangUp(): Promise<void>;
  /** Closes everything and resolves when it is closed. */
  close(): Promise<void>;
}

/** What a target listens on. */
export type TargetOptions = { hostname?: "127.0.0.1" | "::1" };

/** Why IPv6 cannot be tried here, or `false`. */
export const noIpv6: string | false = !hasIpv6() && "no IPv6 loopback";

/** Sends back what it receives, and ends after the client's end. */
export function startEcho(options?: TargetOptions): Promise<Target> {
  return startTarget((socket) => socket.pipe(socket), options);
}

/** Speaks first, then echoes. */
export function startBanner(banner: string, options?: TargetOptions): Promise<Target> {
  return startTarget((socket) => {
    socket.write(banner);
    socket.pipe(socket);
  }, options);
}

/** Answers with {@linkcode digestOf} what it received, after the client's end or that many bytes, and ends. */
export function startDigest(length: number = Infinity, options?: TargetOptions): Promise<Target> {
  return startTarget((socket) => {
    const received = digester();
    const answer = () => socket.writable && socket.end(received.digest());
    socket.on("data", (chunk) => received.add(chunk) >= length && answer());
    socket.on("end", answer);
  }, options);
}

/** Sends {@linkcode payload} and receives as much at the same time, then sends the digest of that and ends. */
export function startExchange(length: number, options?: TargetOptions): Promise<Target> {
  const bytes = payload(length);
  return startTarget((socket) => {
    const received = digester();
    socket.write(bytes);
    socket.on("data", (chunk) => received.add(chunk) >= length && socket.end(received.digest()));
    socket.on("end", () => socket.end());
  }, options);
}

/** Sends {@linkcode payload} and ends. */
export function startSource(length: number, options?: TargetOptions): Promise<Target> {
  const bytes = payload(length);
  return startTarget((socket) => {
    socket.end(bytes);
    socket.resume();
  }, options);
}

/** Resets (RST) the connection once it has received that many bytes; with 0, at once. */
export function startReset(length: number, options?: TargetOptions): Promise<Target> {
  return startTarget((socket) => {
    const received = digester();
    if (length === 0) socket.resetAndDestroy();
    else socket.on("data", (chunk) => received.add(chunk) >= length && socket.resetAndDestroy());
    socket.on("end", () => socket.end());
  }, options);
}

/** Receives and never says anything; ends after the client's end. */
export function startSilent(options?: TargetOptions): Promise<Target> {
  return startTarget((socket) => {
    socket.resume();
    socket.on("end", () => socket.end());
  }, options);
}

/** Accepts and never reads, so that the sender comes to a stop. */
export function startStalled(options?: TargetOptions): Promise<Target> {
  return startTarget((socket) => socket.pause(), options);
}

/** That many bytes that look random and are always the same. */
export function payload(length: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = 0x9e3779b9;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, length);
}

/** "<number of bytes> <SHA-256 in hex>\n". */
export function digestOf(bytes: Uint8Array): string {
  const whole = digester();
  whole.add(bytes);
  return whole.digest();
}

/** Starts a server of one's own kind. */
export function startTarget(serve: (socket: Socket) => void, options?: TargetOptions): Promise<Target> {
  return listening(createServer({ allowHalfOpen: true }, (socket) => serve(socket.setNoDelay(true))), options);
}

/** Lets a server listen on a free port of loopback. */
export async function listening(server: Server, { hostname = "127.0.0.1" }: TargetOptions = {}): Promise<Target> {
  const sockets = new Set<Socket>();
  const watch = new Changes();
  let accepted = 0;
  server.on("connection", (socket: Socket) => {
    accepted++;
    sockets.add(socket);
    socket.on("close", () => {
      sockets.delete(socket);
      watch.notify();
    });
    // a client that resets is no failure of the target
    socket.on("error", () => socket.destroy());
    watch.notify();
  });
  server.on("request", () => watch.notify()); // of a web server
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: hostname, port: 0 }, resolve);
  });
  const { port } = server.address() as AddressInfo;
  const hangUp = async () => {
    const gone = [...sockets].map((it) => new Promise<void>((resolve) => it.once("close", () => resolve())));
    for (const socket of sockets) socket.destroy();
    await Promise.all(gone);
  };
  const close = async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    await Promise.all([closed, hangUp()]);
  };
  return {
    hostname,
    port,
    address: hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`,
    get open() {
      return sockets.size;
    },
    get accepted() {
      return accepted;
    },
    until: (condition, timeout) => watch.until(condition, timeout),
    hangUp,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((addresses) => addresses?.some((it) => it.address === "::1"));
}

function digester(): { add(bytes: Uint8Array): number; digest(): string } {
  const hash = createHash("sha256");
  let length = 0;
  return {
    add(bytes) {
      hash.update(bytes);
      return length += bytes.length;
    },
    digest: () => `${length} ${hash.digest("hex")}\n`,
  };
}
