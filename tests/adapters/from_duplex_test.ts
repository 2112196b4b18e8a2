import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { once } from "node:events";
import { connect, Socket } from "node:net";
import { Duplex, PassThrough, Readable } from "node:stream";
import { connect as connectTls } from "node:tls";
import { fromDuplex, toDuplex } from "../../agent/mod.ts";
import { Socks5Client, type Transport } from "../../mod.ts";
import type { Endpoint } from "../../src/transport.ts";
import { certificates } from "../support/certificates.ts";
import { bytes, contract, readAll, readFull, text } from "../support/contract.ts";
import { type Pair, pairOf, peerOf } from "../support/peer.ts";
import { assertEchoes, withProxy, withTarget } from "../support/stage.ts";
import { startEcho } from "../support/targets.ts";
import { test } from "../support/test.ts";
import { tlsPairOf } from "../support/tls_targets.ts";

const { authority } = certificates();

contract("fromDuplex() of a net.Socket", () => pairOf(async (to) => fromDuplex(await opened(to))));

contract("fromDuplex() of a Duplex", () => Promise.resolve(duplexPair()), { fake: true });

contract("fromDuplex() of a toDuplex()", () =>
  pairOf(async (to) => {
    const stream = toDuplex(async () => fromDuplex(await opened(to)));
    await once(stream.connect(), "connect");
    return fromDuplex(stream);
  }));

const overTls = "fromDuplex() of a TLSSocket";
if ("Deno" in globalThis) {
  const why = "Deno's TLSSocket takes a reset for an end, and keeps all that it is sent";
  test(overTls, () => {}, { skip: why });
} else {
  contract(overTls, () =>
    tlsPairOf(async (to) => {
      const { hostname, port } = to as { hostname: string; port: number };
      const socket = connectTls({ host: hostname, port, servername: "localhost", ca: authority.cert });
      await once(socket, "secureConnect");
      return fromDuplex(socket);
    }, (conn) => Promise.resolve(conn)));
}

test("a client connects over a transport of fromDuplex()", () =>
  withTarget(startEcho(), (echo) =>
    withProxy({}, async (proxy) => {
      const transport: Transport<Socket> = { connect: async (to) => fromDuplex(await opened(to)) };
      const conn = await new Socks5Client(proxy.url, { transport }).connect(echo.address);
      await assertEchoes(conn);
      const { socket } = conn.detach();
      assert(socket instanceof Socket);
      socket.end("bye");
      assertEquals(String((await once(socket, "data"))[0]), "bye");
      socket.destroy();
    })));

test("fromDuplex() refuses what is no Duplex of bytes", () => {
  const wrong: [stream: unknown, says: string][] = [
    [undefined, "undefined"],
    [null, "null"],
    ["secret", "a string"],
    [{ readable: new ReadableStream(), writable: new WritableStream() }, "an object"],
    [new Readable(), "an object"],
    [new Duplex({ objectMode: true }), "object mode"],
    [new Duplex({ readableObjectMode: true }), "object mode"],
    [new Duplex({ writableObjectMode: true }), "object mode"],
    [new PassThrough().setEncoding("utf8"), "text"],
  ];
  for (const [stream, says] of wrong) assertThrows(() => fromDuplex(stream as Duplex), TypeError, says);
});

test("fromDuplex() reads first what the stream has received, and what was pushed back into it", async () => {
  const stream = new PassThrough();
  stream.write("world");
  stream.unshift("hello ");
  const conn = fromDuplex(stream);
  assertEquals(text(await readFull(conn, 11)), "hello world");
  conn.close();
});

test("fromDuplex() of a stream that has ended reads the end, and what is before it", async () => {
  const stream = new PassThrough();
  stream.end("last");
  const conn = fromDuplex(stream);
  assertEquals(text(await readAll(conn, 3)), "last");
  const again = fromDuplex(stream);
  assertEquals(await again.read(new Uint8Array(1)), null);
  await assertRejects(() => again.write(bytes("x")), Error);
  await again.closeWrite();
  again.close();
});

test("fromDuplex() of a stream that was destroyed rejects with its error", async () => {
  for (const error of [undefined, new Error("broken")]) {
    const stream = new PassThrough().on("error", () => {});
    stream.destroy(error);
    await new Promise((resolve) => stream.once("close", resolve));
    const conn = fromDuplex(stream);
    const failures = [conn.read(new Uint8Array(1)), conn.write(bytes("x")), conn.closeWrite()];
    for (const failure of failures) {
      const reason = await assertRejects(() => failure, Error);
      if (error) assertStrictEquals(reason, error);
    }
    conn.close();
    conn.close();
  }
});

