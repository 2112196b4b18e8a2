import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import type { Conn, Endpoint } from "../../src/transport.ts";
import { startModule } from "./child.ts";

export { pattern } from "./pattern.ts";

/** The other end of a connection under test. */
export interface Peer {
  /** Sends, and resolves when the system took all of it. */
  write(bytes: Uint8Array): Promise<void>;
  /** Ends the sending side (FIN). */
  end(): void;
  /** Resets the connection (RST). */
  reset(): void;
  /** Stops receiving; at once, if it is of this process. */
  pause(): void | Promise<void>;
  /** Receives again. */
  resume(): void;
  /** Gives all that was received, once that is at least `n` bytes; rejects if the connection ends before. */
  received(n: number): Promise<Uint8Array>;
  /** Resolves when the other side's FIN is received; rejects if the connection is reset before. */
  fin(): Promise<void>;
  /** Resolves when the connection is closed, by whomever. */
  gone(): Promise<void>;
  /** How many bytes are under way in the kernel, both ways together; 0 where there is no `/proc`. */
  inKernel?(): number | Promise<number>;
  /** Closes both ways. */
  close(): Promise<void>;
}

/** A connection under test and its other end. */
export interface Pair<S> {
  conn: Conn<S>;
  peer: Peer;
}

/** Connects to a server of its own on loopback, which exists only until it has accepted. */
export async function pairOf<S>(dial: (to: Endpoint) => Promise<Conn<S>>): Promise<Pair<S>> {
  const { endpoint, accepted, stop } = await listen();
  const conn = await dial(endpoint);
  const peer = await accepted();
  stop();
  return { conn, peer };
}

/** A server for connections under test. */
export interface Listener {
  endpoint: Endpoint;
  /** The next connection. */
  accepted(): Promise<Peer>;
  /** How many connections were accepted. */
  count(): number;
  /** Resolves when all that had connected by the call are accepted. */
  settled(): Promise<void>;
  /** Accepts no more. */
  stop(): void;
  /** Accepts no more and closes what was accepted. */
  close(): Promise<void>;
}

/** The other end that a server has at hand; `raw` is the socket under one with TLS. */
export function peerOf(socket: Socket, raw: Socket = socket): Peer {
  return new SocketPeer(socket, raw);
}

/** Listens on a free port of `hostname`, or on the path of a unix socket. */
export async function listen(
  at: { hostname: string } | { path: string } = { hostname: "127.0.0.1" },
): Promise<Listener> {
  const peers: Peer[] = [];
  let taken = 0;
  const server = createServer({ allowHalfOpen: true }, (socket) => peers.push(peerOf(socket)));
  server.listen("path" in at ? at : { host: at.hostname, port: 0 });
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  return {
    endpoint: "path" in at ? at : { hostname: at.hostname, port },
    count: () => peers.length,
    async settled() {
      // they are accepted in order, so before this one of our own
      const name = crypto.randomUUID();
      connect("path" in at ? at : { host: at.hostname, port }).on("error", () => {}).resume().end(name);
      const isOwn = async (peer: Peer) => new TextDecoder().decode(await peer.received(0)) === name;
      for (;; await new Promise((resolve) => setImmediate(resolve))) {
        const own = (await Promise.all(peers.map(isOwn))).indexOf(true);
        if (own >= 0) return await peers.splice(own, 1)[0]!.close();
      }
    },
    async accepted() {
      while (peers.length <= taken) await once(server, "connection");
      return peers[taken++]!;
    },
    stop: () => void server.close(),
    async close() {
      server.close();
      await Promise.all(peers.map((peer) => peer.close()));
    },
  };
}

/** A port on loopback that takes no more connections and refuses none: whoever connects there waits. */
export async function blackHole(): Promise<{ endpoint: Endpoint; close(): Promise<void> }> {
  const child = startModule(blocked);
  const port = Number(await child.says());
  const fillers: Socket[] = [];
  const fills = () =>
    new Promise<boolean>((resolve) => {
      const filler = connect(port, "127.0.0.1", () => resolve(true)).on("error", () => {});
      fillers.push(filler);
      setTimeout(() => resolve(false), 300).unref();
    });
  while (await fills());
  return {
    endpoint: { hostname: "127.0.0.1", port },
    async close() {
      for (const filler of fillers) filler.destroy();
      await child.kill();
    },
  };
}

// Bun ignores the backlog (513 connections fill its queue), and each runtime accepts as long as its loop turns
const blocked = `
import { createServer } from "node:net";
const server = createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
  process.stdout.write(server.address().port + "\\n", () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
});`;

class SocketPeer implements Peer {
  #socket: Socket;
  #raw: Socket;
  #chunks: Uint8Array[] = [];
  #length = 0;
  #ended = false;
  #waiting: (() => void)[] = [];

  constructor(socket: Socket, raw: Socket) {
    this.#socket = socket;
    this.#raw = raw;
    raw.setNoDelay(true); // or what Nagle holds back is lost to a reset
    const wake = () => this.#waiting.splice(0).forEach((waiter) => waiter());
    socket.on("data", (chunk: Uint8Array) => {
      this.#chunks.push(chunk);
      this.#length += chunk.length;
      wake();
    });
    socket.on("end", () => {
      this.#ended = true;
      wake();
    });
    socket.on("close", wake);
    socket.on("error", () => {}); // a reset by the side under test is no failure of the peer
  }

  write(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return Promise.resolve(); // with TLS Deno never says that it is done
    return new Promise((resolve, reject) => this.#socket.write(bytes, (error) => error ? reject(error) : resolve()));
  }

  end(): void {
    this.#socket.end();
  }

  reset(): void {
    this.#raw.resetAndDestroy();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  async received(n: number): Promise<Uint8Array> {
    await this.#until(() => this.#length >= n);
    const all = new Uint8Array(this.#length);
    let at = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }

  fin(): Promise<void> {
    return this.#until(() => this.#ended);
  }

  async gone(): Promise<void> {
    if (!this.#socket.closed) await new Promise<void>((resolve) => this.#socket.once("close", () => resolve()));
  }

  inKernel(): number {
    if (!existsSync("/proc/net/tcp")) return 0;
    const ports = [this.#raw.localPort, this.#raw.remotePort].map((port) => port!.toString(16).toUpperCase());
    let sum = 0;
    for (const row of readFileSync("/proc/net/tcp", "utf8").split("\n")) {
      const [, local = "", remote = "", , queues = ""] = row.trim().split(/\s+/);
      if (![local, remote].every((address) => ports.includes(address.split(":")[1] ?? ""))) continue;
      for (const queue of queues.split(":")) sum += parseInt(queue, 16);
    }
    return sum;
  }

  async close(): Promise<void> {
    this.#socket.destroy();
    await this.gone();
  }

  async #until(done: () => boolean): Promise<void> {
    while (!done()) {
      if (this.#socket.destroyed) throw new Error("The connection ended before");
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}
