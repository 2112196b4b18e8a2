import { assertEquals, assertThrows } from "@std/assert";
import { execFileSync } from "node:child_process";
import { serveAdmin } from "../../admin/mod.ts";
import { MEDIA_TYPES, type MetricsFormat, openMetrics, type StatsSource } from "../../metrics/mod.ts";
import { type ProxyStats, Socks5Client, type Socks5Stats } from "../../mod.ts";
import { missing } from "../support/client_program.ts";
import { startWeb } from "../support/http_server.ts";
import { findProgram } from "../support/real_process.ts";
import { prometheusOf } from "../support/real_servers.ts";
import { withEcho, withTarget } from "../support/stage.ts";
import { test } from "../support/test.ts";
import { until } from "../support/wait.ts";

const PROXY: ProxyStats = {
  ...{ proxy: "de-1", weight: 2, open: 5, inUse: 3, idle: 2, connects: 7, failures: 1, ms: 12.5 },
  ...{ sent: 1_000, received: 20_000, cooldown: 0, suspended: [] },
};

const COUNTS = {
  ...{ opening: 1, inUse: 2, idle: 1, warm: 1, waiting: 4, connects: 7, reused: 3, failures: 2, retries: 1 },
};

const clientOf = (proxies: ProxyStats[], counts: Partial<Socks5Stats> = {}): StatsSource => ({
  stats: () => ({ ...COUNTS, ...counts, proxies }),
});

/** The lines with samples that have a text in them. */
function linesWith(text: string, part: string): string[] {
  return text.split("\n").filter((line) => !line.startsWith("#") && line.includes(part));
}

test("openMetrics() writes the counts of a client and of its proxies, with types, units and help", () => {
  assertEquals(
    openMetrics(clientOf([PROXY])),
    `# TYPE socks5_connections gauge
# HELP socks5_connections Connections to proxies that are open now.
socks5_connections{state="opening"} 1
socks5_connections{state="in_use"} 2
socks5_connections{state="idle"} 1
socks5_connections{state="warm"} 1
# TYPE socks5_waiting_requests gauge
# HELP socks5_waiting_requests Requests that wait for a place in the pool.
socks5_waiting_requests 4
# TYPE socks5_connects counter
# HELP socks5_connects Requests that succeeded.
socks5_connects_total 7
# TYPE socks5_reused_connects counter
# HELP socks5_reused_connects Requests that succeeded by reusing a tunnel.
socks5_reused_connects_total 3
# TYPE socks5_failed_connects counter
# HELP socks5_failed_connects Requests that were rejected.
socks5_failed_connects_total 2
# TYPE socks5_retries counter
# HELP socks5_retries Attempts that followed a failed one.
socks5_retries_total 1
# TYPE socks5_proxy_in_service gauge
# HELP socks5_proxy_in_service Whether the proxy gets new connects: 1 or 0.
socks5_proxy_in_service{proxy="de-1"} 1
# TYPE socks5_proxy_suspended gauge
# HELP socks5_proxy_suspended Whether the proxy is out of service for this reason: 1 or 0.
socks5_proxy_suspended{proxy="de-1",reason="failure"} 0
socks5_proxy_suspended{proxy="de-1",reason="application"} 0
socks5_proxy_suspended{proxy="de-1",reason="shared"} 0
# TYPE socks5_proxy_suspended_hostnames gauge
# HELP socks5_proxy_suspended_hostnames Host names for which the proxy is suspended.
socks5_proxy_suspended_hostnames{proxy="de-1"} 0
# TYPE socks5_proxy_weight gauge
# HELP socks5_proxy_weight Weight of the proxy in the list.
socks5_proxy_weight{proxy="de-1"} 2
# TYPE socks5_proxy_connections gauge
# HELP socks5_proxy_connections Connections to the proxy that are open now.
socks5_proxy_connections{proxy="de-1",state="in_use"} 3
socks5_proxy_connections{proxy="de-1",state="idle"} 2
# TYPE socks5_proxy_connects counter
# HELP socks5_proxy_connects Requests that the proxy granted.
socks5_proxy_connects_total{proxy="de-1"} 7
# TYPE socks5_proxy_failures counter
# HELP socks5_proxy_failures Attempts that failed because of the proxy.
socks5_proxy_failures_total{proxy="de-1"} 1
# TYPE socks5_proxy_grant_seconds gauge
# UNIT socks5_proxy_grant_seconds seconds
# HELP socks5_proxy_grant_seconds Time from dial to grant, a moving average.
socks5_proxy_grant_seconds{proxy="de-1"} 0.0125
# TYPE socks5_proxy_sent_bytes counter
# UNIT socks5_proxy_sent_bytes bytes
# HELP socks5_proxy_sent_bytes Bytes to targets through the proxy.
socks5_proxy_sent_bytes_total{proxy="de-1"} 1000
# TYPE socks5_proxy_received_bytes counter
# UNIT socks5_proxy_received_bytes bytes
# HELP socks5_proxy_received_bytes Bytes from targets through the proxy.
socks5_proxy_received_bytes_total{proxy="de-1"} 20000
# EOF
`,
  );
});

