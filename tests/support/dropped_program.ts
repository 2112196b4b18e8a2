// Run by fetch_connections_test.ts in a process of its own, whose garbage can be collected: drops responses unread.
import process from "node:process";
import { createFetch } from "../../fetch/mod.ts";
import { Socks5Client } from "../../mod.ts";

const { Bun, gc } = globalThis as { Bun?: { gc(all: boolean): void }; gc?: () => void };

const client = new Socks5Client(process.argv[2]!);
const fetch = createFetch(client);

async function open(): Promise<ReadableStream | null> {
  return (await fetch("http://a.test/")).body;
}

const held = await open();
for (let i = 0; i < 9; i++) await open();
for (let round = 0; round < 1000 && client.stats().inUse > 1; round++) {
  await new Promise((resolve) => setTimeout(resolve, 5));
  Bun === undefined ? gc!() : Bun.gc(true);
}
const first = await held!.getReader().read();
const isHeld = client.stats().inUse === 1 && new TextDecoder().decode(first.value) === "the beginning";
console.log(isHeld ? "the held one is open" : `${client.stats().inUse} are open`);
await fetch.close();
