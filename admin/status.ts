import type { ProxyStats, Socks5Stats } from "../src/request/core.ts";
import type { AdminListener, AdminSource } from "./options.ts";
import type { ProxyRecord, RecordedFailure } from "./recorder.ts";

/** What `/status.json` says: plain JSON, in which milliseconds without end are `null`. */
export interface AdminStatus {
  /** When this port was opened, in UTC (ISO 8601). */
  started: string;
  /** When this was said. */
  time: string;
  /** Whether nothing can be changed. */
  readonly: boolean;
  /** The ports that lead through the clients. */
  listeners: readonly AdminListener[];
  /** The clients. */
  clients: ClientStatus[];
  /** How many proxies there are, how many of them get new connects, and how many the query matches. */
  count: { all: number; inService: number; matching: number };
  /** Those that the query matches, at most `limit`, in its order. */
  proxies: ProxyStatus[];
  /** The last hundred failed attempts of all clients, the newest first. */
  failures: (RecordedFailure & { client: string | null })[];
}

/** The counts of a client, without its proxies. */
export interface ClientStatus extends Omit<Socks5Stats, "proxies" | "sessions"> {
  /** Its name, or `null` if it has none. */
  name: string | null;
  /** Bytes to targets. */
  sent: number;
  /** Bytes from targets. */
  received: number;
  /** The median of the milliseconds from dial to grant, of the last 128 grants; `null` if none is known. */
  median: number | null;
  /** The 95th percentile of them. */
  p95: number | null;
  /** What happened at all its proxies. */
  minute: Minute;
}

/** What happened in each of the last sixty seconds; empty without a recorder. */
export interface Minute {
  /** Requests that were granted. */
  connects: number[];
  /** Attempts that failed because of a proxy. */
  failures: number[];
}

/** The counts of a proxy. */
export interface ProxyStatus extends ProxyStats, Omit<ProxyRecord, "connects" | "failures"> {
  /** The name of its client. */
  client: string | null;
  /** Whether it gets new connects. */
  inService: boolean;
  /** `null` if nothing happened. */
  minute: Minute | null;
}

/** Which proxies are wanted, and in which order. */
export interface StatusQuery {
  /** Text that the label of a proxy, or the name of its client, has in it. */
  text: string;
  state: "all" | "in" | "out";
  sort: SortKey;
  descending: boolean;
  limit: number;
}

/** What proxies can be sorted by; `list` is their own order. */
export type SortKey =
  | "list"
  | "proxy"
  | "state"
  | "inUse"
  | "idle"
  | "connects"
  | "failures"
  | "minute"
  | "median"
  | "p95"
  | "sent"
  | "received";

/** Reads the query of a URL; what it does not know counts as not given. */
export function parseStatusQuery(search: string): StatusQuery {
  const query = new URLSearchParams(search);
  const state = query.get("state");
  const sort = query.get("sort") ?? "";
  const limit = /^\d{1,6}$/.exec(query.get("limit") ?? "");
  return {
    text: (query.get("text") ?? "").slice(0, 200).toLowerCase(),
    state: state === "in" || state === "out" ? state : "all",
    sort: Object.hasOwn(SORTS, sort) ? sort as SortKey : "list",
    descending: query.get("descending") === "true",
    limit: limit === null ? Infinity : Number(limit[0]),
  };
}

/** All that is known, of the proxies what is asked for. */
export function statusOf(
  sources: readonly AdminSource[],
  { started, readonly, listeners }: Pick<AdminStatus, "started" | "readonly" | "listeners">,
  query: StatusQuery,
): AdminStatus {
  const clients: ClientStatus[] = [];
  const rows: Row[] = [];
  for (const { name = null, client, recorder } of sources) {
    const { proxies, sessions: _, ...counts } = client.stats();
    const traffic = { sent: 0, received: 0 };
    for (const it of proxies) {
      traffic.sent += it.sent;
      traffic.received += it.received;
      rows.push({ client: name, recorder, stats: it, inService: isInService(it), record: undefined });
    }
    const { connects, failures, lastFailure: __, ...times } = recorder?.all ?? NO_RECORD;
    clients.push({ name, ...counts, ...traffic, ...times, minute: { connects, failures } });
  }
  const matching = rows.filter((row) => matches(row, query));
  if (query.sort !== "list") sorted(matching, SORTS[query.sort], query.descending);
  else if (query.descending) matching.reverse();
  const failures = sources.flatMap(({ name = null, recorder }) =>
    (recorder?.failures ?? []).map((it) => ({ client: name, ...it }))
  );
  return {
    ...{ started, time: new Date().toISOString(), readonly, listeners, clients },
    count: { all: rows.length, inService: rows.filter((it) => it.inService).length, matching: matching.length },
    proxies: matching.slice(0, query.limit).map(shown),
    failures: failures.sort((a, b) => a.time < b.time ? 1 : a.time > b.time ? -1 : 0).slice(0, 100),
  };
}

/** Whether a proxy gets new connects. */
export function isInService({ cooldown, weight }: Pick<ProxyStats, "cooldown" | "weight">): boolean {
  return cooldown === 0 && weight > 0;
}

interface Row {
  readonly client: string | null;
  readonly recorder: AdminSource["recorder"];
  readonly stats: ProxyStats;
  readonly inService: boolean;
  record: ProxyRecord | undefined;
}

const NO_RECORD: ProxyRecord = { connects: [], failures: [], median: null, p95: null, lastFailure: null };

const SORTS: Readonly<Record<Exclude<SortKey, "list">, (row: Row) => number | string>> = {
  proxy: ({ stats }) => stats.proxy,
  state: ({ stats, inService }) => inService ? 0 : stats.cooldown > 0 ? stats.cooldown : 0.1,
  inUse: ({ stats }) => stats.inUse,
  idle: ({ stats }) => stats.idle,
  connects: ({ stats }) => stats.connects,
  failures: ({ stats }) => stats.failures,
  minute: (row) => total(recordOf(row).connects) + total(recordOf(row).failures),
  median: (row) => recordOf(row).median ?? -1,
  p95: (row) => recordOf(row).p95 ?? -1,
  sent: ({ stats }) => stats.sent,
  received: ({ stats }) => stats.received,
};

function matches({ client, stats, inService }: Row, { text, state }: StatusQuery): boolean {
  if (state !== "all" && inService !== (state === "in")) return false;
  return text === "" || stats.proxy.toLowerCase().includes(text) || (client?.toLowerCase().includes(text) ?? false);
}

/** In place; what is equal keeps its order. */
function sorted(rows: Row[], by: (row: Row) => number | string, descending: boolean): void {
  const keys = new Map(rows.map((row) => [row, by(row)]));
  const order = descending ? -1 : 1;
  rows.sort((a, b) => {
    const [one, other] = [keys.get(a)!, keys.get(b)!];
    return one === other ? 0 : one < other ? -order : order;
  });
}

function recordOf(row: Row): ProxyRecord {
  return row.record ??= row.recorder?.of(row.stats.proxy) ?? NO_RECORD;
}

function shown(row: Row): ProxyStatus {
  const { client, stats, inService } = row;
  const { connects, failures, ...record } = recordOf(row);
  const isQuiet = total(connects) + total(failures) === 0;
  return { client, ...stats, inService, ...record, minute: isQuiet ? null : { connects, failures } };
}

function total(counts: readonly number[]): number {
  return counts.reduce((sum, it) => sum + it, 0);
}
