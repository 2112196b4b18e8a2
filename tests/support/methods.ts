import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { AuthMethod, Conn } from "../../mod.ts";

/** METHOD of a vendor's own (RFC 1928 section 3: 80 to FE), and that of GSSAPI. */
export const SIGNED = 0x80;
export const GSSAPI = 0x01;

/** A challenge of the proxy, signed with the password: both sides are real. */
export const signed: AuthMethod = {
  method: SIGNED,
  async *negotiate({ credentials }) {
    const challenge = (yield { have: 16 }).slice();
    const answer = yield { write: await sign(credentials!.password!, challenge), have: 1 };
    if (answer[0] !== 0) throw new Error(`refused, ${answer[0]}`);
  },
};

/**
 * What RFC 1961 sends, with a stand-in for the mechanism: one round of tokens (section 3), the level of protection
 * (section 4), then each message in a frame of its own (section 5).
 */
export const gssapi: AuthMethod = {
  method: GSSAPI,
  *negotiate({ conn }) {
    for (const [mtyp, token] of [[1, "init"], [2, "level 2"]] as const) {
      const write = frame(mtyp, seal(new TextEncoder().encode(token)));
      const start = yield { write, have: 2, most: 4 };
      if (start[1] !== mtyp) throw new Error(`aborted, ${start[1]}`); // 01 FF and nothing more (section 3.8)
      const head = yield { have: 4 };
      yield { have: 4 + (head[2]! << 8 | head[3]!) };
    }
    return new FramedConn(conn);
  },
};

/** A connection over one whose messages are sealed, each in a frame. */
export class FramedConn implements Conn {
  readonly #inner: Conn;
  #unread = new Uint8Array();
  closes = 0;

  constructor(inner: Conn) {
    this.#inner = inner;
  }

