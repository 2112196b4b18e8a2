// The package itself over a transport without sockets, with as many of something as is asked for.
import process from "node:process";
import { Socks5Client } from "../../mod.ts";
import { spread } from "../support/figures.mjs";

const SLICES = 8;

export function open() {
  return {
    /** Microseconds of CPU for each operation of a scene with `size` of its kind, done about `count` times. */
    grow: ({ scene, size, count }) => scenes[scene](size, count),
  };
}

const scenes = {
  ...Object.fromEntries(
    ["round-robin", "random", "least-open", "fastest"].map((balance) => [
      balance,
      (size, count) => connects(clientOf(size, { balance }), count),
    ]),
  ),

  session: (size, count) => connects(clientOf(size), count, () => ["target.bench:80", { session: "alice" }]),

  "new sessions": (size, count) =>
    connects(clientOf(size), count, (i) => ["target.bench:80", { session: `session ${i}` }]),

  targets: (size, count) => connects(clientOf(), count, (i) => [`target-${i % size}.bench:80`]),

  async "blocked hosts"(size, count) {
    const client = clientOf(10, { balance: "round-robin" });
    const block = (i) => {
      client.suspend(`proxy.bench:${1 + i % 10}`, { for: 3_600_000, hostname: `host-${i}.bench` });
    };
    for (let i = 0; i < size; i++) block(i);
    const figures = await connects(client, count, (i) => [`www.host-${i % size}.bench:80`]);
    figures.suspend = await each(count, (i) => block(i % size));
    await client.close();
    return figures;
  },

  async "waiting at a proxy"(size, count) {
    const client = clientOf(1, { limit: 1, timeout: Infinity });
    const connect = () => client.connect("target.bench:80");
    let tunnel = await connect();
    const waiting = Array.from({ length: size }, connect);
    let first = 0;
    const served = await each(count, async () => {
      waiting.push(connect());
      tunnel.close();
      tunnel = await waiting[first++];
    });
    tunnel.close();
    for (const one of waiting.slice(first)) (await one).close();
    return { served };
  },

  "first works": (size, count) => connects(clientOf(size), count),

  async "last works"(size, count) {
    const client = clientOf(size, { isDead: (port) => port < size });
    await connects(client, 1);
    return await connects(client, count);
  },

  async "all dead"(size, count) {
    const client = clientOf(size, { isDead: () => true });
    const connect = () =>
      client.connect("target.bench:80").then(
        () => Promise.reject(new Error("it worked")),
        () => {},
      );
    return { attempt: await each(Math.ceil(count / size), connect) / size };
  },

  "deadlines apart": (size, count) => waits(size, count, (i, of) => enough(of) + i / 100),

  "deadlines together": (size, count) => waits(size, count, (_, of) => enough(of)),

  async "open tunnels"(size, count) {
    const client = clientOf();
    const tunnels = await all(size, () => client.connect("target.bench:80"));
    const figures = await connects(client, count);
    figures.stats = await each(10 * count, () => client.stats());
    for (const tunnel of tunnels) tunnel.close();
    return figures;
  },

  async "idle tunnels"(size, count) {
    const client = clientOf(1, { pool: { maxOpen: size, maxIdle: size } });
    const use = async (i) => (await client.connect(`target-${i}.bench:80`, { reuse: true })).release();
    await all(size, use);
    let at = 0;
    const hit = await each(count, () => use((at += 7_919) % size)); // a prime: here and there
    const { connects, reused } = client.stats();
    if (connects - reused !== size) {
      throw new Error("an idle tunnel was not used again");
    }
    let next = size;
    const eviction = await each(count, () => use(next++));
    if (client.stats().idle !== size) throw new Error("the pool is not full");
    await client.close();
    return { hit, eviction };
  },
};

/** Connects and closes. */
async function connects(client, count, args = () => ["target.bench:80"]) {
  return { connect: await each(count, async (i) => (await client.connect(...args(i))).close()) };
}

