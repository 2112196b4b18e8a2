// One client on one runtime, driven line by line: worker.mjs CLIENT. It ends with its input.
import { readFile } from "node:fs/promises";
import process from "node:process";
import { createInterface } from "node:readline";

const { open } = await import(`./clients/${process.argv[2]}.mjs`);
const clients = new Map();

/** The client of this setup; each is opened once. */
function clientOf(setup) {
  const key = JSON.stringify(setup);
  if (!clients.has(key)) clients.set(key, open(setup));
  return clients.get(key);
}

const commands = {
  /** Opens and closes tunnels, some at a time: microseconds of CPU for a dial, and of time from call to tunnel. */
  async dials(client, { count, concurrency }) {
    const { cpu, time } = await measure(async () => {
      await atATime(
        concurrency,
        count,
        async () => client.close(await client.dial("echo.bench:80")),
      );
    });
    return {
      cpu: cpu * 1_000 / count,
      time: time * 1_000 * concurrency / count,
    };
  },

  /** Requests over HTTP, some at a time: microseconds of CPU of each, and of time from the call to the end of its body. */
  async requests(client, { count, concurrency, isSecure, path, bytes }) {
    const { cpu, time } = await measure(async () => {
      await atATime(concurrency, count, async () => {
        const got = await client.get(isSecure, path);
        if (got !== bytes) throw new Error(`${got} bytes came, not ${bytes}`);
      });
    });
    return {
      cpu: cpu * 1_000 / count,
      time: time * 1_000 * concurrency / count,
    };
  },

  /** Opens a local proxy. */
  listen: (client) => client.listen(),

  /** Milliseconds of CPU until now. */
  cpu(client) {
    if (client.cpu !== undefined) return client.cpu();
    const { user, system } = process.cpuUsage();
    return { cpu: (user + system) / 1_000 };
  },

  /** Resident bytes of a local proxy after garbage collections. */
  resident: (client) => client.resident?.() ?? memoryNow(),

  /** Opens so many tunnels through a local proxy, which stay open. */
  idle: (client, { count }) => atATime(20, count, () => client.idle()).then(() => ({})),

  /** Moves bytes one way through a tunnel: milliseconds of CPU and of time. */
  async bulk(client, { direction, bytes, way }) {
    const tunnel = await client.dial(
      direction === "download" ? "source.bench:80" : "sink.bench:80",
    );
    const measured = await measure(() => client[direction](tunnel, bytes, way));
    client.close(tunnel);
    return measured;
  },

  /** Opens tunnels and keeps them: bytes that each adds, resident and of live heap; `isFilled`: they were there before. */
  async memory(client, { count, isFilled }) {
    const tunnels = [];
    const dial = async () => void tunnels.push(await client.dial("echo.bench:80"));
    if (isFilled) {
      await atATime(20, count, dial);
      for (const tunnel of tunnels.splice(0)) client.close(tunnel);
    }
    await atATime(20, 20, dial);
    const before = await memoryNow();
    await atATime(20, count, dial);
    const after = await memoryNow();
    return {
      resident: (after.resident - before.resident) / count,
      heap: (after.heap - before.heap) / count,
    };
  },

  /** Microseconds of CPU for what is done with many of a kind. */
  grow: (client, args) => client.grow(args),

  /** Milliseconds from the call to the first byte that comes back, of a client that is ready. */
  async firstByte(client) {
    await client.ready?.();
    const late = pause(2_000).then(() => Promise.reject(new Error("no byte came back in 2 s")));
    return await measure(() => Promise.race([client.firstByte(), late]));
  },

  /** Milliseconds from the call to the open tunnel. */
  async dial(client) {
    let tunnel;
    const measured = await measure(async () => tunnel = await client.dial("echo.bench:80"));
    client.close(tunnel);
    return measured;
  },
};

/** Milliseconds of CPU, also of what ends a turn later, and of time. */
async function measure(run) {
  const before = process.cpuUsage();
  const start = performance.now();
  await run();
  const time = performance.now() - start;
  await pause(1);
  const { user, system } = process.cpuUsage(before);
  return { cpu: (user + system) / 1_000, time };
}

async function atATime(concurrency, count, run) {
  let left = count;
  const line = async () => {
    while (left-- > 0) await run();
  };
  await Promise.all(Array.from({ length: concurrency }, line));
}

/** Bytes after garbage collections: the resident ones of the process, and those of live objects and their buffers. */
async function memoryNow() {
  for (let time = 0; time < 3; time++) {
    if (globalThis.Bun) Bun.gc(true);
    else globalThis.gc();
    await pause(30);
  }
  const [, pages] = (await readFile("/proc/self/statm", "utf8")).split(" ");
  return { resident: Number(pages) * 4_096, heap: await heapNow() };
}

async function heapNow() {
  if (globalThis.Bun) return (await import("bun:jsc")).heapStats().heapSize;
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

console.log("{}"); // ready
for await (const line of createInterface({ input: process.stdin })) {
  const { command, setup, ...args } = JSON.parse(line);
  let answer;
  try {
    answer = await commands[command](clientOf(setup), args);
  } catch (error) {
    answer = { error: error?.message ?? String(error) };
  }
  console.log(JSON.stringify(answer));
}
process.exit();
