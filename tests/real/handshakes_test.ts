import { assert, assertEquals, assertRejects } from "@std/assert";
import { runtimeTransport } from "../../adapters/runtime.ts";
import {
  type RequestEvent,
  type Socks5Client,
  type Socks5ErrorCode,
  type Socks5Options,
  TargetError,
  TimeoutError,
  type Transport,
} from "../../mod.ts";
import { bytes, readAll, readFull, text } from "../support/contract.ts";
import type { RealProgram, RealProxy } from "../support/real_program.ts";
import { withClient, withRealProxy } from "../support/real_stage.ts";
import * as real from "../support/real_proxies.ts";
import { assertEchoes } from "../support/stage.ts";
import * as targets from "../support/targets.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";
import { ofRequests } from "../support/request_events.ts";

interface Kind {
  program: RealProgram;
  refused: Socks5ErrorCode;
  /** Whether it takes all messages of the handshake in one write. */
  pipelines: boolean;
  /** Whether data that comes in one segment with the request reaches the target. */
  carriesData: boolean;
}

const microsocks = { refused: "SOCKS5_TARGET_REFUSED", pipelines: false, carriesData: false } as const;
const dante = { refused: "SOCKS5_TARGET_REFUSED", pipelines: true, carriesData: true } as const;
const kinds: Kind[] = [
  { program: real.microsocks, ...microsocks },
  { program: real.microsocksWithPassword, ...microsocks },
  { program: real.dante, ...dante },
  { program: real.danteWithAccount, ...dante },
  { program: real.sshD, refused: "SOCKS5_TARGET_NO_REPLY", pipelines: true, carriesData: true },
];

const REFUSED = "127.0.0.1:1";
const PIPELINED = { handshake: "pipelined" } as const;
const EARLY = bytes("early");