/** Microseconds of CPU for each of `count`, after as many that are not measured: the median of some slices. */
async function each(count, run) {
  const slice = Math.ceil(count / SLICES);
  let next = 0;
  const one = () => run(next++);
  await repeat(count, one);
  const figures = await all(
    Math.ceil(count / slice),
    () => spent(() => repeat(slice, one)),
  );
  return spread(figures).median / slice;
}

/**
 * Lets connects wait for a place until their time is up: `size` of each client, of so many clients side by side that about
 * `count` wait, since timers of the runtime and turns of its loop are shared.
 */
async function waits(size, count, timeout) {
  const clients = Array.from(
    { length: Math.ceil(count / size) },
    () => clientOf(1, { pool: { maxOpen: 1 } }),
  );
  const tunnels = await Promise.all(
    clients.map((client) => client.connect("target.bench:80")),
  );
  const whole = size * clients.length;
  const figures = await all(whole > count ? 1 : SLICES / 2, async () => {
    const waiting = [];
    const connect = await spent(async () => {
      for (const client of clients) {
        for (let i = 0; i < size; i++) {
          const options = { timeout: timeout(waiting.length, whole) };
          waiting.push(
            client.connect("target.bench:80", options).catch(({ code }) => code),
          );
        }
      }
      await pause(0);
    });
    const end = await spent(async () => {
      const codes = new Set(await Promise.all(waiting));
      if (codes.size !== 1 || !codes.has("SOCKS5_TIMEOUT")) {
        throw new Error(`it ended with ${[...codes]}`);
      }
    });
    return { connect: connect / whole, end: end / whole };
  });
  for (const tunnel of tunnels) tunnel.close();
  return {
    connect: spread(figures.map(({ connect }) => connect)).median,
    end: spread(figures.map(({ end }) => end)).median,
  };
}

function clientOf(
  size = 1,
  { isDead = () => false, balance = "first", limit = Infinity, timeout, pool } = {},
) {
  const proxies = Array.from(
    { length: size },
    (_, i) => ({ hostname: "proxy.bench", port: 1 + i, maxOpen: limit }),
  );
  return new Socks5Client(proxies, {
    balance,
    timeout,
    transport: {
      connect: ({ port }) => isDead(port) ? Promise.reject(new Error("dead")) : Promise.resolve(new Conn()),
    },
    retry: 0,
    cooldown: Infinity,
    pool: {
      maxOpen: Infinity,
      maxLifetime: Infinity,
      idleTimeout: Infinity,
      ...pool,
    },
  });
}

const NOTHING = new Uint8Array();
const METHOD = Uint8Array.of(5, 0);
const GRANTED = Uint8Array.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0);

/** A connection to a proxy that grants everything and then is silent. */
class Conn {
  #answers = [METHOD, GRANTED];
  #came = NOTHING;
  #reading;

  write(p) {
    this.#came = this.#answers.shift() ?? NOTHING;
    const reading = this.#reading;
    this.#reading = undefined;
    if (reading !== undefined) {
      this.read(reading.p).then(reading.resolve, reading.reject);
    }
    return Promise.resolve(p.length);
  }

  read(p) {
    if (this.#came.length === 0) {
      return new Promise((resolve, reject) => this.#reading = { p, resolve, reject });
    }
    const n = Math.min(p.length, this.#came.length);
    p.set(this.#came.subarray(0, n));
    this.#came = this.#came.subarray(n);
    return Promise.resolve(n);
  }

  closeWrite() {
    return Promise.resolve();
  }

  close() {
    this.#reading?.reject(new Error("closed"));
    this.#reading = undefined;
  }
}

async function all(size, run) {
  const made = [];
  for (let i = 0; i < size; i++) made.push(await run(i));
  return made;
}

async function repeat(times, run) {
  for (let i = 0; i < times; i++) await run();
}

/** Microseconds of CPU. */
async function spent(run) {
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

/** Milliseconds in which so many connects have begun. */
function enough(connects) {
  return 50 + connects / 40;
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
