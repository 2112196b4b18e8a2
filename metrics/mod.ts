/**
 * The counts of clients as text for Prometheus and everything else that reads OpenMetrics, for a `/metrics` of your own.
 *
 * @example
 * ```ts
 * import { createServer } from "node:http";
 * import { once } from "node:events";
 * import { Socks5Client } from "jsr:@x/socks5";
 * import { MEDIA_TYPES, openMetrics } from "jsr:@x/socks5/metrics";
 *
 * const client = new Socks5Client("socks5h://user:pass@proxy.example:1080");
 * const server = createServer((_, response) => {
 *   response.writeHead(200, { "content-type": MEDIA_TYPES.openmetrics }).end(openMetrics(client));
 * });
 * await once(server.listen(0, "127.0.0.1"), "listening");
 * server.close();
 * ```
 *
 * @module
 */
import { checkOptions, choice } from "../src/arguments.ts";
import { cannot } from "../src/errors.ts";
import type { ProxyStats, Socks5Stats } from "../src/request/core.ts";
import type { Socks5Client } from "../src/socks5_client.ts";

/** A `Socks5Client`, or anything else with its `stats()`. */
export type StatsSource = Pick<Socks5Client, "stats">;

/** One of several clients, and what tells it from the others. */
export interface NamedClient {
  /** The value of the label `client` of all its metrics. */
  name: string;
  /** Whose counts they are. */
  client: StatsSource;
}

/** How metrics are written: OpenMetrics 1.0, or the text format of Prometheus, which others can be appended to. */
export type MetricsFormat = "openmetrics" | "prometheus";

/** The options of {@linkcode openMetrics}. */
export interface MetricsOptions {
  /**
   * `"openmetrics"` ends with `# EOF`. `"prometheus"` is the text format 0.0.4, to which you can append, and which can be
   * appended to, metrics of the same format, such as those of prom-client. Default: `"openmetrics"`.
   */
  format?: MetricsFormat | undefined;
}

/** The media types (`Content-Type`) of the formats. */
export const MEDIA_TYPES: Readonly<Record<MetricsFormat, string>> = {
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
  prometheus: "text/plain; version=0.0.4; charset=utf-8",
};

/**
 * Writes what `stats()` of a client says as metrics, whose names begin with `socks5_`. Those of a proxy have its label
 * as `proxy`; there are thirteen series for each. Proxies of one client with the same label are added up. Times are in
 * seconds. No target, session or credential is in it.
 *
 * @param clients One client, or several with their names, which become the label `client`.
 * @throws {TypeError} If an argument is malformed, or two clients have the same name.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Socks5Client } from "jsr:@x/socks5";
 * import { openMetrics } from "jsr:@x/socks5/metrics";
 *
 * const client = new Socks5Client([{ url: "socks5h://user:pass@proxy.example:1080", label: "de-1" }]);
 * const conn = await client.connect("example.com:80");
 * const lines = openMetrics(client).split("\n");
 * assertEquals(lines.filter((line) => line.startsWith("socks5_proxy_connects_total")), [
 *   'socks5_proxy_connects_total{proxy="de-1"} 1',
 * ]);
 * conn.close();
 * ```
 */
export function openMetrics(clients: StatsSource | readonly NamedClient[], options?: MetricsOptions): string {
  const { format = "openmetrics" } = checkOptions("the options of openMetrics()", options, { format: true });
  choice("format", format, ["openmetrics", "prometheus"]);
  const counts = named(clients).map(({ name, client }) => {
    const stats = client.stats();
    return { labels: name === undefined ? "" : label("client", name), stats, proxies: addedUp(stats.proxies) };
  });
  const lines: string[] = [];
  for (const family of OF_CLIENT) {
    head(family, format, lines);
    for (const { labels, stats } of counts) samples(family, labels, stats, lines);
  }
  for (const family of OF_PROXY) {
    head(family, format, lines);
    for (const { labels, proxies } of counts) {
      for (const it of proxies) samples(family, joined(labels, label("proxy", it.proxy)), it, lines);
    }
  }
  if (format === "openmetrics") lines.push("# EOF");
  return lines.join("\n") + "\n";
}

/** A metric, or one for each value of a label. */
interface Family<T> {
  /** Without the prefix, and without `_total`. */
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly unit?: "seconds" | "bytes";
  readonly help: string;
  readonly value?: (from: T) => number;
  readonly by?: string;
  readonly values?: (from: T) => Readonly<Record<string, number>>;
}

const OF_CLIENT: readonly Family<Socks5Stats>[] = [
  {
    name: "connections",
    type: "gauge",
    help: "Connections to proxies that are open now.",
    by: "state",
    values: ({ opening, inUse, idle, warm }) => ({ opening, in_use: inUse, idle, warm }),
  },
  {
    name: "waiting_requests",
    type: "gauge",
    help: "Requests that wait for a place in the pool.",
    value: ({ waiting }) => waiting,
  },
  { name: "connects", type: "counter", help: "Requests that succeeded.", value: ({ connects }) => connects },
  {
    name: "reused_connects",
    type: "counter",
    help: "Requests that succeeded by reusing a tunnel.",
    value: ({ reused }) => reused,
  },
  { name: "failed_connects", type: "counter", help: "Requests that were rejected.", value: ({ failures }) => failures },
  { name: "retries", type: "counter", help: "Attempts that followed a failed one.", value: ({ retries }) => retries },
];

