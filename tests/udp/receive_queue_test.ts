import { assert, assertEquals, assertRejects } from "@std/assert";
import { ReceiveQueue } from "../../src/udp/receive_queue.ts";
import { test } from "../support/test.ts";

const datagram = (length: number) => ({ data: new Uint8Array(length) });

test("a mebibyte waits, empty datagrams count too, and what is taken makes room again", async () => {
  for (const length of [0, 1_000, 65_507]) {
    const arrivals = new ReceiveQueue();
    const fill = () => {
      let kept = 0;
      for (const before = arrivals.lost; arrivals.lost === before; kept++) arrivals.push(datagram(length));
      return kept - 1;
    };
    const kept = fill();
    assertEquals(kept, Math.floor((1 << 20) / (length + 256)));
    for (let i = 0; i < kept; i++) await arrivals.take();
    assertEquals([fill(), arrivals.lost], [kept, 2]);
    await arrivals.take();
    arrivals.push(datagram(length));
    assertEquals(arrivals.lost, 2);
  }
});

test("what is given to somebody who waits takes no room", async () => {
  const arrivals = new ReceiveQueue();
  for (let i = 0; i < 100; i++) {
    const taking = arrivals.take();
    assert(arrivals.isWaitedFor);
    arrivals.push(datagram(65_507));
    assertEquals((await taking)?.data.length, 65_507);
  }
  assertEquals([arrivals.lost, arrivals.isWaitedFor], [0, false]);
});

test("the end comes after what waits, and is the first that was told", async () => {
  const arrivals = new ReceiveQueue();
  arrivals.push(datagram(1));
  arrivals.end(() => new Error("broken"));
  arrivals.end();
  arrivals.push(datagram(2));
  assertEquals((await arrivals.take())?.data.length, 1);
  await assertRejects(() => arrivals.take(), Error, "broken");
  await assertRejects(() => arrivals.take(), Error, "broken");
  arrivals.clear();
});