  async read(p: Uint8Array): Promise<number | null> {
    if (p.length === 0) return 0;
    while (this.#unread.length === 0) {
      const head = await this.#exactly(4);
      if (head === null) return null;
      if (head[0] !== 1 || head[1] !== 3) throw new Error("malformed frame");
      const token = await this.#exactly(head[2]! << 8 | head[3]!);
      if (token === null) throw new Error("cut frame");
      this.#unread = seal(token);
    }
    const n = Math.min(p.length, this.#unread.length);
    p.set(this.#unread.subarray(0, n));
    this.#unread = this.#unread.subarray(n);
    return n;
  }

  async write(p: Uint8Array): Promise<number> {
    for (let at = 0; at < p.length; at += 0xffff) {
      await this.#inner.write(frame(3, seal(p.subarray(at, at + 0xffff))));
    }
    return p.length;
  }

  closeWrite(): Promise<void> {
    return this.#inner.closeWrite();
  }

  close(): void {
    this.closes++;
    this.#inner.close();
  }

  ref(): void {
    this.#inner.ref?.();
  }

  unref(): void {
    this.#inner.unref?.();
  }

  async #exactly(n: number): Promise<Uint8Array<ArrayBuffer> | null> {
    const bytes = new Uint8Array(n);
    for (let got = 0; got < n;) {
      const more = await this.#inner.read(bytes.subarray(got));
      if (more === null && got === 0) return null;
      if (more === null) throw new Error("cut frame");
      got += more;
    }
    return bytes;
  }
}

/** How a proxy with methods of its own behaves. */
export interface MethodProxyOptions {
  /** The METHOD that it chooses. */
  method: number;
  password?: string;
  /** Where its answers are cut, counted over all of them: the rest of a piece comes a moment later. */
  cuts?: readonly number[];
  /** A port on loopback that all targets are; without it they are an echo. With GSSAPI. */
  target?: number;
  /** Hangs up instead of the byte of this number. */
  endsAt?: number;
}

/** A SOCKS5 server on loopback for methods that are not built in. */
export interface MethodProxy {
  readonly host: string;
  /** The greetings that came. */
  readonly greetings: number[][];
  /** How many bytes it has sent. */
  readonly sent: number;
  readonly open: number;
  close(): Promise<void>;
}

/** Starts one on a free loopback port. */
export async function startMethodProxy(options: MethodProxyOptions): Promise<MethodProxy> {
  const sockets = new Set<Socket>();
  const proxy = { host: "", greetings: [] as number[][], sent: 0 };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.setNoDelay(true).on("error", () => {}).on("close", () => sockets.delete(socket));
    serve(socket, options, proxy).catch(() => {}).finally(() => socket.end());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  proxy.host = `127.0.0.1:${(server.address() as { port: number }).port}`;
  return Object.assign(proxy, {
    get open() {
      return sockets.size;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  });
}

async function serve(
  socket: Socket,
  { method, password = "", cuts = [], endsAt = Infinity, target }: MethodProxyOptions,
  proxy: { greetings: number[][]; sent: number },
): Promise<void> {
  const take = taker(socket);
  let at = 0;
  const send = async (bytes: Uint8Array | number[]) => {
    for (const byte of bytes) {
      if (at === endsAt) throw new Error("hung up");
      if (cuts.includes(at)) await delay(1);
      socket.write(Uint8Array.of(byte));
      proxy.sent = ++at;
    }
  };
  const [, n] = await take(2);
  proxy.greetings.push([5, n!, ...await take(n!)]);
  await send([5, method]);
  const isFramed = method === GSSAPI;
  if (method === SIGNED) {
    const challenge = crypto.getRandomValues(new Uint8Array(16));
    await send(challenge);
    const right = await sign(password, challenge);
    const isRight = (await take(32)).every((byte, i) => byte === right[i]);
    await send([isRight ? 0 : 1]);
    if (!isRight) return;
  }
  if (isFramed) {
    for (const token of ["init", "level 2"]) {
      const [ver, mtyp, high, low] = await take(4);
      const said = new TextDecoder().decode(seal(await take(high! << 8 | low!)));
      if (ver !== 1 || said !== token) return await send([1, 0xff]);
      await send(frame(mtyp!, seal(new TextEncoder().encode("yes"))));
    }
  }
  const unframed = async () => {
    const [, , high, low] = await take(4);
    return seal(await take(high! << 8 | low!));
  };
  const say = (bytes: number[]) => send(isFramed ? frame(3, seal(Uint8Array.from(bytes))) : bytes);
  const asked = isFramed ? await unframed() : await take(10); // targets have IPv4 addresses
  await say([5, asked[1] === 1 && asked.length === 10 ? 0 : 1, 0, 1, 127, 0, 0, 1, 0, 80]);
  if (target !== undefined) {
    const onward = connect(target, "127.0.0.1").on("error", () => {}).on("data", (chunk: Uint8Array) => {
      socket.write(frame(3, seal(chunk)));
    }).on("close", () => socket.end());
    socket.on("close", () => onward.destroy());
    for (;;) onward.write(await unframed());
  }
  for (;;) await say([...isFramed ? await unframed() : await take(1)]);
}

/** Gives what a socket sends, n bytes at a time; rejects when it has ended. */
function taker(socket: Socket): (n: number) => Promise<Uint8Array<ArrayBuffer>> {
  let bytes: number[] = [];
  let isOver = false;
  let wake = () => {};
  socket.on("data", (chunk: Uint8Array) => {
    bytes.push(...chunk);
    wake();
  }).on("close", () => (isOver = true, wake())).on("end", () => (isOver = true, wake()));
  return async (n) => {
    while (bytes.length < n) {
      if (isOver) throw new Error("it has ended");
      await new Promise<void>((resolve) => wake = resolve);
    }
    const taken = Uint8Array.from(bytes.slice(0, n));
    bytes = bytes.slice(n);
    return taken;
  };
}

function frame(mtyp: number, token: Uint8Array): Uint8Array {
  return Uint8Array.of(1, mtyp, token.length >> 8, token.length & 0xff, ...token);
}

/** Stands for gss_wrap() and gss_unwrap(). */
function seal(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(bytes, (byte) => byte ^ 0x5a);
}

async function sign(password: string, challenge: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const hmac = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", new TextEncoder().encode(password), hmac, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, challenge));
}
