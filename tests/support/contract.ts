import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import { setTimeout as delay } from "node:timers/promises";
import type { Conn } from "../../src/transport.ts";
import { conversations } from "./conversations.ts";
import { type Pair, pattern, type Peer } from "./peer.ts";
import { test } from "./test.ts";
import { atRest } from "./wait.ts";

/**
 * What every {@linkcode Conn} promises, real or fake; `fake: true` leaves out what needs a kernel, `except` says
 * which promises cannot be kept, and why.
 */
export function contract<S>(
  name: string,
  open: () => Promise<Pair<S>>,
  { fake = false, except = {} }: { fake?: boolean; except?: Record<string, string> } = {},
): void {
  /** More than a kernel takes for who does not read, which is 4 MiB on Linux. */
  const MUCH = fake ? 1 << 20 : 8 << 20;

  conversations(name, open, { fake, except });

  const promises = (what: string, check: (conn: Conn<S>, peer: Peer) => Promise<void>, skip: string | false = false) =>
    test(`${name}: ${what}`, async () => {
      const { conn, peer } = await open();
      try {
        await check(conn, peer);
      } finally {
        conn.close();
        await peer.close();
      }
    }, { skip: except[what] ?? skip });
  const kernel = fake && "a fake has no kernel under it";

  promises("read() gives what is there and keeps the rest", async (conn, peer) => {
    await peer.write(bytes("hello world"));
    assertEquals(text(await readFull(conn, 5)), "hello");
    assertEquals(text(await readFull(conn, 6)), " world");
  });

  promises("read() fills the part of the buffer that it was given, and no more", async (conn, peer) => {
    await peer.write(bytes("abcdef"));
    const p = bytes("..........");
    let n = 0;
    while (n < 3) n += (await conn.read(p.subarray(4 + n, 7)))!;
    assertEquals(text(p), "....abc...");
  });

  promises("read() waits for bytes", async (conn, peer) => {
    const p = new Uint8Array(8);
    const reading = conn.read(p);
    await peer.write(bytes("x"));
    assertEquals(await reading, 1);
    assertEquals(p[0], 0x78);
  });

  promises("read() crosses the borders of what was written", async (conn, peer) => {
    const all = pattern(1000);
    for (let i = 0; i < 1000; i += 50) await peer.write(all.subarray(i, i + 50));
    for (let i = 0, n = 0; i < 1000; i += n) {
      n = 1 + (i % 97);
      assertEquals(await readFull(conn, Math.min(n, 1000 - i)), all.subarray(i, i + n));
    }
  });

  promises("read() byte by byte gives every byte once, and then the end", async (conn, peer) => {
    const all = pattern(3000);
    await peer.write(all);
    peer.end();
    assertEquals(await readAll(conn, 1), all);
  });

  promises("read() gives null at the end, for ever", async (conn, peer) => {
    await peer.write(bytes("last"));
    peer.end();
    assertEquals(text(await readAll(conn, 3)), "last");
    for (let i = 0; i < 3; i++) assertEquals(await conn.read(new Uint8Array(4)), null);
  });

  promises("read() gives bytes and end that were there long before", async (conn, peer) => {
    await peer.write(bytes("last"));
    peer.end();
    await delay(5);
    assertEquals(text(await readFull(conn, 4)), "last");
    assertEquals(await conn.read(new Uint8Array(4)), null);
    assertEquals(await conn.read(new Uint8Array(4)), null);
  });

  promises("a read that waits gets the end", async (conn, peer) => {
    const reading = conn.read(new Uint8Array(4));
    peer.end();
    assertEquals(await reading, null);
  });

  promises("a read into nothing gives 0, also at the end", async (conn, peer) => {
    const none = new Uint8Array();
    assertEquals(await conn.read(none), 0);
    await peer.write(bytes("x"));
    assertEquals(await conn.read(none), 0);
    assertEquals(text(await readFull(conn, 1)), "x");
    peer.end();
    assertEquals(await conn.read(new Uint8Array(1)), null);
    assertEquals(await conn.read(none), 0);
  });

  promises("a second read at the same time is a TypeError and leaves the first one alone", async (conn, peer) => {
    const p = new Uint8Array(4);
    const first = conn.read(p);
    await assertRejects(() => conn.read(new Uint8Array(4)), TypeError);
    await assertRejects(() => conn.read(new Uint8Array(0)), TypeError);
    await peer.write(bytes("only"));
    assertEquals([await first, text(p)], [4, "only"]);
  });

  promises("write() sends all and gives the length", async (conn, peer) => {
    assertEquals(await conn.write(bytes("hello")), 5);
    assertEquals(await conn.write(new Uint8Array()), 0);
    assertEquals(await conn.write(bytes("!")), 1);
    assertEquals(text(await peer.received(6)), "hello!");
  });

  promises("write() has taken the bytes when it resolves", async (conn, peer) => {
    const all = pattern(3 * MUCH / 8);
    const p = new Uint8Array(MUCH / 8);
    for (let i = 0; i < 3; i++) {
      p.set(all.subarray(i * p.length, (i + 1) * p.length));
      await conn.write(p);
      p.fill(0xff);
    }
    assertSame(await peer.received(all.length), all);
  });

  promises("writes at the same time keep their order", async (conn, peer) => {
    const all = pattern(MUCH);
    const sizes = [1, MUCH / 2, 7, 0, MUCH / 4, 100_000];
    const writes: Promise<number>[] = [];
    let at = 0;
    for (const size of sizes) writes.push(conn.write(all.subarray(at, at += size)));
    writes.push(conn.write(all.subarray(at)));
    const closing = conn.closeWrite();
    assertEquals(await Promise.all(writes), [...sizes, all.length - at]);
    await closing;
    await peer.fin();
    assertSame(await peer.received(0), all);
  });

  promises("reading and writing do not wait for each other", async (conn, peer) => {
    const all = pattern(MUCH);
    const [read] = await Promise.all([readFull(conn, all.length), conn.write(all), peer.write(all)]);
    assertSame(read, all);
    assertSame(await peer.received(all.length), all);
  });

  promises("closeWrite() ends one side only, and once", async (conn, peer) => {
    await conn.write(bytes("question"));
    await Promise.all([conn.closeWrite(), conn.closeWrite()]);
    await peer.fin();
    assertEquals(text(await peer.received(0)), "question");
    await peer.write(bytes("answer"));
    peer.end();
    assertEquals(text(await readAll(conn, 100)), "answer");
    await conn.closeWrite();
  });

  promises("the peer's end leaves the writing side open", async (conn, peer) => {
    peer.end();
    assertEquals(await conn.read(new Uint8Array(1)), null);
    await delay(1);
    await conn.write(bytes("still here"));
    assertEquals(text(await peer.received(10)), "still here");
    await conn.closeWrite();
    await peer.fin();
  });

  promises("write() after closeWrite() rejects and does no harm", async (conn, peer) => {
    await conn.closeWrite();
    await assertRejects(() => conn.write(bytes("late")), Error);
    await assertRejects(() => conn.write(new Uint8Array()), Error);
    await peer.fin(); // a write while the FIN is still unread fails with EPIPE in Deno's node:net
    await peer.write(bytes("fine"));
    assertEquals(text(await readFull(conn, 4)), "fine");
  });

  promises("close() ends a read that waits", async (conn) => {
    const reading = assertRejects(() => conn.read(new Uint8Array(1)), Error);
    conn.close();
    await reading;
  });

  promises("close() ends writes that wait, and a closeWrite() behind them", async (conn, peer) => {
    await peer.pause();
    const waiting = [
      assertRejects(() => conn.write(new Uint8Array(2 * MUCH)), Error),
      assertRejects(() => conn.write(new Uint8Array(1)), Error),
      assertRejects(() => conn.closeWrite(), Error),
    ];
    await delay(1);
    conn.close();
    await Promise.all(waiting);
  }, kernel);

  promises("after close() everything rejects and nothing throws, as often as one likes", async (conn, peer) => {
    await peer.write(bytes("unread"));
    conn.close();
    conn.close();
    await assertRejects(() => conn.read(new Uint8Array(1)), Error);
    await assertRejects(() => conn.write(bytes("x")), Error);
    await assertRejects(() => conn.closeWrite(), Error);
    conn.ref?.();
    conn.unref?.();
    conn.close();
    await peer.close();
  });

  promises("close() reaches the peer, after what was written", async (conn, peer) => {
    await conn.write(bytes("bye"));
    conn.close();
    await peer.fin();
    assertEquals(text(await peer.received(3)), "bye");
  });

  promises("a reset ends a read that waits with an error", async (conn, peer) => {
    const reading = assertRejects(() => conn.read(new Uint8Array(1)), Error);
    peer.reset();
    await reading;
  });

  promises("a reset while idle harms nobody and is an error for ever", async (conn, peer) => {
    peer.reset();
    await peer.gone();
    await delay(5);
    for (let i = 0; i < 3; i++) await assertRejects(() => conn.read(new Uint8Array(1)), Error);
    await assertRejects(() => conn.write(bytes("x")), Error);
    for (let i = 0; i < 3; i++) await assertRejects(() => conn.read(new Uint8Array(1)), Error);
  });

  promises("a reset that the writer hears of first is no end for the reader", async (conn, peer) => {
    await peer.write(bytes("cut"));
    peer.reset();
    await assertRejects(async () => {
      for (let i = 0; i < 200; i++) await conn.write(new Uint8Array(1000)).then(() => delay(1));
    }, Error);
    await assertRejects(() => readAll(conn, 10), Error);
  });

  test(`${name}: read() gives buffered bytes before the reset, however late it comes`, async () => {
    for (let i = 0; i < 50; i++) {
      const { conn, peer } = await open();
      try {
        await peer.write(pattern(100));
        peer.reset();
        if (i % 5 > 0) await delay(2 * (i % 5));
        assertEquals(await readFull(conn, 60), pattern(100).subarray(0, 60));
        if (i % 3 === 0) await delay(1);
        assertEquals(await readFull(conn, 40), pattern(100).subarray(60));
        for (let k = 0; k < 2; k++) await assertRejects(() => conn.read(new Uint8Array(1)), Error);
      } finally {
        conn.close();
        await peer.close();
      }
    }
  });

  promises("what a slow reader does not take waits at the sender", async (conn, peer) => {
    const all = pattern(MUCH);
    let pushed = 0;
    const pushing = (async () => {
      for (; pushed < all.length; pushed += 1 << 16) await peer.write(all.subarray(pushed, pushed + (1 << 16)));
      peer.end();
    })();
    await atRest(() => pushed);
    const kept = pushed - await peer.inKernel!();
    assertLess(kept, 1 << 20, "the adapter keeps more than 1 MiB for a reader that does not come");
    assertSame(await readAll(conn, 100_000), all);
    await pushing;
  }, kernel);

  promises("what a slow peer does not take waits at the writer", async (conn, peer) => {
    const all = pattern(MUCH);
    let written = 0;
    await peer.pause();
    const writing = (async () => {
      while (written < all.length) written += await conn.write(all.subarray(written, written + (1 << 16)));
      await conn.closeWrite();
    })();
    await atRest(() => written);
    assertLess(written, MUCH, "writes resolve although nobody takes the bytes");
    const kept = written - await peer.inKernel!();
    assertLess(kept, 1 << 20, "more than 1 MiB of what was written is in neither the kernel nor the peer");
    peer.resume();
    await writing;
    await peer.fin();
    assertSame(await peer.received(0), all);
  }, kernel);
}

/** Reads exactly `n` bytes. */
export async function readFull(conn: Conn, n: number): Promise<Uint8Array> {
  const p = new Uint8Array(n);
  for (let i = 0; i < n;) {
    const got = await conn.read(p.subarray(i));
    if (got === null) throw new Error(`The end came after ${i} of ${n} bytes`);
    assert(got > 0 && got <= n - i, `read() gave ${got}`);
    i += got;
  }
  return p;
}

/** Reads up to the end, at most `step` bytes at a time. */
export async function readAll(conn: Conn, step: number): Promise<Uint8Array> {
  const p = new Uint8Array(step);
  const chunks: Uint8Array[] = [];
  for (let n = await conn.read(p); n !== null; n = await conn.read(p)) chunks.push(p.slice(0, n));
  return new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer());
}

/** The bytes of a text. */
export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** The text of bytes. */
export function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** As `assertEquals`, for bytes too many to be printed. */
function assertSame(actual: Uint8Array, expected: Uint8Array): void {
  assertEquals(actual.length, expected.length);
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  assertEquals(at, -1, `byte ${at} differs`);
}
