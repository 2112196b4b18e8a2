import { isProxyFailure, printable } from "../src/errors.ts";
import { rounded, type Socks5Event } from "../src/events.ts";

/** A failed attempt, as it is shown: plain JSON. */
export interface RecordedFailure {
  /** When it failed, in UTC (ISO 8601). */
  time: string;
  /** The label of the proxy. */
  proxy: string;
  /** `"host:port"` of the target. */
  target: string;
  /** The code of the error. */
  code: string;
  /** The step that failed. */
  phase: string;
  /** The message of the error, at most 300 characters of it. */
  message: string;
  /** Milliseconds since the call of the connect. */
  ms: number;
  /** What followed: the next address, another round, another proxy, or `null`: the connect failed. */
  next: "address" | "retry" | "failover" | null;
}

/** What was recorded of one proxy. */
export interface ProxyRecord {
  /** Requests that were granted in each of the last sixty seconds; the last one is the running second. */
  connects: number[];
  /** Attempts that failed because of the proxy in each of them. */
  failures: number[];
  /** The median of the milliseconds from dial to grant, of the last 128 grants; `null` before the first. */
  median: number | null;
  /** The 95th percentile of them. */
  p95: number | null;
  /** The code of the last failure because of the proxy. */
  lastFailure: string | null;
}

/**
 * Remembers of the events of one client what `stats()` does not count: the last minute, how long grants took, and the
 * last failures. Its memory is bounded, and it has no timer.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Socks5Client } from "jsr:@x/socks5";
 * import { Recorder } from "jsr:@x/socks5/admin";
 *
 * const recorder = new Recorder();
 * const client = new Socks5Client("socks5h://127.0.0.1:1", { retry: 0, onEvent: recorder.onEvent });
 * await client.connect("example.com:80").catch(() => {});
 * assertEquals(recorder.failures.map(({ code }) => code), ["SOCKS5_PROXY_UNREACHABLE"]);
 * ```
 */
export class Recorder {
  readonly #proxies = new Map<string, Series>();
  /** When the dials of attempts began that have no end yet, in the order in which they did. */
  readonly #dials = new Map<string, number>();
  #failures: RecordedFailure[] = [];
  readonly #all = new Series();

  /** The listener of a client: its option `onEvent`. It is bound, and may be called by a listener of yours. */
  readonly onEvent: (event: Socks5Event) => void = (event) => this.#record(event);

  /** The last hundred failed attempts, the newest first. */
  get failures(): readonly RecordedFailure[] {
    return this.#failures.toReversed();
  }

  /** What was recorded of all proxies together. */
  get all(): ProxyRecord {
    return this.#all.record(secondNow());
  }

  /** What was recorded of a proxy, by its label; `undefined` if it was not used in a long time. */
  of(proxy: string): ProxyRecord | undefined {
    const series = this.#proxies.get(proxy);
    return series?.record(secondNow());
  }

  #record(event: Socks5Event): void {
    if (event.id === undefined || event.type === "closed") return;
    const dial = `${event.id} ${event.attempt}`;
    if (event.type === "attempt") {
      this.#dials.set(dial, event.ms);
      // of connects that were aborted nothing more is told
      if (this.#dials.size > MOST_DIALS) this.#dials.delete(this.#dials.keys().next().value!);
      return;
    }
    const begun = this.#dials.get(dial);
    this.#dials.delete(dial);
    if (event.type === "connected") {
      if (event.reused) return; // it is no connect of the proxy's
      const ms = begun === undefined ? undefined : event.ms - begun;
      for (const series of [this.#all, this.#seriesOf(event.proxy)]) series.connected(secondNow(), ms);
    } else if (event.type === "failed") {
      if (isProxyFailure(event.error)) {
        for (const series of [this.#all, this.#seriesOf(event.proxy)]) series.failed(secondNow(), event.error.code);
      }
      const { proxy, target, ms, next, error: { code, phase, message } } = event;
      const shown = printable(message).slice(0, MOST_TEXT);
      this.#failures.push({ time: new Date().toISOString(), proxy, target, code, phase, message: shown, ms, next });
      if (this.#failures.length > MOST_FAILURES) this.#failures.shift();
    }
  }

  /** What is forgotten first is what was not used for the longest time. */
  #seriesOf(proxy: string): Series {
    const known = this.#proxies.get(proxy);
    if (known?.second === secondNow()) return known;
    const series = known ?? new Series();
    this.#proxies.delete(proxy);
    this.#proxies.set(proxy, series);
    if (this.#proxies.size > MOST_PROXIES) this.#proxies.delete(this.#proxies.keys().next().value!);
    return series;
  }
}

const MOST_DIALS = 20_000;
const MOST_PROXIES = 20_000;
const MOST_FAILURES = 100;
const MOST_TEXT = 300;
const SECONDS = 60;
const MOST_TIMES = 128;

function secondNow(): number {
  return Math.floor(performance.now() / 1_000);
}

/** The last minute of a proxy, second by second, and its last grants. */
class Series {
  /** The second that was counted last. */
  second = -Infinity;
  readonly #connects = new Uint32Array(SECONDS);
  readonly #failures = new Uint32Array(SECONDS);
  #times: number[] = [];
  #next = 0;
  #lastFailure: string | null = null;
  #quantiles: Pick<ProxyRecord, "median" | "p95"> | undefined;

  connected(second: number, ms: number | undefined): void {
    this.#advance(second);
    this.#connects[second % SECONDS]!++;
    if (ms === undefined) return; // when its dial began is forgotten
    this.#times[this.#next] = ms;
    this.#next = (this.#next + 1) % MOST_TIMES;
    this.#quantiles = undefined;
  }

  failed(second: number, code: string): void {
    this.#advance(second);
    this.#lastFailure = code;
    this.#failures[second % SECONDS]!++;
  }

  record(second: number): ProxyRecord {
    this.#advance(second);
    const { median, p95 } = this.#quantiles ??= quantilesOf(this.#times);
    const connects = lastMinute(this.#connects, second);
    const failures = lastMinute(this.#failures, second);
    return { connects, failures, median, p95, lastFailure: this.#lastFailure };
  }

  /** The seconds since the last one have nothing in them. */
  #advance(second: number): void {
    for (let passed = Math.max(this.second + 1, second - SECONDS + 1); passed <= second; passed++) {
      this.#connects[passed % SECONDS] = 0;
      this.#failures[passed % SECONDS] = 0;
    }
    this.second = second;
  }
}

/** The counts of a ring, the running second last. */
function lastMinute(ring: Uint32Array, second: number): number[] {
  const counts: number[] = [];
  for (let passed = second + 1; passed <= second + SECONDS; passed++) counts.push(ring[passed % SECONDS]!);
  return counts;
}

function quantilesOf(times: readonly number[]): Pick<ProxyRecord, "median" | "p95"> {
  if (times.length === 0) return { median: null, p95: null };
  const sorted = new Float64Array(times).sort();
  const at = (share: number) => rounded(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!);
  return { median: at(0.5), p95: at(0.95) };
}
