import { assertEquals, assertRejects } from "@std/assert";
import { parseProxy } from "../../src/config/proxy_url.ts";
import { type Place, ProxyState } from "../../src/proxies/proxy_state.ts";
import { Waiters } from "../../src/proxies/waiters.ts";
import { test } from "../support/test.ts";

const [a, b] = ["a", "b"].map((name) => new ProxyState(parseProxy(`socks5://${name}`))) as [ProxyState, ProxyState];
const never = new AbortController().signal;
const any = () => true;

/** Serves whoever is next for each of these proxies, and gives the names of those that were, in that order. */
async function served(waiters: Waiters, waiting: Record<string, Promise<unknown>>, ...states: ProxyState[]) {
  const order: string[] = [];
  for (const [name, promise] of Object.entries(waiting)) void promise.then(() => order.push(name), () => {});
  for (const state of states) {
    waiters.nextFor(state, true)?.resolve({ state } as Place);
    await new Promise((resolve) => setTimeout(resolve));
  }
  return order;
}

test("the first in line is served, whether it waits for one proxy or for any", async () => {
  const waiters = new Waiters();
  const waiting = {
    any1: waiters.wait(undefined, any, never),
    b1: waiters.wait(b, any, never),
    a1: waiters.wait(a, any, never),
    any2: waiters.wait(undefined, any, never),
    a2: waiters.wait(a, any, never),
  };
  assertEquals(await served(waiters, waiting, a, b, a, a, b, a), ["any1", "b1", "a1", "any2", "a2"]);
  assertEquals(waiters.size, 0);
});

test("who does not accept a proxy is passed over, and keeps its place in line", async () => {
  const waiters = new Waiters();
  const waiting = {
    notA: waiters.wait(undefined, (state) => state !== a, never),
    any: waiters.wait(undefined, any, never),
  };
  assertEquals(await served(waiters, waiting, a, a, b), ["any", "notA"]);
});

test("at a proxy that is out of service those are served who wait for it alone", async () => {
  const waiters = new Waiters();
  const waiting = [waiters.wait(undefined, any, never), waiters.wait(a, any, never)];
  waiters.nextFor(a, false)?.resolve({ state: a } as Place);
  assertEquals([(await waiting[1])?.state, waiters.nextFor(a, false)], [a, undefined]);
  waiters.nextFor(a, true)?.resolve({ state: a } as Place);
  assertEquals([(await waiting[0])?.state, waiters.size], [a, 0]);
});

test("those who wait for one that is meant choose again, in their order", async () => {
  const waiters = new Waiters();
  const waiting = { b1: waiters.wait(b, any, never), a1: waiters.wait(a, any, never), b2: waiters.wait(b, any, never) };
  const released: string[] = [];
  for (const [name, promise] of Object.entries(waiting)) void promise.then(() => released.push(name));
  waiters.releaseAll((one) => one === b);
  await waiting.b2;
  assertEquals([released, waiters.size], [["b1", "b2"], 1]);
});

test("who is aborted leaves with the reason, and the others choose again when they are told to", async () => {
  const waiters = new Waiters();
  const controller = new AbortController();
  const [aborted, one, all] = [
    waiters.wait(undefined, any, controller.signal),
    waiters.wait(a, any, never),
    waiters.wait(undefined, any, never),
  ];
  controller.abort("enough");
  assertEquals(await aborted.catch((reason) => reason), "enough");
  waiters.release(a);
  assertEquals([await one, waiters.size], [undefined, 1]);
  waiters.release(undefined);
  assertEquals([await all, waiters.size], [undefined, 0]);
  await assertRejects(() => waiters.wait(a, any, controller.signal));
});