test("in the text format of Prometheus counters are described by their whole names, and there is no end", () => {
  const written = openMetrics(clientOf([PROXY]), { format: "prometheus" });
  const open = openMetrics(clientOf([PROXY]));
  const samples = (text: string) => text.split("\n").filter((line) => !line.startsWith("#"));
  assertEquals(samples(written), samples(open));
  assertEquals([/^# (UNIT|EOF)/m.test(written), written.includes("# TYPE socks5_connects_total counter\n")], [
    false,
    true,
  ]);
});

test("a proxy that is suspended says for what, and for how many host names", () => {
  const suspended: ProxyStats["suspended"] = [
    { reason: "failure", ms: 10 },
    { reason: "application", ms: 10, hostname: "a.test" },
    { reason: "application", ms: 10, hostname: "b.test" },
  ];
  const text = openMetrics(clientOf([{ ...PROXY, cooldown: 10, suspended }, { ...PROXY, proxy: "none", weight: 0 }]));
  assertEquals(linesWith(text, "in_service"), [
    'socks5_proxy_in_service{proxy="de-1"} 0',
    'socks5_proxy_in_service{proxy="none"} 0',
  ]);
  assertEquals(linesWith(text, "suspended").filter((line) => line.includes("de-1")), [
    'socks5_proxy_suspended{proxy="de-1",reason="failure"} 1',
    'socks5_proxy_suspended{proxy="de-1",reason="application"} 0',
    'socks5_proxy_suspended{proxy="de-1",reason="shared"} 0',
    'socks5_proxy_suspended_hostnames{proxy="de-1"} 2',
  ]);
});

test("quotes, backslashes and line ends of labels are escaped", () => {
  const text = openMetrics([{ name: 'a"} 1\n# EOF', client: clientOf([{ ...PROXY, proxy: 'C:\\"x"\n' }]) }]);
  assertEquals(linesWith(text, "proxy_weight"), [
    String.raw`socks5_proxy_weight{client="a\"} 1\n# EOF",proxy="C:\\\"x\"\n"} 2`,
  ]);
});

test("several clients have a label, and each metric is described once", () => {
  const clients = [
    { name: "crawler", client: clientOf([PROXY]) },
    { name: "mail", client: clientOf([PROXY], { waiting: 9 }) },
  ];
  const text = openMetrics(clients);
  assertEquals(linesWith(text, "waiting"), [
    'socks5_waiting_requests{client="crawler"} 4',
    'socks5_waiting_requests{client="mail"} 9',
  ]);
  assertEquals(
    linesWith(text, "connections{").at(-1),
    'socks5_proxy_connections{client="mail",proxy="de-1",state="idle"} 2',
  );
  assertEquals(text.split("# TYPE socks5_connects ").length, 2);
});

