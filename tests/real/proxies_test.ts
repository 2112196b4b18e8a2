import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import {
  AuthError,
  ClosedError,
  ProxyError,
  type Socks5Client,
  type Socks5Conn,
  type Socks5ErrorCode,
  type Socks5Event,
  type Socks5Options,
  TargetError,
  TimeoutError,
} from "../../mod.ts";
import type { RealProgram, RealProxy } from "../support/real_program.ts";
import { withClient, withRealProxy } from "../support/real_stage.ts";
import * as real from "../support/real_proxies.ts";
import * as targets from "../support/targets.ts";
import { test } from "../support/test.ts";

interface Kind {
  program: RealProgram;
  refused: Socks5ErrorCode;
  unresolvable: Socks5ErrorCode;
  /** Whether the client's FIN reaches the target while the answer flows, and the other way round. */
  carriesHalfClose: boolean;
}

const microsocks: Omit<Kind, "program"> = {
  refused: "SOCKS5_TARGET_REFUSED",
  unresolvable: "SOCKS5_TARGET_FAILED",
  carriesHalfClose: false,
};
const dante: Omit<Kind, "program"> = {
  refused: "SOCKS5_TARGET_REFUSED",
  unresolvable: "SOCKS5_TARGET_HOST_UNREACHABLE",
  carriesHalfClose: true,
};
const kinds: Kind[] = [
  { program: real.microsocks, ...microsocks },
  { program: real.microsocksWithPassword, ...microsocks },
  { program: real.dante, ...dante },
  { program: real.danteWithAccount, ...dante },
  {
    program: real.sshD,
    refused: "SOCKS5_TARGET_NO_REPLY",
    unresolvable: "SOCKS5_TARGET_NO_REPLY",
    carriesHalfClose: true,
  },
];

// a label of 64 bytes is no valid DNS: resolvers refuse it without asking anyone
const UNRESOLVABLE = `${"a".repeat(64)}.invalid:80`;
const REFUSED = "127.0.0.1:1";