for (const { program, refused, pipelines, carriesData } of kinds) {
  const answer = pipelines ? "takes all in one write" : "is asked in sequence once it did not take all in one write";

  testWith(program, `${answer}, and that is remembered`, PIPELINED, async ({ client, dials, events, start }) => {
    const echo = await start(targets.startEcho());
    for (const [i, expected] of (pipelines ? [1, 2, 3] : [2, 3, 4]).entries()) {
      const conn = await client.connect(echo.address);
      await assertEchoes(conn);
      conn.close();
      assertEquals([i, dials.length], [i, expected]);
    }
    assertEquals(types(events), new Array(3).fill(["attempt 1", "connected 1", "closed"]).flat());
    assertEquals([client.stats().retries, client.stats().failures], [0, 0]);
    // a greeting alone has three or four bytes
    const atOnce = dials.map(({ writes: [first] }) => first! > 4);
    assertEquals(atOnce, pipelines ? [true, true, true] : [true, false, false, false]);
  });

  testWith(program, `says ${refused} of a closed port to one write as well`, PIPELINED, async ({ client, dials }) => {
    for (let i = 0; i < 2; i++) {
      const error = await assertRejects(() => client.connect(REFUSED), TargetError);
      assertEquals([error.code, error.phase, error.target], [refused, "request", REFUSED]);
    }
    // an end without a reply, as that of ssh -D, is asked for again in sequence
    const expected = refused === "SOCKS5_TARGET_NO_REPLY" ? 4 : pipelines ? 2 : 3;
    assertEquals([dials.length, client.stats().retries, client.stats().proxies[0]!.failures], [expected, 0, 0]);
  });

  testWith(program, "carries 1 MiB both ways after one write", PIPELINED, async ({ client, start }) => {
    const length = 1 << 20;
    const exchange = await start(targets.startExchange(length));
    const sent = targets.payload(length);
    for (let i = 0; i < 2; i++) {
      const conn = await client.connect(exchange.address);
      const [received] = await Promise.all([readAll(conn, 1 << 16), conn.write(sent)]);
      assertEquals(text(received.subarray(length)), targets.digestOf(sent));
      conn.close();
    }
  });

  testWith(program, "serves 50 connects at once, pipelined", PIPELINED, async ({ client, start }) => {
    const echo = await start(targets.startEcho());
    (await client.connect(echo.address)).close(); // what all the others know
    await Promise.all(Array.from({ length: 50 }, async () => {
      const conn = await client.connect(echo.address);
      await assertEchoes(conn);
      conn.close();
    }));
    assertEquals([client.stats().connects, client.stats().failures, client.stats().retries], [51, 0, 0]);
  });

  testWith(program, "keeps a session, which a connect spends", warm(1), async ({ client, dials, events, start }) => {
    const echo = await start(targets.startEcho());
    (await client.connect(echo.address)).close();
    for (let round = 1; round <= 5; round++) {
      await ready(client, 1);
      assertEquals(dials.length, round + 1, "the session is there before the connect");
      const { writes } = dials[round]!;
      const before = writes.length;
      events.length = 0;
      const conn = await client.connect(echo.address);
      assertEquals(writes.length, before + 1, "the request is all that is sent");
      await assertEchoes(conn);
      conn.close();
      assertEquals(types(events), ["attempt 1", "connected 1", "closed"]);
    }
    assertEquals([client.stats().retries, client.stats().failures], [0, 0]);
  });

  testWith(program, `says ${refused} of a closed port on a session, too`, warm(1), async ({ client, dials, start }) => {
    const echo = await start(targets.startEcho());
    (await client.connect(echo.address)).close();
    await ready(client, 1);
    const error = await assertRejects(() => client.connect(REFUSED), TargetError);
    assertEquals([error.code, error.phase, error.errors.length], [refused, "request", 0]);
    // an end may be that of the session, so that another connection has to say it again
    assertEquals([dials.length, client.stats().retries], [refused === "SOCKS5_TARGET_NO_REPLY" ? 3 : 2, 0]);
    const conn = await client.connect(echo.address);
    await assertEchoes(conn);
    conn.close();
  });

  testWith(program, "is restarted without the caller noticing", warm(2), async ({ client, proxy, events, start }) => {
    const echo = await start(targets.startEcho());
    (await client.connect(echo.address)).close();
    await ready(client, 2);
    await proxy.restart();
    events.length = 0;
    for (let i = 0; i < 3; i++) {
      const conn = await client.connect(echo.address);
      await assertEchoes(conn);
      conn.close();
    }
    assertEquals(types(events), new Array(3).fill(["attempt 1", "connected 1", "closed"]).flat());
    assertEquals([client.stats().retries, client.stats().failures], [0, 0]);
  });

  testWith(program, "serves 100 connects, five sessions ahead", warm(5, 20), async ({ client, start }) => {
    const echo = await start(targets.startEcho());
    (await client.connect(echo.address)).close();
    await Promise.all(Array.from({ length: 100 }, async () => {
      const conn = await client.connect(echo.address);
      const { opening, inUse, idle, warm } = client.stats();
      assert(opening + inUse + idle + warm <= 20);
      await assertEchoes(conn);
      conn.close();
    }));
    const { connects, failures, retries } = client.stats();
    assertEquals([connects, failures, retries], [101, 0, 0]);
    (await client.connect(echo.address)).close();
    await ready(client, 5);
  });

  const whereto = carriesData ? "carries data to the target" : "loses data without a word";
  for (const isWarm of [false, true]) {
    const how = isWarm ? "over a session" : "with a connection of its own";
    testWith(program, `${whereto}, ${how}`, warm(Number(isWarm)), async ({ client, dials, start }) => {
      const echo = await start(targets.startEcho());
      (await client.connect(echo.address)).close();
      if (isWarm) await ready(client, 1);
      const conn = await client.connect(echo.address, { data: EARLY, timeout: 5_000 });
      const { writes } = dials[1]!;
      assertEquals(writes.at(-1), 10 + EARLY.length, "one write with the request");
      await conn.write(bytes("later")); // in a segment of its own, behind data that may be lost
      assertEquals(text(await readFull(conn, carriesData ? 10 : 5)), carriesData ? "earlylater" : "later");
      conn.close();
    });
  }

  if (carriesData) {
    testWith(program, "carries 64 KiB of data, and what follows, in order and once", {}, async ({ client, start }) => {
      const digest = await start(targets.startDigest());
      const all = targets.payload(65_536 + 300_000);
      for (let i = 0; i < 5; i++) {
        const conn = await client.connect(digest.address, { data: all.subarray(0, 65_536), timeout: 20_000 });
        await conn.write(all.subarray(65_536));
        await conn.closeWrite();
        assertEquals(text(await readAll(conn, 1_000)), targets.digestOf(all));
        conn.close();
      }
    });
  }

  testWith(program, "refuses a target with data, which is final", { retry: { when: () => true } }, async (stage) => {
    const { client, dials, events } = stage;
    const error = await assertRejects(() => client.connect(REFUSED, { data: EARLY }), TargetError);
    assertEquals([error.code, error.phase], [refused, "request"]);
    assertEquals([types(events), dials.length], [["attempt 1", "failed 1"], 1]);
    assertEquals(events.map((it) => it.type === "failed" ? it.next : ""), ["", null]);
  });

  testWith(program, "gets data after the success of one write", PIPELINED, async ({ client, start }) => {
    const echo = await start(targets.startEcho());
    (await client.connect(echo.address)).close();
    const conn = await client.connect(echo.address, { data: EARLY, timeout: 5_000 });
    await conn.write(bytes("later")); // in a segment of its own, behind data that may be lost
    const whole = pipelines || carriesData;
    assertEquals(text(await readFull(conn, whole ? 10 : 5)), whole ? "earlylater" : "later");
    conn.close();
  });
}

