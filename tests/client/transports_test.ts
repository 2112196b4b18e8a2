import { assert, assertEquals, assertInstanceOf, assertStrictEquals } from "@std/assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as api from "../../mod.ts";
import { Socks5Client } from "../../mod.ts";
import { bytes, readFull, text } from "../support/contract.ts";
import * as testing from "../../testing/mod.ts";
import type { TestFault, TestFaults, TestStep } from "../../testing/mod.ts";
import { blackHole } from "../support/peer.ts";
import { assertEchoes, assertNothingOpen, failure, TRANSPORTS, withEcho, withProxy } from "../support/stage.ts";
import * as targets from "../support/targets.ts";
import { test } from "../support/test.ts";
import { ofRequests } from "../support/request_events.ts";

const ALICE = { username: "alice", password: "secret" };
const TARGET = "example.test:80";
const RULES = { [TARGET]: { port: 1 } }; // for a success that is only claimed
const REASON = new Error("the caller's own reason");

for (const [via, options] of Object.entries(TRANSPORTS)) {
  test(`${via}: a refused connection, and a unix socket that is not there, are SOCKS5_PROXY_UNREACHABLE`, async () => {
    for (const proxy of [{ hostname: "127.0.0.1", port: 1 }, { path: "/nonexistent/proxy.sock" }]) {
      const client = new Socks5Client(proxy, { ...options, retry: 0 });
      const error = await failure(client.connect(TARGET));
      assertInstanceOf(error, api.ProxyError);
      assertEquals([error.code, error.phase, error.retryable], ["SOCKS5_PROXY_UNREACHABLE", "dial", true]);
      assertInstanceOf(error.cause, Error);
      assertNothingOpen(client);
    }
  });

  const odd: [what: string, fault: TestFaults, bound?: api.Socks5Conn["boundAddress"]][] = [
    ["RSV other than 0", { fault: "rsv", rsv: 0xff }],
    ["VER 5 in the answer to the password", { fault: "wrong-version", at: "authenticate", version: 5 }],
    [
      "BND of IPv4",
      { fault: "reply", reply: { bndAddr: Uint8Array.of(192, 0, 2, 1), bndPort: 65535 } },
      {
        hostname: "192.0.2.1",
        port: 65535,
      },
    ],
    ["BND of IPv6", { fault: "reply", reply: { atyp: 4, bndAddr: new Uint8Array(16).with(15, 1) } }, {
      hostname: "::1",
      port: 0,
    }],
    ["BND of an empty domain", { fault: "bound-domain", length: 0 }, { hostname: "", port: 0 }],
    ["BND of a domain of 255 bytes", { fault: "bound-domain", length: 255 }, { hostname: "d".repeat(255), port: 0 }],
    ["answers byte by byte", { fault: "slow" }],
    ["all of it byte by byte, and BND of 255 bytes", [{ fault: "slow" }, { fault: "bound-domain", length: 255 }]],
  ];

  for (const [what, fault, bound] of odd) {
    test(`${via}: a tunnel works behind ${what}`, () =>
      withEcho({ credentials: ALICE, faults: () => fault }, async (proxy, echo) => {
        const client = new Socks5Client(proxy.url, options);
        const conn = await client.connect(echo.address);
        if (bound) assertEquals(conn.boundAddress, bound);
        await assertEchoes(conn);
        conn.close();
        assertNothingOpen(client);
      }));
  }

  test(`${via}: what comes in one write with the reply is read first and whole`, async () => {
    for (const length of [1, 100_000]) {
      const banner = targets.payload(length);
      await withEcho({ faults: { fault: "glued", bytes: banner } }, async (proxy, echo) => {
        const conn = await new Socks5Client(proxy.url, options).connect(echo.address);
        await conn.write(bytes("ping"));
        assertEquals(await readFull(conn, length), banner);
        assertEquals(text(await readFull(conn, 4)), "ping");
        conn.close();
      });
    }
  });

  test(`${via}: a refusal with a reset behind it is always read`, () =>
    withProxy(
      { faults: { fault: "answer", at: "request", bytes: Uint8Array.of(5, 5), then: "reset" } },
      async (proxy) => {
        const client = new Socks5Client(proxy.url, { ...options, retry: 0 });
        const errors = await Promise.all(Array.from({ length: 50 }, () => failure(client.connect(TARGET))));
        assertEquals(new Set(errors.map(({ code }) => code)), new Set(["SOCKS5_TARGET_REFUSED"]));
      },
    ));

  test(`${via}: a success for a target that was never reached shows as an end or a reset of the tunnel`, async () => {
    for (const then of ["close", "reset"] as const) {
      await withProxy({ rules: RULES, faults: { fault: "false-success", then } }, async (proxy) => {
        const client = new Socks5Client(proxy.url, options);
        const conn = await client.connect(TARGET);
        if (then === "close") assertEquals(await conn.read(new Uint8Array(1)), null);
        else assertEquals((await failure(conn.read(new Uint8Array(1)))).code, "SOCKS5_CONN_RESET");
        conn.close();
        assertNothingOpen(client);
      });
    }
  });

  test(`${via}: abort at each step of the handshake rejects with the caller's reason and closes`, async () => {
    for (const at of ["accept", "negotiate", "authenticate", "request"] as const) {
      const gate = testing.createGate();
      await withProxy({ credentials: ALICE, faults: { fault: "wait", at, for: gate.pass } }, async (proxy) => {
        const client = new Socks5Client(proxy.url, options);
        const controller = new AbortController();
        const connecting = client.connect(TARGET, { signal: controller.signal });
        await gate.reached;
        controller.abort(REASON);
        assertStrictEquals(await connecting.then(() => null, (reason: unknown) => reason), REASON);
        assertNothingOpen(client);
        await proxy.until(() => proxy.open === 0);
        assertEquals([proxy.connections.length, client.stats().failures], [1, 1]);
      });
    }
  });

  test(`${via}: abort after connect() has no effect on the tunnel`, () =>
    withEcho({}, async (proxy, echo) => {
      const controller = new AbortController();
      const client = new Socks5Client(proxy.url, options);
      const conn = await client.connect(echo.address, { signal: controller.signal });
      controller.abort(REASON);
      await assertEchoes(conn);
      conn.close();
    }));

  test(`${via}: close() at each step of the handshake rejects with ClosedError and leaves nothing`, async () => {
    const phases = { accept: "negotiate", negotiate: "negotiate", authenticate: "authenticate", request: "request" };
    for (const [at, phase] of Object.entries(phases)) {
      const gate = testing.createGate();
      const faults: TestFault = { fault: "wait", at: at as TestStep, for: gate.pass };
      await withProxy({ credentials: ALICE, faults }, async (proxy) => {
        const client = new Socks5Client(proxy.url, options);
        const connecting = failure(client.connect(TARGET));
        await gate.reached;
        await proxy.until(() => proxy.connections[0]!.received.length > 0);
        await client.close({ drain: Infinity });
        const error = await connecting;
        assertInstanceOf(error, api.ClosedError);
        assertEquals([error.code, error.phase], ["SOCKS5_CLIENT_CLOSED", phase]);
        assertNothingOpen(client);
      });
    }
  });

  test(`${via}: silence at each step ends with the timeout, and says at which`, async () => {
    const phases = { accept: "negotiate", negotiate: "negotiate", authenticate: "authenticate", request: "request" };
    await Promise.all(
      Object.entries(phases).map(async ([at, phase]) => {
        await withProxy({ credentials: ALICE, faults: { fault: "silence", at: at as TestStep } }, async (proxy) => {
          const client = new Socks5Client(proxy.url, options);
          const error = await failure(client.connect(TARGET, { timeout: 1_000 }));
          assertInstanceOf(error, api.TimeoutError);
          assertEquals([error.code, error.phase, error.proxy], ["SOCKS5_TIMEOUT", phase, `127.0.0.1:${proxy.port}`]);
          assertNothingOpen(client);
        });
      }),
    );
  });

  test(`${via}: a proxy that is silent, or takes no connection, is given up for the next`, async () => {
    const hole = await blackHole();
    try {
      await withProxy(
        { faults: { fault: "silence", at: "negotiate" } },
        (silent) =>
          withEcho({}, async (proxy, echo) => {
            const events: api.RequestEvent[] = [];
            const client = new Socks5Client([hole.endpoint, silent.url, proxy.url], {
              ...options,
              attemptTimeout: 500,
              onEvent: ofRequests((event) => events.push(event)),
            });
            const conn = await client.connect(echo.address);
            await assertEchoes(conn);
            conn.close();
            const failed = events.flatMap((event) => event.type === "failed" ? [event.error] : []);
            assertEquals(failed.map(({ code, phase }) => [code, phase]), [
              ["SOCKS5_ATTEMPT_TIMEOUT", "dial"],
              ["SOCKS5_ATTEMPT_TIMEOUT", "negotiate"],
            ]);
          }),
      );
    } finally {
      await hole.close();
    }
  });

  test(`${via}: a released tunnel is used again, and closed once its peer ends it`, () =>
    withEcho({}, async (proxy, echo) => {
      const gone = Promise.withResolvers<string>();
      const client = new Socks5Client(proxy.url, {
        ...options,
        onEvent: (event) => event.type === "closed" && gone.resolve(event.reason),
      });
      for (let round = 0; round < 5; round++) {
        const conn = await client.connect(echo.address, { reuse: true });
        assertEquals(conn.reused, round > 0);
        await assertEchoes(conn, `round ${round}`);
        conn.release();
      }
      assertEquals([proxy.connections.length, client.stats().idle, client.stats().reused], [1, 1, 4]);
      await proxy.stop();
      assertEquals(await gone.promise, "peer");
      assertNothingOpen(client);
      await proxy.start();
      const conn = await client.connect(echo.address, { reuse: true });
      assertEquals(conn.reused, false);
      conn.release();
      await client.close();
    }));

  test(`${via}: a proxy on a unix socket, and one on IPv6`, async () => {
    const directory = mkdtempSync(join(tmpdir(), "client-"));
    try {
      for (const where of [{ path: join(directory, "proxy for ü.sock") }, { hostname: "::1" }]) {
        await withEcho({ ...where, credentials: ALICE }, async (proxy, echo) => {
          const specs = [{ ...proxy.endpoint, credentials: ALICE }, proxy.url, new URL(proxy.url)];
          for (const [i, spec] of specs.entries()) {
            const client = new Socks5Client(spec, options);
            const conn = await client.connect(echo.address);
            assertEquals(conn.proxy, where.path ?? `[::1]:${proxy.port}`);
            await assertEchoes(conn);
            conn.close();
            assertEquals(proxy.connections[i]!.credentials, ALICE);
          }
        });
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test(`${via}: a name that is looked up here reaches the proxy as an address`, () =>
    withEcho({}, async (proxy, echo) => {
      const client = new Socks5Client(proxy.url, { ...options, dns: "local" });
      const target = `localhost:${new URL(`http://${echo.address}`).port}`;
      const conn = await client.connect(target, { reuse: true });
      assertEquals(conn.target, target);
      await assertEchoes(conn);
      conn.release();
      await assertEchoes(await client.connect(target, { reuse: true }).then((conn) => (assert(conn.reused), conn)));
      const error = await failure(client.connect(`${"x".repeat(64)}.test:80`));
      assertEquals([error.code, error.phase, error.proxy], ["SOCKS5_TARGET_NOT_FOUND", "lookup", null]);
      for (const { request } of proxy.connections) assert(request!.atyp === 1 || request!.atyp === 4);
      await client.close();
    }));
}
