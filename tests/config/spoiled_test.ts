import { assert, assertEquals } from "@std/assert";
import { type Conn, Socks5Client, type Socks5Options, type Transport } from "../../mod.ts";
import type { OwnedDialOptions } from "../../src/transport.ts";
import { type Clock, withClock } from "../support/clock.ts";
import { type FakeConn, FakeTransport, type Script, socks5 } from "../support/fake.ts";
import { test } from "../support/test.ts";

const TARGET = "example.test:80";
const REASON = new Error("the caller's own reason");
const TIMEOUT = 5_000;

const fail = (): never => {
  throw new Error("it throws");
};
const never = () => new Promise<never>(() => {});
const wrong = (value: unknown) => () => value as never;

/** What a connection of a transport may do although it must not: members that take the place of good ones. */
const CONNS: Record<string, (good: FakeConn) => object> = {
  "close() throws": (good) => ({ close: () => (good.close(), fail()) }),
  "close() throws the second time": (good) => ({ close: () => good.closed ? fail() : good.close() }),
  "close() rejects": (good) => ({ close: () => (good.close(), Promise.reject(new Error("it rejects"))) }),
  "read() throws": () => ({ read: fail }),
  "read() throws a TypeError": () => ({ read: () => (undefined as unknown as Conn).read(new Uint8Array(1)) }),
  "read() never settles": () => ({ read: never }),
  ...Object.fromEntries(
    [undefined, null, 0, 5, -1, NaN, "5", Promise.resolve(-1), Promise.resolve(1e9), Promise.resolve(0.5)].map(
      (value) => [`read() gives ${value} (${typeof value})`, () => ({ read: wrong(value) })],
    ),
  ),
  "write() throws": () => ({ write: fail }),
  "write() never settles": () => ({ write: never }),
  "write() gives no promise": () => ({ write: wrong(undefined) }),
  "write() takes a part": (good) => ({ write: (p: Uint8Array) => good.write(p.subarray(1)) }),
  "closeWrite() throws": () => ({ closeWrite: fail }),
  "closeWrite() gives no promise": () => ({ closeWrite: wrong(undefined) }),
  "ref() and unref() throw": () => ({ ref: fail, unref: fail }),
  "ref() and unref() reject": () => ({ ref: () => Promise.reject(REASON), unref: () => Promise.reject(REASON) }),
  "markIdle() and markInUse() throw": () => ({ markIdle: fail, markInUse: fail }),
  "markIdle() and markInUse() reject": () => ({
    markIdle: () => Promise.reject(REASON),
    markInUse: () => Promise.reject(REASON),
  }),
  "startTls() throws": () => ({ startTls: fail }),
  "startTls() never settles": () => ({ startTls: never }),
  "startTls() gives nothing": () => ({ startTls: wrong(undefined) }),
  "startTls() gives what is no connection": (good) => ({
    startTls: () => (good.close(), Promise.resolve({ close: fail })),
  }),
  "a getter throws": () => Object.defineProperty({}, "remoteAddress", { get: fail, enumerable: true }),
  "it has no write()": () => ({ write: undefined }),
  "it has no close()": (good) => (good.close(), { close: undefined }), // nobody else can
  "converse() throws": () => ({ converse: fail }),
};

/** What `connect()` of a transport may do although it must not. */
const CONNECTS: Record<string, () => unknown> = {
  "connect() throws": fail,
  "connect() rejects with nothing": () => Promise.reject(undefined),
  "connect() never settles": never,
  ...Object.fromEntries(
    [undefined, null, 5, "socket", {}, { close: fail }, Promise.resolve(null), Promise.resolve({ read: 1, close: 2 })]
      .map((value, i) => [`connect() gives ${JSON.stringify(value)} (${i})`, () => value]),
  ),
};

/** What a socket for datagrams may do although it must not. */
const SOCKETS: Record<string, () => unknown> = {
  "openDatagrams() throws": fail,
  "openDatagrams() gives nothing": () => undefined,
  "openDatagrams() gives what is no socket": () => Promise.resolve({ port: "1", close: fail }),
  "openDatagrams() never settles": never,
  "a socket whose send() and close() throw": () => Promise.resolve({ port: 1, send: fail, close: fail }),
  "a socket whose send() and close() give nonsense": () => ({ port: 1, send: () => 1, close: () => Promise.reject(1) }),
};

interface Stage {
  clock: Clock;
  transport: Transport;
  signal: AbortSignal;
  abort(): void;
  client(options?: Socks5Options, proxies?: string): Socks5Client;
}