const OF_PROXY: readonly Family<ProxyStats>[] = [
  {
    name: "proxy_in_service",
    type: "gauge",
    help: "Whether the proxy gets new connects: 1 or 0.",
    value: ({ cooldown, weight }) => Number(cooldown === 0 && weight > 0),
  },
  {
    name: "proxy_suspended",
    type: "gauge",
    help: "Whether the proxy is out of service for this reason: 1 or 0.",
    by: "reason",
    values({ suspended }) {
      const isFor = (it: string) =>
        Number(suspended.some(({ reason, hostname }) => reason === it && hostname === undefined));
      return { failure: isFor("failure"), application: isFor("application"), shared: isFor("shared") };
    },
  },
  {
    name: "proxy_suspended_hostnames",
    type: "gauge",
    help: "Host names for which the proxy is suspended.",
    value: ({ suspended }) => suspended.filter(({ hostname }) => hostname !== undefined).length,
  },
  { name: "proxy_weight", type: "gauge", help: "Weight of the proxy in the list.", value: ({ weight }) => weight },
  {
    name: "proxy_connections",
    type: "gauge",
    help: "Connections to the proxy that are open now.",
    by: "state",
    values: ({ inUse, idle }) => ({ in_use: inUse, idle }),
  },
  {
    name: "proxy_connects",
    type: "counter",
    help: "Requests that the proxy granted.",
    value: ({ connects }) => connects,
  },
  {
    name: "proxy_failures",
    type: "counter",
    help: "Attempts that failed because of the proxy.",
    value: ({ failures }) => failures,
  },
  {
    name: "proxy_grant_seconds",
    type: "gauge",
    unit: "seconds",
    help: "Time from dial to grant, a moving average.",
    value: ({ ms }) => ms / 1_000,
  },
  {
    name: "proxy_sent_bytes",
    type: "counter",
    unit: "bytes",
    help: "Bytes to targets through the proxy.",
    value: ({ sent }) => sent,
  },
  {
    name: "proxy_received_bytes",
    type: "counter",
    unit: "bytes",
    help: "Bytes from targets through the proxy.",
    value: ({ received }) => received,
  },
];

function named(clients: StatsSource | readonly NamedClient[]): readonly { name?: string; client: StatsSource }[] {
  const all: readonly { name?: string; client: StatsSource }[] = Array.isArray(clients)
    ? clients
    : [{ client: clients as StatsSource }];
  const names = new Set<unknown>();
  for (const it of all) {
    if (typeof it?.client?.stats !== "function") {
      throw new TypeError(cannot("clients", "a Socks5Client, or a list of { name, client }", clients));
    }
    if (Array.isArray(clients) && typeof it.name !== "string") throw new TypeError(cannot("name", "a text", it.name));
    if (names.size === names.add(it.name).size) throw new TypeError("Cannot use clients: two have the same name");
  }
  return all;
}

/** The proxies by their labels: a series must not be written twice. */
function addedUp(proxies: readonly ProxyStats[]): readonly ProxyStats[] {
  const byLabel = new Map<string, ProxyStats>();
  for (const it of proxies) {
    const same = byLabel.get(it.proxy);
    byLabel.set(it.proxy, same === undefined ? it : sum(same, it));
  }
  return [...byLabel.values()];
}

function sum(a: ProxyStats, b: ProxyStats): ProxyStats {
  return {
    proxy: a.proxy,
    weight: a.weight + b.weight,
    open: a.open + b.open,
    inUse: a.inUse + b.inUse,
    idle: a.idle + b.idle,
    connects: a.connects + b.connects,
    failures: a.failures + b.failures,
    ms: Math.max(a.ms, b.ms),
    sent: a.sent + b.sent,
    received: a.received + b.received,
    cooldown: Math.min(a.cooldown, b.cooldown),
    suspended: [...a.suspended, ...b.suspended],
  };
}

/** In OpenMetrics a counter has its `_total` in the name of the sample alone, in the text format also in what describes it. */
function head<T>({ name, type, unit, help }: Family<T>, format: MetricsFormat, lines: string[]): void {
  const called = `socks5_${name}${format === "prometheus" && type === "counter" ? "_total" : ""}`;
  lines.push(`# TYPE ${called} ${type}`);
  if (format === "openmetrics" && unit !== undefined) lines.push(`# UNIT ${called} ${unit}`);
  lines.push(`# HELP ${called} ${help}`);
}

function samples<T>({ name, type, by, value, values }: Family<T>, labels: string, from: T, lines: string[]): void {
  const called = `socks5_${name}${type === "counter" ? "_total" : ""}`;
  const add = (labels: string, number: number) =>
    lines.push(`${called}${labels === "" ? "" : `{${labels}}`} ${number}`);
  if (value !== undefined) add(labels, value(from));
  for (const [it, number] of Object.entries(values?.(from) ?? {})) add(joined(labels, label(by!, it)), number);
}

function joined(...labels: readonly string[]): string {
  return labels.filter((it) => it !== "").join(",");
}

/** Both formats escape the same three. */
function label(name: string, value: string): string {
  const escaped = value.replace(/[\\"\n]/g, (it) => it === "\n" ? "\\n" : `\\${it}`);
  return `${name}="${escaped}"`;
}
