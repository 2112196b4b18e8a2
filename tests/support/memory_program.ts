// Run by memory_test.ts in a process of its own, whose garbage can be collected: says how much of what was let go is gone.
import process from "node:process";
import { contextOf } from "../../adapters/tls.ts";
import { createFetch } from "../../fetch/mod.ts";
import { Socks5Client, type Socks5Conn } from "../../mod.ts";
import { parseTls } from "../../src/config/tls_options.ts";
import { certificates } from "./certificates.ts";
import { createTestProxy } from "../../testing/mod.ts";
import { FakeTransport, socks5 } from "./fake.ts";
import { startWeb } from "./http_server.ts";

const MANY = 20;

const { Bun, gc } = globalThis as { Bun?: { gc(all: boolean): void }; gc?: () => void };

/** How many of the references are dead, once garbage was collected. */
async function gone(refs: WeakRef<object>[]): Promise<number> {
  let dead = 0;
  for (let round = 0; round < 50 && dead < refs.length; round++) {
    await new Promise<void>((resolve) => void setTimeout(resolve, 1));
    Bun === undefined ? gc!() : Bun.gc(true);
    dead = refs.filter((ref) => ref.deref() === undefined).length;
  }
  return dead;
}

/** Signals of connects whose tunnels are open. */
async function signals(tunnels: Socks5Conn[]): Promise<WeakRef<object>[]> {
  const client = new Socks5Client("socks5://a", { transport: new FakeTransport(socks5()), onEvent() {} });
  const open = async () => {
    const { signal } = new AbortController();
    const data = new Uint8Array(10);
    const credentials = { username: "me", password: "secret" };
    tunnels.push(await client.connect("example.test:80", { signal, data, credentials }));
    return new WeakRef(signal);
  };
  return await Promise.all(Array.from({ length: MANY }, open));
}

/** Clients that were used and closed. */
async function clients(): Promise<WeakRef<object>[]> {
  const use = async () => {
    const client = new Socks5Client("socks5://a", { transport: new FakeTransport(socks5()) });
    (await client.connect("example.test:80")).close();
    await client.close();
    return new WeakRef(client);
  };
  return await Promise.all(Array.from({ length: MANY }, use));
}

const { cert, key } = certificates().client;

/** Contexts of TLS with a private key, each of another owner; and whether one owner has one context. */
function contexts(owners: object[]): WeakRef<object>[] {
  return Array.from({ length: MANY }, () => {
    const owner = {};
    owners.push(owner);
    const context = () => contextOf(parseTls("tls", { cert, key }, "example.test", owner)!);
    if (context() !== context()) throw new Error("each connect has a context of its own");
    return new WeakRef(context());
  });
}

const SESSIONS = 1_000;

/** What a session of a fetch costs that was used once, with one client and one fetch for all. */
async function sessions(): Promise<number> {
  const web = await startWeb((_, response) => response.end());
  const proxies = await Promise.all([1, 2, 3].map(() => createTestProxy({ rules: () => web })));
  const client = new Socks5Client(proxies.map(({ url }) => url), { pool: { maxOpen: 10 } });
  const fetch = createFetch(client);
  const heap = async (from: number) => {
    for (let i = from; i < from + SESSIONS; i++) await (await fetch("http://a.test/", { session: `${i}` })).text();
    for (const { connections } of proxies) (connections as unknown[]).length = 0; // what the proxies log
    (web.seen as unknown[]).length = 0;
    await gone([new WeakRef({}), new WeakRef({})]);
    return process.memoryUsage().heapUsed;
  };
  await heap(0); // what is made once
  const before = await heap(SESSIONS);
  const after = await heap(2 * SESSIONS);
  await fetch.close();
  await client.close();
  await Promise.all([...proxies, web].map((it) => it.close()));
  return Math.round((after - before) / SESSIONS);
}

const tunnels: Socks5Conn[] = [];
console.log(`signals of open tunnels: ${await gone(await signals(tunnels))}`);
console.log(`clients: ${await gone(await clients())}`);
const owners: object[] = [];
const refs = contexts(owners);
console.log(`contexts of owners that are there: ${await gone(refs)}`);
owners.length = 0;
console.log(`contexts of owners that are gone: ${await gone(refs)}`);
for (const tunnel of tunnels) tunnel.close();
console.log(`bytes of a session of a fetch at rest: ${await sessions()}`);