interface Scene {
  script?: () => Script;
  use(stage: Stage): Promise<unknown>;
}

const use = async (conn: Conn): Promise<void> => {
  conn.ref?.();
  conn.unref?.();
  try {
    await conn.write(Uint8Array.of(1, 2, 3));
    await conn.closeWrite();
  } finally {
    conn.close();
  }
};

const refusing = (): Script => {
  const good = socks5();
  return (conn, written) => written.length > 4 ? conn.push(5, 5) : good(conn, written);
};

const commands = (): Script => {
  const good = socks5();
  return (conn, written) => {
    if (written[1] === 3) return conn.push(5, 0, 0, 1, 127, 0, 0, 1, 0, 9);
    good(conn, written);
    if (written[1] === 2 && written.length > 9) conn.push(5, 0, 0, 1, 127, 0, 0, 1, 0, 9);
  };
};

/** What is done with it, and how it ends. */
const SCENES: Record<string, Scene> = {
  "a connect": { use: async ({ client }) => await use(await client().connect(TARGET)) },
  "a connect that is refused": { script: refusing, use: ({ client }) => client().connect(TARGET) },
  "a pipelined connect": { use: ({ client }) => client({ handshake: "pipelined" }).connect(TARGET) },
  "a connect to a silent proxy": { script: () => () => {}, use: ({ client }) => client().connect(TARGET) },
  "an aborted connect": {
    script: () => () => {},
    async use({ client, signal, abort, clock }) {
      const connecting = client().connect(TARGET, { signal });
      connecting.catch(() => {});
      await clock.tick(10);
      abort();
      await connecting;
    },
  },
  "close() within a connect": {
    script: () => () => {},
    async use({ client, clock }) {
      const it = client();
      const connecting = it.connect(TARGET);
      connecting.catch(() => {});
      await clock.tick(10);
      await it.close();
      await connecting;
    },
  },
  "close() with a tunnel in use": {
    async use({ client, clock }) {
      const it = client();
      const conn = await it.connect(TARGET);
      const reading = conn.read(new Uint8Array(5)).catch(() => {});
      await clock.tick(1);
      await it.close();
      void reading;
    },
  },
  "a tunnel that is used again": {
    async use({ client, clock }) {
      const it = client();
      (await it.connect(TARGET, { reuse: true })).release();
      await clock.tick(10);
      const again = await it.connect(TARGET, { reuse: true });
      again.release();
      await clock.tick(200_000); // it has been idle for too long
    },
  },
  "sessions that are kept ready": {
    async use({ client, clock }) {
      const it = client({ pool: { warm: 2 } });
      await use(await it.connect(TARGET));
      await clock.tick(100);
      await use(await it.connect(TARGET));
      await clock.tick(100);
    },
  },
  "a check": { use: ({ client }) => client().check(TARGET) },
  "a connect with TLS": { use: async ({ client }) => await use(await client().connect(TARGET, { tls: true })) },
  "TLS to the proxy": { use: async ({ client }) => await use(await client({}, "socks5+tls://a").connect(TARGET)) },
  "TLS on a tunnel": {
    use: async ({ client }) => await use(await (await client().connect(TARGET)).startTls({ timeout: 100 })),
  },
  "a bind and its accept": {
    script: commands,
    use: async ({ client }) => await use(await (await client().bind(TARGET)).accept()),
  },
  "an association": {
    script: commands,
    async use({ client }) {
      const association = await client().associate({ allowPrivateRelay: true });
      association.unref();
      association.ref();
      await association.send(new Uint8Array(1), "192.0.2.1:53").finally(() => association.close());
    },
  },
  "a chain": {
    script: () => socks5({ hops: 2 }),
    use: async ({ client }) => await use(await client({ transport: client() }, "socks5://b").connect(TARGET)),
  },
};