test("fromDuplex(): a stream that somebody destroys rejects what waits", async () => {
  const stream = new Stalled();
  const conn = fromDuplex(stream);
  const waiting = [conn.read(new Uint8Array(1)), conn.write(bytes("x")), conn.closeWrite()];
  const rejected = waiting.map((it) => assertRejects(() => it, Error));
  stream.destroy();
  await Promise.all(rejected);
});

test("fromDuplex(): close() rejects what waits, although the stream never answers, and throws nothing", async () => {
  const stream = new Stalled();
  const conn = fromDuplex(stream);
  const waiting = [conn.read(new Uint8Array(1)), conn.write(bytes("x")), conn.closeWrite()];
  const rejected = waiting.map((it) => assertRejects(() => it, Error, "closed"));
  stream.destroy = () => {
    throw new Error("destroy() failed");
  };
  conn.close();
  await Promise.all(rejected);
  Duplex.prototype.destroy.call(stream);
});

test("fromDuplex(): detach() gives the stream back with all that nobody has read", async () => {
  const { conn, peer, end } = duplexPair({ allowHalfOpen: false });
  await peer.write(bytes("read, unread"));
  assertEquals(text(await readFull(conn, 6)), "read, ");
  assertEquals(text(await readFull(conn, 6)), "unread");
  await peer.write(bytes("rest"));
  assertEquals(await conn.read(new Uint8Array(4)), 4);
  const pending = conn.read(new Uint8Array(1));
  assertThrows(() => conn.detach!(), TypeError, "a read is pending");
  await peer.write(bytes("1234"));
  await pending;
  const { socket, head } = conn.detach!();
  assertStrictEquals(socket, end as Duplex);
  assertEquals([head.length, socket.allowHalfOpen], [0, false]);
  await assertRejects(() => conn.read(new Uint8Array(1)), Error, "detached");
  await assertRejects(() => conn.write(bytes("x")), Error, "detached");
  assertThrows(() => conn.detach!(), TypeError, "detached");
  conn.close(); // is not the owner any more
  peer.end();
  let rest = "";
  for await (const chunk of socket) rest += chunk;
  assertEquals(rest, "234");
  await peer.close();
});

test("fromDuplex(): what a stream has of a socket is used", async () => {
  const { conn, peer } = await pairOf(async (to) => fromDuplex(await opened(to)));
  assertEquals(conn.remoteAddress, "127.0.0.1");
  conn.close();
  await peer.close();
  const calls: string[] = [];
  const stream = Object.assign(new PassThrough(), {
    remoteAddress: "proxy.example",
    ref: () => calls.push("ref"),
    unref: () => calls.push("unref"),
  });
  const named = fromDuplex(stream);
  assertEquals(named.remoteAddress, undefined); // no IP address
  named.unref!();
  named.ref!();
  named.close();
  named.unref!();
  assertEquals(calls, ["unref", "ref"]);
});

/** A stream that never answers. */
class Stalled extends Duplex {
  override _read(): void {}
  override _write(): void {}
  override _final(): void {}
}

async function opened(to: Endpoint): Promise<Socket> {
  const socket = connect("path" in to ? { path: to.path } : { host: to.hostname, port: to.port });
  await once(socket, "connect");
  return socket;
}

/** A stream that gives its other end what is written, and waits until that takes it. */
class End extends Duplex {
  other!: End;
  #taken: (() => void) | undefined;

  override _read(): void {
    const taken = this.other.#taken;
    this.other.#taken = undefined;
    taken?.();
  }

  override _write(chunk: Uint8Array, _: string, done: () => void): void {
    if (this.other.destroyed) return this.destroyWith("EPIPE") as unknown as void;
    if (this.other.push(chunk)) done(); // keeps the chunk
    else this.#taken = done;
  }

  override _final(done: () => void): void {
    this.other.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!this.other.destroyed && !this.writableFinished) this.other.push(null);
    done(error);
  }

  destroyWith(code: string): void {
    this.destroy(Object.assign(new Error(code), { code }));
  }

  setNoDelay(): void {}

  /** A reset: what the other end has received stays readable. */
  resetAndDestroy(): void {
    this.other.destroyWith("ECONNRESET");
    this.destroy();
  }
}

function duplexPair(options: { allowHalfOpen?: boolean } = {}): Pair<End> & { end: End; other: End } {
  const [end, other] = [new End(options), new End()];
  end.other = other;
  other.other = end;
  return { conn: fromDuplex(end), peer: peerOf(other as unknown as Socket), end, other };
}
