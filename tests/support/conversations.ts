import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { setImmediate as turn, setTimeout as delay } from "node:timers/promises";
import { converse } from "../../src/attempt/converse.ts";
import { ProtocolError } from "../../src/errors.ts";
import type { Steps } from "../../src/protocol/steps.ts";
import type { Conn } from "../../src/transport.ts";
import { bytes, readAll, readFull, text } from "./contract.ts";
import { type Pair, pattern, type Peer } from "./peer.ts";
import { test } from "./test.ts";

/** What a conversation over a connection of any kind promises. */
export function conversations<S>(
  name: string,
  open: () => Promise<Pair<S>>,
  { fake, except }: { fake: boolean; except: Record<string, string> },
): void {
  const promises = (what: string, check: (conn: Conn<S>, peer: Peer) => Promise<void>, skip: string | false = false) =>
    test(`${name}, in conversation: ${what}`, () => using(open, check), { skip: except[what] ?? skip });
  const kernel = fake && "a fake has no kernel under it";

  promises("each message waits for the answer to the last, and what the steps return is given", async (conn, peer) => {
    const talk = converse(conn, greeting());
    assertEquals(text(await peer.received(5)), "hello");
    await peer.write(bytes("hi"));
    assertEquals(text(await peer.received(10)), "hello" + "name?");
    await turn();
    assertEquals(text(await peer.received(10)), "hello" + "name?", "nothing is sent before the answer is whole");
    await peer.write(bytes("12alicia"));
    assertEquals(await talk, ["hi", "12", "12alicia"]);
    assertEquals(text(await peer.received(10)), "hello" + "name?", "nothing more is sent");
  });

  test(`${name}, in conversation: cut at each byte, and byte by byte`, async () => {
    const answer = bytes("hi" + "12alicia");
    const cuts = Array.from({ length: answer.length - 1 }, (_, i) => [i + 1]);
    for (const cut of [...cuts, cuts.flat()]) {
      await using(open, async (conn, peer) => {
        const talk = converse(conn, greeting());
        for (const [i, from] of [0, ...cut].entries()) {
          await peer.write(answer.subarray(from, cut[i]));
          await delay(1);
        }
        assertEquals(await talk, ["hi", "12", "12alicia"], `cut at ${cut}`);
      });
    }
  });

  for (const early of [false, true]) {
    promises(`answers that come at once ${early ? "before it begins " : ""}are taken in turn`, async (conn, peer) => {
      const talking = early ? undefined : converse(conn, greeting());
      await peer.write(bytes("hi" + "12alicia"));
      if (early) await delay(5);
      assertEquals(await (talking ?? converse(conn, greeting())), ["hi", "12", "12alicia"]);
      assertEquals(text(await peer.received(10)), "hello" + "name?");
    });
  }

  for (const length of [1, 100, 200_000]) {
    promises(`${length} bytes that come right behind the last answer stay readable`, async (conn, peer) => {
      const talk = converse(conn, greeting());
      const all = pattern(10 + length);
      all.set(bytes("hi" + "12alicia"));
      const sent = peer.write(all);
      assertEquals(await talk, ["hi", "12", "12alicia"]);
      const more = await readFull(conn, length);
      assertEquals(more.findIndex((byte, i) => byte !== all[10 + i]), -1);
      await sent;
    });
  }

  promises("nothing is read ahead of what a step may take", async (conn, peer) => {
    const talk = converse(
      conn,
      (function* (): Steps<number> {
        yield { write: bytes("?"), have: 3, most: 5 };
        return 3;
      })(),
    );
    await peer.write(bytes("abcdefgh"));
    assertEquals(await talk, 3);
    peer.end();
    assert(["fgh", "efgh", "defgh"].includes(text(await readAll(conn, 10))));
  });

  promises("an answer as long as one likes is whole, and has the start that was there before", async (conn, peer) => {
    const all = pattern(300_000);
    const talk = converse(
      conn,
      (function* (): Steps<Uint8Array> {
        yield { write: bytes("all"), have: 2, most: 10 };
        yield { have: 30 };
        return (yield { have: all.length }).slice(0, all.length);
      })(),
    );
    for (let at = 0; at < all.length; at += 50_000) await peer.write(all.subarray(at, at + 50_000));
    peer.end();
    const answer = await talk;
    assertEquals(answer.findIndex((byte, i) => byte !== all[i]), -1);
    assertEquals(await conn.read(new Uint8Array(1)), null);
  });

  promises("a message that wants no answer is sent, and so is a long one", async (conn, peer) => {
    const long = pattern(1 << 20);
    const talk = converse(
      conn,
      (function* (): Steps<string> {
        yield { write: bytes("a"), have: 0 };
        yield { write: long, have: 0 };
        return text((yield { write: bytes("z"), have: 2 }).subarray(0, 2));
      })(),
    );
    const got = await peer.received(long.length + 2);
    assertEquals(got.findIndex((byte, i) => byte !== (i === 0 ? 0x61 : i > long.length ? 0x7a : long[i - 1])), -1);
    await peer.write(bytes("ok"));
    assertEquals(await talk, "ok");
  });

  promises("steps that want nothing are done at once", async (conn) => {
    const steps = (function* (): Steps<string> {
      yield { have: 0 };
      return "done";
    })();
    assertEquals(await converse(conn, steps), "done");
  });

  promises("reads and writes go on behind it, and so does another one", async (conn, peer) => {
    for (let i = 1; i <= 3; i++) {
      const talk = converse(conn, greeting());
      await peer.write(bytes("hi" + "12alicia" + "more"));
      assertEquals(await talk, ["hi", "12", "12alicia"]);
      assertEquals(text(await readFull(conn, 4)), "more");
      assertEquals(await conn.write(bytes("!")), 1);
      assertEquals((await peer.received(11 * i)).length, 11 * i);
    }
  });

  test(`${name}, in conversation: an end after each byte is told as such`, async () => {
    const answer = bytes("hi" + "12alicia");
    for (let length = 0; length < answer.length; length++) {
      await using(open, async (conn, peer) => {
        const talk = outcome(converse(conn, greeting()));
        await peer.write(answer.subarray(0, length));
        peer.end();
        assertEnded(await talk, `an end after byte ${length}`);
      });
    }
  }, { skip: except["an end after each byte is told as such"] ?? false });

  promises("an end that was there long before is told as such", async (conn, peer) => {
    peer.end();
    await delay(5);
    assertEnded(await outcome(converse(conn, greeting())), "an end");
  });

  promises("what the last step throws rejects it, and what follows is still readable", async (conn, peer) => {
    const wrong = new Error("wrong answer");
    const talk = outcome(converse(conn, throwing(wrong)));
    await peer.write(bytes("no" + "more"));
    assertStrictEquals(await talk, wrong);
    assertEquals(text(await readFull(conn, 4)), "more");
    assertEquals(text(await peer.received(1)), "?");
  });

  promises("what the first step throws rejects it, and nothing is sent", async (conn, peer) => {
    const wrong = { any: "thing" };
    const steps = throwing(wrong);
    steps.next = () => {
      throw wrong;
    };
    assertStrictEquals(await outcome(converse(conn, steps)), wrong);
    await conn.write(bytes("on"));
    assertEquals(text(await peer.received(2)), "on");
  });

  promises("close() during it rejects, before and in the middle of an answer", async (conn, peer) => {
    const talk = outcome(converse(conn, greeting()));
    await peer.received(5);
    await peer.write(bytes("h"));
    await delay(2);
    conn.close();
    const error = await talk;
    assert(error instanceof Error && !(error instanceof ProtocolError), String(error));
  });

  promises("close() by the steps themselves rejects it or ends it, and harms nobody", async (conn, peer) => {
    const talk = outcome(
      converse(
        conn,
        (function* (): Steps<void> {
          yield { write: bytes("?"), have: 2 };
          conn.close();
          yield { write: bytes("!"), have: 2 };
        })(),
      ),
    );
    await peer.write(bytes("no"));
    assert(await talk instanceof Error);
  });

  promises("on a connection that is closed it rejects", async (conn) => {
    conn.close();
    assert(await outcome(converse(conn, greeting())) instanceof Error);
  });

  promises("with a read that waits it is a TypeError, and the read is left alone", async (conn, peer) => {
    const p = new Uint8Array(4);
    const reading = conn.read(p);
    await assertRejects(() => converse(conn, greeting()), TypeError);
    await peer.write(bytes("only"));
    assertEquals([await reading, text(p)], [4, "only"]);
  });

  promises("a read meanwhile is a TypeError and leaves it alone", async (conn, peer) => {
    const talk = converse(conn, greeting());
    await peer.received(5);
    await delay(1);
    await assertRejects(() => conn.read(new Uint8Array(1)), TypeError);
    await peer.write(bytes("hi" + "12alicia"));
    assertEquals(await talk, ["hi", "12", "12alicia"]);
  });

  promises("a reset in the middle of an answer is an error and no end", async (conn, peer) => {
    const talk = outcome(converse(conn, greeting()));
    await peer.received(5);
    await peer.write(bytes("h"));
    peer.reset();
    const error = await talk;
    assert(error instanceof Error && !(error instanceof ProtocolError), String(error));
  });

  promises("a reset before it is an error, however late it begins", async (conn, peer) => {
    peer.reset();
    await peer.gone();
    await delay(5);
    const error = await outcome(converse(conn, greeting()));
    assert(error instanceof Error && !(error instanceof ProtocolError), String(error));
  });

  test(`${name}, in conversation: an answer counts although a reset comes right behind it`, async () => {
    for (let i = 0; i < 50; i++) {
      await using(open, async (conn, peer) => {
        const talk = converse(
          conn,
          (function* (): Steps<string> {
            yield { write: bytes("?"), have: 2, most: 7 };
            yield { have: 5, most: 7 };
            return text((yield { have: 10 }).subarray(0, 10));
          })(),
        );
        await peer.received(1);
        await peer.write(bytes("0123456789"));
        peer.reset();
        if (i % 5 > 0) await delay(2 * (i % 5));
        assertEquals(await talk, "0123456789");
        await assertRejects(() => conn.read(new Uint8Array(1)), Error);
      });
    }
  });

  promises("what is said for a slow reader waits at the sender meanwhile", async (conn, peer) => {
    const all = pattern(8 << 20);
    const talk = converse(
      conn,
      (function* (): Steps<string> {
        return text((yield { write: bytes("?"), have: 5 }).subarray(0, 5));
      })(),
    );
    const pushing = peer.write(Uint8Array.of(...bytes("first"))).then(() => peer.write(all)).then(() => peer.end());
    assertEquals(await talk, "first");
    await delay(20);
    const rest = await readAll(conn, 100_000);
    assertEquals(rest.length, all.length);
    assertEquals(rest.findIndex((byte, i) => byte !== all[i]), -1);
    await pushing;
  }, kernel);
}

/** Two messages; the answer to the second is taken in pieces, of which each says how long the next is. */
function* greeting(): Steps<string[]> {
  const hi = text((yield { write: bytes("hello"), have: 2 }).subarray(0, 2));
  const start = text((yield { write: bytes("name?"), have: 2, most: 4 }).subarray(0, 2));
  yield { have: 3, most: 4 };
  const whole = text((yield { have: 8 }).subarray(0, 8));
  return [hi, start, whole];
}

function* throwing(error: unknown): Steps<void> {
  yield { write: bytes("?"), have: 2 };
  throw error;
}

function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.then((value) => ({ gave: value }), (reason) => reason);
}

function assertEnded(error: unknown, what: string): void {
  assertEquals(error instanceof ProtocolError && error.code, "SOCKS5_PROXY_HUNG_UP", what);
}

async function using<S>(
  open: () => Promise<Pair<S>>,
  use: (conn: Conn<S>, peer: Peer) => Promise<void>,
): Promise<void> {
  const { conn, peer } = await open();
  try {
    await use(conn, peer);
  } finally {
    conn.close();
    await peer.close();
  }
}