test("proxies with the same label are added up, since a series must not be there twice", () => {
  const again: ProxyStats = { ...PROXY, connects: 3, cooldown: 5, ms: 99, suspended: [{ reason: "shared", ms: 5 }] };
  const text = openMetrics(clientOf([PROXY, again]));
  const values = ["connects_total{p", "in_service", "grant", 'reason="shared"'].flatMap((it) => linesWith(text, it));
  assertEquals(values.map((line) => line.split(" ").at(-1)), ["10", "1", "0.099", "1"]);
});

const wrong: [what: string, call: () => unknown, message: string][] = [
  ["no client", () => openMetrics({} as never), "Cannot use clients as a Socks5Client, or a list of { name, client }"],
  ["null", () => openMetrics(null as never), "Cannot use clients as a Socks5Client, or a list of { name, client }"],
  [
    "a client without a name in a list",
    () => openMetrics([{ client: clientOf([]) } as never]),
    "Cannot use name as a text",
  ],
  [
    "the same name twice",
    () => openMetrics([{ name: "a", client: clientOf([]) }, { name: "a", client: clientOf([]) }]),
    "Cannot use clients: two have the same name",
  ],
  [
    "an unknown format",
    () => openMetrics(clientOf([]), { format: "json" as never }),
    'Cannot use format as "openmetrics" or "prometheus"',
  ],
  ["an unknown option", () => openMetrics(clientOf([]), { prefix: "" } as never), "Cannot use prefix in the options"],
];

for (const [what, call, message] of wrong) {
  test(`openMetrics() refuses ${what}`, () => {
    assertThrows(call, TypeError, message);
  });
}

const hostile = clientOf([PROXY, { ...PROXY, proxy: 'a "quoted"\\name\n# EOF', cooldown: Infinity }]);

test(
  "promtool finds nothing to improve in the metrics",
  () => {
    const input = openMetrics([{ name: "a\\b", client: hostile }, { name: "b", client: clientOf([]) }], {
      format: "prometheus",
    });
    assertEquals(execFileSync(findProgram("promtool")!, ["check", "metrics"], { input, encoding: "utf8" }), "");
  },
  { skip: missing("promtool") },
);

test(
  "Prometheus scrapes the metrics of a client in use in both formats, and those of an admin port",
  () =>
    withEcho({}, async (proxy, echo) => {
      const label = 'a "quoted"\\name';
      const client = new Socks5Client({ url: proxy.url, label });
      const conn = await client.connect(echo.address);
      await conn.write(new Uint8Array(1_000));
      const served = (format: MetricsFormat) =>
        startWeb((_, response) => {
          response.writeHead(200, { "content-type": MEDIA_TYPES[format] }).end(openMetrics(client, { format }));
        });
      await withTarget(served("openmetrics"), (one) =>
        withTarget(served("prometheus"), async (other) => {
          await using admin = await serveAdmin({ client });
          const targets = [one.address, other.address, `127.0.0.1:${admin.port}`];
          await using running = await prometheusOf(targets).start();
          const ask = async (query: string) => {
            const url = `http://127.0.0.1:${running.port}/api/v1/query?query=${encodeURIComponent(query)}`;
            const { data } = await (await fetch(url)).json();
            return data.result.map((it: { metric: Record<string, string>; value: [number, string] }) => [
              it.metric.proxy,
              it.value[1],
            ]);
          };
          let found: unknown[] = [];
          await until(() => one.seen.length > 0 && other.seen.length > 0); // it begins after five seconds
          await until(async () => (found = await ask("socks5_proxy_sent_bytes_total")).length > 2);
          assertEquals(found, targets.map(() => [label, "1000"]));
          assertEquals(await ask("up"), targets.map(() => [undefined, "1"]));
          assertEquals(await ask("sum(socks5_connections)"), [[undefined, "3"]]);
        }));
      conn.close();
      await client.close();
    }),
  { skip: prometheusOf([]).missing },
);