for (const { program, refused, unresolvable, carriesHalfClose } of kinds) {
  testWith(program, "connects to addresses and names", async ({ client, start }) => {
    const { address, port } = await start(targets.startEcho());
    for (const target of [address, `localhost:${port}`, { hostname: "LOCALHOST", port }]) {
      const conn = await client.connect(target);
      await assertEchoes(conn);
      conn.close();
    }
  });

  testWith(program, "connects to IPv6", async ({ client, start }) => {
    const target = await start(targets.startEcho({ hostname: "::1" }));
    const conn = await client.connect(target.address);
    assertEquals(conn.target, `[::1]:${target.port}`);
    await assertEchoes(conn);
    conn.close();
  }, { skip: targets.noIpv6 });

  testWith(
    program,
    `says ${refused} of a closed port and ${unresolvable} of an unknown name`,
    async ({ client, proxy }) => {
      for (const [target, code] of [[REFUSED, refused], [UNRESOLVABLE, unresolvable]] as const) {
        const error = await assertRejects(() => client.connect(target), TargetError);
        assertEquals([error.code, error.phase, error.target, error.proxy], [
          code,
          "request",
          target,
          `${proxy.hostname}:${proxy.port}`,
        ]);
      }
      assertEquals(client.stats().proxies[0]!.cooldown, 0);
    },
  );

  testWith(program, "carries 16 MiB both ways at once", async ({ client, start }) => {
    const length = 16 << 20;
    const target = await start(targets.startExchange(length));
    const conn = await client.connect(target.address);
    const sent = targets.payload(length);
    const [received] = await Promise.all([readAll(conn), conn.write(sent)]);
    assertEquals(targets.digestOf(received.subarray(0, length)), targets.digestOf(sent));
    assertEquals(text(received.subarray(length)), targets.digestOf(sent));
    conn.close();
  });

  testWith(program, "carries 16 MiB both ways through the streams", async ({ client, start }) => {
    const length = 16 << 20;
    const target = await start(targets.startExchange(length));
    const conn = await client.connect(target.address);
    const sent = targets.payload(length);
    const writer = conn.writable.getWriter();
    const [received] = await Promise.all([new Response(conn.readable).arrayBuffer(), writer.write(sent)]);
    assertEquals(targets.digestOf(new Uint8Array(received, 0, length)), targets.digestOf(sent));
    assertEquals(text(new Uint8Array(received, length)), targets.digestOf(sent));
    conn.close();
  });

  testWith(program, "hands on what the target says first", async ({ client, start }) => {
    const target = await start(targets.startBanner("220 ready\r\n"));
    for (let i = 0; i < 5; i++) {
      const conn = await client.connect(target.address);
      assertEquals(text(await readExactly(conn, 11)), "220 ready\r\n");
      conn.close();
    }
  });

  const halfClose = carriesHalfClose ? "reaches the target while the answer flows" : "cuts the answer off";
  testWith(program, `takes a half-close that ${halfClose}`, async ({ client, start }) => {
    const target = await start(targets.startDigest());
    const sent = targets.payload(1 << 20);
    const conn = await client.connect(target.address);
    await conn.write(sent);
    await conn.closeWrite();
    const answer = await readAll(conn).then(text, (error) => error);
    if (carriesHalfClose) assertEquals(answer, targets.digestOf(sent));
    else assert(answer === "" || answer instanceof ClosedError, `${answer}`);
    conn.close();
  });

  if (carriesHalfClose) {
    testWith(program, "lets the client send after the target's end", async ({ client, start }) => {
      let length = 0;
      const target = await start(targets.startTarget((socket) => {
        socket.end("bye");
        socket.on("data", (chunk) => length += chunk.length);
      }));
      const conn = await client.connect(target.address);
      assertEquals(text(await readAll(conn)), "bye");
      await conn.write(new Uint8Array(100_000));
      await conn.closeWrite();
      await target.until(() => target.open === 0);
      assertEquals(length, 100_000);
      conn.close();
    });
  }

  testWith(program, "shows a reset of the target as an end", async ({ client, start }) => {
    const target = await start(targets.startReset(4));
    const conn = await client.connect(target.address);
    await conn.write(bytes("kill"));
    assertEquals((await readAll(conn)).length, 0);
    conn.close();
  });

  testWith(program, "serves 200 connects at once, 20 at a time", async ({ client, start }) => {
    const target = await start(targets.startEcho());
    await Promise.all(Array.from({ length: 200 }, async () => {
      const conn = await client.connect(target.address);
      const { opening, inUse, idle } = client.stats();
      assert(opening + inUse + idle <= 20);
      await assertEchoes(conn);
      conn.close();
    }));
    const { connects, failures, retries } = client.stats();
    assertEquals([target.accepted, connects, failures, retries], [200, 200, 0, 0]);
  }, { pool: { maxOpen: 20 } });

  testWith(program, "is used again after it was killed and started again", async ({ client, proxy, start }) => {
    const target = await start(targets.startEcho());
    const before = await client.connect(target.address);
    await assertEchoes(before);
    await proxy.stop();
    const lost = await before.read(new Uint8Array(1)).catch((error) => error);
    assert(lost === null || lost instanceof ClosedError, `${lost}`);
    before.close();
    const error = await assertRejects(() => client.connect(target.address), ProxyError);
    assertEquals([error.code, error.phase, error.retryable], ["SOCKS5_PROXY_UNREACHABLE", "dial", true]);
    await proxy.restart();
    const after = await client.connect(target.address);
    await assertEchoes(after);
    after.close();
  }, { retry: 0 });

  testWith(program, "is waited for while it starts again", async ({ proxy, start }) => {
    const target = await start(targets.startEcho());
    await proxy.stop();
    let restarted: Promise<void> | undefined;
    const onEvent = ({ type }: Socks5Event) => {
      if (type === "failed") restarted ??= proxy.restart();
    };
    await withClient(proxy.url, { retry: { retries: 1_000, minDelay: 10, maxDelay: 20 }, onEvent }, async (client) => {
      const conn = await client.connect(target.address);
      await assertEchoes(conn);
      conn.close();
      await restarted;
      assert(client.stats().retries > 0);
    });
  });

  testWith(program, "keeps a released tunnel for the next one", async ({ client, proxy, start }) => {
    const target = await start(targets.startEcho());
    for (const reused of [false, true, true]) {
      const conn = await client.connect(target.address, { reuse: true });
      assertEquals(conn.reused, reused);
      await assertEchoes(conn);
      conn.release();
      assertEquals(client.stats().idle, 1);
    }
    assertEquals(target.accepted, 1);
    await proxy.restart();
    const conn = await client.connect(target.address, { reuse: true });
    assertEquals(conn.reused, false);
    await assertEchoes(conn);
    conn.close();
  });

  testWith(program, "is checked truthfully", async ({ client, proxy, start }) => {
    const echo = await start(targets.startEcho());
    const banner = await start(targets.startBanner("hello"));
    const ending = await start(targets.startTarget((socket) => socket.end()));
    const probe = bytes("anyone there?");
    const verdicts = async (target?: string, options?: { probe: Uint8Array }) => {
      const [report] = await client.check(target, options);
      return [report!.verdict, report!.code];
    };
    assertEquals(await verdicts(), ["ok", undefined]);
    assertEquals(await verdicts(echo.address, { probe }), ["ok", undefined]);
    assertEquals(await verdicts(banner.address), ["ok", undefined]);
    assertEquals(await verdicts(ending.address), ["unproven", "SOCKS5_CONN_CLOSED"]);
    assertEquals(await verdicts(REFUSED), ["target-refused", refused]);
    assertEquals(await verdicts(UNRESOLVABLE), ["target-refused", unresolvable]);
    await proxy.stop();
    assertEquals(await verdicts(), ["proxy-down", "SOCKS5_PROXY_UNREACHABLE"]);
  });
}