testWith(real.tor, "takes one write without credentials", PIPELINED, async ({ client, dials }) => {
  for (let i = 1; i <= 2; i++) {
    // its policy: no loopback targets
    const error = await assertRejects(() => client.connect("127.0.0.1:80"), TargetError);
    assertEquals([error.code, error.rep, dials.length], ["SOCKS5_TARGET_FAILED", 1, i]);
  }
  assertEquals(dials.map(({ writes }) => writes.length), [1, 1]);
});

testWith(real.tor, "answers 01 00 to one write with credentials, and is asked in sequence", {}, async ({ proxy }) => {
  const { hostname, port, path = "" } = proxy;
  for (const at of [{ hostname, port }, { path }]) {
    const { transport, dials } = counting();
    const credentials = { username: "any", password: "isolates" };
    const options = { ...PIPELINED, transport, retry: 0 };
    await withClient({ ...at, credentials }, options, async (client) => {
      for (const expected of [2, 3]) {
        const error = await assertRejects(() => client.connect("127.0.0.1:80"), TargetError);
        assertEquals([error.code, error.rep, dials.length], ["SOCKS5_TARGET_FAILED", 1, expected]);
      }
      assertEquals(dials.map(({ writes }) => writes.length), [1, 3, 3]);
      assertEquals([client.stats().retries, client.stats().proxies[0]!.failures], [0, 0]);
    });
  }
});

testWith(
  real.tor,
  "is silent about a name while it has no circuit: one write and sequence share the timeout",
  PIPELINED,
  async ({ client, dials }) => {
    const error = await assertRejects(() => client.connect("example.test:80", { timeout: 1_500 }), TimeoutError);
    assertEquals([error.code, error.phase, dials.length], ["SOCKS5_TIMEOUT", "request", 2]);
  },
);

