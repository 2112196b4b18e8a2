// Run by tests/redis/processes_test.ts in a process of its own: uses a list of proxies as hard as it can, shares what it
// knows by Redis, and says what it has done for each line of its input.
import process from "node:process";
import { createInterface } from "node:readline";
import { Socks5Client } from "../../mod.ts";
import { redisStore } from "../../redis/mod.ts";
import { redisLibraries } from "./redis_clients.ts";

/** What it is given. */
export interface FleetTask {
  /** The name of the library that talks to Redis. */
  readonly library: string;
  readonly server: { hostname: string; port: number; credentials: { username: string; password: string } };
  readonly proxies: readonly { url: string; maxOpen: number }[];
  readonly target: string;
  /** How many connects run at a time. */
  readonly lines: number;
}

const { library, server, proxies, target, lines } = JSON.parse(process.argv[2]!) as FleetTask;
const { connect } = redisLibraries.find(({ name }) => name === library)!;
const { redis } = await connect(server as Parameters<typeof connect>[0]);
const states: string[] = [];
const errors: Record<string, number> = {};
const client = new Socks5Client(proxies, {
  balance: "least-open",
  shared: redisStore(redis),
  pool: { maxOpen: Infinity },
  onEvent: (event) => void (event.type === "shared" && states.push(event.state)),
});
let connects = 0;

async function use(): Promise<void> {
  try {
    const conn = await client.connect(target);
    await conn.read(new Uint8Array(100));
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
    conn.close();
    connects++;
  } catch (error) {
    const code = String((error as { code?: string }).code ?? error);
    errors[code] = (errors[code] ?? 0) + 1;
  }
}

let isOver = false;
const all = Array.from({ length: lines }, async () => {
  while (!isOver) await use();
});
console.log(JSON.stringify({ connects, errors, states }));
for await (const line of createInterface({ input: process.stdin })) {
  if (line === "end") {
    isOver = true;
    await Promise.all(all);
    await client.close();
  }
  console.log(JSON.stringify({ connects, errors, states }));
  if (isOver) break;
}
process.exit();