testWith(real.microsocks, "is unproven for a target that says nothing", async ({ client, start }) => {
  const target = await start(targets.startSilent());
  const [report] = await client.check(target.address);
  assertEquals([report!.verdict, report!.code], ["unproven", "SOCKS5_ATTEMPT_TIMEOUT"]);
  assertEquals(report!.steps.map((it) => it.status), ["ok", "ok", "skipped", "ok", "failed"]);
});

for (const program of [real.microsocksWithPassword, real.danteWithAccount]) {
  testWith(program, "refuses a wrong password, and no password", async ({ proxy, start }) => {
    const target = await start(targets.startEcho());
    const { hostname, port } = proxy;
    const wrong = { username: proxy.credentials!.username, password: "not this one" };
    const cases = [
      [{ hostname, port }, "SOCKS5_AUTH_NO_METHOD", "negotiate"],
      [{ hostname, port, credentials: wrong }, "SOCKS5_AUTH_REFUSED", "authenticate"],
    ] as const;
    for (const [spec, code, phase] of cases) {
      await withClient(spec, {}, async (client) => {
        const error = await assertRejects(() => client.connect(target.address), AuthError);
        assertEquals([error.code, error.phase, error.retryable], [code, phase, false]);
        const [report] = await client.check(target.address);
        assertEquals([report!.verdict, report!.code], ["auth-refused", code]);
      });
    }
    assertEquals(target.accepted, 0);
  });

  testWith(program, "takes the credentials of one connect instead of its own", async ({ client, proxy, start }) => {
    const target = await start(targets.startEcho());
    const wrong = { username: proxy.credentials!.username, password: "not this one" };
    const error = await assertRejects(() => client.connect(target.address, { credentials: wrong }), AuthError);
    assertEquals(error.code, "SOCKS5_AUTH_REFUSED");
    await withClient({ hostname: proxy.hostname, port: proxy.port }, {}, async (bare) => {
      const conn = await bare.connect(target.address, { credentials: proxy.credentials! });
      await assertEchoes(conn);
      conn.close();
    });
  });
}

/** What a server without authentication says to an offer of user name and password alone. */
for (
  const [program, code] of [
    [real.microsocks, "SOCKS5_AUTH_NO_METHOD"],
    [real.dante, "SOCKS5_AUTH_NO_METHOD"],
    [real.sshD, "SOCKS5_PROXY_HUNG_UP"],
  ] as const
) {
  testWith(program, "never drops credentials of one connect silently", async ({ proxy, client, start }) => {
    const target = await start(targets.startEcho());
    const credentials = { username: "alice", password: "secret" };
    const error = await client.connect(target.address, { credentials }).catch((it) => it);
    assertInstanceOf(error, code === "SOCKS5_PROXY_HUNG_UP" ? ProxyError : AuthError);
    assertEquals([error.code, error.phase, target.accepted], [code, "negotiate", 0]);
    const { hostname, port } = proxy;
    await withClient({ hostname, port, credentials }, {}, async (optional) => {
      const conn = await optional.connect(target.address);
      await assertEchoes(conn);
      conn.close();
    });
  }, { retry: 0 });
}

testWith(real.dante, "tells the address that it connects from", async ({ client, start }) => {
  const peers: number[] = [];
  const target = await start(targets.startTarget((socket) => {
    peers.push(socket.remotePort ?? 0);
    socket.pipe(socket);
  }));
  const conn = await client.connect(target.address);
  await assertEchoes(conn);
  assertEquals(conn.boundAddress, { hostname: "127.0.0.1", port: peers[0] });
  conn.close();
});

testWith(real.microsocks, "stands in for a dante that was killed", async ({ proxy, start }) => {
  const target = await start(targets.startEcho());
  await withRealProxy(real.dante, async (first) => {
    await withClient([first.url, proxy.url], {}, async (client) => {
      const before = await client.connect(target.address);
      assertEquals(before.proxy, `127.0.0.1:${first.port}`);
      before.close();
      await first.stop();
      const after = await client.connect(target.address);
      assertEquals(after.proxy, `127.0.0.1:${proxy.port}`);
      await assertEchoes(after);
      after.close();
      assert(client.stats().proxies[0]!.cooldown > 0);
      const reports = await client.check();
      assertEquals(reports.map((it) => it.verdict), ["proxy-down", "ok"]);
    });
  });
}, { alsoNeeds: real.dante });

