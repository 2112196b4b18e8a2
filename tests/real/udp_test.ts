import { assertEquals, assertLess } from "@std/assert";
import type { Association } from "../../mod.ts";
import { bytes, text } from "../support/contract.ts";
import { dante, danteWithAccount, microsocks, shadowsocks, v2ray } from "../support/real_proxies.ts";
import { dns } from "../support/real_servers.ts";
import { withClient, withRealProxy } from "../support/real_stage.ts";
import { failure } from "../support/stage.ts";
import { test } from "../support/test.ts";
import { dnsQuery, startUdpEcho } from "../support/udp_targets.ts";

const proxies = [dante, danteWithAccount, shadowsocks, v2ray];
const RECORD = [192, 0, 2, 7];

for (const program of proxies) {
  test(`${program.name}: a DNS server answers through it, by address and by name`, async () => {
    await withRealProxy(
      dns,
      (server) =>
        withRealProxy(program, (proxy) =>
          withClient(proxy.url, { retry: 0 }, async (client) => {
            const association = await client.associate();
            const hosts = ["127.0.0.1", "localhost"];
            for (const [id, host] of hosts.entries()) {
              await association.send(dnsQuery("record.test", id), `${host}:${server.port}`);
              const { data } = await arriving(association);
              assertEquals([data[1], ...data.subarray(-4)], [id, ...RECORD]);
            }
            association.close();
          })),
    );
  }, { skip: program.missing || dns.missing });

  test(`${program.name}: it ends with the proxy`, async () => {
    await withRealProxy(program, (proxy) =>
      withClient(proxy.url, { retry: 0 }, async (client) => {
        const association = await client.associate();
        const ending = association.receive().catch((error) => error.code);
        await proxy.stop();
        const ended = await ending;
        assertEquals(ended === null || ended === "SOCKS5_CONN_RESET", true, `${ended}`);
        assertEquals(client.stats().inUse, 0);
      }));
  }, { skip: program.missing });
}

test("dante: 10 000 datagrams there and back, each once, in less than five seconds", async () => {
  await using echo = await startUdpEcho();
  await withRealProxy(dante, (proxy) =>
    withClient(proxy.url, { retry: 0 }, async (client) => {
      const association = await client.associate();
      const begun = performance.now();
      const seen = new Set<string>();
      let sent = 0;
      const next = () => sent < 10_000 ? association.send(bytes(`datagram ${sent++}`), echo.address) : undefined;
      // one for each that came back: no buffer on the way is ever full
      for (let i = 0; i < 16; i++) await next();
      while (seen.size < 10_000) {
        seen.add(text((await arriving(association)).data));
        await next();
      }
      assertEquals([seen.size, association.dropped, association.ignored], [10_000, 0, 0]);
      assertLess(performance.now() - begun, 5_000);
      association.close();
    }));
}, { skip: dante.missing });

test("microsocks knows no datagrams, and says so", async () => {
  await withRealProxy(microsocks, (proxy) =>
    withClient(proxy.url, { retry: 0 }, async (client) => {
      assertEquals((await failure(client.associate())).code, "SOCKS5_TARGET_BAD_COMMAND");
    }));
}, { skip: microsocks.missing });

/** The next datagram, which has two seconds. */
async function arriving(association: Association): Promise<{ data: Uint8Array }> {
  return (await association.receive({ signal: AbortSignal.timeout(2_000) }))!;
}
