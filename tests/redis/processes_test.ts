import { assert, assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Crowd, startCrowd } from "../proxies/crowd.ts";
import type { FleetTask } from "../support/fleet_program.ts";
import { redis } from "../support/real_servers.ts";
import { runtimes, testArgs } from "../support/tools.mjs";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const PROXIES = 8;
const MAX_OPEN = 5;
/** `SOCKS5_TEST_CROWD=full`: each phase takes longer, and the places of the process that was killed become free. */
const isFull = process.env.SOCKS5_TEST_CROWD === "full";
const PHASE = isFull ? 10_000 : 1_500;
const skip = redis.missing ||
  (process.platform !== "linux" && "127.0.1.1 is an address of this machine on Linux alone") ||
  (("Deno" in globalThis || "Bun" in globalThis) && "it starts all three runtimes, from one of them");

const LIBRARIES = { deno: "ioredis", bun: "Bun's RedisClient", node: "node-redis" } as const;

test("three processes on three runtimes share the places at eight proxies, whoever is killed", async () => {
  await using server = await redis.start();
  const crowd = await startCrowd({ count: PROXIES, bad: 0, answer: () => ({ status: 200 }) });
  const task = {
    server: { hostname: server.hostname, port: server.port, credentials: server.credentials! },
    proxies: crowd.proxies.map(({ url }) => ({ url, maxOpen: MAX_OPEN })),
    target: crowd.echo,
    lines: 30,
  };
  const programs = (Object.keys(LIBRARIES) as Runtime[]).map((runtime) =>
    new Program(runtime, { ...task, library: LIBRARIES[runtime] })
  );
  const [deno, bun, node] = programs as [Program, Program, Program];
  try {
    for (const program of programs) await program.said();
    await phase(crowd, "three processes", MAX_OPEN, programs);

    node.kill();
    await phase(crowd, "one was killed", MAX_OPEN, [deno, bun]);
    if (isFull) {
      await pause(31_000); // its leases end
      await phase(crowd, "the places of the one that was killed are free", MAX_OPEN, [deno, bun]);
    }

    await server.stop();
    await until(async () => (await deno.ask()).states.at(-1) === "lost" && (await bun.ask()).states.at(-1) === "lost");
    await phase(crowd, "Redis was killed, and each counts for itself", 2 * MAX_OPEN, [deno, bun]);

    await server.restart();
    await until(async () => (await deno.ask()).states.at(-1) === "back" && (await bun.ask()).states.at(-1) === "back");
    await pause(500); // what was open beyond the limit ends
    await phase(crowd, "Redis is back", MAX_OPEN, [deno, bun]);

    for (const program of [deno, bun]) assertEquals((await program.ask("end")).errors, {});
    await until(() => crowd.proxies.every(({ open }) => open === 0));
  } finally {
    for (const program of programs) await program.kill();
    await crowd.close();
  }
}, { skip });

/** For a while: never more connections at a proxy than that, and each process comes to something. */
async function phase(crowd: Crowd, name: string, most: number, programs: readonly Program[]): Promise<void> {
  const before = await Promise.all(programs.map((program) => program.ask()));
  for (const proxy of crowd.proxies) proxy.most = proxy.open;
  await pause(PHASE);
  const after = await Promise.all(programs.map((program) => program.ask()));
  const seen = crowd.proxies.map((proxy) => proxy.most);
  const connects = after.map(({ connects }, i) => connects - before[i]!.connects);
  if (isFull) console.log(name, JSON.stringify({ most: seen, connects, errors: after.map(({ errors }) => errors) }));
  assertLessOrEqual(Math.max(...seen), most, `${name}: ${seen}`);
  assert(seen.some((one) => one >= MAX_OPEN), `${name}: ${seen} is not much`);
  for (const count of connects) assertGreater(count, 10, `${name}: ${connects}`);
}

type Runtime = keyof typeof LIBRARIES;

interface Said {
  connects: number;
  errors: Record<string, number>;
  states: string[];
}

/** A process that uses the proxies. */
class Program {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<unknown>;
  readonly #onExit = () => void this.#child.kill("SIGKILL");
  #errors = "";

  constructor(runtime: Runtime, task: FleetTask) {
    const program = fileURLToPath(new URL("../support/fleet_program.ts", import.meta.url));
    const flags = { deno: ["run", "--allow-all", ...testArgs(false).deno.slice(2)], bun: [], node: [] }[runtime];
    this.#child = spawn(runtimes[runtime], [...flags, program, JSON.stringify(task)]);
    this.#child.stderr.setEncoding("utf8").on("data", (chunk) => this.#errors += chunk);
    this.#child.stdin.on("error", () => {});
    this.#ended = once(this.#child, "close");
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    process.once("exit", this.#onExit);
  }

  /** Gives what it says next. */
  async said(): Promise<Said> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`The process has ended: ${this.#errors}`);
    return JSON.parse(value);
  }

  ask(line = "?"): Promise<Said> {
    this.#child.stdin.write(`${line}\n`);
    return this.said();
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    process.off("exit", this.#onExit);
    await this.#ended;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