/** Plays a scene: whatever comes of it, it ends, gives its places back and throws nothing where nobody listens. */
async function play(clock: Clock, { script = socks5, use }: Scene, spoil: (good: FakeTransport) => Partial<Transport>) {
  const good = new FakeTransport(script());
  good.onTls = () => {};
  const transport: Transport = {
    connect: (to, options) => good.connect(to, options),
    openDatagrams: (isIpv6, handlers) => good.openDatagrams(isIpv6, handlers),
    ...spoil(good),
  };
  const controller = new AbortController();
  const clients: Socks5Client[] = [];
  const stage: Stage = {
    clock,
    transport,
    signal: controller.signal,
    abort: () => controller.abort(REASON),
    client(options = {}, proxies = "socks5://a") {
      const client = new Socks5Client(proxies, { transport, timeout: TIMEOUT, retry: 1, ...options });
      clients.push(client);
      return client;
    },
  };
  const outcome = await clock.settle(use(stage).then(() => "done", (error: unknown) => error));
  assert(outcome === "done" || outcome instanceof Error || outcome === undefined, String(outcome));
  for (const client of clients.toReversed()) {
    await clock.settle(client.close());
    const { opening, inUse, idle, warm, waiting } = client.stats();
    assertEquals([opening, inUse, idle, warm, waiting], [0, 0, 0, 0, 0]);
  }
  await clock.tick(0);
  assert(!clock.next(), "a timer is left");
  assertEquals(good.open, 0, "a connection is left");
  return outcome;
}

/** A connection with the members of a fake one, some of them spoiled. */
function spoiled(good: FakeConn, spoil: (good: FakeConn) => object): Conn {
  const { alpnProtocol, startTls } = good;
  const conn: Conn = {
    read: (p) => good.read(p),
    write: (p) => good.write(p),
    closeWrite: () => good.closeWrite(),
    close: () => good.close(),
    ref: () => good.ref(),
    unref: () => good.unref(),
    ...(startTls && { startTls: async (options) => spoiled(await startTls(options), spoil) }),
    ...(alpnProtocol !== undefined && { alpnProtocol }),
  };
  return Object.defineProperties(conn, Object.getOwnPropertyDescriptors(spoil(good)));
}

test("each scene is what its name says as long as the connections are good", () =>
  withClock(async (clock) => {
    for (const [name, scene] of Object.entries(SCENES)) {
      const fails = /refused|silent|aborted|close\(\) within/.test(name);
      assertEquals(await play(clock, scene, () => ({})) === "done", !fails, name);
    }
  }));

for (const [how, spoil] of Object.entries(CONNS)) {
  test(`a transport whose connections are no good (${how}) holds nothing up and breaks nothing`, () =>
    withClock(async (clock) => {
      for (const [name, scene] of Object.entries(SCENES)) {
        await named(name, () =>
          play(clock, scene, (good) => ({
            connect: async (to, options) => spoiled(await good.connect(to, options), spoil),
          })));
      }
    }));
}

for (const [how, connect] of Object.entries(CONNECTS)) {
  test(`a transport whose ${how} holds nothing up and breaks nothing`, () =>
    withClock(async (clock) => {
      for (const [name, scene] of Object.entries(SCENES)) {
        await named(name, () => play(clock, scene, () => ({ connect: connect as Transport["connect"] })));
      }
    }));
}

for (const [how, openDatagrams] of Object.entries(SOCKETS)) {
  test(`a transport with datagrams that are no good (${how}) holds nothing up and breaks nothing`, () =>
    withClock(async (clock) => {
      const spoil = { openDatagrams: openDatagrams as NonNullable<Transport["openDatagrams"]> };
      await play(clock, SCENES["an association"]!, () => spoil);
    }));
}

test("what gives an owner something to close that throws holds nothing up", () =>
  withClock(async (clock) => {
    for (const close of [fail, () => Promise.reject(REASON)]) {
      for (const name of ["a connect", "an aborted connect", "close() within a connect", "a check"]) {
        await named(name, () =>
          play(clock, SCENES[name]!, () => ({
            usesOwner: true,
            connect: (_: unknown, options?: OwnedDialOptions) => (options!.owner!.own({ close }), never()),
          })));
      }
    }
  }));

test("a method that returns a connection that is no good holds nothing up and breaks nothing", () =>
  withClock(async (clock) => {
    for (const [how, spoil] of Object.entries(CONNS)) {
      await named(how, () =>
        play(clock, {
          script: () => (conn, written) => {
            if (written.length === 1) conn.push(9);
            else if (written.length === 4) conn.push(5, 0x80);
            else conn.push(5, 0, 0, 1, 0, 0, 0, 0, 0, 0);
          },
          use: async ({ client }) => {
            await use(
              await client({
                methods: [{
                  method: 0x80,
                  *negotiate({ conn }) {
                    yield { write: Uint8Array.of(1), have: 1 };
                    return spoiled(conn as FakeConn, spoil);
                  },
                }],
              }).connect(TARGET),
            );
          },
        }, () => ({})));
    }
  }));

async function named(name: string, run: () => Promise<unknown>): Promise<void> {
  try {
    await run();
  } catch (error) {
    throw new Error(`${name}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}
