import { assert, assertEquals, assertInstanceOf, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import {
  AuthError,
  type ProxySpec,
  Socks5Client,
  type Socks5Options,
  TargetError,
  TimeoutError,
  TlsError,
  type WorkersSocket,
  workersTransport,
} from "../../workers/mod.ts";
import type { Conn } from "../../src/transport.ts";
import type { TestConnection, TestProxyOptions } from "../../testing/mod.ts";
import { bytes, readFull, text } from "../support/contract.ts";
import { test } from "../support/test.ts";
import { type Remote, remote } from "../support/workerd/remote.ts";
import { inAnotherRequest } from "../support/workerd/test.ts";

const credentials = { username: "user", password: "pass" };
const forAll = new Socks5Client("socks5h://127.0.0.1:1"); // a client can be made where there is no request

interface Proxy {
  readonly url: string;
  readonly remote: Remote;
  connections(): Promise<TestConnection[]>;
}

async function startProxy(options: TestProxyOptions = { credentials }): Promise<Proxy> {
  const proxy = await remote("proxy", options) as Remote;
  const url = await proxy.call("url") as string;
  return { url, remote: proxy, connections: async () => await proxy.call("connections") as TestConnection[] };
}

async function withServer(
  start: Promise<unknown>,
  use: (port: number, server: Remote) => Promise<void>,
): Promise<void> {
  const server = await start as Remote;
  try {
    await use(await server.call("port") as number, server);
  } finally {
    await server.call("close");
  }
}

/** Runs `use` with a client for some proxies, and looks whether all is closed with it. */
async function withProxies(
  all: TestProxyOptions[],
  use: (client: Socks5Client<WorkersSocket>, proxies: Proxy[]) => Promise<void>,
  options: Socks5Options<WorkersSocket> = {},
): Promise<void> {
  const proxies = await Promise.all(all.map(startProxy));
  const client = new Socks5Client<WorkersSocket>(proxies.map(({ url }, i) => ({ url, label: `p${i}` })), options);
  try {
    await use(client, proxies);
    await client.close();
    for (const { remote } of proxies) {
      while (await remote.call("open") as number > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
  } finally {
    await client.close();
    for (const { remote } of proxies) await remote.call("close");
  }
}

async function assertEchoes(conn: Conn, said = "ping"): Promise<void> {
  await conn.write(bytes(said));
  assertEquals(text(await readFull(conn, said.length)), said);
}

const echo = () => remote("echo");

test("a client connects by itself with the sockets of Workers, with user name and password", async () => {
  await withServer(echo(), async (port) => {
    await withProxies([{ credentials }], async (client, [proxy]) => {
      const conn = await client.connect(`127.0.0.1:${port}`);
      await assertEchoes(conn);
      conn.close();
      const [{ credentials: given }] = await proxy!.connections() as [TestConnection];
      assertEquals(given, credentials);
      assertEquals(client.stats().connects, 1);
    });
  });
});

test("wrong credentials are an AuthError, and what the proxy refuses a TargetError", async () => {
  await withProxies([{ credentials }], async (client, [proxy]) => {
    const other = new Socks5Client(proxy!.url.replace("user", "nobody"));
    await assertRejects(() => other.connect("127.0.0.1:1"), AuthError);
    await other.close();
    await assertRejects(() => client.connect("refused.example:1"), TargetError);
  });
});

test("the next proxy of a list is used if the first one is down", async () => {
  await withServer(echo(), async (port) => {
    await withProxies([{}, {}], async (client, [first]) => {
      await first!.remote.call("stop");
      const conn = await client.connect(`127.0.0.1:${port}`);
      assertEquals(conn.proxy, "p1");
      await assertEchoes(conn);
      conn.close();
    });
  });
});

test("sessions keep their proxy, connects are balanced, and a proxy can be suspended", async () => {
  await withServer(echo(), async (port) => {
    await withProxies([{}, {}, {}], async (client) => {
      const proxyOf = async (session?: string) => {
        const conn = await client.connect(`127.0.0.1:${port}`, session === undefined ? {} : { session });
        conn.close();
        return conn.proxy;
      };
      const used = [await proxyOf(), await proxyOf(), await proxyOf()];
      assertEquals(used.sort(), ["p0", "p1", "p2"]);
      const kept = await proxyOf("a");
      for (let i = 0; i < 3; i++) assertEquals(await proxyOf("a"), kept);
      client.suspend(kept, { for: 60_000 });
      assert(await proxyOf("a") !== kept);
    }, { balance: "round-robin" });
  });
});

test("check() tells which proxies work", async () => {
  await withServer(echo(), async (port) => {
    await withProxies(
      [{}, {}, { credentials }],
      async (client, all) => {
        await all[1]!.remote.call("stop");
        const reports = await client.check(`127.0.0.1:${port}`, { probe: bytes("ping") });
        assertEquals(reports.map(({ verdict }) => verdict), ["ok", "proxy-down", "ok"]);
      },
    );
  });
});

test("a tunnel is used again within a request", async () => {
  await withServer(echo(), async (port) => {
    await withProxies([{}], async (client, [proxy]) => {
      const first = await client.connect(`127.0.0.1:${port}`, { reuse: true });
      await assertEchoes(first);
      first.release();
      const second = await client.connect(`127.0.0.1:${port}`, { reuse: true });
      assertEquals(second.reused, true);
      await assertEchoes(second);
      second.close();
      assertEquals((await proxy!.connections()).length, 1);
    });
  });
});

test("warm connections are opened ahead", async () => {
  await withServer(echo(), async (port) => {
    await withProxies([{}], async (client) => {
      (await client.connect(`127.0.0.1:${port}`)).close();
      while (client.stats().warm === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      const conn = await client.connect(`127.0.0.1:${port}`);
      await assertEchoes(conn);
      conn.close();
    }, { pool: { warm: 1 } });
  });
});

test("a proxy that is silent is a TimeoutError, and an abort rejects with its reason", async () => {
  await withProxies([{ faults: { fault: "silence", at: "negotiate" } }], async (client) => {
    await assertRejects(() => client.connect("127.0.0.1:1", { timeout: 50 }), TimeoutError);
    const abort = new AbortController();
    const reason = new Error("enough");
    const connecting = client.connect("127.0.0.1:1", { signal: abort.signal }).catch((error) => error);
    setTimeout(() => abort.abort(reason), 20);
    assertStrictEquals(await connecting, reason);
    assertEquals(client.stats().opening, 0);
  }, { retry: 0 });
});

test("TLS with the target checks its certificate, by name and by address", async () => {
  for (
    const [certificate, target, fails] of [
      ["both", "localhost", false],
      ["both", "127.0.0.1", false],
      ["ips", "127.0.0.1", false],
      ["ips", "localhost", true],
      ["names", "127.0.0.1", true],
      ["expired", "localhost", true],
      ["stranger", "localhost", true],
    ] as const
  ) {
    await withServer(remote("tlsEcho", certificate), async (port, server) => {
      await withProxies([{}], async (client) => {
        const connecting = client.connect(`${target}:${port}`, { tls: true });
        if (fails) return void await assertRejects(() => connecting, TlsError);
        const conn = await connecting;
        await assertEchoes(conn);
        conn.close();
        const [{ serverName }] = await server.call("hellos") as [{ serverName: string | null }];
        assertEquals(serverName, target === "localhost" ? "localhost" : null);
      }, { retry: 0 });
    });
  }
});

test("TLS starts in the middle of a conversation, with another name", async () => {
  await withServer(remote("tlsEcho", "names"), async (port, server) => {
    await withProxies([{}], async (client) => {
      const conn = await (await client.connect(`127.0.0.1:${port}`)).startTls({ serverName: "mail.example" });
      await assertEchoes(conn);
      conn.close();
      const [{ serverName }] = await server.call("hellos") as [{ serverName: string }];
      assertEquals(serverName, "mail.example");
    });
  });
});

test("a target that speaks no TLS is a TlsError", async () => {
  for (const answer of ["220 mail.example\r\n", ""]) {
    await withServer(remote("plain", answer), async (port) => {
      await withProxies([{}], async (client) => {
        await assertRejects(() => client.connect(`127.0.0.1:${port}`, { tls: true }), TlsError);
      }, { retry: 0 });
    });
  }
});

test("a chain of two proxies, with TLS at its end", async () => {
  await withServer(remote("tlsEcho", "both"), async (port) => {
    await withProxies([{}], async (first, [proxy]) => {
      await withProxies([{ credentials }], async (second) => {
        const conn = await second.connect(`localhost:${port}`, { tls: true });
        await assertEchoes(conn);
        conn.close();
        assertEquals((await proxy!.connections()).length, 1);
      }, { transport: first });
    });
  });
});

test("what startTls() of Workers cannot do is a TypeError before anything is opened", async () => {
  const pem = (what: string) => `-----BEGIN ${what}-----\nAAAA\n-----END ${what}-----`;
  const [cert, key] = [pem("CERTIFICATE"), pem("PRIVATE KEY")];
  await withProxies([{}], async (client, [proxy]) => {
    for (const tls of [{ caCerts: [cert] }, { cert, key }, { alpnProtocols: ["h2"] }]) {
      const error = await client.connect("localhost:1", { tls }).catch((error: unknown) => error);
      assertInstanceOf(error, TypeError);
      assert(error.message.startsWith(`Cannot use tls.${Object.keys(tls)[0]} on Cloudflare Workers`), error.message);
      const spec: ProxySpec = { hostname: "127.0.0.1", port: 1, tls };
      assertThrows(() => new Socks5Client(spec), TypeError, "on Cloudflare Workers");
    }
    assertEquals((await proxy!.connections()).length, 0);
  });
});

test("TLS in TLS is a TypeError", async () => {
  await withServer(remote("tlsEcho", "both"), async (port) => {
    const conn = await workersTransport.connect({ hostname: "127.0.0.1", port });
    const secure = await conn.startTls!({ serverName: "localhost" });
    await assertRejects(() => secure.startTls!({ serverName: "localhost" }), TypeError, "TLS in TLS");
    await assertEchoes(secure);
    secure.close();
  });
});

test("what Workers have not is a TypeError at once: names, datagrams, unix sockets, TLS over other connections", async () => {
  assertThrows(() => new Socks5Client("socks5h://127.0.0.1:1", { dns: "local" }), TypeError, "no lookup()");
  await withProxies([{}], async (client) => {
    await assertRejects(() => client.associate(), TypeError, "no openDatagrams()");
  });
  const unix = new Socks5Client("socks5h://localhost/run/tor.sock");
  await assertRejects(() => unix.connect("127.0.0.1:1"), TypeError, "unix socket");
  await unix.close();
  const silent: Conn = {
    read: () => new Promise(() => {}),
    write: (p) => Promise.resolve(p.length),
    closeWrite: () => Promise.resolve(),
    close: () => {},
  };
  const overOwn = new Socks5Client({ hostname: "127.0.0.1", port: 1, tls: true }, {
    transport: { connect: () => Promise.resolve(silent) },
  });
  await assertRejects(() => overOwn.connect("127.0.0.1:1"), TypeError, "only a socket of the platform");
  await overOwn.close();
});

test("a socket that is detached goes on, with what came before it", async () => {
  await withServer(echo(), async (port) => {
    await withProxies([{}], async (client) => {
      const conn = await client.connect(`127.0.0.1:${port}`);
      const { socket, head } = conn.detach();
      assertEquals(head.length, 0);
      const writer = socket.writable.getWriter();
      await writer.write(bytes("ping") as Uint8Array<ArrayBuffer>);
      const { value } = await socket.readable.getReader().read();
      assertEquals(text(value!), "ping");
      await socket.close();
    });
  });
});

test("a client of another request is a TypeError that says so, whatever it is asked", async () => {
  await withServer(echo(), async (port) => {
    await withProxies([{}], async (client, [proxy]) => {
      (await client.connect(`127.0.0.1:${port}`)).close();
      for (
        const ask of [() => client.connect(`127.0.0.1:${port}`), () => client.check(), () => client.bind("127.0.0.1:0")]
      ) {
        const said = await inAnotherRequest(ask);
        assertEquals(said.split(":")[1], " Cannot use the client of another request");
      }
      assertEquals((await proxy!.connections()).length, 1);
      const conn = await client.connect(`127.0.0.1:${port}`); // here it goes on
      await assertEchoes(conn);
      conn.close();
    });
  });
});

test("a client that no request has used belongs to the first that does", async () => {
  await assertRejects(() => forAll.connect("127.0.0.1:1", { timeout: 1_000 }));
  assertEquals(
    (await inAnotherRequest(() => forAll.connect("127.0.0.1:1"))).split(":")[1],
    " Cannot use the client of another request",
  );
});