for (const program of [real.microsocksWithPassword, real.danteWithAccount]) {
  testWith(program, "refuses a wrong password in one write, and then in sequence", {}, async ({ proxy }) => {
    const { hostname, port } = proxy;
    const credentials = { username: proxy.credentials!.username, password: "not this one" };
    const { transport, dials } = counting();
    await withClient({ hostname, port, credentials }, { ...PIPELINED, transport }, async (client) => {
      const error = await client.connect(REFUSED).catch((it) => it);
      assertEquals([error.code, error.phase, dials.length], ["SOCKS5_AUTH_REFUSED", "authenticate", 2]);
    });
  });

  testWith(program, "keeps sessions away from a connect with credentials of its own", warm(1), async (stage) => {
    const { client, proxy, dials, start } = stage;
    const echo = await start(targets.startEcho());
    (await client.connect(echo.address)).close();
    await ready(client, 1);
    const conn = await client.connect(echo.address, { credentials: proxy.credentials! });
    await assertEchoes(conn);
    conn.close();
    assertEquals([dials.length, client.stats().warm, dials[1]!.writes.length], [3, 1, 2]);
  });
}

testWith(real.microsocks, "keeps sessions behind another proxy", warm(1), async ({ client, start }) => {
  const echo = await start(targets.startEcho());
  await withRealProxy(real.dante, async (last) => {
    await withClient(last.url, { transport: client as unknown as Transport, pool: { warm: 1 } }, async (chain) => {
      for (let i = 0; i < 3; i++) {
        const conn = await chain.connect(echo.address, { data: EARLY, timeout: 5_000 });
        assertEquals(text(await readFull(conn, 5)), "early");
        conn.close();
        await ready(chain, 1);
        await ready(client, 1);
      }
    });
  });
}, { alsoNeeds: real.dante });

const types = (events: RequestEvent[]) => events.map((it) => "attempt" in it ? `${it.type} ${it.attempt}` : it.type);

function warm(sessions: number, maxOpen = 100): Socks5Options {
  return { pool: { warm: sessions, maxOpen } };
}

async function ready(client: Socks5Client, sessions: number): Promise<void> {
  await until(() => client.stats().warm === sessions, () => JSON.stringify(client.stats()));
}

/** A connection to the proxy: the length of each write on it. */
interface Dial {
  writes: number[];
}

/** The running runtime's own transport, which notes what is written. */
function counting(): { transport: Transport; dials: Dial[] } {
  const dials: Dial[] = [];
  const transport: Transport = {
    async connect(to, options) {
      const dial: Dial = { writes: [] };
      dials.push(dial);
      const conn = await runtimeTransport.connect(to, options);
      return {
        read: (p) => conn.read(p),
        write: (p) => (dial.writes.push(p.length), conn.write(p)),
        closeWrite: () => conn.closeWrite(),
        close: () => conn.close(),
        ref: () => conn.ref?.(),
        unref: () => conn.unref?.(),
      };
    },
  };
  return { transport, dials };
}

interface Stage {
  proxy: RealProxy;
  client: Socks5Client;
  dials: Dial[];
  events: RequestEvent[];
  /** Keeps a target until the end of the test. */
  start(target: Promise<targets.Target>): Promise<targets.Target>;
}

/** A test with a proxy, a client of it and targets of its own. */
function testWith(
  program: RealProgram,
  name: string,
  options: Socks5Options,
  fn: (stage: Stage) => Promise<void>,
  { alsoNeeds }: { alsoNeeds?: RealProgram } = {},
): void {
  test(`${program.name} ${name}`, () =>
    withRealProxy(program, async (proxy) => {
      const started: targets.Target[] = [];
      const events: RequestEvent[] = [];
      const { transport, dials } = counting();
      const start = async (target: Promise<targets.Target>) => {
        started.push(await target);
        return await target;
      };
      const onEvent = ofRequests((event) => void events.push(event));
      try {
        await withClient(proxy.url, { ...options, transport, onEvent }, (client) => {
          return fn({ proxy, client, dials, events, start });
        });
      } finally {
        await Promise.all(started.map((it) => it.close()));
      }
    }), { skip: program.missing || (alsoNeeds?.missing ?? false) });
}
