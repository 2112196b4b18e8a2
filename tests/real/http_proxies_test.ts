import { assertEquals } from "@std/assert";
import { httpProxy, type HttpProxyOptions } from "../../http_proxy/mod.ts";
import { Socks5Client, TargetError, type Transport } from "../../mod.ts";
import { certificates } from "../support/certificates.ts";
import { bytes, readAll, text } from "../support/contract.ts";
import { CORP, squid, squidWithTls, tinyproxy } from "../support/real_http_proxies.ts";
import { withRealProxy } from "../support/real_stage.ts";
import { assertEchoes, failure, withEcho, withProxy, withTarget } from "../support/stage.ts";
import { digestOf, payload, startExchange } from "../support/targets.ts";
import { test } from "../support/test.ts";

const kinds = [
  { program: tinyproxy, scheme: "http", port9: "SOCKS5_TARGET_FAILED" },
  { program: squid, scheme: "http", port9: "SOCKS5_TARGET_NOT_ALLOWED" },
  { program: squidWithTls, scheme: "https", port9: "SOCKS5_TARGET_NOT_ALLOWED" },
];

for (const { program, scheme, port9 } of kinds) {
  const { name, missing } = program;
  const trusting = scheme === "https" ? { tls: { caCerts: [certificates().authority.cert] } } : {};
  const through = (port: number, credentials: HttpProxyOptions["credentials"], transport?: Transport): Transport =>
    httpProxy(`${scheme}://127.0.0.1:${port}`, {
      ...trusting,
      ...(credentials && { credentials }),
      ...(transport && { transport }),
    });

  test(
    `${name} carries 1 MiB both ways before a SOCKS5 proxy`,
    () =>
      withRealProxy(
        program,
        ({ port }) =>
          withTarget(startExchange(1 << 20), (exchange) =>
            withProxy({ credentials: { username: "user", password: "pass" } }, async (proxy) => {
              const client = new Socks5Client(proxy.url, { transport: through(port, CORP) });
              for (let i = 0; i < 3; i++) {
                const conn = await client.connect(exchange.address);
                const sent = payload(1 << 20);
                const [received] = await Promise.all([readAll(conn, 1 << 16), conn.write(sent)]);
                assertEquals(text(received.subarray(1 << 20)), digestOf(sent));
                conn.close();
              }
              await client.close();
            })),
      ),
    { skip: missing },
  );

  test(
    `${name} stands behind a SOCKS5 proxy`,
    () =>
      withRealProxy(program, ({ port }) =>
        withEcho({}, async (proxy, echo) => {
          const client = new Socks5Client(proxy.url);
          const conn = await through(port, CORP, client).connect({ hostname: echo.hostname, port: echo.port });
          await conn.write(bytes("ping"));
          const p = new Uint8Array(4);
          for (let n = 0; n < 4;) n += (await conn.read(p.subarray(n)))!;
          assertEquals(text(p), "ping");
          conn.close();
          await client.close();
          assertEquals(proxy.connections.length, 1);
        })),
    { skip: missing },
  );

  test(
    `${name} tells wrong credentials, none, and a target that it does not reach or allow`,
    () =>
      withRealProxy(program, async ({ port }) => {
        const ask = async (to: number, credentials?: HttpProxyOptions["credentials"]) => {
          const client = new Socks5Client(`socks5h://127.0.0.1:${to}`, { transport: through(port, credentials) });
          return await failure(client.connect("target.test:1"));
        };
        const wrong = await ask(1, { username: CORP.username, password: "wrong" });
        const none = await ask(1);
        const closed = await ask(1, CORP);
        const forbidden = await ask(9, CORP);
        assertEquals([wrong.code, wrong.proxy], ["SOCKS5_AUTH_REFUSED", `127.0.0.1:${port}`]);
        assertEquals([none.code, none.proxy], ["SOCKS5_AUTH_NO_METHOD", `127.0.0.1:${port}`]);
        assertEquals([closed.code, closed instanceof TargetError, closed.target], [
          "SOCKS5_TARGET_FAILED",
          true,
          "127.0.0.1:1",
        ]);
        assertEquals(forbidden.code, port9);
      }),
    { skip: missing },
  );

  test(
    `${name} that is stopped and comes back is tried again`,
    () =>
      withRealProxy(program, (http) =>
        withEcho({}, async (proxy, echo) => {
          const client = new Socks5Client(proxy.url, { transport: through(http.port, CORP), retry: 0 });
          await http.stop();
          assertEquals((await failure(client.connect(echo.address))).code, "SOCKS5_PROXY_UNREACHABLE");
          await http.restart();
          const conn = await client.connect(echo.address);
          await assertEchoes(conn);
          conn.close();
          await client.close();
        })),
    { skip: missing },
  );
}
