// Run by memory_test.ts in a process of its own, whose garbage can be collected: says how much of what was let go is gone.
import { contextOf } from "../../adapters/tls.ts";
import { Socks5Client, type Socks5Conn } from "../../mod.ts";
import { parseTls } from "../../src/config/tls_options.ts";
import { certificates } from "./certificates.ts";
import { FakeTransport, socks5 } from "./fake.ts";

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

const tunnels: Socks5Conn[] = [];
console.log(`signals of open tunnels: ${await gone(await signals(tunnels))}`);
console.log(`clients: ${await gone(await clients())}`);
const owners: object[] = [];
const refs = contexts(owners);
console.log(`contexts of owners that are there: ${await gone(refs)}`);
owners.length = 0;
console.log(`contexts of owners that are gone: ${await gone(refs)}`);
for (const tunnel of tunnels) tunnel.close();