testWith(real.microsocks, "reaches a target behind another proxy", async ({ client, start }) => {
  const target = await start(targets.startExchange(1 << 20));
  await withRealProxy(real.dante, async (last) => {
    await withClient(last.url, { transport: client }, async (chain) => {
      const conn = await chain.connect(target.address);
      const [received] = await Promise.all([readAll(conn), conn.write(targets.payload(1 << 20))]);
      assertEquals(text(received.subarray(1 << 20)), targets.digestOf(targets.payload(1 << 20)));
      conn.close();
      const error = await assertRejects(() => chain.connect(REFUSED), TargetError);
      assertEquals([error.code, error.proxy], ["SOCKS5_TARGET_REFUSED", `127.0.0.1:${last.port}`]);
      await last.stop();
      const hop = await assertRejects(() => chain.connect(target.address), TargetError);
      assertEquals([hop.code, hop.target], ["SOCKS5_TARGET_REFUSED", `127.0.0.1:${last.port}`]);
    });
  });
}, { alsoNeeds: real.dante });

testWith(real.tor, "negotiates with and without credentials, also on its unix socket", async ({ proxy }) => {
  const { hostname, port, path = "" } = proxy;
  for (const at of [{ hostname, port }, { path }]) {
    for (const credentials of [undefined, { username: "any", password: "isolates" }]) {
      await withClient(credentials ? { ...at, credentials } : at, {}, async (client) => {
        const [report] = await client.check();
        assertEquals([report!.verdict, report!.code], ["ok", undefined]);
        const authenticate = report!.steps.find((it) => it.phase === "authenticate");
        assertEquals(authenticate?.status, credentials ? "ok" : "skipped");
        // its policy: no loopback targets
        const error = await assertRejects(() => client.connect("127.0.0.1:80"), TargetError);
        assertEquals([error.code, error.rep], ["SOCKS5_TARGET_FAILED", 1]);
      });
    }
  }
});

testWith(real.tor, "is reached by the URL of its unix socket", async ({ proxy: { path = "" } }) => {
  for (const url of [`socks5h://localhost${path}`, `socks5h://any:isolates@localhost${path}`]) {
    await withClient(url, {}, async (client) => {
      const [report] = await client.check();
      assertEquals([report!.verdict, report!.proxy], ["ok", path]);
    });
  }
});

testWith(real.tor, "is silent about a name while it has no circuit, which ends in the timeout", async ({ client }) => {
  const error = await assertRejects(() => client.connect("example.test:80", { timeout: 200 }), TimeoutError);
  assertEquals([error.code, error.phase], ["SOCKS5_TIMEOUT", "request"]);
  assertEquals(client.stats().proxies[0]!.cooldown, 0);
});

interface Stage {
  proxy: RealProxy;
  client: Socks5Client;
  /** Keeps a target until the end of the test. */
  start(target: Promise<targets.Target>): Promise<targets.Target>;
}

/** A test with a proxy, a client of it and targets of its own. */
function testWith(
  program: RealProgram,
  name: string,
  fn: (stage: Stage) => Promise<void>,
  { alsoNeeds, skip = false, ...options }: Socks5Options & { alsoNeeds?: RealProgram; skip?: string | false } = {},
): void {
  const missing = program.missing || (alsoNeeds?.missing ?? false);
  test(`${program.name} ${name}`, () =>
    withRealProxy(program, async (proxy) => {
      const started: targets.Target[] = [];
      const start = async (target: Promise<targets.Target>) => {
        started.push(await target);
        return await target;
      };
      try {
        await withClient(proxy.url, options, (client) => fn({ proxy, client, start }));
      } finally {
        await Promise.all(started.map((it) => it.close()));
      }
    }), { skip: missing || skip });
}

async function assertEchoes(conn: Socks5Conn): Promise<void> {
  await conn.write(bytes("hello"));
  assertEquals(text(await readExactly(conn, 5)), "hello");
}

async function readExactly(conn: Socks5Conn, length: number): Promise<Uint8Array> {
  const whole = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const n = await conn.read(whole.subarray(at));
    if (n === null) throw new Error(`The end after ${at} of ${length} bytes`);
    at += n;
  }
  return whole;
}

async function readAll(conn: Socks5Conn): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const chunk = new Uint8Array(64 << 10);
  for (let n = await conn.read(chunk); n !== null; n = await conn.read(chunk)) chunks.push(chunk.slice(0, n));
  return new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer());
}

function bytes(ascii: string): Uint8Array {
  return new TextEncoder().encode(ascii);
}

function text(received: Uint8Array): string {
  return new TextDecoder().decode(received);
}
